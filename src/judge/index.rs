//! The rules that can hold for an agent and an action, found at load; and the verdicts already reached under them.
//!
//! Agents and actions are closed sets. For each pair, the rules whose scope could hold are kept, and which facts these
//! rules can see is noted. Judgement is pure, so a verdict is remembered under exactly those facts.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::str::FromStr;
use std::sync::Arc;

use cedar_policy::{
    ActionConstraint, Entities, Entity, EntityId, EntityTypeName, EntityUid, PrincipalConstraint, Request,
    ResourceConstraint, Schema,
};
use quick_cache::sync::Cache;

use super::policy::{self, PolicyError, Rule, Source};
use super::schema::{self, AMEND, ActionShape};
use super::subset::{Outcome, Subset};
use super::view::View;
use super::weigh::Weighed;
use super::{by_default, by_quarantine};
use crate::model::{AgentName, Ask, Call, Code, Digest, Effect, Facts, Finding, Mode};

/// Verdicts remembered at a time.
const REMEMBERED: usize = 16_384;

/// A key longer than this is not worth remembering: it holds an argument that hardly comes twice.
const LONGEST_KEY: usize = 2_048;

/// An agent as the index needs it.
#[derive(Clone, Debug)]
pub struct AgentShape {
    /// Its name.
    pub name: AgentName,
    /// The groups it is in.
    pub groups: Vec<String>,
    /// The tools it may call.
    pub tools: BTreeSet<Arc<str>>,
    /// How its verdicts are acted on.
    pub mode: Mode,
}

/// What is asked: may this agent take this action on this resource?
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Who asks.
    pub agent: &'a AgentName,
    /// The action's full name.
    pub action: &'a str,
    /// The resource, under its tool: `github/octo/hello`.
    pub resource: &'a str,
}

impl<'a> Question<'a> {
    /// What a call asks.
    pub fn of(call: &'a Call) -> Self {
        Self { agent: &call.caller.agent, action: &call.action.name, resource: &call.action.resource }
    }
}

/// Everything that judges, in one version.
pub struct Policies {
    version: Digest,
    schema_text: String,
    agents: HashMap<AgentName, Known>,
    groups: BTreeSet<String>,
    actions: BTreeMap<Arc<str>, ActionShape>,
    rules: Vec<Rule>,
    asking: BTreeMap<String, Ask>,
    remembered: Cache<(usize, Box<[u8]>), Arc<Outcome>>,
    kinds: Kinds,
}

/// An agent, and what it may ask for.
struct Known {
    mode: Mode,
    entries: HashMap<Arc<str>, Entry>,
    /// For asking that a grant have a line more, by the tool of that line.
    amendments: HashMap<Arc<str>, Entry>,
}

impl Known {
    fn entry(&self, question: &Question<'_>) -> Option<&Entry> {
        if question.action != AMEND {
            return self.entries.get(question.action);
        }
        self.amendments.get(question.resource.split('/').next()?)
    }
}

/// One pair of an agent and an action.
struct Entry {
    number: usize,
    principal: EntityUid,
    action: EntityUid,
    tool: EntityUid,
    fixed: Entities,
    rules: Arc<Subset>,
}

struct Kinds {
    agent: EntityTypeName,
    group: EntityTypeName,
    action: EntityTypeName,
    tool: EntityTypeName,
    resource: EntityTypeName,
}

impl std::fmt::Debug for Policies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Policies({})", self.version)
    }
}

impl Policies {
    /// Loads the policies for these agents and actions. `version` names all that was loaded.
    pub fn load(
        sources: &[Source],
        agents: &[AgentShape],
        actions: &[ActionShape],
        version: Digest,
    ) -> Result<Self, PolicyError> {
        let schema_text = schema::schema(actions);
        let wrong = |error: &dyn std::fmt::Display| PolicyError::of_schema(&schema_text, error);
        let schema = Schema::from_str(&schema_text).map_err(|error| wrong(&error))?;
        let action_entities = schema.action_entities().map_err(|error| wrong(&error))?;
        let kinds = Kinds::new().map_err(|error| wrong(&error))?;
        let rules = policy::read(sources, &schema)?;
        let mut subsets: HashMap<Vec<usize>, Arc<Subset>> = HashMap::new();
        let mut known: HashMap<AgentName, Known> = HashMap::new();
        let mut number = 0;
        for agent in agents {
            let (mut entries, mut amendments) = (HashMap::new(), HashMap::new());
            let own = actions.iter().filter(|action| agent.tools.contains(&action.tool)).cloned();
            for action in own.chain(agent.tools.iter().map(amendment)) {
                let pair = Pair { kinds: &kinds, agent, action: &action };
                let holding: Vec<usize> = rules
                    .iter()
                    .enumerate()
                    .filter(|(_, rule)| pair.could_hold(rule))
                    .map(|(index, _)| index)
                    .collect();
                let subset = match subsets.get(&holding) {
                    Some(subset) => subset.clone(),
                    None => {
                        let subset = Arc::new(
                            Subset::new(holding.iter().filter_map(|index| rules.get(*index)))
                                .map_err(|error| wrong(&error))?,
                        );
                        subsets.insert(holding, subset.clone());
                        subset
                    }
                };
                let entry = pair.entry(number, subset, &action_entities).map_err(|error| wrong(&error))?;
                if pair.amends() {
                    amendments.insert(action.tool.clone(), entry);
                } else {
                    entries.insert(action.name.clone(), entry);
                }
                number += 1;
            }
            known.insert(agent.name.clone(), Known { mode: agent.mode, entries, amendments });
        }
        let asking = rules.iter().filter_map(|rule| Some((rule.id.clone(), rule.ask.clone()?))).collect();
        let actions = actions.iter().map(|action| (action.name.clone(), action.clone())).collect();
        let groups = agents.iter().flat_map(|agent| agent.groups.iter().cloned()).collect();
        let remembered = Cache::new(REMEMBERED);
        Ok(Self { version, schema_text, agents: known, groups, actions, rules, asking, remembered, kinds })
    }

