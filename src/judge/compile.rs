//! The configuration's limits and intent rules as visible policies, so that there is one place where facts decide.

use std::fmt::Write as _;

/// What the configuration says of one agent that becomes rules.
#[derive(Clone, Debug)]
pub struct AgentRules {
    /// The agent.
    pub agent: String,
    /// When it has to declare an intent.
    pub intent: IntentRule,
    /// Names of its limits, such as `triage.limits.0`.
    pub limits: Vec<String>,
    /// Names of its chain bounds, such as `triage.chain.max_calls`.
    pub chain: Vec<String>,
}

/// When a declared intent is required.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IntentRule {
    /// Never; what is declared all the same is not held against the call.
    Never,
    /// For everything but reading.
    #[default]
    Writes,
    /// For every call.
    Always,
}

/// The rule that holds whatever an agent's mode is: what a reviewer has stopped is stopped. And what it says.
pub(super) const QUARANTINE: &str = "config:quarantine";
pub(super) const STOPPED: &str = "a reviewer has stopped this agent";

/// The rules in Cedar's own syntax. Each has an `@id` that begins with `config:`.
pub fn compile(agents: &[AgentRules]) -> String {
    let mut text = format!(
        "@id(\"{QUARANTINE}\")\n@code(\"quarantined\")\n@reason(\"{STOPPED}\")\n\
         forbid(principal, action, resource)\nwhen {{ context.agent.quarantined }};\n\n"
    );
    for rules in agents {
        let agent = &rules.agent;
        let unless_read = match rules.intent {
            IntentRule::Never => None,
            IntentRule::Writes => Some("\nunless { action in Action::\"effect:read\" }"),
            IntentRule::Always => Some(""),
        };
        if let Some(unless_read) = unless_read {
            let _ = write!(
                text,
                "@id(\"config:{agent}.intent.missing\")\n@code(\"intent_missing\")\n@reason(\"declare what this call is for\")\n\
                 forbid(principal == Agent::\"{agent}\", action, resource)\nwhen {{ !context.intent.declared }}{unless_read};\n\n\
                 @id(\"config:{agent}.intent.mismatch\")\n@code(\"intent_mismatch\")\n@reason(\"the call does something else than was declared\")\n\
                 forbid(principal == Agent::\"{agent}\", action, resource)\nwhen {{ context.intent.declared && !context.intent.matches }};\n\n"
            );
        }
        let named = |code: &'static str| move |name: &String| (name.clone(), code);
        let limits =
            rules.limits.iter().map(named("limit_reached")).chain(rules.chain.iter().map(named("chain_limit_reached")));
        for (name, code) in limits {
            let _ = write!(
                text,
                "@id(\"config:{name}\")\n@code(\"{code}\")\nforbid(principal == Agent::\"{agent}\", action, resource)\n\
                 when {{ context.limits.contains(\"{name}\") }};\n\n"
            );
        }
    }
    text
}
