//! Step 2 as a whole: a request becomes a call, of the very bytes that came in, or is refused.

mod values;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use countersign::model::{
    Argument, Call, CallId, Content, Effect, Evidence, Grant, Incoming, IntentSource, Label, Payload, Peer, Task,
};
use countersign::understand::{Catalog, Error, ToolCatalog, aim, understand};
use http::{HeaderValue, Method, Request};
use proptest::prelude::*;

use crate::suite::common::nouns;

const TRACKER: &str = r#"
[actions."issues.list"]
match = "GET /repos/{owner}/{repo}/issues"
effect = "read"
resource = "{owner}/{repo}"
facts = { state = "query:state", page = { at = "query:page", type = "long" } }
yields = [{ at = "/body", label = "untrusted" }, { at = "/title", label = "untrusted" }]
[actions."issues.create"]
match = "POST /repos/{owner}/{repo}/issues"
effect = "write"
resource = "{owner}/{repo}"
facts = { title = "body:/title", owner = "path:owner" }
scope = { repositories = ["{repo}"], permissions = { issues = "write" }, once = true }
[actions."pay"]
match = "POST /pay"
effect = "spend"
resource = "{body:/to/account}"
facts = { cents = { at = "body:/cents", type = "long" }, amount = { at = "body:/amount", type = "decimal" }, urgent = { at = "body:/urgent", type = "bool" }, note = "body:/note" }
[actions."blobs.put"]
match = "PUT /blobs/{*path}"
effect = "write"
resource = "{path}"
[actions."both"]
match = "GET /both/{*path}"
effect = "read"
resource = "{path}:{query:at}"
"#;

/// What came in, in the words of a test.
#[derive(Clone, Debug)]
struct Sent<'a> {
    method: &'a str,
    target: &'a str,
    headers: Vec<(&'a str, &'a [u8])>,
    body: &'a [u8],
}

impl<'a> Sent<'a> {
    fn get(target: &'a str) -> Self {
        Self { method: "GET", target, headers: Vec::new(), body: b"" }
    }

    fn json(target: &'a str, body: &'a str) -> Self {
        Self { method: "POST", target, headers: vec![("content-type", b"application/json")], body: body.as_bytes() }
    }

    fn with(mut self, name: &'a str, value: &'a str) -> Self {
        self.headers.push((name, value.as_bytes()));
        self
    }

    fn read(&self) -> Result<Box<Call>, Error> {
        self.read_in(nouns::task("triage", 1))
    }

    fn read_in(&self, task: Task) -> Result<Box<Call>, Error> {
        let mut request = Request::builder().method(self.method).uri(self.target);
        for (name, value) in &self.headers {
            request = request.header(*name, HeaderValue::from_bytes(value).unwrap());
        }
        let evidence = Evidence { peer: Arc::new(Peer::Remote("192.0.2.7:9".parse().unwrap())), bearer: None };
        let request = request.body(Payload::Whole(Bytes::copy_from_slice(self.body))).unwrap();
        let incoming = Incoming {
            id: CallId::new(nouns::at(7), [3; 10]),
            received_at: nouns::at(7),
            task: None,
            evidence,
            door: http::uri::Scheme::HTTP,
            request,
        };
        let (caller, catalog) = (nouns::caller("triage", "token:x"), catalog());
        let aim = aim(&incoming.request, &caller, &catalog)?;
        understand(incoming, caller, Arc::new(task), aim)
    }

    /// The word for the refusal.
    fn refused(&self) -> &'static str {
        match self.read() {
            Ok(call) => panic!("understood as {call:?}"),
            Err(Error::Unclear(_)) => "unclear",
            Err(Error::MethodUnknown) => "method",
            Err(Error::ToolUnknown) => "tool",
            Err(Error::ActionUnknown) => "action",
            Err(Error::TooLarge(_)) => "large",
            Err(Error::TypeUnknown(_)) => "type",
        }
    }
}

/// Triage has `tracker`; `ledger` is another agent's.
fn catalog() -> Catalog {
    let tool = |name: &str| ToolCatalog::parse(nouns::tool(name), TRACKER).unwrap();
    let may = |name: &str, tools: &[&str]| {
        (nouns::agent(name), tools.iter().map(|tool| Arc::from(*tool)).collect::<BTreeSet<_>>())
    };
    Catalog::new(
        vec![tool("tracker"), tool("ledger")],
        BTreeMap::from([may("triage", &["tracker"]), may("billing", &["ledger"])]),
    )
}

