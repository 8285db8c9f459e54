//! A reviewer's answer to a question: considered, recorded, and only then given.

use super::Mediator;
use crate::memory::{Answered, NotTaken, Reviewing, Stands};
use crate::model::{About, ApprovalId};
use crate::record::{self, Answer, Unavailable};

/// Why an answer was not given.
#[derive(Debug, thiserror::Error)]
pub enum NotGiven {
    /// It is not the reviewer's to give, or comes too late.
    #[error(transparent)]
    NotTaken(#[from] NotTaken),
    /// It could not be recorded.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// What a reviewer says.
#[derive(Clone, Copy, Debug)]
pub struct Said<'a> {
    /// Yes, or no.
    pub yes: bool,
    /// Why, for the record.
    pub why: &'a str,
}

impl Mediator {
    /// Takes a reviewer's answer.
    pub async fn answer(&self, id: ApprovalId, by: &Reviewing<'_>, said: Said<'_>) -> Result<Stands, NotGiven> {
        let desk = self.memory.desk();
        let _one_at_a_time = desk.answering().await;
        let now = self.rail.now();
        let until = said.yes.then(|| now.after(self.rulebook.now().bounds.desk().valid));
        let Answered { about, standing } = desk.consider(id, by, until, now)?;
        let answer = match &standing {
            Stands::Waiting { .. } => Answer::Agreed,
            Stands::Approved { .. } => Answer::Approved,
            Stands::Denied | Stands::Used | Stands::Expired | Stands::Cancelled => Answer::Denied,
        };
        self.rail.commit(record::resolved(&about, answer, Some(by.name), said.why, now)).await?;
        desk.give(id, by, standing.clone());
        if answer == Answer::Denied {
            self.memory.doubt(about.task);
        }
        tracing::info!(approval = %id, by = by.name, yes = said.yes, "a question was answered");
        Ok(standing)
    }

    /// Takes back the questions of calls that are not to be made any more, and records that.
    pub fn cancel(&self, which: impl Fn(&About) -> bool) {
        let now = self.rail.now();
        for about in self.memory.desk().cancel(which) {
            self.rail.note(record::resolved(&about, Answer::Cancelled, None, "", now));
        }
    }
}
