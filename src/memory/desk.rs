//! Questions: calls that wait for somebody to agree, and what was answered. An answer is for one call, and for one time.

mod question;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;

pub use self::question::{Kept, Reviewing, Shown, Stands, bound, bound_of};
use self::question::{Question, State};
use super::lock;
use crate::model::{About, AgentName, ApprovalFacts, ApprovalId, Digest, Timestamp};

/// How questions are asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DeskRule {
    /// Questions an agent may ask within an hour: whoever is asked too often says yes to anything.
    pub per_hour: usize,
    /// How long a question waits for an answer.
    pub wait: Duration,
    /// How long a yes may be used.
    pub valid: Duration,
    /// How long the values of a call that somebody has agreed to are not asked about again.
    pub remember: Duration,
    /// How long a call waits for its answer; without it, it is refused until the agent comes back.
    pub hold: Option<Duration>,
}

impl Default for DeskRule {
    fn default() -> Self {
        let [wait, valid, remember] = [900, 300, 8 * 3_600].map(Duration::from_secs);
        Self { per_hour: 12, wait, valid, remember, hold: None }
    }
}

/// An hour.
const HOUR: Duration = Duration::from_secs(3_600);

/// Every question that is not over, and those that were over not long ago.
#[derive(Debug, Default)]
pub struct Desk {
    questions: Mutex<Questions>,
    /// Held while an answer is checked, recorded and given: of two at once, the second sees the first.
    answering: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Questions {
    by_id: BTreeMap<ApprovalId, Question>,
    asked: BTreeMap<AgentName, VecDeque<Timestamp>>,
}

/// What became of asking.
#[derive(Debug)]
pub enum Asked {
    /// It is a new question. It is shown to nobody until it is posted.
    New(Arc<About>),
    /// The same agent has asked for the very same call, and that question still waits.
    Same(Arc<About>),
    /// The agent has asked as often as it may within an hour; the next question fits after so long.
    TooOften(Duration),
}

/// Why an approval does not help a call.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NotAgreed {
    /// Nobody has answered yet; the question is over by itself then.
    #[error("nobody has answered yet")]
    Waiting {
        /// The question.
        id: ApprovalId,
        /// When it is over by itself.
        expires_at: Timestamp,
    },
    /// Somebody said no.
    #[error("a reviewer said no")]
    Denied,
    /// It is another call's, it was used, it is over, or there never was one: the agent is not told which.
    #[error("the approval is not for this call, or it is over")]
    Void,
}

/// Why an answer was not taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NotTaken {
    /// There is no such question, or it is over.
    #[error("there is no such question, or it is over")]
    Over,
    /// Somebody has answered it.
    #[error("this question was answered already: it is {0}")]
    Already(&'static str),
    /// The reviewer is not one of those who are asked.
    #[error("the rules ask somebody else")]
    NotAsked,
    /// The call is made on behalf of the reviewer.
    #[error("nobody agrees to what is done on their own behalf")]
    Own,
}

/// What an answer comes to.
#[derive(Clone, Debug)]
pub struct Answered {
    /// The question.
    pub about: Arc<About>,
    /// Where it stands now.
    pub standing: Stands,
}

impl Desk {
    /// Lays a question down.
    pub fn ask(&self, about: About, per_hour: usize) -> Asked {
        let now = about.asked_at;
        let mut questions = lock(&self.questions);
        let same = |question: &&Question| {
            question.about.agent == about.agent && question.about.bound == about.bound && question.waits(now)
        };
        if let Some(same) = questions.by_id.values().find(same) {
            return Asked::Same(same.about.clone());
        }
        let asked = questions.asked.entry(about.agent.clone()).or_default();
        while asked.front().is_some_and(|first| first.after(HOUR) <= now) {
            asked.pop_front();
        }
        if asked.len() >= per_hour {
            let free = asked.front().map_or(HOUR, |first| first.after(HOUR).since(now));
            return Asked::TooOften(free);
        }
        asked.push_back(now);
        let about = Arc::new(about);
        questions.by_id.insert(about.id, Question::new(about.clone()));
        Asked::New(about)
    }

    /// Its record is durable: from here on it can be answered. `kept` is the call that it is about, if it is about one.
    /// Gives a line on which its standing is told.
    pub fn post(&self, id: ApprovalId, kept: Option<Kept>) -> Option<watch::Receiver<Stands>> {
        let mut questions = lock(&self.questions);
        let question = questions.by_id.get_mut(&id)?;
        question.posted = true;
        question.kept = kept.map(Box::new);
        Some(question.told.subscribe())
    }

    /// Its record could not be made durable: it was never asked.
    pub fn withdraw(&self, id: ApprovalId) {
        // What it held is dropped without the lock: that takes others.
        let gone = lock(&self.questions).by_id.remove(&id);
        drop(gone);
    }

    /// A question that an earlier run asked within the last hour counts among those that an agent may ask.
    pub fn recall(&self, agent: &AgentName, at: Timestamp) {
        lock(&self.questions).asked.entry(agent.clone()).or_default().push_back(at);
    }

    /// Every question, the earliest first.
    pub fn questions(&self, now: Timestamp) -> Vec<Shown> {
        let questions = lock(&self.questions);
        let mut shown: Vec<Shown> =
            questions.by_id.values().filter(|question| question.posted).map(|question| question.shown(now)).collect();
        shown.sort_by_key(|shown| (shown.about.asked_at, shown.about.id));
        shown
    }

    /// What the call of a question sends: so many bytes, with this SHA-256. Nothing where it is kept no more.
    pub fn content(&self, id: ApprovalId) -> Option<(u64, Digest)> {
        let questions = lock(&self.questions);
        let content = questions.by_id.get(&id)?.kept.as_ref()?.call.content;
        content.length().zip(content.digest())
    }

