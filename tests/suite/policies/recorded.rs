//! A lineage made by a real sidecar, with many kinds of calls in it; and the program run on it.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use countersign::app::Seams;
use countersign::model::CallId;
use serde_json::Value;

use crate::suite::common::sidecar::{Answer, Sidecar, Wanted};

pub const CATALOG: &str = r#"
[actions."issues.get"]
match = "GET /repos/{owner}/{repo}/issues/{number}"
effect = "read"
resource = "{owner}/{repo}"
yields = [{ at = "/body", label = "untrusted" }]
facts = { number = { at = "path:number", type = "long" } }

[actions."files.get"]
match = "GET /files/{name}"
effect = "read"
resource = "{name}"
yields = [{ at = "", label = "private" }]

[actions."comments.create"]
match = "POST /repos/{owner}/{repo}/issues/{number}/comments"
effect = "write"
resource = "{owner}/{repo}"
facts = { title = "body:/title", urgent = { at = "body:/urgent", type = "bool" } }

[actions."bills.pay"]
match = "POST /bills/{name}"
effect = "spend"
resource = "{name}"
facts = { amount = { at = "body:/amount", type = "decimal" } }

[actions."files.send"]
match = "POST /files/{name}/send"
effect = "send"
resource = "{name}"
facts = { to = "body:/to" }
"#;

pub const POLICY: &str = r#"
@id("look") @ttl("7s") permit(principal, action in Action::"effect:read", resource);
permit(principal, action in Action::"effect:write", resource) when { context.intent.declared };
@id("urgent") @ttl("3s") permit(principal, action, resource) when { context.args has urgent && context.args.urgent };
@id("small") permit(principal, action in Action::"effect:spend", resource)
when { context.args has amount && context.args.amount.lessThan(decimal("100.0")) };
@id("sends") permit(principal, action in Action::"effect:send", resource) when { context.task.declared };
@id("ours") @reason("not this one") forbid(principal, action, resource == Resource::"tracker/octo/secret");
@id("over") forbid(principal, action, resource)
when { context.args has number && context.args.number + 9223372036854775800 > 0 && context.args.number > 100 };
@id("boss") @ask("ana") forbid(principal, action in Action::"effect:spend", resource)
unless { context.task has on_behalf_of && context.task.on_behalf_of == "ana" };
@id("sent-after") @opaque forbid(principal, action in Action::"effect:send", resource)
when { context.labels.containsAll(["private", "untrusted"]) };
@id("later") @shadow forbid(principal, action, resource) when { context.chain.calls > 3 };
@id("title") @shadow forbid(principal, action, resource) when { context.args has title && context.args.title like "*!*" };
"#;

const AGENTS: [&str; 3] = ["helper", "quiet", "free"];

/// A sidecar with an agent for each mode.
pub async fn start() -> Sidecar {
    let token = |agent: &str| format!("the-token-of-{agent}");
    let more = "[agents.quiet]\nidentify = [{ token = { file = \"quiet.token\" } }]\ntools = [\"tracker\"]\nmode = \"shadow\"\n\
                [agents.free]\nidentify = [{ token = { file = \"free.token\" } }]\ntools = [\"tracker\"]\nmode = \"observe\"\n";
    let wanted = Wanted {
        policy: POLICY,
        identify: "identify = [{ token = { file = \"helper.token\" } }]".to_owned(),
        agent: "intent = \"writes\"\ngroups = [\"staff\"]\nlimits = [{ per = \"task\", requests = 12, window = \"1h\" }]\nchain = { max_repeats = 2 }",
        catalog: CATALOG,
        more: more.to_owned(),
        files: AGENTS
            .map(|agent| {
                (
                    ["helper.token", "quiet.token", "free.token"].into_iter().find(|it| it.starts_with(agent)).unwrap(),
                    token(agent),
                )
            })
            .to_vec(),
        ..Wanted::default()
    };
    Sidecar::start(wanted, Seams::default()).await
}

/// One request of an agent.
pub struct Asks<'a> {
    pub agent: &'a str,
    pub task: &'a str,
    pub intent: &'a str,
    pub body: &'a str,
}

pub const HELPER: Asks<'static> = Asks { agent: "helper", task: "", intent: "", body: "" };

