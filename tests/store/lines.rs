//! What `countersign lineage` prints.

use std::ops::Not as _;

use countersign::cli::lineage::{LineageCommand, Lying, run};
use countersign::cli::{Exit, Failure, Output};
use countersign::model::{Decision, Revocation, Would};
use countersign::record::{Event, Lineage, Options, Reader, SqliteLineage};

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
    let exit = run(command, &place.lying(), output, &mut out).unwrap();
    (String::from_utf8(out).unwrap(), exit)
}

fn verify_against(checkpoint: Option<std::path::PathBuf>, key: Option<String>) -> LineageCommand {
    LineageCommand::Verify { checkpoint, since: None, key }
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
    let (text, exit) = printed(&place, verify_against(None, None), Output::Text);
    assert!(exit == Exit::Done && text.starts_with("intact: 4 records") && text.contains("none was given"), "{text}");
    let kept = place.folder.path().join("checkpoint");
    std::fs::write(&kept, Reader::open(&place.path()).unwrap().checkpoint().unwrap().unwrap()).unwrap();
    let against = |key| verify_against(Some(kept.clone()), key);
    let (text, _) = printed(&place, against(None), Output::Text);
    assert!(text.contains("lineage.test at 4 records"), "{text}");
    let (_, exit) = printed(&place, against(Some(Place::new().vkey())), Output::Text);
    assert_eq!(exit, Exit::No);
    place.sql().execute("UPDATE records SET leaf = zeroblob(32) WHERE seq = 1", []).unwrap();
    let (text, exit) = printed(&place, against(None), Output::Text);
    assert!(exit == Exit::No && text.starts_with("broken at record 1:"), "{text}");
}

#[test]
fn what_cannot_be_read_is_no_sign_of_a_broken_lineage() {
    let place = lineage();
    let (garbage, none) = (place.folder.path().join("garbage"), place.folder.path().join("none"));
    std::fs::write(&garbage, "not a note\n").unwrap();
    let key = |key: &str| verify_against(None, Some(key.to_owned()));
    let since =
        |since: &std::path::PathBuf| LineageCommand::Verify { checkpoint: None, since: Some(since.clone()), key: None };
    for (command, says) in [
        (key("lineage.test"), "`--key`: `lineage.test` is not a verification key"),
        (verify_against(Some(garbage.clone()), None), "garbage`: the checkpoint is not valid"),
        (since(&garbage), "garbage`: the checkpoint is not valid"),
        (verify_against(Some(none), None), "none`: No such file"),
    ] {
        let mut out = Vec::new();
        let failure = run(command, &place.lying(), Output::Text, &mut out).unwrap_err();
        assert!(matches!(&failure, Failure::Usage(why) if why.contains(says)), "{failure}");
        assert_eq!(out, b"", "{says}");
    }
}

#[test]
fn what_was_let_and_would_not_have_been_is_marked() {
    let place = Place::new();
    let (lineage, _) = place.open();
    let mut let_pass = permitted(1);
    if let Event::Permitted(permitted) = &mut let_pass.event {
        permitted.would = Some(Would { decision: Decision::Deny, rules: vec!["no.strangers".to_owned()] });
    }
    put(&lineage, let_pass);
    let mut bare = ended(1, Revocation::NotNeeded);
    if let Event::Ended(ended) = &mut bare.event {
        (ended.credential.minted_at, ended.credential.ended_at) = (None, None);
    }
    put(&lineage, bare);
    drop(lineage);
    let (text, _) = printed(&place, list(None, None), Output::Text);
    assert!(text.contains("allow (would deny)"), "{text}");
    assert_eq!(printed(&place, list(None, Some("allow")), Output::Jsonl).0.lines().count(), 1);
    let (text, _) = printed(&place, LineageCommand::Show { call: call(1) }, Output::Text);
    assert!(text.contains("nothing was minted (") && !text.contains("at no known time"), "{text}");
}

#[test]
fn a_tree_that_is_exported_is_told_of_as_it_was_asked_to_be() {
    let place = lineage();
    let tiles = Some(place.folder.path().join("tiles"));
    let (json, _) = printed(&place, LineageCommand::Export { from: 0, public: false, tiles }, Output::Json);
    let told: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(told["records"], 4);
}

