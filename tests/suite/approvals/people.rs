//! Who may answer: those whom the rules ask, never for themselves, each time by name; and when there is no time to ask.

use super::*;

#[tokio::test]
async fn only_those_who_are_asked_may_answer_and_only_once() {
    let mut sidecar = started(ASKS, "").await;
    let id = question(&sidecar.send(&write("who", "")).await);
    assert_eq!(approve(&sidecar, EVE, &id).await, 403, "has the role, but may not approve");
    assert_eq!(approve(&sidecar, BEN, &id).await, 403, "may approve, but is not asked");
    assert_eq!(approve(&sidecar, FRAMEWORK, &id).await, 401, "opens tasks, and is no reviewer");
    assert_eq!(approve(&sidecar, "nobody-0123456789abcdef0123456789abcdef", &id).await, 401);
    assert_eq!(deny(&sidecar, ANA, &id).await, 200);
    assert_eq!(approve(&sidecar, ANA, &id).await, 404, "a no is a no");
    assert_eq!(sidecar.send(&resume(&id)).await.code(), (403, "denied".to_owned()));
    invariants::hold(&mut sidecar).await;
}

#[tokio::test]
async fn what_was_agreed_to_is_explained_as_that() {
    let mut sidecar = started(ASKS, "").await;
    let asked = sidecar.send(&write("agreed", "")).await;
    let id = question(&asked);
    assert_eq!(approve(&sidecar, ANA, &id).await, 200);
    assert_eq!(sidecar.send(&resume(&id)).await.status, 200);
    sidecar.story(asked.call(), "ended").await;
    sidecar.stop().await;
    let (folder, call) = (sidecar.folder.path(), asked.call().to_string());
    let (code, told) = crate::suite::policies::recorded::run(folder, &["policy", "explain", &call]);
    assert!(code == 0 && told.contains("ask-writes (asks security, "), "{told}");
    assert!(told.contains(", and was agreed to\n"), "{told}");
    let (_, listed) = crate::suite::policies::recorded::run(folder, &["lineage", "list", "--decision", "ask"]);
    assert!(!listed.contains(&call), "{listed}");
    invariants::hold(&mut sidecar).await;
}

#[tokio::test]
async fn of_a_yes_and_a_no_at_once_one_is_given() {
    let mut sidecar = started(ASKS, "[approvals]\nmax_per_hour = 1000\n").await;
    for round in 0..20 {
        let asked = sidecar.send(&write(&format!("race {round}"), "")).await;
        let id = question(&asked);
        let (yes, no) = tokio::join!(approve(&sidecar, ANA, &id), deny(&sidecar, ANA, &id));
        let mut statuses = [yes, no];
        statuses.sort_unstable();
        // A no may still end a yes that was not used; a yes never revives a no.
        assert!(statuses == [200, 404] || statuses == [200, 200], "{statuses:?}");
        let status = sidecar.send(&resume(&id)).await.status;
        let story = sidecar.story(asked.call(), "resolved").await;
        let answers: Vec<_> = story.records.iter().filter(|record| record.kind() == "resolved").collect();
        let denied = answers.iter().any(|record| record.entry["answer"] == "denied");
        assert_eq!(status, if denied { 403 } else { 200 });
    }
    invariants::hold(&mut sidecar).await;
}

#[tokio::test]
async fn two_rules_that_ask_two_roles_want_two_answers() {
    let policy = "@id(\"all\") permit(principal, action, resource);\n\
        @id(\"one\") @ask(\"security\") forbid(principal, action in Action::\"effect:write\", resource);\n\
        @id(\"two\") @ask(\"owners\") forbid(principal, action in Action::\"effect:write\", resource);\n";
    let mut sidecar = started(policy, "").await;
    let asked = sidecar.send(&write("both", "")).await;
    let id = question(&asked);
    assert_eq!(approve(&sidecar, ANA, &id).await, 200);
    assert_eq!(question(&sidecar.send(&resume(&id)).await), id, "one of two");
    assert_eq!(approve(&sidecar, ANA, &id).await, 403, "she has answered what she is asked");
    assert_eq!(approve(&sidecar, BEN, &id).await, 200);
    assert_eq!(sidecar.send(&resume(&id)).await.status, 200);
    let story = kinds(&sidecar, asked.call(), "ended").await;
    assert_eq!(story, ["asked", "resolved", "resolved", "permitted", "minted", "ended"]);
    invariants::hold(&mut sidecar).await;
}

#[tokio::test]
async fn nobody_agrees_to_what_is_done_on_their_own_behalf() {
    let mut sidecar = started(ASKS, "").await;
    let task = sidecar.open_task("{\"goal\":\"x\",\"on_behalf_of\":\"ana\"}").await;
    let token = task["token"].as_str().unwrap();
    let id = question(&sidecar.send(&write("mine", &format!("agent-task: {token}\r\n"))).await);
    assert_eq!(approve(&sidecar, ANA, &id).await, 403);
    assert_eq!(sidecar.tool.seen().len(), 0);
    invariants::hold(&mut sidecar).await;
}

