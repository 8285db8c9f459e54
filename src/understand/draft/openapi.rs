//! A draft from an OpenAPI specification: 3.0, 3.1, or Swagger 2.0, in JSON or YAML.

use std::collections::{BTreeMap, BTreeSet};

use http::Method;
use serde_json::Value;

use super::answer::Strings;
use super::argument::{Argument, arguments, astray};
use super::schema::Spec;
use super::{Calls, Draft, Drafted, Fact, Sink, Yield, guess, name};
use crate::model::{Effect, Label, SinkKind};
use crate::understand::METHODS;
use crate::understand::target::Target;

/// Fields of an answer that are named in a draft; the label holds for the whole answer in any case.
const YIELDS: usize = 3;

/// Values that a draft shows to policies, at most.
const FACTS: usize = 12;

/// Why a text is no specification.
#[derive(Debug, thiserror::Error)]
pub enum NotASpec {
    /// It is no JSON.
    #[error("this is no JSON: {0}")]
    Json(String),
    /// It is no YAML.
    #[error("this is neither JSON nor YAML: {0}")]
    Yaml(String),
    /// It says nothing of calls.
    #[error("this is no OpenAPI specification: it has no `openapi` or `swagger`, or no `paths`")]
    Other,
}

/// Drafts an action for each operation that a catalog can tell apart.
pub fn from_openapi(text: &str) -> Result<Draft, NotASpec> {
    let root = read(text)?;
    let versioned = root.get("openapi").or_else(|| root.get("swagger")).is_some();
    let paths = root.get("paths").and_then(Value::as_object).filter(|_| versioned).ok_or(NotASpec::Other)?;
    let spec = Spec(&root);
    let mut draft = Draft { upstream: upstream(&root), ..Draft::default() };
    let mut found = Vec::new();
    for (path, item) in paths {
        if let Some(reference) = spec.astray(item) {
            draft.left_out.push(format!("what {path} does: `{reference}` leads nowhere in this file"));
        }
        // What stands beside a reference is meant as well.
        let items = [item, spec.resolve(item)];
        for method in METHODS.iter().map(Method::as_str) {
            let Some(body) = items.iter().find_map(|item| item.get(method.to_ascii_lowercase())) else { continue };
            let operation = Operation { spec, method, path, items, body };
            match matched(&operation) {
                Ok(route) => found.push((operation, route)),
                Err(why) => draft.left_out.push(format!("{method} {path}: {why}")),
            }
        }
        let unknown = items.iter().filter_map(|item| item.as_object()).flatten().map(|(key, _)| key);
        for method in unknown.filter(|key| !is_known(key)).collect::<BTreeSet<_>>() {
            let method = method.to_ascii_uppercase();
            draft.left_out.push(format!("{method} {path}: that is no method that tools are called with"));
        }
    }
    add_all(&mut draft, found);
    Ok(draft)
}

/// Whether a draft makes something of this key of a path, or nothing is called by it.
fn is_known(key: &str) -> bool {
    let method = METHODS.iter().any(|method| method.as_str().eq_ignore_ascii_case(key) && key != method.as_str());
    method || key.starts_with("x-") || ["$ref", "summary", "description", "servers", "parameters"].contains(&key)
}

