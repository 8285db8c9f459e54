//! Reviewers stop agents and calls (ATTACKS N7, DESIGN §1): from the record on nothing of a stopped agent is permitted,
//! what is under way is cut, and a restart lets nobody go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use countersign::app::Seams;
use countersign::judge::Permit;
use countersign::mint::{Issuer, IssuerError, NoCredential, Order, Plan};
use countersign::model::{BoxFuture, Credential, Handle, Lifetime, Timestamp};
use countersign::record::{Lineage, Receipt, Record, Unavailable};
use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio::sync::watch;

use super::common::invariants::{self, private};
use super::common::sidecar::{READ, Sidecar, Wanted, all};

/// Reviewers: one who may only look, one who may stop.
const EVA: &str = "a-token-of-eva-who-may-look";
const KIM: &str = "a-token-of-kim-who-may-stop";

const STOP: &str = "POST /v1/agents/helper/quarantine";
const RELEASE: &str = "POST /v1/agents/helper/release";

fn wanted() -> Wanted {
    let more = "[reviewers.eva]\ntoken = { file = \"eva.token\" }\nmay = [\"read\"]\n\
                [reviewers.kim]\ntoken = { file = \"kim.token\" }\nmay = [\"read\", \"quarantine\"]\n";
    let files = vec![("eva.token", EVA.to_owned()), ("kim.token", KIM.to_owned())];
    Wanted { more: more.to_owned(), files, ..Wanted::default() }
}

async fn sidecar() -> Sidecar {
    Sidecar::start(wanted(), Seams::default()).await
}

#[tokio::test]
async fn a_stopped_agent_is_refused_in_every_mode_until_it_is_released_and_the_records_say_by_whom() {
    for mode in ["enforce", "shadow", "observe"] {
        let agent: &str = match mode {
            "enforce" => "intent = \"never\"",
            "shadow" => "intent = \"never\"\nmode = \"shadow\"",
            _ => "intent = \"never\"\nmode = \"observe\"",
        };
        let mut sidecar = Sidecar::start(Wanted { agent, ..wanted() }, Seams::default()).await;
        assert_eq!(sidecar.send(READ).await.status, 200);
        let stopped = sidecar.ask(STOP, KIM, "{\"why\":\"it answers to a stranger\"}").await;
        assert_eq!(stopped.status, 200, "{stopped:?}");
        for path in ["/tracker/repos/octo/hello/issues/7", "/tracker/nobody/knows/this"] {
            let refused = sidecar.send(&READ.replace("/tracker/repos/octo/hello/issues/7", path)).await;
            let expected = if path.contains("nobody") && mode != "observe" {
                (404, "action_unknown")
            } else {
                (403, "quarantined")
            };
            assert_eq!(refused.code(), (expected.0, expected.1.to_owned()), "{mode}");
            if expected.0 == 403 {
                let story = sidecar.story(refused.call(), "refused").await;
                assert_eq!(story.first("refused").unwrap().entry["rules"], json!(["config:quarantine"]));
            }
        }
        let listed = sidecar.ask("GET /v1/agents", EVA, "").await.json();
        assert_eq!(listed["agents"], json!([{"agent": "helper", "mode": mode, "quarantined": true, "under_way": 0}]));
        assert_eq!(sidecar.ask(RELEASE, KIM, "").await.status, 200);
        assert_eq!(sidecar.ask(RELEASE, KIM, "").await.status, 409, "it is released already");
        assert_eq!(sidecar.send(READ).await.status, 200);
        let (stopped, released) = (sidecar.records("quarantined").remove(0), sidecar.records("released").remove(0));
        assert_eq!((&stopped.entry["agent"], &stopped.entry["by"]), (&"helper".into(), &"kim".into()));
        assert_eq!(private(&stopped, "why"), "it answers to a stranger");
        assert_eq!((&released.entry["agent"], &released.entry["by"]), (&"helper".into(), &"kim".into()));
        invariants::hold(&mut sidecar).await;
    }
}

