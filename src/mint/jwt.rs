//! Our own token: an RFC 9068 access token, signed with ES256 or EdDSA, that names this one call and is worth nothing for another.
//!
//! `authorization_details` (RFC 9396) hold method, target, content digest, intent and the verdict's place in the
//! lineage, so that a tool which checks them refuses the token for a changed byte. jsonwebtoken would read the key anew
//! for each signature (its signers are made per token from DER); the two lines of JWS compact serialisation
//! (RFC 7515 §3.1) around ring's signature cost a third of that.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::HeaderName;
use http::header::AUTHORIZATION;
use serde::Serialize;

use super::keys::KeyRing;
use super::lent::{Lent, Token};
use super::{Issuer, IssuerError, Order, Plan};
use crate::judge::Permit;
use crate::model::{BoxFuture, Credential, Handle, IntentSource, Lifetime, Placement, Secret, Timestamp};
use crate::record::HandleNote;

/// The `type` of our authorization details.
pub const CALL_DETAILS: &str = "urn:countersign:call";

/// How tokens are made.
#[derive(Clone, Debug)]
pub struct JwtOptions {
    /// The `iss` claim: where the keys are published.
    pub issuer: String,
    /// The `aud` claim; the tool's origin if absent.
    pub audience: Option<String>,
    /// The header a token goes into, behind `Bearer ` if it is `Authorization`.
    pub header: Option<HeaderName>,
}

/// Signs tokens with the keys of a ring.
#[derive(Debug)]
pub struct JwtIssuer {
    options: JwtOptions,
    keys: Arc<KeyRing>,
    /// Where tools that ask are told from.
    lent: Option<Arc<Lent>>,
    placement: Placement,
}

impl JwtIssuer {
    /// With its keys, and the list of what is lent if its tools ask: only then can a token be ended.
    pub fn new(options: JwtOptions, keys: Arc<KeyRing>, lent: Option<Arc<Lent>>) -> Self {
        let placement = match &options.header {
            Some(name) if name != AUTHORIZATION => Placement::Header { name: name.clone(), prefix: String::new() },
            Some(_) | None => Placement::Header { name: AUTHORIZATION, prefix: "Bearer ".to_owned() },
        };
        Self { options, keys, lent, placement }
    }

    fn token(&self, order: &Order<'_>, expires_at: Timestamp) -> Result<String, IssuerError> {
        let refused = |why: &'static str| IssuerError::Refused(why.into());
        let key = self.keys.signing(order.now).ok_or_else(|| refused("there is no key to sign with"))?;
        let header = Header { typ: "at+jwt", alg: key.algorithm().name(), kid: &key.id };
        let claims = self.claims(order, expires_at);
        let mut token = String::with_capacity(1_536);
        encode(&header, &mut token)?;
        token.push('.');
        encode(&claims, &mut token)?;
        let signature = self.keys.sign(&key, token.as_bytes()).ok_or_else(|| refused("the signature failed"))?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature.as_ref(), &mut token);
        Ok(token)
    }

    fn claims<'a>(&'a self, order: &Order<'a>, expires_at: Timestamp) -> Claims<'a> {
        let call = order.call;
        let agent = call.caller.agent.as_str();
        let person = call.task.on_behalf_of.as_deref();
        let audience = self.options.audience.as_deref().unwrap_or(&order.scope.audience);
        Claims {
            iss: &self.options.issuer,
            aud: audience,
            sub: person.unwrap_or(agent),
            client_id: agent,
            iat: order.now.seconds(),
            exp: expires_at.seconds(),
            jti: call.id.to_string(),
            act: person.map(|_| Actor { sub: agent, sub_profile: "ai_agent" }),
            authorization_details: [CallDetails {
                kind: CALL_DETAILS,
                locations: [audience],
                actions: [call.method.as_str()],
                identifier: call.id.to_string(),
                action: &call.action.name,
                resource: &order.scope.resource,
                target: &call.target,
                content_digest: call.content.digest().map(|digest| format!("sha-256=:{}:", STANDARD.encode(digest.0))),
                intent: Said {
                    action: call.intent.action.as_deref(),
                    resource: call.intent.resource.as_deref(),
                    source: call.intent.source,
                },
                leaf: order.position,
                scope: &call.details,
            }],
        }
    }
}

