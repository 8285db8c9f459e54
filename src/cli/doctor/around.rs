//! What would go round the sidecar: clients that are led elsewhere, keys that lie about, tools that anybody reaches.

use std::env;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Line;
use crate::cli::known;
use crate::config::{CatalogFrom, Config, Door, ToolConfig};

/// How long a tool may take to be reached.
const PATIENCE: Duration = Duration::from_secs(2);

/// Variables that lead clients through a proxy.
const PROXIES: [&str; 6] = ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];

/// Variables that clients take credentials from.
const KEYS: [&str; 10] = [
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "AWS_ACCESS_KEY_ID",
    "GH_TOKEN",
    "GITHUB_TOKEN",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "OPENAI_API_KEY",
    "SLACK_BOT_TOKEN",
    "SLACK_TOKEN",
    "VAULT_TOKEN",
];

pub(super) async fn lines(config: &Config, offline: bool) -> Vec<Line> {
    let mut lines = vec![proxies(), keys()];
    lines.extend(config.tools.iter().filter_map(|tool| led_elsewhere(config, tool)));
    for tool in config.tools.iter().filter(|_| !offline) {
        lines.push(reach(tool).await);
    }
    lines
}

fn is_set(name: &str) -> bool {
    env::var_os(name).is_some_and(|value| !value.is_empty())
}

fn proxies() -> Line {
    let set: Vec<&str> = PROXIES.into_iter().filter(|name| is_set(name)).collect();
    let spared = ["no_proxy", "NO_PROXY"].iter().filter_map(|name| env::var(name).ok()).any(|list| {
        let names: Vec<&str> = list.split(',').map(str::trim).collect();
        names.contains(&"*") || names.contains(&"127.0.0.1") || names.contains(&"127.0.0.0/8")
    });
    if set.is_empty() {
        Line::ok("proxies", "no variable leads clients through one")
    } else if spared {
        Line::ok("proxies", format!("`{}` is set, and `NO_PROXY` spares 127.0.0.1", set.join("`, `")))
    } else {
        let says =
            format!("`{}` is set: clients started from here send what is for the door to that proxy", set.join("`, `"));
        Line::warn("proxies", says, "export NO_PROXY=127.0.0.1,localhost")
    }
}

fn keys() -> Line {
    let set: Vec<&str> = KEYS.into_iter().filter(|name| is_set(name)).collect();
    if set.is_empty() {
        return Line::ok("keys in reach", "no variable known to us holds a credential here");
    }
    let says =
        format!("`{}` is set: an agent started from here holds that key, and needs no sidecar", set.join("`, `"));
    Line::warn("keys in reach", says, "hand it to the tool's `[issuers]` instead, and start agents without it")
}

/// Clients of a well-known tool go to its provider unless a variable says otherwise.
fn led_elsewhere(config: &Config, tool: &ToolConfig) -> Option<Line> {
    let CatalogFrom::Embedded(catalog) = &tool.catalog else { return None };
    let variable = known::known(catalog)?.base_url?;
    let Door::Tcp(address) = config.listen.agent else { return None };
    let door = format!("http://{address}/{}", tool.tool.name);
    let to_do = format!("export {variable}={door}");
    match env::var(variable) {
        Ok(set) if set.trim_end_matches('/') == door => {
            Some(Line::ok("clients", format!("`{variable}` leads to the door")))
        }
        Ok(set) => Some(Line::warn("clients", format!("`{variable}` leads to `{set}`, past the door"), to_do)),
        Err(_) => Some(Line::warn(
            "clients",
            format!("`{variable}` is not set: clients of {catalog} go to its provider"),
            to_do,
        )),
    }
}

async fn reach(tool: &ToolConfig) -> Line {
    let tool = &tool.tool;
    let https = tool.scheme == http::uri::Scheme::HTTPS;
    let (host, port) = (tool.authority.host(), tool.authority.port_u16().unwrap_or(if https { 443 } else { 80 }));
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let reached = timeout(PATIENCE, TcpStream::connect((host, port))).await;
    match reached {
        Ok(Ok(_)) => Line::warn(
            "reach",
            format!("`{}` at {host}:{port} can be reached from here, by an agent too", tool.name),
            "confine agents to the door: a network namespace, `IPAddressDeny=any` in their unit, or a firewall rule by user",
        ),
        Ok(Err(error)) => Line::warn(
            "reach",
            format!("`{}` at {host}:{port} cannot be reached: {error}", tool.name),
            "if it is so for the sidecar as well, calls get 502: see `upstream`, the resolver, the firewall",
        ),
        Err(_) => Line::warn(
            "reach",
            format!("`{}` at {host}:{port} does not answer within two seconds", tool.name),
            "if it is so for the sidecar as well, calls get 502 or 504: see the way there",
        ),
    }
}
