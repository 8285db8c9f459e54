//! Everything that judges, read from its files and named by one digest.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

use super::{Environment, StartError, secrets};
use crate::config::{Config, IssuerKind};
use crate::identify::Identify;
use crate::judge::{ActionShape, AgentRules, AgentShape, Policies, Source, compile, schema};
use crate::mediate::Rulebook;
use crate::memory::Bounds;
use crate::model::{AgentName, Digest, Mode};
use crate::record::Loaded;
use crate::understand::{Catalog, FactType, ToolCatalog};

/// Bytes that a file of the configuration may have.
pub(super) const LARGEST: u64 = 4 << 20;

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
    let mut texts = BTreeMap::from([("config".to_owned(), config_text.to_owned())]);
    secrets::check(config, environment)?;
    let reviewers = secrets::reviewers(config, environment)?;
    let tokens = secrets::tokens_digest(config, environment)?;
    let catalogs = catalogs(config, &mut texts)?;
    let mut sources = policy_files(&config.policies, &mut texts)?;
    let compiled = compile(&rules(config));
    texts.insert("rules".to_owned(), compiled.clone());
    sources.push(Source { name: "config".to_owned(), text: compiled.clone() });
    let actions = shapes(&catalogs);
    texts.insert("schema".to_owned(), schema(&actions));
    let loaded = named(texts);
    let agents: Vec<AgentShape> = config
        .agents
        .iter()
        .map(|agent| AgentShape {
            name: agent.name.clone(),
            groups: agent.groups.clone(),
            tools: agent.tools.clone(),
            mode: agent.mode,
        })
        .collect();
    let policies = Policies::load(&sources, &agents, &actions, loaded.version)?;
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
            ),
            policies,
            reviewers,
        },
        tokens,
        compiled,
        loaded,
    })
}

fn catalogs(config: &Config, texts: &mut BTreeMap<String, String>) -> Result<Vec<ToolCatalog>, StartError> {
    let mut catalogs = Vec::new();
    for tool in &config.tools {
        let text = read(&tool.catalog)?;
        let wrong = |error| StartError::Catalog { path: tool.catalog.display().to_string(), error };
        let catalog = ToolCatalog::parse(tool.tool.clone(), &text).map_err(wrong)?;
        catalogs.push(match config.issuers.get(&tool.tool.issuer) {
            Some(IssuerKind::None | IssuerKind::Static { .. }) => catalog.with_unclassified(),
            Some(IssuerKind::Jwt { .. }) | None => catalog,
        });
        texts.insert(format!("catalog:{}", tool.tool.name), text);
    }
    Ok(catalogs)
}

/// Every `*.cedar` of the folder, in the order of their names.
fn policy_files(folder: &Path, texts: &mut BTreeMap<String, String>) -> Result<Vec<Source>, StartError> {
    let at = |error| StartError::File { path: folder.display().to_string(), error };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(at)? {
        let path = entry.map_err(at)?.path();
        if path.extension().is_some_and(|extension| extension == "cedar") {
            paths.push(path);
        }
    }
    paths.sort();
    if paths.is_empty() {
        return Err(at(io::Error::other(
            "there is no `*.cedar` in this folder; without a policy every call is refused",
        )));
    }
    let mut sources = Vec::new();
    for path in paths {
        let (name, text) = (path.display().to_string(), read(&path)?);
        // It was emptied, or is about to be written: whoever wants no policy there takes the file away.
        if text.lines().map(str::trim).all(|line| line.is_empty() || line.starts_with("//")) {
            return Err(StartError::File { path: name, error: io::Error::other("there is no policy in this file") });
        }
        let short = path.file_name().map_or_else(|| name.clone(), |file| file.to_string_lossy().into_owned());
        texts.insert(format!("policy:{short}"), text.clone());
        sources.push(Source { name, text });
    }
    Ok(sources)
}

fn rules(config: &Config) -> Vec<AgentRules> {
    let rules = |agent: &crate::config::Agent| {
        let bounds = [
            ("max_calls", agent.chain.max_calls),
            ("max_repeats", agent.chain.max_repeats),
            ("max_concurrent", agent.chain.max_concurrent),
        ];
        let chain =
            bounds.into_iter().filter(|(_, max)| max.is_some()).map(|(name, _)| format!("{}.chain.{name}", agent.name));
        AgentRules {
            agent: agent.name.to_string(),
            intent: agent.intent,
            limits: agent.limits.iter().map(|limit| limit.name.clone()).collect(),
            chain: chain.collect(),
        }
    };
    config.agents.iter().map(rules).collect()
}

fn shapes(catalogs: &[ToolCatalog]) -> Vec<ActionShape> {
    let kind = |kind: FactType| match kind {
        FactType::String => "String",
        FactType::Long => "Long",
        FactType::Decimal => "decimal",
        FactType::Bool => "Bool",
    };
    let shape = |tool: &ToolCatalog, action: &crate::understand::ActionSpec| ActionShape {
        name: action.name.clone(),
        tool: tool.tool.name.clone(),
        effect: action.effect,
        args: action.facts.iter().map(|(name, fact)| (name.clone(), kind(*fact))).collect(),
    };
    catalogs.iter().flat_map(|tool| tool.actions.iter().map(move |action| shape(tool, action))).collect()
}

/// Digests of the texts, and one over all of them and what reads them.
fn named(texts: BTreeMap<String, String>) -> Loaded {
    let parts: BTreeMap<String, Digest> =
        texts.iter().map(|(name, text)| (name.clone(), Digest::of(text.as_bytes()))).collect();
    let program = env!("CARGO_PKG_VERSION").to_owned();
    let cedar = cedar_policy::get_sdk_version().to_string();
    let lines: Vec<String> = parts.iter().map(|(name, digest)| format!("{name} {digest}\n")).collect();
    let version = Digest::of(format!("{}countersign {program}\ncedar {cedar}\n", lines.concat()).as_bytes());
    let texts = texts.into_values().map(|text| (Digest::of(text.as_bytes()), text)).collect();
    Loaded { version, parts, program, cedar, texts }
}

/// Opens a file for reading. What is no file but a pipe makes nobody wait.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
    File::options().read(true).custom_flags(flags).open(path)
}

/// What is in a file that people write, which is not large.
pub fn read(path: &Path) -> Result<String, StartError> {
    let text = || {
        let file = open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("this is no file"));
        }
        let mut text = String::new();
        if file.take(LARGEST + 1).read_to_string(&mut text)? as u64 > LARGEST {
            return Err(io::Error::other(format!("more than {} MiB; nobody has written that", LARGEST >> 20)));
        }
        Ok(text)
    };
    text().map_err(|error| StartError::File { path: path.display().to_string(), error })
}
