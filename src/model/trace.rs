//! Where a call stands in a trace: W3C Trace Context, read and written.

use std::fmt;

use http::HeaderValue;

use super::{CallId, Digest, TaskId};

/// The bit that says the trace is kept (W3C Trace Context §3.2.2.5.1).
const SAMPLED: u8 = 1;

/// The bits of version 00 that mean something: sampled, and random (level 2, §3.2.2.5.2).
const KNOWN: u8 = 3;

/// A span's place: which trace, which span of it, and what is said of the trace. As text it is a `traceparent`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TracePoint {
    /// The trace.
    pub trace: [u8; 16],
    /// The span.
    pub span: [u8; 8],
    flags: u8,
}

impl TracePoint {
    /// What a `traceparent` says (§3.2): nothing, if it is none. Of a version that is not known, what a later one may not
    /// change is read (§4.3).
    pub fn parse(header: &HeaderValue) -> Option<Self> {
        let bytes = header.as_bytes();
        let (known, rest) = bytes.split_at_checked(55)?;
        let [version, trace, span, flags] = known.split(|byte| *byte == b'-').collect::<Vec<_>>().try_into().ok()?;
        let ([version], trace, span, [flags]) = (hex(version)?, hex::<16>(trace)?, hex::<8>(span)?, hex(flags)?);
        let ends = rest.is_empty() || version != 0 && rest.starts_with(b"-");
        let flags = if version == 0 { flags & KNOWN } else { flags & SAMPLED };
        (ends && version != 0xff && trace != [0; 16] && span != [0; 8]).then_some(Self { trace, span, flags })
    }

    /// The opening of a task, which its calls follow from. Both ids are parts of the task's, so that a record leads to its
    /// trace, and a trace to its records.
    pub fn of_task(task: TaskId) -> Self {
        Self { trace: *task.as_bytes(), span: tail(task.as_bytes()), flags: 0 }
    }

    /// A call that follows from nothing.
    pub fn of_call(call: CallId) -> Self {
        Self { trace: *call.as_bytes(), span: tail(call.as_bytes()), flags: 0 }
    }

    /// A call that follows from this.
    pub fn followed_by(self, call: CallId) -> Self {
        Self { span: tail(call.as_bytes()), ..self }
    }

    /// A task that is opened after this.
    pub fn opening(self, task: TaskId) -> Self {
        Self { span: tail(task.as_bytes()), ..self }
    }

    /// The same call, made after somebody has agreed: it follows from its own first try.
    pub fn again(self) -> Self {
        let Digest(digest) = Digest::of(&self.span);
        let mut span = [1; 8];
        span.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        Self { span, ..self }
    }

    /// Whether the trace is kept.
    pub const fn is_kept(self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The same, kept or not.
    pub const fn kept(self, kept: bool) -> Self {
        let flags = if kept { self.flags | SAMPLED } else { self.flags & !SAMPLED };
        Self { flags, ..self }
    }
}

impl fmt::Display for TracePoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", hex::encode(self.trace), hex::encode(self.span), self.flags)
    }
}

/// The random half of a UUID of version 7, which is never zero: the variant's bits are in it (RFC 9562 §5.7).
fn tail(id: &[u8; 16]) -> [u8; 8] {
    let mut span = [0; 8];
    span.iter_mut().rev().zip(id.iter().rev()).for_each(|(to, from)| *to = *from);
    span
}

/// Hexadecimal in small letters, as the header wants it, and exactly so long.
fn hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let small = text.iter().all(|byte| !byte.is_ascii_uppercase());
    (small && hex::decode_to_slice(text, &mut bytes).is_ok()).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Timestamp;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn parse(text: &str) -> Option<TracePoint> {
        TracePoint::parse(&HeaderValue::from_bytes(text.as_bytes()).unwrap())
    }

    #[test]
    fn what_is_read_is_written_again() {
        let read = parse(PARENT).unwrap();
        assert!(read.is_kept());
        assert_eq!(read.to_string(), PARENT);
        assert_eq!(parse(&PARENT.replace("-01", "-00")).unwrap().to_string(), PARENT.replace("-01", "-00"));
        assert!(!read.kept(false).is_kept() && read.kept(false).kept(true).is_kept());
    }

    #[test]
    fn what_is_no_traceparent_is_none() {
        let of = |version: &str, end: &str| format!("{version}{}{end}", PARENT.strip_prefix("00").unwrap());
        for wrong in [
            String::new(),
            "00".to_owned(),
            of("ff", ""),
            of("00", "-"),
            of("00", "-what-the-future-will-be-like"),
            of("00", ".what"),
            of("cc", ".what-the-future-will-not-be-like"),
            of("0x", ""),
            PARENT.to_uppercase(),
            PARENT.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            PARENT.replace("b7ad6b7169203331", &"0".repeat(16)),
            PARENT.replace("0af7", ".af7"),
            PARENT.replace("-01", "-.1"),
            PARENT.replace("-b7", "_b7"),
            format!(" {PARENT}"),
        ] {
            assert_eq!(parse(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_cannot_differ() {
        let later = PARENT.replacen("00", "cc", 1).replace("-01", "-fd");
        for later in [later.clone(), format!("{later}-what-the-future-will-be-like")] {
            assert_eq!(parse(&later).unwrap().to_string(), PARENT);
        }
    }

    #[test]
    fn of_the_flags_those_that_are_known_are_passed_on() {
        assert_eq!(parse(&PARENT.replace("-01", "-ff")).unwrap().to_string(), PARENT.replace("-01", "-03"));
    }

    #[test]
    fn a_call_has_a_span_of_its_own_each_time_it_is_made() {
        let at = Timestamp::from_millis(1_795_324_800_123);
        let (one, other) = (CallId::new(at, [7; 10]), CallId::new(at, [8; 10]));
        let task = TracePoint::of_task(TaskId::new(at, [9; 10]));
        let spans = [task, task.followed_by(one), task.followed_by(other), task.followed_by(one).again()];
        assert!(spans.iter().all(|point| point.trace == task.trace && point.span != [0; 8]));
        let different: std::collections::BTreeSet<_> = spans.iter().map(|point| point.span).collect();
        assert_eq!(different.len(), spans.len());
    }
}
