//! Policies as their authors write them: parsed, their annotations understood, checked against the schema.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use cedar_policy::{Effect, Policy, PolicyId, PolicySet, Schema, ValidationMode, Validator};
use miette::Diagnostic;

use super::known::meant;
use super::mention::{Mentions, mentions};
use super::nesting::too_deep;
use super::vocabulary::nearest_fact;
use crate::model::{Ask, Code, Digest};

/// The longest a credential may live, and how long it may where no rule says.
pub const fn longest_ttl() -> Duration {
    Duration::from_secs(60)
}

/// What a rule may say of itself.
const ANNOTATIONS: [&str; 7] = ["id", "reason", "code", "ask", "ttl", "shadow", "opaque"];

/// Bytes of a line that are still shown with what is wrong in it.
const LONGEST_SHOWN: usize = 400;

/// A file of policies.
#[derive(Clone, Debug)]
pub struct Source {
    /// What it is called: `policies/main.cedar`, or `config` for what was compiled from the configuration.
    pub name: String,
    /// Cedar.
    pub text: String,
}

/// A policy that will be enforced.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Under its own id.
    pub policy: Policy,
    /// Its `@id`, or the file's name and its place there.
    pub id: String,
    /// Its `@reason`.
    pub reason: Option<String>,
    /// Its `@code`; `denied` if it has none. Only a `forbid` has one.
    pub code: Code,
    /// Its `@ttl`. Only a `permit` has one.
    pub ttl: Option<Duration>,
    /// Its `@ask`, with the digest of all it says. Only a `forbid` asks.
    pub ask: Option<Ask>,
    /// Its `@shadow`: it never decides, and what it would have decided is recorded.
    pub shadow: bool,
    /// Its `@opaque`: no agent learns of it.
    pub opaque: bool,
    /// The file it stands in.
    pub file: String,
    /// What its conditions can see.
    pub mentions: Mentions,
}

impl Rule {
    /// Whether it permits rather than forbids.
    pub fn permits(&self) -> bool {
        self.policy.effect() == Effect::Permit
    }
}

/// What is wrong with the policies: every mistake with its place and what to do, as far as they can be told at once.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct PolicyError(Vec<Mistake>);

/// One of them.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
#[error("{place}: {message}{excerpt}{help}")]
struct Mistake {
    /// File, line and column, as editors take them.
    place: String,
    message: String,
    excerpt: String,
    help: String,
}

impl PolicyError {
    /// The schema made from the configuration is not one: a name in a catalog that Cedar does not take.
    pub fn of_schema(schema: &str, why: &dyn std::fmt::Display) -> Self {
        Self(vec![plain(&Source { name: "the generated schema".to_owned(), text: schema.to_owned() }, why.to_string())])
    }
}

/// Reads every file.
pub fn read(sources: &[Source], schema: &Schema) -> Result<Vec<Rule>, PolicyError> {
    let (mut rules, mut wrong) = (Vec::new(), Vec::new());
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    for source in sources {
        match parse(source) {
            Ok(parsed) => wrong.extend(check(source, &parsed, schema, &mut seen, &mut rules)),
            Err(mistakes) => wrong.extend(mistakes),
        }
    }
    if wrong.is_empty() { Ok(rules) } else { Err(PolicyError(wrong)) }
}

fn parse(source: &Source) -> Result<PolicySet, Vec<Mistake>> {
    if let Some((offset, why)) = too_deep(&source.text) {
        return Err(vec![at(source, offset, why)]);
    }
    let parsed = PolicySet::from_str(&source.text)
        .map_err(|errors| errors.iter().map(|error| diagnose(source, error)).collect::<Vec<_>>())?;
    if parsed.templates().next().is_some() {
        let why = "a policy with slots such as `?principal` is never linked here, so it would never hold".to_owned();
        return Err(vec![plain(source, why)]);
    }
    Ok(parsed)
}

