//! Step 5: the judged bytes go to the tool, once, with the one call's credential.

mod address;
mod answer;
mod client;
mod connect;
mod egress;
#[cfg(test)]
mod fake_tool;
mod header_names;
mod headers;

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, HeaderValue};
use http::{Request, Response};
use http_body_util::Full;
use tokio::time::Instant;

pub use self::answer::{AnswerBody, BoxError};
pub use self::client::{Error as UpstreamError, HyperUpstream};
pub use self::connect::{Dial, Resolver, tls};
pub use self::egress::is_listed;
pub use self::headers::{Unclear, forbidden, forbidden_answer};
use crate::model::{BoxFuture, Call, Ending, Placement, Secret, Tool};
use crate::revoke::{Lease, Leased, cut};

/// What calls are sent through.
pub trait Upstream: Send + Sync {
    /// Sends one request to the tool. Nothing is sent twice, followed or cached.
    fn send(
        &self,
        tool: &Arc<Tool>,
        request: Request<Full<Bytes>>,
    ) -> BoxFuture<'_, Result<Response<AnswerBody>, UpstreamError>>;
}

/// Why there is no answer. The call's ending says so, too.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The tool did not answer properly, or could not be reached.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// The call's time ran out before the answer's head came.
    #[error("the tool did not answer within the call's time")]
    Late,
    /// The agent hung up.
    #[error("the agent hung up")]
    Abandoned,
    /// The task was ended, or the sidecar stops.
    #[error("the call was cut: {}", .0.name())]
    Cut(Ending),
    /// The answer is encoded although none was asked for, so its content cannot be seen.
    #[error("the answer is encoded in a way that was not asked for")]
    Encoded(String),
    /// The secret does not fit into the header it goes into.
    #[error("the credential holds bytes that no header can carry")]
    Secret,
}

/// Leaves a call with the headers that will be sent on, so that these are the ones it is judged by. What the agent brought
/// to prove itself at the door was taken off there.
pub fn keep_what_passes(call: &mut Call) -> Result<(), Unclear> {
    call.brought_credential = headers::supplied_credential(&call.headers);
    call.headers = headers::outgoing(&call.headers, &call.tool.request_headers)?;
    Ok(())
}

/// Sends a call for which a credential is lent, and hands the answer back with the lease in it.
pub async fn forward(
    upstream: &dyn Upstream,
    mut lease: Lease,
    hung_up: impl Future<Output = ()>,
) -> Result<Response<Leased<AnswerBody>>, Error> {
    let tool = lease.call().tool.clone();
    let deadline = Instant::now() + tool.max_call;
    let request = outgoing(&lease).inspect_err(|error| lease.fail(error))?;
    let answer = tokio::select! {
        biased;
        answer = upstream.send(&tool, request) => answer.map_err(Error::from),
        () = hung_up => Err(Error::Abandoned),
        ending = cut(deadline, lease.over()) => Err(if ending == Ending::Expired { Error::Late } else { Error::Cut(ending) }),
    };
    let (head, body) = answer.and_then(readable).inspect_err(|error| end_as(&mut lease, error))?.into_parts();
    let mut answer = Response::new(Leased::new(lease, head.status.as_u16(), body, deadline));
    *answer.status_mut() = head.status;
    *answer.headers_mut() = headers::incoming(&head.headers, &tool.answer_headers);
    Ok(answer)
}

fn end_as(lease: &mut Lease, error: &Error) {
    lease.fail(error);
    match error {
        Error::Upstream(_) | Error::Encoded(_) | Error::Secret => {}
        Error::Late => lease.cut(Ending::Expired),
        Error::Abandoned => lease.cut(Ending::Abandoned),
        Error::Cut(ending) => lease.cut(*ending),
    }
}

/// The one request that goes out: what was judged, and the credential.
fn outgoing(lease: &Lease) -> Result<Request<Full<Bytes>>, Error> {
    let call = lease.call();
    let mut request = Request::new(Full::new(call.body.clone()));
    let target = format!("{}{}", call.tool.base_path, call.target);
    *request.uri_mut() =
        target.parse().map_err(|_| UpstreamError::Protocol("the call's target is no path".to_owned()))?;
    *request.method_mut() = call.method.clone();
    *request.headers_mut() = call.headers.clone();
    if let Some((secret, placement)) = lease.lent() {
        place(secret, placement, &mut request)?;
    }
    Ok(request)
}

/// The one place that applies a placement.
fn place(secret: &Secret, placement: &Placement, request: &mut Request<Full<Bytes>>) -> Result<(), Error> {
    match placement {
        Placement::Nowhere => Ok(()),
        Placement::Header { name, prefix } => {
            let value = [prefix.as_bytes(), secret.expose()].concat();
            let mut value = HeaderValue::from_bytes(&value).map_err(|_| Error::Secret)?;
            value.set_sensitive(true);
            request.headers_mut().insert(name.clone(), value);
            Ok(())
        }
    }
}

/// Refuses an answer whose content cannot be seen. We ask for `identity`; a tool may answer otherwise.
fn readable(answer: Response<AnswerBody>) -> Result<Response<AnswerBody>, Error> {
    let coding = answer
        .headers()
        .get_all(CONTENT_ENCODING)
        .iter()
        .find(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"));
    match coding {
        Some(coding) => Err(Error::Encoded(coding.to_str().unwrap_or("?").chars().take(40).collect())),
        None => Ok(answer),
    }
}
