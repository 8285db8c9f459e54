//! What policies are made of: their texts, the agents and actions they are about. From files, or from what a lineage keeps.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::path::Path;

use super::StartError;
use super::file::read;
use crate::config::{CatalogFrom, Config, IssuerKind, ToolConfig};
use crate::judge::{
    ActionShape, AgentRules, AgentShape, Policies, PolicyError, Source, StandIns, Unread, compile, schema,
};
use crate::model::{Aimed, Digest, Key, Mode, Preset};
use crate::record::Loaded;
use crate::understand::{CatalogError, EMBEDDED, FactType, ToolCatalog, embedded};

/// All that policies are made of.
pub struct Material {
    /// The policies' files, and what the configuration's limits and intent keys became.
    pub sources: Vec<Source>,
    /// Who may be judged.
    pub agents: Vec<AgentShape>,
    /// What may be judged.
    pub actions: Vec<ActionShape>,
    /// The tools' catalogs.
    pub catalogs: Vec<ToolCatalog>,
    /// Values that agents may use, by the directory's name.
    pub directories: BTreeMap<String, HashSet<Key>>,
    /// The rules that the configuration's limits and intent keys became, in Cedar.
    pub compiled: String,
    /// All of it by digest.
    pub loaded: Loaded,
}

impl Material {
    /// Out of the files that a configuration names.
    pub fn of_files(config: &Config, config_text: &str) -> Result<Self, StartError> {
        let mut texts = BTreeMap::from([("config".to_owned(), config_text.to_owned())]);
        let mut catalogs = Vec::new();
        for tool in &config.tools {
            let (path, text) = written(tool)?;
            let wrong = |error| StartError::Catalog { path, error };
            catalogs.push(catalog(config, tool, &text).map_err(wrong)?);
            texts.insert(format!("catalog:{}", tool.tool.name), text);
        }
        let mut sources = Vec::new();
        let found = files(&config.policies, ".cedar", config.preset)?;
        // An agent that is only watched needs no policy yet.
        if found.is_empty() && config.agents.iter().any(|agent| agent.mode != Mode::Observe) {
            let error =
                io::Error::other("there is no `*.cedar` in this folder; without a policy every call is refused");
            return Err(StartError::File { path: config.policies.display().to_string(), error });
        }
        for source in found {
            // It was emptied, or is about to be written: whoever wants no policy there takes the file away.
            if source.text.lines().map(str::trim).all(|line| line.is_empty() || line.starts_with("//")) {
                let error = io::Error::other("there is no policy in this file");
                return Err(StartError::File { path: source.name, error });
            }
            let short = source.name.rsplit('/').next().unwrap_or_default();
            texts.insert(format!("policy:{short}"), source.text.clone());
            sources.push(source);
        }
        let mut directories = BTreeMap::new();
        for (name, path) in &config.directories {
            let text = read(path)?;
            // Who stands in it is not kept where nothing can be erased.
            texts.insert(format!("directory:{name}"), Digest::of(text.as_bytes()).to_string());
            directories
                .insert(name.clone(), text.lines().filter_map(Aimed::new).flat_map(|value| value.keys).collect());
        }
        let compiled = compile(&rules(config));
        texts.insert("rules".to_owned(), compiled.clone());
        sources.push(Source { name: "config".to_owned(), text: compiled.clone() });
        let actions = shapes(&catalogs);
        texts.insert("schema".to_owned(), schema(&actions));
        Ok(Self { sources, agents: agents(config), actions, catalogs, directories, compiled, loaded: named(texts) })
    }

