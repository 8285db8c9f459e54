//! The Cedar schema of a configuration: its agents' groups, its tools' actions, the facts of each.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use super::vocabulary;
pub use crate::model::AMEND;
use crate::model::Effect;

/// What is asked, as the `args` of [`AMEND`].
const AMEND_ARGS: &str = "\"action\": String, \"effect\": String, \"max\"?: Long";

/// An action as the schema and the index need it.
#[derive(Clone, Debug)]
pub struct ActionShape {
    /// Its full name: `github/issues.create`.
    pub name: Arc<str>,
    /// The tool it belongs to.
    pub tool: Arc<str>,
    /// What it does.
    pub effect: Effect,
    /// Its argument facts and their Cedar types.
    pub args: BTreeMap<Arc<str>, &'static str>,
}

/// The schema in Cedar's own syntax. The same actions give the same text.
pub fn schema(actions: &[ActionShape]) -> String {
    let mut text =
        String::from("entity Group;\nentity Agent in [Group];\nentity Tool;\nentity Resource in [Tool];\n\n");
    let mut tools: Vec<&str> = actions.iter().map(|action| &*action.tool).collect();
    tools.sort_unstable();
    tools.dedup();
    for effect in Effect::ALL {
        let _ = writeln!(text, "action \"effect:{}\";", effect.name());
    }
    for tool in tools {
        let _ = writeln!(text, "action \"tool:{tool}\";");
    }
    applies(&mut text, AMEND, "", AMEND_ARGS);
    for action in actions {
        let groups = format!(" in [Action::\"tool:{}\", Action::\"effect:{}\"]", action.tool, action.effect.name());
        let args: Vec<String> = action.args.iter().map(|(name, kind)| format!("\"{name}\"?: {kind}")).collect();
        applies(&mut text, &action.name, &groups, &args.join(", "));
    }
    text
}

fn applies(text: &mut String, name: &str, groups: &str, args: &str) {
    let _ = write!(
        text,
        "\naction \"{name}\"{groups} appliesTo {{\n  principal: [Agent],\n  resource: [Resource],\n  context: {{\n"
    );
    for (group, facts) in vocabulary::groups() {
        let members: Vec<String> = facts.iter().map(|fact| fact.kind.attribute(fact.name)).collect();
        let single = facts.iter().all(|fact| fact.group.is_empty());
        let _ = if single {
            writeln!(text, "    {},", members.join(", "))
        } else {
            writeln!(text, "    {group}: {{ {} }},", members.join(", "))
        };
    }
    let _ = write!(text, "    args: {{ {args} }},\n  }},\n}};\n");
}
