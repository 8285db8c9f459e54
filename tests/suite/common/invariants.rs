//! What holds after every test, whatever happened in it.
//!
//! 1. No secret, in any spelling, in what agents hear, in logs, metrics, the lineage or any file.
//! 2. Nobody gets a credential but who may be called, and there only behind a permission that is on disk.
//! 3. No more requests than permissions; for each call one verdict, and for each permission one ending.
//! 4. The lineage is whole from its first record, and every checkpoint of it that was seen still holds.
//! 5. The process lives, nothing in it panicked, and its file descriptors are given back.
//! 6. Every credential that was minted has ended, has expired, or is known to be open.
//! 7. A refusal is problem+json with the members that the task's labels allow, and no others.
//! 8. What judged each call says the same of it once more, by the texts and facts that the lineage keeps.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use countersign::app::{History, Recalled};
use countersign::model::Timestamp;
use countersign::record::{Checkpoint, Filter, Reader, Stored, Story, verify};
use serde_json::Value;

use super::sidecar::{FRAMEWORK, Sidecar, descriptors};
use super::spellings::{holds, spelled};
use super::wire::{Answer, Kind, Message};

/// Every call there is.
pub fn stories(reader: &Reader) -> Vec<Story> {
    reader.calls(&Filter { limit: 100_000, ..Filter::default() }).unwrap()
}

/// Judges every call again by what judged it.
fn assert_verdicts_come_out_the_same(reader: &Reader) {
    let mut history = History::of(reader).unwrap();
    for decided in reader.decided(Timestamp::from_millis(0)).unwrap() {
        let Ok(basis) = &decided.basis else { continue };
        let policies = history.policies(basis.policies).unwrap();
        let again = Recalled::of(&decided, basis, policies).unwrap().judge(policies, None).told();
        assert!(again.agrees(&decided.told), "{decided:#?} came out as {again:#?}");
    }
}

/// Stops the sidecar and looks at everything it left behind.
pub async fn hold(sidecar: &mut Sidecar) {
    let mut told: Vec<(String, Vec<u8>)> = Vec::new();
    if sidecar.is_running() {
        let alive = ask(sidecar, "/healthz").await;
        assert!(alive.starts_with(b"HTTP/1.1 200"), "the sidecar is not well: {}", String::from_utf8_lossy(&alive));
        told.push(("the metrics".to_owned(), ask(sidecar, "/metrics").await));
        told.push(("the page of calls".to_owned(), ask(sidecar, "/v1/calls").await));
    }
    let last = sidecar.reader().checkpoint().unwrap();
    sidecar.checkpoints.extend(last);
    sidecar.stop().await;
    assert_descriptors_are_given_back(sidecar.descriptors).await;
    let reader = sidecar.reader();
    assert_verdicts_come_out_the_same(&reader);
    let stories = stories(&reader);
    assert_each_has_its_records(&stories);
    assert_nobody_was_called_unpermitted(sidecar, &stories);
    assert_lineage(&reader, &sidecar.checkpoints, &sidecar.vkey);
    assert_eq!(sidecar.logged.panics(), Vec::<String>::new());
    // No credential outlives its call.
    assert_eq!(sidecar.vault.live(), 0, "leases still live");
    assert_answers(&sidecar.agent().heard(), &stories);
    told.push(("the log".to_owned(), sidecar.logged.bytes()));
    told.extend(sidecar.agent().heard().into_iter().map(|bytes| ("an answer".to_owned(), bytes)));
    told.extend(sidecar.strangers.iter().flat_map(|raw| raw.bytes()).map(|bytes| ("a stranger".to_owned(), bytes)));
    gather(sidecar.folder.path(), &mut told);
    assert_nothing_tells(&told, &sidecar.vault.canary);
}

async fn ask(sidecar: &Sidecar, path: &str) -> Vec<u8> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(sidecar.admin).await.unwrap();
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {FRAMEWORK}\r\nconnection: close\r\n\r\n",
        sidecar.admin
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    bytes
}

/// Every call has one verdict; a permitted one has one ending, which knows how its credential ended.
pub fn assert_each_has_its_records(stories: &[Story]) {
    for story in stories {
        let count = |kind: &str| story.records.iter().filter(|record| record.kind() == kind).count();
        if count("repeated") == 1 {
            // A count of refusals beyond those that are written one by one.
            continue;
        }
        let said = |answer: &str| story.records.iter().any(|record| record.entry["answer"] == *answer);
        let over = ["approved", "denied", "expired", "cancelled"].iter().any(|answer| said(answer));
        match (count("asked"), count("permitted") + count("refused")) {
            // What was asked, and was not made, has another end.
            (1, 0) => assert!(over, "{story:?}"),
            (0 | 1, 1) => {}
            _ => panic!("{story:?}"),
        }
        assert_eq!(count("permitted"), count("ended"), "{story:?}");
        let Some(ended) = story.last("ended") else { continue };
        let revocation = ended.entry["credential"]["revocation"].as_str().unwrap();
        let known = ["not_needed", "confirmed", "expired", "unsupported", "failed", "unknown"].contains(&revocation);
        let minted = story.first("minted").is_some();
        assert!(known && !(minted && revocation == "not_needed"), "{story:?}");
    }
}

