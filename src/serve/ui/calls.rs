//! The list of calls: who, what for, what they did, what was decided, what was lent and how it ended.

use axum::extract::Query;
use axum::response::Response;
use maud::{Markup, html};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::Value;

use super::shell::Tab;
use super::story::{Story, credential, decision, ending};
use super::visit::Visit;
use super::words::{at, digest, time, value};
use crate::model::{May, TaskId};
use crate::record;
use crate::serve::admin::reviewer::Denied;
use crate::serve::admin::{self, Wanted, agents};

/// Calls on a page.
const MANY: usize = 50;

/// What the filter's form sends. An empty field asks for nothing.
#[derive(Clone, Default, Deserialize)]
pub(super) struct Filter {
    #[serde(default)]
    agent: String,
    #[serde(default)]
    verdict: String,
    #[serde(default)]
    tool: String,
    #[serde(default)]
    task: String,
    #[serde(default)]
    before: String,
}

impl Filter {
    fn wanted(&self) -> Result<Wanted, Denied> {
        let some = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let task = some(&self.task).map(|task| task.parse::<TaskId>()).transpose();
        let task = task.map_err(|_| Denied::unclear("a task has an id like `01a20d78-a14e-794c-8f4b-5dab522deea2`"))?;
        let decision = some(&self.verdict);
        if decision.as_deref().is_some_and(|verdict| !record::Filter::DECISIONS.contains(&verdict)) {
            return Err(Denied::unclear(format!("a verdict is one of {}", record::Filter::DECISIONS.join(", "))));
        }
        // A tool's name asks for all its actions.
        let action = some(&self.tool).map(|tool| if tool.contains('/') { tool } else { tool + "/" });
        Ok(Wanted {
            agent: some(&self.agent),
            decision,
            action,
            task,
            limit: Some(MANY),
            before: self.before.parse().ok(),
        })
    }

    fn is_set(&self) -> bool {
        [&self.agent, &self.verdict, &self.tool, &self.task].iter().any(|field| !field.trim().is_empty())
    }

    /// The same, further back.
    fn before(&self, place: u64) -> String {
        let place = place.to_string();
        let fields = [
            ("agent", &self.agent),
            ("verdict", &self.verdict),
            ("tool", &self.tool),
            ("task", &self.task),
            ("before", &place),
        ];
        let pair = |(name, text): &(&str, &String)| format!("{name}={}", utf8_percent_encode(text, NON_ALPHANUMERIC));
        let pairs: Vec<String> = fields.iter().filter(|(_, text)| !text.is_empty()).map(pair).collect();
        pairs.join("&")
    }
}

/// The first page: every call, the latest first.
pub(super) async fn page(visit: Visit, Query(filter): Query<Filter>) -> Response {
    let body = list(&visit, filter, "Calls").await;
    visit.shown(Tab::Calls, body).await
}

/// The calls that were not permitted.
pub(super) async fn refusals(visit: Visit, Query(filter): Query<Filter>) -> Response {
    let verdict = if filter.verdict.is_empty() { "no".to_owned() } else { filter.verdict.clone() };
    let body = list(&visit, Filter { verdict, ..filter }, "Refusals").await;
    visit.shown(Tab::Refusals, body).await
}

async fn list(visit: &Visit, filter: Filter, title: &str) -> Result<(String, Markup), Denied> {
    visit.reviewer.must(May::Read)?;
    let (lineage, reviewer) = visit.reads();
    let told = admin::calls(lineage, reviewer, Query(filter.wanted()?)).await?;
    let calls = at(&told, "/calls").as_array().map_or(&[][..], Vec::as_slice);
    let (sources, reviewer) = visit.asks();
    let known = agents::list(sources, reviewer).await?;
    let page = html! {
        h1 { (title) }
        (filters(visit, (&filter, title), &known))
        div id="list" data-live="swap" {
            @if calls.is_empty() {
                p.empty {
                    @if filter.is_set() { "No call is like that." }
                    @else { "No agent has called yet. What it asks for will stand here." }
                }
            } @else {
                (table(visit, calls))
            }
        }
        @if let (true, Some(last)) = (calls.len() == MANY, calls.last()) {
            p { a href={ "?" (filter.before(Story::of(last).place())) } { "Earlier calls" } }
        }
    };
    Ok((title.to_owned(), page))
}

fn filters(visit: &Visit, (filter, title): (&Filter, &str), known: &Value) -> Markup {
    let agents = at(known, "/agents").as_array().map_or(&[][..], Vec::as_slice);
    let verdicts: &[(&str, &str)] = if title == "Calls" {
        &[
            ("", "any"),
            ("allow", "allow"),
            ("no", "all but allow"),
            ("ask", "ask"),
            ("throttle", "throttle"),
            ("deny", "deny"),
            ("unavailable", "unavailable"),
        ]
    } else {
        &[("no", "any"), ("ask", "ask"), ("throttle", "throttle"), ("deny", "deny"), ("unavailable", "unavailable")]
    };
    html! {
        form.filters method="get" role="search" aria-label="Filter" {
            label { "Agent" select name="agent" {
                option value="" { "any" }
                @for agent in agents.iter().filter_map(|agent| agent.get("agent")?.as_str()) {
                    option value=(agent) selected[filter.agent == agent] { (agent) }
                }
            } }
            label { "Verdict" select name="verdict" {
                @for (name, shown) in verdicts { option value=(name) selected[filter.verdict == *name] { (shown) } }
            } }
            label { "Tool or action" input name="tool" value=(filter.tool) placeholder="any" autocomplete="off"; }
            label { "Task" input name="task" value=(filter.task) placeholder="any" autocomplete="off" spellcheck="false"; }
            button type="submit" { "Filter" }
            @if filter.is_set() && !(title != "Calls" && filter.verdict == "no" && filter.agent.is_empty() && filter.tool.is_empty() && filter.task.is_empty()) {
                a href=(visit.to(&title.to_lowercase())) { "Clear" }
            }
        }
    }
}