impl Issuer for JwtIssuer {
    fn kind(&self) -> &'static str {
        "jwt"
    }

    fn plan(&self, permit: &Permit, now: Timestamp) -> Plan {
        // `exp` counts whole seconds; the plan says what the token will say.
        let whole = Timestamp::from_millis(permit.expires_at(now).seconds().saturating_mul(1000));
        Plan { handle: HandleNote::Named(permit.call().id.to_string()), expires_at: Some(whole) }
    }

    fn lifetime(&self) -> Lifetime {
        Lifetime::Head
    }

    fn can_revoke(&self) -> bool {
        self.lent.is_some()
    }

    fn mint<'a>(&'a self, order: Order<'a>) -> BoxFuture<'a, Result<Credential, IssuerError>> {
        Box::pin(async move {
            let expires_at = order.plan.expires_at.filter(|end| *end > order.now);
            let expires_at = expires_at
                .ok_or_else(|| IssuerError::Refused("the call's time ran out before the token was signed".into()))?;
            let secret = Secret::new(self.token(&order, expires_at)?);
            if let Some(lent) = &self.lent {
                let token = Token { call: order.call.id, tool: order.call.tool.name.clone(), expires_at };
                lent.lend(&secret, token, order.now);
            }
            Ok(Credential {
                secret,
                handle: Handle::Named(order.call.id.to_string()),
                expires_at: Some(expires_at),
                placement: self.placement.clone(),
            })
        })
    }

    /// A token that is not in the list any more, perhaps since a restart, has ended: no tool that asks takes it.
    fn revoke<'a>(&'a self, handle: &'a Handle) -> BoxFuture<'a, Result<(), IssuerError>> {
        let offline = || IssuerError::Refused("a token that is checked offline ends by its expiry".into());
        let ended = self.lent.as_ref().ok_or_else(offline).map(|lent| match handle {
            Handle::Named(name) => name.parse().map_or((), |call| lent.end(call)),
            Handle::Nothing | Handle::Sealed(_) => {}
        });
        Box::pin(std::future::ready(ended))
    }
}

fn encode(part: &impl Serialize, token: &mut String) -> Result<(), IssuerError> {
    let json =
        serde_json::to_vec(part).map_err(|_| IssuerError::Refused("the token cannot be written as JSON".into()))?;
    URL_SAFE_NO_PAD.encode_string(json, token);
    Ok(())
}

#[derive(Serialize)]
struct Header<'a> {
    typ: &'static str,
    alg: &'static str,
    kid: &'a str,
}

/// RFC 9068 §2.2.
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: &'a str,
    client_id: &'a str,
    iat: i64,
    exp: i64,
    jti: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    act: Option<Actor<'a>>,
    authorization_details: [CallDetails<'a>; 1],
}

/// RFC 8693 §4.1: the agent acts for the subject.
#[derive(Serialize)]
struct Actor<'a> {
    sub: &'a str,
    sub_profile: &'static str,
}

/// RFC 9396 §2: the common fields, and what binds the token to one call.
#[derive(Serialize)]
struct CallDetails<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    locations: [&'a str; 1],
    actions: [&'a str; 1],
    identifier: String,
    action: &'a str,
    resource: &'a str,
    target: &'a str,
    /// RFC 9530; absent where the body streams and nobody knows it yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    content_digest: Option<String>,
    intent: Said<'a>,
    leaf: u64,
    #[serde(skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    scope: &'a std::collections::BTreeMap<String, serde_json::Value>,
}

#[derive(Serialize)]
struct Said<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<&'a str>,
    source: IntentSource,
}
