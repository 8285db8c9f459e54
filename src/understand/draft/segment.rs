//! One segment of a path: the name of something, or a value that stands for one of many.

use super::{guess, name};

/// Bytes of a name.
const LONGEST: usize = 64;

/// Letters and digits of an id that is neither a number nor hexadecimal.
const ID: usize = 8;

/// Digits of a commit, as short as Git writes one.
const COMMIT: usize = 7;

/// What stands before a segment.
#[derive(Clone, Copy, Default)]
pub(super) struct Collection<'a> {
    /// Something was named, or a value stood for it.
    named: bool,
    /// The segment before.
    last: Option<&'a str>,
}

impl<'a> Collection<'a> {
    /// With one more segment.
    pub(super) fn then(self, segment: &'a str, value: bool) -> Self {
        Self { named: self.named || value || !is_lead(segment), last: Some(segment) }
    }

    /// Nothing was named yet.
    pub(super) fn is_beginning(self) -> bool {
        !self.named
    }

    /// Whether a segment here is a value by what it looks like.
    pub(super) fn is_value(self, segment: &str) -> bool {
        if is_digits(segment) {
            // `/rest/api/2` is a version.
            return !matches!(self.last, Some("api" | "rest" | "version")) || segment.len() > 2;
        }
        // A colon may stand before a verb (`/documents/7:cancel`): what is done must not vanish in a parameter.
        if segment.contains(':') {
            return false;
        }
        segment.len() > LONGEST
            || segment.contains(['%', '@'])
            || is_uuid(segment)
            || is_commit(segment)
            || is_key(segment)
            || is_id(segment)
    }
}

/// Whether it says what is done, rather than to what.
pub(super) fn is_verb(segment: &str) -> bool {
    segment.is_empty() || segment.contains(':') || guess::is_verb(&name::words(segment))
}

/// A name for the parameter that stands behind these segments: `/users` → `{user_id}`.
pub(super) fn parameter(before: &[String]) -> String {
    let mut named = before.iter().rev().map(String::as_str).filter(|segment| !segment.starts_with('{'));
    let words = named.find(|segment| !is_lead(segment)).map(name::words).unwrap_or_default();
    let of = name::one_of(&words.join("_"));
    let name = if of.is_empty() { "id".to_owned() } else { format!("{of}_id") };
    let mut all =
        (1..=before.len() + 1).map(|nth| if nth == 1 { format!("{{{name}}}") } else { format!("{{{name}_{nth}}}") });
    all.find(|parameter| !before.contains(parameter)).unwrap_or_default()
}

/// What may stand before the first name: `/rest/api/2`.
fn is_lead(segment: &str) -> bool {
    is_version(segment) || is_digits(segment) || matches!(segment, "api" | "rest")
}

/// `v1`, `v2beta1`.
fn is_version(segment: &str) -> bool {
    segment.strip_prefix('v').is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
        && segment.len() <= ID
}

/// RFC 9562 §4.
fn is_uuid(segment: &str) -> bool {
    let parts: Vec<&str> = segment.split('-').collect();
    parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12]) && parts.iter().all(|part| is_hex(part))
}

/// A digest, or the beginning of one: no word is spelled with digits among `a` to `f`.
fn is_commit(segment: &str) -> bool {
    segment.len() >= COMMIT && is_hex(segment) && segment.bytes().any(|byte| byte.is_ascii_digit())
}

/// `PROJ-123`.
fn is_key(segment: &str) -> bool {
    let Some((project, number)) = segment.split_once('-') else { return false };
    let letters = project.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    letters && project.starts_with(|first: char| first.is_ascii_uppercase()) && is_digits(number)
}

/// `cus_9s6XKzkNRiz8i3`, `C024BE91L`: letters and digits as no word has them.
fn is_id(segment: &str) -> bool {
    let last = segment.rsplit(['-', '_']).next().unwrap_or_default();
    let digits = last.bytes().filter(u8::is_ascii_digit).count();
    last.len() >= ID
        && last.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && digits >= 2
        && digits < last.len()
        && !is_version(segment)
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_one_of_many_is_a_value() {
        let behind = Collection::default().then("things", false);
        for value in [
            "7",
            "1234567890",
            "01a20207-0594-7501-96c0-5d9ac99fc477",
            "37b19dffc004659541fdf3329e822e6ff5678eabb20e967e03ed0d82ba12bbeb",
            "8d58147",
            "cus_9s6XKzkNRiz8i3",
            "C024BE91L",
            "01ARZ3NDEKTSV4RRFFQ69G5FAV",
            "PROJ-123",
            "bo@example.com",
            "hello%20world",
        ] {
            assert!(behind.is_value(value), "{value}");
        }
        for name in [
            "issues",
            "v1",
            "v1beta1",
            "list.txt",
            "deadbeef",
            "octo",
            "2026-11-24",
            "chat.postMessage",
            "7:cancel",
            "bo@example.com:cancel",
            "",
        ] {
            assert!(!behind.is_value(name), "{name}");
        }
        let api = Collection::default().then("rest", false).then("api", false);
        assert!(!api.is_value("2") && api.is_value("2000") && api.then("2", false).is_beginning());
    }

    #[test]
    fn a_parameter_is_called_after_what_it_is_one_of() {
        let before = |path: &str| path.split('/').map(str::to_owned).collect::<Vec<_>>();
        for (path, parameter) in [
            ("users", "{user_id}"),
            ("v1/api", "{id}"),
            ("companies", "{company_id}"),
            ("status", "{status_id}"),
            ("users/{user_id}", "{user_id_2}"),
            ("pull-requests/{pull_request_id}/files", "{file_id}"),
        ] {
            assert_eq!(self::parameter(&before(path)), parameter, "{path}");
        }
        assert_eq!(parameter(&[]), "{id}");
    }
}