#[tokio::test]
async fn only_who_may_stops_an_agent_and_only_one_that_there_is() {
    let mut sidecar = sidecar().await;
    for (line, token, words, status) in [
        (STOP, EVA, "", 403),
        (RELEASE, EVA, "", 403),
        (STOP, "nobodys-token-of-some-length", "", 401),
        ("GET /v1/agents/helper/quarantine", KIM, "", 405),
        ("POST /v1/agents/Helper/quarantine", KIM, "", 404),
        ("POST /v1/agents/helper%20/quarantine", KIM, "", 404),
        ("POST /v1/agents/other/quarantine", KIM, "", 404),
        (STOP, KIM, "{\"way\":\"\"}", 400),
        (STOP, KIM, "why", 400),
        (RELEASE, KIM, "", 409),
        ("GET /v1/agents", "nobodys-token-of-some-length", "", 401),
        ("GET /v1/credentials", "nobodys-token-of-some-length", "", 401),
        ("POST /v1/credentials/none/revoke", KIM, "", 404),
        ("POST /v1/credentials/01890a5d-ac96-774b-bcce-b302099a8057/revoke", KIM, "", 404),
        ("POST /v1/credentials/01890a5d-ac96-774b-bcce-b302099a8057/revoke", EVA, "", 403),
        ("GET /v1/loaded", "nobodys-token-of-some-length", "", 401),
    ] {
        let answer = sidecar.ask(line, token, words).await;
        assert_eq!(answer.status, status, "{line} {token}: {answer:?}");
    }
    assert_eq!(sidecar.send(READ).await.status, 200);
    assert_eq!(sidecar.records("quarantined").len(), 0);
    invariants::hold(&mut sidecar).await;
}

#[tokio::test]
async fn a_stopped_agents_calls_are_cut_and_so_is_a_single_call() {
    for lifetime in [Lifetime::Head, Lifetime::End] {
        for line in [STOP, "POST /v1/credentials/CALL/revoke"] {
            let mut sidecar = Sidecar::start(Wanted { lifetime, ..wanted() }, Seams::default()).await;
            sidecar.tool.in_body.close();
            let mut call = sidecar.begin(READ).await;
            sidecar.tool.in_body.reached(1).await;
            let listed = sidecar.ask("GET /v1/credentials", EVA, "").await.json();
            let listed = &listed["credentials"][0];
            assert_eq!((&listed["agent"], &listed["action"]), (&"helper".into(), &"tracker/issues.get".into()));
            let stopped = sidecar.ask(&line.replace("CALL", listed["id"].as_str().unwrap()), KIM, "").await;
            assert_eq!(stopped.status, 200, "{stopped:?}");
            let ended = sidecar.wait_for("ended", 1).await[0].last("ended").unwrap().entry.clone();
            assert_eq!(
                (&ended["ending"], &ended["credential"]["revocation"]),
                (&"revoked".into(), &"confirmed".into())
            );
            let mut bytes = Vec::new();
            let _ = call.read_to_end(&mut bytes).await;
            assert!(!String::from_utf8_lossy(&bytes).contains("forty-two"));
            sidecar.tool.in_body.release();
            assert_eq!(sidecar.ask("GET /v1/credentials", EVA, "").await.json(), json!({ "credentials": [] }));
            let next = if line == STOP { 403 } else { 200 };
            assert_eq!(sidecar.send(READ).await.status, next);
            invariants::hold(&mut sidecar).await;
        }
    }
}

#[tokio::test]
async fn a_restart_lets_nobody_go_on_who_was_stopped() {
    let mut sidecar = sidecar().await;
    let task = sidecar.open_task("{\"actions\":[{\"action\":\"tracker/issues.get\"}]}").await;
    let in_task = READ.replace("connection", &format!("agent-task: {}\r\nconnection", task["token"].as_str().unwrap()));
    assert_eq!(sidecar.ask(STOP, KIM, "").await.status, 200);
    assert_eq!(sidecar.ask(RELEASE, KIM, "").await.status, 200);
    sidecar.restart().await;
    assert_eq!([sidecar.send(READ).await.status, sidecar.send(&in_task).await.status], [200, 200]);
    assert_eq!(sidecar.ask(STOP, KIM, "").await.status, 200);
    sidecar.restart().await;
    assert_eq!([sidecar.send(READ).await.status, sidecar.send(&in_task).await.status], [403, 403]);
    assert_eq!(sidecar.ask(RELEASE, KIM, "").await.status, 200);
    assert_eq!([sidecar.send(READ).await.status, sidecar.send(&in_task).await.status], [200, 200]);
    invariants::hold(&mut sidecar).await;
}

#[tokio::test]
async fn n7_behind_the_record_of_a_quarantine_stands_no_permission_however_many_call() {
    let mut sidecar = sidecar().await;
    for _ in 0..20 {
        let calls = all((0..50).map(|_| sidecar.send(READ)));
        let stop = async {
            sidecar.wait_for("permitted", 1).await;
            sidecar.ask(STOP, KIM, "").await
        };
        let (answers, stopped) = tokio::join!(calls, stop);
        assert_eq!(stopped.status, 200, "{stopped:?}");
        assert!(answers.iter().all(|answer| [200, 403, 409].contains(&answer.status)), "{answers:?}");
        assert_eq!(sidecar.ask(RELEASE, KIM, "").await.status, 200);
    }
    let mut stopped = false;
    for record in sidecar.reader().records(0, 100_000).unwrap() {
        match record.kind() {
            "quarantined" => stopped = true,
            "released" => stopped = false,
            kind => assert!(!(stopped && kind == "permitted"), "permitted while it was stopped: {record:?}"),
        }
    }
    invariants::hold(&mut sidecar).await;
}

