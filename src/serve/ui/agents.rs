//! The agents, and their calls under way; what stops them.

use axum::response::Response;
use bytes::Bytes;
use maud::{Markup, html};
use serde_json::{Value, json};

use super::habits;
use super::shell::Tab;
use super::story::{Verdict, badge};
use super::visit::{Sent, Visit};
use super::words::{at, count, not_allowed, text, time, value, words};
use crate::model::{CallId, May};
use crate::serve::admin::reviewer::{Denied, Id};
use crate::serve::admin::{agents, baselines};

pub(super) async fn page(visit: Visit) -> Response {
    let body = show(&visit).await;
    visit.shown(Tab::Agents, body).await
}

async fn show(visit: &Visit) -> Result<(String, Markup), Denied> {
    let (sources, reviewer) = visit.asks();
    let listed = agents::list(sources, reviewer).await?;
    let (sources, reviewer) = visit.asks();
    let lent = agents::credentials(sources, reviewer).await?;
    let (sources, reviewer) = visit.asks();
    let known = baselines::list(sources, reviewer).await?;
    let listed = at(&listed, "/agents").as_array().map_or(&[][..], Vec::as_slice);
    let lent = at(&lent, "/credentials").as_array().map_or(&[][..], Vec::as_slice);
    let known = at(&known, "/baselines").as_array().map_or(&[][..], Vec::as_slice);
    let page = html! {
        h1 { "Agents" }
        @if !visit.may(May::Quarantine) { (not_allowed(May::Quarantine)) }
        div id="agents" data-live="merge" {
            @if listed.is_empty() { p.empty id="no-agents" { "The configuration has no agents." } }
            @for agent in listed { (card(visit, agent, known)) }
        }
        h2 { "Calls under way" }
        div id="lent" data-live="swap" {
            @if lent.is_empty() { p.empty { "None." } }
            @else { ul.plain { @for call in lent { (under_way(visit, call)) } } }
        }
    };
    Ok(("Agents".to_owned(), page))
}

fn card(visit: &Visit, agent: &Value, known: &[Value]) -> Markup {
    let name = text(agent, "/agent").unwrap_or_default();
    let stopped = at(agent, "/quarantined") == true;
    let calls = usize::try_from(at(agent, "/under_way").as_u64().unwrap_or(0)).unwrap_or(usize::MAX);
    let (what, button) = if stopped { ("release", "Release") } else { ("quarantine", "Quarantine") };
    html! {
        section.agent id={ "agent-" (name) } aria-labelledby={ "name-" (name) } data-is=(if stopped { "deny" } else { "allow" }) {
            header {
                h2 id={ "name-" (name) } { (words(name)) }
                @if stopped { (badge(Verdict { decision: "quarantined", sign: "✗" })) }
            }
            p {
                @match text(agent, "/mode") {
                    Some(mode) => { "Mode " strong { (words(mode)) } },
                    None => "No longer in the configuration",
                }
                ". " (count(calls, "call", "calls")) " under way. "
                a href=(visit.to(&format!("calls?agent={name}"))) { "Its calls" }
            }
            @if let Some(known) = known.iter().find(|known| text(known, "/agent") == Some(name)) {
                p { (habits::line(known)) " " a href=(visit.to(&format!("agents/{name}"))) { "What it usually does" } }
            }
            @if visit.may(May::Quarantine) {
                form.answer method="post" action=(visit.to(&format!("agents/{name}/{what}"))) {
                    (visit.hidden())
                    label { "Why (recorded with your name)" input name="why" maxlength="500" autocomplete="off"; }
                    button class=(if stopped { "yes" } else { "no" }) type="submit" { (button) }
                }
            }
        }
    }
}

fn under_way(visit: &Visit, call: &Value) -> Markup {
    let id = text(call, "/id").unwrap_or_default();
    html! { li {
        p {
            a href=(visit.to(&format!("calls/{id}"))) { (value(at(call, "/agent"))) " → " (value(at(call, "/action"))) " on " (value(at(call, "/resource"))) }
            ", credential by " (value(at(call, "/issuer"))) ", since " (time(text(call, "/since").unwrap_or_default()))
        }
        @if let Ok(id) = id.parse::<CallId>() { (cut_form(visit, id)) }
    } }
}

/// What cuts a call under way.
pub(super) fn cut_form(visit: &Visit, call: CallId) -> Markup {
    html! { @if visit.may(May::Quarantine) {
        form method="post" action=(visit.to(&format!("calls/{call}/cut"))) {
            (visit.hidden())
            button.no type="submit" { "Cut it and end its credential" }
        }
    } }
}

pub(super) async fn quarantine(sent: Sent) -> Response {
    let done = match sent.visit.id::<String>() {
        Ok(agent) => {
            let (sources, reviewer) = sent.visit.asks();
            agents::quarantine(sources, reviewer, agent, said(&sent)).await
        }
        Err(why) => Err(why),
    };
    sent.then("agents", done).await
}

pub(super) async fn release(sent: Sent) -> Response {
    let done = match sent.visit.id::<String>() {
        Ok(agent) => {
            let (sources, reviewer) = sent.visit.asks();
            agents::release(sources, reviewer, agent, said(&sent)).await
        }
        Err(why) => Err(why),
    };
    sent.then("agents", done).await
}

pub(super) async fn cut(sent: Sent) -> Response {
    let call = sent.visit.id::<CallId>().map(|Id(call)| call);
    let done = match call {
        Ok(call) => {
            let (sources, reviewer) = sent.visit.asks();
            agents::revoke(sources, reviewer, Id(call)).await
        }
        Err(why) => Err(why),
    };
    sent.then("agents", done).await
}

/// What the API takes for a reason.
fn said(sent: &Sent) -> Bytes {
    json!({ "why": sent.why }).to_string().into()
}
