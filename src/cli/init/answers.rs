//! What a configuration is made from: three answers, given as flags or asked for.

use std::net::IpAddr;
use std::str::FromStr;

use http::Uri;

use super::InitArguments;
use crate::cli::Failure;
use crate::cli::known::{Known, known};
use crate::understand::draft::Draft;
use crate::understand::{EMBEDDED, embedded};

/// All that is known when the files are written.
pub(super) struct Answers {
    pub(super) agent: String,
    pub(super) tool: ToolAnswer,
    pub(super) proof: Proof,
    pub(super) credential: Credential,
    pub(super) observe: bool,
    pub(super) port: u16,
}

/// The tool that is called.
pub(super) struct ToolAnswer {
    pub(super) name: String,
    pub(super) upstream: String,
    pub(super) catalog: String,
    /// Networks that its address is in, where they are not public.
    pub(super) networks: Vec<String>,
    pub(super) known: Option<&'static Known>,
    /// The path of a call to begin with.
    pub(super) first: String,
}

/// What proves the agent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Proof {
    User,
    Token,
    Unit(String),
    Exe(String),
}

impl FromStr for Proof {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("unit", name)) if !name.is_empty() => Ok(Self::Unit(name.to_owned())),
            Some(("exe", path)) if path.starts_with('/') => Ok(Self::Exe(path.to_owned())),
            None if text == "user" => Ok(Self::User),
            None if text == "token" => Ok(Self::Token),
            _ => Err("a proof is `user`, `token`, `unit:NAME` or `exe:/PATH`".to_owned()),
        }
    }
}

/// What the tool is to be shown.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Credential {
    None,
    Jwt,
    Env(String),
    File(String),
}

impl FromStr for Credential {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("env", name)) if !name.is_empty() => Ok(Self::Env(name.to_owned())),
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(path.to_owned())),
            None if text == "none" => Ok(Self::None),
            None if text == "jwt" => Ok(Self::Jwt),
            _ => Err("a credential is `none`, `jwt`, `env:NAME` or `file:PATH`".to_owned()),
        }
    }
}

impl Answers {
    /// Puts together what the flags say.
    pub(super) fn of(arguments: &InitArguments, spec: Option<&Draft>) -> Result<Self, Failure> {
        let proof = arguments.proof.clone().unwrap_or(Proof::User);
        if arguments.port == 0 {
            return Err(Failure::Usage(
                "`--port`: agents and their frameworks have to know the port; name one".to_owned(),
            ));
        }
        if arguments.port == u16::MAX {
            return Err(Failure::Usage("`--port`: the admin door gets the next port, and there is none".to_owned()));
        }
        Ok(Self {
            agent: arguments.agent.clone().unwrap_or_else(|| "agent".to_owned()),
            tool: tool(arguments, spec)?,
            proof,
            credential: arguments.credential.clone().unwrap_or(Credential::None),
            observe: arguments.observe,
            port: arguments.port,
        })
    }
}

fn tool(arguments: &InitArguments, spec: Option<&Draft>) -> Result<ToolAnswer, Failure> {
    let usage = |why: &str| Failure::Usage(why.to_owned());
    let named = arguments.catalog.as_deref();
    if let Some(name) = named.filter(|name| embedded(name).is_none()) {
        let all: Vec<&str> = EMBEDDED.iter().map(|(name, _)| *name).collect();
        return Err(Failure::Usage(format!("`--catalog`: there is no catalog `{name}`; there are {}", all.join(", "))));
    }
    let known = named.and_then(known);
    let said = arguments.upstream.clone().or_else(|| spec?.upstream.clone());
    let upstream = said.or_else(|| Some(known?.upstream.to_owned())).ok_or_else(|| match spec {
        Some(_) => usage("the specification names no server; say where it is with `--upstream URL`"),
        None => {
            usage("which tool? `--catalog github` (or anthropic, openai, slack), `--upstream URL`, or `--openapi SPEC`")
        }
    })?;
    let uri: Uri = upstream.parse().map_err(|_| Failure::Usage(format!("`{upstream}` is no URL")))?;
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let networks = networks(host);
    if uri.scheme_str() == Some("http") && networks.is_empty() {
        return Err(Failure::Usage(format!(
            "`{upstream}`: over plain http anybody on the way reads the credential; use https (`http://` is for addresses such as `http://127.0.0.1:9001`)"
        )));
    }
    let name = arguments.tool.clone().or_else(|| Some(known?.name.to_owned())).unwrap_or_else(|| called_after(host));
    Ok(ToolAnswer {
        catalog: match (spec, named) {
            (Some(_), _) => format!("{name}.toml"),
            (None, named) => named.unwrap_or("rest").to_owned(),
        },
        first: known.map_or("/", |known| known.first).to_owned(),
        name,
        upstream,
        networks,
        known,
    })
}

/// A host that is no public one may be called only where its network is listed.
fn networks(host: &str) -> Vec<String> {
    if host == "localhost" {
        return vec!["127.0.0.0/8".to_owned(), "::1/128".to_owned()];
    }
    let network = match host.parse() {
        Ok(IpAddr::V4(ip)) if ip.is_loopback() => Some("127.0.0.0/8".to_owned()),
        Ok(IpAddr::V4(ip)) if ip.is_private() || ip.is_link_local() => Some(format!("{ip}/32")),
        Ok(IpAddr::V6(ip)) if ip.is_loopback() || ip.is_unique_local() => Some(format!("{ip}/128")),
        Ok(_) | Err(_) => None,
    };
    network.into_iter().collect()
}

/// `api.petstore.example` → `petstore`; an address → `tool`.
fn called_after(host: &str) -> String {
    let parts: Vec<&str> = host.split('.').filter(|part| !matches!(*part, "api" | "www" | "rest")).collect();
    let first = parts.first().copied().unwrap_or_default();
    let fine = first.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    let letter = first.starts_with(|first: char| first.is_ascii_lowercase());
    if fine && letter && host != "localhost" { first.to_owned() } else { "tool".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_is_called_after_its_host_and_listed_where_it_is_not_public() {
        assert_eq!(called_after("api.petstore.example"), "petstore");
        assert_eq!(called_after("127.0.0.1"), "tool");
        assert_eq!(called_after("localhost"), "tool");
        assert_eq!(networks("127.0.0.1"), ["127.0.0.0/8"]);
        assert_eq!(networks("10.1.2.3"), ["10.1.2.3/32"]);
        assert_eq!(networks("api.petstore.example"), [""; 0]);
        assert_eq!(
            "exe:bin/sh".parse::<Proof>().unwrap_err(),
            "a proof is `user`, `token`, `unit:NAME` or `exe:/PATH`"
        );
    }
}
