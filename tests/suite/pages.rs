//! The pages of the admin door: who comes in and for how long, what a form has to show, what each may, and that nothing an
//! agent writes gets out of its place.

mod browser;
mod forms;
mod habits;
mod hostile;
mod rights;
mod terminal;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use countersign::app::Seams;
use countersign::model::{Clock, Timestamp};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::common::sidecar::{Answer, READ, Sidecar, Wanted};
use super::common::wire::Agent;

pub const ANA: &str = "a-token-of-ana-who-may-everything-here";
const EVE: &str = "a-token-of-eve-who-may-look-at-things";
const BEN: &str = "a-token-of-ben-who-reviews-broken-glass";
const KIM: &str = "a-token-of-kim-who-may-only-quarantine";

/// Asks for what is written.
const ASKS: &str = "@id(\"all\") permit(principal, action, resource);\n\
    @id(\"ask-writes\") @ask(\"lead\") @reason(\"somebody looks at what is written\")\n\
    forbid(principal, action in Action::\"effect:write\", resource);\n";

const WRITE: &str = "POST /tracker/repos/octo/hello/issues/7/comments HTTP/1.1\r\nhost: HOST\r\n\
    content-type: application/json\r\ncontent-length: 13\r\nconnection: close\r\n\r\n{\"title\":\"a\"}";

fn wanted() -> Wanted {
    let more = "[reviewers.ana]\ntoken = { file = \"ana.token\" }\nmay = [\"read\", \"approve\", \"quarantine\", \"break_glass\"]\n\
        roles = [\"lead\"]\n\
        [reviewers.eve]\ntoken = { file = \"eve.token\" }\nmay = [\"read\"]\nroles = [\"lead\"]\n\
        [reviewers.ben]\ntoken = { file = \"ben.token\" }\nmay = [\"read\", \"break_glass\"]\n\
        [reviewers.kim]\ntoken = { file = \"kim.token\" }\nmay = [\"quarantine\"]\n";
    let files = [("ana.token", ANA), ("ben.token", BEN), ("eve.token", EVE), ("kim.token", KIM)];
    let files = files.map(|(name, token)| (name, token.to_owned())).to_vec();
    Wanted { policy: ASKS, more: more.to_owned(), files, ..Wanted::default() }
}

async fn sidecar() -> Sidecar {
    Sidecar::start(wanted(), Seams::default()).await
}

/// A sidecar whose time stands still until it is moved on.
async fn at_a_time() -> (Sidecar, Arc<AtomicI64>) {
    let time = Arc::new(AtomicI64::new(1_795_324_800_000));
    let read = time.clone();
    let clock = Clock::new(move || Timestamp::from_millis(read.load(Ordering::Relaxed)));
    (Sidecar::start(wanted(), Seams { clock: Some(clock), ..Seams::default() }).await, time)
}

/// What a browser holds of a session.
struct Session {
    place: String,
    cookie: String,
}

