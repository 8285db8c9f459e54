//! The narrowest policies that would have let some calls pass: a draft for somebody to read.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use cedar_policy::{EntityId, EntityTypeName, EntityUid};

use crate::model::CallId;

/// Resources that are named one by one; beyond, the draft names the tool.
const FEW: usize = 5;

/// A call that was made.
#[derive(Clone, Debug)]
pub struct Observed {
    /// Who made it.
    pub agent: String,
    /// The action's full name.
    pub action: String,
    /// What it acted on, under its tool; nothing if that is not known any more.
    pub resource: Option<String>,
    /// The call.
    pub call: CallId,
}

/// What is known of one agent and one action.
#[derive(Default)]
struct Seen<'a> {
    calls: Vec<CallId>,
    resources: BTreeSet<&'a str>,
    unknown: bool,
}

/// One `permit` for each agent and action, on the resources that were seen if they are few. The error is Cedar's.
pub fn suggest(observed: &[Observed]) -> Result<String, String> {
    let mut seen: BTreeMap<(&str, &str), Seen<'_>> = BTreeMap::new();
    for call in observed {
        let it = seen.entry((&call.agent, &call.action)).or_default();
        it.calls.push(call.call);
        match &call.resource {
            Some(resource) => {
                it.resources.insert(resource);
            }
            None => it.unknown = true,
        }
    }
    let mut text = String::new();
    for ((agent, action), seen) in seen {
        let named = |kind: &str, id: &str| entity(kind, id);
        let (first, last) = (seen.calls.first().map(ToString::to_string), seen.calls.last().map(ToString::to_string));
        let _ = write!(text, "\n// {} calls, e.g. {}", seen.calls.len(), first.clone().unwrap_or_default());
        if let Some(last) = last.filter(|last| Some(last) != first.as_ref()) {
            let _ = write!(text, " and {last}");
        }
        let tool = action.split_once('/').map_or("", |(tool, _)| tool);
        let resources: Vec<String> = seen.resources.iter().map(|id| named("Resource", id)).collect::<Result<_, _>>()?;
        let (scope, condition) = match resources.as_slice() {
            [one] if !seen.unknown => (format!("resource == {one}"), String::new()),
            few if !seen.unknown && few.len() <= FEW => {
                ("resource".to_owned(), format!("\nwhen {{ [{}].contains(resource) }}", few.join(", ")))
            }
            many => {
                let _ = write!(text, "; on {} resources, so the tool is named", many.len());
                (format!("resource in {}", named("Tool", tool)?), String::new())
            }
        };
        let _ = write!(
            text,
            "\n@id({:?})\npermit(principal == {}, action == {}, {scope}){condition};\n",
            format!("suggested:{agent}:{action}"),
            named("Agent", agent)?,
            named("Action", action)?,
        );
    }
    Ok(text)
}

/// An entity in Cedar's own spelling, with whatever an agent has put into its name escaped.
fn entity(kind: &str, id: &str) -> Result<String, String> {
    let kind: EntityTypeName = kind.parse().map_err(|error: cedar_policy::ParseErrors| error.to_string())?;
    Ok(EntityUid::from_type_name_and_id(kind, EntityId::new(id)).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Timestamp;

    #[test]
    fn a_resource_is_a_name_whatever_is_written_in_it() {
        let wicked = "t/x\"];\n}permit(principal, action, resource);//\u{202e}\u{0}";
        let observed = |resource: Option<&str>| Observed {
            agent: "a".to_owned(),
            action: "t/send".to_owned(),
            resource: resource.map(str::to_owned),
            call: CallId::new(Timestamp::from_millis(0), [1; 10]),
        };
        let draft = suggest(&[observed(Some(wicked)), observed(Some("t/y"))]).unwrap();
        let parsed: cedar_policy::PolicySet = draft.parse().unwrap();
        assert_eq!(parsed.policies().count(), 1, "{draft}");
        let named: Vec<String> = parsed
            .policies()
            .flat_map(cedar_policy::Policy::entity_literals)
            .map(|uid| uid.id().unescaped().to_owned())
            .collect();
        assert!(named.iter().any(|name| name == wicked), "{named:?}");
        assert!(
            draft.chars().all(|letter| letter == '\n' || !letter.is_control() && letter != '\u{202e}'),
            "{draft:?}"
        );
        // What is not known any more is not guessed.
        let draft = suggest(&[observed(Some("t/y")), observed(None)]).unwrap();
        assert!(draft.contains("resource in Tool::\"t\""), "{draft}");
    }
}
