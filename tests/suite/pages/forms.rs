//! What a form does, and what it has to show before it does anything.

use super::*;

fn stopped(sidecar: &Sidecar) -> usize {
    sidecar.records("quarantined").len()
}

#[tokio::test]
async fn a_form_from_elsewhere_or_of_another_session_changes_nothing() {
    let sidecar = sidecar().await;
    let (ana, other) = (Session::of(&sidecar, ANA).await, Session::of(&sidecar, ANA).await);
    let (form, foreign) = (ana.form(&sidecar).await, other.form(&sidecar).await);
    let line = format!("POST {}/agents/helper/quarantine", ana.place);
    let cookie = format!("cookie: {}\r\n", ana.cookie);
    let here = format!("origin: http://{}\r\n", sidecar.admin);
    let right = format!("form={form}&why=test");
    for (what, headers, body, status) in [
        ("another origin", format!("{cookie}origin: http://evil.example\r\n"), &right, 403),
        ("another port", format!("{cookie}origin: http://127.0.0.1:1\r\n"), &right, 403),
        ("no origin at all", format!("{cookie}origin: null\r\n"), &right, 403),
        ("another site", format!("{cookie}sec-fetch-site: cross-site\r\n"), &right, 403),
        ("another port, said by the browser", format!("{cookie}{here}sec-fetch-site: same-site\r\n"), &right, 403),
        ("no word of where it comes from", cookie.clone(), &right, 403),
        ("the form of another session", format!("{cookie}{here}"), &format!("form={foreign}&why=test"), 403),
        ("an empty form", format!("{cookie}{here}"), &"form=".to_owned(), 403),
        ("no form", format!("{cookie}{here}"), &"why=test".to_owned(), 400),
        ("no cookie", here.clone(), &right, 401),
    ] {
        let answer = send(&sidecar, &line, &headers, body).await;
        assert_eq!(answer.status, status, "{what}: {answer:?}");
        assert_eq!(stopped(&sidecar), 0, "{what}");
    }
    let got = send(&sidecar, &line.replace("POST", "GET"), &cookie, "").await;
    assert_eq!((got.status, stopped(&sidecar)), (405, 0), "nothing changes by GET");
    let login = send(&sidecar, "POST /login", "", &format!("token={ANA}")).await;
    assert_eq!((login.status, login.header("set-cookie")), (403, None), "nor is anybody logged in by another page");
    assert_eq!(send(&sidecar, &line, &format!("{cookie}{here}"), &right).await.status, 303);
    assert_eq!(stopped(&sidecar), 1, "what is left is our own form");
}

#[tokio::test]
async fn an_agent_is_stopped_and_released_by_a_page_in_the_name_of_who_did() {
    let sidecar = sidecar().await;
    let ana = Session::of(&sidecar, ANA).await;
    let answer = ana.post(&sidecar, "agents/helper/quarantine", "why=it+answers+to+a+stranger").await;
    assert_eq!((answer.status, answer.header("location")), (303, Some(&*format!("{}/agents", ana.place))));
    assert_eq!(sidecar.send(READ).await.code(), (403, "quarantined".to_owned()));
    let record = sidecar.records("quarantined").remove(0);
    assert_eq!(record.entry["by"], "ana");
    assert_eq!(record.private.unwrap()["why"], "it answers to a stranger");
    assert!(ana.get(&sidecar, "agents").await.body.contains("Release"));
    assert_eq!(ana.post(&sidecar, "agents/helper/release", "").await.status, 303);
    assert_eq!(sidecar.send(READ).await.status, 200);
    assert_eq!(ana.post(&sidecar, "agents/helper/release", "").await.status, 409);
    assert_eq!(ana.post(&sidecar, "agents/nobody/quarantine", "").await.status, 404);
}

