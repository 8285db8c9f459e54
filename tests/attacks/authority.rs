//! Who a request says it is for, and what its headers would have done (ATTACKS B1 to B18, but B13): one host, one target,
//! no header that is not listed, one credential.

use countersign::app::Seams;

use super::bench::{Bench, get, judged, post, request, wanted};
use crate::suite::common::sidecar::Wanted;
use crate::suite::common::wire::Message;

/// The headers that a plain GET may have at the upstream.
const PLAIN: [&str; 4] = ["accept-encoding", "authorization", "host", "via"];

fn names(message: &Message) -> Vec<&str> {
    let mut names: Vec<&str> = message.fields.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn there_is_one_host_and_it_is_the_doors() {
    let bench = Bench::usual().await;
    let with = |host: &str| format!("GET /tracker/a HTTP/1.1\r\n{host}connection: close\r\n\r\n");
    for (host, status) in [
        ("", 400),
        ("host: HOST\r\nhost: HOST\r\n", 400),
        ("host: HOST\r\nhost: evil.test\r\n", 400),
        ("host: HOST\r\nHost: HOST\r\n", 400),
        ("host: HOST/abc?x=\r\n", 400),
        ("host: HOST?x\r\n", 400),
        ("host: HOST#x\r\n", 400),
        ("host: a@HOST\r\n", 400),
        ("host: HOST@evil.test\r\n", 400),
        ("host: 127.0.0.1:99999\r\n", 400),
        ("host: 127.0.0.1:0\r\n", 400),
        ("host: 127.0.0.1:\r\n", 400),
        ("host: 127.0.0.1:+80\r\n", 400),
        ("host: [::1\r\n", 400),
        ("host: \r\n", 400),
        ("host: HOST, HOST\r\n", 400),
        ("host: HOST HOST\r\n", 400),
        ("host: evil.test\r\n", 421),
        ("host: 127.0.0.1\r\n", 421),
        ("host: 127.0.0.1:1\r\n", 421),
        ("host: [::1]\r\n", 421),
        ("host: localhost.evil.test\r\n", 421),
    ] {
        let answer = bench.is_turned_away(with(host), status).await.answers.remove(0);
        let code = if status == 400 { "request_unclear" } else { "wrong_host" };
        assert_eq!(answer.code().1, code, "{host}");
    }
    assert_eq!(bench.ask(with("host:HOST\r\n")).await.status, 200);
    bench.hold().await;
}

#[tokio::test]
async fn a_target_is_a_path_and_nothing_else() {
    let bench = Bench::usual().await;
    let b = bench.b.address;
    for (line, status) in [
        (format!("GET http://{b}/foo"), 400),
        (format!("GET http://{b}/tracker/a"), 400),
        ("GET http://HOST/tracker/a".to_owned(), 400),
        (format!("GET http://HOST@{b}/tracker/a"), 400),
        (format!("GET //{b}/tracker/a"), 404),
        (format!("GET {b}"), 400),
        ("GET evil.test:443".to_owned(), 400),
        ("OPTIONS *".to_owned(), 400),
        ("GET *".to_owned(), 400),
        (format!("CONNECT {b}"), 405),
        ("CONNECT 169.254.169.254:80".to_owned(), 405),
        ("CONNECT /tracker/a".to_owned(), 405),
    ] {
        let exchange = bench.exchange(request(&line, &[], ""), 1).await;
        let status_found = exchange.statuses();
        // Some of these no reader of HTTP takes for a request at all.
        assert!(status_found == [status] || status_found == [400], "{line}: {exchange:?}");
        assert!(exchange.closed, "{line}");
    }
    assert_eq!((bench.a.connections(), bench.sidecar.vault.minted()), (0, 0));
    bench.hold().await;
}

#[tokio::test]
async fn a_method_is_on_the_list_in_capitals() {
    let bench = Bench::usual().await;
    for method in ["get", "Get", "GE!T", "GETX", "BREW", "TRACE", "PROPFIND", "PURGE", "PRI"] {
        let answer =
            bench.is_turned_away(request(&format!("{method} /tracker/a"), &[], ""), 405).await.answers.remove(0);
        assert_eq!(answer.code().1, "method_unknown", "{method}");
    }
    let fields =
        ["x-http-method-override: DELETE", "x-http-method: DELETE", "x-method-override: DELETE", "_method: DELETE"];
    assert_eq!(bench.ask(request("GET /tracker/a?_method=DELETE", &fields, "")).await.status, 200);
    let (seen, story) = bench.calls(1).await.remove(0);
    assert_eq!(seen.start, "GET /a?_method=DELETE HTTP/1.1");
    assert_eq!(names(&seen), PLAIN);
    let (method, target, _) = judged(story.first("permitted").unwrap());
    assert_eq!((method.as_str(), target.as_str()), ("GET", "/a?_method=DELETE"));
    bench.hold().await;
}

#[tokio::test]
async fn no_header_speaks_for_the_sidecar() {
    let bench = Bench::usual().await;
    let plain = bench.ask(get("/tracker/a")).await;
    let inner = [
        "x-sidecar-bypass: 1",
        "x-sidecar-agent: admin",
        "countersign-call: 01890000-0000-7000-8000-000000000000",
        "countersign-agent: admin",
        "x-agent-id: admin",
        "X-AGENT-ID: admin",
        "x_agent_id: admin",
        "X_Agent_Id: admin",
        "agent: admin",
        "agent-name: admin",
        "mcp-init-host: evil.test",
        "x-authenticated-user: admin",
        "x-remote-user: admin",
        "content_length: 9",
    ];
    let made_up = ["agent-approval: 01890000-0000-7000-8000-000000000000"];
    let refused = bench.ask(request("GET /tracker/a", &made_up, "")).await;
    assert_eq!(refused.code(), (403, "denied".to_owned()), "nobody gave it");
    let answer = bench.ask(request("GET /tracker/a", &inner, "")).await;
    assert_eq!((plain.status, answer.status), (200, 200), "{answer:?}");
    assert!(!answer.head.contains("01890000-0000"), "{answer:?}");
    let calls = bench.calls(2).await;
    for (seen, story) in &calls {
        assert_eq!(names(seen), PLAIN);
        assert_eq!(story.first("permitted").unwrap().entry["agent"], "helper");
    }
    // Header fields of which there is one are there once.
    for field in ["agent-task", "agent-parent-call", "agent-approval", "content-type", "authorization"] {
        let twice = format!("{field}: Bearer a");
        bench.is_turned_away(request("GET /tracker/a", &[&twice, &twice], ""), 400).await;
        bench.is_turned_away(request("GET /tracker/a", &[&twice, &twice.to_ascii_uppercase()], ""), 400).await;
    }
    bench.hold().await;
}

#[tokio::test]
async fn a_header_with_several_values_is_passed_with_all_of_them_or_not_at_all() {
    let tool = "request_headers = [\"x-role\"]";
    let bench = Bench::start(Wanted { tool, ..wanted() }, Seams::default()).await;
    assert_eq!(bench.ask(request("GET /tracker/a", &["x-role: user,admin", "X-Role: root"], "")).await.status, 200);
    let (seen, _) = bench.calls(1).await.remove(0);
    assert_eq!(seen.all("x-role"), ["user,admin", "root"]);
    // What is judged by is read from all lines, too: two intents that do not agree are none.
    let intents = ["agent-intent: action=\"read\"", "agent-intent: action=\"admin\", resource=\"x\""];
    let both = bench.ask(request("GET /tracker/a", &intents, "")).await;
    let story = bench.sidecar.story(both.call(), if both.status == 200 { "permitted" } else { "refused" }).await;
    let declared = crate::suite::common::invariants::private(&story.records[0], "declared");
    assert!(
        both.status != 200 || declared["action"] == "admin",
        "the last of a dictionary's members counts: {story:?}"
    );
    bench.hold().await;
}

#[tokio::test]
async fn connection_takes_nothing_away_that_was_judged_or_lent() {
    let bench = Bench::usual().await;
    let fields = [
        "connection: authorization, x-api-key, x-forwarded-for, host, accept-encoding",
        "proxy-connection: keep-alive",
        "keep-alive: timeout=5",
        "te: trailers",
        "accept: a/b",
    ];
    assert_eq!(bench.ask(request("GET /tracker/a", &fields, "")).await.status, 200);
    let (seen, _) = bench.calls(1).await.remove(0);
    assert_eq!(names(&seen), ["accept", "accept-encoding", "authorization", "host", "via"]);
    assert_eq!(seen.all("authorization"), [format!("Bearer {}", bench.sidecar.vault.secret(1))]);
    assert_eq!(seen.all("host"), [bench.a.address.to_string()]);
    let named = request("GET /tracker/a", &["connection: accept", "accept: a/b"], "");
    assert_eq!(bench.ask(named).await.code(), (400, "request_unclear".to_owned()));
    bench.hold().await;
}

#[tokio::test]
async fn the_only_credential_that_arrives_is_the_one_that_was_lent() {
    let bench = Bench::usual().await;
    let own = [
        "authorization: Bearer own-secret",
        "cookie: session=own-secret",
        "proxy-authorization: Basic b3duLXNlY3JldA==",
        "x-api-key: own-secret",
        "api-key: own-secret",
        "x-auth-token: own-secret",
        "x-amz-security-token: own-secret",
        "x-amz-date: 20260101T000000Z",
        "x-goog-api-key: own-secret",
        "private-token: own-secret",
        "dpop: own-secret",
    ];
    let answer = bench.ask(request("GET /tracker/a", &own, "")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let (seen, story) = bench.calls(1).await.remove(0);
    assert_eq!(names(&seen), PLAIN);
    assert!(!seen.fields.iter().any(|(_, value)| value.contains("own-secret")), "{seen:?}");
    assert_eq!(story.first("permitted").unwrap().entry["brought_credential"], true);
    // One in the query cannot be taken out of what was judged, so the call is refused.
    for query in [
        "access_token=own-secret",
        "x=1&access_token=own-secret",
        "ACCESS_TOKEN=own-secret",
        "api_key=own-secret",
        "apikey=own-secret",
        "api-key=own-secret",
        "X-Amz-Signature=own-secret",
        "X-Amz-Security-Token=own-secret",
        "X-Goog-Signature=own-secret",
        "access_token",
    ] {
        let refused = bench.is_turned_away(get(&format!("/tracker/a?{query}")), 400).await;
        assert_eq!(refused.answers[0].code().1, "request_unclear", "{query}");
    }
    let mut told = vec![("the log".to_owned(), bench.sidecar.logged.bytes())];
    crate::suite::common::invariants::gather(bench.sidecar.folder.path(), &mut told);
    for (what, bytes) in told {
        assert!(!crate::suite::common::spellings::holds(&bytes, b"own-secret"), "{what}");
    }
    bench.hold().await;
}

#[tokio::test]
async fn where_a_request_says_it_was_for_changes_nothing() {
    let bench = Bench::usual().await;
    let b = bench.b.address;
    let fields = [
        "x-forwarded-for: 1.2.3.4".to_owned(),
        format!("x-forwarded-host: {b}"),
        "x-forwarded-proto: https".to_owned(),
        "x-forwarded-uri: /ok".to_owned(),
        format!("forwarded: for=1.2.3.4;host={b}"),
        "x-original-url: /ok".to_owned(),
        "x-rewrite-url: /ok".to_owned(),
        "x-original-uri: /ok".to_owned(),
        "x-envoy-original-path: /ok".to_owned(),
        format!("x-host: {b}"),
        "x-real-ip: 127.0.0.1".to_owned(),
        "via: 1.1 good".to_owned(),
    ];
    let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
    assert_eq!(bench.ask(request("GET /tracker/admin", &fields, "")).await.status, 403);
    assert_eq!(bench.ask(request("GET /tracker/a", &fields, "")).await.status, 200);
    let (seen, _) = bench.calls(1).await.remove(0);
    assert_eq!((seen.start.as_str(), names(&seen)), ("GET /a HTTP/1.1", PLAIN.to_vec()));
    bench.hold().await;
}

#[tokio::test]
async fn whoever_waits_to_send_a_body_that_no_call_may_have_is_not_asked_for_it() {
    let bench = Bench::usual().await;
    let large = (11 << 20).to_string();
    for (line, host, length, status) in [
        ("POST /tracker/notes", "HOST", large.as_str(), 413),
        ("POST /tracker/notes", "evil.test", "4", 421),
        ("BREW /tracker/notes", "HOST", "4", 405),
        ("CONNECT evil.test:443", "HOST", "4", 405),
        ("POST /nothing/notes", "HOST", "70000", 404),
    ] {
        let bytes =
            format!("{line} HTTP/1.1\r\nhost: {host}\r\nexpect: 100-continue\r\ncontent-length: {length}\r\n\r\n");
        let exchange = bench.exchange(bytes, 1).await;
        assert_eq!((exchange.statuses(), exchange.closed), (vec![status], true), "{line}");
    }
    assert_eq!((bench.a.connections(), bench.sidecar.vault.minted()), (0, 0));
    // Of one that may have a body no more is read than it takes.
    let expecting = post("/tracker/admin", "{}").replace("connection: close", "expect: 100-continue");
    let exchange = bench.exchange(expecting, 2).await;
    assert_eq!(exchange.statuses(), [100, 403]);
    bench.hold().await;
}
