//! How large a task may be: each is kept until it is over, and written down.

use crate::model::Grant;

/// The longest that a task's opener may have it live, in seconds.
const LONGEST_TTL: u64 = 86_400;

/// Bytes a goal may have, lines a grant may have, values a task may have, and bytes each of them.
const LONGEST_GOAL: usize = 2_048;
const MOST_GRANTS: usize = 256;
const MOST_VALUES: usize = 256;
const LONGEST_VALUE: usize = 8_192;

/// Bytes of all values of a task together, and of all resources of its grant.
const MOST_OF_VALUES: usize = 32_768;
const MOST_OF_RESOURCES: usize = 32_768;

/// An error says what is too large.
pub(super) fn goal(goal: &str, on_behalf_of: Option<&str>) -> Result<(), String> {
    if goal.len() > LONGEST_GOAL || on_behalf_of.is_some_and(|person| person.len() > 256) {
        return Err(format!("a goal has up to {LONGEST_GOAL} bytes, and `on_behalf_of` up to 256"));
    }
    Ok(())
}

pub(super) fn ttl(ttl: Option<u64>) -> Result<(), String> {
    if ttl.is_some_and(|ttl| ttl == 0 || ttl > LONGEST_TTL) {
        return Err(format!("`ttl` is in seconds, up to {LONGEST_TTL}"));
    }
    Ok(())
}

pub(super) fn grant(lines: &[Grant]) -> Result<(), String> {
    if lines.len() > MOST_GRANTS {
        return Err(format!("a task names up to {MOST_GRANTS} actions"));
    }
    let resources = lines.iter().filter_map(|line| line.resource.as_ref());
    if resources.map(String::len).sum::<usize>() > MOST_OF_RESOURCES {
        return Err(format!("the resources of a task's actions have up to {MOST_OF_RESOURCES} bytes together"));
    }
    Ok(())
}

pub(super) fn values(values: &[String]) -> Result<(), String> {
    let all: usize = values.iter().map(String::len).sum();
    if values.len() > MOST_VALUES || all > MOST_OF_VALUES || values.iter().any(|value| value.len() > LONGEST_VALUE) {
        return Err(format!(
            "a task has up to {MOST_VALUES} values, of up to {LONGEST_VALUE} bytes each and {MOST_OF_VALUES} together"
        ));
    }
    Ok(())
}
