//! The OAuth face of our tokens: a tool that asks is told what is, nobody else is told anything.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use countersign::app::Seams;
use serde_json::{Value, json};

use crate::suite::common::invariants;
use crate::suite::common::sidecar::{Answer, FRAMEWORK, READ, Sidecar, Wanted};
use crate::suite::common::wire::Agent;

/// What the tool proves itself with, a tool beside it, and a reviewer who may stop agents.
const TOOL: &str = "a-secret-of-the-tracker-in-tests";
const OTHER: &str = "a-secret-of-another-tool-in-tests";
const KIM: &str = "a-token-of-kim-who-may-stop";

fn wanted() -> Wanted {
    let more = "[tools.other]\nupstream = \"http://127.0.0.1:9\"\ncatalog = \"tracker.toml\"\nissuer = \"calls\"\n\
                networks = [\"127.0.0.0/8\"]\nplaintext = true\nintrospect = { file = \"other.token\" }\n\
                [reviewers.kim]\ntoken = { file = \"kim.token\" }\nmay = [\"read\", \"quarantine\"]\n";
    let files = [("tool.token", TOOL), ("other.token", OTHER), ("kim.token", KIM)];
    Wanted {
        issuer: "calls",
        tool: "introspect = { file = \"tool.token\" }",
        more: more.to_owned(),
        files: files.map(|(name, text)| (name, text.to_owned())).to_vec(),
        ..Wanted::default()
    }
}

async fn sidecar() -> Sidecar {
    Sidecar::start(wanted(), Seams::default()).await
}

/// Asks as whoever has this name and secret.
async fn ask(sidecar: &Sidecar, path: &str, (name, secret): (&str, &str), form: &str) -> Answer {
    let basic = STANDARD.encode(format!("{name}:{secret}"));
    post(sidecar, path, &format!("authorization: Basic {basic}"), form).await
}

async fn post(sidecar: &Sidecar, path: &str, header: &str, form: &str) -> Answer {
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: HOST\r\n{header}\r\nconnection: close\r\n\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{form}",
        form.len()
    );
    Agent::new(sidecar.door).ask(request).await
}

async fn introspect(sidecar: &Sidecar, token: &str) -> Value {
    let answer = ask(sidecar, "/oauth/introspect", ("tracker", TOOL), &format!("token={token}")).await;
    assert_eq!((answer.status, answer.header("cache-control")), (200, Some("no-store")), "{answer:?}");
    answer.json()
}

