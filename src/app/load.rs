//! Everything that judges, read from its files and named by one digest.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Environment, Material, StartError, secrets};
use crate::config::{Config, May};
use crate::identify::Identify;
use crate::mediate::Rulebook;
use crate::memory::Bounds;
use crate::model::{AgentName, Digest};
use crate::record::Loaded;
use crate::understand::Catalog;

/// What a configuration comes to.
pub struct Parts {
    /// All that judges.
    pub rulebook: Rulebook,
    /// Who may look, and who may do more.
    pub reviewers: Reviewers,
    /// The rules that the configuration's limits and intent keys became, in Cedar.
    pub compiled: String,
    /// All of it by digest, for the record.
    pub loaded: Loaded,
}

/// Digests of the tokens of reviewers by name, for each thing they may do.
pub struct Reviewers {
    /// Look at calls and their records.
    pub read: BTreeMap<String, Digest>,
    /// Erase what is private.
    pub erase: BTreeMap<String, Digest>,
}

/// Reads and checks everything the configuration names: catalogs, policies, secrets.
pub fn load(config: &Config, config_text: &str, environment: &Environment) -> Result<Parts, StartError> {
    secrets::check(config, environment)?;
    let reviewers = Reviewers {
        read: secrets::reviewers(config, environment, May::Read)?,
        erase: secrets::reviewers(config, environment, May::Erase)?,
    };
    let material = Material::of_files(config, config_text)?;
    let policies = material.policies()?;
    let Material { catalogs, compiled, loaded, .. } = material;
    let allowed: BTreeMap<AgentName, BTreeSet<Arc<str>>> =
        config.agents.iter().map(|agent| (agent.name.clone(), agent.tools.clone())).collect();
    Ok(Parts {
        rulebook: Rulebook {
            identify: Identify::new(secrets::proofs(config, environment)?),
            catalog: Catalog::new(catalogs, allowed),
            bounds: Bounds::new(
                config.agents.iter().flat_map(|agent| agent.limits.clone()).collect(),
                config.agents.iter().map(|agent| (agent.name.clone(), agent.chain)).collect(),
            ),
            policies,
        },
        reviewers,
        compiled,
        loaded,
    })
}
