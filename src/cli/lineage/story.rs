//! The story of a call, in lines a reviewer reads.

use std::fmt::Write as _;
use std::io::{self, Write};

use serde_json::{Map, Value};

pub use crate::model::plain;
use crate::model::{Revocation, Timestamp};
use crate::record::{
    Asked, Checkpoint, Ended, HandleNote, Minted, Permitted, Refused, Resolved, Settled, Stored, Story,
};

/// Where in the tree the story stands.
pub struct Place {
    /// Records in the lineage.
    pub size: u64,
    /// The latest checkpoint.
    pub checkpoint: Option<String>,
}

/// Stories, one line each.
pub fn table(stories: &[Story], out: &mut dyn Write) -> io::Result<()> {
    let head =
        ["TIME", "AGENT", "ACTION", "RESOURCE", "VERDICT", "RULE", "PRIVILEGE", "ENDING", "CALL"].map(str::to_owned);
    let rows: Vec<[String; 9]> = std::iter::once(head).chain(stories.iter().map(line)).collect();
    let mut widths = [0; 9];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    for row in &rows {
        let mut text = String::new();
        for (cell, width) in row.iter().zip(widths) {
            let _ = write!(text, "{cell:width$}  ");
        }
        writeln!(out, "{}", text.trim_end())?;
    }
    Ok(())
}

fn line(story: &Story) -> [String; 9] {
    let verdict = story.verdict();
    let entry = verdict.map(|verdict| &verdict.entry);
    let text = |name: &str| entry.and_then(|entry| entry.get(name)).map_or_else(|| "-".to_owned(), words);
    let resource = verdict.map_or_else(|| "-".to_owned(), |verdict| private(verdict, "resource"));
    let rule = entry.and_then(|entry| first(entry.get("rules")?)).map_or_else(|| "-".to_owned(), |rule| plain(&rule));
    let decision = match verdict.map_or("", Stored::kind) {
        "permitted" => allowed(entry),
        "asked" => "ask".to_owned(),
        _ => text("decision"),
    };
    let ended = ended(story);
    let privilege = ended.as_ref().and_then(|ended| ended.credential.privilege());
    let privilege = privilege.map_or_else(|| "-".to_owned(), |held| format!("{} ms", held.as_millis()));
    let ending = match (&ended, story.first("permitted")) {
        (Some(ended), _) => ended.ending.name().to_owned(),
        (None, Some(_)) => "open".to_owned(),
        (None, None) if verdict.is_some_and(|verdict| verdict.kind() == "asked") => answered(story),
        (None, None) => match entry.and_then(|entry| entry.get("count")) {
            Some(count) => format!("{} ×{}", text("code"), words(count)),
            None => text("code"),
        },
    };
    let call = story.call.map_or_else(|| "-".to_owned(), |call| call.to_string());
    [text("at"), text("agent"), text("action"), resource, decision, rule, privilege, ending, call]
}

/// What was let, in a mode in which no rule refuses as well: there, what it would have come to.
fn allowed(entry: Option<&Value>) -> String {
    let would = entry.and_then(|entry| entry.pointer("/would/decision"));
    would.map_or_else(|| "allow".to_owned(), |would| format!("allow (would {})", words(would)))
}

/// One story: who, in which task, what was said and done, why it was let, the credential, the answer, the place in the tree.
pub fn tell(story: &Story, place: &Place, out: &mut dyn Write) -> io::Result<()> {
    let name = story.call.map_or_else(|| "(unnamed)".to_owned(), |call| call.to_string());
    writeln!(out, "call {name}")?;
    let Some(verdict) = story.verdict() else {
        writeln!(out, "  no verdict is recorded")?;
        return place_lines(story, place, out);
    };
    writeln!(out, "  when        {}", field(&verdict.entry, "at"))?;
    who(verdict, out)?;
    said_and_done(verdict, out)?;
    asked(story, out)?;
    if let Ok(permitted) = serde_json::from_value::<Permitted>(verdict.entry.clone())
        && verdict.kind() == "permitted"
    {
        writeln!(out, "  verdict     allow, by {}", plain(&permitted.rules.join(", ")))?;
        if let Some(would) = &permitted.would {
            let rules = plain(&would.rules.join(", "));
            writeln!(out, "                enforced, it would be {}, by {rules}", would.decision.name())?;
        }
        credential(story, &permitted, out)?;
        ending(story, out)?;
    } else if let Ok(refused) = serde_json::from_value::<Refused>(verdict.entry.clone()) {
        let rules = if refused.rules.is_empty() { "no rule".to_owned() } else { refused.rules.join(", ") };
        writeln!(out, "  verdict     {} ({}), by {}", plain(&refused.decision), plain(&refused.code), plain(&rules))?;
        writeln!(out, "  because     {}", private(verdict, "why"))?;
    }
    facts(verdict, out)?;
    place_lines(story, place, out)
}

