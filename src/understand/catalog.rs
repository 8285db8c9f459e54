//! The catalog of a tool: which method and path is which action, on what, with which facts.

mod file;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use http::Method;
use serde::Deserialize;
use serde_json::Value;

use self::file::{ActionFile, FactFile, File, TypedFactFile, YieldFile};
use super::Error;
use super::sinks::Sink;
use super::target::{self, Target};
use super::values::{Place, Readable, Template, Values, argument, check, fill};
use crate::model::{AgentName, Argument, BodyRule, Critical, Effect, Field, Label, NotAPointer, Pointer, Tool};

/// Every tool's catalog, and which agent may call which tool.
#[derive(Debug)]
pub struct Catalog {
    tools: BTreeMap<Arc<str>, ToolCatalog>,
    allowed: BTreeMap<AgentName, BTreeSet<Arc<str>>>,
    observed: BTreeSet<AgentName>,
}

/// The action that a call of an observed agent is which no catalog knows.
const UNCLASSIFIED: &str = "unclassified";

impl Catalog {
    /// From each tool's own catalog, and each agent's list of tools.
    pub fn new(tools: Vec<ToolCatalog>, allowed: BTreeMap<AgentName, BTreeSet<Arc<str>>>) -> Self {
        let tools = tools.into_iter().map(|tool| (tool.tool.name.clone(), tool)).collect();
        Self { tools, allowed, observed: BTreeSet::new() }
    }

    /// What these agents do is recorded even where no action is known for it.
    pub fn observing(mut self, agents: BTreeSet<AgentName>) -> Self {
        self.observed = agents;
        self
    }

    /// The action that an agent's call is: one of the tool's, or else, of an agent that is observed, none in particular.
    ///
    /// `readable`: whether values can be read from its body. Where an action wants some and they cannot be, a call of an
    /// agent that is observed is none in particular, too: it would be refused for that alone.
    pub fn action<'a>(
        &'a self,
        agent: &AgentName,
        tool: &'a ToolCatalog,
        call: (&Method, &str),
        readable: bool,
    ) -> Option<Matched<'a>> {
        let (method, path) = call;
        let unclassified = || self.observed.contains(agent).then(|| tool.unclassified(method, path)).flatten();
        match tool.find(method, path) {
            Some(found) if readable || !found.spec.reads_body => Some(found),
            Some(found) => unclassified().or(Some(found)),
            None => unclassified(),
        }
    }

    /// Whether there is an action of this name for an agent's calls.
    pub fn knows(&self, agent: &AgentName, tool: &ToolCatalog, action: &str) -> bool {
        let unclassified =
            || self.observed.contains(agent) && tool.unclassified.iter().any(|spec| *spec.name == *action);
        tool.actions.iter().any(|spec| *spec.name == *action) || unclassified()
    }

    /// The tool of this name, if the agent may call it.
    pub fn tool(&self, agent: &AgentName, name: &str) -> Option<&ToolCatalog> {
        self.allowed.get(agent)?.get(name).and_then(|name| self.tools.get(name))
    }

    /// Every tool there is.
    pub fn tools(&self) -> impl Iterator<Item = &ToolCatalog> {
        self.tools.values()
    }

    /// The tools of an agent, by name.
    pub fn tools_of(&self, agent: &AgentName) -> impl Iterator<Item = &ToolCatalog> {
        self.allowed.get(agent).into_iter().flatten().filter_map(|name| self.tools.get(name))
    }
}

/// One tool and its actions.
#[derive(Debug)]
pub struct ToolCatalog {
    /// Where it is.
    pub tool: Arc<Tool>,
    /// What it can do, in the order of their names.
    pub actions: Vec<Arc<ActionSpec>>,
    unclassified: Vec<Arc<ActionSpec>>,
    routes: BTreeMap<String, matchit::Router<usize>>,
}

