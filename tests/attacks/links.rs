//! Links in an answer: those that lead to the tool lead to the door, the others pass as they are, and none is followed.

use std::path::Path;
use std::sync::{Arc, Mutex};

use countersign::config::Config;
use tokio::sync::Semaphore;

use super::mirror::{Mirror, Piece, header, serve, whole};

const TOKEN: &str = "a-token-CANARY-for-links";

fn redirect(status: u16, location: &str) -> Vec<Piece> {
    let head = format!(
        "HTTP/1.1 {status} x\r\nlocation: {location}\r\nrefresh: 0;url={location}\r\ncontent-length: 0\r\n\r\n"
    );
    vec![Piece::Bytes(head.into_bytes())]
}

fn post(path: &str) -> String {
    format!(
        "POST /tool{path} HTTP/1.1\r\nhost: HOST\r\nconnection: close\r\ncontent-type: text/plain\r\ncontent-length: 4\r\n\r\nbody"
    )
}

#[tokio::test]
async fn a_redirect_is_handed_back_and_never_followed() {
    let strangers: Arc<Mutex<Vec<String>>> = Arc::default();
    let stranger = serve(Arc::new(|_| whole("", b"stolen")), strangers.clone(), Arc::new(Semaphore::new(0))).await;
    let port = stranger.rsplit(':').next().unwrap();
    // Another host, another port of the same, another scheme, and whatever else may be taken for one.
    let elsewhere = [
        stranger.replace("127.0.0.1", "localhost"),
        format!("{stranger}/base/x"),
        "https://127.0.0.1/base/x".to_owned(),
        format!("//127.0.0.1:{port}/base/x"),
        "//evil".to_owned(),
        "/\\evil".to_owned(),
        "http:evil".to_owned(),
        "javascript:alert(1)".to_owned(),
        "/elsewhere".to_owned(),
    ];
    let targets = elsewhere.clone();
    let mirror = Mirror::of(TOKEN, move |request| {
        let path = request.split(' ').nth(1).unwrap().strip_prefix("/base/").unwrap();
        let (status, number) = path.split_once('/').unwrap();
        redirect(status.parse().unwrap(), &targets[number.parse::<usize>().unwrap()])
    })
    .await;
    for status in [301, 302, 303, 307, 308] {
        for (number, target) in elsewhere.iter().enumerate() {
            let answer = mirror.send(&post(&format!("/{status}/{number}"))).await;
            assert_eq!((answer.status, answer.header("location")), (status, Some(target.as_str())), "{answer:?}");
            assert_eq!(answer.header("refresh"), None);
        }
    }
    let seen = mirror.seen();
    assert_eq!(seen.len(), 5 * elsewhere.len(), "every call went out once");
    assert!(seen.iter().all(|request| header(request, "referer").is_none() && request.ends_with("\r\n\r\nbody")));
    assert_eq!(*strangers.lock().unwrap(), Vec::<String>::new());
    mirror.stop().await;
}

#[tokio::test]
async fn a_link_to_the_tool_leads_to_the_door_and_can_be_followed_there() {
    let mirror = Mirror::of(TOKEN, |request| {
        let origin = format!("http://{}", header(request, "host").unwrap());
        match request.split(' ').nth(1).unwrap() {
            "/base/absolute" => redirect(302, &format!("{origin}/base/next?a=b#c")),
            "/base/relative/x" => redirect(307, "../next"),
            "/base/network" => redirect(308, &format!("//{}/base/next", header(request, "host").unwrap())),
            "/base/list" => whole(
                &format!("content-location: /base/list?page=1\r\nlink: <{origin}/base/list?page=2>; rel=\"next\", <https://evil.test/>; rel=\"x\"\r\n"),
                b"<meta http-equiv=refresh content='0;url=http://evil.test'>",
            ),
            _ => whole("", b"here"),
        }
    })
    .await;
    let door = format!("http://{}/tool", mirror.door);
    for (path, expected) in [("/absolute", "/next?a=b#c"), ("/relative/x", "/next"), ("/network", "/next")] {
        let answer = mirror.get(path).await;
        let location = answer.header("location").unwrap();
        assert_eq!(location, format!("{door}{expected}"));
        let followed = location.strip_prefix(&door).unwrap().split('#').next().unwrap();
        assert_eq!(mirror.get(followed).await.text(), "here");
    }
    let list = mirror.get("/list").await;
    assert_eq!(list.header("content-location"), Some(format!("{door}/list?page=1").as_str()));
    let link = format!("<{door}/list?page=2>; rel=\"next\", <https://evil.test/>; rel=\"x\"");
    assert_eq!(list.header("link"), Some(link.as_str()));
    assert!(list.text().contains("url=http://evil.test"), "what a page says is data");
    // The door is called as the agent calls it.
    let port = mirror.door.port();
    let named = mirror
        .send(&format!("GET /tool/absolute HTTP/1.1\r\nhost: localhost:{port}\r\nconnection: close\r\n\r\n"))
        .await;
    assert_eq!(named.header("location"), Some(format!("http://localhost:{port}/tool/next?a=b#c").as_str()));
    mirror.stop().await;
}

