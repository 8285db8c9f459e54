//! Configuration, policies and catalogs loaded anew while calls go on (ATTACKS Q1, Q7, O5, D7): whole or not at all, each
//! time recorded, and what the new rules do not permit is not gone on with.

mod under_way;

use std::sync::Arc;
use std::time::Duration;

use countersign::app::{self, Reloaded, Seams};
use countersign::config::Config;
use countersign::record::{Lineage, Receipt, Record, Unavailable};

use super::common::invariants::{self, private};
use super::common::sidecar::{FRAMEWORK, READ, Sidecar, Wanted};

const COMMENT: &str = "POST /tracker/repos/octo/hello/issues/7/comments HTTP/1.1\r\nhost: HOST\r\nconnection: close\r\n\
     content-length: 0\r\n\r\n";

/// Reading is permitted, and writing is not.
const POLICY: &str = "@id(\"reads\") permit(principal, action in Action::\"effect:read\", resource);\n\
     @id(\"no-writes\") forbid(principal, action in Action::\"effect:write\", resource);\n";

fn wanted() -> Wanted {
    let more = "[reviewers.ana]\ntoken = { file = \"ana.token\" }\nmay = [\"read\"]\n";
    let files = vec![("ana.token", FRAMEWORK.to_owned())];
    Wanted { policy: POLICY, more: more.to_owned(), files, ..Wanted::default() }
}

/// What is done to the files of a sidecar.
type Harm = fn(&Sidecar);

/// Each with a word that tells it.
const HARMS: &[(&str, Harm)] = &[
    ("unexpected", |it| it.write("policies/main.cedar", "permit(principal, action resource);")),
    ("nope", |it| {
        it.write(
            "policies/main.cedar",
            format!("{POLICY} forbid(principal, action, resource) when {{ context.nope }};"),
        );
    }),
    ("tool:nope", |it| {
        it.write(
            "policies/main.cedar",
            format!("{POLICY} forbid(principal, action in Action::\"tool:nope\", resource);"),
        );
    }),
    ("nobody", |it| it.write("policies/main.cedar", format!("{POLICY} @nobody permit(principal, action, resource);"))),
    ("no policy in this file", |it| it.write("policies/main.cedar", "")),
    ("no policy in this file", |it| it.write("policies/more.cedar", "\n  // to be written\n")),
    ("no `*.cedar` in this folder", |it| {
        std::fs::rename(it.path("policies/main.cedar"), it.path("policies/main.old")).unwrap();
    }),
    // As far as an editor has come.
    ("unexpected", |it| it.write("policies/main.cedar", POLICY.trim_end_matches(");\n"))),
    ("more than 4 MiB", |it| it.write("policies/main.cedar", " ".repeat(5 << 20))),
    ("UTF-8", |it| it.write("policies/main.cedar", b"permit(principal, action, resource); // \xff")),
    ("more than 4 MiB", |it| it.write("tracker.toml", "#".repeat(5 << 20))),
    ("effect", |it| it.edit("tracker.toml", "effect = \"read\"", "effect = \"reads\"")),
    ("No such file", |it| std::fs::remove_file(it.path("tracker.toml")).unwrap()),
    ("[tools.nope]", |it| it.edit("countersign.toml", "tools = [\"tracker\"]", "tools = [\"tracker\", \"nope\"]")),
    ("tols", |it| it.edit("countersign.toml", "tools = [\"tracker\"]", "tols = [\"tracker\"]")),
    ("more than 4 MiB", |it| it.write("countersign.toml", "#".repeat(5 << 20))),
    ("TOML", |it| it.edit("countersign.toml", "deadline = \"500ms\"", "deadline = \"500")),
    ("chmod 600", |it| {
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        std::fs::set_permissions(it.path("ana.token"), open).unwrap();
    }),
    ("too large to be a secret", |it| it.write("ana.token", "x".repeat(5 << 20))),
    ("is no file", |it| {
        std::fs::remove_file(it.path("policies/main.cedar")).unwrap();
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, it.path("policies/main.cedar"), rustix::fs::FileType::Fifo, mode, 0)
            .unwrap();
    }),
];

