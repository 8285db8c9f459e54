//! Both doors as their users meet them.

use base64::Engine as _;
use countersign::app::Seams;
use countersign::identify::jose;
use http_body_util::BodyExt as _;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde_json::Value;

use super::common::invariants;
use super::common::sidecar::{Answer, FRAMEWORK, READ, Sidecar, Wanted};
use super::common::wire::Agent;

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: HOST\r\nconnection: close\r\n\r\n")
}

fn code(answer: &Answer) -> (u16, String) {
    (answer.status, answer.json()["code"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn a_minted_token_names_this_one_call_and_verifies_with_the_published_keys() {
    jose::install();
    let mut sidecar = Sidecar::start(Wanted { issuer: "calls", ..Wanted::default() }, Seams::default()).await;
    let body = r#"{"body":"hello"}"#;
    let request = format!(
        "POST /tracker/repos/octo/hello/issues/7/comments?draft=1 HTTP/1.1\r\nhost: HOST\r\nconnection: close\r\n\
         content-type: application/json\r\nagent-intent: action=\"comments.create\"\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = sidecar.send(&request).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let seen = sidecar.tool.seen().remove(0);
    assert_eq!(
        (seen.body().as_ref(), seen.uri().to_string().as_str()),
        (body.as_bytes(), "/repos/octo/hello/issues/7/comments?draft=1")
    );
    let token = seen.headers()["authorization"].to_str().unwrap().strip_prefix("Bearer ").unwrap();
    let keys: jsonwebtoken::jwk::JwkSet =
        serde_json::from_str(&sidecar.send(&get("/.well-known/jwks.json")).await.body).unwrap();
    let mut wanted = Validation::new(Algorithm::ES256);
    wanted.set_audience(&[&sidecar.tool.origin]);
    let key = DecodingKey::from_jwk(&keys.keys[0]).unwrap();
    let claims = decode::<Value>(token, &key, &wanted).unwrap();
    assert_eq!(claims.header.typ.as_deref(), Some("at+jwt"));
    let claims = claims.claims;
    let digest = base64::engine::general_purpose::STANDARD.encode(countersign::model::Digest::of(body.as_bytes()).0);
    let details = &claims["authorization_details"][0];
    assert_eq!(details["target"], "/repos/octo/hello/issues/7/comments?draft=1");
    assert_eq!(details["actions"][0], "POST");
    assert_eq!(details["content_digest"], format!("sha-256=:{digest}:"));
    assert_eq!(details["intent"]["action"], "comments.create");
    assert_eq!(claims["jti"], answer.call().to_string());
    assert!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap() <= 60);
    let story = sidecar.story(answer.call(), "ended").await;
    assert_eq!(details["leaf"], story.first("permitted").unwrap().seq);
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let forged = format!("{signed}.{}", signature.chars().rev().collect::<String>());
    assert!(decode::<Value>(&forged, &key, &wanted).is_err());
    invariants::hold(&mut sidecar).await;
}

#[tokio::test]
async fn a_refusal_is_helpful_until_the_task_has_read_a_strangers_words() {
    let policy = "@id(\"reads\") permit(principal, action in Action::\"effect:read\", resource);";
    let mut sidecar = Sidecar::start(Wanted { policy, ..Wanted::default() }, Seams::default()).await;
    let write = "POST /tracker/repos/octo/hello/issues/7/comments HTTP/1.1\r\nhost: HOST\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    let helpful = sidecar.send(write).await;
    assert_eq!(helpful.header("content-type"), Some("application/problem+json"));
    let members = |answer: &Answer| answer.json().as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert!(members(&helpful).contains(&"rule".to_owned()), "{helpful:?}");
    let page = sidecar.send(&get(helpful.json()["type"].as_str().unwrap())).await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("a rule says no"));
    assert_eq!(sidecar.send(READ).await.status, 200);
    let terse = sidecar.send(write).await;
    assert_eq!(members(&terse), ["instance", "code", "decision", "retryable"]);
    invariants::hold(&mut sidecar).await;
}

#[tokio::test]
async fn an_agent_cannot_leave_behind_what_it_has_read() {
    let policy = "permit(principal, action, resource);\n@id(\"t\") forbid(principal, action in Action::\"effect:write\", resource) when { context.labels.contains(\"untrusted\") };";
    let mut sidecar = Sidecar::start(Wanted { policy, ..Wanted::default() }, Seams::default()).await;
    let task = |token: &Value| format!("host: HOST\r\nagent-task: {}", token.as_str().unwrap());
    let write = "POST /tracker/repos/octo/hello/issues/7/comments HTTP/1.1\r\nhost: HOST\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    let open_own = "POST /-/tasks HTTP/1.1\r\nhost: HOST\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}";
    let early = sidecar.send(open_own).await.json();
    let first = sidecar.open_task("{}").await;
    assert_eq!(sidecar.send(&READ.replace("host: HOST", &task(&first["token"]))).await.status, 200);
    assert_eq!(sidecar.send(&write.replace("host: HOST", &task(&first["token"]))).await.status, 403, "in the task");
    assert_eq!(sidecar.send(write).await.status, 403, "outside of any task");
    // A task the agent opens for itself starts with what it holds; one that its framework opens does not.
    let own = sidecar.send(open_own).await.json();
    assert_eq!(
        sidecar.send(&write.replace("host: HOST", &task(&own["token"]))).await.status,
        403,
        "in a task of its own"
    );
    let kept = sidecar.send(&write.replace("host: HOST", &task(&early["token"]))).await;
    assert_eq!(kept.status, 403, "in one it had opened before it read anything");
    assert_eq!(kept.json().get("rule"), None, "and it is told no more than in the task it read in");
    let second = sidecar.open_task("{}").await;
    assert_eq!(sidecar.send(&write.replace("host: HOST", &task(&second["token"]))).await.status, 200);
    invariants::hold(&mut sidecar).await;
}

#[tokio::test]
async fn the_agents_door_turns_away_what_is_not_for_it() {
    let mut sidecar = Sidecar::usual().await;
    for (request, expected) in [
        (READ.replace("host: HOST", "host: evil.test"), (421, "wrong_host")),
        (READ.replace("host: HOST", "host: HOST\r\nhost: HOST"), (400, "request_unclear")),
        (READ.replace("host: HOST", "host: HOST\r\norigin: https://evil.test"), (403, "denied")),
        (READ.replace("GET ", "GET http://evil.test"), (400, "request_unclear")),
        (READ.replace("GET", "BREW"), (405, "method_unknown")),
        (get("/tracker/repos/octo/hello"), (404, "action_unknown")),
        (get("/nothing/here"), (404, "tool_unknown")),
        (get("/tracker/repos/octo/../x"), (400, "request_unclear")),
        (READ.replace("host: HOST", "host: HOST\r\nauthorization: Bearer not-the-agents"), (200, "")),
        (READ.replace("host: HOST", "host: HOST\r\nagent-intent: action=\""), (400, "request_unclear")),
    ] {
        let answer = sidecar.send(&request).await;
        if expected.0 == 200 {
            assert_eq!(answer.status, 200, "{request}");
        } else {
            assert_eq!(code(&answer), (expected.0, expected.1.to_owned()), "{request}");
        }
    }
    invariants::hold(&mut sidecar).await;
}

#[tokio::test]
async fn what_an_agent_brings_of_its_own_is_not_sent_on() {
    let mut sidecar = Sidecar::usual().await;
    let brought = "host: HOST\r\nauthorization: Bearer own-secret\r\ncookie: a=b\r\nx-api-key: k\r\nx-forwarded-for: 1.2.3.4\r\nx_agent_id: x\r\naccept: application/json";
    let answer = sidecar.send(&READ.replace("host: HOST", brought)).await;
    assert_eq!(answer.status, 200);
    let seen = sidecar.tool.seen().remove(0);
    let mut names: Vec<&str> = seen.headers().keys().map(http::HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["accept", "accept-encoding", "authorization", "host", "via"]);
    assert_eq!(seen.headers()["authorization"], *format!("Bearer {}", sidecar.vault.secret(1)));
    let story = sidecar.story(answer.call(), "permitted").await;
    assert_eq!(story.first("permitted").unwrap().entry["brought_credential"], true);
    invariants::hold(&mut sidecar).await;
}

#[tokio::test]
async fn a_client_that_can_only_carry_a_url_names_its_task_in_it() {
    let mut sidecar =
        Sidecar::start(Wanted { agent: "intent = \"always\"", ..Wanted::default() }, Seams::default()).await;
    let opened = sidecar.open_task(r#"{"actions":[{"action":"tracker/issues.get"}]}"#).await;
    let pair = format!("{}:{}", opened["task"].as_str().unwrap(), opened["token"].as_str().unwrap());
    let basic = base64::engine::general_purpose::STANDARD.encode(pair);
    let answer =
        sidecar.send(&READ.replace("host: HOST", &format!("host: HOST\r\nauthorization: Basic {basic}"))).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    invariants::hold(&mut sidecar).await;
}

#[tokio::test]
async fn whoever_proves_nothing_gets_nothing() {
    let mut sidecar = Sidecar::usual().await;
    let config = std::fs::read_to_string(sidecar.folder.path().join("countersign.toml")).unwrap();
    let uid = format!("uid = {}", rustix::process::geteuid().as_raw());
    std::fs::write(sidecar.folder.path().join("countersign.toml"), config.replace(&uid, "uid = 4242")).unwrap();
    sidecar.restart().await;
    let answer = sidecar.send(READ).await;
    assert_eq!(code(&answer), (401, "caller_unproven".to_owned()));
    assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    let opening = format!(
        "POST /-/tasks HTTP/1.1\r\nhost: HOST\r\nauthorization: Bearer {FRAMEWORK}x\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{{}}"
    );
    assert_eq!(code(&sidecar.send(&opening).await), (401, "caller_unproven".to_owned()));
    invariants::hold(&mut sidecar).await;
}

#[tokio::test]
async fn the_admin_door_shows_health_to_all_and_calls_to_reviewers() {
    let agent = "intent = \"never\"\n[reviewers.ana]\ntoken = { file = \"framework.token\" }\nmay = [\"read\"]";
    let mut sidecar = Sidecar::start(Wanted { agent, ..Wanted::default() }, Seams::default()).await;
    let call = sidecar.send(READ).await.call();
    sidecar.story(call, "ended").await;
    let ask = async |path: &str, token: Option<&str>| {
        let mut request = http::Request::get(format!("http://{}{path}", sidecar.admin));
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let client = hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new()).build_http();
        let answer = client.request(request.body(http_body_util::Empty::<bytes::Bytes>::new()).unwrap()).await.unwrap();
        let status = answer.status().as_u16();
        (status, String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap())
    };
    assert_eq!(ask("/healthz", None).await.0, 200);
    assert_eq!(ask("/readyz", None).await.0, 200);
    let metrics = ask("/metrics", None).await.1;
    assert!(metrics.contains("countersign_calls_total{code=\"\",outcome=\"answered\"} 1"), "{metrics}");
    assert_eq!(ask("/v1/calls", None).await.0, 401);
    assert_eq!(ask("/v1/calls", Some("wrong-token-of-some-length")).await.0, 401);
    let (status, calls) = ask("/v1/calls?agent=helper&limit=5", Some(FRAMEWORK)).await;
    assert_eq!(status, 200, "{calls}");
    assert!(calls.contains(&call.to_string()));
    let (status, story) = ask(&format!("/v1/calls/{call}"), Some(FRAMEWORK)).await;
    assert!(status == 200 && story.contains("\"ended\""), "{story}");
    assert!(!story.contains(&sidecar.vault.canary));
    assert_eq!(ask("/v1/calls/none", Some(FRAMEWORK)).await.0, 404);
    // Who may look may not do everything.
    let erase = format!(
        "POST /v1/calls/{call}/erase HTTP/1.1\r\nhost: HOST\r\nauthorization: Bearer {FRAMEWORK}\r\nconnection: close\r\n\r\n"
    );
    let refused = Agent::new(sidecar.admin).ask(erase).await;
    assert_eq!((refused.status, refused.body.as_str()), (403, "this reviewer's `may` does not list `erase`\n"));
    invariants::hold(&mut sidecar).await;
}
