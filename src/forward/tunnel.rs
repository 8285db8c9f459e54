//! A WebSocket between an agent and a tool (RFC 6455): each side speaks with us, and whole messages pass.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use http::{HeaderMap, HeaderValue};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use tokio::time::{Instant, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};

use super::client::Error;
use super::redact::Redactor;
use crate::model::{Ending, Tally};
use crate::revoke::{Lease, Tunnel, cut};

/// What the protocol joins to a handshake's key (RFC 6455 §1.3).
const JOINED: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// How long a side may take to switch protocols, and to take a farewell.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is asked for.
pub(super) const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Both sides of a tunnel, and what masks the credential in what the tool says.
pub(super) struct Sides {
    pub(super) agent: OnUpgrade,
    pub(super) tool: OnUpgrade,
    pub(super) redactor: Option<Redactor>,
}

/// The head that the agent gets for a handshake the tool has agreed to; an error, if it has agreed to something else.
pub(super) fn switched(asked: &HeaderMap, answer: &HeaderMap) -> Result<HeaderMap, Error> {
    let wrong = |what: &str| Error::Protocol(format!("the tool's handshake is wrong: {what}"));
    let upgrade = answer.get(UPGRADE).is_some_and(|to| to.as_bytes().eq_ignore_ascii_case(b"websocket"));
    if !upgrade {
        return Err(wrong("it switches to another protocol"));
    }
    let key = asked.get(SEC_WEBSOCKET_KEY).map_or(&b""[..], HeaderValue::as_bytes);
    let proof = digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key, JOINED.as_bytes()].concat());
    let proof = STANDARD.encode(proof);
    if answer.get(SEC_WEBSOCKET_ACCEPT).is_none_or(|accept| accept.as_bytes() != proof.as_bytes()) {
        return Err(wrong("its `Sec-WebSocket-Accept` does not answer the key"));
    }
    let mut head = HeaderMap::new();
    head.insert(UPGRADE, WEBSOCKET);
    head.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    head.insert(SEC_WEBSOCKET_ACCEPT, HeaderValue::from_str(&proof).map_err(|_| wrong("its key"))?);
    let offered = asked.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|line| line.to_str().ok());
    let offered: Vec<&str> = offered.flat_map(|line| line.split(',')).map(str::trim).collect();
    match answer.get(SEC_WEBSOCKET_PROTOCOL) {
        Some(chosen) if chosen.to_str().is_ok_and(|chosen| offered.contains(&chosen)) => {
            head.insert(SEC_WEBSOCKET_PROTOCOL, chosen.clone());
        }
        Some(_) => return Err(wrong("it chooses a protocol that was not offered")),
        None => {}
    }
    Ok(head)
}

/// Carries messages both ways until either side ends it, the call's time runs out or its task is over.
pub(super) async fn relay(mut lease: Lease, sides: Sides, deadline: Instant) {
    let Sides { agent, tool, mut redactor } = sides;
    let most = lease.call().tool.max_body;
    let (sent, over) = (Tally::default(), lease.over());
    lease.sends(sent.clone());
    let mut tunnel = Tunnel::new(lease);
    let opened = timeout(PATIENCE, async { Ok::<_, hyper::Error>((agent.await?, tool.await?)) }).await;
    let (agent, tool) = match opened {
        Ok(Ok((agent, tool))) => (socket(agent, Role::Server, most).await, socket(tool, Role::Client, most).await),
        Ok(Err(error)) => return tunnel.fail(&error),
        Err(_) => return tunnel.fail(&"a side did not switch protocols in time"),
    };
    let ((mut to_agent, from_agent), (mut to_tool, from_tool)) = (agent.split(), tool.split());
    let received = tunnel.received();
    let ended = tokio::select! {
        ended = pass(from_agent, &mut to_tool, &sent, Ok) => ended.map_err(|error| (Ending::Abandoned, error)),
        ended = pass(from_tool, &mut to_agent, &received, |message| {
            let masked = masked(redactor.as_mut(), message);
            tunnel.listen();
            masked
        }) => ended.map_err(|error| (Ending::Failed, error)),
        ending = cut(deadline, over) => {
            let farewell = CloseFrame { code: CloseCode::Policy, reason: ending.name().into() };
            farewells(&mut to_agent, &mut to_tool, farewell).await;
            return tunnel.cut(ending);
        }
    };
    match ended {
        Ok(()) => {
            // Whoever said goodbye is owed the answer, and the other side the rest.
            let closing = async { (to_agent.close().await, to_tool.close().await) };
            let _ = timeout(PATIENCE, closing).await;
            tunnel.cut(Ending::Completed);
        }
        Err((Ending::Abandoned, error)) if is_hang_up(&error) => tunnel.cut(Ending::Abandoned),
        Err((_, error)) => {
            let farewell = CloseFrame { code: CloseCode::Protocol, reason: "".into() };
            farewells(&mut to_agent, &mut to_tool, farewell).await;
            tunnel.fail(&error);
        }
    }
}

/// Whether the peer went without a farewell.
fn is_hang_up(error: &SocketError) -> bool {
    matches!(
        error,
        SocketError::ConnectionClosed
            | SocketError::AlreadyClosed
            | SocketError::Io(_)
            | SocketError::Protocol(ProtocolError::ResetWithoutClosingHandshake)
    )
}

async fn socket(upgraded: Upgraded, role: Role, most: usize) -> Socket {
    let config = WebSocketConfig::default()
        .max_message_size(Some(most))
        .max_frame_size(Some(most))
        .max_write_buffer_size(most.saturating_mul(2).saturating_add(1 << 18));
    WebSocketStream::from_raw_socket(TokioIo::new(upgraded), role, Some(config)).await
}

/// The message without the credential.
fn masked(redactor: Option<&mut Redactor>, message: Message) -> Result<Message, SocketError> {
    let Some(redactor) = redactor else { return Ok(message) };
    let is_text = message.is_text();
    let data = redactor.mask_whole(message.into_data());
    Ok(if is_text { Message::Text(data.try_into()?) } else { Message::Binary(data) })
}

/// Passes messages one way, each as `look` leaves it. Pings are answered on their own side and go no further. `Ok` is an
/// orderly end.
async fn pass(
    mut from: SplitStream<Socket>,
    to: &mut SplitSink<Socket, Message>,
    tally: &Tally,
    mut look: impl FnMut(Message) -> Result<Message, SocketError>,
) -> Result<(), SocketError> {
    while let Some(message) = from.next().await {
        match message? {
            message @ (Message::Text(_) | Message::Binary(_)) => {
                let message = look(message)?;
                tally.add(&message.clone().into_data());
                to.send(message).await?;
            }
            Message::Close(frame) => {
                tally.finish();
                let _ = timeout(PATIENCE, to.send(Message::Close(frame))).await;
                // The close is answered by whoever it goes to; what it answers with is of no use to anybody.
                return Ok(());
            }
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
    }
    Err(SocketError::ConnectionClosed)
}

async fn farewells(
    to_agent: &mut SplitSink<Socket, Message>,
    to_tool: &mut SplitSink<Socket, Message>,
    farewell: CloseFrame,
) {
    let both = async {
        let _ = to_agent.send(Message::Close(Some(farewell.clone()))).await;
        let _ = to_tool.send(Message::Close(Some(farewell))).await;
    };
    let _ = timeout(PATIENCE, both).await;
}
