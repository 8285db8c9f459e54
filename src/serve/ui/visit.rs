//! Somebody at the pages: who they are, and what a form of theirs says.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;

use axum::Form;
use axum::extract::{FromRequest, FromRequestParts, Path, Request, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use http::header::{COOKIE, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use subtle::ConstantTimeEq as _;

use super::login;
use super::session::Found;
use crate::model::{May, Reviewer, Timestamp};
use crate::serve::admin::Sources;
use crate::serve::admin::reviewer::{Denied, Id, Lineage};

/// The cookie's name.
pub(super) const COOKIE_NAME: &str = "countersign";

/// One request of somebody who is logged in.
pub(super) struct Visit {
    pub(super) sources: Arc<Sources>,
    pub(super) reviewer: Reviewer,
    /// What their forms hold, so that a page of somebody else cannot write one.
    pub(super) form: String,
    /// When they are logged out.
    pub(super) until: Timestamp,
    /// The cookie that was shown.
    pub(super) cookie: String,
    place: String,
    id: Option<String>,
}

impl FromRequestParts<Arc<Sources>> for Visit {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, sources: &Arc<Sources>) -> Result<Self, Response> {
        let named = Path::<BTreeMap<String, String>>::from_request_parts(parts, sources).await;
        let mut named = named.map(|Path(named)| named).unwrap_or_default();
        let place = named.remove("session").unwrap_or_default();
        let (rulebook, now) = (sources.rulebook.now(), sources.rail.now());
        let find = |cookie: &str| {
            let found = sources.sessions.find((&place, cookie), &rulebook.reviewers, now)?;
            Some((found, cookie.to_owned()))
        };
        let found = cookies(&parts.headers).find_map(find);
        let (Found { reviewer, form, until }, cookie) = found.ok_or_else(login::unknown)?;
        let (sources, id) = (sources.clone(), named.remove("id"));
        Ok(Self { sources, reviewer, form, until, cookie, place, id })
    }
}

impl Visit {
    /// Where another page of the same session is.
    pub(super) fn to(&self, page: &str) -> String {
        format!("/s/{}/{page}", self.place)
    }

    /// Whether they are still logged in.
    pub(super) fn is_open(&self) -> bool {
        let (rulebook, now) = (self.sources.rulebook.now(), self.sources.rail.now());
        self.sources.sessions.find((&self.place, &self.cookie), &rulebook.reviewers, now).is_some()
    }

    /// The id in the path.
    pub(super) fn id<T: FromStr>(&self) -> Result<Id<T>, Denied> {
        let id = self.id.as_ref().and_then(|id| id.parse().ok());
        id.map(Id).ok_or_else(|| Denied::unknown("nothing has such an id"))
    }

    /// Whether they may.
    pub(super) fn may(&self, what: May) -> bool {
        self.reviewer.may.contains(&what)
    }

    /// What the API's functions take.
    pub(super) fn asks(&self) -> (State<Arc<Sources>>, Reviewer) {
        (State(self.sources.clone()), self.reviewer.clone())
    }

    /// The same, for what reads the lineage.
    pub(super) fn reads(&self) -> (Lineage, Reviewer) {
        (Lineage(self.sources.clone()), self.reviewer.clone())
    }
}

/// The values of our cookie. More than one may be shown, where another server has set it.
fn cookies(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let pairs =
        headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(';'));
    pairs.filter_map(|pair| pair.trim().strip_prefix(COOKIE_NAME)?.strip_prefix('='))
}

/// Whether a browser says where a form comes from. The door itself has turned away what comes from elsewhere; what says
/// nothing is no form of ours either.
pub(super) fn says_whence(headers: &HeaderMap) -> Result<(), Denied> {
    if headers.contains_key(ORIGIN) || headers.contains_key("sec-fetch-site") {
        return Ok(());
    }
    Err(Denied::not("a form says where it comes from, by `Origin`; programs ask the API"))
}

/// A form of ours, sent by whoever it was made for.
pub(super) struct Sent {
    pub(super) visit: Visit,
    /// What they wrote.
    pub(super) why: String,
    /// What it says besides.
    pub(super) more: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Filled {
    form: String,
    #[serde(default)]
    why: String,
    #[serde(flatten)]
    more: BTreeMap<String, String>,
}

impl FromRequest<Arc<Sources>> for Sent {
    type Rejection = Response;

    async fn from_request(request: Request, sources: &Arc<Sources>) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let visit = Visit::from_request_parts(&mut parts, sources).await?;
        let denied = |why: Denied| login::sorry(&why);
        says_whence(&parts.headers).map_err(denied)?;
        let filled = Form::<Filled>::from_request(Request::from_parts(parts, body), sources).await;
        let Form(Filled { form, why, more }) = filled.map_err(|error| denied(Denied::unclear(error)))?;
        if !bool::from(form.as_bytes().ct_eq(visit.form.as_bytes())) {
            return Err(denied(Denied::not("this form is of another session; open the page anew")));
        }
        Ok(Self { visit, why, more })
    }
}

impl Sent {
    /// Back to the page, once it is done; or why it was not.
    pub(super) async fn then(self, page: &str, done: Result<axum::Json<Value>, Denied>) -> Response {
        match done {
            Ok(_) => Redirect::to(&self.visit.to(page)).into_response(),
            Err(why) => self.visit.shown(super::shell::Tab::None, Err(why)).await,
        }
    }
}

/// A status with a page.
pub(super) fn with(status: StatusCode, page: maud::Markup) -> Response {
    (status, axum::response::Html(page.into_string())).into_response()
}