fn who(verdict: &Stored, out: &mut dyn Write) -> io::Result<()> {
    let agent = field(&verdict.entry, "agent");
    match &verdict.private {
        None => writeln!(out, "  who         {agent}; the workload was erased")?,
        Some(private) => {
            let workload = private.get("workload");
            let at =
                |name: &str| workload.and_then(|workload| workload.get(name)).map_or_else(|| "-".to_owned(), words);
            writeln!(out, "  who         {agent}, as workload {}, proven by {}", at("id"), at("kind"))?;
            if let Some(attributes) = workload.and_then(|workload| workload.get("attributes")?.as_object()) {
                for (name, value) in attributes {
                    writeln!(out, "                {}: {}", plain(name), words(value))?;
                }
            }
            for (name, shown) in [("on_behalf_of", "on behalf of"), ("peer", "from")] {
                if let Some(value) = private.get(name) {
                    writeln!(out, "                {shown}: {}", words(value))?;
                }
            }
        }
    }
    writeln!(out, "  task        {}", field(&verdict.entry, "task"))?;
    if let Some(parent) = verdict.entry.get("parent") {
        writeln!(out, "                after call {}", words(parent))?;
    }
    Ok(())
}

fn said_and_done(verdict: &Stored, out: &mut dyn Write) -> io::Result<()> {
    let entry = &verdict.entry;
    let none = Map::new();
    let known = verdict.private.as_ref().unwrap_or(&none);
    match (known.get("declared"), known.get("purpose")) {
        (None, None) if verdict.private.is_none() => writeln!(out, "  said        (erased)")?,
        (None, None) => writeln!(out, "  said        nothing")?,
        (declared, purpose) => {
            let at = |name: &str| declared.and_then(|said| said.get(name)).filter(|said| !said.is_null());
            let action = at("action").map_or_else(|| "no action".to_owned(), words);
            let resource = at("resource").map_or_else(String::new, |resource| format!(" on {}", words(resource)));
            let purpose = purpose.map_or_else(String::new, |purpose| format!(": “{}”", words(purpose)));
            writeln!(out, "  said        {action}{resource}{purpose}")?;
        }
    }
    let effect = entry.get("effect").map_or_else(String::new, |effect| format!(" ({})", words(effect)));
    writeln!(out, "  did         {}{effect} on {}", field(entry, "action"), private(verdict, "resource"))?;
    let (method, audience) = (field(entry, "method"), entry.get("audience").map_or_else(String::new, words));
    writeln!(out, "                {method} {audience}{}", private(verdict, "target"))?;
    if let Some(length) = entry.get("length") {
        writeln!(out, "                {} bytes, sha256 {}", words(length), private(verdict, "content"))?;
    }
    if entry.get("brought_credential").is_some_and(|brought| brought == true) {
        writeln!(out, "                brought a credential of its own, which was not sent on")?;
    }
    for name in ["args", "details"] {
        if let Some(Value::Object(values)) = known.get(name) {
            for (key, value) in values {
                writeln!(out, "                {name}.{} = {}", plain(key), words(value))?;
            }
        }
    }
    Ok(())
}

fn credential(story: &Story, permitted: &Permitted, out: &mut dyn Write) -> io::Result<()> {
    let plan = &permitted.credential;
    let name = match &plan.handle {
        HandleNote::Nothing => "nothing to end".to_owned(),
        HandleNote::Named(name) => plain(name),
        HandleNote::Sealed => "its name is sealed".to_owned(),
    };
    writeln!(
        out,
        "  credential  {} by {}, {name}, for {}",
        plain(&plan.kind),
        plain(&plan.issuer),
        plain(&permitted.audience)
    )?;
    if let Some(minted) = story.last("minted").and_then(read::<Minted>) {
        writeln!(out, "                named by its issuer, ends by itself {}", time(minted.expires_at))?;
    }
    if let Some(ended) = ended(story) {
        let note = &ended.credential;
        let end = note.revocation.name();
        if note.revocation == Revocation::NotNeeded && note.minted_at.is_none() {
            writeln!(out, "                nothing was minted ({end})")?;
        } else {
            writeln!(out, "                minted {}, ended {} ({end})", time(note.minted_at), time(note.ended_at))?;
        }
        if let Some(held) = note.privilege() {
            writeln!(out, "                {} ms of privilege", held.as_millis())?;
        }
    }
    if let Some(settled) = story.last("settled").and_then(read::<Settled>) {
        writeln!(out, "                settled later: {}", settled.revocation.name())?;
    }
    Ok(())
}

