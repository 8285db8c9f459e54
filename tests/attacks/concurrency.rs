//! Agents that hang up, and agents that run beside each other (ATTACKS O4, O6, E7, E8): every call comes to its end, and
//! no verdict, credential or answer is ever another's. Where a hang-up meets each step of the walk, see `suite/walk.rs`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use countersign::app::Seams;
use countersign::model::Lifetime;

use super::bench::{Bench, CATALOG, get, post, request, wanted};
use crate::suite::common::raw::{Raw, Reply};
use crate::suite::common::sidecar::{Sidecar, Wanted, all};
use crate::suite::common::spellings::holds;

#[tokio::test]
async fn hanging_up_in_the_middle_of_a_request_is_no_call() {
    let bench = Bench::usual().await;
    let whole = post("/tracker/notes", r#"{"a":1}"#);
    for cut in (1..whole.len()).step_by(7) {
        let mut line = bench.agent().line().await;
        line.say(&whole.as_bytes()[..cut]).await;
        drop(line);
    }
    assert_eq!(bench.ask(get("/tracker/a")).await.status, 200, "and the door is well");
    assert_eq!((bench.a.requests().len(), bench.sidecar.vault.minted()), (1, 1));
    bench.hold().await;
}

#[tokio::test]
async fn hanging_up_while_the_upstream_does_not_read_ends_the_call() {
    for lifetime in [Lifetime::Head, Lifetime::End] {
        let bench = Bench::start(Wanted { lifetime, ..wanted() }, Seams::default()).await;
        // More than the sockets on the way hold; the upstream stops before it answers and after it has read it all.
        bench.a.before_answer.close();
        let mut line = bench.agent().line().await;
        let body = "x".repeat(9 << 20);
        let length = format!("content-length: {}", body.len());
        line.say(request("POST /tracker/notes", &[&length], &body)).await;
        bench.sidecar.wait_for("minted", 1).await;
        drop(line);
        let ended = bench.sidecar.wait_for("ended", 1).await[0].last("ended").unwrap().entry.clone();
        assert_eq!(ended["ending"], "abandoned", "{ended}");
        assert_eq!(ended["credential"]["revocation"], "confirmed", "{ended}");
        bench.a.before_answer.release();
        bench.hold().await;
    }
}

#[tokio::test]
async fn hanging_up_behind_several_requests_leaves_none_without_an_end() {
    let bench = Bench::start(Wanted { tool: "max_call = \"1s\"", ..wanted() }, Seams::default()).await;
    bench.a.before_answer.close();
    let mut line = bench.agent().line().await;
    line.say("GET /tracker/1 HTTP/1.1\r\nhost: HOST\r\n\r\n".repeat(5)).await;
    bench.a.before_answer.reached(1).await;
    drop(line);
    bench.sidecar.wait_for("ended", 1).await;
    bench.a.before_answer.release();
    assert_eq!(bench.ask(get("/tracker/a")).await.status, 200);
    bench.hold().await;
}

#[tokio::test]
async fn hanging_up_while_a_refusal_is_made_leaves_its_record() {
    let bench = Bench::usual().await;
    for round in 0..20 {
        let mut line = bench.agent().line().await;
        line.say(get("/tracker/admin")).await;
        tokio::time::sleep(Duration::from_micros(round * 150)).await;
    }
    // Of an agent that has hung up, nobody can tell any more who it was.
    for story in bench.sidecar.wait_for("refused", 1).await {
        let code = story.first("refused").unwrap().entry["code"].as_str().unwrap().to_owned();
        assert!(["denied", "caller_unproven", "abandoned"].contains(&code.as_str()), "{code}");
    }
    assert_eq!((bench.a.connections(), bench.sidecar.vault.minted()), (0, 0));
    bench.hold().await;
}

#[tokio::test]
async fn hanging_up_after_any_time_leaves_nothing_open() {
    let bench = Bench::usual().await;
    let rounds = if std::env::var_os("COUNTERSIGN_LONG").is_some() { 2_000 } else { 150 };
    for round in 0..rounds {
        if round % 3 == 0 {
            bench.a.reply(Reply::new("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n"));
        }
        let mut line = bench.agent().line().await;
        line.say(get("/tracker/a")).await;
        tokio::time::sleep(Duration::from_micros(round * 97 % 9_000)).await;
        drop(line);
    }
    let permitted = bench.sidecar.wait_for("ended", 0).await;
    let permitted = permitted.iter().filter(|story| story.first("permitted").is_some()).count();
    bench.sidecar.wait_for("ended", permitted).await;
    bench.hold().await;
}

/// Who may what: the one and the other agent, proven by tokens, on two tools with upstreams of their own.
async fn two_agents() -> (Sidecar, [Arc<Raw>; 2]) {
    let (first, second) = (Raw::start().await, Raw::start().await);
    let policy = "@id(\"reads\") permit(principal, action in Action::\"effect:read\", resource);\n\
         @id(\"writes\") permit(principal == Agent::\"helper\", action in Action::\"effect:write\", resource in Tool::\"tracker\");\n\
         @id(\"pays\") permit(principal == Agent::\"other\", action, resource in Tool::\"ledger\");\n\
         @id(\"secret\") forbid(principal == Agent::\"other\", action, resource == Resource::\"tracker/secret\");";
    let more = format!(
        "[agents.other]\nidentify = [{{ token = {{ file = \"other.token\" }} }}]\nintent = \"never\"\n\
         tools = [\"tracker\", \"ledger\"]\n\
         [tools.ledger]\nupstream = \"{}\"\ncatalog = \"ledger.toml\"\nissuer = \"vault\"\n\
         networks = [\"127.0.0.0/8\"]\nplaintext = true",
        second.origin
    );
    let files =
        vec![("other.token", token("other")), ("helper.token", token("helper")), ("ledger.toml", CATALOG.to_owned())];
    let identify = "identify = [{ token = { file = \"helper.token\" } }]".to_owned();
    let wanted = Wanted { policy, more, files, identify, upstream: Some(first.clone()), ..wanted() };
    let mut sidecar = Sidecar::start(wanted, Seams::default()).await;
    sidecar.may_call(std::slice::from_ref(&second));
    sidecar.upstreams.push(second.clone());
    (sidecar, [first, second])
}

fn token(agent: &str) -> String {
    format!("the-token-of-{agent}-which-is-long-enough")
}

fn by(agent: &str, line: &str, body: &str) -> String {
    let bearer = format!("authorization: Bearer {}", token(agent));
    let length = format!("content-length: {}", body.len());
    request(line, &[&bearer, "content-type: application/json", &length], body)
}

#[tokio::test]
async fn no_verdict_is_anothers() {
    let (mut sidecar, [first, second]) = two_agents().await;
    let cases = [
        ("helper", "GET /tracker/secret", "", 200),
        ("other", "GET /tracker/secret", "", 403),
        ("other", "GET /tracker/secret2", "", 200),
        ("helper", "POST /tracker/notes", "{}", 200),
        ("other", "POST /tracker/notes", "{}", 403),
        ("other", "POST /ledger/notes", "{}", 200),
        // The one has no such tool at all.
        ("helper", "POST /ledger/notes", "{}", 404),
        ("other", "GET /ledger/secret", "", 200),
        ("other", "POST /tracker/pay", r#"{"amount":1}"#, 403),
        ("other", "POST /ledger/pay", r#"{"amount":1}"#, 200),
    ];
    // Each after each, so that whatever is remembered of one could be given to the next.
    let rounds = if std::env::var_os("COUNTERSIGN_LONG").is_some() { 50 } else { 4 };
    for round in 0..rounds {
        for step in 0..cases.len() {
            let (agent, line, body, status) = cases[(step * 3 + round) % cases.len()];
            assert_eq!(sidecar.agent().ask(by(agent, line, body)).await.status, status, "{agent}: {line}");
        }
    }
    // And all at once.
    let together = cases.iter().cycle().take(cases.len() * 4).map(|(agent, line, body, status)| {
        let asked = sidecar.agent().clone();
        async move { (asked.ask(by(agent, line, body)).await.status, *status, *agent, *line) }
    });
    for (found, status, agent, line) in all(together).await {
        assert_eq!(found, status, "{agent}: {line}");
    }
    each_was_lent_its_own(&sidecar, &[("tracker", &first), ("ledger", &second)]).await;
    crate::suite::common::invariants::hold(&mut sidecar).await;
}

/// Every request that arrived carries one credential: that of a call to this very tool.
async fn each_was_lent_its_own(sidecar: &Sidecar, tools: &[(&str, &Arc<Raw>)]) {
    let count: usize = tools.iter().map(|(_, raw)| raw.arrived().len()).sum();
    let stories = sidecar.wait_for("ended", count).await;
    for (tool, raw) in tools {
        for arrived in raw.arrived() {
            let [(call, true)] = arrived.lent[..] else { panic!("{arrived:?}") };
            let permitted = stories.iter().find(|story| story.call == Some(call)).unwrap().first("permitted").unwrap();
            let action = permitted.entry["action"].as_str().unwrap();
            assert!(action.starts_with(&format!("{tool}/")), "{action} was sent to {tool}");
            assert_eq!(permitted.entry["audience"], raw.origin);
        }
    }
}

#[tokio::test]
async fn an_answer_is_that_of_ones_own_call() {
    let bench = Bench::usual().await;
    let rounds = 60;
    for number in 0..rounds {
        let body = format!("answer-{number}");
        bench.a.reply(Reply::new(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())));
    }
    let asked = (0..rounds).map(|number| {
        let agent = bench.agent().clone();
        async move { (number, agent.ask(get(&format!("/tracker/n{number}"))).await) }
    });
    let told: BTreeMap<String, String> =
        all(asked).await.into_iter().map(|(number, answer)| (format!("/n{number}"), answer.body)).collect();
    for (at, seen) in bench.a.requests().iter().enumerate() {
        assert_eq!(told[seen.target()], format!("answer-{at}"), "{}", seen.target());
    }
    assert_eq!(bench.a.requests().len(), rounds);
    bench.hold().await;
}

#[tokio::test]
async fn the_credential_of_one_tool_never_reaches_another() {
    let (count, mut raws) = (4, Vec::new());
    let (mut more, mut files, mut tools) = (String::new(), Vec::new(), vec!["tracker".to_owned()]);
    for number in 1..count {
        let raw = Raw::start().await;
        let _ = write!(
            more,
            "[tools.t{number}]\nupstream = \"{}\"\ncatalog = \"tracker.toml\"\nissuer = \"vault\"\n\
             networks = [\"127.0.0.0/8\"]\nplaintext = true\n",
            raw.origin
        );
        tools.push(format!("t{number}"));
        raws.push(raw);
    }
    let _ = write!(
        more,
        "[agents.other]\nidentify = [{{ token = {{ file = \"other.token\" }} }}]\nintent = \"never\"\ntools = {tools:?}\n"
    );
    files.push(("other.token", token("other")));
    files.push(("helper.token", token("helper")));
    let identify = "identify = [{ token = { file = \"helper.token\" } }]".to_owned();
    let mut bench = Bench::start(Wanted { identify, more, files, ..wanted() }, Seams::default()).await;
    bench.sidecar.may_call(&raws);
    bench.sidecar.upstreams.extend(raws.iter().cloned());
    raws.insert(0, bench.a.clone());
    // Every pair: a call to the one that names the other wherever a request can name something.
    for (a, own) in tools.iter().enumerate() {
        for (b, other) in tools.iter().enumerate().filter(|(b, _)| *b != a) {
            let (here, there) = (raws[a].address, raws[b].address);
            let line = format!("POST /{own}/{other}?tool={other}&audience=http://{there}&credential={other}");
            let body = format!(r#"{{"tool":"{other}","issuer":"vault","audience":"http://{there}"}}"#);
            let sent = by("other", &line, &body).replacen(
                "connection: close",
                &format!(
                    "connection: close\r\nx-forwarded-host: {there}\r\nx-tool: {other}\r\ncountersign-tool: {other}\r\n\
                     countersign-audience: http://{there}\r\nagent-intent: action=\"write\", resource=\"{other}\""
                ),
                1,
            );
            let before = raws[b].arrived().len();
            assert_eq!(bench.ask(sent).await.status, 200);
            assert_eq!(raws[b].arrived().len(), before, "{own} led to {other}");
            let seen = raws[a].requests().pop().unwrap();
            assert_eq!(seen.all("host"), [here.to_string()]);
        }
    }
    let named: Vec<(&str, &Arc<Raw>)> = tools.iter().map(String::as_str).zip(&raws).collect();
    each_was_lent_its_own(&bench.sidecar, &named).await;
    bench.hold().await;
}

#[tokio::test]
async fn a_word_for_a_credential_is_only_a_word() {
    let bench = Bench::usual().await;
    let words = [
        "{{credential}}",
        "{credential}",
        "${CREDENTIAL}",
        "$TOKEN",
        "%(token)s",
        "<secret>",
        "{{secrets.tracker}}",
        "countersign:credential:tracker",
        "[redacted:cred]",
        "Bearer {token}",
        "{vault}",
        "{{issuer.vault.secret}}",
    ];
    for word in words {
        let query = percent_encoding::percent_encode(word.as_bytes(), percent_encoding::NON_ALPHANUMERIC).to_string();
        let fields = [
            format!("user-agent: {word}"),
            format!("cookie: token={word}"),
            format!("x-request-id: {word}"),
            format!("accept: {word}"),
            format!("agent-intent: action=\"write\", purpose=\"{}\"", word.replace('"', "")),
            format!("content-length: {}", word.len()),
        ];
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        let before = bench.a.requests().len();
        let sent = request(&format!("POST /tracker/notes?q={query}"), &fields, word);
        assert_eq!(bench.ask(sent).await.status, 200, "{word}");
        let seen = &bench.a.requests()[before];
        assert_eq!((seen.target(), &seen.body[..]), (format!("/notes?q={query}").as_str(), word.as_bytes()));
        assert_eq!(
            (seen.all("user-agent"), seen.all("x-request-id"), seen.all("accept")),
            (vec![word], vec![word], vec![word])
        );
        // The secret stands in one place: the header it is lent in.
        let whole = bench.a.bytes().concat();
        let count = whole
            .windows(bench.sidecar.vault.canary.len())
            .filter(|part| *part == bench.sidecar.vault.canary.as_bytes())
            .count();
        assert_eq!(count, before + 1, "{word}");
    }
    assert!(holds(&bench.a.bytes().concat(), bench.sidecar.vault.secret(1).as_bytes()));
    bench.hold().await;
}
