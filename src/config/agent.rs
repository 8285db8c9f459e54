//! An agent as configured: what proves it, what it may call, and how often.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::parsed::{ConfigError, SecretFrom, named, wrong};
use super::{AgentFile, LimitFile, PeerFile, PerFile, ProofFile};
use crate::identify::PeerRule;
use crate::judge::IntentRule;
use crate::memory::{ChainRule, LimitRule, Per};
use crate::model::{AgentName, BaselineRule, Mode};

/// An agent.
#[derive(Debug)]
pub struct Agent {
    /// Its name.
    pub name: AgentName,
    /// What proves it.
    pub identify: Vec<Rule>,
    /// What proves whoever may open its tasks.
    pub open_tasks: Vec<Rule>,
    /// What it may call.
    pub tools: BTreeSet<Arc<str>>,
    /// The groups policies know it by.
    pub groups: Vec<String>,
    /// Values it may use, whoever says so.
    pub directories: Vec<String>,
    /// How its verdicts are acted on.
    pub mode: Mode,
    /// When it has to declare an intent.
    pub intent: IntentRule,
    /// How often it may call.
    pub limits: Vec<LimitRule>,
    /// How long a chain of its calls may be.
    pub chain: ChainRule,
    /// What becomes a habit of it, and what is unusual.
    pub baseline: BaselineRule,
}

/// One way of proving who asks.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Rule {
    /// By what the kernel tells.
    Peer(PeerRule),
    /// By a string.
    Token(SecretFrom),
    /// By all of these together.
    All(Vec<Rule>),
}

impl AgentFile {
    pub(super) fn parse(self, name: &str, tools: &BTreeSet<Arc<str>>, base: &Path) -> Result<Agent, ConfigError> {
        let key = |rest: &str| format!("agents.{name}.{rest}");
        let agent = AgentName(named("agents", name)?);
        if self.identify.is_empty() {
            return Err(wrong(key("identify"), "nothing would ever prove this agent; list at least one proof"));
        }
        let proofs = |list: Vec<ProofFile>, rest: &str| -> Result<Vec<Rule>, ConfigError> {
            list.into_iter()
                .enumerate()
                .map(|(place, proof)| proof.parse(&key(&format!("{rest}.{place}")), base))
                .collect()
        };
        let identify = proofs(self.identify, "identify")?;
        let open_tasks = proofs(self.open_tasks, "open_tasks")?;
        if open_tasks.iter().any(|opener| identify.iter().any(|rule| rule.implies(opener))) {
            return Err(wrong(
                key("open_tasks"),
                "whoever fits `identify` fits this too, and an agent that can open its own tasks could declare anything",
            ));
        }
        let unknown = self.tools.iter().find(|tool| !tools.contains(tool.as_str()));
        if let Some(tool) = unknown {
            return Err(wrong(key("tools"), format!("there is no `[tools.{tool}]`")));
        }
        let chain = ChainRule {
            max_calls: self.chain.max_calls,
            max_depth: self.chain.max_depth,
            max_repeats: self.chain.max_repeats,
            max_concurrent: self.chain.max_concurrent,
            max_privilege_seconds: self.chain.max_privilege_seconds,
        };
        Ok(Agent {
            limits: limits(self.limits, &agent)?,
            name: agent,
            identify,
            open_tasks,
            tools: self.tools.iter().map(|tool| tool.as_str().into()).collect(),
            groups: self
                .groups
                .iter()
                .map(|group| named("groups", group).map(|group| group.to_string()))
                .collect::<Result<_, _>>()?,
            directories: self.directories,
            mode: self.mode,
            intent: self.intent,
            chain,
            baseline: self.baseline.parse(&key("baseline"))?,
        })
    }
}

fn limits(files: Vec<LimitFile>, agent: &AgentName) -> Result<Vec<LimitRule>, ConfigError> {
    let mut kinds = BTreeSet::new();
    let rule = |(place, limit): (usize, LimitFile)| {
        let name = format!("{agent}.limits.{place}");
        if limit.requests == 0 {
            return Err(wrong(format!("agents.{name}"), "a limit of nothing is better said by leaving the tool out"));
        }
        // Two of them would count in the same window.
        if !kinds.insert((limit.per, limit.window.0)) {
            let why = "there is a limit with this `per` and `window` already; keep the smaller of the two";
            return Err(wrong(format!("agents.{name}"), why));
        }
        let LimitFile { per, requests, window } = limit;
        Ok(LimitRule { name, agent: agent.clone(), per: per.into(), requests, window: window.0 })
    };
    files.into_iter().enumerate().map(rule).collect()
}