/// What takes whole rests of paths comes last: where it stands in another's way, it takes one segment.
fn add_all(draft: &mut Draft, mut found: Vec<(Operation<'_>, String)>) {
    let mut routes: BTreeMap<&str, matchit::Router<()>> = BTreeMap::new();
    found.sort_by_key(|(_, route)| route.contains("{*"));
    for (operation, route) in found {
        let router = routes.entry(operation.method).or_default();
        let narrow = route.replace("{*", "{");
        match [route, narrow].into_iter().find(|route| router.insert(route.as_str(), ()).is_ok()) {
            Some(route) => {
                let called = format!("{} {}", operation.method, operation.path);
                let unread = |reference| format!("arguments of {called}: `{reference}` leads nowhere in this file");
                draft.left_out.extend(astray(&operation).into_iter().map(unread));
                draft.add(&operation.name(), operation.drafted(route));
            }
            None => draft
                .left_out
                .push(format!("{} {}: its path cannot be told from another's", operation.method, operation.path)),
        }
    }
}

fn read(text: &str) -> Result<Value, NotASpec> {
    if text.trim_start().starts_with('{') {
        return serde_json::from_str(text).map_err(|error| NotASpec::Json(error.to_string()));
    }
    serde_saphyr::from_str(text).map_err(|error| NotASpec::Yaml(error.to_string()))
}

/// Where the tool is: the first server that has a whole address, with the values its variables have by default.
fn upstream(root: &Value) -> Option<String> {
    let servers = root.get("servers").and_then(Value::as_array).into_iter().flatten();
    let named = servers.filter_map(|server| {
        let mut url = server.get("url")?.as_str()?.to_owned();
        let variables = server.get("variables").and_then(Value::as_object);
        for (name, variable) in variables.into_iter().flatten() {
            url = url.replace(&format!("{{{name}}}"), variable.get("default")?.as_str()?);
        }
        Some(url)
    });
    let text = |key: &str| root.get(key).and_then(Value::as_str);
    let plain = || Some(format!("https://{}{}", text("host")?, text("basePath").unwrap_or_default()));
    let url = named.chain(plain()).find(|url| url.starts_with("https://") || url.starts_with("http://"))?;
    Some(url.trim_end_matches('/').to_owned())
}

/// The path as catalogs write it, or why they cannot.
fn matched(operation: &Operation<'_>) -> Result<String, String> {
    let last = operation.path.split('/').count() - 1;
    let mut route = Vec::new();
    for (place, segment) in operation.path.split('/').enumerate() {
        let Some(inner) = segment.strip_prefix('{').and_then(|inner| inner.strip_suffix('}')) else {
            if segment.contains(['{', '}']) {
                return Err(format!("`{segment}` is a part of a segment, and catalogs match whole ones"));
            }
            route.push(segment.to_owned());
            continue;
        };
        let parameter = parameter(inner);
        if parameter.is_empty() || inner.contains(['{', '}']) {
            return Err(format!("`{segment}` names no parameter"));
        }
        let many = inner.starts_with('+') || operation.spans_segments(inner);
        route.push(if many && place == last { format!("{{*{parameter}}}") } else { format!("{{{parameter}}}") });
    }
    let route = route.join("/");
    let plain: Vec<&str> =
        route.split('/').map(|segment| if segment.starts_with('{') { "x" } else { segment }).collect();
    if route.contains(['?', '#']) {
        return Err("a catalog's `match` has no query".to_owned());
    }
    Target::parse(&plain.join("/")).map(|_| route)
}

/// A parameter's name as a catalog can write it.
pub(super) fn parameter(name: &str) -> String {
    let usual = |letter: char| if letter.is_ascii_alphanumeric() || letter == '-' { letter } else { '_' };
    name.trim_start_matches('+').chars().map(usual).collect()
}

/// One operation of a specification.
pub(super) struct Operation<'a> {
    /// Where its references lead.
    pub(super) spec: Spec<'a>,
    method: &'a str,
    /// The path as it is written there.
    pub(super) path: &'a str,
    items: [&'a Value; 2],
    /// What is said of it.
    pub(super) body: &'a Value,
}

impl<'a> Operation<'a> {
    /// Its parameters; one of its own stands for one of its path's with the same name.
    pub(super) fn parameters(&self) -> Vec<&'a Value> {
        let of = |value: &'a Value| value.get("parameters").and_then(Value::as_array).into_iter().flatten();
        let all: Vec<&Value> =
            of(self.body).chain(self.items.into_iter().flat_map(of)).map(|one| self.spec.resolve(one)).collect();
        let mut seen = Vec::new();
        all.into_iter()
            .filter(|one| {
                let is = (one.get("in"), one.get("name"));
                // What has no name refers to another file; each does for itself.
                let new = is.1.is_none() || !seen.contains(&is);
                seen.push(is);
                new
            })
            .collect()
    }

    /// Whether a parameter of the path may hold slashes: its specification says so (`x-multi-segment`, as GitHub's does).
    fn spans_segments(&self, name: &str) -> bool {
        let parameters = self.parameters();
        let mut named = parameters.iter().filter(|one| one.get("name").is_some_and(|found| found == name));
        named.any(|one| one.get("x-multi-segment").and_then(Value::as_bool) == Some(true))
    }

    fn name(&self) -> String {
        let group = self.body.get("tags").and_then(|tags| tags.get(0)?.as_str());
        let id = self.body.get("operationId").and_then(Value::as_str);
        let named = id.map(|id| name::of_operation(id, group)).filter(|name| !name.is_empty());
        named.unwrap_or_else(|| name::of_path(self.method, self.path))
    }

    /// The words that tell what it does: the operation's own, without its group's.
    fn words(&self) -> Vec<String> {
        name::words(self.name().rsplit('.').next().unwrap_or_default())
    }

    fn drafted(&self, route: String) -> Drafted {
        let stated = guess::of_method(self.method);
        let segment = self.path.rsplit('/').find(|segment| !segment.is_empty() && !segment.starts_with('{'));
        let named = guess::effect((stated, self.method), &self.words(), self.method == "POST");
        let placed =
            guess::effect((stated, self.method), &name::words(segment.unwrap_or_default()), self.method == "POST");
        let (effect, because) = if named.0 == stated { placed } else { named };
        let arguments = arguments(self);
        let mut facts = BTreeMap::new();
        let mut shown: Vec<&Argument> = arguments.iter().filter(|argument| argument.is_fact()).collect();
        shown.sort_by_key(|argument| argument.rank());
        for argument in shown {
            if let (true, Some(kind)) = (facts.len() < FACTS, argument.kind) {
                facts.entry(argument.fact_name()).or_insert(Fact { at: argument.at.clone(), kind });
            }
        }
        let sink = |argument: &Argument| {
            let kind = argument.sink?;
            let matters = !effect.is_read() || kind == SinkKind::Destination && !argument.in_path();
            matters.then(|| Sink { at: argument.at.clone(), kind })
        };
        let about = self.body.get("summary").or_else(|| self.body.get("description"));
        Drafted {
            resource: resource(&route, &arguments),
            calls: Calls::Http { method: self.method.to_owned(), path: route },
            sinks: arguments.iter().filter_map(sink).collect(),
            yields: self.yields(effect),
            about: about.and_then(Value::as_str).unwrap_or_default().to_owned(),
            effect,
            because,
            facts,
        }
    }

    fn yields(&self, effect: Effect) -> Vec<Yield> {
        let untrusted = |at: String, because: String| Yield { at, label: Label::Untrusted, because };
        let strings = Strings::of(self.spec, self.answers());
        let mut yields = Vec::new();
        if !self.is_said_whole() && (effect.is_read() || !self.is_without_body()) {
            yields.push(untrusted(String::new(), "nothing is said of the answer".to_owned()));
        } else if let Some(at) = strings.beyond {
            let place = if at.is_empty() { "the answer".to_owned() } else { format!("`{at}`") };
            yields.push(untrusted(String::new(), format!("not all is said of what {place} may hold")));
        }
        let mut found: Vec<(String, &str)> = strings.found.into_iter().collect();
        // What is text by its name comes first, an address last; of equals, what lies nearest.
        found.sort_by_key(|(at, name)| {
            let kind = guess::sink(name, None);
            (kind != Some(SinkKind::Text), kind == Some(SinkKind::Destination), at.matches('/').count())
        });
        let named = found.into_iter().filter(|(at, _)| !at.is_empty() || yields.is_empty()).take(YIELDS);
        let named: Vec<Yield> = named.map(|(at, _)| untrusted(at, "somebody may have written it".to_owned())).collect();
        yields.extend(named);
        let tags = self.body.get("tags").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        let words: Vec<String> = tags.chain([self.path]).flat_map(name::words).collect();
        if let Some(word) = guess::private(&words).filter(|_| effect.is_read()) {
            yields.push(Yield { at: String::new(), label: Label::Private, because: format!("`{word}`") });
        }
        yields
    }

    /// What is said of answers to a call that succeeds: each kind of body with its schema, if that is said.
    fn good_answers(&self) -> Vec<(&'a str, Option<&'a Value>)> {
        let Some(answers) = self.body.get("responses").and_then(Value::as_object) else { return Vec::new() };
        let good = answers.iter().filter(|(status, _)| status.starts_with('2'));
        let default = answers.get_key_value("default").filter(|_| good.clone().next().is_none());
        let mut found = Vec::new();
        for (_, answer) in good.chain(default).filter(|(status, _)| !is_without_body(status)) {
            let answer = self.spec.resolve(answer);
            let content = answer.get("content").and_then(Value::as_object).filter(|content| !content.is_empty());
            match content {
                Some(content) => found.extend(content.iter().map(|(kind, body)| (kind.as_str(), body.get("schema")))),
                // Swagger 2.0 says it without the kind.
                None => found.push(("json", answer.get("schema"))),
            }
        }
        found
    }

    /// The schemas of those that are JSON.
    fn answers(&self) -> impl Iterator<Item = &'a Value> {
        self.good_answers().into_iter().filter(|(kind, _)| kind.contains("json")).filter_map(|(_, schema)| schema)
    }

    /// Whether each is JSON with a schema, and there is one.
    fn is_said_whole(&self) -> bool {
        let answers = self.good_answers();
        let all = answers.iter().all(|(kind, schema)| kind.contains("json") && schema.is_some());
        all && !answers.is_empty()
    }

    /// Whether all that succeeds is answered without a body.
    fn is_without_body(&self) -> bool {
        let answers = self.body.get("responses").and_then(Value::as_object);
        let mut good = answers.into_iter().flatten().map(|(status, _)| status).filter(|status| status.starts_with('2'));
        good.next().is_some_and(|status| is_without_body(status)) && good.all(|status| is_without_body(status))
    }
}

/// RFC 9110 §15.3.5, §15.3.6.
fn is_without_body(status: &str) -> bool {
    matches!(status, "204" | "205")
}

/// What an operation acts on: its path, with a value from its body where the path names none.
fn resource(route: &str, arguments: &[Argument]) -> String {
    let segments: Vec<&str> = route.split('/').filter(|segment| !segment.is_empty()).collect();
    let several = segments.iter().filter(|segment| segment.starts_with('{')).count() > 1;
    // A value with slashes may be all of a resource's values, or none: `a/b` + `c` and `a` + `b/c` would be the same.
    let kept = segments.into_iter().filter(|segment| !(several && segment.starts_with("{*")));
    let mut named: Vec<String> = kept.map(|segment| segment.replace("{*", "{")).collect();
    let from_body = arguments.iter().find(|argument| argument.names_what_is_acted_on());
    if let Some(argument) = from_body.filter(|_| !route.contains('{')) {
        named.push(format!("{{{}}}", argument.at));
    }
    if named.is_empty() { "/".to_owned() } else { named.join("/") }
}
