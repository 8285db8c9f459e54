//! Paths that two readers could take for different ones (ATTACKS C1 to C12, but C9). Reading under `/admin` is forbidden,
//! everything else is permitted: so each of these is refused, or was judged by the very bytes that the upstream gets.

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::bench::{Bench, get, judged};
use crate::suite::common::wire::Answer;

/// Refused as unclear, with nobody called.
async fn is_unclear(bench: &Bench, path: &str) {
    let exchange = bench.is_turned_away(get(&format!("/tracker{path}")), 400).await;
    // What no reader of HTTP takes for a target has no body.
    let answer = &exchange.answers[0];
    assert!(answer.body.is_empty() || answer.code().1 == "request_unclear", "{path}: {answer:?}");
}

/// Forbidden as what it is.
async fn is_denied(bench: &Bench, path: &str) {
    let answer: Answer = bench.ask(get(&format!("/tracker{path}"))).await;
    assert_eq!(answer.code(), (403, "denied".to_owned()), "{path}");
}

/// Let through, under a name of its own, and sent as it was judged.
async fn is_another(bench: &Bench, path: &str) {
    let before = bench.a.requests().len();
    let answer = bench.ask(get(&format!("/tracker{path}"))).await;
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    let story = bench.sidecar.story(answer.call(), "ended").await;
    let (_, target, _) = judged(story.first("permitted").unwrap());
    assert_eq!((target.as_str(), bench.a.requests()[before].target()), (path, path));
}

#[tokio::test]
async fn a_path_has_no_segment_that_is_no_segment() {
    let bench = Bench::usual().await;
    for path in [
        "/a/../admin",
        "/a/%2e%2e/admin",
        "/a/%2E%2e%2fadmin",
        "/a/%2E%2E%2Fadmin",
        "/../admin",
        "/a/..",
        "/.",
        "/./admin",
        "/a/./admin",
        "/%2e/admin",
        "/a/.%2e/admin",
        "//admin",
        "/a//admin",
        "/a///admin",
        "/admin//",
        "//evil.test/admin",
        "/a\\..\\admin",
        "/a%5c..%5cadmin",
        "/a/..%5cadmin",
        "/\\admin",
        "\\admin",
    ] {
        is_unclear(&bench, path).await;
    }
    bench.hold().await;
}

#[tokio::test]
async fn a_path_has_no_parameters_and_no_character_in_disguise() {
    let bench = Bench::usual().await;
    for path in [
        "/admin;x=1",
        "/admin;",
        "/a/..;/admin",
        "/;/admin",
        "/admin%3bx=1",
        "/admin%3Bx=1",
        "/admin%00",
        "/admin%00.png",
        "/admin%0d%0a",
        "/admin%0A",
        "/admin%7F",
        "/admin%09",
        "/%61dmin",
        "/admi%6E",
        "/%2561dmin",
        "/%25%36%31dmin",
        "/admin%3fx",
        "/admin%3Fx",
        "/admin%23",
        "/a%2fadmin",
        "/a%2Fadmin",
        "/%c0%ae%c0%ae/admin",
        "/%C0%AE%C0%AE/admin",
        "/%E0%80%AE/admin",
        "/%F0%80%80%AE/admin",
        "/%ED%A0%80",
        "/%zz",
        "/%",
        "/a%",
        "/a%2",
        "/%u0061dmin",
        "/a%ef%bc%8fadmin",
    ] {
        is_unclear(&bench, path).await;
    }
    bench.hold().await;
}

#[tokio::test]
async fn a_path_is_ascii() {
    let bench = Bench::usual().await;
    for path in [
        "/ａdmin",
        "/adm\u{131}n",
        "/a\u{300}",
        "/\u{e1}",
        "/admin\u{200b}",
        "/\u{202e}nimda",
        "/ad min",
        "/admin\t",
        "/\"a\"",
        "/<a>",
        "/a|b",
        "/{a}",
        "/a^b",
        "/`a`",
    ] {
        let exchange = bench.exchange(get(&format!("/tracker{path}")), 1).await;
        assert_eq!(exchange.statuses(), [400], "{path}: {exchange:?}");
    }
    assert_eq!(bench.a.connections(), 0);
    bench.hold().await;
}

#[tokio::test]
async fn what_is_forbidden_is_forbidden_in_each_form_it_has() {
    let bench = Bench::usual().await;
    for path in [
        "/admin",
        "/admin/",
        "/admin?x",
        "/admin?",
        "/admin/?x=1",
        "/admin/x",
        "/admin/x/",
        "/admin/%20",
        "/admin/x?y=/ok",
    ] {
        is_denied(&bench, path).await;
    }
    assert_eq!(bench.a.connections(), 0);
    bench.hold().await;
}

