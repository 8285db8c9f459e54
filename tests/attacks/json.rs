//! Bodies, types and names that two parsers read differently (ATTACKS J1 to J8): one reading, or none.

use std::process::Command;

use countersign::app::Seams;
use countersign::config::Config;
use serde_json::Value;

use super::bench::{Bench, CATALOG, POLICY, get, judged, post, request, wanted};
use crate::suite::common::invariants::private;
use crate::suite::common::sidecar::{Wanted, lay_out};

async fn is_unclear(bench: &Bench, target: &str, body: &[u8]) {
    let length = format!("content-length: {}", body.len());
    let head = request(&format!("POST {target}"), &["content-type: application/json", &length], "");
    let exchange = bench.is_turned_away([head.as_bytes(), body].concat(), 400).await;
    assert_eq!(exchange.answers[0].code().1, "request_unclear", "{}", String::from_utf8_lossy(body));
}

#[tokio::test]
async fn a_name_stands_once() {
    let bench = Bench::usual().await;
    for body in [
        r#"{"amount":1,"amount":1000}"#,
        r#"{"amount":1000,"amount":1}"#,
        r#"{"amount":1,"amoun\u0074":1000}"#,
        r#"{"amount":1,"Amount":1000}"#,
        r#"{"amount":1,"AMOUNT":1000}"#,
        r#"{"Amount":1000}"#,
        r#"{"amount":1,"x":{"y":1,"y":2}}"#,
        r#"{"amount":1,"x":[{"y":1},{"z":1,"Z":2}]}"#,
        r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"read","Name":"admin"},"amount":1}"#,
        r#"{"jsonrpc":"2.0","method":"tools/call","Method":"tools/list","amount":1}"#,
    ] {
        is_unclear(&bench, "/tracker/pay", body.as_bytes()).await;
    }
    // Also where no policy reads the body: whoever reads it there may care.
    is_unclear(&bench, "/tracker/notes", br#"{"a":1,"a":2}"#).await;
    assert_eq!(bench.a.connections(), 0);
    bench.hold().await;
}

#[tokio::test]
async fn a_body_is_one_document_of_utf_8() {
    let bench = Bench::usual().await;
    let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
    let bodies: [&[u8]; 20] = [
        b"{}{}",
        b"{\"amount\":1}{\"amount\":1000}",
        b"{\"amount\":1} x",
        b"{\"amount\":1}\0",
        b"\xef\xbb\xbf{\"amount\":1}",
        b"{\"amount\":1,\"to\":\"\xff\"}",
        b"{\"amount\":1,\"to\":\"\xc0\xae\"}",
        b"{\"amount\":1,\"to\":\"\\ud800\"}",
        b"{\"amount\":1,\"to\":\"\\udc00\\ud800\"}",
        b"{\"amount\":1,\"to\":\"\x01\"}",
        b"{\"amount\":1}// x",
        b"/* x */{\"amount\":1}",
        b"{\"amount\":1,}",
        b"{'amount':1}",
        b"{amount:1}",
        b"{\"amount\":NaN}",
        b"{\"amount\":Infinity}",
        b"{\"amount\":01}",
        b"\x00{\x00}",
        deep.as_bytes(),
    ];
    for body in bodies {
        is_unclear(&bench, "/tracker/pay", body).await;
    }
    assert_eq!(bench.a.connections(), 0);
    bench.hold().await;
}

