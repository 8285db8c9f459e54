//! Habits in lists that can be read: what of them there is, and what would come and go.

use maud::{Markup, html};
use serde_json::Value;

use super::habits::{counted, list, number};
use super::heat::heat;
use super::words::{at, words};

/// How much of a list is open.
const OPEN: usize = 8;

/// Where on the page habits are shown, and by which rule they are.
pub(super) struct Place<'a> {
    pub(super) name: &'a str,
    pub(super) rule: &'a Value,
}

/// All that a baseline says.
pub(super) fn habits(baseline: &Value, place: &Place<'_>) -> Markup {
    let tasks = number(baseline, "/tasks");
    let actions = counts(at(baseline, "/actions"), |action, count| {
        html! {
            code { (words(action)) } span.faint { " in " (count) " of " (counted(tasks, "task")) }
        }
    });
    let (rule, rare) = (place.rule, number(baseline, "/rare"));
    html! {
        (heat(baseline, place.name))
        div.habits {
            (group("Actions", actions))
            (group("Which came behind which", steps(baseline)))
            (group("What it acts on", texts(baseline, "/resources")))
            (group("Where it calls from", texts(baseline, "/sources")))
            (group("Values that are habits", values(baseline)))
        }
        p.under {
            @if rare > 0 { (counted(rare, "more thing")) " done in fewer than " (counted(number(rule, "/tasks"), "task"))
            " or on fewer than " (counted(number(rule, "/days"), "day")) ", which makes no habit. " }
            "Values are kept as hashes, so they can be counted "
            "and not read." }
    }
}

/// What the draft would change.
pub(super) fn difference(difference: &Value) -> Markup {
    let empty = |name: &str| at(difference, name).as_object().is_none_or(serde_json::Map::is_empty);
    html! {
        h3 { "What it would change" }
        @if empty("/added") && empty("/removed") {
            p { "No habit comes or goes. Put in force, it weighs anew what is unusual, by these tasks." }
        } @else {
            div.habits {
                (group("+ Comes", changed(at(difference, "/added"))))
                (group("− Goes", changed(at(difference, "/removed"))))
            }
        }
    }
}

fn changed(habits: &Value) -> Vec<Markup> {
    let kinds =
        [("action", texts(habits, "/actions")), ("order", steps(habits)), ("acts on", texts(habits, "/resources"))];
    let kinds = kinds.into_iter().chain([("calls from", texts(habits, "/sources")), ("values", values(habits))]);
    kinds
        .flat_map(|(kind, items)| items.into_iter().map(move |item| html! { span.faint { (kind) " " } (item) }))
        .collect()
}

fn texts(habits: &Value, pointer: &str) -> Vec<Markup> {
    list(habits, pointer).iter().filter_map(Value::as_str).map(|text| html! { code { (words(text)) } }).collect()
}

fn steps(habits: &Value) -> Vec<Markup> {
    let step = |step: &Value| {
        let [from, to] = [0, 1].map(|place| step.get(place).and_then(Value::as_str).unwrap_or_default());
        html! {
            @if from.is_empty() { em.faint { "at first" } } @else { code { (words(from)) } }
            " " span aria-hidden="true" { "→" } span.unseen { "then" } " " code { (words(to)) }
        }
    };
    list(habits, "/steps").iter().map(step).collect()
}

fn values(habits: &Value) -> Vec<Markup> {
    counts(
        at(habits, "/values"),
        |place, count| html! { code { (words(place)) } span.faint { " " (counted(count, "value")) } },
    )
}

fn counts(of: &Value, tell: impl Fn(&str, u64) -> Markup) -> Vec<Markup> {
    let of = of.as_object().into_iter().flatten();
    of.map(|(name, count)| tell(name, count.as_u64().unwrap_or(0))).collect()
}

/// A list with its name, of which a few items are open.
fn group(name: &str, items: Vec<Markup>) -> Markup {
    let (open, more) = items.split_at(items.len().min(OPEN));
    html! {
        section {
            h3 { (name) @if !items.is_empty() { " " span.faint { "(" (items.len()) ")" } } }
            @if items.is_empty() { p.faint { "None." } }
            @else { ul.lines { @for item in open { li { (item) } } } }
            @if !more.is_empty() {
                details { summary { (more.len()) " more" } ul.lines { @for item in more { li { (item) } } } }
            }
        }
    }
}
