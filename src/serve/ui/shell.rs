//! What every page has around it: where one is, who one is, what is wrong, and what the script wants to know.

use axum::response::Response;
use http::StatusCode;
use maud::{DOCTYPE, Markup, html};
use serde_json::Value;

use super::visit::{Visit, with};
use super::words::{at, text, words};
use crate::model::May;
use crate::serve::admin::reviewer::Denied;
use crate::serve::admin::{agents, approvals};

/// The pages there are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Tab {
    Calls,
    Refusals,
    Asks,
    Agents,
    /// One agent's habits, below Agents. It stays as it was opened: what is put in force is what was looked at.
    Habits,
    Lineage,
    /// One of none of these.
    None,
}

const TABS: [(Tab, &str, &str); 5] = [
    (Tab::Calls, "calls", "Calls"),
    (Tab::Refusals, "refusals", "Refusals"),
    (Tab::Asks, "asks", "Asks"),
    (Tab::Agents, "agents", "Agents"),
    (Tab::Lineage, "lineage", "Lineage"),
];

impl Tab {
    /// The one among those at the top.
    fn listed(self) -> Self {
        if self == Self::Habits { Self::Agents } else { self }
    }

    fn follows_what_happens(self) -> bool {
        self != Self::Habits
    }
}

impl Visit {
    /// A page with all that is around it; or why there is none.
    pub(super) async fn shown(&self, tab: Tab, body: Result<(String, Markup), Denied>) -> Response {
        let (status, title, main) = match body {
            Ok((title, main)) => (StatusCode::OK, title, main),
            Err(why) => {
                let (status, why) = why.told();
                let page = html! {
                    h1 { "That did not work" }
                    p.trouble role="alert" { (words(why)) }
                };
                (status, "That did not work".to_owned(), page)
            }
        };
        let (waiting, news) = (self.waiting().await, self.trouble().await);
        with(status, self.page((tab, &title), (waiting, &news), &main))
    }

    /// How many questions wait.
    async fn waiting(&self) -> usize {
        let (sources, reviewer) = self.asks();
        let listed = approvals::list(sources, reviewer).await;
        let listed = listed.as_ref().ok().and_then(|listed| listed.get("approvals")?.as_array());
        listed.map_or(0, |asks| asks.iter().filter(|ask| text(ask, "/state") == Some("waiting")).count())
    }

    /// What is wrong with what judges, for whoever may know.
    async fn trouble(&self) -> Value {
        let (sources, reviewer) = self.asks();
        let loaded = agents::loaded(sources, reviewer).await;
        loaded.map_or(Value::Null, |loaded| at(&loaded, "/trouble").clone())
    }

    fn page(&self, (tab, title): (Tab, &str), (waiting, trouble): (usize, &Value), main: &Markup) -> Markup {
        let broken = self.may(May::Read).then(|| self.sources.rail.trouble()).flatten();
        html! {
            (DOCTYPE)
            html lang="en" {
                (head(title))
                body data-live=[tab.follows_what_happens().then(|| self.to("live"))] {
                    a.skip href="#main" { "To the content" }
                    header {
                        a.brand href=(self.to("calls")) { span.mark aria-hidden="true" {} "Countersign" }
                        nav aria-label="Pages" {
                            @for (other, to, name) in TABS {
                                a href=(self.to(to)) aria-current=[(other == tab.listed()).then_some("page")] {
                                    (name)
                                    @if other == Tab::Asks {
                                        @if waiting > 0 { " " span.count id="waiting" { (waiting) span.unseen { " waiting" } } }
                                        @else { span id="waiting" hidden {} }
                                    }
                                }
                            }
                        }
                        form.who method="post" action=(self.to("logout")) {
                            (self.hidden())
                            span { (words(self.reviewer.by())) }
                            button.quiet type="submit" { "Log out" }
                        }
                    }
                    @if let Some(why) = broken {
                        p.trouble role="alert" { "Nothing can be recorded, so nothing is permitted: " (words(&why)) }
                    }
                    @if let Some(why) = trouble.as_str() {
                        p.trouble role="alert" { "What lies on the disk is not loaded, what was loaded before goes on: " (words(why)) }
                    }
                    main id="main" tabindex="-1" { (*main) }
                    footer {
                        p id="state" role="status" { "This page shows how it was when it was opened." }
                        p { "Times are UTC. You are logged in until " (super::words::time(&self.until.to_string())) "." }
                    }
                }
            }
        }
    }

    /// What a form holds so that it is known for ours.
    pub(super) fn hidden(&self) -> Markup {
        html! { input type="hidden" name="form" value=(self.form); }
    }
}

/// The head of every page.
pub(super) fn head(title: &str) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="color-scheme" content="light dark";
            meta name="robots" content="noindex";
            title { (title) " · Countersign" }
            link rel="stylesheet" href="/ui/style.css";
            link rel="icon" type="image/svg+xml" href="/ui/mark.svg";
            script src="/ui/live.js" defer {}
        }
    }
}