#[test]
fn a_call_is_what_its_method_path_query_and_body_say() {
    let call = Sent::json("/tracker/repos/octo/hello%20world/issues?dry=1", r#"{"title":"caf\u00e9","body":"…"}"#)
        .read()
        .unwrap();
    assert_eq!(
        (&*call.action.tool, &*call.action.name, call.action.effect),
        ("tracker", "tracker/issues.create", Effect::Write)
    );
    assert_eq!(call.action.resource, "tracker/octo/hello world");
    let expected =
        [("owner", "octo"), ("title", "café")].map(|(name, value)| (Arc::from(name), Argument::Text(value.to_owned())));
    assert_eq!(call.action.arguments, BTreeMap::from(expected));
    assert_eq!(
        serde_json::to_value(&call.details).unwrap(),
        serde_json::json!({ "repositories": ["hello world"], "permissions": { "issues": "write" }, "once": true })
    );
    assert_eq!(call.target, "/repos/octo/hello%20world/issues?dry=1");
    assert_eq!((call.id, call.received_at), (CallId::new(nouns::at(7), [3; 10]), nouns::at(7)));

    let list = Sent::get("/tracker/repos/octo/hello/issues?state=open&page=-3&other=a&other=b").read().unwrap();
    assert_eq!((&*list.action.name, &*list.action.yields), ("tracker/issues.list", &[Label::Untrusted][..]));
    let expected = [("state", Argument::Text("open".to_owned())), ("page", Argument::Long(-3))]
        .map(|(name, value)| (Arc::from(name), value));
    assert_eq!(list.action.arguments, BTreeMap::from(expected));
    assert_eq!(
        Sent::get("/tracker/both/a/b?at=v1").read().unwrap_err().to_string(),
        "`path` may hold no slash, because it is one part of a resource's name"
    );
}

#[test]
fn what_has_no_name_in_the_catalog_is_refused_by_what_is_missing() {
    for (method, target, why) in [
        ("BREW", "/tracker/pay", "method"),
        ("CONNECT", "/tracker/pay", "method"),
        ("TRACE", "/tracker/pay", "method"),
        ("get", "/tracker/repos/a/b/issues", "method"),
        ("GET", "/nothing/pay", "tool"),
        // Another agent's tool is not there at all, be the action right or wrong.
        ("POST", "/ledger/pay", "tool"),
        ("GET", "/ledger/nothing", "tool"),
        ("GET", "/Tracker/repos/a/b/issues", "tool"),
        ("GET", "/%74racker/repos/a/b/issues", "tool"),
        ("GET", "//tracker/repos/a/b/issues", "tool"),
        ("GET", "/", "unclear"),
        ("OPTIONS", "*", "tool"),
        ("GET", "/tracker", "unclear"),
        ("GET", "/tracker?x", "unclear"),
        ("GET", "/tracker/", "action"),
        ("GET", "/tracker/repos/a/b/issues/", "action"),
        ("GET", "/tracker/Repos/a/b/issues", "action"),
        ("HEAD", "/tracker/repos/a/b/issues", "action"),
        ("DELETE", "/tracker/repos/a/b/issues", "action"),
        ("GET", "/tracker/repos/a/issues", "action"),
        ("GET", "/tracker/repos//b/issues", "unclear"),
        ("GET", "/tracker/repos/../b/issues", "unclear"),
        ("GET", "/tracker/repos/a%2Fb/c/issues", "unclear"),
        ("GET", "/tracker/repos/a/b/issues?page=%0A1", "unclear"),
    ] {
        assert_eq!(Sent { method, ..Sent::get(target) }.refused(), why, "{method} {target}");
    }
    let long = "x".repeat(1_025);
    assert_eq!(Sent { method: "PUT", body: long.as_bytes(), ..Sent::get("/tracker/blobs/a") }.refused(), "large");
    assert!(Sent { method: "PUT", body: &long.as_bytes()[1..], ..Sent::get("/tracker/blobs/a") }.read().is_ok());
}

#[test]
fn headers_that_can_be_read_in_two_ways_are_refused() {
    let list = || Sent::get("/tracker/repos/a/b/issues");
    for name in ["agent-task", "agent-parent-call", "agent-approval", "authorization", "content-type", "host"] {
        assert_eq!(list().with(name, "x").with(name, "x").refused(), "unclear", "{name}");
    }
    for value in [&b"\xff"[..], b"caf\xc3\xa9", b"a\xa0b"] {
        assert_eq!(Sent { headers: vec![("x-anything", value)], ..list() }.refused(), "unclear", "{value:?}");
    }
    assert_eq!(list().with("agent-parent-call", "x").refused(), "unclear");
    let parent = CallId::new(nouns::at(1), [1; 10]);
    assert_eq!(list().with("agent-parent-call", &parent.to_string()).read().unwrap().parent, Some(parent));
    assert!(list().with("accept", "a").with("accept", "b").with("x-tab", "a\tb").read().is_ok());
}

#[test]
fn an_intent_is_what_a_header_says_or_else_what_the_grant_says() {
    let grant = |action: &str, resource: Option<&str>| {
        let mut task = nouns::task("triage", 1);
        task.grant = vec![Grant { action: action.into(), resource: resource.map(str::to_owned), max: None }];
        task
    };
    let list = || Sent::get("/tracker/repos/octo/hello/issues");
    let intent = |sent: Sent<'_>, task| sent.read_in(task).map(|call| call.intent).unwrap();
    let said =
        intent(list().with("agent-intent", "action=\"x\", purpose=\"p\", more=1"), grant("tracker/issues.list", None));
    assert_eq!(
        (said.action.as_deref(), said.resource.as_deref(), said.purpose.as_deref(), said.source),
        (Some("x"), None, Some("p"), IntentSource::Header)
    );
    for covering in [grant("tracker/issues.list", None), grant("tracker/issues.list", Some("octo/hello"))] {
        let granted = intent(list(), covering);
        assert_eq!((granted.action.as_deref(), granted.resource.as_deref()), (Some("issues.list"), Some("octo/hello")));
        assert_eq!((granted.purpose.as_deref(), granted.source), (Some("answer the issue"), IntentSource::Task));
    }
    for other in [
        grant("tracker/issues.create", None),
        grant("tracker/issues.list", Some("octo/other")),
        grant("issues.list", None),
        nouns::task("triage", 1),
    ] {
        let none = intent(list(), other);
        assert_eq!((none.source, none.action.as_deref()), (IntentSource::None, None));
    }
    for unclear in ["action=", "purpose=\"p\"", "x", "action=1"] {
        assert_eq!(list().with("agent-intent", unclear).refused(), "unclear", "{unclear}");
    }
}

fn sent_body(call: &Call) -> &[u8] {
    match &call.payload {
        Payload::Whole(body) => body,
        Payload::Unread(_) | Payload::Tunnel(_) => panic!("the body was not read"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_024, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn method_target_headers_and_body_are_the_very_bytes_that_came_in(
        path in "(/[-a-zA-Z0-9._~!$&'()*+,=:@]{1,6}|/%[A-F0-9]{2}|/%C3%A9|/){1,4}",
        query in prop::option::of("[-a-z0-9._=&%A-F+/?\\[\\]]{0,12}"),
        value in "[ -~\t]{0,12}", body in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let target = format!("/tracker/blobs{path}{}", query.map(|query| format!("?{query}")).unwrap_or_default());
        let sent = Sent { method: "PUT", target: &target, headers: vec![("x-thing", value.as_bytes()), ("accept", b"*/*")], body: &body };
        if let Ok(call) = sent.read() {
            prop_assert_eq!(format!("/tracker{}", call.target), target);
            prop_assert_eq!(&call.method, Method::PUT);
            prop_assert_eq!(sent_body(&call), &body[..]);
            prop_assert_eq!(call.content, Content::of(&body));
            prop_assert_eq!(call.headers.len(), 2);
            prop_assert_eq!(call.headers["x-thing"].as_bytes(), value.as_bytes());
            prop_assert!(!call.action.short_resource().is_empty());
        }
    }

    #[test]
    fn a_json_body_comes_out_as_it_came_in_whatever_is_read_from_it(title in any::<String>(), spaces in "[ \t\r\n]{0,4}") {
        let text = serde_json::to_string(&title).unwrap();
        let body = format!("{spaces}{{{spaces}\"title\"{spaces}:{text}{spaces}}}{spaces}");
        let call = Sent::json("/tracker/repos/octo/hello/issues", &body).read().unwrap();
        prop_assert_eq!(sent_body(&call), body.as_bytes());
        prop_assert_eq!(call.action.arguments.get("title"), Some(&Argument::Text(title)));
    }
}