/// The folder as it was.
fn restore(sidecar: &Sidecar, files: &[(&'static str, Vec<u8>)]) {
    for name in ["policies/more.cedar", "policies/main.old", "policies/main.cedar"] {
        let _ = std::fs::remove_file(sidecar.path(name));
    }
    for (name, bytes) in files {
        sidecar.write(name, bytes);
    }
}

#[tokio::test]
async fn q1_what_makes_no_sense_is_not_loaded_and_what_was_loaded_before_goes_on() {
    let mut sidecar = Sidecar::start(wanted(), Seams::default()).await;
    let files = ["countersign.toml", "tracker.toml", "ana.token", "policies/main.cedar"];
    let files = files.map(|name| (name, std::fs::read(sidecar.path(name)).unwrap()));
    let loaded = sidecar.records("loaded").remove(0);
    for (number, (word, harm)) in HARMS.iter().enumerate() {
        harm(&sidecar);
        let why = sidecar.reload().await.expect_err(word).to_string();
        assert!(why.contains(word), "{word}: {why}");
        // Nor would anybody start with it.
        let text = std::fs::read_to_string(sidecar.path("countersign.toml")).unwrap();
        let started = match Config::parse(&text, sidecar.folder.path()) {
            Ok(config) => {
                app::start(&config, &text, Seams::default()).await.map(drop).map_err(|error| error.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        assert!(word.contains("4 MiB") && text.len() > 4 << 20 || started.is_err(), "{word}: started");
        // What was loaded before goes on, and that is said.
        assert_eq!([sidecar.send(READ).await.status, sidecar.send(COMMENT).await.status], [200, 403], "{word}");
        assert_eq!(sidecar.metric("countersign_outdated").await, 1);
        assert_eq!(sidecar.metric("countersign_loads_total{outcome=\"failed\"}").await, number + 1);
        let record = sidecar.records("not_loaded").pop().unwrap();
        assert_eq!(record.entry["policies"], loaded.entry["version"], "{word}");
        assert!(private(&record, "why").as_str().unwrap().contains(word), "{record:?}");
        assert!(!record.entry.to_string().contains(word), "why names files and what is in them");
        assert!(
            sidecar
                .ask("GET /readyz", FRAMEWORK, "")
                .await
                .body
                .starts_with("ready\nwhat lies on the disk is not loaded")
        );
        let told = sidecar.ask("GET /v1/loaded", FRAMEWORK, "").await.json();
        assert_eq!((&told["version"], &told["generation"]), (&loaded.entry["version"], &1.into()));
        assert!(told["trouble"].as_str().unwrap().contains(word), "{told}");
        restore(&sidecar, &files);
        assert_eq!(sidecar.reload().await.unwrap(), Reloaded::Unchanged, "{word}");
        assert_eq!(sidecar.metric("countersign_outdated").await, 0);
        assert_eq!(sidecar.ask("GET /readyz", FRAMEWORK, "").await.body, "ready\n");
    }
    assert_eq!(sidecar.records("loaded").len(), 1, "nothing else was ever loaded");
    invariants::hold(&mut sidecar).await;
}

#[tokio::test]
async fn q7_what_lies_there_judges_once_it_is_recorded_by_the_digests_of_what_has_changed() {
    let mut sidecar = Sidecar::start(wanted(), Seams::default()).await;
    assert_eq!([sidecar.send(READ).await.status, sidecar.send(COMMENT).await.status], [200, 403]);
    sidecar.edit(
        "policies/main.cedar",
        "forbid(principal, action in Action::\"effect:write\"",
        "permit(principal, action in Action::\"effect:write\"",
    );
    assert_eq!(sidecar.send(COMMENT).await.status, 403, "not by itself");
    assert_eq!(sidecar.reload().await.unwrap(), Reloaded::Replaced);
    assert_eq!(sidecar.reload().await.unwrap(), Reloaded::Unchanged);
    let passed = sidecar.send(COMMENT).await;
    assert_eq!(passed.status, 200);
    let loaded = sidecar.records("loaded");
    let [before, after] = &loaded[..] else { panic!("{loaded:?}") };
    let changed = |name: &&String| before.entry["parts"][name.as_str()] != after.entry["parts"][name.as_str()];
    let parts = after.entry["parts"].as_object().unwrap();
    assert_eq!(parts.keys().filter(changed).collect::<Vec<_>>(), ["policy:main.cedar"]);
    let text = std::fs::read(sidecar.path("policies/main.cedar")).unwrap();
    let digest = countersign::model::Digest::of(&text);
    assert_eq!(after.entry["parts"]["policy:main.cedar"], digest.to_string());
    assert_eq!(sidecar.reader().text(digest).unwrap().unwrap().as_bytes(), text, "it can be read again");
    let permitted = sidecar.story(passed.call(), "ended").await.first("permitted").unwrap().clone();
    assert_eq!(permitted.entry["policies"], after.entry["version"]);
    assert!(after.seq < permitted.seq);
    invariants::hold(&mut sidecar).await;
}

#[tokio::test]
async fn what_takes_a_restart_is_refused_by_its_key_and_nothing_else_is_loaded_either() {
    let mut sidecar = Sidecar::start(wanted(), Seams::default()).await;
    let original = std::fs::read(sidecar.path("countersign.toml")).unwrap();
    sidecar.write("policies/more.cedar", "@id(\"none\") forbid(principal, action, resource);");
    for (from, to, key) in [
        ("[listen]\n", "[listen]\nhosts = [\"a.example\"]\n", "`listen.hosts`"),
        ("agent = \"127.0.0.1:0\"", "agent = \"127.0.0.1:9\"", "`listen.agent`"),
        ("deadline = \"500ms\"", "deadline = \"501ms\"", "`lineage.deadline`"),
        ("[lineage]", "[keys]\ndir = \"others\"\n[lineage]", "`keys.dir`"),
        ("[issuers.calls]\nkind = \"jwt\"", "[issuers.calls]\nkind = \"none\"", "`issuers.calls`"),
        ("[issuers.calls]", "[issuers.more]\nkind = \"none\"\n[issuers.calls]", "`issuers.more`"),
        ("[issuers.calls]\nkind = \"jwt\"", "", "`issuers.calls`"),
    ] {
        sidecar.edit("countersign.toml", from, to);
        let why = sidecar.reload().await.expect_err(key).to_string();
        assert!(why.contains(key) && why.contains("takes a restart"), "{why}");
        assert_eq!(sidecar.send(READ).await.status, 200);
        sidecar.write("countersign.toml", &original);
    }
    assert_eq!(sidecar.reload().await.unwrap(), Reloaded::Replaced);
    assert_eq!(sidecar.send(READ).await.status, 403);
    invariants::hold(&mut sidecar).await;
}

/// A lineage that takes what is loaded at the start, and nothing that is loaded after while it says no.
struct Deaf {
    inner: Arc<dyn Lineage>,
    deaf: Arc<std::sync::atomic::AtomicBool>,
}

impl Lineage for Deaf {
    fn append(&self, record: Record) -> Receipt {
        if record.event.kind() == "loaded" && self.deaf.load(std::sync::atomic::Ordering::Relaxed) {
            return Box::pin(std::future::ready(Err(Unavailable::Late(Duration::from_secs(1)))));
        }
        self.inner.append(record)
    }

    fn trouble(&self) -> Option<String> {
        None
    }
}

#[tokio::test]
async fn what_cannot_be_recorded_is_not_put_in_force() {
    let deaf = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let hears = deaf.clone();
    let between = Box::new(move |inner| Arc::new(Deaf { inner, deaf: hears }) as Arc<dyn Lineage>);
    let seams = Seams { lineage: Some(between), ..Seams::default() };
    let mut sidecar = Sidecar::start(wanted(), seams).await;
    sidecar.write("policies/more.cedar", "@id(\"none\") forbid(principal, action, resource);");
    deaf.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(sidecar.reload().await.is_err());
    assert_eq!(sidecar.send(READ).await.status, 200);
    deaf.store(false, std::sync::atomic::Ordering::Relaxed);
    // Nobody knows whether the other version stands in the lineage by now. So what goes on is written down once more.
    std::fs::remove_file(sidecar.path("policies/more.cedar")).unwrap();
    assert_eq!(sidecar.reload().await.unwrap(), Reloaded::Replaced);
    let loaded = sidecar.records("loaded");
    assert_eq!((loaded.len(), &loaded[0].entry["version"]), (2, &loaded[1].entry["version"]));
    assert_eq!(sidecar.reload().await.unwrap(), Reloaded::Unchanged);
    invariants::hold(&mut sidecar).await;
}

#[tokio::test]
async fn a_token_that_was_changed_counts_from_the_reload_on_and_the_old_one_no_more() {
    let (old, new) = ("an-agents-old-token-for-tests", "an-agents-new-token-for-tests");
    let identify = "identify = [{ token = { file = \"agent.token\" } }]".to_owned();
    let files = vec![("agent.token", old.to_owned()), ("ana.token", "a-reviewers-old-token".to_owned())];
    let mut sidecar = Sidecar::start(Wanted { identify, files, ..wanted() }, Seams::default()).await;
    let read = |token: &str| READ.replace("connection", &format!("authorization: Bearer {token}\r\nconnection"));
    assert_eq!([sidecar.send(&read(old)).await.status, sidecar.send(&read(new)).await.status], [200, 401]);
    sidecar.write("agent.token", new);
    sidecar.write("ana.token", "a-reviewers-new-token");
    assert_eq!(sidecar.reload().await.unwrap(), Reloaded::Replaced);
    assert_eq!([sidecar.send(&read(old)).await.status, sidecar.send(&read(new)).await.status], [401, 200]);
    assert_eq!(sidecar.ask("GET /v1/calls", "a-reviewers-old-token", "").await.status, 401);
    assert_eq!(sidecar.ask("GET /v1/calls", "a-reviewers-new-token", "").await.status, 200);
    // What is loaded has the same name: of secrets, no digest is recorded.
    let loaded = sidecar.records("loaded");
    assert_eq!((loaded.len(), &loaded[0].entry["version"]), (2, &loaded[1].entry["version"]));
    invariants::hold(&mut sidecar).await;
}

#[tokio::test]
async fn a_reload_forgets_neither_limits_nor_tasks_nor_what_was_taken_in() {
    let agent = "intent = \"never\"\n[[agents.helper.limits]]\nper = \"agent\"\nrequests = 3\nwindow = \"1h\"\n\
                 [agents.helper.chain]\nmax_calls = 2";
    let mut sidecar = Sidecar::start(Wanted { agent, ..wanted() }, Seams::default()).await;
    let task = sidecar.open_task("{\"actions\":[{\"action\":\"tracker/issues.get\"}]}").await;
    let token = task["token"].as_str().unwrap();
    let read = READ.replace("connection", &format!("agent-task: {token}\r\nconnection"));
    for status in [200, 200, 429] {
        sidecar.write("policies/more.cedar", format!("@id(\"n{status}\") permit(principal, action, resource);"));
        sidecar.reload().await.unwrap();
        assert_eq!(sidecar.send(&read).await.status, status);
    }
    assert_eq!(sidecar.send(READ).await.status, 200, "outside of the task, one place is left");
    sidecar.edit("countersign.toml", "requests = 3", "requests = 2");
    assert_eq!(sidecar.reload().await.unwrap(), Reloaded::Replaced);
    let refused = sidecar.send(READ).await;
    assert_eq!(refused.code(), (429, "limit_reached".to_owned()));
    assert!(refused.json().get("rule").is_none(), "the task has read a stranger's words still: {refused:?}");
    invariants::hold(&mut sidecar).await;
}
