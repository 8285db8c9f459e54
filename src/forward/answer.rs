//! What comes back from a tool, as far as it is believed: a clearly framed head, and a body without trailers.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::BoxBody;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;

use crate::model::BoxError;

/// Headers that are about the very bytes of a body.
const VALIDATORS: [&str; 4] = ["etag", "content-digest", "repr-digest", "content-md5"];

/// The body of an answer, as it streams in. Trailers are dropped (RFC 9110 §6.5.1 lets a recipient do so): nothing of
/// an answer passes that was not in its head when that was checked.
#[derive(Debug)]
pub enum AnswerBody {
    /// From a connection.
    Hyper(Incoming),
    /// From anywhere else.
    Other(BoxBody<Bytes, BoxError>),
    /// None: the tool has switched protocols.
    Tunnel(OnUpgrade),
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = match self.get_mut() {
            Self::Hyper(body) => ready!(Pin::new(body).poll_frame(cx)).map(|frame| frame.map_err(Into::into)),
            Self::Other(body) => ready!(Pin::new(body).poll_frame(cx)),
            Self::Tunnel(_) => None,
        };
        match frame {
            Some(Ok(frame)) if frame.is_trailers() => Poll::Ready(None),
            frame => Poll::Ready(frame),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Hyper(body) => body.is_end_stream(),
            Self::Other(body) => body.is_end_stream(),
            Self::Tunnel(_) => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Hyper(body) => body.size_hint(),
            Self::Other(body) => body.size_hint(),
            Self::Tunnel(_) => SizeHint::with_exact(0),
        }
    }
}

/// Takes out of a head what is about the very bytes of a body that is another now (RFC 9110 §8.8, RFC 9530, RFC 1864).
pub(super) fn drop_validators(headers: &mut HeaderMap) {
    for name in VALIDATORS {
        headers.remove(name);
    }
}

/// Whether there is anything of that kind.
pub(super) fn has_validators(headers: &HeaderMap) -> bool {
    VALIDATORS.iter().any(|name| headers.contains_key(*name))
}

/// Why an answer's head can be read in two ways, if it can (RFC 9112 §6.3, CWE-444). `upgrade`: switching protocols was
/// asked for.
///
/// hyper lets `Transfer-Encoding` win over `Content-Length`, reads any other coding up to the end of the connection,
/// and takes equal lengths for one; another reader on the way may not.
pub(super) fn ambiguity<B>(answer: &Response<B>, upgrade: bool) -> Option<&'static str> {
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS && !upgrade {
        return Some("the answer switches protocols, which was not asked for");
    }
    let mut lengths = answer.headers().get_all(CONTENT_LENGTH).iter();
    let mut codings = answer.headers().get_all(TRANSFER_ENCODING).iter();
    match (lengths.next(), codings.next()) {
        (None, None) => None,
        (Some(length), None) => {
            let clear = lengths.next().is_none() && length.as_bytes().iter().all(u8::is_ascii_digit);
            (!clear).then_some("the answer has more than one length")
        }
        (None, Some(coding)) => {
            let clear = codings.next().is_none() && coding.as_bytes().eq_ignore_ascii_case(b"chunked");
            (!clear).then_some("the answer has a transfer coding other than `chunked`")
        }
        (Some(_), Some(_)) => Some("the answer has both a length and a transfer coding"),
    }
}
