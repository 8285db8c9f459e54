//! What an agent usually does: what is in force, what its tasks have shown since, and what puts that in force.

use axum::Json;
use axum::response::Response;
use bytes::Bytes;
use maud::{Markup, html};
use serde_json::{Map, Value, json};

use super::customs::{Place, difference, habits};
use super::shell::Tab;
use super::visit::{Sent, Visit};
use super::words::{at, digest, not_allowed, span, text, time, value, words};
use crate::model::May;
use crate::serve::admin::baselines;
use crate::serve::admin::reviewer::{Denied, Id};

/// What cannot be told of a detector until it has seen enough.
const DETECTORS: [(&str, &str); 4] = [
    ("hour", "the hour of the week"),
    ("rate", "how many calls in a minute"),
    ("size", "how long a body"),
    ("step", "one action behind another"),
];

pub(super) async fn page(visit: Visit) -> Response {
    let body = show(&visit).await;
    visit.shown(Tab::Habits, body).await
}

async fn show(visit: &Visit) -> Result<(String, Markup), Denied> {
    let (sources, reviewer) = visit.asks();
    let Json(told) = baselines::show(sources, reviewer, visit.id()?).await?;
    let agent = text(&told, "/agent").unwrap_or_default();
    let page = html! {
        p.eyebrow { a href=(visit.to("agents")) { "Agents" } }
        h1 { "What " (words(agent)) " usually does" }
        @if !visit.may(May::Approve) { (not_allowed(May::Approve)) }
        (in_force(&told))
        (draft(visit, &told))
        (history(visit, &told))
        @if visit.may(May::Approve) { (reset_form(visit, agent)) }
    };
    Ok((format!("What {agent} usually does"), page))
}

/// What is in force of an agent, in a line.
pub(super) fn line(known: &Value) -> Markup {
    let tasks = number(known, "/tasks");
    html! { @match at(known, "/version").as_u64() {
        None => "No baseline.",
        Some(version) => {
            "Baseline version " strong { (version) } ", drift " strong { (value(at(known, "/drift"))) " %" }
            @if at(known, "/ready") != true { ", too few tasks (" (tasks) ") to call anything new" } "."
        }
    } }
}

fn in_force(told: &Value) -> Markup {
    let known = at(told, "/in_force");
    let baseline = at(known, "/baseline");
    html! {
        section aria-labelledby="in-force" {
            h2 id="in-force" { "In force" }
            @if known.is_null() {
                p.empty { "No baseline is in force: nothing that this agent does is called new or unusual." }
            } @else {
                (glance(told))
                (readiness(baseline, at(told, "/rule")))
                (habits(baseline, &Place { name: "in-force", rule: at(told, "/rule") }))
            }
        }
    }
}

fn glance(told: &Value) -> Markup {
    let known = at(told, "/in_force");
    let version = at(known, "/version");
    let past = list(told, "/history").iter().find(|past| at(past, "/version") == version).unwrap_or(&Value::Null);
    let baseline = at(known, "/baseline");
    html! {
        dl.glance {
            div { dt { "version" } dd { strong { (value(version)) } } }
            div { dt { "since" } dd { (time(text(past, "/at").unwrap_or_default())) } }
            div { dt { "put in force by" } dd { (value(at(past, "/by"))) } }
            div { dt { "learned from" } dd { strong { (counted(number(baseline, "/tasks"), "task")) } div.under { (days(baseline)) } } }
            div { dt { "drift" } dd { strong { (value(at(known, "/drift"))) " %" }
                div.under { "of its last tasks (40 at most) did something new or unusual; 0 until a few have ended" } } }
        }
    }
}

/// When the tasks of a baseline ended, the first and the last of them.
fn days(baseline: &Value) -> Markup {
    let day = |pointer| text(baseline, pointer).and_then(|at| at.get(..10)).unwrap_or_default();
    html! { time { (words(day("/since"))) } " to " time { (words(day("/until"))) } }
}

