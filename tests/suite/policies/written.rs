//! Generated policies and questions: every kind of scope, conditions over every fact, some of which err.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use cedar_policy::Policy;
use countersign::judge::vocabulary::{FACTS, Kind};
use countersign::judge::{ActionShape, AgentShape};
use countersign::model::{Call, Digest, Effect, Facts, Mode};
use proptest::prelude::*;
use proptest::sample::select;

use super::known::facts;
use crate::suite::common::nouns;

/// Agents, their groups and tools. `git` and `github` begin alike; `lone` is in no group.
pub const AGENTS: [(&str, &[&str], &[&str]); 3] = [
    ("triage", &["support", "staff"], &["github", "chat", "git"]),
    ("billing", &["staff"], &["chat", "ledger"]),
    ("lone", &[], &["github"]),
];

type ActionRow = (&'static str, Effect, &'static [(&'static str, &'static str)]);

const ACTIONS: [ActionRow; 6] = [
    ("github/issues.get", Effect::Read, &[("number", "Long")]),
    ("github/issues.create", Effect::Write, &[("number", "Long"), ("title", "String")]),
    ("git/log", Effect::Read, &[]),
    ("chat/post", Effect::Send, &[("to", "String"), ("amount", "decimal")]),
    ("ledger/pay", Effect::Spend, &[("amount", "decimal"), ("urgent", "Bool"), ("to", "String")]),
    ("ledger/void", Effect::Delete, &[]),
];

pub const RESOURCES: [&str; 3] = ["octo/hello", "octo/private", "x"];

const PRINCIPALS: [&str; 10] = [
    "principal",
    "principal",
    "principal == Agent::\"triage\"",
    "principal == Agent::\"billing\"",
    "principal in Group::\"staff\"",
    "principal in Group::\"support\"",
    "principal in Agent::\"lone\"",
    "principal is Agent",
    "principal is Agent in Group::\"staff\"",
    "principal in Group::\"nobody\"",
];

const ACTION_SCOPES: [&str; 11] = [
    "action",
    "action",
    "action == Action::\"github/issues.get\"",
    "action == Action::\"chat/post\"",
    "action in Action::\"effect:read\"",
    "action in Action::\"tool:github\"",
    "action in Action::\"tool:git\"",
    "action in Action::\"ledger/pay\"",
    "action in [Action::\"effect:send\", Action::\"effect:spend\"]",
    "action in [Action::\"tool:chat\", Action::\"github/issues.create\"]",
    "action in Action::\"effect:delete\"",
];

const RESOURCE_SCOPES: [&str; 10] = [
    "resource",
    "resource",
    "resource == Resource::\"github/octo/hello\"",
    "resource == Resource::\"chat/x\"",
    "resource in Tool::\"github\"",
    "resource in Tool::\"git\"",
    "resource in Resource::\"ledger/x\"",
    "resource is Resource",
    "resource is Resource in Tool::\"chat\"",
    "resource is Resource in Resource::\"github/octo/private\"",
];

/// Conditions that are not about one fact alone.
const OTHERS: [&str; 34] = [
    "true",
    "false",
    "context == context",
    "context has intent",
    "context has args",
    "context.task == context.task",
    "context.time == {hour: 1, weekday: 2}",
    "{x: context.time}.x == context.time",
    "{x: context.body}[\"x\"] == \"whole\"",
    "(if context.intent.declared then context.task else context.task).depth > 1",
    "context.task has on_behalf_of",
    "context has task.on_behalf_of",
    "context has \"labels\"",
    "[context.chain.calls, 2].contains(context.chain.repeats)",
    "context.args has number && context.args.number > 2",
    "context.args has number && context.args.number * 9223372036854775807 > 0",
    "context.args has title && context.args.title like \"*a*\"",
    "context.args has \"amount\" && context.args[\"amount\"].lessThan(decimal(\"3.5\"))",
    "context.args has amount && context.args.amount.greaterThanOrEqual(decimal(\"1.0\"))",
    "context.args has urgent && context.args.urgent",
    "context.args has to && context.args.to == context.body",
    "context.args == context.args",
    "context.args has to",
    "principal in Group::\"staff\"",
    "principal == Agent::\"triage\"",
    "[principal].contains(Agent::\"lone\")",
    "action in Action::\"effect:read\"",
    "action in [Action::\"tool:git\", Action::\"effect:send\"]",
    "action == Action::\"chat/post\"",
    "resource == Resource::\"github/octo/hello\"",
    "resource in Tool::\"git\"",
    "resource is Resource in Tool::\"chat\"",
    "resource in [Tool::\"chat\", Tool::\"git\"]",
    "principal is Agent in Group::\"support\"",
];