/// A request to the admin door, each header line ended.
async fn send(sidecar: &Sidecar, line: &str, headers: &str, body: &str) -> Answer {
    let length = body.len();
    let request = format!(
        "{line} HTTP/1.1\r\nhost: HOST\r\n{headers}connection: close\r\n\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    Agent::new(sidecar.admin).ask(request).await
}

/// What a browser says of a form that our own page sent.
fn own(sidecar: &Sidecar) -> String {
    format!("origin: http://{}\r\nsec-fetch-site: same-origin\r\n", sidecar.admin)
}

impl Session {
    /// Logs in by a form of the login page.
    async fn open(sidecar: &Sidecar, form: &str) -> Result<Self, Answer> {
        let answer = send(sidecar, "POST /login", &own(sidecar), form).await;
        let (Some(place), Some(cookie)) = (answer.header("location"), answer.header("set-cookie")) else {
            return Err(answer);
        };
        let place = place.strip_suffix("/calls").unwrap().to_owned();
        assert!(cookie.ends_with(&format!("; Path={place}; Max-Age=28800; HttpOnly; SameSite=Strict")), "{cookie}");
        Ok(Self { cookie: cookie.split_once(';').unwrap().0.to_owned(), place })
    }

    async fn of(sidecar: &Sidecar, token: &str) -> Self {
        Self::open(sidecar, &format!("token={token}")).await.unwrap()
    }

    async fn get(&self, sidecar: &Sidecar, page: &str) -> Answer {
        let headers = format!("cookie: {}\r\n", self.cookie);
        send(sidecar, &format!("GET {}/{page}", self.place), &headers, "").await
    }

    /// Sends a form of a page, as a browser does.
    async fn post(&self, sidecar: &Sidecar, to: &str, more: &str) -> Answer {
        let form = self.form(sidecar).await;
        let headers = format!("cookie: {}\r\n{}", self.cookie, own(sidecar));
        send(sidecar, &format!("POST {}/{to}", self.place), &headers, &format!("form={form}&{more}")).await
    }

    /// What the forms of this session hold.
    async fn form(&self, sidecar: &Sidecar) -> String {
        let page = self.get(sidecar, "agents").await;
        let (_, rest) = page.body.split_once("name=\"form\" value=\"").unwrap_or_else(|| panic!("{page:?}"));
        rest.split_once('"').unwrap().0.to_owned()
    }
}

fn key(link: &str) -> &str {
    link.split_once("/login?").unwrap().1
}

#[tokio::test]
async fn a_link_logs_in_whoever_shows_it_first_and_nobody_after_that() {
    let sidecar = sidecar().await;
    let link = sidecar.login(None).unwrap();
    assert!(link.starts_with(&format!("http://{}/login?key=", sidecar.admin)), "{link}");
    for _ in 0..2 {
        let looked = send(&sidecar, &format!("GET /login?{}", key(&link)), "", "").await;
        assert_eq!((looked.status, looked.header("set-cookie")), (200, None), "looking at it spends nothing");
    }
    let session = Session::open(&sidecar, key(&link)).await.unwrap();
    assert_eq!(session.get(&sidecar, "calls").await.status, 200);
    let again = Session::open(&sidecar, key(&link)).await.err().unwrap();
    assert_eq!((again.status, again.header("set-cookie")), (401, None));
    for wrong in ["key=guessed", "token=guessed", "key=&token=", "nothing=at-all"] {
        assert_eq!(Session::open(&sidecar, wrong).await.err().unwrap().status, 401, "{wrong}");
    }
    assert!(sidecar.login(Some("nobody")).is_none());
}

#[tokio::test]
async fn a_link_waits_ten_minutes_and_a_session_lasts_eight_hours() {
    let (sidecar, time) = at_a_time().await;
    let (early, late) = (sidecar.login(None).unwrap(), sidecar.login(Some("ana")).unwrap());
    time.fetch_add(599_000, Ordering::Relaxed);
    let session = Session::open(&sidecar, key(&early)).await.unwrap();
    time.fetch_add(1_000, Ordering::Relaxed);
    assert_eq!(Session::open(&sidecar, key(&late)).await.err().unwrap().status, 401);
    time.fetch_add(8 * 3_600_000 - 1_001, Ordering::Relaxed);
    assert_eq!(session.get(&sidecar, "calls").await.status, 200);
    time.fetch_add(1, Ordering::Relaxed);
    assert_eq!(session.get(&sidecar, "calls").await.status, 401);
}

#[tokio::test]
async fn a_session_is_its_cookie_under_its_own_path_and_nothing_else() {
    let mut sidecar = sidecar().await;
    let (ana, eve) = (Session::of(&sidecar, ANA).await, Session::of(&sidecar, EVE).await);
    let page = ana.get(&sidecar, "calls").await;
    assert!(page.status == 200 && page.body.contains("<bdi>ana</bdi>"), "{page:?}");
    let stolen = Session { place: eve.place.clone(), cookie: ana.cookie.clone() };
    assert_eq!(stolen.get(&sidecar, "calls").await.status, 401, "whoever was shown the cookie knows no path");
    assert_eq!(send(&sidecar, &format!("GET {}/calls", ana.place), "", "").await.status, 401, "without its cookie");
    for page in [
        "calls",
        "refusals",
        "asks",
        "agents",
        "agents/helper",
        "lineage",
        "live",
        "calls/01a20d78-a14e-794c-8f4b-5dab522deea2",
    ] {
        let outside = send(&sidecar, &format!("GET {}/{page}", ana.place), "cookie: countersign=guessed\r\n", "").await;
        assert_eq!(outside.status, 401, "{page}");
    }
    let api = send(&sidecar, "GET /v1/calls", &format!("cookie: {}\r\n", ana.cookie), "").await;
    assert_eq!(api.status, 401, "the API knows no cookies");
    assert_eq!(eve.post(&sidecar, "logout", "").await.status, 303);
    assert_eq!(eve.get(&sidecar, "calls").await.status, 401);
    assert_eq!(ana.get(&sidecar, "calls").await.status, 200);
    sidecar.restart().await;
    assert_eq!(ana.get(&sidecar, "calls").await.status, 401, "it ends with the process");
}

#[tokio::test]
async fn a_token_that_is_taken_away_ends_the_session_it_opened() {
    let sidecar = sidecar().await;
    let (ana, eve) = (Session::of(&sidecar, ANA).await, Session::of(&sidecar, EVE).await);
    sidecar.write("eve.token", "another-token-of-eve-from-now-on");
    sidecar.reload().await.unwrap();
    assert_eq!(eve.get(&sidecar, "calls").await.status, 401);
    assert_eq!(ana.get(&sidecar, "calls").await.status, 200);
}

#[tokio::test]
async fn a_page_answers_to_its_own_name_only_and_lets_nobody_frame_or_feed_it() {
    let sidecar = sidecar().await;
    let ana = Session::of(&sidecar, ANA).await;
    for host in ["evil.example", "evil.example:80", "127.0.0.1"] {
        let request = format!(
            "GET {}/calls HTTP/1.1\r\nhost: {host}\r\ncookie: {}\r\nconnection: close\r\n\r\n",
            ana.place, ana.cookie
        );
        let answer = Agent::new(sidecar.admin).ask(request).await;
        assert_eq!(answer.status, 403, "{host}");
        assert!(!answer.body.contains("ana"), "{answer:?}");
    }
    for page in ["calls", "refusals", "asks", "agents", "agents/helper", "lineage", "calls/no-such"] {
        let answer = ana.get(&sidecar, page).await;
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; style-src 'self'; script-src 'self';"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{policy}");
        let told = ["x-frame-options", "x-content-type-options", "referrer-policy", "cache-control"];
        let told = told.map(|name| answer.header(name).unwrap_or_default());
        assert_eq!(told, ["DENY", "nosniff", "same-origin", "no-store"], "{page}");
        let apart = ["cross-origin-opener-policy", "cross-origin-resource-policy"];
        assert_eq!(apart.map(|name| answer.header(name)), [Some("same-origin"); 2], "{page}");
        for inline in ["<style", " style=", "javascript:", " onclick", "<script>", "http-equiv"] {
            assert!(!answer.body.contains(inline), "{page} holds `{inline}`");
        }
    }
}

