//! Decodes an answer as it streams in. None was asked for encoded; some tools encode all the same, and what cannot be
//! read cannot be checked.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use bytes::Bytes;
use flate2::{Decompress, FlushDecompress, Status};
use http::header::{ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_LENGTH};
use http::{HeaderMap, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};

use super::Error;
use super::answer::{BoxError, drop_validators};

/// Decoded bytes that may come of few: below this, nothing is a bomb.
const HARMLESS: u64 = 1024 * 1024;

/// Beyond that, how many decoded bytes may come of an encoded one.
const LARGEST_RATIO: u64 = 100;

/// Bytes decoded at a time.
const PIECE: usize = 16 * 1024;

/// Why an answer broke off while it was decoded.
#[derive(Debug, thiserror::Error)]
enum Undecodable {
    #[error("the answer decodes to more than {LARGEST_RATIO} times its size")]
    Bomb,
    #[error("the answer is not encoded as its head says")]
    Broken,
    #[error("the answer ends before its encoding does")]
    Cut,
}

/// An answer with its body in clear, and without the headers that are about the encoded one.
///
/// One coding of gzip, deflate (with the frame that RFC 9110 §8.4.1.2 asks for) and br is decoded. What is encoded
/// otherwise is refused, and so is a part of something encoded.
pub(super) fn decode<B>(answer: Response<B>) -> Result<Response<Decoding<B>>, Error> {
    let (mut head, body) = answer.into_parts();
    let decoder = match coding(&head.headers)? {
        None => None,
        Some(coding) if head.status == StatusCode::PARTIAL_CONTENT => return Err(Error::Encoded(coding.to_owned())),
        Some(coding) => Some(Box::new(Decoder::new(coding).ok_or_else(|| Error::Encoded(coding.to_owned()))?)),
    };
    if decoder.is_some() {
        for name in [CONTENT_ENCODING, CONTENT_LENGTH, ACCEPT_RANGES] {
            head.headers.remove(name);
        }
        drop_validators(&mut head.headers);
    }
    Ok(Response::from_parts(head, Decoding { body, decoder }))
}

/// The one coding of an answer, if there is one.
fn coding(headers: &HeaderMap) -> Result<Option<&str>, Error> {
    let mut found = None;
    for value in headers.get_all(CONTENT_ENCODING) {
        let text = value.to_str().map_err(|_| Error::Encoded("?".to_owned()))?;
        for coding in text.split(',').map(str::trim).filter(|coding| !coding.eq_ignore_ascii_case("identity")) {
            if found.replace(coding).is_some() {
                return Err(Error::Encoded(text.chars().take(40).collect()));
            }
        }
    }
    Ok(found)
}

/// A body that is decoded as it comes.
pub struct Decoding<B> {
    body: B,
    decoder: Option<Box<Decoder>>,
}

struct Decoder {
    machine: Machine,
    /// What came and is not decoded yet.
    input: Bytes,
    /// Nothing has come yet, it goes on, or it has come to an end.
    at: At,
    taken: u64,
    given: u64,
    output: Vec<u8>,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum At {
    Start,
    Middle,
    End,
}

enum Machine {
    Gzip(Decompress),
    Zlib(Decompress),
    Brotli(Box<BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>>),
}

impl Decoder {
    fn new(coding: &str) -> Option<Self> {
        let coding = coding.to_ascii_lowercase();
        let machine = match coding.as_str() {
            // RFC 9110 §8.4.1.3 has the second for the same.
            "gzip" | "x-gzip" => Machine::Gzip(Decompress::new_gzip(15)),
            "deflate" => Machine::Zlib(Decompress::new(true)),
            "br" => {
                let memory = StandardAlloc::default;
                Machine::Brotli(Box::new(BrotliState::new(memory(), memory(), memory())))
            }
            _ => return None,
        };
        Some(Self { machine, input: Bytes::new(), at: At::Start, taken: 0, given: 0, output: vec![0; PIECE] })
    }

    /// The next piece, as far as what came goes; empty if more has to come.
    fn next(&mut self) -> Result<Bytes, Undecodable> {
        loop {
            match (self.at, self.input.is_empty(), &mut self.machine) {
                (At::Start | At::End, true, _) => return Ok(Bytes::new()),
                // Several members one after the other are one answer (RFC 1952 §2.2).
                (At::End, false, Machine::Gzip(inflate)) => inflate.reset(true),
                (At::End, false, Machine::Zlib(_) | Machine::Brotli(_)) => return Err(Undecodable::Broken),
                (At::Start, false, _) | (At::Middle, _, _) => {}
            }
            let (taken, given, ended) = self.machine.run(&self.input, &mut self.output)?;
            drop(self.input.split_to(taken));
            self.at = if ended { At::End } else { At::Middle };
            self.taken = self.taken.saturating_add(taken as u64);
            self.given = self.given.saturating_add(given as u64);
            if self.given > HARMLESS && self.given / LARGEST_RATIO > self.taken {
                return Err(Undecodable::Bomb);
            }
            if given > 0 || self.input.is_empty() {
                return Ok(Bytes::copy_from_slice(self.output.get(..given).unwrap_or_default()));
            }
            if taken == 0 && !ended {
                return Err(Undecodable::Broken);
            }
        }
    }
}

impl Machine {
    /// Bytes taken, bytes given, and whether that was the end.
    fn run(&mut self, input: &[u8], output: &mut [u8]) -> Result<(usize, usize, bool), Undecodable> {
        match self {
            Self::Gzip(inflate) | Self::Zlib(inflate) => {
                let (before_in, before_out) = (inflate.total_in(), inflate.total_out());
                let status =
                    inflate.decompress(input, output, FlushDecompress::None).map_err(|_| Undecodable::Broken)?;
                let since = |now: u64, before: u64| usize::try_from(now.saturating_sub(before)).unwrap_or(usize::MAX);
                let (taken, given) = (since(inflate.total_in(), before_in), since(inflate.total_out(), before_out));
                Ok((taken, given, matches!(status, Status::StreamEnd)))
            }
            Self::Brotli(state) => {
                let (mut left, mut taken, mut room, mut given, mut total) = (input.len(), 0, output.len(), 0, 0);
                let result = BrotliDecompressStream(
                    &mut left, &mut taken, input, &mut room, &mut given, output, &mut total, state,
                );
                match result {
                    BrotliResult::ResultSuccess => Ok((taken, given, true)),
                    BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => Ok((taken, given, false)),
                    BrotliResult::ResultFailure => Err(Undecodable::Broken),
                }
            }
        }
    }
}

impl<B> Body for Decoding<B>
where
    B: Body<Data = Bytes, Error = BoxError> + Unpin,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        let Some(decoder) = &mut this.decoder else { return Pin::new(&mut this.body).poll_frame(cx) };
        loop {
            match decoder.next() {
                Ok(piece) if piece.is_empty() => {}
                Ok(piece) => return Poll::Ready(Some(Ok(Frame::data(piece)))),
                Err(error) => return Poll::Ready(Some(Err(error.into()))),
            }
            match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
                Some(Ok(frame)) => decoder.input = frame.into_data().unwrap_or_default(),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => {
                    return Poll::Ready(match decoder.at {
                        At::Start | At::End => None,
                        At::Middle => Some(Err(Undecodable::Cut.into())),
                    });
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let decoded = self.decoder.as_ref().is_none_or(|decoder| match decoder.at {
            At::Start | At::End => decoder.input.is_empty(),
            At::Middle => false,
        });
        decoded && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.decoder.is_some() { SizeHint::default() } else { self.body.size_hint() }
    }
}