impl ToolCatalog {
    /// Reads a catalog file (TOML). The error names the action and what is wrong with it.
    pub fn parse(tool: Arc<Tool>, text: &str) -> Result<Self, CatalogError> {
        let file: File = toml::from_str(text).map_err(|error| CatalogError::Syntax(error.to_string()))?;
        let mut actions = Vec::new();
        let mut routes: BTreeMap<String, matchit::Router<usize>> = BTreeMap::new();
        for (name, action) in file.actions {
            let wrong = |why: String| CatalogError::Action { action: name.clone(), why };
            if name == UNCLASSIFIED {
                return Err(wrong("what no catalog knows is called so; take another name".to_owned()));
            }
            for (method, path) in action.matches.pairs().map_err(wrong)? {
                if !super::METHODS.iter().any(|known| known == method) {
                    return Err(wrong(format!("`{method}` is no method that tools are called with")));
                }
                check_template(path).map_err(wrong)?;
                let router = routes.entry(method.to_owned()).or_default();
                router
                    .insert(path, actions.len())
                    .map_err(|error| wrong(format!("`match` cannot be told from another action's: {error}")))?;
            }
            actions.push(Arc::new(ActionSpec::new(&tool.name, &name, action).map_err(wrong)?));
        }
        Ok(Self { tool, actions, unclassified: Vec::new(), routes })
    }

    /// Calls that are none of these actions can be made with what this tool's issuer lends, which is the same for all.
    pub fn with_unclassified(mut self) -> Self {
        let spec = |effect| Arc::new(ActionSpec::unclassified(&self.tool.name, effect));
        self.unclassified = [Effect::Read, Effect::Write, Effect::Delete].map(spec).into();
        self
    }

    fn unclassified(&self, method: &Method, path: &str) -> Option<Matched<'_>> {
        let effect = match *method {
            Method::GET | Method::HEAD | Method::OPTIONS => Effect::Read,
            Method::DELETE => Effect::Delete,
            _ => Effect::Write,
        };
        let spec = self.unclassified.iter().find(|spec| spec.effect == effect)?;
        // As it stands: decoded, two paths could look like one.
        Some(Matched { spec, path: BTreeMap::from([(PATH.to_owned(), path.trim_start_matches('/').to_owned())]) })
    }

    /// The action that a method and path are.
    pub fn find(&self, method: &Method, path: &str) -> Option<Matched<'_>> {
        let found = self.routes.get(method.as_str())?.at(path).ok()?;
        let spec = self.actions.get(*found.value)?;
        let path = found.params.iter().map(|(name, raw)| (name.to_owned(), target::decode(raw))).collect();
        Some(Matched { spec, path })
    }
}

/// An action, and the values its path holds.
#[derive(Debug)]
pub struct Matched<'a> {
    /// The action.
    pub spec: &'a Arc<ActionSpec>,
    /// The path's parameters, decoded.
    pub path: BTreeMap<String, String>,
}

/// One action of a catalog.
#[derive(Debug)]
pub struct ActionSpec {
    /// Its full name: `github/issues.create`.
    pub name: Arc<str>,
    /// What it does.
    pub effect: Effect,
    /// The types of the argument values it shows to policies.
    pub facts: BTreeMap<Arc<str>, FactType>,
    /// Labels that its answer puts on the task.
    pub yields: Arc<[Label]>,
    /// What is where in its answer.
    pub fields: Arc<[Field]>,
    /// How it takes what comes behind the head.
    pub body: BodyRule,
    /// Strings of a JSON answer that are turned to the door where they lead to the tool.
    pub rewrite: Arc<[Pointer]>,
    /// Whether values of its body are read.
    reads_body: bool,
    places: BTreeMap<Arc<str>, Place>,
    sinks: Vec<Sink>,
    resource: Template,
    scope: BTreeMap<String, Value>,
}

/// What an unclassified call acts on is named by its whole path.
const PATH: &str = "path";