    /// Every rule, in the order of the files.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// An action by its full name.
    pub fn action(&self, name: &str) -> Option<&ActionShape> {
        self.actions.get(name)
    }

    /// The names of all actions.
    pub fn action_names(&self) -> impl Iterator<Item = &str> {
        self.actions.keys().map(AsRef::as_ref)
    }

    /// The names of all agents, in order.
    pub fn agent_names(&self) -> BTreeSet<&AgentName> {
        self.agents.keys().collect()
    }

    /// The groups that agents are in, in order.
    pub fn group_names(&self) -> impl Iterator<Item = &str> {
        self.groups.iter().map(String::as_str)
    }

    /// The actions an agent may ask for, in order.
    pub fn actions_of(&self, agent: &AgentName) -> BTreeSet<&str> {
        self.agents.get(agent).into_iter().flat_map(|known| known.entries.keys().map(AsRef::as_ref)).collect()
    }

    /// Names all that was loaded.
    pub fn version(&self) -> Digest {
        self.version
    }

    /// The schema that the policies were checked against, in Cedar's own syntax.
    pub fn schema(&self) -> &str {
        &self.schema_text
    }

    /// What a rule asks now, if there is such a rule and it asks.
    pub fn asks(&self, rule: &str) -> Option<&Ask> {
        self.asking.get(rule)
    }

    /// Whom the rules ask, each once.
    pub fn asked(&self) -> BTreeSet<&str> {
        self.asking.values().map(|ask| ask.who.as_str()).collect()
    }

    /// How an agent's verdicts are acted on.
    pub fn mode(&self, agent: &AgentName) -> Mode {
        self.agents.get(agent).map_or(Mode::Enforce, |known| known.mode)
    }

    /// Decides by the rules that can hold, or remembers having decided the same.
    pub fn decide(&self, question: &Question<'_>, facts: &Facts) -> Arc<Outcome> {
        let Some(entry) = self.agents.get(question.agent).and_then(|known| known.entry(question)) else {
            let stopped = facts.agent.quarantined.then(by_quarantine);
            return Arc::new(Outcome::no(vec![stopped.unwrap_or_else(by_default)]));
        };
        let view = View::new(&entry.rules.mentions, question, facts);
        let key = view.key();
        if key.len() > LONGEST_KEY {
            return Arc::new(self.evaluate(entry, question, &view, facts));
        }
        let key = (entry.number, key);
        if let Some(outcome) = self.remembered.get(&key) {
            return outcome;
        }
        let outcome = Arc::new(self.evaluate(entry, question, &view, facts));
        self.remembered.insert(key, outcome.clone());
        outcome
    }

    /// The rules that could hold for a question, each weighed by itself with what it reads.
    pub fn weigh(&self, question: &Question<'_>, facts: &Facts) -> Result<Vec<Weighed<'_>>, String> {
        let Some(entry) = self.agents.get(question.agent).and_then(|known| known.entries.get(question.action)) else {
            return Ok(Vec::new());
        };
        let (request, entities) = self.prepare(entry, question, &View::new(&entry.rules.mentions, question, facts))?;
        let could_hold = self.rules.iter().filter(|rule| entry.rules.has(&rule.id));
        could_hold.map(|rule| Weighed::of(rule, question, facts, (&request, &entities))).collect()
    }

    fn prepare(&self, entry: &Entry, question: &Question<'_>, view: &View) -> Result<(Request, Entities), String> {
        let resource = EntityUid::from_type_name_and_id(self.kinds.resource.clone(), EntityId::new(question.resource));
        let entity = Entity::new_no_attrs(resource.clone(), HashSet::from([entry.tool.clone()]));
        let entities = entry.fixed.clone().add_entities([entity], None).map_err(|error| error.to_string())?;
        let request = Request::new(entry.principal.clone(), entry.action.clone(), resource, view.context()?, None)
            .map_err(|error| error.to_string())?;
        Ok((request, entities))
    }

    fn evaluate(&self, entry: &Entry, question: &Question<'_>, view: &View, facts: &Facts) -> Outcome {
        match self.prepare(entry, question, view) {
            Ok((request, entities)) => entry.rules.outcome(&request, &entities, &facts.approval),
            Err(why) => Outcome::no(vec![Finding::new("error", Code::Denied, Some(&why))]),
        }
    }
}

/// Asking that a grant have a line more, for one tool: an action of no effect.
fn amendment(tool: &Arc<str>) -> ActionShape {
    ActionShape { name: AMEND.into(), tool: tool.clone(), effect: Effect::Read, args: BTreeMap::new() }
}

struct Pair<'a> {
    kinds: &'a Kinds,
    agent: &'a AgentShape,
    action: &'a ActionShape,
}

