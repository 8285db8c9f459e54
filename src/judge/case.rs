//! Cases: what a policy is to decide, written beside it, and whether it does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Deserialize;
use toml::Spanned;

use super::known::meant;
use super::vary::{fact, put};
use super::vocabulary::{FACTS, Value};
use super::{ActionShape, AgentShape, Held, Policies, Question, Source};
use crate::model::{AgentName, Decision, Effect, Facts, Mode};

/// The tool of the actions that stand in for every action of an effect.
const ANY_TOOL: &str = "any-tool";

/// The agent of a case that names none.
const ANY_AGENT: &str = "any-agent";

/// A file of cases, parsed and not yet understood.
pub struct Unread {
    name: String,
    text: String,
    otherwise: Option<Otherwise>,
    cases: Vec<Spanned<CaseFile>>,
}

/// The policies of one file by themselves, and what becomes of what they leave open.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Otherwise {
    /// It is permitted: the file says what is not.
    Permit,
    /// It is not.
    Deny,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    otherwise: Option<Otherwise>,
    #[serde(default)]
    case: Vec<Spanned<CaseFile>>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseFile {
    name: String,
    agent: Option<String>,
    action: String,
    resource: Option<String>,
    #[serde(default)]
    context: toml::Table,
    expect: Decision,
    rule: Option<String>,
    would: Option<Decision>,
}

/// One case, understood.
#[derive(Clone, Debug)]
pub struct Case {
    /// File and line.
    pub place: String,
    /// What it is called.
    pub name: String,
    agent: AgentName,
    action: Arc<str>,
    resource: String,
    facts: Facts,
    expect: Decision,
    rule: Option<String>,
    would: Option<Decision>,
}

/// What is wrong with a case, and where.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{place}: {why}")]
pub struct CaseError {
    place: String,
    why: String,
}

/// A case, tried.
#[derive(Clone, Debug)]
pub struct Tried {
    /// What came out instead, if it failed.
    pub wrong: Option<String>,
    /// The rules that held.
    pub held: BTreeSet<String>,
}

impl Unread {
    /// Reads a file's syntax.
    pub fn parse(source: &Source) -> Result<Self, CaseError> {
        let file: File = toml::from_str(&source.text)
            .map_err(|error| CaseError { place: source.name.clone(), why: error.to_string().trim_end().to_owned() })?;
        Ok(Self { name: source.name.clone(), text: source.text.clone(), otherwise: file.otherwise, cases: file.case })
    }

    /// The policies that its cases are tried with, of all that there are: `beside` is the file that it lies beside.
    pub fn among(&self, sources: &[Source], beside: &str) -> Vec<Source> {
        let alone = || sources.iter().filter(|source| source.name == beside).cloned();
        match self.otherwise {
            None => sources.to_vec(),
            Some(Otherwise::Deny) => alone().collect(),
            Some(Otherwise::Permit) => {
                let text = "@id(\"otherwise\") permit(principal, action, resource);".to_owned();
                alone().chain([Source { name: "otherwise".to_owned(), text }]).collect()
            }
        }
    }
}

/// Agents and actions for cases that name none of the configuration's: `group:support` is somebody in that group, no agent
/// at all is somebody in none, `effect:send` is an action of that effect and of nobody's tool.
#[derive(Clone, Debug, Default)]
pub struct StandIns {
    /// The configuration's agents, who may call the stand-in tool as well, and those that stand in.
    pub agents: Vec<AgentShape>,
    /// The configuration's actions, and one of each effect.
    pub actions: Vec<ActionShape>,
}

impl StandIns {
    /// Beside the configuration's, as this file needs them.
    pub fn new(file: &Unread, agents: &[AgentShape], actions: &[ActionShape]) -> Self {
        let mut all = Self { agents: agents.to_vec(), actions: actions.to_vec() };
        for effect in Effect::ALL {
            let name = format!("{ANY_TOOL}/{}", effect.name()).into();
            all.actions.push(ActionShape { name, tool: ANY_TOOL.into(), effect, args: BTreeMap::new() });
        }
        let named = file.cases.iter().filter_map(|case| case.get_ref().agent.as_deref());
        let groups: BTreeSet<&str> = named.filter_map(|agent| agent.strip_prefix("group:")).collect();
        let tools: BTreeSet<Arc<str>> = actions.iter().map(|action| action.tool.clone()).collect();
        let stand_in = |name: String, groups| AgentShape {
            name: AgentName(name.into()),
            groups,
            tools: tools.clone(),
            mode: Mode::Enforce,
        };
        all.agents.push(stand_in(ANY_AGENT.to_owned(), Vec::new()));
        all.agents.extend(groups.into_iter().map(|group| stand_in(format!("group:{group}"), vec![group.to_owned()])));
        for agent in &mut all.agents {
            agent.tools.insert(ANY_TOOL.into());
        }
        all
    }
}