#[tokio::test]
async fn what_has_another_name_is_sent_under_that_name() {
    let bench = Bench::usual().await;
    for path in [
        "/ADMIN",
        "/Admin",
        "/admin.",
        "/admin%20",
        "/admin%C4%B1",
        "/%EF%BD%81dmin",
        "/admin%E2%80%8B",
        "/a/admin",
        "/admin,x",
        "/...",
        "/..a",
        "/admin:x",
        "/repos/octo/hello/issues?state=open",
    ] {
        is_another(&bench, path).await;
    }
    bench.hold().await;
}

#[tokio::test]
async fn a_query_that_policies_read_says_each_thing_once() {
    let bench = Bench::usual().await;
    let issues = "/repos/octo/hello/issues";
    for query in [
        "state=open&state=closed",
        "state=open&%73tate=closed",
        "state=open&state",
        "state=a+b",
        "state=%zz",
        "state=%00",
        "state=a;state=b",
        "State=x&state=y",
        "state[]=x",
        "%20state=x",
        "state=a%C0%AE",
        "state=\u{e4}",
    ] {
        is_unclear(&bench, &format!("{issues}?{query}")).await;
    }
    for query in [
        "state=a%20b",
        "state=a%2Bb",
        "id=1&id=2&state=x",
        "id[]=1&id[]=2",
        "x=a+b",
        "state=%61",
        "&&state=x",
        "a/b?c=d",
    ] {
        is_another(&bench, &format!("{issues}?{query}")).await;
    }
    // What is decoded is what the policy sees.
    let answer = bench.ask(get(&format!("/tracker{issues}?state=a%20b%61"))).await;
    let story = bench.sidecar.story(answer.call(), "ended").await;
    let args = crate::suite::common::invariants::private(story.first("permitted").unwrap(), "args");
    assert_eq!(args["state"], "a ba");
    bench.hold().await;
}

/// Whatever path is let through is one that has a single reading, and arrives as it was sent and judged.
#[tokio::test]
async fn no_path_at_all_is_read_in_two_ways() {
    let bench = Bench::usual().await;
    let part = prop_oneof![
        Just("admin".to_owned()),
        Just("..".to_owned()),
        Just(".".to_owned()),
        Just("/".to_owned()),
        Just("%2F".to_owned()),
        Just("%2e".to_owned()),
        Just("%41".to_owned()),
        Just("%20".to_owned()),
        Just("%C3%A4".to_owned()),
        Just(";".to_owned()),
        Just("?".to_owned()),
        Just("\\".to_owned()),
        "[a-zA-Z0-9._~!$&'()*+,=:@-]{1,4}",
        "%[0-9A-Fa-f]{2}",
    ];
    let path = proptest::collection::vec(part, 0..8).prop_map(|parts| format!("/{}", parts.concat()));
    let seed = [7; 32];
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let mut runner = TestRunner::new_with_rng(Config { failure_persistence: None, ..Config::default() }, rng);
    let count = if std::env::var_os("COUNTERSIGN_LONG").is_some() { 3_000 } else { 200 };
    let mut through = 0;
    for _ in 0..count {
        let path = path.new_tree(&mut runner).unwrap().current();
        let before = bench.a.requests().len();
        let answer = bench.ask(get(&format!("/tracker{path}"))).await;
        if answer.status != 200 {
            assert!(matches!(answer.status, 400 | 403 | 404), "{path}: {answer:?}");
            assert_eq!(bench.a.requests().len(), before, "{path}");
            continue;
        }
        through += 1;
        let sent = bench.a.requests()[before].target().to_owned();
        assert_eq!(sent, path);
        let plain = sent.split_once('?').map_or(sent.as_str(), |(plain, _)| plain);
        assert!(plain != "/admin" && !plain.starts_with("/admin/"), "{path}");
        assert_eq!(read_otherwise(plain), plain, "what another reader makes of {path}");
    }
    assert!(through > count / 20, "only {through} of {count} got through: the rest proves little");
    bench.hold().await;
}

/// The path as one makes it that resolves dots, backslashes, doubled slashes and parameters, and writes each segment anew.
fn read_otherwise(path: &str) -> String {
    let mut segments: Vec<String> = Vec::new();
    let slashes = path.replace('\\', "/");
    let last = slashes.split('/').count() - 1;
    for (at, segment) in slashes.split('/').enumerate() {
        let decoded = percent_decode_str(segment.split(';').next().unwrap_or_default()).decode_utf8().unwrap();
        match decoded.as_ref() {
            "." => {}
            ".." => {
                segments.pop();
            }
            "" if at != 0 && at != last => {}
            decoded => segments.push(utf8_percent_encode(decoded, ENCODED).to_string()),
        }
    }
    segments.join("/")
}

/// What a segment holds only as an escape (RFC 3986 §3.3).
const ENCODED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'/')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');
