//! F2: a WebSocket is judged by its handshake, leased while it lasts, and cut with its task.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use countersign::app::Seams;
use countersign::model::{CallId, Lifetime};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async, client_async};

use crate::suite::common::invariants;
use crate::suite::common::sidecar::{FRAMEWORK, Sidecar, Wanted};

const LIVE: &str = concat!(
    include_str!("../../examples/demo/tracker.toml"),
    "[actions.\"issues.live\"]\nmatch = \"GET /repos/{owner}/{repo}/live\"\neffect = \"read\"\n\
                    resource = \"{owner}/{repo}\"\nbody = \"websocket\"\n"
);
const PATH: &str = "/tracker/repos/octo/hello/live";

/// What has the tool say its credential.
const SAY: &str = "say what you were lent";

/// A tool that echoes messages, and tells the head of each handshake.
async fn echoes() -> (SocketAddr, mpsc::Receiver<Request>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = mpsc::channel(8);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let tell = tell.clone();
            tokio::spawn(async move {
                let (told, lent) = (Mutex::new(Some(tell)), Mutex::new(String::new()));
                #[expect(clippy::result_large_err, reason = "the library's own callback")]
                let callback = |request: &Request, response: Response| {
                    told.lock().unwrap().take().map(|tell| tell.try_send(request.clone()));
                    let value = request.headers().get("authorization").and_then(|value| value.to_str().ok());
                    value.unwrap_or_default().clone_into(&mut lent.lock().unwrap());
                    Ok(response)
                };
                let mut socket = accept_hdr_async(stream, callback).await.unwrap();
                while let Some(Ok(message)) = socket.next().await {
                    if message.to_text().is_ok_and(|text| text == SAY) {
                        let lent = lent.lock().unwrap().clone();
                        let said = if message.is_text() { Message::text(lent) } else { Message::binary(lent) };
                        let _ = socket.send(said).await;
                    } else if message.is_text() || message.is_binary() {
                        let _ = socket.send(message).await;
                    }
                }
            });
        }
    });
    (address, told)
}