/// Understands a file of cases, for policies that were loaded with its stand-ins. Every mistake is told.
pub fn read_cases(file: &Unread, policies: &Policies) -> Result<Vec<Case>, Vec<CaseError>> {
    let (mut cases, mut wrong) = (Vec::new(), Vec::new());
    let mut names = BTreeSet::new();
    for spanned in &file.cases {
        let before = file.text.get(..spanned.span().start).unwrap_or_default();
        let case = spanned.get_ref();
        let place = format!("{}:{}", file.name, before.matches('\n').count() + 1);
        let mut whys = Vec::new();
        if !names.insert(&case.name) {
            whys.push("another case has this name".to_owned());
        }
        let understood = understand(case, policies, &mut whys);
        let error = |why| CaseError { place: place.clone(), why: format!("case `{}`: {why}", case.name) };
        wrong.extend(whys.into_iter().map(error));
        cases.extend(understood.map(|case| Case { place, ..case }));
    }
    if wrong.is_empty() { Ok(cases) } else { Err(wrong) }
}

fn understand(case: &CaseFile, policies: &Policies, wrong: &mut Vec<String>) -> Option<Case> {
    let agent = AgentName(case.agent.as_deref().unwrap_or(ANY_AGENT).into());
    let agents = policies.agent_names();
    if !agents.contains(&agent) {
        let near = meant(agent.as_str(), agents.iter().map(|agent| agent.as_str()));
        wrong.push(format!("there is no agent `{agent}`{near}"));
    }
    let ids = || policies.rules().iter().map(|rule| rule.id.as_str()).chain(["default", "error"]);
    let rules: Vec<&str> = case.rule.as_deref().into_iter().chain(agreed(&case.context)).collect();
    for rule in rules.into_iter().filter(|rule| !ids().any(|id| id == *rule)) {
        wrong.push(format!("there is no rule `{rule}`{}", meant(rule, ids())));
    }
    let name = match case.action.strip_prefix("effect:") {
        Some(effect) => format!("{ANY_TOOL}/{effect}"),
        None => case.action.clone(),
    };
    let Some(action) = policies.action(&name) else {
        let effects = Effect::ALL.map(|effect| format!("effect:{}", effect.name()));
        let known = policies.action_names().filter(|name| !name.starts_with(ANY_TOOL));
        let near = meant(&case.action, known.chain(effects.iter().map(String::as_str)));
        wrong.push(format!("there is no action `{}`{near}", case.action));
        let without = CaseFile {
            context: case.context.clone().into_iter().filter(|(key, _)| key != "args").collect(),
            ..case.clone()
        };
        facts_of(&without, policies, "", &mut Facts::usual(), wrong);
        return None;
    };
    if agents.contains(&agent) && !policies.actions_of(&agent).contains(&*action.name) {
        wrong.push(format!("the agent `{agent}` may not call the tool `{}`", action.tool));
    }
    if case.expect == Decision::Unavailable {
        wrong.push("rules never decide `unavailable`; expect `allow`, `ask`, `throttle` or `deny`".to_owned());
    }
    let mut facts = Facts::usual();
    facts_of(case, policies, &action.name, &mut facts, wrong);
    Some(Case {
        place: String::new(),
        name: case.name.clone(),
        agent,
        resource: format!("{}/{}", action.tool, case.resource.as_deref().unwrap_or("anything")),
        action: action.name.clone(),
        facts,
        expect: case.expect,
        rule: case.rule.clone(),
        would: case.would,
    })
}

