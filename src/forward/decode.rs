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
use super::answer::drop_validators;
use crate::model::BoxError;

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
        Some(_) if head.status == StatusCode::PARTIAL_CONTENT => return Err(Error::Encoded),
        Some(coding) => Some(Box::new(Decoder::new(coding).ok_or(Error::Encoded)?)),
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
        let text = value.to_str().map_err(|_| Error::Encoded)?;
        for coding in text.split(',').map(str::trim).filter(|coding| !coding.eq_ignore_ascii_case("identity")) {
            if found.replace(coding).is_some() {
                return Err(Error::Encoded);
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

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::io::Write as _;

    use base64::Engine as _;
    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};
    use http_body_util::BodyExt as _;

    use super::*;

    struct Parts(VecDeque<Bytes>);

    impl Body for Parts {
        type Data = Bytes;
        type Error = BoxError;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
            // What has not come is waited for.
            match self.0.pop_front() {
                Some(part) if part == "..." => Poll::Pending,
                part => Poll::Ready(part.map(|part| Ok(Frame::data(part)))),
            }
        }

        fn is_end_stream(&self) -> bool {
            self.0.is_empty()
        }
    }

    fn answer(coding: &str, parts: &[&[u8]]) -> Response<Parts> {
        let body = Parts(parts.iter().map(|part| Bytes::copy_from_slice(part)).collect());
        Response::builder()
            .header("content-encoding", coding)
            .header("content-length", "7")
            .header("etag", "\"x\"")
            .header("content-digest", "sha-256=:x:")
            .header("date", "now")
            .body(body)
            .unwrap()
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(text: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    /// Brotli (RFC 7932 §9.2) that holds each text as it is, in a block of its own.
    fn brotli(texts: &[&str]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (place, text) in texts.iter().enumerate() {
            let shift = if place == 0 { 4 } else { 3 };
            let head = ((text.len() - 1) | 1 << 16) << shift;
            bytes.extend_from_slice(&head.to_le_bytes()[..3]);
            bytes.extend_from_slice(text.as_bytes());
        }
        bytes.push(3);
        bytes
    }

    async fn read(coding: &str, parts: &[&[u8]]) -> Result<Vec<u8>, String> {
        let mut body = decode(answer(coding, parts)).map_err(|error| error.to_string())?.into_body();
        let mut whole = Vec::new();
        while let Some(frame) = body.frame().await {
            let data = frame.map_err(|error| error.to_string())?.into_data().unwrap();
            assert!(data.len() <= PIECE);
            whole.extend_from_slice(&data);
        }
        assert!(body.is_end_stream());
        Ok(whole)
    }

    #[tokio::test]
    async fn an_answer_is_decoded_wherever_it_is_cut() {
        let text: Vec<u8> = (0..100_000_u32).flat_map(|number| number.to_string().into_bytes()).collect();
        let canned = base64::engine::general_purpose::STANDARD
            .decode("G0MA+J0J5nk3ZUe3eMDA+FqEhW5vg4SJySmdvhZJY3vThUiiCj26AVVIwomnAilTlpmvX4YC")
            .unwrap();
        let said = br#"{"said":"a tool that answers with brotli, with brotli, with brotli"}"#;
        let members = [gzip(b"one "), gzip(b""), gzip(b"two")].concat();
        for (coding, encoded, expected) in [
            ("gzip", gzip(&text), &text[..]),
            ("x-gzip", gzip(&text), &text),
            ("identity, GZIP", members, b"one two"),
            ("deflate", zlib(&text), &text),
            ("br", brotli(&["one ", "two"]), b"one two"),
            ("br", canned, said),
            ("gzip", Vec::new(), b""),
        ] {
            for step in [1, 7, 1_000, usize::MAX] {
                let parts: Vec<&[u8]> = encoded.chunks(step.min(encoded.len().max(1))).collect();
                assert_eq!(read(coding, &parts).await.unwrap(), expected, "{coding} in steps of {step}");
            }
        }
    }

    #[tokio::test]
    async fn what_was_said_of_the_encoded_bytes_is_dropped() {
        let decoded = decode(answer("gzip", &[])).unwrap();
        assert_eq!(decoded.headers().keys().map(http::HeaderName::as_str).collect::<Vec<_>>(), ["date"]);
        let plain = decode(answer("identity", &[])).unwrap();
        assert_eq!(plain.headers().len(), 5);
    }

    #[tokio::test]
    async fn an_event_is_passed_on_as_soon_as_it_is_there() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        let mut flushed = |text: &str| {
            encoder.write_all(text.as_bytes()).unwrap();
            encoder.flush().unwrap();
            std::mem::take(encoder.get_mut())
        };
        let gzipped = [flushed("data: 1\n\n"), flushed("data: 2\n\n")];
        let whole = brotli(&["data: 1\n\n", "data: 2\n\n"]);
        let brotlied = [whole[..12].to_vec(), whole[12..24].to_vec()];
        for (coding, [one, two]) in [("gzip", gzipped), ("br", brotlied)] {
            let mut body = decode(answer(coding, &[&one, b"...", &two, b"..."])).unwrap().into_body();
            for expected in ["data: 1\n\n", "data: 2\n\n"] {
                let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
                assert_eq!(frame, expected, "{coding}");
                let next = std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut body).poll_frame(cx))).await;
                assert!(next.is_pending(), "{coding}");
            }
        }
    }

    #[tokio::test]
    async fn a_bomb_goes_off_in_the_tool() {
        let zeros = vec![0; 40 * 1024 * 1024];
        let brotli = base64::engine::general_purpose::STANDARD
            .decode("y///P/gnAOKxQCD3/o///3/wTwDEYRGA7v0f////4J8AiMMCAN37P/7//8E/ARCHBQC693/5//+HfwIgDgsAdO//AA==")
            .unwrap();
        for (coding, bomb) in [("gzip", gzip(&zeros)), ("deflate", zlib(&zeros)), ("br", brotli)] {
            let mut body = decode(answer(coding, &[&bomb])).unwrap().into_body();
            let mut size = 0;
            let error = loop {
                match body.frame().await.expect("an error before the end") {
                    Ok(frame) => size += frame.into_data().unwrap().len(),
                    Err(error) => break error.to_string(),
                }
            };
            assert!(error.contains("more than 100 times"), "{error}");
            assert!(size <= 5 * 1024 * 1024, "{coding}: {size}");
        }
        // A small one is none, and neither is a long text.
        assert_eq!(read("gzip", &[&gzip(&zeros[..1024 * 1024])]).await.unwrap().len(), 1024 * 1024);
        let text = "a line like any other, of which there are many\n".repeat(100_000);
        let varied: String = text.lines().enumerate().flat_map(|(n, line)| [n.to_string(), line.to_owned()]).collect();
        assert_eq!(read("gzip", &[&gzip(varied.as_bytes())]).await.unwrap(), varied.as_bytes());
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_refused_or_breaks_off() {
        for coding in ["zstd", "gzip, gzip", "br, gzip", "compress", "x"] {
            assert!(read(coding, &[b"x"]).await.unwrap_err().contains("encoded in a way"), "{coding}");
        }
        let mut partial = answer("gzip", &[b"x"]);
        *partial.status_mut() = StatusCode::PARTIAL_CONTENT;
        assert!(decode(partial).is_err());
        let whole = gzip(b"some text, as it were");
        let cut = read("gzip", &[&whole[..whole.len() - 1]]).await;
        assert!(cut.unwrap_err().contains("ends before"));
        let trailing = [zlib(b"x"), b"more".to_vec()].concat();
        for (coding, wrong) in [
            ("gzip", &b"plain"[..]),
            ("deflate", &trailing),
            ("br", b"\xff\xff\xff"),
            ("gzip", &[whole.clone(), b"junk".to_vec()].concat()),
        ] {
            assert!(read(coding, &[wrong]).await.unwrap_err().contains("not encoded as"), "{coding}");
        }
        let mut flipped = whole;
        let place = flipped.len() - 6;
        flipped[place] ^= 1;
        assert!(read("gzip", &[&flipped]).await.is_err(), "the checksum is looked at");
    }
}
