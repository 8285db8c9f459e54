//! The lineage as a whole: its head, and whether it is what it was.

use axum::response::Response;
use maud::{Markup, html};
use serde_json::Value;

use super::call::checkpoint;
use super::shell::Tab;
use super::visit::{Sent, Visit};
use super::words::{at, digest, lines, text, time, value, words};
use crate::serve::admin::reviewer::Denied;
use crate::serve::admin::{agents, whole};

pub(super) async fn page(visit: Visit) -> Response {
    let body = show(&visit).await;
    visit.shown(Tab::Lineage, body).await
}

async fn show(visit: &Visit) -> Result<(String, Markup), Denied> {
    let (sources, reviewer) = visit.asks();
    let told = whole::lineage(sources, reviewer).await?;
    let (sources, reviewer) = visit.asks();
    let loaded = agents::loaded(sources, reviewer).await?;
    let page = html! {
        h1 { "Lineage" }
        section aria-labelledby="head" {
            h2 id="head" { "Its head" }
            dl id="head-told" data-live="swap" {
                div { dt { "records" } dd { strong { (value(at(&told, "/size"))) } } }
                div { dt { "checkpoint" } dd { @match text(&told, "/checkpoint") {
                    Some(note) => (checkpoint(note)),
                    None => span.faint { "none has been signed yet" },
                } } }
                div { dt { "key" } dd { code.long { (value(at(&told, "/key"))) } } }
                div { dt { "can be written" } dd { @match text(&told, "/trouble") { Some(why) => (words(why)), None => "yes" } } }
            }
            @if let Some(note) = text(&told, "/checkpoint") {
                details { summary { "The signed note, to keep elsewhere" } pre tabindex="0" { (lines(note)) } }
            }
        }
        (verified(visit, at(&told, "/verified")))
        section aria-labelledby="judges" {
            h2 id="judges" { "What judges" }
            dl {
                div { dt { "version" } dd { (digest(text(&loaded, "/version").unwrap_or_default())) } }
                div { dt { "since" } dd { (time(text(&loaded, "/since").unwrap_or_default())) } }
                div { dt { "generation" } dd { (value(at(&loaded, "/generation"))) } }
            }
        }
    };
    Ok(("Lineage".to_owned(), page))
}

fn verified(visit: &Visit, verified: &Value) -> Markup {
    let (report, under_way) = (at(verified, "/report"), at(verified, "/under_way") == true);
    let intact = text(report, "/verdict/is") == Some("intact");
    html! {
        section aria-labelledby="verified" {
            h2 id="verified" { "Whether it is what it was" }
            @if under_way { p { "It is being verified. Open this page again." } }
            @else if report.is_null() { p.faint { "Nobody has verified it here since the sidecar was started." } }
            @else {
                p.verdict data-is=(if intact { "allow" } else { "deny" }) {
                    @if intact { strong { "✓ Intact" } ": every leaf, tile and root was computed anew and fits." }
                    @else { strong { "✗ Broken" } ": " (value(at(report, "/verdict/what"))) }
                }
                dl {
                    div { dt { "verified at" } dd { (time(text(verified, "/at").unwrap_or_default())) } }
                    div { dt { "records" } dd { (value(at(report, "/size"))) } }
                    div { dt { "root" } dd { code.long { (value(at(report, "/root"))) } } }
                    div { dt { "checkpoints that fit" } dd { (value(at(report, "/checkpoints"))) } }
                    div { dt { "erased" } dd { (value(at(report, "/erased"))) } }
                }
                p.faint { "Against no outside checkpoint: that its end was cut off, or that it was written anew, is shown by "
                    code { "countersign lineage verify --checkpoint" } " with one that was kept elsewhere." }
            }
            form method="post" action=(visit.to("lineage/verify")) { (visit.hidden()) button type="submit" disabled[under_way] { "Verify now" } }
        }
    }
}

pub(super) async fn verify(sent: Sent) -> Response {
    let (sources, reviewer) = sent.visit.asks();
    let done = whole::verify(sources, reviewer).await;
    sent.then("lineage", done).await
}