/// Understands the policies of a file, and checks them against the schema.
fn check(
    source: &Source,
    parsed: &PolicySet,
    schema: &Schema,
    seen: &mut BTreeMap<String, String>,
    rules: &mut Vec<Rule>,
) -> Vec<Mistake> {
    let mut wrong = Vec::new();
    let mut checked = PolicySet::new();
    for (place, policy) in in_order(parsed).into_iter().enumerate() {
        let rule = match understand(source, place, &policy) {
            Ok(rule) => rule,
            Err(mistake) => {
                wrong.push(mistake);
                continue;
            }
        };
        if let Some(other) = seen.insert(rule.id.clone(), source.name.clone()) {
            wrong.push(plain(source, format!("the id `{}` is already that of a rule in {other}", rule.id)));
            continue;
        }
        match checked.add(rule.policy.clone()) {
            Ok(()) => rules.push(rule),
            Err(error) => wrong.push(diagnose(source, &error)),
        }
    }
    let result = Validator::new(schema.clone()).validate(&checked, ValidationMode::Strict);
    let mut mistakes: Vec<(Option<usize>, Mistake)> = Vec::new();
    for error in result.validation_errors() {
        // A policy is checked for every action it may be about; what is wrong in it is told once.
        let mistake = (offset(error), diagnose(source, error));
        if !mistakes
            .iter()
            .any(|(place, told)| *place == mistake.0 && (told.message == mistake.1.message || place.is_some()))
        {
            mistakes.push(mistake);
        }
    }
    mistakes.sort_by_key(|(place, _)| *place);
    wrong.extend(mistakes.into_iter().map(|(_, mistake)| mistake));
    wrong
}

/// Cedar names the policies of a text `policy0`, `policy1` … in the order they stand there.
fn in_order(parsed: &PolicySet) -> Vec<Policy> {
    let number =
        |policy: &Policy| policy.id().to_string().trim_start_matches("policy").parse::<usize>().unwrap_or(usize::MAX);
    let mut policies: Vec<Policy> = parsed.policies().cloned().collect();
    policies.sort_by_key(number);
    policies
}

fn understand(source: &Source, place: usize, policy: &Policy) -> Result<Rule, Mistake> {
    let permits = policy.effect() == Effect::Permit;
    // Wherever the folder lies: a record names the rule, and is read elsewhere.
    let file = source.name.rsplit('/').next().unwrap_or_default();
    let id = policy.annotation("id").map_or_else(|| format!("{file}:{}", place + 1), str::to_owned);
    let wrong = |why: String| plain(source, format!("in the rule `{id}`: {why}"));
    let flag = |name: &str, value: &str| match value {
        "" => Ok(true),
        _ => Err(wrong(format!("`@{name}` is set by being there; leave `(\"{value}\")` out"))),
    };
    let (mut reason, mut code, mut ttl, mut ask) = (None, Code::Denied, None, None);
    let (mut shadow, mut opaque) = (false, false);
    for (name, value) in policy.annotations() {
        match name {
            "id" => {}
            "shadow" => shadow = flag(name, value)?,
            "opaque" if !permits => opaque = flag(name, value)?,
            "ask" if !permits => {
                let who = if value.is_empty() { Ask::ANYBODY } else { value };
                ask = Some(Ask { who: who.to_owned(), rule: content(policy) });
            }
            "reason" => reason = Some(value.to_owned()),
            "code" if !permits => {
                code = Code::from_name(value).filter(|code| Code::FOR_RULES.contains(code)).ok_or_else(|| {
                    let known = Code::FOR_RULES.map(Code::name).join("`, `");
                    wrong(format!("`@code(\"{value}\")` is none of `{known}`"))
                })?;
            }
            "ttl" if permits => {
                let why = || wrong(format!("`@ttl(\"{value}\")` is no time up to 60s, such as `20s`"));
                ttl = Some(duration(value).ok_or_else(why)?);
            }
            "code" => return Err(wrong("`@code` says which kind of no a `forbid` is; a `permit` has none".to_owned())),
            "ask" => return Err(wrong("`@ask` turns a `forbid` into a question; a `permit` asks nobody".to_owned())),
            "opaque" => return Err(wrong("`@opaque` hides why not; a `permit` says no to nobody".to_owned())),
            "ttl" => return Err(wrong("`@ttl` bounds the credential of a `permit`; a `forbid` has none".to_owned())),
            other => {
                let near = meant(other, ANNOTATIONS);
                return Err(wrong(format!(
                    "`@{other}` is not an annotation; there are `@{}`{near}",
                    ANNOTATIONS.join("`, `@")
                )));
            }
        }
    }
    if ask.is_some() {
        if policy.annotation("code").is_some() {
            return Err(wrong("`@ask` is answered with `needs_approval`; leave `@code` out".to_owned()));
        }
        code = Code::NeedsApproval;
    }
    let mut mentions = mentions(policy);
    if ask.is_some() {
        mentions.approval();
    }
    let policy = policy.new_id(PolicyId::new(&id));
    Ok(Rule { policy, id, reason, code, ttl, ask, shadow, opaque, file: source.name.clone(), mentions })
}

/// What a policy says, however it is laid out: digest over its syntax tree, annotations included.
fn content(policy: &Policy) -> Digest {
    let said = policy.to_json().map_or_else(|_| policy.to_string(), |tree| tree.to_string());
    Digest::of(said.as_bytes())
}

