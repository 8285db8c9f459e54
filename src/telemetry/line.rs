//! One line of the log: JSON in visible ASCII and of bounded length, whatever its event holds.

use std::fmt::{self, Write as _};

use tracing::field::{Field, Visit};
use tracing::{Event, Level};

use crate::model::{Digest, Timestamp};

/// Bytes of a line, its end included.
pub const LONGEST_LINE: usize = 8 * 1024;

/// Bytes that the value of one field may take in a line.
pub const LONGEST_VALUE: usize = 1024;

/// Kept free for what stands behind the fields: the ends of two objects, and how many fields were left out.
const TAIL: usize = 64;

/// Names that a line has for itself.
const OWN: [&str; 5] = ["timestamp", "level", "target", "cut", "left_out"];

/// The line of an event, with its end.
///
/// `timestamp`, `level`, `target`, `message`, then the event's fields. A longer value is cut; its whole length and
/// SHA-256 stand under its name in `cut`. Fields that have no room are counted in `left_out`.
pub fn line(at: Timestamp, event: &Event<'_>) -> String {
    let mut fields = Fields::default();
    event.record(&mut fields);
    let metadata = event.metadata();
    of(at, *metadata.level(), metadata.target(), fields)
}

fn of(at: Timestamp, level: Level, target: &str, fields: Fields) -> String {
    let mut line = Line { text: format!("{{\"timestamp\":\"{at}\",\"level\":\"{level}\""), ..Line::default() };
    line.add("target", Value::Text(target.to_owned()));
    let (message, others): (Vec<_>, Vec<_>) = fields.0.into_iter().partition(|(name, _)| *name == "message");
    for (name, value) in message.into_iter().chain(others) {
        if OWN.contains(&name) {
            line.add(&format!("field.{name}"), value);
        } else {
            line.add(name, value);
        }
    }
    line.end()
}

