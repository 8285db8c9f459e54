//! Reads a request's body whole: what is judged is what is sent, so nothing is judged before its last byte is here.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::Body;
use http_body_util::BodyExt as _;
use tokio::time::timeout;

use super::Refusal;
use crate::memory::{Crowded, Place};
use crate::model::{BodyRule, Code, Incoming, Payload};

/// How long a body may pause, and how long all of it may take.
const IDLE: Duration = Duration::from_secs(10);
const WHOLE: Duration = Duration::from_secs(60);

/// Reads what comes behind the head as the action takes it: whole, into the call's place; or not at all.
pub(super) async fn read(
    mut incoming: Incoming,
    rule: BodyRule,
    most: usize,
    place: &mut Place,
) -> Result<Incoming, Refusal> {
    let payload = std::mem::replace(incoming.request.body_mut(), Payload::Whole(Bytes::new()));
    let read = match (payload, rule) {
        (Payload::Tunnel(agent), BodyRule::Websocket) => Payload::Tunnel(agent),
        (Payload::Whole(_) | Payload::Unread(_), BodyRule::Websocket) => {
            let detail = "this action is a WebSocket; open it with an HTTP/1.1 upgrade (RFC 6455 §4.1)";
            return Err(Refusal::Door(Code::RequestUnclear, detail.to_owned()));
        }
        (Payload::Unread(body), BodyRule::Stream) => Payload::Unread(body),
        (Payload::Unread(body), BodyRule::Whole) => Payload::Whole(whole(body, most, |bytes| place.hold(bytes)).await?),
        (Payload::Whole(body), BodyRule::Whole | BodyRule::Stream) => Payload::Whole(body),
        // An upgrade that this action does not offer is passed over, as RFC 9110 §7.8 lets a server do.
        (Payload::Tunnel(_), BodyRule::Whole | BodyRule::Stream) => Payload::Whole(Bytes::new()),
    };
    *incoming.request.body_mut() = read;
    Ok(incoming)
}

/// All of a body that has `most` bytes at most; `hold` makes room for more of it.
pub async fn whole<B>(
    mut body: B,
    most: usize,
    mut hold: impl FnMut(usize) -> Result<(), Crowded>,
) -> Result<Bytes, Refusal>
where
    B: Body<Data = Bytes> + Unpin,
{
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    let too_large = || Refusal::Door(Code::TooLarge, format!("the body is larger than {most} bytes"));
    if body.size_hint().lower() > most as u64 {
        return Err(too_large());
    }
    let reading = async {
        let mut parts = BytesMut::new();
        loop {
            let frame = timeout(IDLE, body.frame()).await.map_err(|_| too_slow())?;
            let Some(frame) = frame else { return Ok(parts.freeze()) };
            let frame = frame.map_err(|_| {
                Refusal::Door(Code::RequestUnclear, "the body is not framed as its head says".to_owned())
            })?;
            let Ok(data) = frame.into_data() else { continue };
            if parts.len().saturating_add(data.len()) > most {
                return Err(too_large());
            }
            hold(data.len())?;
            if parts.is_empty() && body.is_end_stream() {
                return Ok(data);
            }
            parts.extend_from_slice(&data);
        }
    };
    timeout(WHOLE, reading).await.unwrap_or_else(|_| Err(too_slow()))
}

fn too_slow() -> Refusal {
    Refusal::Door(Code::TooSlow, "the body did not arrive in time".to_owned())
}