#[tokio::test]
async fn a_question_is_answered_by_a_page_and_its_story_tells_by_whom() {
    let sidecar = sidecar().await;
    let ana = Session::of(&sidecar, ANA).await;
    let asked = sidecar.send(WRITE).await;
    let id = asked.json()["approval"]["id"].as_str().unwrap().to_owned();
    let page = ana.get(&sidecar, "asks").await.body;
    for told in ["somebody looks at what is written", "ask-writes", "tracker/octo/hello", &id, "13 bytes, sha256"] {
        assert!(page.contains(told), "{told} is not told: {page}");
    }
    let answer = ana.post(&sidecar, &format!("asks/{id}/approve"), "why=looked+at+it").await;
    assert_eq!(answer.status, 303, "{answer:?}");
    let resume = format!(
        "POST /-/approvals/{id}/resume HTTP/1.1\r\nhost: HOST\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    );
    assert_eq!(sidecar.send(&resume).await.status, 200);
    sidecar.story(asked.call(), "ended").await;
    let story = ana.get(&sidecar, &format!("calls/{}", asked.call())).await.body;
    for told in ["<bdi>approved</bdi>", "by <bdi>ana</bdi>", "looked at it", "ended, confirmed", "completed with 200"] {
        assert!(story.contains(told), "{told} is not told: {story}");
    }
    let over = ana.post(&sidecar, &format!("asks/{id}/approve"), "").await;
    assert_eq!(over.status, 404, "it is over");
    assert!(over.body.contains("it is approved, and its call was made"), "{over:?}");
    // It was permitted in the end: it is no refusal any more.
    let made = asked.call().to_string();
    for page in ["refusals", "calls?verdict=no", "calls?verdict=ask"] {
        assert!(!ana.get(&sidecar, page).await.body.contains(&made), "{page}");
    }
    assert!(ana.get(&sidecar, "calls?verdict=allow").await.body.contains(&made));
    let none = sidecar.ask("GET /v1/calls?decision=no", ANA, "").await.json();
    assert_eq!(none["calls"], serde_json::json!([]));
    let strange = ana.get(&sidecar, "calls?verdict=bogus").await;
    assert_eq!(strange.status, 400);
    assert!(strange.body.contains("a verdict is one of allow, no, ask"), "{strange:?}");
    let second = sidecar.send(&WRITE.replace("issues/7", "issues/8")).await;
    let id = second.json()["approval"]["id"].as_str().unwrap().to_owned();
    assert_eq!(ana.post(&sidecar, &format!("asks/{id}/deny"), "").await.status, 303);
    assert_eq!(sidecar.records("resolved").last().unwrap().entry["answer"], "denied");
}

#[tokio::test]
async fn broken_glass_is_reviewed_by_a_page_and_by_somebody_else() {
    let sidecar = sidecar().await;
    let ana = Session::of(&sidecar, ANA).await;
    let words = "{\"why\":\"the shop is down and nobody answers\"}";
    let request = format!(
        "POST /v1/agents/helper/break-glass HTTP/1.1\r\nhost: HOST\r\nauthorization: Bearer {ANA}\r\n\
         content-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{words}",
        words.len()
    );
    let broken = Agent::new(sidecar.admin).ask(request).await;
    assert_eq!(broken.status, 200, "{broken:?}");
    let seq = broken.json()["record"].as_u64().unwrap();
    let page = ana.get(&sidecar, "asks").await.body;
    assert!(page.contains("nobody answers") && page.contains("by somebody else"), "{page}");
    assert_eq!(ana.post(&sidecar, &format!("glass/{seq}/review"), "why=fine").await.status, 403);
    let ben = Session::of(&sidecar, BEN).await;
    assert!(ben.get(&sidecar, "asks").await.body.contains(">Reviewed</button>"));
    assert_eq!(ben.post(&sidecar, &format!("glass/{seq}/review"), "why=two+orders").await.status, 303);
    assert!(ben.get(&sidecar, "asks").await.body.contains("It was reviewed."));
    assert_eq!(sidecar.records("reviewed")[0].entry["by"], "ben");
}

#[tokio::test]
async fn the_lineage_is_verified_by_a_page_and_told_to_be_broken_when_it_is() {
    let sidecar = sidecar().await;
    assert_eq!(sidecar.send(READ).await.status, 200);
    sidecar.wait_for("ended", 1).await;
    let eve = Session::of(&sidecar, EVE).await;
    assert!(eve.get(&sidecar, "lineage").await.body.contains("Nobody has verified it here"));
    assert_eq!(eve.post(&sidecar, "lineage/verify", "").await.status, 303);
    assert!(eve.get(&sidecar, "lineage").await.body.contains("✓ Intact"));
    let told = sidecar.ask("GET /v1/lineage", EVE, "").await.json();
    assert_eq!(told["verified"]["report"]["verdict"]["is"], "intact", "{told}");
    assert_eq!(told["key"].as_str(), Some(&*sidecar.vkey));
    let db = rusqlite::Connection::open(sidecar.lineage()).unwrap();
    let change = "UPDATE records SET entry = CAST(replace(CAST(entry AS TEXT), 'tracker', 'trucker') AS BLOB)
                  WHERE kind = 'permitted'";
    assert_eq!(db.execute(change, []).unwrap(), 1);
    assert_eq!(eve.post(&sidecar, "lineage/verify", "").await.status, 303);
    let page = eve.get(&sidecar, "lineage").await.body;
    assert!(page.contains("✗ Broken") && !page.contains("Intact"), "{page}");
}
