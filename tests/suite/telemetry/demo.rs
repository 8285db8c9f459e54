//! The demo, told to a receiver that knows OTLP by the definitions OpenTelemetry publishes.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::suite::common::checkout::checkout;

fn can_receive() -> bool {
    let look = "import opentelemetry.proto.collector.trace.v1.trace_service_pb2";
    Command::new("python3").args(["-c", look]).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// What the receiver got while the demo ran.
fn received() -> Vec<Value> {
    let script = checkout("tests/suite/telemetry/receiver.py");
    let mut receiver = Command::new("python3").arg(script).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(receiver.stdout.take().unwrap()).lines().map(Result::unwrap);
    let port = lines.next().unwrap();
    let demo = Command::new(env!("CARGO_BIN_EXE_countersign"))
        .args(["demo", "--otlp", &format!("http://127.0.0.1:{port}")])
        .output()
        .unwrap();
    receiver.kill().unwrap();
    receiver.wait().unwrap();
    assert!(demo.status.success(), "{}", String::from_utf8_lossy(&demo.stderr));
    lines.map(|line| serde_json::from_str(&line).unwrap()).collect()
}

fn each<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    value[name].as_array().into_iter().flatten()
}

#[test]
fn a_real_receiver_gets_the_demo_as_one_connected_trace_a_task() {
    if !can_receive() {
        println!("left out: there is no `python3` with `opentelemetry-proto`");
        return;
    }
    let received = received();
    assert!(
        received.iter().all(|message| message["whole"] == true),
        "there are fields that the definitions do not have"
    );
    let resources = |path: &str, name: &str| {
        let messages = received.iter().filter(|message| message["path"] == path);
        messages.flat_map(|message| each(&message["message"], name).cloned().collect::<Vec<_>>()).collect::<Vec<_>>()
    };
    // By the bytes of their ids, which are their tasks' and so in the order of time; in base64 they would not be.
    let mut traces: BTreeMap<Vec<u8>, Vec<Value>> = BTreeMap::new();
    for resource in resources("/v1/traces", "resourceSpans") {
        assert_eq!(resource["resource"]["attributes"][0]["value"]["stringValue"], "countersign");
        for span in each(&resource, "scopeSpans").flat_map(|scope| each(scope, "spans")) {
            let trace = STANDARD.decode(span["traceId"].as_str().unwrap()).unwrap();
            traces.entry(trace).or_default().push(span.clone());
        }
    }
    let shape = |spans: &Vec<Value>| {
        let names: Vec<&str> = spans.iter().map(|span| span["name"].as_str().unwrap()).collect();
        let failed = spans.iter().filter(|span| span["status"]["code"] == "STATUS_CODE_ERROR").count();
        (names.into_iter().map(str::to_owned).collect::<BTreeSet<_>>(), failed)
    };
    let shapes: Vec<_> = traces.values().map(shape).collect();
    let named = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    let benign = ["open_task", "execute_tool tracker/issues.get", "execute_tool tracker/comments.create"];
    let injected = [
        "open_task",
        "execute_tool tracker/issues.get",
        "execute_tool drive/files.get",
        "execute_tool drive/files.share",
    ];
    assert_eq!(shapes, [(named(&benign), 0), (named(&injected), 1)], "{traces:#?}");
    for spans in traces.values() {
        let ids: BTreeSet<&str> = spans.iter().map(|span| span["spanId"].as_str().unwrap()).collect();
        let roots: Vec<&Value> = spans.iter().filter(|span| span["parentSpanId"].is_null()).collect();
        assert_eq!((ids.len(), roots.len()), (spans.len(), 1));
        assert!(STANDARD.decode(roots[0]["spanId"].as_str().unwrap()).unwrap().len() == 8);
        let connected = |span: &&Value| ids.contains(span["parentSpanId"].as_str().unwrap());
        assert!(spans.iter().filter(|span| !span["parentSpanId"].is_null()).all(|span| connected(&span)));
        let ends = |span: &Value| {
            let at = |name: &str| span[name].as_str().unwrap().parse::<u64>().unwrap();
            at("startTimeUnixNano") <= at("endTimeUnixNano")
        };
        assert!(spans.iter().all(ends));
    }
    let metrics: BTreeSet<String> = resources("/v1/metrics", "resourceMetrics")
        .iter()
        .flat_map(|resource| {
            each(resource, "scopeMetrics").flat_map(|scope| each(scope, "metrics")).cloned().collect::<Vec<_>>()
        })
        .map(|metric| metric["name"].as_str().unwrap().to_owned())
        .collect();
    assert!(metrics.contains("countersign_calls_total") && metrics.contains("countersign_call_seconds"), "{metrics:?}");
}
