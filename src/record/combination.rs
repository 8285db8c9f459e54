//! What a list of calls is filtered by, as a verdict says it.

use serde::Deserialize;

use super::Event;

/// The records that are verdicts, as SQL.
pub const IS_VERDICT: &str = "kind IN ('permitted', 'refused', 'asked', 'repeated')";

/// The same, by kind.
pub const VERDICTS: [&str; 4] = ["permitted", "refused", "asked", "repeated"];

/// Who asked, for what, and what came of it. Agents, actions and decisions come from the configuration and from us, never
/// from an agent, so a lineage knows few combinations of them.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd)]
pub struct Combination {
    /// Who asked, if that was proven.
    pub agent: Option<String>,
    /// The action's full name, if it was understood.
    pub action: Option<String>,
    /// `allow`, or what a refusal says.
    #[serde(default = "allow")]
    pub decision: String,
}

impl Combination {
    /// That of a verdict; `None` for what is none.
    pub fn of(event: &Event) -> Option<Self> {
        match event {
            Event::Permitted(permitted) => Some(Self {
                agent: Some(permitted.agent.clone()),
                action: Some(permitted.action.clone()),
                decision: allow(),
            }),
            Event::Refused(refused) => Some(Self {
                agent: refused.agent.clone(),
                action: refused.action.clone(),
                decision: refused.decision.clone(),
            }),
            Event::Asked(asked) => Some(Self {
                agent: Some(asked.agent.clone()),
                action: Some(asked.action.clone()),
                decision: asked.decision.clone(),
            }),
            Event::Repeated(repeated) => Some(Self {
                agent: repeated.agent.clone(),
                action: repeated.action.clone(),
                decision: repeated.decision.clone(),
            }),
            Event::Loaded(_)
            | Event::Minted(_)
            | Event::Ended(_)
            | Event::Settled(_)
            | Event::Opened(_)
            | Event::Closed(_)
            | Event::Erased(_)
            | Event::Resolved(_)
            | Event::Amended(_)
            | Event::Quarantined(_)
            | Event::Released(_)
            | Event::GlassBroken(_)
            | Event::Reviewed(_)
            | Event::NotLoaded(_)
            | Event::Learned(_)
            | Event::Ratified(_)
            | Event::Reset(_) => None,
        }
    }

    /// The same, from the entry of a stored verdict; `None` if that cannot be read.
    pub fn stored(entry: &[u8]) -> Option<Self> {
        serde_json::from_slice(entry).ok()
    }
}

fn allow() -> String {
    "allow".to_owned()
}
