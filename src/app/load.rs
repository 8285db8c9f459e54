//! Everything that judges, read from its files and named by one digest.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Environment, Material, StartError, secrets};
use crate::config::{Agent, Config, Reviewer};
use crate::identify::Identify;
use crate::judge::Policies;
use crate::mediate::Rulebook;
use crate::memory::{Bounds, Reviewing};
use crate::model::{AgentName, Digest, May, Mode};
use crate::record::Loaded;
use crate::understand::Catalog;

/// What a configuration comes to.
pub struct Parts {
    /// All that judges.
    pub rulebook: Rulebook,
    /// Digest over the tokens that prove agents, openers and reviewers. It is told to nobody.
    pub(super) tokens: Digest,
    /// The rules that the configuration's limits and intent keys became, in Cedar.
    pub compiled: String,
    /// All of it by digest, for the record.
    pub loaded: Loaded,
}

/// Reads and checks everything the configuration names: catalogs, policies, secrets.
pub fn load(config: &Config, config_text: &str, environment: &Environment) -> Result<Parts, StartError> {
    secrets::check(config, environment)?;
    let reviewers = secrets::reviewers(config, environment)?;
    let askers = secrets::askers(config, environment)?;
    let tokens = secrets::tokens_digest(config, environment)?;
    let material = Material::of_files(config, config_text)?;
    let policies = material.policies()?;
    answerable(config, &policies)?;
    let Material { catalogs, directories, compiled, loaded, .. } = material;
    let known = |agent: &Agent| {
        let all = agent.directories.iter().filter_map(|name| directories.get(name)).flatten();
        (agent.name.clone(), Arc::new(all.copied().collect()))
    };
    let allowed: BTreeMap<AgentName, BTreeSet<Arc<str>>> =
        config.agents.iter().map(|agent| (agent.name.clone(), agent.tools.clone())).collect();
    let observed = config.agents.iter().filter(|agent| agent.mode == Mode::Observe);
    let observed = observed.map(|agent| agent.name.clone()).collect();
    Ok(Parts {
        rulebook: Rulebook {
            identify: Identify::new(secrets::proofs(config, environment)?),
            catalog: Catalog::new(catalogs, allowed).observing(observed),
            bounds: Bounds::new(
                config.agents.iter().flat_map(|agent| agent.limits.clone()).collect(),
                config.agents.iter().map(|agent| (agent.name.clone(), agent.chain)).collect(),
            )
            .asking(config.approvals.rule)
            .knowing(config.agents.iter().map(known).collect())
            .learning(config.agents.iter().map(|agent| (agent.name.clone(), agent.baseline)).collect()),
            policies,
            reviewers,
            askers,
        },
        tokens,
        compiled,
        loaded,
    })
}

/// Whom rules ask there must be.
fn answerable(config: &Config, policies: &Policies) -> Result<(), StartError> {
    let may = |(_, reviewer): &(&String, &Reviewer)| reviewer.may.contains(&May::Approve);
    let is = |who: &str| {
        let asked = |(name, reviewer): (&String, &Reviewer)| Reviewing { name, roles: &reviewer.roles }.is(who);
        config.reviewers.iter().filter(may).any(asked)
    };
    match policies.asked().into_iter().find(|who| !is(who)) {
        Some(who) => Err(StartError::Unanswerable(who.to_owned())),
        None => Ok(()),
    }
}