/// What an event holds, in its order.
#[derive(Default)]
struct Fields(Vec<(&'static str, Value)>);

enum Value {
    Text(String),
    /// A number or a truth value, as JSON spells it.
    Plain(String),
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.push((field.name(), Value::Text(value.to_owned())));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.push((field.name(), Value::Text(format!("{value:?}"))));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.push((field.name(), Value::Plain(value.to_string())));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.push((field.name(), Value::Plain(value.to_string())));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.push((field.name(), Value::Plain(value.to_string())));
    }
}

/// A line in the making.
#[derive(Default)]
struct Line {
    text: String,
    /// The members of `cut`.
    cuts: String,
    left_out: usize,
}

impl Line {
    fn add(&mut self, name: &str, value: Value) {
        let (name, (value, whole)) = (quoted(name).0, value.written());
        let member = format!(",{name}:{value}");
        let cut = whole.map_or_else(String::new, |whole| {
            let comma = if self.cuts.is_empty() { "" } else { "," };
            format!("{comma}{name}:{{\"bytes\":{},\"sha256\":\"{}\"}}", whole.len(), Digest::of(whole.as_bytes()))
        });
        if self.text.len() + self.cuts.len() + member.len() + cut.len() > LONGEST_LINE - TAIL {
            self.left_out += 1;
            return;
        }
        self.text.push_str(&member);
        self.cuts.push_str(&cut);
    }

    fn end(self) -> String {
        let Self { mut text, cuts, left_out } = self;
        if !cuts.is_empty() {
            let _ = write!(text, ",\"cut\":{{{cuts}}}");
        }
        if left_out > 0 {
            let _ = write!(text, ",\"left_out\":{left_out}");
        }
        text.push_str("}\n");
        text
    }
}

impl Value {
    /// As it stands in the line; and the whole of it, if that is more.
    fn written(self) -> (String, Option<String>) {
        match self {
            Self::Plain(value) => (value, None),
            Self::Text(text) => {
                let (written, all) = quoted(&text);
                (written, if all { None } else { Some(text) })
            }
        }
    }
}

/// A JSON string (RFC 8259 §7) of visible ASCII alone, and whether all of the text is in it.
///
/// What is not visible ASCII is escaped, and so can neither end a line (LF, U+0085, U+2028) nor move a cursor (ESC,
/// the C1 controls) nor turn the reading around (U+202E) nor look like something else. JSON readers undo it.
fn quoted(text: &str) -> (String, bool) {
    let mut quoted = String::with_capacity(text.len().min(LONGEST_VALUE) + 2);
    quoted.push('"');
    for character in text.chars() {
        let fits = quoted.len();
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            ' '..='~' => quoted.push(character),
            _ => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    let _ = write!(quoted, "\\u{unit:04x}");
                }
            }
        }
        if quoted.len() >= LONGEST_VALUE {
            quoted.truncate(fits);
            quoted.push('"');
            return (quoted, false);
        }
    }
    quoted.push('"');
    (quoted, true)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value as Json;

    use super::*;

    const AT: Timestamp = Timestamp::from_millis(1_795_324_800_123);

    fn with(fields: &[(&'static str, &str)]) -> String {
        let fields = fields.iter().map(|(name, text)| (*name, Value::Text((*text).to_owned()))).collect();
        of(AT, Level::INFO, "countersign::test", Fields(fields))
    }

    /// It is one line that no terminal and no reader of lines takes for anything else.
    fn read(line: &str) -> Json {
        let (inner, end) = line.split_at(line.len() - 1);
        assert_eq!(end, "\n");
        assert!(inner.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{line:?}");
        assert!(line.len() <= LONGEST_LINE, "{} bytes", line.len());
        serde_json::from_str(inner).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    #[test]
    fn a_line_reads_as_what_was_logged() {
        let line = with(&[("call.id", "x"), ("message", "a call was refused")]);
        assert_eq!(
            line,
            "{\"timestamp\":\"2026-11-22T05:20:00.123Z\",\"level\":\"INFO\",\"target\":\"countersign::test\",\
             \"message\":\"a call was refused\",\"call.id\":\"x\"}\n"
        );
    }

    #[test]
    fn what_could_fool_a_terminal_or_a_reader_of_lines_is_escaped() {
        let hostile = "a\n{\"fake\":1}\r\u{1b}]2;x\u{7}\u{7f}\u{85}\u{9b}31m\u{2028}\u{2029}\u{202e}\u{2066}\u{61c}\u{200b}\u{feff}\u{e0041}ä\0\"\\";
        let line = with(&[("why", hostile)]);
        assert_eq!(read(&line)["why"], hostile);
        assert!(line.contains(r#"a\u000a{\"fake\":1}\u000d\u001b]2;x\u0007\u007f\u0085\u009b31m\u2028"#), "{line}");
    }

    #[test]
    fn a_long_value_is_cut_and_named_by_its_digest() {
        let long = "x".repeat(1 << 20);
        let read = read(&with(&[("why", &long), ("message", "m")]));
        let kept = read["why"].as_str().unwrap();
        assert!(kept.len() > LONGEST_VALUE - 16 && long.starts_with(kept), "{} bytes are left", kept.len());
        assert_eq!(read["cut"]["why"]["bytes"], 1 << 20);
        assert_eq!(read["cut"]["why"]["sha256"], Digest::of(long.as_bytes()).to_string());
        assert_eq!(read["message"], "m");
    }

    #[test]
    fn fields_that_have_no_room_are_counted() {
        let long = "\u{202e}".repeat(5_000);
        let fields: Vec<_> = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"].map(|name| (name, &*long)).into();
        let read = read(&with(&fields));
        let left_out = read["left_out"].as_u64().unwrap();
        assert_eq!(left_out + read["cut"].as_object().unwrap().len() as u64, 10);
    }

    #[test]
    fn a_field_does_not_stand_in_for_what_a_line_says_of_itself() {
        let read = read(&with(&[("level", "ERROR"), ("target", "other"), ("timestamp", "never")]));
        assert_eq!((&read["level"], &read["target"]), (&"INFO".into(), &"countersign::test".into()));
        assert_eq!((&read["field.level"], &read["field.timestamp"]), (&"ERROR".into(), &"never".into()));
    }

    proptest! {
        #[test]
        fn whatever_is_logged_is_one_line(texts in prop::collection::vec(any::<String>(), 0..12), times in 1usize..400) {
            let long: Vec<String> = texts.iter().map(|text| text.repeat(times)).collect();
            let names = ["message", "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"];
            let fields: Vec<_> = names.into_iter().zip(long.iter().map(String::as_str)).collect();
            let read = read(&with(&fields));
            for (name, text) in fields {
                if let Some(kept) = read[name].as_str() {
                    prop_assert!(text.starts_with(kept));
                    prop_assert_eq!(kept == text, read["cut"][name].is_null());
                }
            }
        }
    }
}
