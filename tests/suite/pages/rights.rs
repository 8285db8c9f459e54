//! What a page can do takes the right to it, by itself: whatever else would stand in the way is out of it here.

use super::*;

/// Anybody may agree who may approve at all.
const ASKS_ANYBODY: &str = "@id(\"all\") permit(principal, action, resource);\n\
    @id(\"ask-writes\") @ask forbid(principal, action in Action::\"effect:write\", resource);\n";

#[tokio::test]
async fn each_thing_that_a_page_does_takes_the_right_to_do_it() {
    let sidecar = sidecar().await;
    let call = sidecar.send(READ).await.call();
    let (eve, kim) = (Session::of(&sidecar, EVE).await, Session::of(&sidecar, KIM).await);
    for (who, session, to) in [
        ("eve", &eve, "agents/helper/quarantine".to_owned()),
        // Without the right, none of these would be refused but for there being nothing to do.
        ("eve", &eve, "agents/helper/release".to_owned()),
        ("eve", &eve, format!("calls/{call}/cut")),
        ("eve", &eve, "glass/0/review".to_owned()),
        ("kim", &kim, "lineage/verify".to_owned()),
    ] {
        let answer = session.post(&sidecar, &to, "why=because").await;
        assert!(answer.status == 403 && answer.body.contains("does not list"), "{who} {to}: {answer:?}");
    }
    for page in ["agents", "agents/helper", "live"] {
        assert_eq!(kim.get(&sidecar, page).await.status, 403, "kim may not read: {page}");
    }
    assert_eq!(sidecar.records("quarantined").len(), 0);
}

#[tokio::test]
async fn whoever_started_the_sidecar_has_no_name_to_agree_by() {
    let sidecar = Sidecar::start(Wanted { policy: ASKS_ANYBODY, ..wanted() }, Seams::default()).await;
    let asked = sidecar.send(WRITE).await;
    let id = asked.json()["approval"]["id"].as_str().unwrap().to_owned();
    let operator = Session::open(&sidecar, key(&sidecar.login(None).unwrap())).await.unwrap();
    let answer = operator.post(&sidecar, &format!("asks/{id}/approve"), "why=because").await;
    assert!(answer.status == 403 && answer.body.contains("this needs a name"), "{answer:?}");
    assert_eq!(sidecar.records("resolved").len(), 0);
    let ana = Session::of(&sidecar, ANA).await;
    assert_eq!(ana.post(&sidecar, &format!("asks/{id}/approve"), "why=because").await.status, 303);
}

#[tokio::test]
async fn pages_that_are_kept_up_to_date_take_places_that_there_are_so_many_of() {
    let sidecar = sidecar().await;
    let ana = Session::of(&sidecar, ANA).await;
    let mut open = Vec::new();
    for _ in 0..24 {
        let mut stream = TcpStream::connect(sidecar.admin).await.unwrap();
        let request =
            format!("GET {}/live HTTP/1.1\r\nhost: {}\r\ncookie: {}\r\n\r\n", ana.place, sidecar.admin, ana.cookie);
        stream.write_all(request.as_bytes()).await.unwrap();
        hear(&mut stream, &mut String::new(), "\"waiting\":0}").await;
        open.push(stream);
    }
    assert_eq!(ana.get(&sidecar, "live").await.status, 503);
    assert_eq!(ana.get(&sidecar, "calls").await.status, 200, "the pages themselves go on");
}
