//! The arguments of an operation, wherever it takes them: path, query, and the first level of a JSON body.

use serde_json::Value;

use super::openapi::{Operation, parameter};
use super::schema::child;
use super::{guess, name};
use crate::model::SinkKind;
use crate::understand::FactType;

/// One argument.
pub(super) struct Argument {
    /// `path:owner`.
    pub(super) at: String,
    name: String,
    required: bool,
    chosen: bool,
    /// The type policies compare it by, if there is one.
    pub(super) kind: Option<FactType>,
    /// What harm it does if a stranger chose it.
    pub(super) sink: Option<SinkKind>,
}

impl Argument {
    fn new(operation: &Operation<'_>, at: String, name: &str, schema: &Value, required: bool) -> Self {
        let spec = operation.spec;
        let path = at.starts_with("path:");
        let guessed = guess::sink(name, spec.format(schema));
        Self {
            name: name.to_owned(),
            required,
            chosen: spec.is_chosen(schema),
            kind: spec.kind(schema).or(path.then_some(FactType::String)),
            sink: guessed.or(path.then_some(SinkKind::Object)),
            at,
        }
    }

    pub(super) fn in_path(&self) -> bool {
        self.at.starts_with("path:")
    }

    /// Whether policies are shown it, and records keep it: not what is said, which may be anything.
    pub(super) fn is_fact(&self) -> bool {
        let short = matches!(self.kind, Some(FactType::Long | FactType::Bool)) || self.chosen;
        match self.sink {
            Some(SinkKind::Text | SinkKind::Words) => self.chosen,
            Some(SinkKind::Destination | SinkKind::Object | SinkKind::Source) => true,
            None => short,
        }
    }

    /// Which facts come first, where there are too many: what names something, then what the body says.
    pub(super) fn rank(&self) -> (bool, bool, bool) {
        (!self.in_path(), self.sink.is_none(), !self.at.starts_with("body:"))
    }

    /// A name that a policy can write.
    pub(super) fn fact_name(&self) -> String {
        name::of_fact(&self.name)
    }

    /// Whether a body must hold it, and it says on what the call acts.
    pub(super) fn names_what_is_acted_on(&self) -> bool {
        let names = matches!(self.sink, Some(SinkKind::Destination | SinkKind::Object));
        self.at.starts_with("body:") && self.required && names && self.kind == Some(FactType::String)
    }
}

/// All arguments, those of the path first.
pub(super) fn arguments(operation: &Operation<'_>) -> Vec<Argument> {
    let mut found: Vec<Argument> = Vec::new();
    for one in operation.parameters() {
        let text = |key: &str| one.get(key).and_then(Value::as_str).unwrap_or_default();
        let (place, called) = (text("in"), text("name"));
        // Swagger 2.0 says the type beside the name.
        let schema = one.get("schema").unwrap_or(one);
        let at = match place {
            "path" => format!("path:{}", parameter(called)),
            "query" if !called.is_empty() => format!("query:{called}"),
            _ => continue,
        };
        let required = one.get("required").and_then(Value::as_bool) == Some(true);
        found.push(Argument::new(operation, at, called, schema, required));
    }
    if let Some(schema) = body(operation) {
        let schema = operation.spec.resolve(schema);
        let required: Vec<&str> =
            schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        for (called, member) in operation.spec.members(schema) {
            let at = format!("body:{}", child("", called));
            found.push(Argument::new(operation, at, called, member, required.contains(&called)));
        }
    }
    // What the path holds, it holds whether it is described or not.
    for called in operation.path.split('/').filter_map(parameter_of) {
        if !found.iter().any(|argument| argument.in_path() && argument.name == called) {
            let at = format!("path:{}", parameter(called));
            found.push(Argument::new(operation, at, called, &Value::Null, true));
        }
    }
    found.sort_by_key(|argument| !argument.in_path());
    // A parameter that the path does not have can never be read.
    let in_path = |name: &str| operation.path.split('/').filter_map(parameter_of).any(|called| called == name);
    found.retain(|argument| !argument.in_path() || in_path(&argument.name));
    found
}

/// References that lead nowhere in this file, in what is said of an operation's arguments.
pub(super) fn astray<'a>(operation: &Operation<'a>) -> Vec<&'a str> {
    let spec = operation.spec;
    let parameters = operation.parameters();
    let body = operation.body.get("requestBody");
    let content = body.and_then(|body| spec.resolve(body).get("content")?.as_object()).into_iter().flatten();
    let schemas = parameters.iter().copied().chain(content.map(|(_, kind)| kind)).filter_map(|one| one.get("schema"));
    let inside = schemas.flat_map(|schema| spec.parts(schema));
    let mut found: Vec<&str> =
        parameters.iter().copied().chain(body).chain(inside).filter_map(|one| spec.astray(one)).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// The name of the parameter that a segment is.
fn parameter_of(segment: &str) -> Option<&str> {
    Some(segment.strip_prefix('{')?.strip_suffix('}')?.trim_start_matches('+'))
}

/// The body's schema, if a body of this operation is always JSON: values of others cannot be read.
fn body<'a>(operation: &Operation<'a>) -> Option<&'a Value> {
    if let Some(body) = operation.body.get("requestBody") {
        let content = operation.spec.resolve(body).get("content")?.as_object()?;
        let all_json = content.keys().all(|kind| kind.starts_with("application/") && kind.contains("json"));
        return content.values().next().filter(|_| all_json)?.get("schema");
    }
    let consumes =
        operation.body.get("consumes").or_else(|| operation.spec.0.get("consumes")).and_then(Value::as_array);
    let json =
        consumes.is_none_or(|kinds| kinds.iter().all(|kind| kind.as_str().is_some_and(|kind| kind.contains("json"))));
    let parameters = operation.parameters();
    parameters
        .into_iter()
        .find(|one| one.get("in").is_some_and(|place| place == "body"))?
        .get("schema")
        .filter(|_| json)
}
