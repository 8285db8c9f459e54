//! Spans and metrics that are sent: what they say, what they never say, and that no call waits for them.

mod demo;
mod kept;
mod received;

use std::sync::Arc;
use std::time::{Duration, Instant};

use countersign::app::Seams;
use countersign::telemetry::{Attribute, Step};

use self::received::{Span, counted, spans, wait_for};
use super::common::sidecar::{Answer, READ, Sidecar, Wanted, all};
use super::common::spellings::{canary, spelled};
use super::common::tool::Tool;

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// A sidecar that tells this receiver, with further lines of `[telemetry]`.
async fn telling(receiver: &str, lines: &str, wanted: Wanted) -> Sidecar {
    let more = format!("[telemetry]\notlp = \"{receiver}\"\n{lines}\n{}", wanted.more);
    Sidecar::start(Wanted { more, ..wanted }, Seams::default()).await
}

fn read_with(headers: &str) -> String {
    READ.replace("connection:", &format!("{headers}connection:"))
}

fn in_task(opened: &serde_json::Value) -> String {
    format!("agent-task: {}\r\n", opened["token"].as_str().unwrap())
}

/// What the tool was told of the trace by its last call.
fn told(tool: &Tool, name: &str) -> Option<String> {
    let seen = tool.seen();
    let mut values = seen.last().unwrap().headers().get_all(name).iter();
    let value = values.next().map(|value| value.to_str().unwrap().to_owned());
    assert!(values.next().is_none());
    value
}

fn of<'a>(spans: &'a [Span], answer: &Answer) -> &'a Span {
    let id = answer.call().to_string();
    spans.iter().find(|span| span.said.get("gen_ai.tool.call.id") == Some(&id)).expect("the call's span")
}

