//! Masks the credential lent for a call in whatever comes back, in every spelling it is likely to have.
//!
//! A mask is as long as what it covers, so that neither the framing of an answer nor its JSON is another for it.

mod spelling;
mod way;

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue};
use http_body::{Body, Frame, SizeHint};

use self::spelling::Spellings;
use crate::model::{BoxError, Placement, Secret};
use crate::revoke::Echo;

/// What stands in place of a credential: cut, or lengthened with `*`.
const MASK: &[u8] = b"[redacted:cred]";

/// Looks for one credential, and says so when it is found.
pub struct Redactor {
    spellings: Spellings,
    echo: Echo,
}

impl Redactor {
    /// For the credential that was placed so.
    pub fn new(secret: Secret, placement: &Placement, echo: Echo) -> Option<Self> {
        let is_basic = match placement {
            Placement::Nowhere => return None,
            Placement::Header { name: _, prefix } => prefix.trim_ascii().eq_ignore_ascii_case("basic"),
        };
        Some(Self { spellings: Spellings::of(secret, is_basic), echo })
    }

    /// Masks it in the values of an answer's headers.
    pub fn mask_head(&mut self, headers: &mut HeaderMap) {
        let shortest = self.spellings.shortest();
        for value in headers.values_mut().filter(|value| value.len() >= shortest) {
            let mut masked = None;
            self.spellings.search(value.as_bytes(), true, |found| {
                let masked = masked.get_or_insert_with(|| value.as_bytes().to_vec());
                mask(masked.get_mut(found).unwrap_or_default());
            });
            if let Some(masked) = masked {
                self.echo.hear();
                // A mask is visible ASCII, so this cannot fail; if it did, the value would be empty rather than passed.
                *value = HeaderValue::from_bytes(&masked).unwrap_or(HeaderValue::from_static(""));
            }
        }
    }

    /// Masks it in something that is whole.
    pub fn mask_whole(&mut self, data: Bytes) -> Bytes {
        self.mask_part(data, true, &mut Bytes::new())
    }

    /// Masks it in a part of a body. What may be the beginning of it is left in `held`, for the next part.
    fn mask_part(&mut self, data: Bytes, over: bool, held: &mut Bytes) -> Bytes {
        let whole = if held.is_empty() { data } else { Bytes::from([&**held, &*data].concat()) };
        let mut masked: Option<BytesMut> = None;
        let end = self.spellings.search(&whole, over, |found| {
            let masked = masked.get_or_insert_with(|| BytesMut::from(&*whole));
            mask(masked.get_mut(found).unwrap_or_default());
        });
        let mut passed = match masked {
            Some(masked) => {
                self.echo.hear();
                masked.freeze()
            }
            None => whole,
        };
        *held = passed.split_off(end);
        passed
    }
}

fn mask(bytes: &mut [u8]) {
    for (byte, mark) in bytes.iter_mut().zip(MASK.iter().chain(std::iter::repeat(&b'*'))) {
        *byte = *mark;
    }
}

/// A body on its way back, without the credential. It is not held back but for what may be the beginning of one.
pub struct Redacting<B> {
    body: B,
    redactor: Option<Redactor>,
    held: Bytes,
    ahead: Option<Bytes>,
    failed: Option<BoxError>,
    is_over: bool,
}

impl<B> Redacting<B>
where
    B: Body<Data = Bytes, Error = BoxError> + Unpin,
{
    /// Around a body; without a redactor it passes as it is.
    pub fn new(body: B, redactor: Option<Redactor>) -> Self {
        Self { body, redactor, held: Bytes::new(), ahead: None, failed: None, is_over: false }
    }

    /// Looks at the first part if it is there, and keeps it.
    pub async fn look_ahead(&mut self) {
        if self.ahead.is_none() && !self.is_end_stream() {
            let polled = std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut *self).poll_frame(cx))).await;
            match polled {
                Poll::Ready(Some(Ok(frame))) => self.ahead = frame.into_data().ok(),
                Poll::Ready(Some(Err(error))) => self.failed = Some(error),
                Poll::Ready(None) | Poll::Pending => {}
            }
        }
    }

    /// Puts a part before what is still to come.
    pub fn put_back(&mut self, data: Bytes) {
        self.ahead = (!data.is_empty()).then_some(data);
    }

    /// Whether the credential was found so far, in the head or here.
    pub fn has_echoed(&self) -> bool {
        self.redactor.as_ref().is_some_and(|redactor| redactor.echo.is_heard())
    }
}