/// A call that waits at the tool, and the token that the tool got.
async fn held(sidecar: &Sidecar, request: &str) -> (tokio::net::TcpStream, String) {
    sidecar.tool.forget();
    sidecar.tool.before_head.close();
    let call = sidecar.begin(request).await;
    for _ in 0..400 {
        if let Some(seen) = sidecar.tool.seen().pop() {
            let value = seen.headers()["authorization"].to_str().unwrap().to_owned();
            return (call, value.strip_prefix("Bearer ").unwrap().to_owned());
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("nothing came to the tool");
}

fn claims(token: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

/// It is inactive, and nothing more is told; after what only begins an ending, soon.
async fn has_ended(sidecar: &Sidecar, token: &str) {
    for _ in 0..200 {
        let told = introspect(sidecar, token).await;
        if told["active"] == false {
            assert_eq!(told, json!({ "active": false }));
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    panic!("it is still active");
}

/// Whatever ends a token, with how its call is then recorded. `at_once`: the very next question says so.
#[derive(Clone, Copy, Debug)]
enum End {
    Answered,
    HungUp,
    TaskOver,
    Quarantined,
    CutByReviewer,
    RevokedByTool,
}

#[tokio::test]
async fn a_token_is_good_while_it_is_lent_and_however_it_ends_the_next_question_is_told_so() {
    for end in [End::Answered, End::HungUp, End::TaskOver, End::Quarantined, End::CutByReviewer, End::RevokedByTool] {
        let mut sidecar = sidecar().await;
        let task = sidecar.open_task("{}").await;
        let named = format!("host: HOST\r\nagent-task: {}", task["token"].as_str().unwrap());
        let (call, token) = held(&sidecar, &READ.replace("host: HOST", &named)).await;
        let (told, mut expected) = (introspect(&sidecar, &token).await, claims(&token));
        expected["active"] = true.into();
        expected["token_type"] = "Bearer".into();
        assert_eq!(told, expected, "what stands in it is told");
        let id = expected["jti"].as_str().unwrap().to_owned();
        let (at_once, ending) = match end {
            End::Answered => {
                sidecar.tool.in_body.close();
                sidecar.tool.before_head.release();
                sidecar.tool.in_body.reached(1).await;
                (false, "completed")
            }
            End::HungUp => {
                drop(call);
                (false, "abandoned")
            }
            End::TaskOver => {
                let request = format!(
                    "DELETE /-/tasks/{} HTTP/1.1\r\nhost: HOST\r\nauthorization: Bearer {FRAMEWORK}\r\nconnection: close\r\n\r\n",
                    task["task"].as_str().unwrap()
                );
                assert_eq!(sidecar.send(&request).await.status, 204);
                (true, "revoked")
            }
            End::Quarantined => {
                assert_eq!(sidecar.ask("POST /v1/agents/helper/quarantine", KIM, "").await.status, 200);
                (true, "revoked")
            }
            End::CutByReviewer => {
                let line = format!("POST /v1/credentials/{id}/revoke");
                assert_eq!(sidecar.ask(&line, KIM, "").await.status, 200);
                (true, "revoked")
            }
            End::RevokedByTool => {
                let form = format!("token={token}&token_type_hint=access_token");
                let answer = ask(&sidecar, "/oauth/revoke", ("tracker", TOOL), &form).await;
                assert_eq!((answer.status, answer.body.as_str()), (200, ""), "{answer:?}");
                (true, "revoked")
            }
        };
        if at_once {
            assert_eq!(introspect(&sidecar, &token).await, json!({ "active": false }), "{end:?}");
        }
        has_ended(&sidecar, &token).await;
        sidecar.tool.before_head.release();
        sidecar.tool.in_body.release();
        let story = sidecar.story(id.parse().unwrap(), "ended").await;
        let ended = &story.last("ended").unwrap().entry;
        assert_eq!(
            (&ended["ending"], &ended["credential"]["revocation"]),
            (&ending.into(), &"confirmed".into()),
            "{end:?}"
        );
        invariants::hold(&mut sidecar).await;
    }
}

#[tokio::test]
async fn a_token_whose_time_is_over_is_not_good_though_its_call_goes_on() {
    let policy = "@id(\"all\") @ttl(\"2s\") permit(principal, action, resource);";
    let mut sidecar = Sidecar::start(Wanted { policy, ..wanted() }, Seams::default()).await;
    let (call, token) = held(&sidecar, READ).await;
    assert_eq!(introspect(&sidecar, &token).await["active"], true);
    tokio::time::sleep(std::time::Duration::from_millis(2_100)).await;
    assert_eq!(introspect(&sidecar, &token).await, json!({ "active": false }));
    sidecar.tool.before_head.release();
    drop(call);
    sidecar.wait_for("ended", 1).await;
    invariants::hold(&mut sidecar).await;
}

#[tokio::test]
async fn nobody_but_the_tool_it_was_minted_for_is_told_of_a_token_or_can_end_it() {
    let mut sidecar = sidecar().await;
    let (call, token) = held(&sidecar, READ).await;
    let form = format!("token={token}");
    for path in ["/oauth/introspect", "/oauth/revoke"] {
        let mut told = Vec::new();
        for header in [
            "x-nothing: 1".to_owned(),
            format!("authorization: Bearer {TOOL}"),
            format!("authorization: Bearer {token}"),
            format!("authorization: Bearer {FRAMEWORK}"),
            "authorization: Basic !".to_owned(),
            format!("authorization: Basic {}", STANDARD.encode("tracker")),
            format!("authorization: Basic {}", STANDARD.encode("tracker:")),
            format!("authorization: Basic {}", STANDARD.encode(format!("tracker:{OTHER}"))),
            format!("authorization: Basic {}", STANDARD.encode(format!("tracker:{TOOL} "))),
            format!("authorization: Basic {}", STANDARD.encode(format!("nobody:{TOOL}"))),
            format!("authorization: Basic {0}\r\nauthorization: Basic {0}", STANDARD.encode(format!("tracker:{TOOL}"))),
        ] {
            let answer = post(&sidecar, path, &header, &form).await;
            let challenge = answer.header("www-authenticate").map(str::to_owned);
            told.push((answer.status, challenge, answer.body));
        }
        assert_eq!(told[0].0, 401);
        assert!(told.iter().all(|each| *each == told[0]), "a wrong name and a wrong secret look the same: {told:?}");
        // The attempts of a second are used up soon; a tool that proves itself asks on.
        tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    }
    let other = ask(&sidecar, "/oauth/introspect", ("other", OTHER), &form).await;
    assert_eq!((other.status, other.json()), (200, json!({ "active": false })));
    assert_eq!(ask(&sidecar, "/oauth/revoke", ("other", OTHER), &form).await.status, 200);
    assert_eq!(introspect(&sidecar, &token).await["active"], true, "it is not the other tool's to end");
    sidecar.tool.before_head.release();
    drop(call);
    sidecar.wait_for("ended", 1).await;
    invariants::hold(&mut sidecar).await;
}

#[tokio::test]
async fn what_was_not_minted_here_as_it_is_is_not_good_and_to_end_it_is_no_error() {
    let mut sidecar = sidecar().await;
    let (call, token) = held(&sidecar, READ).await;
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let none = URL_SAFE_NO_PAD.encode(r#"{"typ":"at+jwt","alg":"none"}"#);
    let payload = token.split('.').nth(1).unwrap();
    let mut bent = vec![
        "x".to_owned(),
        "..".to_owned(),
        format!("{signed}."),
        format!("{none}.{payload}."),
        format!("{none}.{payload}.{signature}"),
        format!("{token}="),
        format!("{token}."),
        format!("%20{token}"),
        token.to_uppercase(),
    ];
    // Each character changed, of those around both dots and at the end, where base64 has bits to spare.
    for at in [0, signed.rfind('.').unwrap() + 1, signed.len() - 1, token.len() - 1] {
        let mut other = token.clone().into_bytes();
        other[at] = if other[at] == b'A' { b'B' } else { b'A' };
        bent.push(String::from_utf8(other).unwrap());
    }
    for bent in bent {
        assert_eq!(introspect(&sidecar, &bent).await, json!({ "active": false }), "{bent}");
        assert_eq!(ask(&sidecar, "/oauth/revoke", ("tracker", TOOL), &format!("token={bent}")).await.status, 200);
    }
    for form in ["", "token=", "tokens=x", &format!("token={token}&token={token}")] {
        let answer = ask(&sidecar, "/oauth/introspect", ("tracker", TOOL), form).await;
        assert_eq!((answer.status, &answer.json()["error"]), (400, &"invalid_request".into()), "{form}");
    }
    assert_eq!(introspect(&sidecar, &token).await["active"], true);
    sidecar.tool.before_head.release();
    drop(call);
    sidecar.wait_for("ended", 1).await;
    invariants::hold(&mut sidecar).await;
}

#[tokio::test]
async fn neither_a_token_nor_a_secret_is_written_down_even_of_a_careless_tool() {
    let mut sidecar = sidecar().await;
    let (call, token) = held(&sidecar, READ).await;
    for line in
        ["GET /oauth/introspect?token=TOKEN", "POST /oauth/revoke?token=TOKEN", "DELETE /oauth/revoke?token=TOKEN"]
    {
        for host in ["HOST", "evil.test"] {
            let line = line.replace("TOKEN", &token);
            let request = format!("{line} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
            assert_eq!(Agent::new(sidecar.door).ask(request).await.status, 405, "{line}");
        }
    }
    let refused = ask(&sidecar, "/oauth/introspect", ("tracker", TOOL), &"x".repeat(70_000)).await;
    assert_eq!(refused.status, 413);
    let revoked = ask(&sidecar, "/oauth/revoke", ("tracker", TOOL), &format!("token={token}")).await;
    assert_eq!(revoked.status, 200);
    sidecar.tool.before_head.release();
    drop(call);
    sidecar.wait_for("ended", 1).await;
    let mut told = vec![("the log".to_owned(), sidecar.logged.bytes())];
    invariants::gather(sidecar.folder.path(), &mut told);
    let signature = token.rsplit('.').next().unwrap();
    for (what, bytes) in told {
        for secret in [signature, TOOL, OTHER] {
            assert!(!bytes.windows(secret.len()).any(|part| part == secret.as_bytes()), "a secret stands in {what}");
        }
    }
    assert!(String::from_utf8_lossy(&sidecar.logged.bytes()).contains("a tool revokes the token"), "that much is said");
    invariants::hold(&mut sidecar).await;
}

#[tokio::test]
async fn one_tool_that_asks_too_often_waits_and_another_does_not() {
    let mut sidecar = sidecar().await;
    let wrong = ("nobody", "a-secret-that-nobody-has");
    let mut statuses = Vec::new();
    for _ in 0..60 {
        statuses.push(ask(&sidecar, "/oauth/introspect", wrong, "token=x").await.status);
    }
    let late = statuses.iter().filter(|status| **status == 429).count();
    assert!(late > 0 && statuses.iter().all(|status| [401, 429].contains(status)), "{statuses:?}");
    assert_eq!(
        introspect(&sidecar, "x").await,
        json!({ "active": false }),
        "who proves itself is not held up by others"
    );
    invariants::hold(&mut sidecar).await;
}

#[tokio::test]
async fn a_tools_secret_is_exchanged_without_a_restart() {
    let mut sidecar = sidecar().await;
    assert_eq!(introspect(&sidecar, "x").await["active"], false);
    sidecar.write("tool.token", "another-secret-of-the-tracker");
    sidecar.reload().await.unwrap();
    let status = |secret| {
        let sidecar = &sidecar;
        async move { ask(sidecar, "/oauth/introspect", ("tracker", secret), "token=x").await.status }
    };
    assert_eq!((status(TOOL).await, status("another-secret-of-the-tracker").await), (401, 200));
    invariants::hold(&mut sidecar).await;
}

#[tokio::test]
async fn what_an_issuer_offers_is_written_where_rfc_8414_says() {
    let iss = "[issuers.named]\nkind = \"jwt\"\nissuer = \"https://sidecar.example\"\n";
    for (asks, wanted) in [(true, wanted()), (false, Wanted { issuer: "calls", ..Wanted::default() })] {
        let more = format!("{}\n{iss}", wanted.more);
        let mut sidecar = Sidecar::start(Wanted { more, ..wanted }, Seams::default()).await;
        let door = format!("http://{}", sidecar.door);
        let fetch = async |path: &str| {
            let request = format!("GET {path} HTTP/1.1\r\nhost: HOST\r\nconnection: close\r\n\r\n");
            let answer = Agent::new(sidecar.door).ask(request).await;
            (answer.status, answer.json())
        };
        let (status, told) = fetch("/.well-known/oauth-authorization-server/calls").await;
        assert_eq!((status, &told["issuer"]), (200, &"https://countersign.invalid/calls".into()));
        assert_eq!(told["jwks_uri"], format!("{door}/.well-known/jwks.json"));
        assert_eq!(told["authorization_details_types_supported"], json!(["urn:countersign:call"]));
        assert_eq!(told["grant_types_supported"], json!([]));
        let endpoint = |name: &str| told[format!("{name}_endpoint")].as_str().map(str::to_owned);
        let expected = |path: &str| asks.then(|| format!("{door}{path}"));
        assert_eq!(endpoint("introspection"), expected("/oauth/introspect"));
        assert_eq!(endpoint("revocation"), expected("/oauth/revoke"));
        let (status, root) = fetch("/.well-known/oauth-authorization-server").await;
        assert_eq!((status, &root["issuer"]), (200, &"https://sidecar.example".into()));
        let keys = fetch("/.well-known/jwks.json").await.1["keys"].as_array().unwrap().len();
        assert_eq!(keys, 2, "of both issuers");
        assert_eq!(fetch("/.well-known/oauth-authorization-server/nobody").await.0, 404);
        assert_eq!(fetch("/.well-known/oauth-authorization-serverx").await.0, 404);
        invariants::hold(&mut sidecar).await;
    }
}

#[tokio::test]
async fn where_no_tool_asks_a_token_is_recorded_as_one_that_only_its_time_ends() {
    let mut sidecar = Sidecar::start(Wanted { issuer: "calls", ..Wanted::default() }, Seams::default()).await;
    assert_eq!(sidecar.send(READ).await.status, 200);
    let story = sidecar.wait_for("ended", 1).await.remove(0);
    assert_eq!(story.last("ended").unwrap().entry["credential"]["revocation"], "unsupported");
    assert_eq!(ask(&sidecar, "/oauth/introspect", ("tracker", TOOL), "token=x").await.status, 401);
    invariants::hold(&mut sidecar).await;
}