/// `20s`, `500ms`, `1m`; more than nothing, and no longer than the longest.
fn duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let duration = match unit {
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(number.checked_mul(60)?),
        _ => return None,
    };
    (!duration.is_zero() && duration <= longest_ttl()).then_some(duration)
}

fn plain(source: &Source, message: String) -> Mistake {
    Mistake { place: source.name.clone(), message, excerpt: String::new(), help: String::new() }
}

fn offset(error: &impl Diagnostic) -> Option<usize> {
    error.labels().and_then(|mut labels| labels.next()).map(|label| label.offset())
}

/// Cedar's own words, with the line they are about; and the name that was meant, if one is near.
fn diagnose(source: &Source, error: &(impl Diagnostic + std::fmt::Display)) -> Mistake {
    // Cedar names the policy by its id, which the line shows already.
    let told = error.to_string();
    let message = told.strip_prefix("for policy `").and_then(|rest| Some(rest.split_once("`, ")?.1.to_owned()));
    let mut message = message.unwrap_or(told);
    let mut help = error.help().map(|help| format!("\n  {help}")).unwrap_or_default();
    if let Some(near) = fact_meant(&message) {
        (message, help) = near;
    }
    let wrong =
        offset(error).map_or_else(|| plain(source, message.clone()), |offset| at(source, offset, message.clone()));
    Mistake { help, ..wrong }
}

/// Cedar knows the facts of one record only; the one that was meant may stand in another.
fn fact_meant(message: &str) -> Option<(String, String)> {
    let attribute = message.strip_prefix("attribute `")?.split_once('`')?.0;
    let path = attribute.strip_prefix("context.").unwrap_or(attribute);
    let help = nearest_fact(path)
        .map_or_else(|| "docs/facts.md lists every fact".to_owned(), |name| format!("did you mean `context.{name}`?"));
    // Arguments are the catalog's, and Cedar knows which there are.
    (message.contains("context") && !path.starts_with("args."))
        .then(|| (format!("there is no fact `context.{path}`"), format!("\n  {help}")))
}

/// What is wrong at this byte, with the line it stands in, if that is one to be shown.
fn at(source: &Source, offset: usize, message: String) -> Mistake {
    let Some(before) = source.text.get(..offset) else { return plain(source, message) };
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    let shown = source.text.lines().nth(line - 1).filter(|shown| shown.len() <= LONGEST_SHOWN);
    let caret = " ".repeat(column - 1);
    let excerpt = shown.map(|shown| format!("\n  | {shown}\n  | {caret}^")).unwrap_or_default();
    Mistake { place: format!("{}:{line}:{column}", source.name), message, excerpt, help: String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        let schema = Schema::from_str(&super::super::schema::schema(&[])).unwrap();
        let source = Source { name: "p.cedar".to_owned(), text: text.to_owned() };
        read(&[source], &schema).unwrap_err().to_string()
    }

    #[test]
    fn a_mistake_is_shown_where_it_stands() {
        let shown = error("permit(principal, action, resource);\npermit(principal, action resource);");
        assert!(shown.starts_with("p.cedar:2:26: "), "{shown}");
        assert!(shown.contains("\n  | permit(principal, action resource);\n  |                          ^"), "{shown}");
    }

    #[test]
    fn an_annotation_that_would_do_nothing_is_refused() {
        for (text, word) in [
            ("@asks(\"ana\") forbid(principal, action, resource);", "`@asks` is not an annotation"),
            ("@ask(\"ana\") permit(principal, action, resource);", "a `permit` asks nobody"),
            ("@ask @code(\"denied\") forbid(principal, action, resource);", "leave `@code` out"),
            ("@shadow(\"yes\") forbid(principal, action, resource);", "set by being there"),
            ("@opaque permit(principal, action, resource);", "says no to nobody"),
            ("@code(\"nope\") forbid(principal, action, resource);", "is none of"),
            ("@code(\"too_slow\") forbid(principal, action, resource);", "is none of"),
            ("@code(\"denied\") permit(principal, action, resource);", "a `permit` has none"),
            ("@ttl(\"20s\") forbid(principal, action, resource);", "a `forbid` has none"),
            ("@ttl(\"61s\") permit(principal, action, resource);", "no time up to 60s"),
            (
                "@id(\"a\") permit(principal, action, resource); @id(\"a\") permit(principal, action, resource);",
                "already that of a rule",
            ),
            ("permit(principal == ?principal, action, resource);", "slots"),
        ] {
            assert!(error(text).contains(word), "{text}: {}", error(text));
        }
    }
}
