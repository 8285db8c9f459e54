//! One call's whole story, in the order of the walk.

use axum::response::Response;
use maud::{Markup, html};
use serde_json::Value;

use super::shell::Tab;
use super::story::{Story, badge, credential, decision, ending, outcome};
use super::visit::Visit;
use super::words::{at, digest, span, text, time, value, words};
use super::{agents, asks, calls};
use crate::model::CallId;
use crate::record::{Checkpoint, CredentialNote, Ended, HandleNote, Permitted};
use crate::serve::admin::reviewer::{Denied, Id};
use crate::serve::admin::{self, tree};

/// The page of one call.
pub(super) async fn page(visit: Visit) -> Response {
    let body = tell(&visit).await;
    visit.shown(Tab::Calls, body).await
}

async fn tell(visit: &Visit) -> Result<(String, Markup), Denied> {
    let Id(call) = visit.id::<CallId>()?;
    let (lineage, reviewer) = visit.reads();
    let told = admin::call(lineage, reviewer, Id(call)).await?;
    if told.is_null() {
        return Err(Denied::unknown("there is no such call"));
    }
    let (lineage, reviewer) = visit.reads();
    let proofs = tree::proof(lineage, reviewer, Id(call)).await?;
    let story = Story::of(&told);
    let task = story.entry("task").as_str();
    let chain = match task {
        Some(task) => calls::chain(visit, task, &call.to_string()).await?,
        None => html! {},
    };
    let page = html! {
        article.story id="story" data-live="swap" data-is=(story.decided().decision) {
            (headline(&story))
            (asks::about(visit, call).await?)
            ol.steps {
                (step("Who asked", &who(visit, &story)))
                (step("What it said", &said(&story)))
                (step("What it does", &does(&story)))
                (step("What was known", &known(&story)))
                (step("What was decided", &decided(&story)))
                (step("What was lent", &lent(&story)))
                (step("What came back", &came_back(&story)))
                (step("How it ended", &ended(visit, &story, call)))
                (step("Where that stands", &stands(&story, &proofs)))
            }
        }
        (chain)
    };
    Ok((format!("Call {}", call.to_string().get(..13).unwrap_or_default()), page))
}

/// Who, why, what and until when, at a glance.
fn headline(story: &Story<'_>) -> Markup {
    let purpose = story.private("purpose");
    html! {
        p.eyebrow { "Call at " (time(story.entry("at").as_str().unwrap_or_default())) }
        h1 {
            (badge(story.decided())) " "
            @if story.entry("agent").is_null() { "Somebody unproven" } @else { (value(story.entry("agent"))) }
            " → "
            @if story.entry("action").is_null() { (value(story.entry("method"))) } @else { (value(story.entry("action"))) }
        }
        dl.glance {
            (line("on", &story.told("resource")))
            (line("for", &story.told("on_behalf_of")))
            (line("it says", &html! { @if purpose.is_null() { span.faint { "nothing" } } @else { q { (value(purpose)) } } }))
            (line("decided", &decision(story)))
            (line("credential", &credential(story)))
            (line("ended", &ending(story)))
        }
    }
}

fn step(name: &str, body: &Markup) -> Markup {
    html! { li { h2 { (name) } div { (body) } } }
}

/// Names and what they stand for; what is not there is left out.
fn rows(rows: &[(&str, &Value)]) -> Markup {
    html! { @for (name, shown) in rows { @if !shown.is_null() { (line(name, &value(shown))) } } }
}

fn line(name: &str, shown: &Markup) -> Markup {
    html! { div { dt { (name) } dd { (shown) } } }
}