#[test]
fn arguments_that_make_no_sense_are_told_what_would() {
    let folder = tempfile::tempdir().unwrap();
    let said = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_countersign"));
        let output = command.current_dir(folder.path()).arg("lineage").args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, words) = said(&["show", "none"]);
    assert!(code == Some(2) && words.contains("an id looks like `01a20d78-"), "{words}");
    for decision in ["ask", "no"] {
        let (code, words) = said(&["--file", "none.db", "list", "--decision", decision]);
        assert!(code == Some(4) && words.contains("`countersign serve`"), "{words}");
    }
    assert_eq!(said(&["--file", "none.db", "list", "--decision", "maybe"]).0, Some(2));
}

#[test]
fn what_was_verified_once_need_not_be_read_again() {
    let place = lineage();
    let kept = place.folder.path().join("checkpoint");
    std::fs::write(&kept, Reader::open(&place.path()).unwrap().checkpoint().unwrap().unwrap()).unwrap();
    let (lineage, _) = place.open();
    put(&lineage, refused(5));
    drop(lineage);
    let since = || LineageCommand::Verify { checkpoint: None, since: Some(kept.clone()), key: None };
    let (text, exit) = printed(&place, since(), Output::Text);
    assert!(exit == Exit::Done && text.starts_with("intact: 5 records"), "{text}");
    assert!(
        text.contains("not read again: the first 4 records") && text.contains("lineage.test at 4 records"),
        "{text}"
    );
    // What lies before it is vouched for by tiles and leaves alone; what came after it is read.
    place.sql().execute("UPDATE records SET entry = CAST('{}' AS BLOB) WHERE seq = 4", []).unwrap();
    let (text, exit) = printed(&place, since(), Output::Text);
    assert!(exit == Exit::No && text.starts_with("broken at record 4:"), "{text}");
    place.sql().execute("UPDATE records SET leaf = zeroblob(32) WHERE seq = 1", []).unwrap();
    let (text, exit) = printed(&place, since(), Output::Text);
    assert!(exit == Exit::No && text.starts_with("broken at record 3:"), "{text}");
}

#[test]
fn the_checkpoint_that_was_sent_to_a_file_is_what_it_is_checked_against() {
    let place = lineage();
    let kept = place.folder.path().join("sent");
    std::fs::write(&kept, Reader::open(&place.path()).unwrap().checkpoint().unwrap().unwrap()).unwrap();
    let cut = "DELETE FROM records WHERE seq = 3; DELETE FROM payloads WHERE seq = 3; DELETE FROM checkpoints";
    place.sql().execute_batch(cut).unwrap();
    let lying = Lying { checkpoints: vec![kept], ..place.lying() };
    let mut out = Vec::new();
    let exit = run(verify_against(None, None), &lying, Output::Text, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(exit == Exit::No && text.starts_with("broken at record 3: it is missing"), "{text}");
}

#[test]
fn the_last_records_are_a_line_each() {
    let place = lineage();
    let (text, _) = printed(&place, LineageCommand::Tail { lines: 2, follow: false }, Output::Text);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(lines[0].contains("refused") && lines[0].contains("denied") && lines[1].contains("permitted"), "{text}");
}

#[test]
fn an_export_goes_on_where_the_last_one_ended() {
    let place = lineage();
    let export = |from, public| LineageCommand::Export { from, public, tiles: None };
    let (first, _) = printed(&place, export(0, false), Output::Text);
    assert_eq!(first.lines().count(), 4);
    assert!(first.contains("file the crash the user reported") && first.contains("\"salt\"").not());
    let (lineage, _) = place.open();
    put(&lineage, refused(5));
    drop(lineage);
    let (more, _) = printed(&place, export(4, true), Output::Text);
    let record: serde_json::Value = serde_json::from_str(more.trim()).unwrap();
    assert_eq!((&record["seq"], record.get("private")), (&4.into(), None));
    assert_eq!(printed(&place, export(5, false), Output::Text).0, "");
}

#[test]
fn a_count_of_refusals_is_listed() {
    let place = Place::new();
    let (lineage, _) = SqliteLineage::open(Options { whole: 2, ..place.options(64) }, place.signer(), clock()).unwrap();
    (0..10).for_each(|n| drop(lineage.append(refused(n))));
    drop(lineage);
    let (text, _) = printed(&place, list(None, None), Output::Text);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 4, "{text}");
    assert!(lines[1].contains("denied ×8"), "{text}");
}

#[test]
fn a_reader_that_has_left_ends_the_command_quietly() {
    let place = lineage();
    let path = place.path();
    for arguments in [&["list"][..], &["tail"], &["export"], &["verify"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_countersign"));
        command.args(["lineage", "--file"]).arg(&path).args(arguments).stdout(writer);
        let output = command.stderr(std::process::Stdio::piped()).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), told.as_ref()), (Some(141), ""), "{arguments:?}");
    }
}