/// What can be told by it, and what not yet.
fn readiness(baseline: &Value, rule: &Value) -> Markup {
    let young = list(baseline, "/insufficient");
    let is_young = |name: &str| young.iter().any(|young| young == name);
    html! {
        @if at(baseline, "/ready") == true {
            p { strong { "Ready: " } "what is not among these habits is called new." }
        } @else {
            p { strong { "Too few tasks to call anything new or unusual" } ": " (number(rule, "/enough")) " are enough." }
        }
        @if !young.is_empty() {
            p { "Whether it is unusual cannot be told yet of: "
                @for (place, (name, what)) in DETECTORS.iter().filter(|(name, _)| is_young(name)).enumerate() {
                    @if place > 0 { ", " } (what) " (" code { (name) } ")"
                }
                ". Policies see these as " code { "insufficient" } ", which is neither “usual” nor “unusual”: with so few tasks, calling one "
                "unusual would raise more than " (value(at(rule, "/alarms_per_week"))) " false alarms a week"
                @if is_young("hour") { ", and the hour wants four weeks at least" } "."
            }
        }
    }
}

fn draft(visit: &Visit, told: &Value) -> Markup {
    let (draft, rule) = (at(told, "/draft"), at(told, "/rule"));
    let baseline = at(draft, "/baseline");
    let tasks = number(baseline, "/tasks");
    let place = Place { name: "draft", rule };
    let first = at(told, "/in_force").is_null();
    html! {
        section aria-labelledby="draft" {
            h2 id="draft" { "Draft: what its tasks have shown" }
            p { "As of " (time(text(draft, "/as_of").unwrap_or_default())) ", " strong { (counted(tasks, "task")) }
                " of the last " (days_of(number(rule, "/window_s"))) @if tasks > 0 { ", " (days(baseline)) } "." }
            (held(draft, rule))
            @if tasks == 0 {
                p.empty { "Nothing was learned yet: no task of it has ended cleanly and long ago enough." }
            } @else {
                @if first { (readiness(baseline, rule)) (habits(baseline, &place)) }
                @else {
                    (difference(at(told, "/difference")))
                    details.whole { summary { "All that this draft says" } (readiness(baseline, rule)) (habits(baseline, &place)) }
                }
                @if visit.may(May::Approve) { (ratify_form(visit, told)) }
            }
        }
    }
}

/// Which tasks do not count, and why.
fn held(draft: &Value, rule: &Value) -> Markup {
    let (held, doubted) = (number(draft, "/held"), number(draft, "/doubted"));
    let waiting = held.saturating_sub(doubted);
    let hold = days_of(number(rule, "/hold_s"));
    html! { @if held > 0 {
        p { strong { (counted(held, "more task")) } " held back: "
            @if waiting > 0 { (waiting) " ended less than " (hold) " ago, and until then somebody may find that something was wrong" }
            @if waiting > 0 && doubted > 0 { "; " }
            @if doubted > 0 { (doubted) " ended within " (hold) " before it was quarantined, and will never count" } "."
        }
    } }
}

fn ratify_form(visit: &Visit, told: &Value) -> Markup {
    let (agent, draft) = (text(told, "/agent").unwrap_or_default(), at(told, "/draft"));
    let [as_of, content] = ["/as_of", "/digest"].map(|pointer| text(draft, pointer).unwrap_or_default());
    html! {
        form.answer method="post" action=(visit.to(&format!("agents/{agent}/ratify"))) {
            (visit.hidden())
            input type="hidden" name="as_of" value=(as_of);
            input type="hidden" name="digest" value=(content);
            (why("ratify"))
            button.yes type="submit" { "Put this draft in force" }
        }
        p.under { "It puts in force what is shown here, " (digest(content)) ", and nothing that has come since." }
    }
}

fn history(visit: &Visit, told: &Value) -> Markup {
    let past = list(told, "/history");
    let in_force = at(told, "/in_force/version");
    html! {
        section aria-labelledby="history" {
            h2 id="history" { "What was in force" }
            @if past.is_empty() { p.empty { "Nobody has put anything in force yet." } }
            @else { ul.plain id="versions" {
                @for one in past.iter().rev() { (version(visit, told, (one, at(one, "/version") == in_force))) }
            } }
        }
    }
}