impl Pair<'_> {
    /// Whether the rule's scope can hold for this pair, whatever the resource is below the tool. Every constraint is
    /// matched by name: a new kind breaks the build rather than dropping a rule.
    fn could_hold(&self, rule: &Rule) -> bool {
        let Kinds { agent, resource, .. } = self.kinds;
        let policy = &rule.policy;
        let principals: Vec<EntityUid> = std::iter::once(self.principal()).chain(self.groups()).collect();
        let principal = match policy.principal_constraint() {
            PrincipalConstraint::Any => true,
            PrincipalConstraint::Eq(uid) => uid == self.principal(),
            PrincipalConstraint::In(uid) => principals.contains(&uid),
            PrincipalConstraint::Is(kind) => kind == *agent,
            PrincipalConstraint::IsIn(kind, uid) => kind == *agent && principals.contains(&uid),
        };
        let actions = self.actions();
        let action = match policy.action_constraint() {
            // Who permits everything has not thought of grants that grow.
            ActionConstraint::Any => !(self.amends() && rule.permits()),
            ActionConstraint::Eq(uid) => actions.first() == Some(&uid),
            ActionConstraint::In(uids) => uids.iter().any(|uid| actions.contains(uid)),
        };
        let below = |uid: &EntityUid| *uid == self.tool() || self.is_below_tool(uid);
        let resource = match policy.resource_constraint() {
            ResourceConstraint::Any => true,
            ResourceConstraint::Eq(uid) => self.is_below_tool(&uid),
            ResourceConstraint::In(uid) => below(&uid),
            ResourceConstraint::Is(kind) => kind == *resource,
            ResourceConstraint::IsIn(kind, uid) => kind == *resource && below(&uid),
        };
        principal && action && resource
    }

    fn is_below_tool(&self, uid: &EntityUid) -> bool {
        let id = uid.id().unescaped();
        *uid.type_name() == self.kinds.resource
            && id.strip_prefix(&*self.action.tool).is_some_and(|rest| rest.starts_with('/'))
    }

    fn principal(&self) -> EntityUid {
        EntityUid::from_type_name_and_id(self.kinds.agent.clone(), EntityId::new(self.agent.name.as_str()))
    }

    fn groups(&self) -> impl Iterator<Item = EntityUid> {
        self.agent
            .groups
            .iter()
            .map(|group| EntityUid::from_type_name_and_id(self.kinds.group.clone(), EntityId::new(group)))
    }

    fn tool(&self) -> EntityUid {
        EntityUid::from_type_name_and_id(self.kinds.tool.clone(), EntityId::new(&*self.action.tool))
    }

    fn amends(&self) -> bool {
        *self.action.name == *AMEND
    }

    /// The action, its tool's and its effect's, if it is in groups.
    fn actions(&self) -> Vec<EntityUid> {
        let mut names = vec![self.action.name.to_string()];
        if !self.amends() {
            names.push(format!("tool:{}", self.action.tool));
            names.push(format!("effect:{}", self.action.effect.name()));
        }
        let uid = |name| EntityUid::from_type_name_and_id(self.kinds.action.clone(), EntityId::new(name));
        names.into_iter().map(uid).collect()
    }

    fn entry(&self, number: usize, rules: Arc<Subset>, action_entities: &Entities) -> Result<Entry, String> {
        let action = EntityUid::from_type_name_and_id(self.kinds.action.clone(), EntityId::new(&*self.action.name));
        let principal = Entity::new_no_attrs(self.principal(), self.groups().collect());
        let groups = self.groups().map(|group| Entity::new_no_attrs(group, HashSet::new()));
        let tool = Entity::new_no_attrs(self.tool(), HashSet::new());
        let own = self.actions().into_iter().filter_map(|uid| action_entities.get(&uid).cloned());
        let all = std::iter::once(principal).chain(groups).chain([tool]).chain(own);
        let fixed = Entities::from_entities(all, None).map_err(|error| error.to_string())?;
        Ok(Entry { number, principal: self.principal(), action, tool: self.tool(), fixed, rules })
    }
}

impl Kinds {
    fn new() -> Result<Self, String> {
        let kind = |name| EntityTypeName::from_str(name).map_err(|error| error.to_string());
        Ok(Self {
            agent: kind("Agent")?,
            group: kind("Group")?,
            action: kind("Action")?,
            tool: kind("Tool")?,
            resource: kind("Resource")?,
        })
    }
}