/// Sends it; gives the call and the status.
pub async fn ask(sidecar: &Sidecar, line: &str, asks: &Asks<'_>) -> (CallId, u16) {
    let Asks { agent, task, intent, body } = asks;
    let mut request =
        format!("{line} HTTP/1.1\r\nhost: HOST\r\nconnection: close\r\nauthorization: Bearer the-token-of-{agent}\r\n");
    for (name, value) in [("agent-task", task), ("agent-intent", intent)] {
        if !value.is_empty() {
            write!(request, "{name}: {value}\r\n").unwrap();
        }
    }
    if !body.is_empty() {
        write!(request, "content-type: application/json\r\ncontent-length: {}\r\n", body.len()).unwrap();
    }
    let answer: Answer = sidecar.send(&format!("{request}\r\n{body}")).await;
    (answer.call(), answer.status)
}

const COMMENT: &str = r#"action="comments.create", resource="octo/hello", purpose="answer""#;

/// Calls of every kind: each what it is to come to.
pub async fn traffic(sidecar: &Sidecar) {
    let opened = sidecar
        .open_task(r#"{"goal":"all sorts","on_behalf_of":"ana","actions":[{"action":"tracker/files.send","resource":"a.txt"},{"action":"tracker/bills.pay"}]}"#)
        .await;
    let task = opened["token"].as_str().unwrap();
    let other = sidecar.open_task(r#"{"goal":"less","actions":[{"action":"tracker/bills.pay"}]}"#).await;
    let other = other["token"].as_str().unwrap();
    let (issue, comments) =
        ("GET /tracker/repos/octo/hello/issues/7", "POST /tracker/repos/octo/hello/issues/7/comments");
    let (pay, send) = ("POST /tracker/bills/rent", "POST /tracker/files/a.txt/send");
    let in_task = Asks { task, ..HELPER };
    let said = Asks { intent: COMMENT, ..in_task };
    for (line, asks, status) in [
        (issue, &HELPER, 200),
        ("GET /tracker/repos/octo/hello/issues/101", &HELPER, 403),
        ("GET /tracker/repos/octo/secret/issues/7", &HELPER, 403),
        ("GET /tracker/nothing/at/all", &HELPER, 404),
        (send, &Asks { body: r#"{"to":"bo"}"#, ..in_task }, 200),
        (send, &Asks { body: r#"{"to":"bo \"€\" \u202e"}"#, ..Asks { task: other, ..HELPER } }, 422),
        (pay, &Asks { body: r#"{"amount":"99.5"}"#, ..in_task }, 200),
        (pay, &Asks { body: r#"{"amount":"100.25"}"#, ..in_task }, 403),
        (pay, &Asks { body: r#"{"amount":"1.0"}"#, task: other, ..HELPER }, 428),
        (comments, &Asks { body: r#"{"title":"no!","urgent":false}"#, ..said }, 200),
        (comments, &Asks { body: r#"{"title":"x","urgent":true}"#, ..said }, 200),
        (comments, &Asks { body: r#"{"title":"y"}"#, ..in_task }, 422),
        (comments, &Asks { intent: r#"action="comments.create", resource="octo/other""#, body: "{}", ..in_task }, 422),
        ("GET /tracker/files/b.txt", &in_task, 200),
        (issue, &in_task, 200),
        (send, &Asks { body: r#"{"to":"mallory"}"#, ..in_task }, 403),
        (issue, &in_task, 200),
        (issue, &in_task, 200),
        (issue, &in_task, 429),
        (issue, &Asks { agent: "quiet", ..HELPER }, 200),
        (send, &Asks { agent: "quiet", body: r#"{"to":"bo"}"#, ..HELPER }, 200),
        (pay, &Asks { agent: "free", body: r#"{"amount":"1000.0"}"#, ..HELPER }, 200),
        (comments, &Asks { agent: "free", body: r#"{"title":"z"}"#, ..HELPER }, 200),
        (issue, &Asks { agent: "nobody", ..HELPER }, 401),
    ] {
        let (call, got) = ask(sidecar, line, asks).await;
        assert_eq!(got, status, "{line} {} {}: {:?}", asks.body, asks.agent, sidecar.reader().story(call).unwrap());
    }
}

/// Runs the program in the sidecar's folder; gives its exit code and what it printed.
pub fn run(folder: &Path, arguments: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_countersign")).args(arguments).current_dir(folder).output().unwrap();
    let printed = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(printed).unwrap())
}

/// The same, as JSON, which must be the whole of what is printed.
pub fn json(folder: &Path, arguments: &[&str]) -> (i32, Value) {
    let (code, printed) = run(folder, &[arguments, &["--output", "json"]].concat());
    (code, serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error}: {printed}")))
}