impl<B> Body for Redacting<B>
where
    B: Body<Data = Bytes, Error = BoxError> + Unpin,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        if let Some(data) = this.ahead.take() {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        if let Some(error) = this.failed.take() {
            return Poll::Ready(Some(Err(error)));
        }
        while !this.is_over {
            let data = match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => data,
                    // No trailers pass: an answer is what its head and its bytes are.
                    Err(_) => continue,
                },
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => {
                    this.is_over = true;
                    Bytes::new()
                }
            };
            let over = this.is_over || this.body.is_end_stream();
            let passed = match &mut this.redactor {
                Some(redactor) => redactor.mask_part(data, over, &mut this.held),
                None => data,
            };
            if !passed.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(passed))));
            }
        }
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        let kept = self.ahead.is_some() || self.failed.is_some() || !self.held.is_empty();
        !kept && (self.is_over || self.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let kept = (self.ahead.as_ref().map_or(0, Bytes::len) + self.held.len()) as u64;
        let inner = if self.is_over { SizeHint::with_exact(0) } else { self.body.size_hint() };
        let mut hint = SizeHint::new();
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper.saturating_add(kept));
        }
        hint.set_lower(inner.lower().saturating_add(kept));
        hint
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use http_body_util::BodyExt as _;
    use proptest::prelude::*;

    use super::*;

    const SECRET: &str = "eyJ0eXAi.QSECRETS/and+more=";

    /// Parts as they come; the last one is known to be the last, or it is not.
    struct Parts(VecDeque<Bytes>, bool);

    impl Body for Parts {
        type Data = Bytes;
        type Error = BoxError;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
            Poll::Ready(self.0.pop_front().map(|part| Ok(Frame::data(part))))
        }

        fn is_end_stream(&self) -> bool {
            self.1 && self.0.is_empty()
        }

        fn size_hint(&self) -> SizeHint {
            SizeHint::with_exact(self.0.iter().map(Bytes::len).sum::<usize>() as u64)
        }
    }

    fn redactor(secret: &str) -> Redactor {
        let placement = Placement::Header { name: http::header::AUTHORIZATION, prefix: "Bearer ".to_owned() };
        Redactor::new(Secret::new(secret), &placement, Echo::default()).unwrap()
    }

    fn parts(text: &[u8], cuts: &[usize]) -> VecDeque<Bytes> {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (text.len() + 1)).chain([0, text.len()]).collect();
        cuts.sort_unstable();
        cuts.windows(2).map(|pair| Bytes::copy_from_slice(&text[pair[0]..pair[1]])).collect()
    }

    fn passed(text: &[u8], cuts: &[usize], known: bool) -> (Bytes, bool) {
        let mut body = Redacting::new(Parts(parts(text, cuts), known), Some(redactor(SECRET)));
        let mut passed = Vec::new();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            if known {
                body.look_ahead().await;
            }
            loop {
                let left = body.size_hint().exact().unwrap();
                assert_eq!(usize::try_from(left).unwrap(), text.len() - passed.len(), "the length is told right");
                match body.frame().await {
                    Some(frame) => passed.extend_from_slice(&frame.unwrap().into_data().unwrap()),
                    None => break,
                }
            }
            assert!(body.is_end_stream() && body.frame().await.is_none());
        });
        (passed.into(), body.has_echoed())
    }

    fn spellings() -> impl Strategy<Value = String> {
        use base64::Engine as _;
        use base64::engine::general_purpose::STANDARD;
        prop_oneof![
            Just(SECRET.to_owned()),
            Just(SECRET.replace('/', "\\/")),
            Just(
                hex::encode_upper(SECRET)
                    .as_bytes()
                    .chunks(2)
                    .flat_map(|pair| ['%', pair[0].into(), pair[1].into()])
                    .collect()
            ),
            Just(SECRET.replace('/', "%2f").replace('+', "%2b").replace('=', "%3d")),
            Just(SECRET.replace('+', "\\u002b")),
            Just(STANDARD.encode(SECRET)),
            Just(STANDARD.encode(format!("u:{SECRET}"))),
            Just(hex::encode(SECRET)),
            Just(SECRET.strip_suffix('=').unwrap().to_owned()),
            Just(SECRET.split('/').next().unwrap().to_owned()),
            "[a-z\\\\%\"0-9]{0,9}",
        ]
    }

    proptest! {
        #[test]
        fn a_body_in_parts_is_masked_as_a_whole_one_is(
            pieces in prop::collection::vec(spellings(), 0..5),
            cuts in prop::collection::vec(any::<usize>(), 0..12),
            known: bool,
        ) {
            let text = pieces.concat();
            let (whole, echo) = passed(text.as_bytes(), &[], true);
            prop_assert_eq!(whole.len(), text.len());
            prop_assert_eq!(passed(text.as_bytes(), &cuts, known), (whole.clone(), echo));
            let mut left = 0;
            redactor(SECRET).spellings.search(&whole, true, |_| left += 1);
            prop_assert_eq!((left, echo), (0, whole != text));
        }

        #[test]
        fn a_body_without_the_secret_passes_as_it_is(text in prop::collection::vec(any::<u8>(), 0..400), cuts in prop::collection::vec(any::<usize>(), 0..9)) {
            prop_assert_eq!(passed(&text, &cuts, false), (Bytes::from(text), false));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn behind_a_long_part_the_secret_is_masked_just_the_same(
            pieces in prop::collection::vec(spellings(), 0..5),
            cuts in prop::collection::vec(any::<usize>(), 0..12),
        ) {
            let (text, long) = (pieces.concat(), 200 * 1024);
            let (alone, echo) = passed(text.as_bytes(), &[], true);
            let behind: Vec<usize> = cuts.iter().map(|cut| long + cut % (text.len() + 1)).chain([long / 2, long]).collect();
            let (whole, heard) = passed(&[&vec![b' '; long], text.as_bytes()].concat(), &behind, false);
            prop_assert_eq!((whole.slice(long..), heard), (alone, echo));
        }
    }

    #[test]
    fn a_part_without_the_secret_is_not_copied() {
        let part = Bytes::from(vec![b'x'; 4_096]);
        let passed = redactor(SECRET).mask_part(part.clone(), false, &mut Bytes::new());
        assert_eq!((passed.as_ptr(), passed.len()), (part.as_ptr(), part.len()));
    }

    #[test]
    fn a_mask_is_as_long_as_what_it_covers() {
        for (secret, masked) in [("hunter2-", "[redacte"), ("hunter2-hunter2-", "[redacted:cred]*")] {
            let passed = redactor(secret).mask_part(Bytes::from(format!("<{secret}>")), true, &mut Bytes::new());
            assert_eq!(passed, format!("<{masked}>"));
        }
    }

    #[test]
    fn a_head_is_masked() {
        let mut redactor = redactor(SECRET);
        let mut headers = HeaderMap::new();
        headers.append("etag", HeaderValue::from_static("\"1\""));
        redactor.mask_head(&mut headers);
        assert!(!redactor.echo.is_heard());
        headers.append("link", HeaderValue::from_str(&format!("</?t={SECRET}&u={SECRET}>")).unwrap());
        redactor.mask_head(&mut headers);
        assert!(redactor.echo.is_heard());
        assert_eq!(headers["etag"], "\"1\"");
        assert_eq!(headers["link"], "</?t=[redacted:cred]************&u=[redacted:cred]************>");
    }
}
