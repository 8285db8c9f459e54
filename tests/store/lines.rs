//! What `countersign lineage` prints.

use countersign::cli::lineage::{LineageCommand, run};
use countersign::cli::{Exit, Output};
use countersign::model::Revocation;
use countersign::record::Reader;

use super::fixture::*;

fn lineage() -> Place {
    let place = Place::new();
    let (lineage, _) = place.open();
    put(&lineage, permitted(1));
    put(&lineage, ended(1, Revocation::Confirmed));
    put(&lineage, refused(2));
    put(&lineage, permitted(4));
    drop(lineage);
    place
}

fn printed(place: &Place, command: LineageCommand, output: Output) -> (String, Exit) {
    let mut out = Vec::new();
    let exit = run(command, &place.path(), Some(place.vkey()), output, &mut out).unwrap();
    (String::from_utf8(out).unwrap(), exit)
}

fn list(agent: Option<&str>, decision: Option<&str>) -> LineageCommand {
    LineageCommand::List {
        agent: agent.map(str::to_owned),
        action: None,
        decision: decision.map(str::to_owned),
        limit: 50,
    }
}

#[test]
fn a_list_has_one_line_a_call_the_latest_first() {
    let place = lineage();
    let (text, exit) = printed(&place, list(None, None), Output::Text);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((lines.len(), exit), (4, Exit::Done));
    assert!(lines[1].contains(&call(4).to_string()) && lines[1].contains("open"), "{text}");
    assert!(lines[2].contains("deny") && lines[2].contains("no.strangers"), "{text}");
    assert!(lines[3].contains("billing") && lines[3].contains("12 ms") && lines[3].contains("completed"), "{text}");
}

#[test]
fn a_list_is_filtered() {
    let place = lineage();
    assert_eq!(printed(&place, list(Some("billing"), None), Output::Jsonl).0.lines().count(), 1);
    assert_eq!(printed(&place, list(None, Some("allow")), Output::Jsonl).0.lines().count(), 2);
    assert_eq!(printed(&place, list(Some("nobody"), None), Output::Json).0, "[]\n");
    let short = LineageCommand::List { agent: None, action: Some("files.get".into()), decision: None, limit: 1 };
    assert!(printed(&place, short, Output::Jsonl).0.contains("no.strangers"));
}

#[test]
fn a_story_says_who_why_and_how_it_ended() {
    let place = lineage();
    let (text, exit) = printed(&place, LineageCommand::Show { call: call(1) }, Output::Text);
    assert_eq!(exit, Exit::Done);
    for part in [
        "billing",
        "file the crash the user reported",
        "writes.declared",
        "jti-1",
        "12 ms",
        "completed",
        "0 (permitted), 1 (ended) of 4",
    ] {
        assert!(text.contains(part), "`{part}` is missing in\n{text}");
    }
    let (text, exit) = printed(&place, LineageCommand::Show { call: call(77) }, Output::Text);
    assert!(exit == Exit::No && text.contains("nothing is recorded"));
}

#[test]
fn an_agents_words_cannot_steer_a_terminal() {
    let place = lineage();
    let (text, _) = printed(&place, LineageCommand::Show { call: call(2) }, Output::Text);
    assert!(!text.contains('\u{1b}') && text.contains(r"\u{1b}[2J"), "{text}");
    let (json, _) = printed(&place, LineageCommand::Show { call: call(2) }, Output::Json);
    assert!(!json.contains('\u{1b}'));
    serde_json::from_str::<serde_json::Value>(&json).unwrap();
}

#[test]
fn a_verification_says_what_it_was_checked_against() {
    let place = lineage();
    let (text, exit) = printed(&place, LineageCommand::Verify { checkpoint: None, key: None }, Output::Text);
    assert!(exit == Exit::Done && text.starts_with("intact: 4 records") && text.contains("none was given"), "{text}");
    let kept = place.folder.path().join("checkpoint");
    std::fs::write(&kept, Reader::open(&place.path()).unwrap().checkpoint().unwrap().unwrap()).unwrap();
    let against = |key| LineageCommand::Verify { checkpoint: Some(kept.clone()), key };
    let (text, _) = printed(&place, against(None), Output::Text);
    assert!(text.contains("lineage.test at 4 records"), "{text}");
    let (_, exit) = printed(&place, against(Some(Place::new().vkey())), Output::Text);
    assert_eq!(exit, Exit::No);
    place.sql().execute("UPDATE records SET leaf = zeroblob(32) WHERE seq = 1", []).unwrap();
    let (text, exit) = printed(&place, against(None), Output::Text);
    assert!(exit == Exit::No && text.starts_with("broken at record 1:"), "{text}");
}