    /// Out of the texts of a lineage, as they were when `loaded` was recorded.
    pub fn of_record(loaded: &Loaded, text: impl Fn(Digest) -> Option<String>) -> Result<Self, StartError> {
        let part = |name: &str| {
            let found = loaded.parts.get(name).and_then(|digest| text(*digest));
            found.ok_or_else(|| StartError::Machine(format!("the lineage does not hold the text of `{name}`")))
        };
        let config = Config::parse(&part("config")?, Path::new("/"))?;
        let mut catalogs = Vec::new();
        for tool in &config.tools {
            let name = format!("catalog:{}", tool.tool.name);
            let wrong = |error| StartError::Catalog { path: name.clone(), error };
            catalogs.push(catalog(&config, tool, &part(&name)?).map_err(wrong)?);
        }
        let policies = loaded.parts.keys().filter_map(|name| Some((name, name.strip_prefix("policy:")?)));
        let mut sources = Vec::new();
        for (name, short) in policies {
            sources.push(Source { name: short.to_owned(), text: part(name)? });
        }
        let compiled = part("rules")?;
        sources.push(Source { name: "config".to_owned(), text: compiled.clone() });
        let (agents, actions, loaded) = (agents(&config), shapes(&catalogs), loaded.clone());
        Ok(Self { sources, agents, actions, catalogs, directories: BTreeMap::new(), compiled, loaded })
    }

    /// The policies.
    pub fn policies(&self) -> Result<Policies, PolicyError> {
        Policies::load(&self.sources, &self.agents, &self.actions, self.loaded.version)
    }

    /// Those that the cases beside a file are tried with, and with agents and actions that stand in where they name none.
    pub fn policies_for(&self, cases: &Unread, beside: &str) -> Result<Policies, PolicyError> {
        let StandIns { agents, actions } = StandIns::new(cases, &self.agents, &self.actions);
        Policies::load(&cases.among(&self.sources, beside), &agents, &actions, self.loaded.version)
    }
}

/// Where a tool's catalog is, in words, and what stands there.
fn written(tool: &ToolConfig) -> Result<(String, String), StartError> {
    match &tool.catalog {
        CatalogFrom::File(path) => Ok((path.display().to_string(), read(path)?)),
        CatalogFrom::Embedded(name) => {
            let text = embedded(name).ok_or_else(|| {
                let known: Vec<String> = EMBEDDED.iter().map(|(known, _)| format!("`{known}`")).collect();
                StartError::NoCatalog {
                    tool: tool.tool.name.to_string(),
                    name: name.to_string(),
                    known: known.join(", "),
                }
            })?;
            Ok((format!("the catalog `{name}` of this program"), text.to_owned()))
        }
    }
}

/// A tool's catalog. What it does not know may still be called by an agent that is observed, where that costs no credential.
fn catalog(config: &Config, tool: &ToolConfig, text: &str) -> Result<ToolCatalog, CatalogError> {
    let catalog = ToolCatalog::parse(tool.tool.clone(), text)?;
    Ok(match config.issuers.get(&tool.tool.issuer) {
        Some(IssuerKind::None | IssuerKind::Static { .. }) => catalog.with_unclassified(),
        Some(IssuerKind::Jwt { .. }) | None => catalog,
    })
}

/// Every file of the folder whose name ends so and does not belong to another preset, in the order of their names.
pub fn files(folder: &Path, ending: &str, preset: Preset) -> Result<Vec<Source>, StartError> {
    let at = |error| StartError::File { path: folder.display().to_string(), error };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(at)? {
        let path = entry.map_err(at)?.path();
        let wanted = |name: &str| name.ends_with(ending) && !preset.leaves_out(name);
        if path.file_name().is_some_and(|name| wanted(&name.to_string_lossy())) {
            paths.push(path);
        }
    }
    paths.sort();
    paths.iter().map(|path| Ok(Source { name: path.display().to_string(), text: read(path)? })).collect()
}

fn agents(config: &Config) -> Vec<AgentShape> {
    let shape = |agent: &crate::config::Agent| AgentShape {
        name: agent.name.clone(),
        groups: agent.groups.clone(),
        tools: agent.tools.clone(),
        mode: agent.mode,
    };
    config.agents.iter().map(shape).collect()
}

fn rules(config: &Config) -> Vec<AgentRules> {
    let rules = |agent: &crate::config::Agent| {
        let bounds = [
            ("max_calls", agent.chain.max_calls),
            ("max_depth", agent.chain.max_depth),
            ("max_repeats", agent.chain.max_repeats),
            ("max_concurrent", agent.chain.max_concurrent),
            ("max_privilege_seconds", agent.chain.max_privilege_seconds),
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
