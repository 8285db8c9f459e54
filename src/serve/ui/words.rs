//! How words and values are shown. Agents choose many of them, so each stands in a place of its own, which nothing in it
//! leaves: markup is escaped, what would reorder or hide its neighbours is spelt out, and its direction is its own.

use maud::{Markup, html};
use serde_json::Value;

use crate::model::{May, plain};

/// Words of whoever it may be.
pub(super) fn words(text: &str) -> Markup {
    html! { bdi { (plain(text)) } }
}

/// Text of several lines.
pub(super) fn lines(text: &str) -> Markup {
    html! { @for line in text.lines() { (words(line)) "\n" } }
}

/// The value at a JSON pointer; `null` if there is none.
pub(super) fn at<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    value.pointer(pointer).unwrap_or(&Value::Null)
}

/// The text at a JSON pointer.
pub(super) fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    at(value, pointer).as_str()
}

/// A value: a text as it is, a list as its items, anything else as JSON.
pub(super) fn value(value: &Value) -> Markup {
    match value {
        Value::Null => html! { span.faint { "none" } },
        Value::Bool(yes) => html! { (if *yes { "yes" } else { "no" }) },
        Value::String(text) => words(text),
        Value::Array(items) if items.is_empty() => html! { span.faint { "none" } },
        Value::Array(items) => {
            html! { @for (place, item) in items.iter().enumerate() { @if place > 0 { ", " } (self::value(item)) } }
        }
        Value::Object(_) | Value::Number(_) => words(&value.to_string()),
    }
}

/// A time, as `2026-11-22T05:20:00.123Z` is written in records.
pub(super) fn time(at: &str) -> Markup {
    let short = at.split_once('T').map(|(day, rest)| (day, rest.get(..8).unwrap_or(rest)));
    html! {
        @match short {
            Some((day, clock)) => time datetime=(plain(at)) title=(plain(at)) { (plain(clock)) span.day { " " (plain(day)) } },
            None => (words(at)),
        }
    }
}

/// A span of time in the unit that fits it.
pub(super) fn span(millis: u128) -> String {
    match millis {
        0..1_000 => format!("{millis} ms"),
        1_000..120_000 => format!("{}.{} s", millis / 1_000, millis % 1_000 / 100),
        120_000..7_200_000 => format!("{} min", millis / 60_000),
        _ => format!("{} h", millis / 3_600_000),
    }
}

/// How many of them, in words.
pub(super) fn count(number: usize, one: &str, many: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {many}") }
}

/// A digest, as long as it takes to tell it from others at a glance.
pub(super) fn digest(full: &str) -> Markup {
    html! { code title=(plain(full)) { (plain(&full.chars().take(12).collect::<String>())) "…" } }
}

/// What somebody would have to be allowed.
pub(super) fn not_allowed(what: May) -> Markup {
    html! { p.faint { "You may not decide this: your " code { "may" } " does not list " code { (what.name()) } "." } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_else_wrote_stays_in_its_place() {
        let shown = words("<script>alert(1)</script>\u{202e}\"'&\u{1b}[2J").into_string();
        assert_eq!(shown, r"<bdi>&lt;script&gt;alert(1)&lt;/script&gt;\u{202e}&quot;'&amp;\u{1b}[2J</bdi>");
        let odd = time("\"><img src=x>T\u{202e}").into_string();
        assert!(!odd.contains("<img") && !odd.contains('\u{202e}'), "{odd}");
    }

    #[test]
    fn a_span_is_told_in_the_unit_that_fits() {
        assert_eq!([span(7), span(19_640), span(600_000), span(10_800_000)], ["7 ms", "19.6 s", "10 min", "3 h"]);
    }
}