/// The rules that a case says were agreed to.
fn agreed(context: &toml::Table) -> impl Iterator<Item = &str> {
    let rules = context.get("approval").and_then(|approval| approval.get("rules")).and_then(toml::Value::as_array);
    rules.into_iter().flatten().filter_map(toml::Value::as_str)
}

/// The usual facts, and in their place what the case says.
fn facts_of(case: &CaseFile, policies: &Policies, action: &str, facts: &mut Facts, wrong: &mut Vec<String>) {
    for (key, value) in &case.context {
        let grouped = FACTS.iter().any(|fact| fact.group == key);
        match value {
            toml::Value::Table(args) if key == "args" => {
                let args: BTreeMap<String, serde_json::Value> = args
                    .iter()
                    .map(|(name, value)| (name.clone(), serde_json::to_value(value).unwrap_or_default()))
                    .collect();
                match policies.arguments(action, &args) {
                    Ok(args) => facts.args = args,
                    Err(why) => wrong.push(format!("`context.{}", why.trim_start_matches('`'))),
                }
            }
            toml::Value::Table(members) if grouped => {
                for (name, value) in members {
                    set(facts, &format!("{key}.{name}"), value, wrong);
                }
            }
            toml::Value::Table(_) => set(facts, key, &toml::Value::Boolean(true), wrong),
            value if grouped => {
                wrong.push(format!("`context.{key}` is a record of facts, and {} is none", shown(value)));
            }
            value => set(facts, key, value, wrong),
        }
    }
}

fn set(facts: &mut Facts, path: &str, value: &toml::Value, wrong: &mut Vec<String>) {
    let put = match (fact(path).map(|fact| fact.kind), written(value)) {
        (Some(kind), None) => Err(format!("is a `{}`, and {} is none", kind.name(), shown(value))),
        (None, None) => put(facts, path, Value::Bool(true)),
        (_, Some(value)) => put(facts, path, value),
    };
    if let Err(why) = put {
        wrong.push(format!("`context.{path}` {why}"));
    }
}

fn shown(value: &toml::Value) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn written(value: &toml::Value) -> Option<Value> {
    match value {
        toml::Value::Boolean(truth) => Some(Value::Bool(*truth)),
        toml::Value::Integer(number) => Some(Value::Long(*number)),
        toml::Value::String(text) => Some(Value::Text(text.clone())),
        toml::Value::Array(items) => {
            items.iter().map(|item| item.as_str().map(str::to_owned)).collect::<Option<_>>().map(Value::Set)
        }
        toml::Value::Float(_) | toml::Value::Datetime(_) | toml::Value::Table(_) => None,
    }
}

impl Case {
    /// Decides, whatever the agent's mode, and compares.
    pub fn try_out(&self, policies: &Policies) -> Tried {
        let question = Question { agent: &self.agent, action: &self.action, resource: &self.resource };
        let settled = policies.settle(&question, &self.facts, Mode::Enforce);
        let weighed = policies.weigh(&question, &self.facts).unwrap_or_default();
        let held = weighed.iter().filter(|it| it.held == Held::Yes).map(|it| it.rule.id.clone()).collect();
        let would = settled.would.as_ref();
        let decided = || {
            let by = if settled.rules.is_empty() { String::new() } else { format!(" by {}", settled.rules.join(", ")) };
            let would = would.map(|would| format!(", would {} by {}", would.decision.name(), would.rules.join(", ")));
            format!("{}{by}{}", settled.decision().name(), would.unwrap_or_default())
        };
        let shadowed = would.filter(|_| self.would.is_some()).map_or(&[][..], |would| &would.rules);
        let lacks = |rule: &&String| !settled.rules.iter().chain(shadowed).any(|it| it == *rule);
        let expected = if settled.decision() != self.expect {
            Some(self.expect.name().to_owned())
        } else if let Some(rule) = self.rule.as_ref().filter(lacks) {
            Some(format!("{} by {rule}", self.expect.name()))
        } else {
            let wanted = self.would.filter(|wanted| would.is_none_or(|it| it.decision != *wanted));
            wanted.map(|wanted| format!("that it would {}", wanted.name()))
        };
        let wrong = expected.map(|expected| format!("expected {expected}, got {}", decided()));
        Tried { wrong, held }
    }
}