fn version(visit: &Visit, told: &Value, (past, stands): (&Value, bool)) -> Markup {
    let (agent, version) = (text(told, "/agent").unwrap_or_default(), number(past, "/version"));
    let tasks = at(past, "/tasks").as_u64();
    html! { li id={ "version-" (version) } {
        p {
            strong { "Version " (version) } " by " (value(at(past, "/by"))) ", " (time(text(past, "/at").unwrap_or_default())) ", "
            @match tasks { Some(tasks) => { "from " (counted(tasks, "task")) }, None => em.faint { "erased" } }
            @if stands { " " span.badge data-is="allow" { span aria-hidden="true" { "✓" } " in force" } }
        }
        @if !stands && tasks.is_some() && visit.may(May::Approve) {
            details {
                summary { "Put version " (version) " back in force" }
                form.answer method="post" action=(visit.to(&format!("agents/{agent}/ratify"))) {
                    (visit.hidden())
                    input type="hidden" name="version" value=(version);
                    (why(&format!("version-{version}")))
                    button.yes type="submit" { "Put back in force" }
                }
            }
        }
    } }
}

fn reset_form(visit: &Visit, agent: &str) -> Markup {
    html! {
        section aria-labelledby="reset" {
            h2 id="reset" { "Begin anew" }
            details {
                summary { "Take it out of force, and forget what its tasks have shown" }
                p { "From then on nothing that it does is new or unusual, and its habits attest no value. It learns from the tasks that end "
                    "later. The versions above stay and can be put back in force; what its tasks have shown so far counts no more." }
                form.answer method="post" action=(visit.to(&format!("agents/{agent}/reset"))) {
                    (visit.hidden())
                    (why("reset"))
                    button.no type="submit" { "Reset" }
                }
            }
        }
    }
}

fn why(of: &str) -> Markup {
    html! { label for={ "why-" (of) } { "Why (recorded with your name)" input id={ "why-" (of) } name="why" maxlength="500" autocomplete="off"; } }
}

/// Puts the draft that was shown in force, or an earlier version.
pub(super) async fn ratify(sent: Sent) -> Response {
    let said = |name: &str| sent.more.get(name);
    let mut wanted = Map::from_iter([("why".to_owned(), json!(sent.why))]);
    if let (Some(as_of), Some(digest)) = (said("as_of"), said("digest")) {
        wanted.insert("draft".to_owned(), json!({ "as_of": as_of, "digest": digest }));
    }
    if let Some(version) = said("version") {
        wanted.insert("version".to_owned(), version.parse::<u32>().map_or_else(|_| json!(version), Value::from));
    }
    let (page, done) = match sent.visit.id::<String>() {
        Ok(Id(agent)) => {
            let (sources, reviewer) = sent.visit.asks();
            (
                home(&agent),
                baselines::ratify(sources, reviewer, Id(agent), Value::Object(wanted).to_string().into()).await,
            )
        }
        Err(why) => (String::new(), Err(why)),
    };
    sent.then(&page, done).await
}

pub(super) async fn reset(sent: Sent) -> Response {
    let wanted: Bytes = json!({ "why": sent.why }).to_string().into();
    let (page, done) = match sent.visit.id::<String>() {
        Ok(Id(agent)) => {
            let (sources, reviewer) = sent.visit.asks();
            (home(&agent), baselines::reset(sources, reviewer, Id(agent), wanted).await)
        }
        Err(why) => (String::new(), Err(why)),
    };
    sent.then(&page, done).await
}

/// The page of an agent's habits.
fn home(agent: &str) -> String {
    format!("agents/{agent}")
}

pub(super) fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    at(value, pointer).as_array().map_or(&[], Vec::as_slice)
}

pub(super) fn number(value: &Value, pointer: &str) -> u64 {
    at(value, pointer).as_u64().unwrap_or(0)
}

pub(super) fn counted(number: u64, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// A span of seconds, in days where it has some.
fn days_of(seconds: u64) -> String {
    match seconds {
        0..172_800 => span(u128::from(seconds) * 1_000),
        _ => counted(seconds / 86_400, "day"),
    }
}
