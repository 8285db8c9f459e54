//! A draft as a catalog's file.

use std::fmt::{self, Display};

use super::{Calls, Draft, Drafted, Fact};
use crate::understand::FactType;

/// Letters of a comment that are kept: it stands for orientation.
const ABOUT: usize = 100;

impl Display for Draft {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "# A draft. Everything behind `# review` was guessed; look at it, and take the mark away.")?;
        writeln!(out, "# Keys: docs/configuration.md, \"Catalogs\". What is not here is refused.")?;
        for left_out in &self.left_out {
            writeln!(out, "# left out: {}", line(left_out))?;
        }
        if self.actions.is_empty() {
            // A catalog all the same.
            writeln!(out, "\n[actions]")?;
        }
        self.actions.iter().try_for_each(|(name, action)| write_action(out, name, action))
    }
}

fn write_action(out: &mut fmt::Formatter<'_>, name: &str, action: &Drafted) -> fmt::Result {
    writeln!(out)?;
    let about = line(&action.about);
    if !about.is_empty() {
        writeln!(out, "# {about}")?;
    }
    writeln!(out, "[actions.{}]", quoted(name))?;
    match &action.calls {
        Calls::Http { method, path } => writeln!(out, "match = {}", quoted(&format!("{method} {path}")))?,
        Calls::Mcp(tool) => writeln!(out, "mcp = {}", quoted(tool))?,
    }
    writeln!(out, "effect = {}   # review: {}", quoted(action.effect.name()), line(&action.because))?;
    writeln!(out, "resource = {}   # review", quoted(&action.resource))?;
    if !action.facts.is_empty() {
        let facts: Vec<String> =
            action.facts.iter().map(|(name, fact)| format!("{} = {}", key(name), written(fact))).collect();
        writeln!(out, "facts = {{ {} }}   # review", facts.join(", "))?;
    }
    let sinks = action
        .sinks
        .iter()
        .map(|sink| format!("    {{ at = {}, kind = {} }},   # review", quoted(&sink.at), quoted(sink.kind.name())));
    list(out, "sinks", sinks)?;
    let yields = action.yields.iter().map(|brought| {
        let label = quoted(brought.label.name());
        format!("    {{ at = {}, label = {label} }},   # review: {}", quoted(&brought.at), line(&brought.because))
    });
    list(out, "yields", yields)
}

fn list(out: &mut fmt::Formatter<'_>, key: &str, lines: impl Iterator<Item = String>) -> fmt::Result {
    let lines: Vec<String> = lines.collect();
    if lines.is_empty() { Ok(()) } else { writeln!(out, "{key} = [\n{}\n]", lines.join("\n")) }
}

fn written(fact: &Fact) -> String {
    let kind = match fact.kind {
        FactType::String => return quoted(&fact.at),
        FactType::Long => "long",
        FactType::Decimal => "decimal",
        FactType::Bool => "bool",
    };
    format!("{{ at = {}, type = {} }}", quoted(&fact.at), quoted(kind))
}

/// A key, bare where it may be.
fn key(name: &str) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if !name.is_empty() && name.bytes().all(bare) { name.to_owned() } else { quoted(name) }
}

/// A basic string: TOML escapes it as JSON does, and DEL as well.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

/// What fits into a comment.
fn line(text: &str) -> String {
    let first = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    first.chars().filter(|letter| !letter.is_control()).take(ABOUT).collect()
}