#[tokio::test]
async fn the_calls_of_a_task_are_one_trace_that_begins_with_its_opening() {
    let receiver = Tool::start().await;
    let sidecar = telling(&receiver.origin, "", Wanted::default()).await;
    let opened = sidecar.open_task(r#"{"goal":"look"}"#).await;
    let first = sidecar.send(&read_with(&in_task(&opened))).await;
    let mark = told(&sidecar.tool, "traceparent").unwrap();
    let second = sidecar.send(&read_with(&in_task(&opened))).await;
    let refused = sidecar.send(&read_with(&in_task(&opened)).replace("/repos/", "/nothing/")).await;
    assert_eq!((first.status, second.status, refused.status), (200, 200, 404));
    let spans = wait_for(&receiver, 4).await;
    let task = opened["task"].as_str().unwrap();
    let root = spans.iter().find(|span| span.name == "open_task").unwrap();
    assert_eq!((root.trace.as_str(), root.parent.as_str()), (&*task.replace('-', ""), ""));
    for answer in [&first, &second, &refused] {
        let span = of(&spans, answer);
        assert_eq!((&span.trace, &span.parent), (&root.trace, &root.id));
        assert_eq!(
            (span.said["gen_ai.agent.name"].as_str(), span.said["gen_ai.conversation.id"].as_str()),
            ("helper", task)
        );
    }
    let span = of(&spans, &first);
    assert_eq!(mark, format!("00-{}-{}-01", span.trace, span.id), "the tool is told the call's own span");
    assert_eq!((span.name.as_str(), span.failed), ("execute_tool tracker/issues.get", false));
    for (key, value) in [
        ("gen_ai.operation.name", "execute_tool"),
        ("gen_ai.tool.name", "tracker/issues.get"),
        ("countersign.decision", "allow"),
        ("countersign.ending", "completed"),
        ("http.response.status_code", "200"),
        ("server.address", "127.0.0.1"),
    ] {
        assert_eq!(span.said[key], value, "{key}");
    }
    assert_eq!(span.events, Step::ALL.map(Step::name));
    assert!(span.took > 0);
    let span = of(&spans, &refused);
    assert_eq!(
        (span.failed, span.said["error.type"].as_str(), span.name.as_str()),
        (true, "action_unknown", "execute_tool")
    );
    for span in spans.iter().filter(|span| span.name != "open_task") {
        let known = |key: &String| Attribute::ALL.iter().any(|attribute| attribute.name() == key);
        assert!(span.said.keys().all(known), "{span:?}");
    }
}

#[tokio::test]
async fn an_agents_trace_goes_on_and_names_its_task_by_a_link() {
    let receiver = Tool::start().await;
    let sidecar = telling(&receiver.origin, "", Wanted::default()).await;
    let opened = sidecar.open_task(r#"{"goal":"look"}"#).await;
    let headers = format!("{}traceparent: {PARENT}\r\ntracestate: a=b\r\nbaggage: secret=1\r\n", in_task(&opened));
    let answer = sidecar.send(&read_with(&headers)).await;
    let mark = told(&sidecar.tool, "traceparent").unwrap();
    assert_eq!((told(&sidecar.tool, "tracestate").as_deref(), told(&sidecar.tool, "baggage")), (Some("a=b"), None));
    let spans = wait_for(&receiver, 2).await;
    let (root, span) = (spans.iter().find(|span| span.name == "open_task").unwrap(), of(&spans, &answer));
    assert_eq!((span.trace.as_str(), span.parent.as_str()), (TRACE, "b7ad6b7169203331"));
    assert_eq!(mark, format!("00-{TRACE}-{}-01", span.id));
    assert_eq!(span.links, [(root.trace.clone(), root.id.clone())]);
}

#[tokio::test]
async fn what_is_no_traceparent_is_followed_by_nothing() {
    let receiver = Tool::start().await;
    let sidecar = telling(&receiver.origin, "", Wanted::default()).await;
    let wrong = PARENT.replace("00-", "ff-");
    let answer = sidecar.send(&read_with(&format!("traceparent: {wrong}\r\ntracestate: a=b\r\n"))).await;
    assert_eq!(told(&sidecar.tool, "tracestate"), None, "it belongs to a trace that does not go on");
    let spans = wait_for(&receiver, 1).await;
    let span = of(&spans, &answer);
    assert_eq!((span.trace.as_str(), span.parent.as_str()), (&*answer.call().to_string().replace('-', ""), ""));
    assert_eq!(told(&sidecar.tool, "traceparent").unwrap(), format!("00-{}-{}-01", span.trace, span.id));
}

#[tokio::test]
async fn a_task_that_is_opened_in_a_trace_has_its_calls_and_children_there() {
    let receiver = Tool::start().await;
    let sidecar = telling(&receiver.origin, "", Wanted::default()).await;
    let body = r#"{"goal":"look"}"#;
    let open = |more: &str, body: &str| {
        let framework = super::common::sidecar::FRAMEWORK;
        format!(
            "POST /-/tasks HTTP/1.1\r\nhost: HOST\r\nauthorization: Bearer {framework}\r\n{more}connection: close\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let opened = sidecar.send(&open(&format!("traceparent: {PARENT}\r\n"), body)).await.json();
    let child = format!(r#"{{"goal":"look","parent":{}}}"#, opened["task"]);
    let child = sidecar.send(&open("", &child)).await.json();
    let answer = sidecar.send(&read_with(&in_task(&child))).await;
    let spans = wait_for(&receiver, 3).await;
    assert!(spans.iter().all(|span| span.trace == TRACE), "{spans:#?}");
    let opening = |task: &serde_json::Value| {
        spans.iter().find(|span| span.name == "open_task" && span.said["gen_ai.conversation.id"] == *task).unwrap()
    };
    let (parent, child) = (opening(&opened["task"]), opening(&child["task"]));
    assert_eq!((parent.parent.as_str(), &child.parent), ("b7ad6b7169203331", &parent.id));
    assert_eq!(of(&spans, &answer).parent, child.id);
}

#[tokio::test]
async fn whether_a_trace_is_kept_is_its_beginners_word_unless_ours_goes_first() {
    let not_kept = format!("traceparent: {}\r\n", PARENT.replace("-01", "-00"));
    for (lines, agent_keeps, kept) in [
        ("", true, true),
        ("", false, false),
        ("follow = false", false, true),
        ("sample = 0.0", true, true),
        ("sample = 0.0\nfollow = false", true, false),
    ] {
        let receiver = Tool::start().await;
        let mut sidecar = telling(&receiver.origin, lines, Wanted::default()).await;
        let sent = if agent_keeps { format!("traceparent: {PARENT}\r\n") } else { not_kept.clone() };
        assert_eq!(sidecar.send(&read_with(&sent)).await.status, 200);
        let mark = told(&sidecar.tool, "traceparent").unwrap();
        assert!(mark.contains(TRACE) && mark.ends_with(if kept { "-01" } else { "-00" }), "{lines}: {mark}");
        sidecar.stop().await;
        assert_eq!(spans(&receiver).len(), usize::from(kept), "{lines}");
    }
}

#[tokio::test]
async fn a_call_that_somebody_agreed_to_follows_from_its_first_try() {
    let receiver = Tool::start().await;
    let policy = "@id(\"all\") permit(principal, action, resource);\n\
        @id(\"asks\") @ask(\"lead\") forbid(principal, action in Action::\"effect:read\", resource);\n";
    let sidecar = telling(&receiver.origin, "", Wanted { policy, ..Wanted::default() }).await;
    let asked = sidecar.send(&read_with(&format!("traceparent: {PARENT}\r\n"))).await;
    let id = asked.json()["approval"]["id"].as_str().unwrap().to_owned();
    let approve = format!("POST /v1/approvals/{id}/approve");
    assert_eq!(sidecar.ask(&approve, "a-token-of-whoever-is-asked-in-tests", "{}").await.status, 200);
    let resume = format!(
        "POST /-/approvals/{id}/resume HTTP/1.1\r\nhost: HOST\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    );
    assert_eq!(sidecar.send(&resume).await.status, 200);
    let spans = wait_for(&receiver, 2).await;
    let with = |decision: &str| spans.iter().find(|span| span.said["countersign.decision"] == decision).unwrap();
    let (first, second) = (with("ask"), with("allow"));
    assert_eq!((first.parent.as_str(), first.trace.as_str(), &second.trace), ("b7ad6b7169203331", TRACE, &first.trace));
    assert_eq!((&second.parent, first.said["error.type"].as_str()), (&first.id, "needs_approval"));
    assert_ne!(first.id, second.id);
    assert_eq!(told(&sidecar.tool, "traceparent").unwrap(), format!("00-{TRACE}-{}-01", second.id));
}

#[tokio::test]
async fn what_is_secret_or_a_strangers_stands_in_no_span_and_no_metric() {
    let receiver = Tool::start().await;
    let mut sidecar = telling(&receiver.origin, "", Wanted::default()).await;
    let (word, framework) = (canary(), super::common::sidecar::FRAMEWORK);
    let opened = sidecar.open_task(&serde_json::json!({ "goal": word, "on_behalf_of": word }).to_string()).await;
    let said = word.replace('"', "");
    let headers = format!(
        "{}agent-intent: action=\"issues.get\", purpose=\"{said}\"\r\nbaggage: k={said}\r\nuser-agent: {said}\r\n\
         x-api-key: {said}\r\ncookie: {said}\r\ntraceparent: {PARENT}\r\ntracestate: k={said}\r\n",
        in_task(&opened)
    );
    let hex = said.strip_prefix("CANARY+/").unwrap();
    for request in [
        read_with(&headers),
        read_with(&headers).replace("/issues/7", &format!("/issues/{hex}?q={hex}")),
        read_with(&headers).replace("octo", hex),
        read_with(&headers).replace("/tracker/", &format!("/{hex}/")),
    ] {
        sidecar.send(&request).await;
    }
    assert!(sidecar.tool.seen().iter().any(|request| request.headers().contains_key("authorization")), "one was lent");
    let lent: Vec<String> = sidecar
        .tool
        .seen()
        .iter()
        .filter_map(|request| Some(request.headers().get("authorization")?.to_str().unwrap().replace("Bearer ", "")))
        .collect();
    let metrics = super::common::wire::Agent::new(sidecar.admin)
        .ask("GET /metrics HTTP/1.1\r\nhost: HOST\r\nconnection: close\r\n\r\n")
        .await
        .body;
    sidecar.stop().await;
    assert_eq!(spans(&receiver).len(), 5);
    let sent: Vec<u8> = receiver
        .seen()
        .iter()
        .flat_map(|request| {
            let headers = request.headers().values().flat_map(|value| value.as_bytes().to_vec());
            headers.chain(request.uri().to_string().into_bytes()).chain(request.body().to_vec()).collect::<Vec<u8>>()
        })
        .collect();
    let token = opened["token"].as_str().unwrap();
    for secret in lent.iter().map(String::as_str).chain([word.as_str(), hex, token, framework]) {
        assert_eq!(spelled(&sent, secret), None, "a receiver got `{secret}`");
        assert_eq!(spelled(metrics.as_bytes(), secret), None, "the metrics have `{secret}`");
    }
}

#[tokio::test]
async fn metrics_are_sent_as_they_are_shown() {
    let receiver = Tool::start().await;
    let mut sidecar = telling(&receiver.origin, "every = \"1h\"", Wanted::default()).await;
    for _ in 0..3 {
        sidecar.send(READ).await;
    }
    sidecar.send(&READ.replace("/repos/", "/nothing/")).await;
    assert_eq!(sidecar.metric("countersign_call_seconds_count{outcome=\"answered\"}").await, 3);
    sidecar.stop().await;
    let of = |name: &str, label: (&str, &str)| {
        let points = counted(&receiver, name);
        let named = |labels: &std::collections::BTreeMap<String, String>| {
            labels.get(label.0).is_some_and(|value| value == label.1)
        };
        points.iter().filter(|(labels, _)| named(labels)).map(|(_, count)| count).sum::<f64>()
    };
    for (name, label, count) in [
        ("countersign_calls_total", ("outcome", "answered"), 3.0),
        ("countersign_calls_total", ("code", "action_unknown"), 1.0),
        ("countersign_call_seconds", ("outcome", "answered"), 3.0),
        ("countersign_call_seconds", ("outcome", "refused"), 1.0),
        ("countersign_spans_total", ("outcome", "dropped"), 0.0),
    ] {
        assert!((of(name, label) - count).abs() < 1e-9, "{name} {label:?}: {}", of(name, label));
    }
}

#[tokio::test]
async fn a_receiver_that_is_away_or_hangs_costs_no_call_its_answer() {
    let hanging = Tool::start().await;
    hanging.before_head.close();
    for (receiver, fate) in [("http://127.0.0.1:1", Some("failed")), (hanging.origin.as_str(), None)] {
        let mut sidecar = telling(receiver, "every = \"50ms\"", Wanted::default()).await;
        let begun = Instant::now();
        for _ in 0..40 {
            assert_eq!(sidecar.send(READ).await.status, 200);
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        assert!(begun.elapsed() < Duration::from_secs(8), "forty calls took {:?}", begun.elapsed());
        if let Some(fate) = fate {
            assert!(sidecar.metric(&format!("countersign_spans_total{{outcome=\"{fate}\"}}")).await > 0);
        }
        let begun = Instant::now();
        assert!(sidecar.stop().await);
        assert!(begun.elapsed() < Duration::from_secs(6), "stopping took {:?}", begun.elapsed());
    }
    assert!(hanging.begun() > 0, "it was asked");
}

#[tokio::test]
async fn names_that_an_agent_makes_up_make_no_series() {
    let sidecar = Arc::new(Sidecar::usual().await);
    let series = async || {
        let text = super::common::wire::Agent::new(sidecar.admin)
            .ask("GET /metrics HTTP/1.1\r\nhost: HOST\r\nconnection: close\r\n\r\n")
            .await
            .body;
        text.lines().filter(|line| !line.starts_with('#')).count()
    };
    let before = series().await;
    let made_up = |number: usize| {
        let sidecar = sidecar.clone();
        async move {
            let request = match number % 3 {
                0 => READ.replace("/tracker/", &format!("/tool-{number}/")),
                1 => READ.replace("/repos/", &format!("/path-{number}/")),
                _ => read_with(&format!("agent-task: token-{number}\r\n")),
            };
            assert!(sidecar.send(&request).await.status >= 400);
        }
    };
    for round in 0..10 {
        all((0..30).map(|number| made_up(round * 30 + number))).await;
    }
    assert_eq!(series().await, before);
    assert!(before < 120, "{before} series");
}
