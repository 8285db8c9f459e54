//! Recorded calls, to be judged again: by what judged them then, or by something else.

use std::collections::BTreeMap;

use super::Material;
use crate::judge::{Policies, Question, Settled};
use crate::model::{AgentName, Digest, Facts, Mode};
use crate::record::{Basis, Decided, Loaded, Reader, StoreError};

/// What judged at some time or other, put together again from the texts that the lineage keeps.
pub struct History<'a> {
    reader: &'a Reader,
    loaded: Vec<Loaded>,
    known: BTreeMap<Digest, Result<Policies, String>>,
}

/// A call as it was judged.
pub struct Recalled {
    agent: AgentName,
    action: String,
    resource: String,
    /// The facts it was judged by.
    pub facts: Facts,
}

impl<'a> History<'a> {
    /// Of a lineage.
    pub fn of(reader: &'a Reader) -> Result<Self, StoreError> {
        Ok(Self { reader, loaded: reader.all_loaded()?, known: BTreeMap::new() })
    }

    /// What was loaded last.
    pub fn last(&self) -> Option<&Loaded> {
        self.loaded.last()
    }

    /// The policies of a version. The error says why they cannot be had.
    pub fn policies(&mut self, version: Digest) -> Result<&Policies, &str> {
        if !self.known.contains_key(&version) {
            let policies = self.material(version).and_then(|it| it.policies().map_err(|error| error.to_string()));
            self.known.insert(version, policies);
        }
        match self.known.get(&version) {
            Some(Ok(policies)) => Ok(policies),
            Some(Err(why)) => Err(why),
            None => Err("it was not kept"),
        }
    }

    fn material(&self, version: Digest) -> Result<Material, String> {
        let loaded = self.loaded.iter().rev().find(|loaded| loaded.version == version);
        let loaded = loaded.ok_or_else(|| format!("the lineage does not tell what `{version}` was"))?;
        let text = |digest| self.reader.text(digest).ok().flatten();
        Material::of_record(loaded, text).map_err(|error| error.to_string())
    }
}

impl Recalled {
    /// What a verdict was reached from, its arguments in the types that these policies know. The error says what does not
    /// fit.
    pub fn of(decided: &Decided, basis: &Basis, policies: &Policies) -> Result<Self, String> {
        let action = decided.action.clone().unwrap_or_default();
        let mut facts = basis.facts.clone();
        // An action that is not there any more is permitted by no rule, whatever its arguments.
        if policies.action(&action).is_some() {
            facts.args = policies.arguments(&action, &basis.args)?;
        }
        let agent = AgentName(decided.agent.as_deref().unwrap_or_default().into());
        Ok(Self { agent, action, resource: basis.resource.clone(), facts })
    }

    /// The question it asks.
    pub fn question(&self) -> Question<'_> {
        Question { agent: &self.agent, action: &self.action, resource: &self.resource }
    }

    /// Judges it: in its agent's mode, or in another.
    pub fn judge(&self, policies: &Policies, mode: Option<Mode>) -> Settled {
        let mut facts = self.facts.clone();
        policies.keep_agreed(&mut facts);
        let mode = mode.unwrap_or_else(|| policies.mode(&self.agent));
        policies.settle(&self.question(), &facts, mode).as_asked(&facts)
    }
}