/// Nothing reaches a tool that was not permitted, and what it gets is lent for a call whose permission was on disk.
fn assert_nobody_was_called_unpermitted(sidecar: &Sidecar, stories: &[Story]) {
    let permitted = stories.iter().filter(|story| story.first("permitted").is_some()).count();
    let arrived: Vec<_> = sidecar.upstreams.iter().flat_map(|raw| raw.arrived()).collect();
    let seen = sidecar.tool.seen().len() + arrived.len();
    assert!(seen <= permitted, "{seen} requests, {permitted} permitted");
    let lent: Vec<_> = arrived.iter().flat_map(|arrived| &arrived.lent).copied().chain(sidecar.tool.lent()).collect();
    assert!(lent.iter().all(|(_, on_disk)| *on_disk), "lent before the permission was on disk: {lent:?}");
    let calls: BTreeSet<_> = lent.iter().map(|(call, _)| *call).collect();
    assert_eq!(calls.len(), lent.len(), "a credential was used twice: {lent:?}");
    for raw in &sidecar.upstreams {
        assert_eq!(raw.malformed(), Vec::<String>::new());
        assert!(raw.arrived().iter().all(|arrived| arrived.lent.len() <= 1), "two credentials in one request");
    }
    for stranger in &sidecar.strangers {
        assert_eq!((stranger.connections(), stranger.requests().len()), (0, 0), "a stranger was called");
    }
}

/// It verifies, with every checkpoint that was kept on the way, and it only grew.
pub fn assert_lineage(reader: &Reader, checkpoints: &[String], vkey: &str) {
    for kept in checkpoints.iter().map(Some).chain([None]) {
        let report = verify(reader, kept.map(String::as_str), (!vkey.is_empty()).then_some(vkey));
        assert!(report.is_intact(), "{report:?}");
    }
    let sizes: Vec<u64> = checkpoints.iter().map(|note| Checkpoint::parse(note).unwrap().size).collect();
    assert!(sizes.is_sorted() && sizes.last().is_none_or(|last| *last <= reader.size().unwrap()), "{sizes:?}");
}

/// Only where a test has its process for itself is it known whose they are.
async fn assert_descriptors_are_given_back(before: usize) {
    if std::env::var_os("NEXTEST").is_none() {
        return;
    }
    for _ in 0..80 {
        if descriptors() <= before + 2 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    let open = std::fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| entry.unwrap().path().read_link().ok());
    panic!("more file descriptors than {before} are open: {:?}", open.collect::<Vec<_>>());
}

/// Whatever agents were told, each refusal has its form.
pub fn assert_answers(heard: &[Vec<u8>], stories: &[Story]) {
    for bytes in heard {
        let mut rest = &bytes[..];
        while let Ok(message) = Message::read(rest, Kind::Answer) {
            let (this, behind) = rest.split_at(message.length);
            assert_refusal(&message, &Answer::parse(this), stories);
            rest = behind;
        }
    }
}

fn assert_refusal(message: &Message, answer: &Answer, stories: &[Story]) {
    if answer.status < 400 || message.body.is_empty() {
        // Without a body: an answer to HEAD, or of hyper, which could not read the request.
        return;
    }
    if answer.header("countersign-call").is_none() {
        // Of a peer that has its share of connections nothing is read.
        assert_eq!((answer.status, &answer.json()["code"]), (503, &"overloaded".into()), "{answer:?}");
        return;
    }
    let call = answer.call();
    let story = stories.iter().find(|story| story.call == Some(call));
    let Some(story) = story else {
        // It is one of a count.
        assert!(stories.iter().any(|story| story.first("repeated").is_some()), "no record of {answer:?}");
        return;
    };
    if story.last("ended").is_some_and(|ended| ended.entry.get("answer").is_some()) {
        return;
    }
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{answer:?}");
    let body = answer.json();
    let members: BTreeSet<&str> = body.as_object().unwrap().keys().map(String::as_str).collect();
    let terse = BTreeSet::from(["code", "decision", "instance", "retryable"]);
    assert!(terse.is_subset(&members), "{answer:?}");
    assert_eq!(body["instance"], format!("/calls/{call}"));
    let helpful = ["type", "title", "status", "detail", "rule", "retry_after_ms", "suggestions", "stop", "approval"];
    assert!(members.iter().all(|member| terse.contains(member) || helpful.contains(member)), "{answer:?}");
    if members.contains("type") {
        assert_eq!(body["status"], answer.status, "{answer:?}");
        // What asks is told at once; what becomes of the question may be told to somebody who has read more.
        let mut then = story.records.iter().filter(|record| (record.kind() == "asked") == (answer.status == 428));
        assert!(!then.any(reads_untrusted), "too much is told: {answer:?}");
    } else {
        assert!(members.iter().all(|member| terse.contains(member) || *member == "approval"), "{answer:?}");
    }
}

fn reads_untrusted(record: &Stored) -> bool {
    let labels = record.entry["facts"]["labels"].as_array();
    labels.is_some_and(|labels| labels.iter().any(|label| label == "untrusted"))
}

/// Every file below a folder but those that a test wrote there itself.
pub fn gather(folder: &Path, told: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            gather(&path, told);
        } else if path.extension().is_none_or(|extension| extension != "token") {
            told.push((path.display().to_string(), std::fs::read(&path).unwrap_or_default()));
        }
    }
}

/// Neither what a vault minted nor the framework's token stands in any of it; nor a lease's name, in files.
pub fn assert_nothing_tells(told: &[(String, Vec<u8>)], canary: &str) {
    for (what, bytes) in told {
        if let Some(how) = spelled(bytes, canary) {
            panic!("the secret stands {how} in {what}");
        }
        assert!(!holds(bytes, FRAMEWORK.as_bytes()), "the framework's token stands in {what}");
        let file = what.starts_with('/');
        assert!(!file || !holds(bytes, b"lease-1"), "the name of a lease stands in {what}");
    }
}

/// A record's private field.
pub fn private<'a>(record: &'a Stored, name: &str) -> &'a Value {
    record.private.as_ref().and_then(|private| private.get(name)).unwrap_or(&Value::Null)
}