    /// One question of this agent.
    pub fn question(&self, id: ApprovalId, agent: &AgentName, now: Timestamp) -> Option<Shown> {
        let questions = lock(&self.questions);
        questions
            .by_id
            .get(&id)
            .filter(|question| question.posted && question.about.agent == *agent)
            .map(|question| question.shown(now))
    }

    /// Held while an answer is considered, recorded and given.
    pub async fn answering(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.answering.lock().await
    }

    /// What an answer would come to: a yes that may be used until then, or a no. Nothing is changed by it: it is recorded
    /// first, and then [`Desk::give`]n.
    pub fn consider(
        &self,
        id: ApprovalId,
        by: &Reviewing<'_>,
        yes: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Answered, NotTaken> {
        let questions = lock(&self.questions);
        let question = questions.by_id.get(&id).filter(|question| question.posted).ok_or(NotTaken::Over)?;
        if let Some(answer) = question.shown(now).standing.answer() {
            return Err(NotTaken::Already(answer));
        }
        Ok(Answered { about: question.about.clone(), standing: question.answered(by, yes, now)? })
    }

    /// An answer that was considered and recorded.
    pub fn give(&self, id: ApprovalId, by: &Reviewing<'_>, standing: Stands) {
        let dropped = lock(&self.questions).by_id.get_mut(&id).and_then(|question| question.give(by, standing));
        drop(dropped);
    }

    /// Takes the call that was kept, for the agent whose it is and who may have it made now.
    pub fn resume(
        self: &Arc<Self>,
        id: ApprovalId,
        agent: &AgentName,
        now: Timestamp,
    ) -> Result<(Kept, Agreed), NotAgreed> {
        let mut questions = lock(&self.questions);
        let question = questions.by_id.get_mut(&id).filter(|question| question.about.agent == *agent);
        let question = question.ok_or(NotAgreed::Void)?;
        question.may_be_used(now)?;
        let kept = question.kept.take().ok_or(NotAgreed::Void)?;
        let facts = question.claim();
        Ok((*kept, Agreed { desk: self.clone(), id, facts, spent: false }))
    }

    /// Takes the yes for a call that was sent again, if it is the very same call.
    pub fn repeat(
        self: &Arc<Self>,
        id: ApprovalId,
        agent: &AgentName,
        bound: Digest,
        now: Timestamp,
    ) -> Result<Agreed, NotAgreed> {
        let (facts, kept) = {
            let mut questions = lock(&self.questions);
            let question = questions.by_id.get_mut(&id);
            let question = question.filter(|question| question.about.agent == *agent && question.about.bound == bound);
            let question = question.ok_or(NotAgreed::Void)?;
            question.may_be_used(now)?;
            (question.claim(), question.kept.take())
        };
        // The one that was kept gives back what it held: this one takes its place.
        drop(kept);
        Ok(Agreed { desk: self.clone(), id, facts, spent: false })
    }

    /// Ends the questions that this is true of, and gives those that were still waiting.
    pub fn cancel(&self, which: impl Fn(&About) -> bool) -> Vec<Arc<About>> {
        self.close(Stands::Cancelled, |question| which(&question.about))
    }

    /// Ends those whose time has run out, and gives them; forgets those that were over for an hour.
    pub fn expire(&self, now: Timestamp) -> Vec<Arc<About>> {
        let over = self.close(Stands::Expired, |question| question.is_late(now));
        lock(&self.questions)
            .by_id
            .retain(|_, question| question.kept.is_some() || question.about.expires_at.after(HOUR) > now);
        over
    }

    fn close(&self, standing: Stands, which: impl Fn(&Question) -> bool) -> Vec<Arc<About>> {
        let mut questions = lock(&self.questions);
        let (mut ended, mut dropped) = (Vec::new(), Vec::new());
        for question in questions.by_id.values_mut().filter(|question| which(question)) {
            if question.posted && matches!(question.state, State::Waiting(_)) {
                ended.push(question.about.clone());
            }
            dropped.extend(question.end(standing.clone()));
        }
        drop(questions);
        drop(dropped);
        ended
    }

    fn used(&self, id: ApprovalId) {
        if let Some(question) = lock(&self.questions).by_id.get_mut(&id) {
            question.tell(State::Used);
        }
    }

    fn unused(&self, id: ApprovalId) {
        if let Some(question) = lock(&self.questions).by_id.get_mut(&id) {
            question.unclaim();
        }
    }
}

impl Stands {
    /// What somebody has answered, if it is for good.
    const fn answer(&self) -> Option<&'static str> {
        match self {
            Self::Approved { .. } => Some("approved"),
            Self::Denied => Some("denied"),
            Self::Used => Some("approved, and its call was made"),
            Self::Waiting { .. } | Self::Expired | Self::Cancelled => None,
        }
    }
}

/// A yes that a call has taken. It is used when the call is permitted; otherwise it can be taken again.
#[derive(Debug)]
pub struct Agreed {
    desk: Arc<Desk>,
    id: ApprovalId,
    facts: ApprovalFacts,
    spent: bool,
}

impl Agreed {
    /// The question's name.
    pub fn id(&self) -> ApprovalId {
        self.id
    }

    /// What was agreed to.
    pub fn facts(&self) -> &ApprovalFacts {
        &self.facts
    }

    /// The call is permitted: nobody can use it any more.
    pub fn spend(mut self) {
        self.spent = true;
        self.desk.used(self.id);
    }
}

impl Drop for Agreed {
    fn drop(&mut self) {
        if !self.spent {
            self.desk.unused(self.id);
        }
    }
}