#[tokio::test]
async fn whoever_may_not_do_it_by_the_api_may_not_do_it_by_a_page() {
    let sidecar = sidecar().await;
    let asked = sidecar.send(WRITE).await;
    let id = asked.json()["approval"]["id"].as_str().unwrap().to_owned();
    let (ana, eve, kim) =
        (Session::of(&sidecar, ANA).await, Session::of(&sidecar, EVE).await, Session::of(&sidecar, KIM).await);
    let operator = Session::open(&sidecar, key(&sidecar.login(None).unwrap())).await.unwrap();
    assert!(ana.get(&sidecar, "asks").await.body.contains(">Approve</button>"));
    assert!(!eve.get(&sidecar, "asks").await.body.contains("<button class=\"yes\""), "she may only look");
    assert!(!operator.get(&sidecar, "asks").await.body.contains("<button class=\"yes\""), "an answer has a name");
    for (who, session, to) in [
        ("eve", &eve, format!("asks/{id}/approve")),
        ("eve", &eve, format!("asks/{id}/deny")),
        ("eve", &eve, "agents/helper/quarantine".to_owned()),
        ("operator", &operator, format!("asks/{id}/approve")),
    ] {
        let answer = session.post(&sidecar, &to, "why=because").await;
        assert_eq!(answer.status, 403, "{who} {to}: {answer:?}");
    }
    for page in ["calls", "refusals", "asks", "lineage", &format!("calls/{}", asked.call())] {
        assert_eq!(kim.get(&sidecar, page).await.status, 403, "kim may not read: {page}");
    }
    assert_eq!(sidecar.records("resolved").len() + sidecar.records("quarantined").len(), 0);
}

#[tokio::test]
async fn what_happens_is_told_to_pages_that_are_open_until_they_are_logged_out() {
    let sidecar = sidecar().await;
    let ana = Session::of(&sidecar, ANA).await;
    let mut stream = TcpStream::connect(sidecar.admin).await.unwrap();
    let request =
        format!("GET {}/live HTTP/1.1\r\nhost: {}\r\ncookie: {}\r\n\r\n", ana.place, sidecar.admin, ana.cookie);
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut heard = String::new();
    hear(&mut stream, &mut heard, "\"waiting\":0}").await;
    assert!(heard.contains("content-type: text/event-stream"), "{heard}");
    assert_eq!(sidecar.send(READ).await.status, 200);
    assert_eq!(sidecar.send(WRITE).await.status, 428);
    hear(&mut stream, &mut heard, "\"waiting\":1}").await;
    assert_eq!(ana.post(&sidecar, "logout", "").await.status, 303);
    hear(&mut stream, &mut heard, "\r\n0\r\n\r\n").await;
}

/// Reads until this has come.
async fn hear(stream: &mut TcpStream, heard: &mut String, wanted: &str) {
    let mut part = [0; 4096];
    while !heard.contains(wanted) {
        let read = tokio::time::timeout(Duration::from_secs(10), stream.read(&mut part)).await;
        let read = read.unwrap_or_else(|_| panic!("`{wanted}` did not come: {heard}")).unwrap();
        assert!(read > 0, "it ended before `{wanted}`: {heard}");
        heard.push_str(&String::from_utf8_lossy(&part[..read]));
    }
}

#[tokio::test]
async fn a_sidecar_that_stops_waits_for_no_page_that_is_open() {
    let mut sidecar = sidecar().await;
    let ana = Session::of(&sidecar, ANA).await;
    let mut stream = TcpStream::connect(sidecar.admin).await.unwrap();
    let request =
        format!("GET {}/live HTTP/1.1\r\nhost: {}\r\ncookie: {}\r\n\r\n", ana.place, sidecar.admin, ana.cookie);
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut heard = String::new();
    hear(&mut stream, &mut heard, "data: ").await;
    let begun = std::time::Instant::now();
    assert!(sidecar.stop().await);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}
