//! Names in policies that nobody has: no mistake to Cedar, but such a rule never holds.

use std::collections::BTreeSet;

use super::Policies;
use super::known::meant;
use super::literals::{Literal, compared};
use super::policy::Rule;
use super::vary::words;

/// The names that a configuration gives.
struct Names {
    agents: BTreeSet<String>,
    groups: BTreeSet<String>,
    tools: BTreeSet<String>,
}

impl Policies {
    /// What no agent, group, tool or fact is called, with the rule that says it: notes, not errors, because a policy may
    /// be shared by configurations of which each has some of the names.
    pub fn strangers(&self) -> Vec<String> {
        let names = Names {
            agents: self.agent_names().iter().map(ToString::to_string).collect(),
            groups: self.group_names().map(str::to_owned).collect(),
            tools: self.action_names().filter_map(|name| Some(name.split_once('/')?.0.to_owned())).collect(),
        };
        let rules = self.rules().iter().filter(|rule| rule.file != "config");
        rules.flat_map(|rule| names.strange(rule)).collect()
    }
}

impl Names {
    fn strange(&self, rule: &Rule) -> BTreeSet<String> {
        let told = |what: &str, name: &str, known: &BTreeSet<String>| {
            let near = meant(name, known.iter().map(String::as_str));
            format!(
                "{}: the rule `{}` names {what} `{name}`, which the configuration does not{near}",
                rule.file, rule.id
            )
        };
        let mut strange = BTreeSet::new();
        for uid in rule.policy.entity_literals() {
            let id = uid.id().unescaped().to_owned();
            let tool = id.split('/').next().unwrap_or_default();
            let (what, name, known) = match uid.type_name().to_string().as_str() {
                "Agent" => ("the agent", id.as_str(), &self.agents),
                "Group" => ("the group", id.as_str(), &self.groups),
                "Tool" => ("the tool", id.as_str(), &self.tools),
                "Resource" => ("a resource of the tool", tool, &self.tools),
                _ => continue,
            };
            if !known.contains(name) {
                strange.insert(told(what, name, known));
            }
        }
        for (path, literal) in compared(&rule.policy) {
            let (Literal::Text(word), known) = (literal, words(&path)) else { continue };
            if !known.is_empty() && !known.contains(&word.as_str()) {
                let near = meant(&word, known.iter().copied());
                strange.insert(format!(
                    "{}: the rule `{}` asks whether `context.{path}` is `{word}`, which it never is{near}",
                    rule.file, rule.id
                ));
            }
        }
        strange
    }
}