pub const WORDS: [&str; 4] = ["header", "nobody", "whole", "ana"];
pub const SETS: [&str; 4] = ["untrusted", "private", "triage.limits.0", "chat/post"];

/// One policy.
#[derive(Clone, Debug)]
pub struct Rule {
    pub id: String,
    pub permits: bool,
    pub code: Option<&'static str>,
    pub reason: Option<&'static str>,
    pub ttl: Option<u64>,
    pub ask: bool,
    pub shadow: bool,
    pub scope: String,
    pub conditions: Vec<(bool, String)>,
}

impl Rule {
    /// In Cedar's own syntax.
    pub fn text(&self) -> String {
        let mut text = format!("@id(\"{}\")\n", self.id);
        if let Some(reason) = self.reason {
            let _ = writeln!(text, "@reason(\"{reason}\")");
        }
        if self.shadow {
            text.push_str("@shadow\n");
        }
        if self.asks() {
            text.push_str("@ask(\"ana\")\n");
        }
        if let Some(code) = self.code.filter(|_| !self.permits && !self.asks()) {
            let _ = writeln!(text, "@code(\"{code}\")");
        }
        if let Some(ttl) = self.ttl.filter(|_| self.permits) {
            let _ = writeln!(text, "@ttl(\"{ttl}s\")");
        }
        let _ = write!(text, "{}({})", if self.permits { "permit" } else { "forbid" }, self.scope);
        for (when, condition) in &self.conditions {
            let _ = write!(text, "\n{} {{ {condition} }}", if *when { "when" } else { "unless" });
        }
        text + ";\n"
    }
}

impl Rule {
    /// Whether it asks rather than forbids.
    pub fn asks(&self) -> bool {
        self.ask && !self.permits
    }

    /// What a yes is bound to.
    pub fn digest(&self) -> Digest {
        Digest::of(self.text().parse::<Policy>().unwrap().to_json().unwrap().to_string().as_bytes())
    }
}

fn about(kind: Kind, group: &str, name: &str) -> Vec<String> {
    let (owner, fact) = if group.is_empty() {
        ("context".to_owned(), format!("context.{name}"))
    } else {
        (format!("context.{group}"), format!("context.{group}.{name}"))
    };
    match kind {
        Kind::Bool => vec![fact.clone(), format!("{fact} == false"), format!("{owner} has {name}")],
        Kind::Long => vec![
            format!("{fact} > 0"),
            format!("{fact} <= 2"),
            format!("{fact} == 1"),
            format!("{fact} + 9223372036854775807 > 0"),
            format!("-9223372036854775807 - {fact} < 0"),
        ],
        Kind::Text => vec![
            format!("{fact} == \"whole\""),
            format!("{fact} like \"*o*\""),
            format!("[\"header\", \"ana\"].contains({fact})"),
        ],
        Kind::MaybeText => vec![format!("{owner} has {name}"), format!("{owner} has {name} && {fact} == \"ana\"")],
        Kind::MaybeLong => vec![format!("{owner} has {name}"), format!("{owner} has {name} && {fact} <= 2")],
        Kind::Set => vec![
            format!("{fact}.contains(\"private\")"),
            format!("{fact}.containsAny([\"chat/post\", \"untrusted\"])"),
            format!("{fact}.containsAll([\"triage.limits.0\"])"),
            format!("{fact}.isEmpty()"),
        ],
    }
}

fn condition() -> impl Strategy<Value = String> {
    let facts: Vec<String> = FACTS.iter().flat_map(|fact| about(fact.kind, fact.group, fact.name)).collect();
    let single = prop_oneof![2 => select(facts), 1 => select(OTHERS.to_vec()).prop_map(str::to_owned)];
    single.prop_map(|text| format!("({text})")).prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} && {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} || {b})")),
            inner.clone().prop_map(|a| format!("!{a}")),
            (inner.clone(), inner.clone(), inner).prop_map(|(a, b, c)| format!("(if {a} then {b} else {c})")),
        ]
    })
}

