//! Step 1: who asks, and how it is proven.

pub mod jose;
mod observe;
mod peer;
mod process;
mod socket_owner;
mod token;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use self::observe::{Observer, observe_tcp};
pub use self::peer::PeerRule;
pub use self::token::{TokenRule, WeakToken};
use crate::model::{AgentName, Caller, Evidence, Peer, Proof, Timestamp, Workload};

/// The agents of a configuration, and what proves each of them.
pub struct Identify {
    agents: BTreeMap<AgentName, AgentProofs>,
}

impl Identify {
    /// Takes the proofs of each agent as configured.
    pub fn new(agents: BTreeMap<AgentName, AgentProofs>) -> Self {
        Self { agents }
    }

    /// The one agent whose `identify` proofs match.
    ///
    /// Every proof of every agent is tried, whatever matched before, so that the time this takes does not tell whose
    /// token it was. Where several proofs of one agent match, the strongest names the workload; of equals, the one
    /// listed first. Errors are for the log: the agent learns `caller_unproven` and no more.
    pub fn caller(&self, evidence: &Evidence, now: Timestamp) -> Result<Caller, Error> {
        let mut found: Vec<(&AgentName, Attested)> = Vec::new();
        for (name, proofs) in &self.agents {
            found.extend(strongest(&proofs.identify, evidence, now).map(|attested| (name, attested)));
        }
        if found.len() > 1 {
            return Err(Error::Several(found.into_iter().map(|(name, _)| name.clone()).collect()));
        }
        let (name, attested) = found.pop().ok_or_else(|| Error::Nobody(described(evidence)))?;
        Ok(Caller {
            agent: name.clone(),
            expires_at: attested.expires_at,
            workload: Arc::new(Workload { proofs: attested.proofs, id: attested.id, attributes: attested.attributes }),
        })
    }

    /// Every agent, in the order of their names.
    pub fn agents(&self) -> impl Iterator<Item = &AgentName> {
        self.agents.keys()
    }

    /// What proves that the one who asks may open tasks for `agent`; its `identify` proofs do not count here.
    pub fn opener(&self, agent: &AgentName, evidence: &Evidence, now: Timestamp) -> Option<Attested> {
        strongest(&self.agents.get(agent)?.open_tasks, evidence, now)
    }
}

/// What proves one agent. Within a list, any one proof suffices.
#[derive(Default)]
pub struct AgentProofs {
    /// The agent itself.
    pub identify: Vec<Box<dyn Attestor>>,
    /// Whoever may open tasks for it, such as the framework that runs it.
    pub open_tasks: Vec<Box<dyn Attestor>>,
}

/// One way of proving who asks.
pub trait Attestor: Send + Sync {
    /// What the evidence proves, if it proves anything. Asked for each call; `now` is the time of the call.
    fn attest(&self, evidence: &Evidence, now: Timestamp) -> Option<Attested>;
}

/// What was proven.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Attested {
    /// How, the strongest way first, each way once.
    pub proofs: Vec<Proof>,
    /// A name for what was proven: the same whenever the same is proven, also after a restart. Nothing that a caller
    /// can choose is in it.
    pub id: String,
    /// What else was seen, for reviewers.
    pub attributes: BTreeMap<&'static str, String>,
    /// Until when the proof holds; `None` while the peer lives.
    pub expires_at: Option<Timestamp>,
}

/// Proofs that must all match, and together prove more than each alone. An empty list proves nothing.
pub struct All(Vec<Box<dyn Attestor>>);

impl All {
    /// Asks for every one of `proofs`.
    pub fn new(proofs: Vec<Box<dyn Attestor>>) -> Self {
        Self(proofs)
    }
}

impl Attestor for All {
    fn attest(&self, evidence: &Evidence, now: Timestamp) -> Option<Attested> {
        // All are tried before any is looked at: how far a half-right caller came must not show in the time.
        let found: Vec<_> = self.0.iter().map(|proof| proof.attest(evidence, now)).collect();
        found.into_iter().collect::<Option<Vec<_>>>()?.into_iter().reduce(Attested::and)
    }
}

