//! What every endpoint of the admin door takes: who asks and what they may, an id from the path, the lineage to read.

use std::convert::Infallible;
use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Path};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::request::Parts;

use super::Sources;
use crate::model::{Digest, May, Peer, Reviewer};
use crate::record::{Reader, StoreError, Unavailable};

/// Why there is no answer, in words for whoever asked.
#[derive(Debug)]
pub struct Denied(StatusCode, String);

impl Denied {
    /// The status, and the words.
    pub(in crate::serve) fn told(&self) -> (StatusCode, &str) {
        (self.0, &self.1)
    }

    /// Nobody is known to ask.
    pub(in crate::serve) fn unproven(why: impl Display) -> Self {
        Self(StatusCode::UNAUTHORIZED, why.to_string())
    }

    /// There is nothing of this name.
    pub(in crate::serve) fn unknown(what: impl Display) -> Self {
        Self(StatusCode::NOT_FOUND, what.to_string())
    }

    /// It is not for them to do.
    pub(in crate::serve) fn not(why: impl Display) -> Self {
        Self(StatusCode::FORBIDDEN, why.to_string())
    }

    /// What was sent makes no sense.
    pub(in crate::serve) fn unclear(why: impl Display) -> Self {
        Self(StatusCode::BAD_REQUEST, why.to_string())
    }

    /// It is so already.
    pub(in crate::serve) fn conflict(why: impl Display) -> Self {
        Self(StatusCode::CONFLICT, why.to_string())
    }

    /// Something that is needed is away.
    pub(in crate::serve) fn unavailable(why: impl Display) -> Self {
        Self(StatusCode::SERVICE_UNAVAILABLE, why.to_string())
    }

    /// It was not done, because that could not be recorded.
    pub(in crate::serve) fn unrecorded(error: &Unavailable) -> Self {
        tracing::warn!(%error, "what a reviewer asked for was not done");
        Self::unavailable("nothing was done: it could not be recorded")
    }
}

impl IntoResponse for Denied {
    fn into_response(self) -> Response {
        let Self(status, why) = self;
        let mut answer = (status, why + "\n").into_response();
        if status == StatusCode::UNAUTHORIZED {
            answer.headers_mut().insert(WWW_AUTHENTICATE, http::HeaderValue::from_static("Bearer"));
        }
        answer
    }
}

impl Reviewer {
    /// An error if they may not do this.
    pub(in crate::serve) fn must(&self, what: May) -> Result<(), Denied> {
        if self.may.contains(&what) {
            return Ok(());
        }
        Err(Denied(StatusCode::FORBIDDEN, format!("this reviewer's `may` does not list `{}`", what.name())))
    }
}

/// By a token; or, without one, by being the user who owns the lineage anyway, which only a Unix socket shows.
impl FromRequestParts<Arc<Sources>> for Reviewer {
    type Rejection = Denied;

    async fn from_request_parts(parts: &mut Parts, sources: &Arc<Sources>) -> Result<Self, Denied> {
        let needed = || Denied::unproven("a reviewer's token is needed, as `Authorization: Bearer TOKEN`");
        let Some(value) = parts.headers.get(AUTHORIZATION) else {
            let owner = parts.extensions.get::<Arc<Peer>>().is_some_and(|peer| match &**peer {
                Peer::Process(process) => process.uid == sources.uid,
                Peer::Loopback { .. } | Peer::Remote(_) => false,
            });
            return if owner { Ok(Self::operator()) } else { Err(needed()) };
        };
        let token = value.as_bytes().strip_prefix(b"Bearer ").ok_or_else(needed)?;
        let known = sources.rulebook.now().reviewers.by_token(&Digest::of(token));
        known.ok_or_else(|| {
            Denied::unproven(
                "this token is none of a reviewer under `[reviewers]`; an agent's or a framework's is not taken",
            )
        })
    }
}

/// The id in the path, of whatever it is one of.
pub(in crate::serve) struct Id<T>(pub(in crate::serve) T);

impl<T: FromStr + Send> FromRequestParts<Arc<Sources>> for Id<T> {
    type Rejection = Denied;

    async fn from_request_parts(parts: &mut Parts, sources: &Arc<Sources>) -> Result<Self, Denied> {
        let path = Path::<String>::from_request_parts(parts, sources).await;
        let id = path.ok().and_then(|Path(text)| text.parse().ok());
        id.map(Self).ok_or_else(|| Denied::unknown("nothing has such an id"))
    }
}

/// The lineage, read on a thread that may wait.
pub(in crate::serve) struct Lineage(pub(in crate::serve) Arc<Sources>);

impl FromRequestParts<Arc<Sources>> for Lineage {
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, sources: &Arc<Sources>) -> Result<Self, Infallible> {
        Ok(Self(sources.clone()))
    }
}

impl Lineage {
    /// What it says.
    pub(in crate::serve) async fn ask<T: Send + 'static>(
        self,
        question: impl FnOnce(&Reader) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Denied> {
        let asked = tokio::task::spawn_blocking(move || question(&(self.0.reader)()?)).await;
        let error = match asked {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        tracing::warn!(%error, "the lineage could not be read");
        Err(Denied::unavailable("the lineage could not be read"))
    }
}
