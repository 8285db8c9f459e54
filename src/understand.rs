//! Step 2: what a request says it wants, and what it really does.

mod catalog;
pub mod draft;
mod embedded;
mod intent;
mod json;
mod sinks;
mod target;
mod values;

use std::collections::BTreeSet;
use std::str::FromStr;
use std::sync::Arc;

use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HOST};
use http::uri::{Authority, Scheme};
use http::{HeaderMap, Method, Request, Uri};

use self::catalog::Matched;
pub use self::catalog::{ActionSpec, Catalog, CatalogError, FactType, ToolCatalog};
pub use self::embedded::{EMBEDDED, embedded};
pub use self::intent::declared;
use self::target::Target;
use crate::model::{Action, BodyRule, Call, Caller, Content, Incoming, Intent, IntentSource, Payload, Task, Tool};

/// The methods a tool may be called with.
const METHODS: [Method; 7] =
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];

/// Header fields of which a request may carry at most one line.
const SINGLE: [&str; 6] =
    ["agent-task", "agent-parent-call", "agent-approval", "authorization", "content-type", "host"];

/// Whether tools are called with this method.
pub fn knows(method: &Method) -> bool {
    METHODS.contains(method)
}

/// What a request's head alone tells: which tool and action it is for, read in the one way it can be read, or refused.
pub fn aim<'a, T>(request: &Request<T>, caller: &Caller, catalog: &'a Catalog) -> Result<Aim<'a>, Error> {
    if !knows(request.method()) {
        return Err(Error::MethodUnknown);
    }
    check_headers(request.headers())?;
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    let (tool, target) = split_tool(target)?;
    let tool = catalog.tool(&caller.agent, tool).ok_or(Error::ToolUnknown)?;
    let target = Target::parse(target).map_err(Error::Unclear)?;
    if let Some(key) = target.credential() {
        return Err(Error::Unclear(format!(
            "the query's `{key}` is a credential; a call is lent one, and takes none of the agent's along"
        )));
    }
    let call = (request.method(), target.path());
    let readable = request.headers().get(CONTENT_TYPE).is_none_or(|kind| kind.to_str().is_ok_and(is_json));
    let matched = catalog.action(&caller.agent, tool, call, readable).ok_or(Error::ActionUnknown)?;
    Ok(Aim { tool: &tool.tool, target, matched })
}

/// Where a request is aimed.
#[derive(Debug)]
pub struct Aim<'a> {
    tool: &'a Arc<Tool>,
    target: Target,
    matched: Matched<'a>,
}

impl Aim<'_> {
    /// The tool it goes to.
    pub fn tool(&self) -> &Tool {
        self.tool
    }

    /// How the action takes what comes behind the head.
    pub fn body(&self) -> BodyRule {
        self.matched.spec.body
    }
}

/// Reads the whole request in the one way it can be read, or refuses it.
///
/// Pure: the same request, caller, task and aim give the same call. The call's target, headers and body are the very bytes
/// that were read here; nothing is normalised on the way. It is boxed once, here, since every step hands it on.
pub fn understand(incoming: Incoming, caller: Caller, task: Arc<Task>, aim: Aim<'_>) -> Result<Box<Call>, Error> {
    let Aim { tool, target, matched } = aim;
    let (head, payload) = incoming.request.into_parts();
    let (body, content) = match &payload {
        Payload::Whole(body) => (&body[..], Content::of(body)),
        Payload::Unread(_) | Payload::Tunnel(_) => (&[][..], Content::Unread),
    };
    if body.len() > tool.max_body {
        return Err(Error::TooLarge(tool.max_body));
    }
    let is_json = body_is_json(&head.headers, body.is_empty())?;
    if is_json {
        json::check(body).map_err(Error::Unclear)?;
    }
    let door = door(&incoming.door, &head.headers, &head.uri);
    let source =
        values::Values { target: &target, path: &matched.path, body: is_json.then_some(body), empty: body.is_empty() };
    let resource = matched.spec.resource(&source)?;
    let action = Arc::new(Action {
        tool: tool.name.clone(),
        name: matched.spec.name.clone(),
        effect: matched.spec.effect,
        resource: format!("{}/{resource}", tool.name),
        arguments: matched.spec.arguments(&source)?,
        critical: matched.spec.critical(&source)?,
        yields: matched.spec.yields.clone(),
        fields: matched.spec.fields.clone(),
        rewrite: matched.spec.rewrite.clone(),
    });
    let details = matched.spec.details(&source)?;
    let intent = Arc::new(said_or_granted(&head.headers, &task, &action)?);
    Ok(Box::new(Call {
        id: incoming.id,
        parent: named(&head.headers, "Agent-Parent-Call", "call")?,
        approval: named(&head.headers, "Agent-Approval", "approval")?,
        task,
        caller,
        intent,
        action,
        tool: tool.clone(),
        method: head.method,
        target: target.into_wire(),
        headers: head.headers,
        payload,
        content,
        details,
        door,
        brought_credential: false,
        received_at: incoming.received_at,
    }))
}