fn who(visit: &Visit, story: &Story<'_>) -> Markup {
    let workload = story.private("workload");
    let attributes = at(workload, "/attributes").as_object();
    let parent = story.entry("parent").as_str();
    html! {
        @if story.is_erased() { p { em.faint { "The private part of this was erased." } } }
        dl {
            (rows(&[
                ("agent", story.entry("agent")),
                ("on behalf of", story.private("on_behalf_of")),
                ("workload", at(workload, "/id")),
                ("proven by", at(workload, "/kind")),
                ("from", story.private("peer")),
            ]))
            @if let Some(attributes) = attributes {
                (line("known of it", &html! { @for (name, shown) in attributes { div { (words(name)) ": " (value(shown)) } } }))
            }
            (rows(&[("task", story.entry("task"))]))
            @if let Some(parent) = parent {
                (line("after call", &html! { a href=(visit.to(&format!("calls/{parent}"))) { (words(parent)) } }))
            }
        }
    }
}

fn said(story: &Story<'_>) -> Markup {
    let declared = story.private("declared");
    if declared.is_null() && story.private("purpose").is_null() {
        return html! { p.faint { "Nothing." } };
    }
    html! {
        dl { (rows(&[
            ("purpose", story.private("purpose")),
            ("action", at(declared, "/action")),
            ("resource", at(declared, "/resource")),
            ("said in", at(story.entry("facts"), "/intent/source")),
        ])) }
        p.faint { "The agent's own words. Nobody has to believe them." }
    }
}

fn does(story: &Story<'_>) -> Markup {
    let args = story.private("args").as_object();
    html! { dl {
        (rows(&[
            ("action", story.entry("action")),
            ("effect", story.entry("effect")),
            ("resource", story.private("resource")),
            ("method", story.entry("method")),
            ("tool at", story.entry("audience")),
            ("target", story.private("target")),
            ("bytes", story.entry("length")),
            ("sha256 of them", story.private("content")),
            ("details", story.private("details")),
        ]))
        @if let Some(args) = args.filter(|args| !args.is_empty()) {
            (line("arguments", &html! { @for (name, shown) in args { div { (words(name)) " = " (value(shown)) } } }))
        }
        @if story.entry("brought_credential") == true { (line("brought", &html! { "a credential of its own, which was not sent on" })) }
    } }
}

fn known(story: &Story<'_>) -> Markup {
    let Some(facts) = story.entry("facts").as_object() else {
        return html! { p.faint { "It did not come that far." } };
    };
    html! { dl {
        @for (name, fact) in facts {
            (line(name, &match fact.as_object() {
                Some(parts) if !parts.is_empty() => html! { @for (name, part) in parts { span.fact { span.faint { (words(name)) " " } (value(part)) } " " } },
                Some(_) => html! { span.faint { "none" } },
                None => value(fact),
            }))
        }
    } }
}

fn decided(story: &Story<'_>) -> Markup {
    let rules = story.rules();
    let would = story.entry("would");
    html! { dl {
        (line("verdict", &badge(story.decided())))
        (rows(&[("code", story.entry("code"))]))
        (line(if rules.len() == 1 { "rule" } else { "rules" }, &html! {
            @if rules.is_empty() { span.faint { "none" } }
            @for (place, rule) in rules.iter().enumerate() { @if place > 0 { ", " } code { (words(rule)) } }
        }))
        (rows(&[
            ("because", story.private("why")),
            ("enforced, it would be", at(would, "/decision")),
            ("by", at(would, "/rules")),
        ]))
        @for record in story.records() { (resolved(record)) }
        @if let Some(policies) = story.entry("policies").as_str() { (line("by the version", &digest(policies))) }
    } }
}

/// What somebody was asked or said, if this record tells that.
fn resolved(record: &Value) -> Markup {
    let entry = at(record, "/entry");
    match text(entry, "/kind") {
        Some("asked") => line(
            "asked",
            &html! { (value(at(entry, "/who"))) " until " (time(text(entry, "/expires_at").unwrap_or_default())) },
        ),
        Some("resolved") => line(
            "answer",
            &html! {
                strong { (value(at(entry, "/answer"))) }
                @if let Some(by) = text(entry, "/by") { " by " (words(by)) }
                " at " (time(text(entry, "/at").unwrap_or_default()))
                @if let Some(why) = text(record, "/private/why").filter(|why| !why.is_empty()) { ": " q { (words(why)) } }
            },
        ),
        Some(_) | None => html! {},
    }
}