fn ending(story: &Story, out: &mut dyn Write) -> io::Result<()> {
    let Some(record) = story.last("ended") else {
        return writeln!(out, "  ending      none is recorded: the call is open");
    };
    let Some(ended) = read::<Ended>(record) else { return Ok(()) };
    if let Some(answer) = &ended.answer {
        let digest = private(record, "answer_digest");
        writeln!(out, "  answer      {}, {} bytes, sha256 {digest}", answer.status, answer.bytes)?;
    }
    if ended.echo {
        writeln!(out, "                held the credential, which was masked")?;
    }
    let why = ended.why.as_deref().map_or_else(String::new, |why| format!(": {}", plain(why)));
    writeln!(out, "  ending      {}{why}", ended.ending.name())
}

fn facts(verdict: &Stored, out: &mut dyn Write) -> io::Result<()> {
    if let Some(Value::Object(facts)) = verdict.entry.get("facts") {
        writeln!(out, "  facts")?;
        for (name, value) in facts {
            writeln!(out, "                {}: {}", plain(name), words(value))?;
        }
    }
    match verdict.entry.get("policies") {
        Some(policies) => writeln!(out, "  loaded      {}", words(policies)),
        None => Ok(()),
    }
}

fn place_lines(story: &Story, place: &Place, out: &mut dyn Write) -> io::Result<()> {
    let records: Vec<String> =
        story.records.iter().map(|record| format!("{} ({})", record.seq, record.kind())).collect();
    writeln!(out, "  records     {} of {}", plain(&records.join(", ")), place.size)?;
    match place.checkpoint.as_deref().and_then(|note| Checkpoint::parse(note).ok()) {
        Some(Checkpoint { size, root, .. }) => writeln!(out, "  checkpoint  root {root} at {size} records"),
        None => writeln!(out, "  checkpoint  none yet"),
    }
}

/// Who was asked, and what they said.
fn asked(story: &Story, out: &mut dyn Write) -> io::Result<()> {
    for record in &story.records {
        if let Some(asked) = read::<Asked>(record).filter(|_| record.kind() == "asked") {
            let rules: Vec<String> = asked.rules.keys().map(|rule| plain(rule)).collect();
            let who: Vec<String> = asked.who.iter().map(|who| plain(who)).collect();
            writeln!(out, "  asked       {}, by {}; until {}", who.join(", "), rules.join(", "), asked.expires_at)?;
        }
        if let Some(resolved) = read::<Resolved>(record).filter(|_| record.kind() == "resolved") {
            let by = resolved.by.as_deref().map_or_else(String::new, |by| format!(" by {}", plain(by)));
            let why = record.private.as_ref().and_then(|private| private.get("why")).map(words);
            let why = why.map_or_else(String::new, |why| format!(": {why}"));
            writeln!(out, "                {}{by} at {}{why}", resolved.answer.name(), field(&record.entry, "at"))?;
        }
    }
    Ok(())
}

/// The last that was said to a question.
fn answered(story: &Story) -> String {
    let last = story.last("resolved").and_then(read::<Resolved>);
    last.map_or_else(|| "waits".to_owned(), |resolved| resolved.answer.name().to_owned())
}

/// The first of a list, or of the names of an object.
fn first(value: &Value) -> Option<String> {
    match value {
        Value::Array(items) => items.first()?.as_str().map(str::to_owned),
        Value::Object(items) => items.keys().next().cloned(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

fn ended(story: &Story) -> Option<Ended> {
    story.last("ended").and_then(read)
}

fn read<T: serde::de::DeserializeOwned>(record: &Stored) -> Option<T> {
    serde_json::from_value(record.entry.clone()).ok()
}

fn time(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "at no known time".to_owned(), |at| at.to_string())
}

fn field(entry: &Value, name: &str) -> String {
    entry.get(name).map_or_else(|| "-".to_owned(), words)
}

fn private(record: &Stored, name: &str) -> String {
    match &record.private {
        None => "(erased)".to_owned(),
        Some(private) => private.get(name).map_or_else(|| "-".to_owned(), words),
    }
}

/// A text as it is, anything else as JSON; both safe to print.
fn words(value: &Value) -> String {
    value.as_str().map_or_else(|| plain(&value.to_string()), plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        assert_eq!(words(&serde_json::json!(["x\u{7f}"])), r#"["x\u{7f}"]"#);
    }
}