impl Attested {
    fn and(mut self, other: Self) -> Self {
        self.proofs.extend(other.proofs);
        self.proofs.sort_by(|a, b| b.cmp(a));
        self.proofs.dedup();
        self.id = format!("{} {}", self.id, other.id);
        for (name, value) in other.attributes {
            self.attributes.entry(name).or_insert(value);
        }
        self.expires_at = match (self.expires_at, other.expires_at) {
            (Some(one), Some(two)) => Some(one.min(two)),
            (one, two) => one.or(two),
        };
        self
    }

    fn holds_at(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }
}

/// Nobody in particular asks.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub enum Error {
    /// No agent's proofs match; what was seen of the one who asked.
    #[error("no agent's proofs match {0}")]
    Nobody(String),
    /// The proofs of these agents match; exactly one agent's may.
    #[error("the proofs of more than one agent match: {}", listed(.0))]
    Several(Vec<AgentName>),
}

fn strongest(proofs: &[Box<dyn Attestor>], evidence: &Evidence, now: Timestamp) -> Option<Attested> {
    let mut best: Option<Attested> = None;
    for proof in proofs {
        let Some(found) = proof.attest(evidence, now).filter(|found| found.holds_at(now)) else { continue };
        // Lists of proofs compare by their strongest member, then by how much stands behind it.
        if best.as_ref().is_none_or(|best| found.proofs > best.proofs) {
            best = Some(found);
        }
    }
    best
}

/// What was seen of a caller, for the log. Paths are the caller's to choose, hence escaped.
fn described(evidence: &Evidence) -> String {
    let peer = match evidence.peer.as_ref() {
        Peer::Process(process) => {
            let exe = process.exe.as_ref().map_or("an unreadable executable".to_owned(), |exe| {
                format!("`{}`", exe.path.to_string_lossy().escape_debug())
            });
            format!("process {} of uid {} running {exe}", process.pid, process.uid)
        }
        Peer::Loopback { address, uid: Some(uid) } => format!("a process of uid {uid} at `{address}`"),
        Peer::Loopback { address, uid: None } => format!("a local process of unknown uid at `{address}`"),
        Peer::Remote(address) => format!("the peer at `{address}`"),
    };
    format!("{peer}, {} a bearer token", if evidence.bearer.is_some() { "with" } else { "without" })
}