impl Rule {
    /// Whether everybody who fits this rule fits the other.
    fn implies(&self, other: &Self) -> bool {
        match (self, other) {
            (_, Self::All(others)) => others.iter().all(|other| self.implies(other)),
            (Self::All(rules), Self::Peer(_) | Self::Token(_)) => rules.iter().any(|rule| rule.implies(other)),
            (Self::Peer(this), Self::Peer(that)) => {
                let within = |this: &Option<_>, that: &Option<_>| that.is_none() || this == that;
                within(&this.uid, &that.uid)
                    && within(&this.gid, &that.gid)
                    && (that.exe.is_none() || this.exe == that.exe)
                    && (that.sha256.is_none() || this.sha256 == that.sha256)
                    && (that.cgroup.is_none() || this.cgroup == that.cgroup)
                    && (that.unit.is_none() || this.unit == that.unit)
                    && (that.script.is_none() || this.script == that.script)
            }
            (Self::Token(this), Self::Token(that)) => this == that,
            (Self::Peer(_), Self::Token(_)) | (Self::Token(_), Self::Peer(_)) => false,
        }
    }
}

impl From<PerFile> for Per {
    fn from(per: PerFile) -> Self {
        match per {
            PerFile::Agent => Self::Agent,
            PerFile::Task => Self::Task,
            PerFile::Tool => Self::Tool,
            PerFile::Action => Self::Action,
            PerFile::Workload => Self::Workload,
        }
    }
}

impl ProofFile {
    fn parse(self, key: &str, base: &Path) -> Result<Rule, ConfigError> {
        match self {
            Self::Peer(peer) => peer.parse(key, base).map(Rule::Peer),
            Self::Token(secret) => Ok(Rule::Token(secret.parse(base))),
            Self::All(proofs) if proofs.len() < 2 => Err(wrong(key, "`all` is for two proofs or more")),
            Self::All(proofs) => {
                proofs.into_iter().map(|proof| proof.parse(key, base)).collect::<Result<_, _>>().map(Rule::All)
            }
        }
    }
}

/// Programs that run other people's scripts: as proofs, they prove nothing but themselves.
const INTERPRETERS: [&str; 22] = [
    "python",
    "node",
    "nodejs",
    "deno",
    "bun",
    "ruby",
    "perl",
    "php",
    "java",
    "bash",
    "sh",
    "dash",
    "zsh",
    "lua",
    "busybox",
    "pypy",
    "tclsh",
    "pwsh",
    "awk",
    "gawk",
    "ld-linux-x86-64.so",
    "ld-musl-x86_64.so",
];

impl PeerFile {
    fn parse(self, key: &str, base: &Path) -> Result<PeerRule, ConfigError> {
        let rule = PeerRule {
            uid: self.uid,
            gid: self.gid,
            exe: self.exe.map(|exe| base.join(exe)),
            sha256: self.sha256,
            cgroup: self.cgroup,
            unit: self.unit,
            script: self.script.map(|script| base.join(script)),
        };
        if rule == PeerRule::default() {
            return Err(wrong(key, "an empty `peer` would prove anybody; name a `uid`, `unit`, `exe` …"));
        }
        let program = rule.exe.as_deref().and_then(Path::file_name).and_then(|name| name.to_str()).unwrap_or_default();
        let program = program.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
        if INTERPRETERS.contains(&program) && rule.unit.is_none() && rule.cgroup.is_none() && rule.script.is_none() {
            return Err(wrong(
                key,
                format!("`{program}` runs anybody's script; add `unit`, `cgroup` or `script` to tell which"),
            ));
        }
        Ok(rule)
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, ConfigError};

    fn parse(identify: &str, open_tasks: &str) -> Result<Config, ConfigError> {
        let text = format!("[agents.a]\nidentify = [{identify}]\nopen_tasks = [{open_tasks}]\ntools = []\n");
        Config::parse(&text, std::path::Path::new("/etc"))
    }

    #[test]
    fn an_agent_cannot_prove_itself_to_be_its_own_opener() {
        let token = r#"{ token = { file = "t" } }"#;
        let both = format!("{{ all = [{{ peer = {{ uid = 5 }} }}, {token}] }}");
        for (identify, opener) in [
            (token, token),
            (both.as_str(), token),
            (both.as_str(), "{ peer = { uid = 5 } }"),
            (r#"{ peer = { uid = 5, unit = "a.service" } }"#, "{ peer = { uid = 5 } }"),
        ] {
            assert!(parse(identify, opener).is_err(), "{identify} {opener}");
        }
        for (identify, opener) in [
            (token, both.as_str()),
            ("{ peer = { uid = 5 } }", "{ peer = { uid = 6 } }"),
            ("{ peer = { uid = 5 } }", r#"{ peer = { uid = 5, unit = "a.service" } }"#),
        ] {
            assert!(parse(identify, opener).is_ok(), "{identify} {opener}");
        }
    }
}
