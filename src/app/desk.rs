//! The desk, kept: whoever is asked is told so, and what is over is recorded.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;

use super::post::{Letter, post};
use super::secrets::secret;
use super::{Environment, StartError};
use crate::config::{Approvals, webhook};
use crate::forward::Upstream;
use crate::memory::{Memory, Shown, Stands};
use crate::model::{AgentName, ApprovalId, Tool};
use crate::record::{self, Answer, Rail, Reader, StoreError};

/// How often the desk is looked at.
const EVERY: Duration = Duration::from_millis(500);

/// How often a notice is tried.
const TRIES: usize = 3;

/// Where notices go: an address that is a secret, since whoever has it may post there.
pub(super) fn place(approvals: &Approvals, environment: &Environment) -> Result<Option<Arc<Tool>>, StartError> {
    let Some(from) = &approvals.webhook else { return Ok(None) };
    let address = secret(from, environment)?;
    Ok(Some(webhook(&String::from_utf8_lossy(address.expose()))?))
}

/// Questions of an earlier run are over: their calls were kept by it. They count among those that an agent may ask.
pub(super) fn recall(reader: &Reader, memory: &Memory, rail: &Rail) -> Result<(), StoreError> {
    let now = rail.now();
    for asked in reader.asked(now.before(Duration::from_secs(3_600)))? {
        memory.desk().recall(&AgentName(asked.agent.as_str().into()), asked.at);
        if !asked.resolved {
            rail.note(record::lapsed(&asked, now));
        }
    }
    // The longest that it may be broken.
    let since = now.before(Duration::from_secs(3_600));
    for (agent, until) in reader.broken_glass(since)? {
        memory.break_glass(&AgentName(agent.into()), until);
    }
    Ok(())
}

/// Looks at the desk for as long as the sidecar runs.
pub(super) async fn keep(memory: Arc<Memory>, rail: Arc<Rail>, to: Option<(Arc<Tool>, Arc<dyn Upstream>)>) {
    let mut told: BTreeSet<ApprovalId> = BTreeSet::new();
    loop {
        let now = rail.now();
        for about in memory.desk().expire(now) {
            rail.note(record::resolved(&about, Answer::Expired, None, "", now));
        }
        let waiting: Vec<Shown> = memory.desk().questions(now);
        told.retain(|id| waiting.iter().any(|shown| shown.about.id == *id));
        for shown in waiting.iter().filter(|shown| matches!(shown.standing, Stands::Waiting { .. })) {
            if let Some((tool, upstream)) = &to
                && told.insert(shown.about.id)
            {
                tokio::spawn(tell(tool.clone(), upstream.clone(), notice(shown)));
            }
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// What somebody reads who is asked: enough to know whether to look, and nothing that only a reviewer may see.
fn notice(shown: &Shown) -> String {
    let about = &shown.about;
    let who: BTreeSet<&str> = about.rules.values().map(|asking| asking.who.as_str()).collect();
    let rules: Vec<&String> = about.rules.keys().collect();
    json!({
        "id": about.id, "agent": about.agent, "action": about.action, "effect": about.effect,
        "who": who, "rules": rules, "expires_at": about.expires_at,
    })
    .to_string()
}

async fn tell(tool: Arc<Tool>, upstream: Arc<dyn Upstream>, notice: String) {
    let mut why = String::new();
    for attempt in 0..TRIES {
        tokio::time::sleep(Duration::from_secs(attempt as u64 * 2)).await;
        let body = Bytes::from(notice.clone());
        match post(&upstream, &tool, Letter { below: "", kind: "application/json", body }).await {
            Ok(()) => return,
            Err(error) => why = error,
        }
    }
    // Without its address, which may hold a key.
    tracing::error!(why, "somebody is asked and could not be told so: look at the questions that wait");
}
