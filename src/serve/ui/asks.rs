//! What waits for somebody to agree, and what was done while the glass was broken.

use axum::Json;
use axum::response::Response;
use maud::{Markup, html};
use serde_json::Value;

use super::shell::Tab;
use super::story::{Verdict, badge};
use super::visit::{Sent, Visit};
use super::words::{at, not_allowed, text, time, value, words};
use crate::model::{CallId, May};
use crate::serve::admin::approvals::{self, Because};
use crate::serve::admin::reviewer::Denied;

/// What waits, and what was answered within the last hour.
pub(super) async fn page(visit: Visit) -> Response {
    let body = show(&visit).await;
    visit.shown(Tab::Asks, body).await
}

async fn show(visit: &Visit) -> Result<(String, Markup), Denied> {
    let asks = asks(visit).await?;
    let (waiting, over): (Vec<&Value>, Vec<&Value>) =
        asks.iter().partition(|ask| text(ask, "/state") == Some("waiting"));
    let (lineage, reviewer) = visit.reads();
    let glass = approvals::glass(lineage, reviewer).await?;
    let page = html! {
        h1 { "Asks" }
        div id="asks" data-live="merge" {
            @if waiting.is_empty() { p.empty id="none-waits" { "Nothing waits for anybody." } }
            @for ask in &waiting { (card(visit, ask)) }
        }
        div id="answered" data-live="swap" {
            @if !over.is_empty() {
                h2 { "Within the last hour" }
                ul.plain { @for ask in &over { (answered(visit, ask)) } }
            }
        }
        (broken(visit, &glass))
    };
    Ok(("Asks".to_owned(), page))
}

async fn asks(visit: &Visit) -> Result<Vec<Value>, Denied> {
    let (sources, reviewer) = visit.asks();
    let Json(mut listed) = approvals::list(sources, reviewer).await?;
    Ok(listed.get_mut("approvals").and_then(Value::as_array_mut).map(std::mem::take).unwrap_or_default())
}

/// The question about one call, if it waits.
pub(super) async fn about(visit: &Visit, call: CallId) -> Result<Markup, Denied> {
    let (asks, call) = (asks(visit).await?, call.to_string());
    let waits = |ask: &&Value| text(ask, "/state") == Some("waiting") && text(ask, "/call") == Some(&call);
    Ok(html! { @for ask in asks.iter().filter(waits) { (card(visit, ask)) } })
}

/// One question, with all that is to be known before it is answered.
fn card(visit: &Visit, ask: &Value) -> Markup {
    let (id, call) = (text(ask, "/id").unwrap_or_default(), text(ask, "/call").unwrap_or_default());
    let args = at(ask, "/args").as_object().filter(|args| !args.is_empty());
    let rules = at(ask, "/rules").as_object();
    html! {
        section.ask id={ "ask-" (id) } aria-labelledby={ "what-" (id) } {
            header {
                (badge(Verdict { decision: "ask", sign: "?" }))
                h2 id={ "what-" (id) } { (value(at(ask, "/agent"))) " → " (value(at(ask, "/action"))) " on " (value(at(ask, "/resource"))) }
            }
            dl {
                div { dt { "for" } dd { (value(at(ask, "/on_behalf_of"))) } }
                div { dt { "it says" } dd { @if let Some(purpose) = text(ask, "/purpose") { q { (words(purpose)) } } @else { span.faint { "nothing" } } } }
                div { dt { "it does" } dd { (value(at(ask, "/effect"))) ": " code { (value(at(ask, "/method"))) " " (value(at(ask, "/target"))) } } }
                @if let Some(args) = args {
                    div { dt { "with" } dd { @for (name, shown) in args { div { (words(name)) " = " strong { (value(shown)) } } } } }
                }
                (sent(ask))
                div { dt { "its task has read" } dd { (value(at(ask, "/facts/labels"))) } }
                @if let Some(rules) = rules { @for (rule, asking) in rules {
                    div { dt { "asked by" } dd {
                        code { (words(rule)) } ", for " strong { (value(at(asking, "/who"))) }
                        @if let Some(reason) = text(asking, "/reason") { ": " (words(reason)) }
                    } }
                } }
                div { dt { "since" } dd { (time(text(ask, "/asked_at").unwrap_or_default())) ", until " (time(text(ask, "/expires_at").unwrap_or_default())) } }
                div { dt { "call" } dd { a href=(visit.to(&format!("calls/{call}"))) { (words(call)) } } }
            }
            @if !visit.may(May::Approve) { (not_allowed(May::Approve)) }
            @else if visit.reviewer.name.is_none() { (nameless()) }
            @else { (answer_form(visit, id)) }
        }
    }
}

