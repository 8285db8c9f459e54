//! Turns between agents on one thread that carries calls: whoever floods it gets a call or two on between two looks at
//! everything that is ready, and so does everybody else.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::yield_now;

use crate::model::AgentName;

/// How long turns are taken after calls of two agents have come behind each other. An agent that is alone on its thread waits
/// for nothing: each turn costs a look at everything that is ready.
const NEAR: Duration = Duration::from_secs(60);

/// Turns of one agent between two looks. With more of them looks cost less, and others wait for more of its calls.
const AT_ONCE: usize = 2;

/// Calls of one agent wait in it one behind the other; whoever has its turn holds a permit.
type Lane = Arc<Semaphore>;

/// Whose turn it is at one step of the walk.
#[derive(Debug, Default)]
pub struct Turns(Mutex<Lanes>);

#[derive(Debug, Default)]
struct Lanes {
    /// Who came last.
    last: Option<AgentName>,
    /// Until when turns are taken.
    shared_until: Option<Instant>,
    of: BTreeMap<AgentName, Lane>,
}

impl Turns {
    /// Waits for a turn of this agent.
    pub async fn wait(&self, agent: &AgentName) {
        let lane = self.0.lock().unwrap_or_else(PoisonError::into_inner).lane(agent, Instant::now());
        let Some(lane) = lane else { return };
        let turn = lane.acquire_owned().await;
        tokio::spawn(async move {
            yield_now().await;
            drop(turn);
        });
    }
}

impl Lanes {
    /// The lane of an agent; none, if no other agent was here for a while.
    fn lane(&mut self, agent: &AgentName, now: Instant) -> Option<Lane> {
        if self.last.as_ref() != Some(agent) && self.last.replace(agent.clone()).is_some() {
            self.shared_until = Some(now + NEAR);
        }
        let shared = self.shared_until.is_some_and(|until| now < until);
        shared.then(|| self.of.entry(agent.clone()).or_insert_with(|| Arc::new(Semaphore::new(AT_ONCE))).clone())
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
    async fn who_comes_behind_a_flood_waits_for_two_calls_of_it() {
        let (turns, passed) = (Arc::new(Turns::default()), Passed::default());
        turns.wait(&agent("quiet")).await;
        for _ in 0..50 {
            call(&turns, &passed, "loud");
        }
        yield_now().await;
        for name in ["quiet", "third", "quiet"] {
            call(&turns, &passed, name);
        }
        let order = all(&passed, 53).await;
        let place = |name| order.iter().rposition(|passed| *passed == name).unwrap();
        assert!(place("third") < 4 && place("quiet") < 7, "{order:?}");
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

    #[test]
    fn an_agent_is_alone_again_when_the_others_were_away_for_a_while() {
        let (mut lanes, now) = (Lanes::default(), Instant::now());
        let mut alone = |name: &str, seconds| lanes.lane(&agent(name), now + Duration::from_secs(seconds)).is_none();
        assert!(alone("loud", 0) && alone("loud", 1));
        assert!(!alone("quiet", 2) && !alone("loud", 10) && !alone("loud", 69));
        assert!(alone("loud", 70));
        assert!(!alone("quiet", 71));
    }
}