#[tokio::test]
async fn whoever_is_asked_too_often_is_not_asked() {
    let mut sidecar = started(ASKS, "[approvals]\nmax_per_hour = 3\n").await;
    for number in 0..3 {
        question(&sidecar.send(&write(&format!("{number}"), "")).await);
    }
    let answer = sidecar.send(&write("one too many", "")).await;
    assert_eq!(answer.code(), (429, "limit_reached".to_owned()));
    assert_eq!(answer.json()["rule"], "config:approvals.max_per_hour");
    assert!(answer.header("retry-after").is_some());
    sidecar.restart().await;
    assert_eq!(sidecar.send(&write("nor after a restart", "")).await.code(), (429, "limit_reached".to_owned()));
    invariants::hold(&mut sidecar).await;
}

#[tokio::test]
async fn whom_a_rule_asks_there_must_be() {
    let folder = tempfile::tempdir().unwrap();
    let wanted =
        Wanted { policy: "@id(\"x\") @ask(\"finance\") forbid(principal, action, resource);", ..asking(ASKS, "") };
    let text = crate::suite::common::sidecar::lay_out(folder.path(), "http://127.0.0.1:1", &wanted);
    let config = countersign::config::Config::parse(&text, folder.path()).unwrap();
    let error = countersign::app::load(&config, &text, &countersign::app::Environment::default()).err().unwrap();
    assert!(
        error.to_string().contains("`@ask(\"finance\")`") || error.to_string().contains("@ask(\"finance\")"),
        "{error}"
    );
}

#[tokio::test]
async fn broken_glass_is_a_fact_for_some_minutes_with_a_name_and_a_reason() {
    let policy = "@id(\"all\") permit(principal, action, resource);\n\
        @id(\"no-writes\") forbid(principal, action in Action::\"effect:write\", resource)\n\
        unless { context.agent.break_glass };\n";
    let mut sidecar = started(policy, "").await;
    let write = || write("urgent", "");
    let breaking = |seconds: u32, why: &'static str| format!("{{\"why\":\"{why}\",\"seconds\":{seconds}}}");
    let ask = "POST /v1/agents/helper/break-glass";
    assert_eq!(sidecar.send(&write()).await.code(), (403, "denied".to_owned()));
    assert_eq!(tell(&sidecar, EVE, ask, &breaking(60, "the shop is down, and nobody is there")).await.0, 403);
    assert_eq!(tell(&sidecar, ANA, ask, &breaking(60, "")).await.0, 400, "without a reason");
    assert_eq!(tell(&sidecar, ANA, ask, &breaking(3_601, "the shop is down, and nobody is there")).await.0, 400);
    assert_eq!(
        tell(&sidecar, ANA, "POST /v1/agents/nobody/break-glass", &breaking(60, "the shop is down")).await.0,
        404
    );
    let (status, broken) = tell(&sidecar, ANA, ask, &breaking(2, "the shop is down, and nobody is there")).await;
    assert_eq!(status, 200);
    assert_eq!(sidecar.send(&write()).await.status, 200);
    sidecar.restart().await;
    assert_eq!(sidecar.send(&write()).await.status, 200, "a restart forgets neither");
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    assert_eq!(sidecar.send(&write()).await.code(), (403, "denied".to_owned()));
    let review = format!("POST /v1/glass/{}/review", broken["record"]);
    assert_eq!(tell(&sidecar, ANA, &review, "{}").await.0, 403, "not by whoever broke it");
    assert_eq!(tell(&sidecar, BEN, &review, "{\"why\":\"one issue was written\"}").await.0, 200);
    let (_, glass) = tell(&sidecar, EVE, "GET /v1/glass", "").await;
    assert_eq!((&glass["broken"][0]["reviewed"], glass["broken"].as_array().unwrap().len()), (&true.into(), 1));
    invariants::hold(&mut sidecar).await;
}

#[tokio::test]
async fn whoever_is_asked_is_told_so_without_what_only_a_reviewer_may_see() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let told = tokio::spawn(async move {
        let mut notices = Vec::new();
        // The first one fails: it is tried again.
        for status in ["503 Service Unavailable", "204 No Content"] {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut bytes = vec![0; 8_192];
            let mut length = 0;
            while !String::from_utf8_lossy(&bytes[..length]).contains("\"who\"") {
                length += stream.read(&mut bytes[length..]).await.unwrap();
            }
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
            notices.push(String::from_utf8_lossy(&bytes[..length]).into_owned());
        }
        notices
    });
    let mut wanted = asking(ASKS, "[approvals]\nnotify = { webhook = { file = \"hook.url\" } }\n");
    wanted.files.push(("hook.url", format!("http://{address}/hooks/key-of-the-hook")));
    let mut sidecar = Sidecar::start(wanted, Seams::default()).await;
    let id = question(&sidecar.send(&write("a private matter", "")).await);
    let notices = tokio::time::timeout(Duration::from_secs(20), told).await.expect("a notice").unwrap();
    for notice in &notices {
        assert!(notice.starts_with("POST /hooks/key-of-the-hook HTTP/1.1\r\n"), "{notice}");
        let (_, body) = notice.split_once("\r\n\r\n").unwrap();
        let body: Value = serde_json::from_str(body).unwrap();
        assert_eq!((&body["id"], &body["agent"]), (&Value::from(id.as_str()), &Value::from("helper")));
        assert_eq!((&body["who"], &body["effect"]), (&serde_json::json!(["security"]), &Value::from("write")));
        assert!(!notice.contains("private") && !notice.contains("octo/hello"), "{notice}");
    }
    assert!(!String::from_utf8_lossy(&sidecar.logged.bytes()).contains("key-of-the-hook"), "its address is a secret");
    invariants::hold(&mut sidecar).await;
}