fn lent(story: &Story<'_>) -> Markup {
    let Some(Permitted { credential: plan, audience, .. }) = story.permitted() else {
        return html! { p.faint { "Nothing: no credential was minted." } };
    };
    let handle = match &plan.handle {
        HandleNote::Nothing => html! { "nothing to end" },
        HandleNote::Named(name) => words(name),
        HandleNote::Sealed => html! { "sealed" },
    };
    let until = plan.expires_at.map(|until| until.to_string());
    html! { dl {
        (line("kind", &html! { (words(&plan.kind)) " by " (words(&plan.issuer)) }))
        (line("for", &words(&audience)))
        (line("its name", &handle))
        @if let Some(Ended { credential, .. }) = story.ended() { (life(&credential)) }
        @else if let Some(until) = until { (line("ends by itself", &time(&until))) }
        @if let Some(settled) = story.last("settled") { (rows(&[("settled later", at(settled, "/entry/revocation"))])) }
    } }
}

fn life(note: &CredentialNote) -> Markup {
    let shown = |when: Option<crate::model::Timestamp>| when.map(|when| time(&when.to_string()));
    html! {
        @if let Some(minted) = shown(note.minted_at) { (line("minted", &minted)) }
        @if let Some(ended) = shown(note.ended_at) { (line("ended", &html! { (ended) " (" (outcome(note.revocation)) ")" })) }
        @if let Some(until) = shown(note.expires_at) { (line("ends by itself", &until)) }
        @if let Some(good) = note.privilege() { (line("privilege", &html! { strong { (span(good.as_millis())) } })) }
    }
}

fn came_back(story: &Story<'_>) -> Markup {
    let Some(Ended { answer: Some(answer), echo, .. }) = story.ended() else {
        return html! { p.faint { "Nothing is recorded." } };
    };
    let digest = story.last("ended").map_or(&Value::Null, |ended| at(ended, "/private/answer_digest"));
    html! { dl {
        (line("status", &html! { (answer.status) }))
        (line("bytes", &html! { (answer.bytes) }))
        (rows(&[("sha256 of them", digest)]))
        @if echo { (line("held", &html! { "the credential, which was masked" })) }
    } }
}

fn ended(visit: &Visit, story: &Story<'_>, call: CallId) -> Markup {
    let why = story.ended().and_then(|ended| ended.why);
    html! {
        p { (ending(story)) @if let Some(why) = why { ": " (words(&why)) } }
        @if story.kind() == "permitted" && story.ended().is_none() { (agents::cut_form(visit, call)) }
    }
}

/// The records and what proves each of them to whoever has the checkpoint.
fn stands(story: &Story<'_>, proofs: &Value) -> Markup {
    let proofs = at(proofs, "/proofs").as_array().map_or(&[][..], Vec::as_slice);
    let proof_of = |record: &Value| {
        let found = proofs.iter().find(|proof| at(proof, "/seq") == at(record, "/seq"));
        found.and_then(|proof| text(proof, "/proof"))
    };
    html! {
        dl { @for record in story.records() {
            (line(&format!("record {}", at(record, "/seq")), &html! {
                (value(at(record, "/entry/kind"))) " at " (time(text(record, "/entry/at").unwrap_or_default()))
                @match proof_of(record) {
                    Some(proof) => details { summary { "Receipt, which proves it offline" } pre tabindex="0" { (super::words::lines(proof)) } },
                    None => { " " span.faint { "no checkpoint covers it yet" } },
                }
                details { summary { "As it is recorded" } pre tabindex="0" { (super::words::lines(&format!("{:#}", at(record, "/entry")))) } }
            }))
        } }
    }
}

/// A checkpoint in a line.
pub(super) fn checkpoint(note: &str) -> Markup {
    match Checkpoint::parse(note) {
        Ok(Checkpoint { size, root, .. }) => html! { code.long { (root) } " at " (size) " records" },
        Err(_) => html! { span.faint { "none that can be read" } },
    }
}