/// The type of an argument value, as policies see it.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum FactType {
    /// Text.
    #[default]
    String,
    /// A whole number of 64 bits.
    Long,
    /// A number with up to four digits behind the point.
    Decimal,
    /// True or false.
    Bool,
}

impl ActionSpec {
    fn new(tool: &str, name: &str, file: ActionFile) -> Result<Self, String> {
        let mut facts = BTreeMap::new();
        let mut places = BTreeMap::new();
        let calls = file.matches.pairs()?;
        if file.body == BodyRule::Websocket && calls.iter().any(|(method, _)| *method != "GET") {
            return Err("a WebSocket is opened with GET (RFC 6455 §4.1)".to_owned());
        }
        let readable = Readable { parameters: parameters(&calls), body: file.body == BodyRule::Whole };
        for (fact, source) in file.facts {
            let (at, kind) = match source {
                FactFile::At(at) => (at, FactType::default()),
                FactFile::Typed(TypedFactFile { at, kind }) => (at, kind),
            };
            let fact: Arc<str> = fact.into();
            let place = Place::parse(&at)?;
            place.check(&readable)?;
            places.insert(fact.clone(), place);
            facts.insert(fact, kind);
        }
        let resource = Template::parse(&file.resource)?;
        resource.check(&readable)?;
        file.scope.values().try_for_each(|value| check(value, &readable))?;
        let sinks: Vec<Sink> =
            file.sinks.into_iter().map(|sink| Sink::new(sink, &readable)).collect::<Result<_, _>>()?;
        let bodiless = Readable { body: false, ..readable };
        let reads_body = places.values().any(|place| place.check(&bodiless).is_err())
            || sinks.iter().any(Sink::reads_body)
            || resource.check(&bodiless).is_err()
            || file.scope.values().any(|value| check(value, &bodiless).is_err());
        let fields: Vec<Field> = file.yields.into_iter().map(YieldFile::field).collect::<Result<_, _>>()?;
        let mut labels: Vec<Label> = fields.iter().map(|field| field.label).collect();
        labels.sort_unstable();
        labels.dedup();
        let rewrite = file.rewrite.iter().map(|at| at.parse().map_err(|why: NotAPointer| format!("`rewrite`: {why}")));
        Ok(Self {
            rewrite: rewrite.collect::<Result<_, _>>()?,
            name: format!("{tool}/{name}").into(),
            effect: file.effect,
            facts,
            yields: labels.into(),
            fields: fields.into(),
            body: file.body,
            reads_body,
            places,
            sinks,
            resource,
            scope: file.scope,
        })
    }

    /// What nobody has described. What it brings is a stranger's, as far as anybody knows.
    fn unclassified(tool: &str, effect: Effect) -> Self {
        Self {
            name: format!("{tool}/{UNCLASSIFIED}").into(),
            effect,
            facts: BTreeMap::new(),
            yields: Arc::new([Label::Untrusted]),
            fields: Arc::new([Field { at: Pointer::whole(), label: Label::Untrusted }]),
            body: BodyRule::Whole,
            rewrite: Arc::new([]),
            reads_body: false,
            places: BTreeMap::new(),
            sinks: Vec::new(),
            resource: Template::of_parameter(PATH),
            scope: BTreeMap::new(),
        }
    }

    /// What this call acts on.
    pub fn resource(&self, values: &Values<'_>) -> Result<String, Error> {
        self.resource.fill(values)
    }

    /// The argument values of this call that policies see. One that is not there is left out.
    pub fn arguments(&self, values: &Values<'_>) -> Result<BTreeMap<Arc<str>, Argument>, Error> {
        let mut arguments = BTreeMap::new();
        for (name, place) in &self.places {
            let kind = self.facts.get(name).copied().unwrap_or_default();
            if let Some(value) = place.read(values)? {
                let value =
                    argument(kind, &value).ok_or_else(|| Error::Unclear(format!("`{name}` is no {}", kind.name())))?;
                arguments.insert(name.clone(), value);
            }
        }
        Ok(arguments)
    }