/// How much its call sends, and which of it nobody stands behind.
fn sent(ask: &Value) -> Markup {
    let unattested = at(ask, "/facts/values/unattested").as_object().filter(|places| !places.is_empty());
    html! {
        @if let Some(length) = at(ask, "/content/length").as_u64() {
            div { dt { "it sends" } dd { (length) " bytes, sha256 " code { (value(at(ask, "/content/sha256"))) } } }
        }
        @if let Some(places) = unattested {
            div { dt { "nobody stands behind" } dd { @for (place, seen) in places {
                div { code { (words(place)) } @if let Some(call) = seen.as_str() { ", which was read in call " (words(call)) } }
            } } }
        }
    }
}

/// The operator at the terminal has none.
fn nameless() -> Markup {
    html! { p.faint { "An answer has a name: log out, and log in with a reviewer's token." } }
}

fn answer_form(visit: &Visit, id: &str) -> Markup {
    html! {
        form.answer method="post" action=(visit.to(&format!("asks/{id}/approve"))) {
            (visit.hidden())
            label { "Why (recorded with your name)" input name="why" maxlength="500" autocomplete="off"; }
            button.yes type="submit" { "Approve" }
            button.no type="submit" formaction=(visit.to(&format!("asks/{id}/deny"))) { "Deny" }
        }
    }
}

fn answered(visit: &Visit, ask: &Value) -> Markup {
    let call = text(ask, "/call").unwrap_or_default();
    html! { li {
        strong { (value(at(ask, "/state"))) } ": "
        a href=(visit.to(&format!("calls/{call}"))) { (value(at(ask, "/agent"))) " → " (value(at(ask, "/action"))) " on " (value(at(ask, "/resource"))) }
    } }
}

fn broken(visit: &Visit, glass: &Value) -> Markup {
    let broken = at(glass, "/broken").as_array().map_or(&[][..], Vec::as_slice);
    html! { @if !broken.is_empty() {
        section aria-labelledby="glass" {
            h2 id="glass" { "When the glass was broken" }
            ul.plain { @for one in broken {
                @let seq = at(one, "/record/seq").as_u64().unwrap_or(0);
                @let by = text(one, "/record/entry/by");
                li id={ "glass-" (seq) } {
                    p {
                        strong { (value(at(one, "/record/entry/agent"))) } " until " (time(text(one, "/record/entry/until").unwrap_or_default()))
                        ", by " (value(at(one, "/record/entry/by"))) ": " q { (value(at(one, "/record/private/why"))) }
                    }
                    @if at(one, "/reviewed") == true { p.faint { "It was reviewed." } }
                    @else if visit.reviewer.name.is_none() { (nameless()) }
                    @else if !visit.may(May::BreakGlass) || visit.reviewer.name.as_deref() == by { p { strong { "It wants a review" } ", by somebody else." } }
                    @else { (review_form(visit, seq)) }
                }
            } }
        }
    } }
}

fn review_form(visit: &Visit, seq: u64) -> Markup {
    html! {
        form.answer method="post" action=(visit.to(&format!("glass/{seq}/review"))) {
            (visit.hidden())
            label { "What you found (recorded with your name)" input name="why" maxlength="500" required autocomplete="off"; }
            button type="submit" { "Reviewed" }
        }
    }
}

pub(super) async fn approve(sent: Sent) -> Response {
    let done = match sent.visit.id() {
        Ok(id) => {
            let (sources, reviewer) = sent.visit.asks();
            approvals::approve(sources, reviewer, id, Some(because(&sent))).await
        }
        Err(why) => Err(why),
    };
    sent.then("asks", done).await
}

pub(super) async fn deny(sent: Sent) -> Response {
    let done = match sent.visit.id() {
        Ok(id) => {
            let (sources, reviewer) = sent.visit.asks();
            approvals::deny(sources, reviewer, id, Some(because(&sent))).await
        }
        Err(why) => Err(why),
    };
    sent.then("asks", done).await
}

pub(super) async fn review(sent: Sent) -> Response {
    let done = match sent.visit.id() {
        Ok(seq) => {
            let ((sources, reviewer), (lineage, _)) = (sent.visit.asks(), sent.visit.reads());
            approvals::review(sources, lineage, reviewer, seq, Some(because(&sent))).await
        }
        Err(why) => Err(why),
    };
    sent.then("asks", done).await
}

fn because(sent: &Sent) -> Json<Because> {
    Json(Because { why: sent.why.clone() })
}