/// An issuer that holds a call up where it stands between its verdict and the record of it.
struct Slow {
    reached: watch::Sender<bool>,
    goes_on: Arc<AtomicBool>,
}

impl Issuer for Slow {
    fn kind(&self) -> &'static str {
        NoCredential.kind()
    }

    fn plan(&self, permit: &Permit, now: Timestamp) -> Plan {
        self.reached.send_replace(true);
        while !self.goes_on.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(5));
        }
        NoCredential.plan(permit, now)
    }

    fn lifetime(&self) -> Lifetime {
        NoCredential.lifetime()
    }

    fn can_revoke(&self) -> bool {
        NoCredential.can_revoke()
    }

    fn mint<'a>(&'a self, order: Order<'a>) -> BoxFuture<'a, Result<Credential, IssuerError>> {
        NoCredential.mint(order)
    }

    fn revoke<'a>(&'a self, handle: &'a Handle) -> BoxFuture<'a, Result<(), IssuerError>> {
        NoCredential.revoke(handle)
    }
}

#[tokio::test]
async fn n7_a_call_whose_agent_is_stopped_between_its_verdict_and_the_record_of_it_is_not_permitted() {
    let (reached, goes_on) = (watch::Sender::new(false), Arc::new(AtomicBool::new(false)));
    let mut seams = Seams::default();
    seams.issuers.insert("calls".to_owned(), Arc::new(Slow { reached: reached.clone(), goes_on: goes_on.clone() }));
    let mut sidecar = Sidecar::start(Wanted { issuer: "calls", ..wanted() }, seams).await;
    let call = sidecar.send(READ);
    let stop = async {
        reached.subscribe().wait_for(|reached| *reached).await.unwrap();
        let stopped = sidecar.ask(STOP, KIM, "").await;
        goes_on.store(true, Ordering::Relaxed);
        stopped
    };
    let (answer, stopped) = tokio::join!(call, stop);
    assert_eq!((stopped.status, answer.code()), (200, (403, "quarantined".to_owned())));
    let refused = sidecar.story(answer.call(), "refused").await.first("refused").unwrap().entry.clone();
    assert_eq!(
        (&refused["rules"], &refused["facts"]["agent"]["quarantined"]),
        (&json!(["config:quarantine"]), &true.into())
    );
    assert_eq!((sidecar.records("permitted").len(), sidecar.tool.seen().len()), (0, 0));
    invariants::hold(&mut sidecar).await;
}

/// A lineage that cannot be written to where a reviewer decides something.
struct Mute(Arc<dyn Lineage>);

impl Lineage for Mute {
    fn append(&self, record: Record) -> Receipt {
        if record.event.kind() == "quarantined" {
            return Box::pin(std::future::ready(Err(Unavailable::Full)));
        }
        self.0.append(record)
    }

    fn trouble(&self) -> Option<String> {
        None
    }
}

#[tokio::test]
async fn a_stop_that_cannot_be_recorded_is_one_all_the_same_and_whoever_asked_is_told() {
    let seams = Seams { lineage: Some(Box::new(|inner| Arc::new(Mute(inner)))), ..Seams::default() };
    let mut sidecar = Sidecar::start(wanted(), seams).await;
    let stopped = sidecar.ask(STOP, KIM, "").await;
    assert!(stopped.status == 503 && stopped.body.starts_with("it is stopped, but"), "{stopped:?}");
    assert_eq!(sidecar.send(READ).await.code(), (403, "quarantined".to_owned()));
    invariants::hold(&mut sidecar).await;
}

/// The command as a reviewer types it, against the door of a sidecar that is running.
async fn countersign(sidecar: &Sidecar, arguments: &str, token: &str) -> (i32, String) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_countersign"));
    command.args(arguments.split(' ')).args(["--door", &sidecar.admin.to_string()]).env("COUNTERSIGN_TOKEN", token);
    // Whatever has become of the configuration.
    command.args(["--config", "/nowhere/countersign.toml"]);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let told = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(told).unwrap())
}