#[tokio::test]
async fn strings_that_the_catalog_names_are_rewritten_and_every_other_byte_stays() {
    let body = |origin: &str| {
        format!(
            "{{ \"url\" : \"{origin}/base/1\",\n \"items\":[{{\"html_url\":\"{origin}/base/2\",\"n\":1.0}}], \"other\":\"{origin}/base/3\" }}\n"
        )
    };
    let mirror = Mirror::of(TOKEN, move |request| {
        let text = body(&format!("http://{}", header(request, "host").unwrap()));
        let head = |kind: &str| format!("content-type: {kind}\r\netag: \"1\"\r\n");
        match request.split(' ').nth(1).unwrap() {
            "/base/whole" => whole(&head("application/json; charset=utf-8"), text.as_bytes()),
            "/base/chunks" => chunked(&head("application/vnd.x+json"), &text),
            "/base/text" => whole(&head("text/plain"), text.as_bytes()),
            "/base/broken" => whole(&head("application/json"), &text.as_bytes()[1..]),
            "/base/long" => whole(&head("application/json"), format!("{text}{}", " ".repeat(9 << 20)).as_bytes()),
            _ => chunked(&head("application/json"), &format!("{text}{}", " ".repeat(9 << 20))),
        }
    })
    .await;
    let door = format!("http://{}/tool", mirror.door);
    let own = body(&mirror.origin);
    let turned = own.replace(&format!("{}/base/1", mirror.origin), &format!("{door}/1"));
    let turned = turned.replace(&format!("{}/base/2", mirror.origin), &format!("{door}/2"));
    for path in ["/whole", "/chunks"] {
        let answer = mirror.get(path).await;
        assert_eq!(answer.text(), turned, "{path}");
        assert_eq!(
            (answer.header("content-length"), answer.header("etag")),
            (Some(turned.len().to_string().as_str()), None)
        );
        assert!(answer.is_whole);
        let ended = mirror.ended(&answer).await;
        assert_eq!(ended["answer"]["bytes"], turned.len());
    }
    for path in ["/text", "/broken", "/long", "/long-in-chunks"] {
        let answer = mirror.get(path).await;
        let expected = if path == "/broken" { own.strip_prefix('{').unwrap() } else { own.as_str() };
        assert!(answer.is_whole && answer.text().starts_with(expected), "{path}: {}", answer.head);
        assert_eq!(answer.text().trim_end().len(), expected.trim_end().len(), "{path}");
        assert_eq!(answer.header("etag"), Some("\"1\""), "{path}");
    }
    mirror.stop().await;
}

fn chunked(head: &str, text: &str) -> Vec<Piece> {
    super::mirror::chunked(head, &text.as_bytes().chunks(text.len().div_ceil(3)).collect::<Vec<_>>())
}

#[test]
fn a_credential_goes_to_a_plain_address_only_where_that_is_said() {
    let text = "[listen]\nagent = \"127.0.0.1:0\"\n[agents.a]\nidentify = [{ peer = { uid = 1 } }]\ntools = [\"t\"]\n\
         [tools.t]\nupstream = \"http://127.0.0.1:1\"\ncatalog = \"t.toml\"\nissuer = \"i\"\nnetworks = [\"127.0.0.0/8\"]\n\
         [issuers.i]\nkind = \"jwt\"\n";
    let refused = Config::parse(text, Path::new("/")).expect_err("plain HTTP is refused").to_string();
    assert!(refused.contains("plaintext"), "{refused}");
    Config::parse(&text.replace("networks", "plaintext = true\nnetworks"), Path::new("/")).unwrap();
}