    /// What stands in its sinks.
    pub fn critical(&self, values: &Values<'_>) -> Result<Vec<Critical>, Error> {
        self.sinks.iter().filter_map(|sink| sink.critical(values).transpose()).collect()
    }

    /// What the issuer is to narrow the credential to: the catalog's `scope` with this call's values filled in.
    pub fn details(&self, values: &Values<'_>) -> Result<BTreeMap<String, Value>, Error> {
        self.scope.iter().map(|(key, value)| Ok((key.clone(), fill(value, values)?))).collect()
    }
}

impl FactType {
    /// In words.
    pub const fn name(self) -> &'static str {
        match self {
            Self::String => "string, nor a JSON number in its shortest form",
            Self::Long => "whole number of 64 bits, or of 53 where it is a JSON number",
            Self::Decimal => {
                "number with at most four digits behind the point, or 15 digits in all where it is a JSON number"
            }
            Self::Bool => "true or false",
        }
    }
}

/// Why a catalog cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// It is no TOML of this shape.
    #[error("{0}")]
    Syntax(String),
    /// One of its actions makes no sense.
    #[error("action `{action}`: {why}")]
    Action {
        /// Its name.
        action: String,
        /// What is wrong with it.
        why: String,
    },
}

/// The parameters that every one of these paths has.
fn parameters<'a>(calls: &[(&str, &'a str)]) -> Vec<&'a str> {
    let of = |path: &'a str| {
        let inner = path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'));
        inner.map(|name| name.trim_start_matches('*')).collect::<Vec<&str>>()
    };
    let mut all = calls.iter().map(|(_, path)| of(path));
    let first = all.next().unwrap_or_default();
    all.fold(first, |kept, other| kept.into_iter().filter(|name| other.contains(name)).collect())
}

/// A path with parameters must itself be in the one form a target may have.
fn check_template(path: &str) -> Result<(), String> {
    let plain: Vec<&str> =
        path.split('/').map(|segment| if segment.starts_with('{') { "x" } else { segment }).collect();
    Target::parse(&plain.join("/")).map(|_| ()).map_err(|why| format!("`match` can match nothing: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(lines: &str) -> String {
        let tool = Tool {
            name: "t".into(),
            scheme: http::uri::Scheme::HTTPS,
            authority: http::uri::Authority::from_static("t.example"),
            base_path: String::new(),
            networks: Vec::new(),
            issuer: "i".into(),
            max_call: std::time::Duration::from_secs(1),
            max_body: 1,
            request_headers: Vec::new(),
            answer_headers: Vec::new(),
        };
        let text = format!("[actions.a]\nmatch = \"GET /x/{{id}}\"\neffect = \"read\"\n{lines}");
        ToolCatalog::parse(Arc::new(tool), &text).err().map_or_else(String::new, |error| error.to_string())
    }

    #[test]
    fn what_could_never_be_read_is_refused_at_load() {
        assert_eq!(problem("resource = \"{id}\"\nfacts = { f = \"path:id\" }\nscope = { r = [\"{id}\"] }"), "");
        for lines in [
            "resource = \"{nope}\"",
            "resource = \"{id}\"\nfacts = { f = \"path:nope\" }",
            "resource = \"{id}\"\nscope = { r = \"{nope}\" }",
        ] {
            assert!(problem(lines).contains("`match` has no `{nope}`"), "{lines}: {}", problem(lines));
        }
        assert!(problem("resource = \"{id}\"\nscope = { r = \"{\" }").contains("does not close it"));
        assert_eq!(
            problem("resource = \"{id}\"\nrewrite = [\"/url\", \"url\"]"),
            "action `a`: `rewrite`: `url` is no JSON pointer such as `/url` or `/items/*/url`: it begins with `/`"
        );
        assert_ne!(problem("resource = \"{id}\"\nfacts = { f = { at = \"path:id\", tpye = \"long\" } }"), "");
    }
}
