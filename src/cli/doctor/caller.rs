//! Which agent a process started from here would be.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use rustix::process::geteuid;
use tokio::net::UnixStream;

use super::Line;
use crate::app;
use crate::cli::Failure;
use crate::config::{Config, Door, Rule};
use crate::identify::{Identify, Observer};
use crate::model::{Evidence, Peer, Secret};

pub(super) async fn lines(config: &Config, identify: &Identify, token: Option<&Path>) -> Result<Vec<Line>, Failure> {
    let bearer =
        token.map(|path| Ok::<Secret, Failure>(Secret::new(app::read(path)?.trim_end().as_bytes()))).transpose()?;
    let peer = peer(&config.listen.agent).await?;
    let shown = if bearer.is_some() {
        "a process of yours that shows this token"
    } else {
        "a process of yours that shows no token"
    };
    let evidence = Evidence { peer: Arc::new(peer), bearer };
    let mut lines = vec![match identify.caller(&evidence, app::wall_clock().now()) {
        Ok(caller) => Line::ok("caller", format!("{shown} is `{}` ({})", caller.agent, caller.workload.id)),
        Err(error) => Line::warn(
            "caller",
            format!("{shown} is nobody: {error}"),
            "see `identify` in the configuration; `--token-file FILE` looks with a token",
        ),
    }];
    let own = geteuid().as_raw();
    for agent in config.agents.iter().filter(|agent| agent.identify.iter().any(|rule| is_of(rule, own))) {
        lines.push(Line::warn(
            "same user",
            format!("`{}` runs as the user that looks here (uid {own}); so it reads what that user can: keys, tokens, the lineage", agent.name),
            "run the sidecar as a user of its own, where the agent is not only tried out",
        ));
    }
    Ok(lines)
}

/// As the door would see this process.
async fn peer(door: &Door) -> Result<Peer, Failure> {
    let own = geteuid().as_raw();
    match door {
        Door::Tcp(_) => Ok(Peer::Loopback { address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), uid: Some(own) }),
        Door::Unix(_) => {
            let failed = |error: std::io::Error| Failure::Away(format!("a socket cannot be made: {error}"));
            let (one, _other) = UnixStream::pair().map_err(failed)?;
            Observer::new().unix(&one).await.map_err(failed)
        }
    }
}

/// Whether the rule holds for the user, as far as users go.
fn is_of(rule: &Rule, uid: u32) -> bool {
    match rule {
        Rule::Peer(peer) => peer.uid == Some(uid),
        Rule::Token(_) => false,
        Rule::All(all) => all.iter().any(|rule| is_of(rule, uid)),
    }
}
