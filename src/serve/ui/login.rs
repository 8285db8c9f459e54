//! Who comes in, and who leaves: by a link that is good once, or with a reviewer's token.

use std::sync::Arc;

use axum::Form;
use axum::extract::{Query, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use http::header::SET_COOKIE;
use http::{HeaderMap, HeaderValue, StatusCode};
use maud::{DOCTYPE, Markup, html};
use serde::Deserialize;

use super::session::Who;
use super::shell::head;
use super::visit::{COOKIE_NAME, Sent, says_whence, with};
use super::words::words;
use crate::model::Digest;
use crate::serve::admin::Sources;
use crate::serve::admin::reviewer::Denied;

/// What is shown to whoever is not logged in.
pub(super) async fn page() -> Response {
    with(StatusCode::OK, outside("Log in", &html! { (token_form()) }))
}

/// The same, where something else was wanted.
pub(super) fn unknown() -> Response {
    let page = html! {
        p.trouble role="alert" { "You are not logged in, or not any more." }
        (token_form())
    };
    with(StatusCode::UNAUTHORIZED, outside("Log in", &page))
}

/// Why a form was not taken.
pub(super) fn sorry(denied: &Denied) -> Response {
    let (status, why) = denied.told();
    with(
        status,
        outside("That did not work", &html! { p.trouble role="alert" { (words(why)) } p { a href="/" { "Log in" } } }),
    )
}

#[derive(Deserialize)]
pub(super) struct Link {
    #[serde(default)]
    key: String,
}

/// A link was followed. Looking at it spends nothing: whoever previews links would.
pub(super) async fn link(Query(Link { key }): Query<Link>) -> Response {
    let page = html! {
        p { "This link logs in whoever follows it first, once." }
        form method="post" action="/login" {
            input type="hidden" name="key" value=(key);
            button.yes type="submit" autofocus { "Log in" }
        }
    };
    with(StatusCode::OK, outside("Log in", &page))
}

#[derive(Deserialize)]
pub(super) struct Shown {
    #[serde(default)]
    key: String,
    #[serde(default)]
    token: String,
}

/// Logs in whoever shows a link's key or a reviewer's token.
pub(super) async fn open(
    State(sources): State<Arc<Sources>>,
    headers: HeaderMap,
    Form(Shown { key, token }): Form<Shown>,
) -> Response {
    if let Err(why) = says_whence(&headers) {
        return sorry(&why);
    }
    let now = sources.rail.now();
    let who = if key.is_empty() {
        let digest = Digest::of(token.trim().as_bytes());
        let known = sources.rulebook.now().reviewers.by_token(&digest);
        known.map(|_| Who::Holder(digest)).ok_or("no reviewer has this token")
    } else {
        sources.sessions.follow(&key, now).ok_or("this link is not good any more: it was used, or it is too old")
    };
    let opened = who.and_then(|who| sources.sessions.open(who, now).ok_or("the machine gives no random numbers"));
    let opened = match opened {
        Ok(opened) => opened,
        Err(why) => return sorry(&Denied::unproven(why)),
    };
    tracing::info!("somebody logged in at the pages");
    let place = format!("/s/{}", opened.path);
    let cookie =
        format!("{COOKIE_NAME}={}; Path={place}; Max-Age={}; HttpOnly; SameSite=Strict", opened.cookie, opened.seconds);
    set(Redirect::to(&format!("{place}/calls")).into_response(), &cookie)
}

/// Logs somebody out.
pub(super) async fn close(sent: Sent) -> Response {
    let visit = sent.visit;
    visit.sources.sessions.close(&visit.cookie, visit.sources.rail.now());
    let place = visit.to("");
    let cookie = format!("{COOKIE_NAME}=; Path={}; Max-Age=0; HttpOnly; SameSite=Strict", place.trim_end_matches('/'));
    set(Redirect::to("/").into_response(), &cookie)
}

fn set(mut answer: Response, cookie: &str) -> Response {
    // It is of base64url and our own words, so it is always a header's value.
    if let Ok(cookie) = HeaderValue::from_str(cookie) {
        answer.headers_mut().insert(SET_COOKIE, cookie);
    }
    answer
}

fn token_form() -> Markup {
    html! {
        p { "Follow the link that " code { "countersign serve" } " printed on its terminal, or show a reviewer's token." }
        form method="post" action="/login" {
            label { "Token" input type="password" name="token" required autocomplete="off" autofocus; }
            button.yes type="submit" { "Log in" }
        }
    }
}

/// A page for whoever is not logged in.
fn outside(title: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            (head(title))
            body.outside { main id="main" {
                p.brand { span.mark aria-hidden="true" {} "Countersign" }
                h1 { (title) }
                (*body)
            } }
        }
    }
}