/// Where in a request an argument was not what the catalog says, and other reasons to refuse it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It can be read in more than one way, or in none.
    #[error("{0}")]
    Unclear(String),
    /// The method is on no list.
    #[error("tools are called with GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS")]
    MethodUnknown,
    /// The agent has no such tool.
    #[error("the first segment of the path names no tool of this agent")]
    ToolUnknown,
    /// The tool has no such action.
    #[error("no action of the tool's catalog matches this method and path")]
    ActionUnknown,
    /// The body is too long.
    #[error("the body is larger than the {0} bytes this tool takes")]
    TooLarge(usize),
    /// The body is of a type that the catalog's facts cannot be read from.
    #[error("{0}")]
    TypeUnknown(String),
}

/// `/tickets/repos/…` → (`tickets`, `/repos/…`).
fn split_tool(target: &str) -> Result<(&str, &str), Error> {
    let rest = target.strip_prefix('/').ok_or(Error::ToolUnknown)?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (tool, target) = rest.split_at(end);
    if target.starts_with('/') {
        Ok((tool, target))
    } else {
        Err(Error::Unclear("the path needs a slash behind the tool's name".to_owned()))
    }
}

/// As whom the agent addressed us (RFC 9110 §7.2): what it may be sent back to.
fn door(scheme: &Scheme, headers: &HeaderMap, target: &Uri) -> String {
    let named = headers.get(HOST).and_then(|host| host.to_str().ok()?.parse::<Authority>().ok());
    let named = target.authority().or(named.as_ref()).filter(|named| !named.as_str().contains('@'));
    named.map_or_else(String::new, |named| format!("{scheme}://{named}"))
}

fn check_headers(headers: &HeaderMap) -> Result<(), Error> {
    for name in SINGLE {
        if headers.get_all(name).iter().nth(1).is_some() {
            return Err(Error::Unclear(format!("the header `{name}` stands there more than once")));
        }
    }
    for (name, value) in headers {
        if !value.as_bytes().iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~')) {
            return Err(Error::Unclear(format!("the header `{name}` holds a byte that is not visible ASCII")));
        }
    }
    Ok(())
}

/// Whether the body is JSON by its type; refuses what is encoded or in another character set.
fn body_is_json(headers: &HeaderMap, empty: bool) -> Result<bool, Error> {
    if headers.get_all(CONTENT_ENCODING).iter().any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(Error::TypeUnknown(
            "an encoded body cannot be judged; send it without `Content-Encoding`".to_owned(),
        ));
    }
    let Some(value) = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) else { return Ok(false) };
    let mut parts = value.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
    if essence.starts_with("application/grpc") {
        return Err(Error::TypeUnknown("gRPC is not spoken to tools: its calls cannot be judged".to_owned()));
    }
    let json = is_json(&essence);
    let mut names = BTreeSet::new();
    for parameter in parts {
        let (name, charset) = parameter.split_once('=').unwrap_or((parameter, ""));
        if !names.insert(name.to_ascii_lowercase()) {
            return Err(Error::Unclear(format!("`Content-Type` says `{name}` more than once")));
        }
        if json && name.eq_ignore_ascii_case("charset") && !charset.trim_matches('"').eq_ignore_ascii_case("utf-8") {
            return Err(Error::TypeUnknown("JSON is UTF-8 (RFC 8259 §8.1); no other charset is read".to_owned()));
        }
    }
    Ok(json && !empty)
}

/// Whether a `Content-Type` is JSON's.
fn is_json(kind: &str) -> bool {
    let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || essence.ends_with("+json")
}

/// The id in a header, if it is there.
fn named<T: FromStr>(headers: &HeaderMap, header: &str, what: &str) -> Result<Option<T>, Error> {
    let Some(value) = headers.get(header) else { return Ok(None) };
    let id = value.to_str().ok().and_then(|text| text.parse().ok());
    id.map(Some).ok_or_else(|| Error::Unclear(format!("`{header}` is no {what} id")))
}

/// What the agent said in a header or else what the task's grant says for it.
fn said_or_granted(headers: &HeaderMap, task: &Task, action: &Action) -> Result<Intent, Error> {
    if let Some(intent) = declared(headers).map_err(Error::Unclear)? {
        return Ok(intent);
    }
    let granted = task.grant.iter().any(|grant| grant.covers(action));
    Ok(if granted {
        Intent {
            action: Some(action.short_name().to_owned()),
            resource: Some(action.short_resource().to_owned()),
            purpose: Some(task.goal.clone()).filter(|goal| !goal.is_empty()),
            source: IntentSource::Task,
        }
    } else {
        Intent::default()
    })
}