#[tokio::test]
async fn a_number_is_judged_as_everybody_reads_it() {
    let bench = Bench::usual().await;
    for number in [
        "1e400",
        "-1e400",
        "1e2",
        "1E2",
        "100.0",
        "1.0",
        "0.5",
        "-0",
        "9007199254740992",
        "9007199254740993",
        "-9007199254740993",
        "18446744073709551615",
        "18446744073709551616",
        "9223372036854775807",
        "true",
        "null",
        "[1]",
        "{\"amount\":1}",
        "\"\"",
        "\" 1\"",
        "\"+1\"",
        "\"01\"",
        "\"1.0\"",
        "\"0x1\"",
        "\"1e2\"",
        "\"\u{661}\"",
    ] {
        is_unclear(&bench, "/tracker/pay", format!("{{\"amount\":{number}}}").as_bytes()).await;
    }
    for number in ["1e2", "1.00001", "123456789012.1234", "9007199254740993"] {
        is_unclear(&bench, "/tracker/price", format!("{{\"price\":{number}}}").as_bytes()).await;
    }
    // As text, a number has one form; otherwise a rule that compares it is passed by.
    for number in ["1.0", "1.50", "-0", "1e0", "18446744073709551616"] {
        is_unclear(&bench, "/tracker/pay", format!("{{\"amount\":1,\"to\":{number}}}").as_bytes()).await;
    }
    assert_eq!(bench.a.connections(), 0);
    // A number and its text mean the same to the rule; what is sent is what was written.
    for (number, status) in
        [("100", 200), ("\"100\"", 200), ("-5", 200), ("101", 403), ("\"101\"", 403), ("9007199254740991", 403)]
    {
        let answer = bench.ask(post("/tracker/pay", &format!("{{\"amount\":{number}}}"))).await;
        assert_eq!(answer.status, status, "{number}: {answer:?}");
    }
    let sent: Vec<String> =
        bench.a.requests().iter().map(|seen| String::from_utf8(seen.body.clone()).unwrap()).collect();
    assert_eq!(sent, [r#"{"amount":100}"#, r#"{"amount":"100"}"#, r#"{"amount":-5}"#]);
    assert_eq!(bench.ask(post("/tracker/pay", "{}")).await.status, 403, "one that is not there is not a small one");
    bench.hold().await;
}

#[tokio::test]
async fn a_body_of_very_many_names_is_refused_quickly() {
    let bench = Bench::usual().await;
    let members: Vec<String> = (0..400_000).map(|name| format!("\"n{name}\":0")).collect();
    let started = std::time::Instant::now();
    is_unclear(&bench, "/tracker/pay", format!("{{\"amount\":1,{}}}", members.join(",")).as_bytes()).await;
    assert!(started.elapsed() < std::time::Duration::from_secs(5), "{:?}", started.elapsed());
    is_unclear(&bench, "/tracker/notes", "[".repeat(10_000).as_bytes()).await;
    bench.hold().await;
}

#[tokio::test]
async fn a_body_is_of_the_type_that_is_read() {
    let bench = Bench::usual().await;
    let body = r#"{"amount":1}"#;
    let sent = |target: &str, fields: &[&str]| {
        let length = format!("content-length: {}", body.len());
        request(&format!("POST {target}"), &[fields, &[&length]].concat(), body)
    };
    for (types, status) in [
        (&["content-type: application/json; charset=utf-7"][..], 415),
        (&["content-type: application/json; charset=utf-16"], 415),
        (&["content-type: application/json;CHARSET=\"ISO-8859-1\""], 415),
        (&["content-type: application/json; charset=utf-8; charset=utf-16"], 400),
        (&["content-type: application/json", "content-type: text/plain"], 400),
        (&["content-type: application/json", "content-type: application/json"], 400),
        (&["content-type: application/json, text/plain"], 415),
        (&["content-type: multipart/form-data; boundary=a; boundary=b"], 400),
        (&["content-type: multipart/form-data; boundary=a; BOUNDARY=b"], 400),
        (&["content-type: multipart/form-data; boundary=a"], 415),
        (&["content-type: application/x-www-form-urlencoded"], 415),
        (&["content-type: text/plain"], 415),
        (&["content-type: application/grpc"], 415),
        (&["content-type: application/grpc+json"], 415),
        (&["content-type: application/grpc-web"], 415),
        (&["content-type: "], 415),
        (&[], 415),
    ] {
        bench.is_turned_away(sent("/tracker/pay", types), status).await;
    }
    // Even where nobody reads the body, it has one type and one boundary, and is not gRPC.
    for (types, status) in [
        ("content-type: multipart/form-data; boundary=a; boundary=b", 400),
        ("content-type: application/grpc", 415),
        ("content-type: application/json; charset=utf-16", 415),
    ] {
        bench.is_turned_away(sent("/tracker/notes", &[types]), status).await;
    }
    assert_eq!(bench.a.connections(), 0);
    let json = ["application/json", "application/json;charset=UTF-8", "Application/JSON", "application/problem+json"];
    for of in json.map(|of| format!("content-type: {of}")) {
        assert_eq!(bench.ask(sent("/tracker/pay", &[&of])).await.status, 200, "{of}");
    }
    bench.hold().await;
}

#[tokio::test]
async fn a_body_that_is_encoded_is_not_judged_and_not_sent() {
    let bench = Bench::usual().await;
    for coding in ["gzip", "br", "zstd", "deflate", "gzip, gzip", "identity, gzip", "x-gzip", "GZIP", ""] {
        let fields = [&format!("content-encoding: {coding}"), "content-type: application/json", "content-length: 12"];
        bench.is_turned_away(request("POST /tracker/pay", &fields, r#"{"amount":1}"#), 415).await;
    }
    let fields = ["content-encoding: identity", "content-type: application/json", "content-length: 12"];
    assert_eq!(bench.ask(request("POST /tracker/pay", &fields, r#"{"amount":1}"#)).await.status, 200);
    let (seen, story) = bench.calls(1).await.remove(0);
    let (_, _, digest) = judged(story.first("permitted").unwrap());
    assert_eq!(digest, countersign::model::Digest::of(&seen.body).to_string());
    bench.hold().await;
}

#[tokio::test]
async fn a_name_that_only_looks_like_a_tools_is_no_tool() {
    let bench = Bench::start(Wanted { agent: "intent = \"always\"", ..wanted() }, Seams::default()).await;
    for name in [
        "tr%D0%B0cker",
        "tracker%E2%80%8B",
        "%E2%80%AEtracker",
        "%EF%BD%94racker",
        "Tracker",
        "TRACKER",
        "tracker%20",
        "tracker.",
        "%74racker",
        "tracker%00",
        "tracke%CC%A7r",
        "tracker:80",
    ] {
        let answer = bench.ask(get(&format!("/{name}/a"))).await;
        assert_eq!(answer.code(), (404, "tool_unknown".to_owned()), "{name}");
    }
    for name in ["tr\u{430}cker", "tracker\u{200b}", "\u{202e}tracker", "\u{ff54}racker"] {
        let exchange = bench.exchange(get(&format!("/{name}/a")), 1).await;
        assert!(matches!(exchange.statuses()[..], [400 | 404]), "{name}: {exchange:?}");
    }
    // Nor is what it says it does.
    for intent in [
        "action=\"Read\"",
        "action=\"read \"",
        "action=\"r%65ad\"",
        "action=%\"r%d0%b5ad\"",
        "action=%\"read%e2%80%8b\"",
        "action=%\"%ef%bd%92ead\"",
    ] {
        let answer = bench.ask(request("GET /tracker/a", &[&format!("agent-intent: {intent}")], "")).await;
        assert_eq!(answer.code(), (422, "intent_mismatch".to_owned()), "{intent}: {answer:?}");
    }
    assert_eq!(bench.a.connections(), 0);
    assert_eq!(bench.ask(request("GET /tracker/a", &["agent-intent: action=\"read\""], "")).await.status, 200);
    bench.hold().await;
}

/// Starts nothing: `countersign check` on a folder with this configuration, catalog and policy. Its exit code, and what it
/// printed; no code, if it was killed.
pub fn check(config: impl Fn(&str) -> String, catalog: &str, policy: &str) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let text = lay_out(folder.path(), "http://127.0.0.1:9", &Wanted { issuer: "calls", ..wanted() });
    std::fs::write(folder.path().join("countersign.toml"), config(&text)).unwrap();
    std::fs::write(folder.path().join("tracker.toml"), catalog).unwrap();
    std::fs::write(folder.path().join("policies/main.cedar"), policy).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
    let output = command.args(["check", "--config"]).arg(folder.path().join("countersign.toml")).output().unwrap();
    let told = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&told).into_owned())
}

#[test]
fn a_configuration_says_each_thing_once_and_nothing_unknown() {
    let same = |text: &str| text.to_owned();
    let (code, told) = check(same, CATALOG, POLICY);
    assert_eq!(code, Some(0), "{told}");
    let deep = format!("x = {}{}\n", "[".repeat(100_000), "]".repeat(100_000));
    let long = format!("x = [{}]\n", "1,".repeat(500_000));
    let inline = format!("x = {}1{}\n", "{a=".repeat(100_000), "}".repeat(100_000));
    for lines in [
        "plaintext = true\nplaintext = true\n",
        "\"plaintext\" = false\n",
        "[tools.tracker]\nissuer = \"vault\"\n",
        "[agents.helper]\ntools = []\n",
        "[agents.\"helper\"]\ntools = []\n",
        "[tools.\"tr\u{430}cker\"]\nupstream = \"https://a.example\"\ncatalog = \"tracker.toml\"\nissuer = \"calls\"\n",
        "[tools.Tracker]\nupstream = \"https://a.example\"\ncatalog = \"tracker.toml\"\nissuer = \"calls\"\n",
        "[tools.other]\nupstream = \"https://a.example\"\ncatalog = \"tracker.toml\"\nissuer = \"calls\"\nplaintext = no\n",
        "[tools.other]\nupstream = \"https://a.example\"\ncatalog = \"tracker.toml\"\nissuer = \"calls\"\nplaintext = \"no\"\n",
        "[tools.other]\nupstream = \"https://a.example\"\ncatalog = \"tracker.toml\"\nissuer = \"calls\"\nplaintext = 0\n",
        "[tools.other]\nupstream = \"https://a.example\"\ncatalog = \"tracker.toml\"\nissuer = \"calls\"\nPlaintext = true\n",
        "[unknown]\nx = 1\n",
        "x: 1\n",
        "\u{feff}x = 1\n",
        "x = \"\0\"\n",
        &deep,
        &long,
        &inline,
    ] {
        let (code, told) = check(|text| format!("{text}{lines}"), CATALOG, POLICY);
        let shown: String = lines.chars().take(80).collect();
        assert_eq!(code, Some(2), "{shown}: {}", told.chars().take(500).collect::<String>());
    }
    // Before the tables, a bare key is the file's own.
    let (code, _) = check(|text| format!("{deep}{text}"), CATALOG, POLICY);
    assert_eq!(code, Some(2));
    assert!(Config::parse("x = 1", std::path::Path::new(".")).is_err());
}

#[test]
fn a_catalog_says_each_thing_once_and_nothing_unknown() {
    let action = "match = \"GET /x\"\neffect = \"read\"\nresource = \"x\"\n";
    let same = |text: &str| text.to_owned();
    let deep = format!("scope = {{ a = {}{} }}\n", "[".repeat(100_000), "]".repeat(100_000));
    for catalog in [
        format!("[actions.a]\n{action}[actions.a]\n{action}"),
        format!("[actions.a]\n{action}[actions.\"a\"]\n{action}"),
        format!("[actions.a]\n{action}effect = \"read\"\n"),
        format!("[actions.a]\n{action}[actions.b]\n{action}"),
        format!("[actions.a]\n{action}unknown = 1\n"),
        format!("[actions.a]\n{}", action.replace("read", "Read")),
        format!("[actions.a]\n{}", action.replace("GET", "get")),
        format!("[actions.a]\n{}", action.replace("/x", "/x/../y")),
        format!("[actions.a]\n{}", action.replace("/x", "/\u{445}")),
        format!("[actions.a]\n{action}facts = {{ a = \"query:a\", a = \"query:b\" }}\n"),
        format!("[actions.a]\n{action}facts = {{ a = {{ at = \"query:a\", type = \"Long\" }} }}\n"),
        format!("[actions.a]\n{action}{deep}"),
        format!("[actions]\nx = 1\n[actions.a]\n{action}"),
        format!("unknown = 1\n[actions.a]\n{action}"),
    ] {
        let (code, told) = check(same, &catalog, POLICY);
        let shown: String = catalog.chars().take(200).collect();
        assert_eq!(code, Some(2), "{shown}: {}", told.chars().take(500).collect::<String>());
    }
}

#[test]
fn a_policy_says_each_thing_once_and_nothing_unknown() {
    let same = |text: &str| text.to_owned();
    let rule = "permit(principal, action, resource)";
    let deep = |open: &str, close: &str| {
        format!("@id(\"a\") {rule} when {{ {}true{} }};", open.repeat(50_000), close.repeat(50_000))
    };
    for policy in [
        format!("@id(\"a\") {rule};\n@id(\"a\") {rule};"),
        format!("@id(\"a\") @id(\"b\") {rule};"),
        format!("@id(\"a\") @unknown(\"b\") {rule};"),
        "@id(\"a\") @code(\"b\") forbid(principal, action, resource);".to_owned(),
        format!("@id(\"a\") {rule} when {{ context.unknown }};"),
        format!("@id(\"a\") {rule} when {{ no }};"),
        "@id(\"a\") permit(principal, action == Action::\"tr\u{430}cker/read\", resource);".to_owned(),
        "@id(\"a\") permit(principal, action == Action::\"tracker/Read\", resource);".to_owned(),
        format!("@id(\"a\") {rule}"),
        format!("@id(\"a\") {rule};\0"),
        deep("(", ")"),
        deep("!", ""),
        deep("[", "]"),
        deep("{a: ", "}"),
        deep("if true then ", " else true"),
        deep("if true then (", ") else true"),
        deep("", " && true"),
        deep("", " || true"),
        deep("", ".a"),
    ] {
        let (code, told) = check(same, CATALOG, &policy);
        let shown: String = policy.chars().take(120).collect();
        assert_eq!(code, Some(2), "{shown}: {}", told.chars().take(500).collect::<String>());
    }
}

#[tokio::test]
async fn what_is_recorded_of_a_body_is_what_was_sent() {
    let bench = Bench::usual().await;
    let body = "{ \"amount\" : 7 , \"to\" : \"a\\u0041\\n\" }\n";
    assert_eq!(bench.ask(post("/tracker/pay", body)).await.status, 200);
    let (seen, story) = bench.calls(1).await.remove(0);
    assert_eq!(seen.body, body.as_bytes());
    let permitted = story.first("permitted").unwrap();
    assert_eq!(judged(permitted).2, countersign::model::Digest::of(body.as_bytes()).to_string());
    assert_eq!(private(permitted, "args")["amount"], 7);
    assert_eq!(private(permitted, "args")["to"], Value::from("aA\n"));
    bench.hold().await;
}