fn listed(names: &[AgentName]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::model::Secret;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    /// Proves what it was told to prove, and counts how often it was asked.
    struct Fixed(Option<Attested>, Arc<AtomicUsize>);

    impl Attestor for Fixed {
        fn attest(&self, _evidence: &Evidence, _now: Timestamp) -> Option<Attested> {
            self.1.fetch_add(1, Ordering::Relaxed);
            self.0.clone()
        }
    }

    fn attested(proof: Proof, id: &str, expires_at: Option<i64>) -> Attested {
        let attributes = BTreeMap::from([("seen", id.to_owned())]);
        let expires_at = expires_at.map(Timestamp::from_millis);
        Attested { proofs: vec![proof], id: id.to_owned(), attributes, expires_at }
    }

    fn fixed(found: Option<Attested>) -> Box<dyn Attestor> {
        Box::new(Fixed(found, Arc::default()))
    }

    fn name(name: &str) -> AgentName {
        AgentName(name.into())
    }

    fn evidence(bearer: Option<&str>) -> Evidence {
        let peer = Arc::new(Peer::Remote("192.0.2.7:9".parse().unwrap()));
        Evidence { peer, bearer: bearer.map(Secret::new) }
    }

    fn identify<const N: usize>(agents: [(&str, Vec<Box<dyn Attestor>>); N]) -> Identify {
        let agents =
            agents.into_iter().map(|(agent, identify)| (name(agent), AgentProofs { identify, open_tasks: Vec::new() }));
        Identify::new(agents.collect())
    }

    #[test]
    fn the_one_agent_that_matches_is_the_caller() {
        let identify = identify([
            ("ana", vec![fixed(None)]),
            ("ben", vec![fixed(None), fixed(Some(attested(Proof::Uid, "uid:7", Some(2_000_000))))]),
        ]);
        let caller = identify.caller(&evidence(None), NOW).unwrap();
        assert_eq!((caller.agent, caller.workload.id.as_str()), (name("ben"), "uid:7"));
        assert_eq!(caller.expires_at, Some(Timestamp::from_millis(2_000_000)));
    }

    #[test]
    fn two_agents_that_match_are_nobody() {
        let one = || vec![fixed(Some(attested(Proof::Uid, "uid:7", None)))];
        let found = identify([("ana", one()), ("ben", one()), ("eve", vec![fixed(None)])]).caller(&evidence(None), NOW);
        let error = found.unwrap_err();
        assert_eq!(error, Error::Several(vec![name("ana"), name("ben")]));
        assert_eq!(error.to_string(), "the proofs of more than one agent match: `ana`, `ben`");
    }

    #[test]
    fn nobody_is_told_apart_by_what_was_seen() {
        let error = identify([("ana", vec![])]).caller(&evidence(Some("hidden")), NOW).unwrap_err();
        assert_eq!(error.to_string(), "no agent's proofs match the peer at `192.0.2.7:9`, with a bearer token");
    }

    #[test]
    fn every_proof_is_tried_whatever_matched_before() {
        let asked = Arc::new(AtomicUsize::new(0));
        let yes = || Box::new(Fixed(Some(attested(Proof::Token, "t", None)), Arc::clone(&asked)));
        let no = || Box::new(Fixed(None, Arc::clone(&asked)));
        let all = All::new(vec![no(), yes()]);
        let identify =
            identify([("ana", vec![yes(), no(), Box::new(all)]), ("ben", vec![yes()]), ("eve", vec![yes()])]);
        identify.caller(&evidence(None), NOW).unwrap_err();
        assert_eq!(asked.load(Ordering::Relaxed), 6);
    }

    #[test]
    fn the_strongest_proof_names_the_workload_and_of_equals_the_first() {
        let identify = identify([(
            "ana",
            vec![
                fixed(Some(attested(Proof::Token, "token", None))),
                fixed(Some(attested(Proof::Process, "first", None))),
                fixed(Some(attested(Proof::Process, "second", None))),
            ],
        )]);
        assert_eq!(identify.caller(&evidence(None), NOW).unwrap().workload.id, "first");
    }

    #[test]
    fn an_expired_proof_proves_nothing() {
        let identify = |end| identify([("ana", vec![fixed(Some(attested(Proof::Token, "t", Some(end))))])]);
        assert!(identify(NOW.millis() + 1).caller(&evidence(None), NOW).is_ok());
        assert!(identify(NOW.millis()).caller(&evidence(None), NOW).is_err());
    }

    #[test]
    fn all_needs_every_one_and_none_of_none() {
        let yes = |proof, id, end| fixed(Some(attested(proof, id, end)));
        assert!(All::new(vec![]).attest(&evidence(None), NOW).is_none());
        let half = All::new(vec![yes(Proof::Token, "t", None), fixed(None)]);
        assert!(half.attest(&evidence(None), NOW).is_none());
        let whole = All::new(vec![
            yes(Proof::Token, "t", Some(5)),
            yes(Proof::Process, "p", Some(3)),
            yes(Proof::Token, "u", None),
        ]);
        let attested = whole.attest(&evidence(None), NOW).unwrap();
        assert_eq!(attested.proofs, [Proof::Process, Proof::Token]);
        assert_eq!((attested.id.as_str(), attested.expires_at), ("t p u", Some(Timestamp::from_millis(3))));
        assert_eq!(attested.attributes["seen"], "t");
    }

    #[test]
    fn an_agents_own_proof_opens_no_task() {
        let own = vec![fixed(Some(attested(Proof::Uid, "own", None)))];
        let framework = vec![fixed(Some(attested(Proof::Token, "framework", None)))];
        let identify = Identify::new(BTreeMap::from([
            (name("ana"), AgentProofs { identify: own, open_tasks: Vec::new() }),
            (name("ben"), AgentProofs { identify: Vec::new(), open_tasks: framework }),
        ]));
        assert!(identify.opener(&name("ana"), &evidence(None), NOW).is_none());
        assert_eq!(identify.opener(&name("ben"), &evidence(None), NOW).unwrap().id, "framework");
        assert!(identify.opener(&name("eve"), &evidence(None), NOW).is_none());
        assert_eq!(identify.caller(&evidence(None), NOW).unwrap().agent, name("ana"));
    }
}