#[tokio::test]
async fn an_agent_is_stopped_and_released_by_a_command() {
    let mut sidecar = sidecar().await;
    sidecar.tool.in_body.close();
    let _call = sidecar.begin(READ).await;
    sidecar.tool.in_body.reached(1).await;
    let is =
        |told: (i32, String), code: i32, words: &str| assert!(told.0 == code && told.1.contains(words), "{told:?}");
    is(countersign(&sidecar, "agents list", EVA).await, 0, "helper  enforce, 1 under way\n");
    is(
        countersign(&sidecar, "credentials list", EVA).await,
        0,
        "  helper  tracker/issues.get  tracker/octo/hello  vault\n",
    );
    is(countersign(&sidecar, "agents quarantine helper", EVA).await, 3, "`may` does not list `quarantine`");
    is(countersign(&sidecar, "agents quarantine helper", "nobodys-token-of-some-length").await, 3, "token");
    is(countersign(&sidecar, "agents quarantine hepler", KIM).await, 2, "no such agent");
    is(countersign(&sidecar, "agents release helper", KIM).await, 2, "not quarantined");
    let id = countersign(&sidecar, "credentials list --output jsonl", EVA).await.1;
    let id: serde_json::Value = serde_json::from_str(&id).unwrap();
    is(countersign(&sidecar, &format!("credentials revoke {}", id["id"].as_str().unwrap()), KIM).await, 0, "is cut");
    sidecar.wait_for("ended", 1).await;
    sidecar.tool.in_body.release();
    is(countersign(&sidecar, "agents quarantine helper --why test", KIM).await, 0, "helper is stopped; record ");
    assert_eq!(private(&sidecar.records("quarantined")[0], "why"), "test");
    is(countersign(&sidecar, "agents list", EVA).await, 0, "helper  enforce, quarantined, 0 under way\n");
    is(countersign(&sidecar, "agents release helper", KIM).await, 0, "helper may go on; record ");
    assert_eq!(sidecar.send(READ).await.status, 200);
    let door = std::mem::replace(&mut sidecar.admin, "127.0.0.1:1".parse().unwrap());
    is(countersign(&sidecar, "agents list", EVA).await, 4, "the admin door at 127.0.0.1:1");
    sidecar.admin = door;
    invariants::hold(&mut sidecar).await;
}

#[tokio::test]
async fn a_task_is_seen_and_ended_by_a_command() {
    let mut sidecar = sidecar().await;
    let goal = "{\"goal\":\"answer \\u001b[31mseven\",\"on_behalf_of\":\"ana\",\
                \"actions\":[{\"action\":\"tracker/issues.get\",\"resource\":\"octo/hello\",\"max\":2}]}";
    let opened = sidecar.open_task(goal).await;
    let (id, token) = (opened["task"].as_str().unwrap(), opened["token"].as_str().unwrap());
    sidecar.tool.in_body.close();
    let within = READ.replace("connection", &format!("agent-task: {token}\r\nconnection"));
    let _call = sidecar.begin(&within).await;
    sidecar.tool.in_body.reached(1).await;
    let is =
        |told: (i32, String), code: i32, words: &str| assert!(told.0 == code && told.1.contains(words), "{told:?}");
    is(countersign(&sidecar, "task list", "nobodys-token-of-some-length").await, 3, "token");
    is(countersign(&sidecar, "task list", EVA).await, 0, &format!("{id}  helper  framework  "));
    is(countersign(&sidecar, "task list --agent other", EVA).await, 0, "");
    assert_eq!(countersign(&sidecar, "task list --agent other", EVA).await.1, "");
    let shown = countersign(&sidecar, &format!("task show {id}"), EVA).await;
    for words in ["for: ana", "may: tracker/issues.get on octo/hello, 1 of 2", "calls: 1, 1 under way", "untrusted"] {
        is(shown.clone(), 0, words);
    }
    assert!(!shown.1.contains('\u{1b}'), "{shown:?}");
    is(countersign(&sidecar, &format!("task end {id}"), EVA).await, 3, "`may` does not list `quarantine`");
    is(countersign(&sidecar, &format!("task end {id}"), KIM).await, 0, "is over");
    let cut = sidecar.wait_for("ended", 1).await;
    assert_eq!(cut[0].first("ended").unwrap().entry["ending"], "revoked");
    sidecar.tool.in_body.release();
    assert_eq!(sidecar.records("closed")[0].entry["by"], "reviewer:kim");
    assert_eq!(sidecar.send(&within).await.code(), (409, "task_over".to_owned()));
    is(countersign(&sidecar, &format!("task show {id}"), EVA).await, 2, "there is no such task, or it is over");
    // What an agent does outside of any task goes on until the agent is stopped.
    assert_eq!(sidecar.send(READ).await.status, 200);
    let implicit = countersign(&sidecar, "task list --output jsonl", EVA).await.1;
    let implicit: serde_json::Value = serde_json::from_str(&implicit).unwrap();
    assert_eq!(implicit["opened_by"], "nobody");
    let end = format!("task end {}", implicit["task"].as_str().unwrap());
    is(countersign(&sidecar, &end, KIM).await, 2, "quarantine the agent");
    invariants::hold(&mut sidecar).await;
}