/// Calls, one row each.
pub(super) fn table(visit: &Visit, calls: &[Value]) -> Markup {
    html! {
        div.scroll {
            table.calls {
                thead { tr {
                    th scope="col" { "When" } th scope="col" { "Who" } th scope="col" { "Said what for" }
                    th scope="col" { "Did" } th scope="col" { "Verdict" } th scope="col" { "Credential" } th scope="col" { "Ended" }
                } }
                tbody { @for call in calls { (row(visit, call)) } }
            }
        }
    }
}

fn row(visit: &Visit, call: &Value) -> Markup {
    let story = Story::of(call);
    let id = at(call, "/call").as_str();
    let key = id.map_or_else(|| format!("record-{}", story.place()), |id| format!("call-{id}"));
    let when = time(story.entry("at").as_str().unwrap_or_default());
    html! {
        tr id=(key) data-is=(story.decided().decision) {
            (cell("When", &html! { @match id {
                Some(id) => a href=(visit.to(&format!("calls/{id}"))) { (when) },
                None => (when),
            } }))
            (cell("Who", &who(&story)))
            (cell("Said what for", &said(&story)))
            (cell("Did", &did(&story)))
            (cell("Verdict", &decision(&story)))
            (cell("Credential", &credential(&story)))
            (cell("Ended", &ending(&story)))
        }
    }
}

/// On a narrow screen, a cell says for itself what it holds.
fn cell(name: &str, shown: &Markup) -> Markup {
    html! { td data-label=(name) { div { (shown) } } }
}

fn who(story: &Story<'_>) -> Markup {
    html! {
        @if story.entry("agent").is_null() { span.faint { "nobody proven" } }
        @else { strong { (value(story.entry("agent"))) } }
        @if !story.private("on_behalf_of").is_null() { div.under { "for " (value(story.private("on_behalf_of"))) } }
    }
}

fn did(story: &Story<'_>) -> Markup {
    html! {
        @if story.entry("action").is_null() { span.faint { "not understood: " (value(story.entry("method"))) } }
        @else { code { (value(story.entry("action"))) } div.under { (story.told("resource")) } }
    }
}

/// What the agent said it does, in its own words: nobody has to believe them.
fn said(story: &Story<'_>) -> Markup {
    let declared = story.private("declared");
    html! {
        @if story.is_erased() { em.faint { "erased" } }
        @else if story.private("purpose").is_null() && declared.is_null() { span.faint { "nothing" } }
        @else {
            @if !story.private("purpose").is_null() { q { (value(story.private("purpose"))) } }
            @if !at(declared, "/action").is_null() { div.under { "to " (value(at(declared, "/action"))) @if !at(declared, "/resource").is_null() { " on " (value(at(declared, "/resource"))) } } }
        }
    }
}

/// The calls of a task, for the one that is `here`.
pub(super) async fn chain(visit: &Visit, task: &str, here: &str) -> Result<Markup, Denied> {
    let Ok(task) = task.parse::<TaskId>() else { return Ok(html! {}) };
    let (lineage, reviewer) = visit.reads();
    let wanted = Wanted { task: Some(task), limit: Some(200), ..Wanted::default() };
    let told = admin::calls(lineage, reviewer, Query(wanted)).await?;
    let calls = at(&told, "/calls").as_array().map_or(&[][..], Vec::as_slice);
    let named = |call: &&Value| at(call, "/call").is_string();
    let calls: Vec<&Value> = calls.iter().rev().filter(named).collect();
    let found = calls.iter().position(|call| at(call, "/call").as_str() == Some(here));
    let from = found.unwrap_or(0).saturating_sub(5);
    let link = |place: Option<usize>, rel: &str, shown: &str| {
        let id = place.and_then(|place| at(calls.get(place)?, "/call").as_str());
        html! { @if let Some(id) = id { a rel=(rel) href=(visit.to(&format!("calls/{id}"))) { (shown) } } @else { span.faint { (shown) } } }
    };
    Ok(html! {
        section aria-labelledby="chain" {
            h2 id="chain" { "In its task" }
            p.row {
                (link(found.and_then(|at| at.checked_sub(1)), "prev", "← Before it"))
                (link(found.map(|at| at + 1), "next", "After it →"))
                a href=(visit.to(&format!("calls?task={task}"))) { "All calls of task " (digest(&task.to_string())) }
            }
            ol.chain start=(from + 1) {
                @for call in calls.iter().skip(from).take(11) { (link_in_chain(visit, call, here)) }
            }
        }
    })
}

fn link_in_chain(visit: &Visit, call: &Value, here: &str) -> Markup {
    let (story, id) = (Story::of(call), at(call, "/call").as_str().unwrap_or_default());
    html! {
        li data-is=(story.decided().decision) {
            a href=(visit.to(&format!("calls/{id}"))) aria-current=[(id == here).then_some("true")] {
                code { (value(if story.entry("action").is_null() { story.entry("method") } else { story.entry("action") })) }
            }
            @if !story.private("resource").is_null() { " on " (story.told("resource")) } " " (super::story::badge(story.decided()))
        }
    }
}
