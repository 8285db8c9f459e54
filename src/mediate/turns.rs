//! Turns between agents on one thread that carries calls: whoever floods it keeps the others waiting for one call, and not
//! for all that are ready.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{iter, mem};

use tokio::sync::oneshot;
use tokio::task::yield_now;

use crate::model::AgentName;

/// How long turns are taken after calls of two agents have come behind each other. An agent that is alone on its thread waits
/// for nothing: each turn costs a look at everything that is ready.
const NEAR: Duration = Duration::from_secs(60);

/// Whose turn it is.
#[derive(Debug, Default)]
pub struct Turns(Mutex<Round>);

#[derive(Debug, Default)]
struct Round {
    /// Who came last.
    last: Option<AgentName>,
    /// Until when turns are taken.
    shared_until: Option<Instant>,
    /// Somebody has had a turn, and the thread has not looked at everything else since.
    taken: bool,
    /// The agents that wait, each with its calls in the order they came.
    waiting: VecDeque<(AgentName, VecDeque<oneshot::Sender<()>>)>,
}

impl Turns {
    /// Waits for a turn of this agent. Between two turns of one agent the thread looks at everything that is ready, so that who
    /// has just come waits among the others.
    pub async fn wait(self: &Arc<Self>, agent: &AgentName) {
        let turn = {
            let mut round = self.look();
            if round.is_alone(agent, Instant::now()) {
                return;
            }
            if !mem::replace(&mut round.taken, true) {
                tokio::spawn(self.clone().go_round());
                return;
            }
            round.line_up(agent)
        };
        // Nobody goes round any more only when the thread stops.
        let _ = turn.await;
    }

    /// Gives turns, one for each agent at a time, until nobody waits for one.
    async fn go_round(self: Arc<Self>) {
        loop {
            yield_now().await;
            let mut round = self.look();
            round.taken = round.give();
            if !round.taken {
                return;
            }
        }
    }

    fn look(&self) -> MutexGuard<'_, Round> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Round {
    /// Whether no other agent was here for a while.
    fn is_alone(&mut self, agent: &AgentName, now: Instant) -> bool {
        if self.last.as_ref() != Some(agent) && self.last.replace(agent.clone()).is_some() {
            self.shared_until = Some(now + NEAR);
        }
        self.shared_until.is_none_or(|until| until <= now)
    }

    fn line_up(&mut self, agent: &AgentName) -> oneshot::Receiver<()> {
        let (give, turn) = oneshot::channel();
        match self.waiting.iter_mut().find(|(waits, _)| waits == agent) {
            Some((_, calls)) => calls.push_back(give),
            None => self.waiting.push_back((agent.clone(), VecDeque::from([give]))),
        }
        turn
    }

    /// Gives each agent that waits a turn for its first call. False if nobody waits.
    fn give(&mut self) -> bool {
        let mut given = false;
        self.waiting.retain_mut(|(_, calls)| {
            // Who does not wait any more takes no turn.
            given |= iter::from_fn(|| calls.pop_front()).any(|call| call.send(()).is_ok());
            !calls.is_empty()
        });
        given
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Passed = Arc<Mutex<Vec<&'static str>>>;

    fn agent(name: &str) -> AgentName {
        AgentName(name.into())
    }

    /// A call of this agent that is ready.
    fn call(turns: &Arc<Turns>, passed: &Passed, name: &'static str) {
        let (turns, passed) = (turns.clone(), passed.clone());
        tokio::spawn(async move {
            turns.wait(&agent(name)).await;
            passed.lock().unwrap().push(name);
        });
    }

    async fn all(passed: &Passed, count: usize) -> Vec<&'static str> {
        while passed.lock().unwrap().len() < count {
            yield_now().await;
        }
        passed.lock().unwrap().clone()
    }

    #[tokio::test]
    async fn who_comes_behind_a_flood_waits_for_one_call_of_it() {
        let (turns, passed) = (Arc::new(Turns::default()), Passed::default());
        turns.wait(&agent("quiet")).await;
        for _ in 0..50 {
            call(&turns, &passed, "loud");
        }
        for name in ["quiet", "third", "quiet"] {
            call(&turns, &passed, name);
        }
        let order = all(&passed, 53).await;
        assert_eq!(order[..6], ["loud", "loud", "quiet", "third", "loud", "quiet"]);
        assert!(order[6..].iter().all(|name| *name == "loud"));
        // And nobody is stuck who comes when nobody waits any more.
        turns.wait(&agent("quiet")).await;
    }

    #[tokio::test]
    async fn who_is_alone_waits_for_nothing() {
        let (turns, passed) = (Arc::new(Turns::default()), Passed::default());
        for _ in 0..50 {
            call(&turns, &passed, "loud");
        }
        yield_now().await;
        assert_eq!(passed.lock().unwrap().len(), 50, "all that were ready have passed in one look");
    }

    #[tokio::test]
    async fn a_turn_of_whoever_is_gone_is_the_next_ones() {
        let (turns, passed) = (Arc::new(Turns::default()), Passed::default());
        turns.wait(&agent("quiet")).await;
        turns.wait(&agent("loud")).await;
        let gone = tokio::spawn({
            let turns = turns.clone();
            async move { turns.wait(&agent("loud")).await }
        });
        call(&turns, &passed, "third");
        gone.abort();
        assert_eq!(all(&passed, 1).await, ["third"]);
    }

    #[test]
    fn an_agent_is_alone_again_when_the_others_were_away_for_a_while() {
        let (mut round, now) = (Round::default(), Instant::now());
        let mut at = |name: &str, seconds| round.is_alone(&agent(name), now + Duration::from_secs(seconds));
        assert!(at("loud", 0) && at("loud", 1));
        assert!(!at("quiet", 2) && !at("loud", 10) && !at("loud", 69));
        assert!(at("loud", 70));
        assert!(!at("quiet", 71));
    }
}