async fn start(tool: SocketAddr, lifetime: Lifetime) -> Sidecar {
    let wanted = Wanted { catalog: LIVE, tool: "max_body = \"64KiB\"", lifetime, ..Wanted::default() };
    let mut sidecar = Sidecar::start(wanted, Seams::default()).await;
    // The tool of the fixture speaks no WebSocket: put another in its place.
    let file = sidecar.folder.path().join("countersign.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace(&sidecar.tool.origin, &format!("http://{tool}"))).unwrap();
    sidecar.restart().await;
    sidecar
}

async fn open(sidecar: &Sidecar, more: &[(&'static str, &str)]) -> Result<(WebSocketStream<TcpStream>, CallId), Error> {
    let stream = TcpStream::connect(sidecar.door).await.unwrap();
    let mut request = format!("ws://{}{PATH}", sidecar.door).into_client_request().unwrap();
    for (name, value) in more {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    let (socket, answer) = client_async(request, stream).await?;
    assert!(answer.headers().get("authorization").is_none());
    let call = answer.headers()["countersign-call"].to_str().unwrap().parse().unwrap();
    Ok((socket, call))
}

#[tokio::test]
async fn messages_pass_both_ways_under_a_lease_and_are_counted() {
    for lifetime in [Lifetime::Head, Lifetime::End] {
        let (tool, mut handshakes) = echoes().await;
        let mut sidecar = start(tool, lifetime).await;
        let more = [("authorization", "Bearer the-agents-own"), ("sec-websocket-extensions", "permessage-deflate")];
        let (mut socket, call) = match open(&sidecar, &more).await {
            Ok(opened) => opened,
            Err(error) => panic!("{error}"),
        };
        let seen = handshakes.recv().await.unwrap();
        assert_eq!(seen.headers()["authorization"], format!("Bearer {}", sidecar.vault.secret(1)));
        assert!(!seen.headers().contains_key("sec-websocket-extensions"), "what is compressed could not be looked at");
        for text in ["one", "two"] {
            socket.send(Message::text(text)).await.unwrap();
            assert_eq!(socket.next().await.unwrap().unwrap(), Message::text(text));
        }
        socket.send(Message::Ping(vec![1].into())).await.unwrap();
        assert!(matches!(socket.next().await.unwrap().unwrap(), Message::Pong(_)));
        // A credential that is checked once is ended though the tunnel goes on; one that is needed throughout is not.
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(sidecar.vault.live(), usize::from(lifetime == Lifetime::End));
        socket.close(None).await.unwrap();
        while let Some(Ok(_)) = socket.next().await {}
        let ended = sidecar.story(call, "ended").await.last("ended").unwrap().entry.clone();
        assert_eq!(ended["ending"], "completed", "{ended}");
        assert_eq!((&ended["answer"]["status"], &ended["answer"]["bytes"]), (&101.into(), &6.into()));
        assert_eq!((&ended["sent"]["bytes"], &ended["sent"]["whole"]), (&6.into(), &true.into()));
        assert_eq!(ended["credential"]["revocation"], "confirmed");
        invariants::hold(&mut sidecar).await;
    }
}

#[tokio::test]
async fn a_credential_that_is_said_back_in_a_message_is_masked_and_ended_while_the_tunnel_goes_on() {
    for say in [Message::text(SAY), Message::binary(SAY)] {
        let (tool, _handshakes) = echoes().await;
        let mut sidecar = start(tool, Lifetime::End).await;
        let (mut socket, call) = open(&sidecar, &[]).await.unwrap();
        socket.send(Message::text("one")).await.unwrap();
        socket.next().await.unwrap().unwrap();
        assert_eq!(sidecar.vault.live(), 1);
        socket.send(say.clone()).await.unwrap();
        let said = socket.next().await.unwrap().unwrap();
        let text = said.to_text().unwrap();
        assert_eq!(said.is_text(), say.is_text());
        assert!(text.contains("[redacted:cred]") && !text.contains(&sidecar.vault.secret(1)), "{text}");
        for _ in 0..100 {
            if sidecar.vault.live() == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(sidecar.vault.live(), 0, "it is worth nothing any more, though the tunnel is open");
        socket.send(Message::text("two")).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("two"));
        socket.close(None).await.unwrap();
        while let Some(Ok(_)) = socket.next().await {}
        let ended = sidecar.story(call, "ended").await.last("ended").unwrap().entry.clone();
        assert_eq!((&ended["ending"], &ended["echo"]), (&"completed".into(), &true.into()), "{ended}");
        invariants::hold(&mut sidecar).await;
    }
}

#[tokio::test]
async fn a_tunnel_is_cut_with_its_task_and_told_so() {
    let (tool, _handshakes) = echoes().await;
    let mut sidecar = start(tool, Lifetime::End).await;
    let opened = sidecar.open_task("{}").await;
    let (mut socket, call) = open(&sidecar, &[("agent-task", opened["token"].as_str().unwrap())]).await.unwrap();
    socket.send(Message::text("one")).await.unwrap();
    socket.next().await.unwrap().unwrap();
    let id = opened["task"].as_str().unwrap();
    let end = format!(
        "DELETE /-/tasks/{id} HTTP/1.1\r\nhost: HOST\r\nauthorization: Bearer {FRAMEWORK}\r\nconnection: close\r\n\r\n"
    );
    assert_eq!(sidecar.send(&end).await.status, 204);
    let farewell = tokio::time::timeout(Duration::from_secs(5), socket.next()).await.unwrap();
    let Some(Ok(Message::Close(Some(frame)))) = farewell else { panic!("{farewell:?}") };
    assert_eq!((u16::from(frame.code), frame.reason.as_str()), (1008, "revoked"));
    let ended = sidecar.story(call, "ended").await.last("ended").unwrap().entry.clone();
    assert_eq!(ended["ending"], "revoked", "{ended}");
    invariants::hold(&mut sidecar).await;
}

#[tokio::test]
async fn a_tunnel_ends_with_the_sidecar_and_a_hang_up_is_told() {
    let (tool, _handshakes) = echoes().await;
    let mut sidecar = start(tool, Lifetime::End).await;
    let (socket, call) = open(&sidecar, &[]).await.unwrap();
    drop(socket);
    let ended = sidecar.story(call, "ended").await.last("ended").unwrap().entry.clone();
    assert_eq!(ended["ending"], "abandoned", "{ended}");
    let (socket, call) = open(&sidecar, &[]).await.unwrap();
    sidecar.stop().await;
    let ended = sidecar.story(call, "ended").await.last("ended").unwrap().entry.clone();
    assert_eq!(ended["ending"], "shutdown", "{ended}");
    drop(socket);
    invariants::hold(&mut sidecar).await;
}

#[tokio::test]
async fn a_message_that_is_too_long_ends_the_tunnel() {
    let (tool, _handshakes) = echoes().await;
    let mut sidecar = start(tool, Lifetime::End).await;
    let (mut socket, call) = open(&sidecar, &[]).await.unwrap();
    socket.send(Message::binary(vec![0; 65 << 10])).await.unwrap();
    let ended = sidecar.story(call, "ended").await.last("ended").unwrap().entry.clone();
    assert_eq!((&ended["ending"], &ended["answer"]["bytes"]), (&"failed".into(), &0.into()), "{ended}");
    invariants::hold(&mut sidecar).await;
}

#[tokio::test]
async fn only_a_tool_that_agrees_to_the_very_handshake_gets_a_tunnel() {
    const OTHER: &str = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: ";
    // The answer to the key of RFC 6455 §1.3, and to no other.
    let accept = "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
    for (answer, status) in [
        ("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno".to_owned(), 403),
        (format!("{OTHER}websocket\r\n\r\n"), 502),
        (format!("{OTHER}foo\r\n{accept}\r\n"), 502),
        (format!("{OTHER}websocket\r\n{accept}sec-websocket-protocol: v9\r\n\r\n"), 502),
        (format!("{OTHER}websocket\r\n{accept}\r\n"), 101),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut sidecar = start(listener.local_addr().unwrap(), Lifetime::Head).await;
        let heads = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = vec![0; 4_096];
            let length = stream.read(&mut head).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            let early = tokio::time::timeout(Duration::from_millis(300), stream.read(&mut head[length..])).await;
            (String::from_utf8(head[..length].to_vec()).unwrap(), early.map_or(0, Result::unwrap))
        });
        // Bytes behind the handshake must not reach the tool before it has agreed.
        let handshake = format!(
            "GET {PATH} HTTP/1.1\r\nhost: HOST\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\nEARLY"
        );
        let mut stream = sidecar.begin(&handshake).await;
        let mut answer = vec![0; 4_096];
        let length = stream.read(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        let (head, early) = heads.await.unwrap();
        assert!(head.starts_with("GET /repos/octo/hello/live HTTP/1.1\r\n") && !head.contains("EARLY"), "{head}");
        assert!(early == 0 || status == 101, "{early} bytes went past the judgement");
        drop(stream);
        sidecar.wait_for("ended", 1).await;
        invariants::hold(&mut sidecar).await;
    }
}

#[tokio::test]
async fn an_upgrade_that_the_action_does_not_offer_is_passed_over() {
    let mut sidecar = Sidecar::start(Wanted { catalog: LIVE, ..Wanted::default() }, Seams::default()).await;
    let upgrade = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                   sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let request = format!("GET /tracker/repos/octo/hello/issues/7 HTTP/1.1\r\nhost: HOST\r\n{upgrade}\r\n");
    let mut stream = sidecar.begin(&request).await;
    let mut answer = vec![0; 4_096];
    let length = stream.read(&mut answer).await.unwrap();
    assert!(answer[..length].starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer[..length]));
    let seen = sidecar.tool.seen().remove(0);
    assert!(!seen.headers().contains_key("upgrade") && !seen.headers().contains_key("sec-websocket-key"));
    for (head, status) in [
        ("connection: close\r\n".to_owned(), 400),
        (upgrade.replace("version: 13", "version: 8"), 400),
        (upgrade.replace("dGhlIHNhbXBsZSBub25jZQ==", "c2hvcnQ="), 400),
        (format!("{upgrade}sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"), 400),
        (format!("{upgrade}sec-websocket-version: 13\r\n"), 400),
        (upgrade.replace("upgrade: websocket", "upgrade: foo"), 400),
    ] {
        let request = format!("GET {PATH} HTTP/1.1\r\nhost: HOST\r\n{head}\r\n");
        let mut stream = sidecar.begin(&request).await;
        let length = stream.read(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{head}: {answer}");
    }
    drop(stream);
    invariants::hold(&mut sidecar).await;
}