/// A policy with the id `r` and a number.
pub fn rule(number: usize) -> impl Strategy<Value = Rule> {
    let scope = (select(PRINCIPALS.to_vec()), select(ACTION_SCOPES.to_vec()), select(RESOURCE_SCOPES.to_vec()));
    let codes = prop::option::of(select(vec!["denied", "limit_reached", "chain_limit_reached", "intent_missing"]));
    let weighted = prop::bool::weighted;
    let marks = (codes, prop::option::of(Just("because")), prop::option::of(1_u64..60), weighted(0.3), weighted(0.2));
    let conditions = prop::collection::vec((prop::bool::weighted(0.8), condition()), 0..3);
    (prop::bool::weighted(0.6), marks, scope, conditions).prop_map(
        move |(permits, (code, reason, ttl, ask, shadow), (principal, action, resource), conditions)| Rule {
            id: format!("r{number:02}"),
            permits,
            code,
            reason,
            ttl,
            ask,
            shadow,
            scope: format!("{principal}, {action}, {resource}"),
            conditions,
        },
    )
}

/// Up to ten policies.
pub fn rules() -> impl Strategy<Value = Vec<Rule>> {
    (0_usize..10).prop_flat_map(|count| (0..count).map(rule).collect::<Vec<_>>())
}

/// A call and its facts.
#[derive(Clone, Debug)]
pub struct Asked {
    pub agent: &'static str,
    pub action: &'static str,
    pub resource: &'static str,
    pub facts: Facts,
}

impl Asked {
    /// The call that asks.
    pub fn call(&self) -> Call {
        let caller = nouns::caller(self.agent, "token:x");
        let task = Arc::new(nouns::task(self.agent, 1));
        let mut call = nouns::call(&caller, &task, self.action, self.resource);
        Arc::make_mut(&mut call.action).arguments = self.facts.args.clone();
        call
    }

    /// Takes a group of facts, or a single one, over from another.
    pub fn take(&mut self, whole: &str, other: &Self) {
        let (mine, theirs) = (&mut self.facts, other.facts.clone());
        match whole {
            "intent" => mine.intent = theirs.intent,
            "task" => mine.task = theirs.task,
            "workload" => mine.workload = theirs.workload,
            "labels" => mine.labels = theirs.labels,
            "values" => mine.values = theirs.values,
            "chain" => mine.chain = theirs.chain,
            "baseline" => mine.baseline = theirs.baseline,
            "limits" => mine.limits = theirs.limits,
            "agent" => mine.agent = theirs.agent,
            "approval" => mine.approval = theirs.approval,
            "time" => mine.time = theirs.time,
            "body" => mine.body = theirs.body,
            "args" => mine.args = theirs.args,
            other => panic!("a new fact, `{other}`, is to be told here"),
        }
    }
}

/// An agent asks for one of its actions.
pub fn asked() -> impl Strategy<Value = Asked> {
    let pairs: Vec<(&str, &str)> = AGENTS
        .iter()
        .flat_map(|(agent, _, tools)| {
            let may = |name: &str| tools.iter().any(|tool| name.starts_with(&format!("{tool}/")));
            ACTIONS.iter().filter(move |(name, ..)| may(name)).map(|(name, ..)| (*agent, *name))
        })
        .collect();
    (select(pairs), select(RESOURCES.to_vec()), facts()).prop_map(|((agent, action), resource, mut facts)| {
        let row = ACTIONS.iter().find(|(name, ..)| *name == action).unwrap();
        facts.args.retain(|name, _| row.2.iter().any(|(known, _)| **known == **name));
        Asked { agent, action, resource, facts }
    })
}

/// The agents as the index needs them.
pub fn agents() -> Vec<AgentShape> {
    let shape = |(name, groups, tools): &(&str, &[&str], &[&str])| AgentShape {
        name: nouns::agent(name),
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        tools: tools.iter().map(|tool| Arc::from(*tool)).collect::<BTreeSet<_>>(),
        mode: Mode::Enforce,
    };
    AGENTS.iter().map(shape).collect()
}

/// The actions as schema and index need them.
pub fn actions() -> Vec<ActionShape> {
    let shape = |(name, effect, args): &ActionRow| ActionShape {
        name: Arc::from(*name),
        tool: name.split('/').next().unwrap().into(),
        effect: *effect,
        args: args.iter().map(|(arg, kind)| (Arc::from(*arg), *kind)).collect(),
    };
    ACTIONS.iter().map(shape).collect()
}
