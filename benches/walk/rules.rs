//! Rules as a security team would write them, in any number.

use std::fmt::Write as _;

/// Rules of a folder beside the twenty that every one has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum More {
    /// None.
    None,
    /// So many, each naming an agent and an action; none of them the measured call's.
    Scoped(u32),
    /// So many that name nobody and so stand before every call.
    Unscoped(u32),
}

/// Actions of the catalog, all of them reads but for the last four.
pub const ACTIONS: [&str; 12] = [
    "issues.get",
    "issues.list",
    "comments.list",
    "commits.get",
    "files.get",
    "branches.list",
    "users.get",
    "labels.list",
    "issues.create",
    "comments.create",
    "files.write",
    "mails.send",
];

/// Sixteen rules; with one of those below and the three that the configuration compiles to (a limit, two for the
/// intent), twenty. Ten of them can hold for the measured call.
const MOST: &str = r#"
@id("readers-read") permit(principal in Group::"support", action in Action::"effect:read", resource in Tool::"tracker");
@id("declared") @ttl("20s") permit(principal in Group::"support", action, resource) when { context.task.declared };
@id("bench-get") permit(principal == Agent::"bench", action == Action::"tracker/issues.get", resource) when { context.task.opened_by == "framework" };
@id("bench-list") permit(principal == Agent::"bench", action == Action::"tracker/issues.list", resource);
@id("bench-create") permit(principal == Agent::"bench", action == Action::"tracker/issues.create", resource) when { context.intent.matches };
@id("bench-comment") permit(principal == Agent::"bench", action == Action::"tracker/comments.create", resource) when { context.intent.matches };
@id("bench-no-files") @reason("this agent reads no files") forbid(principal == Agent::"bench", action == Action::"tracker/files.get", resource);
@id("bench-no-commits") forbid(principal == Agent::"bench", action == Action::"tracker/commits.get", resource) unless { context.task.declared };
@id("bench-strength") forbid(principal == Agent::"bench", action in Action::"tool:tracker", resource) when { context.workload.strength < 1 };
@id("secret-repo") forbid(principal in Group::"support", action in Action::"effect:read", resource == Resource::"tracker/octo/secret");
@id("weekend-writes") forbid(principal, action in Action::"effect:write", resource) when { context.time.weekday > 5 };
@id("no-private-out") forbid(principal, action in Action::"effect:send", resource) when { context.labels.containsAll(["private", "untrusted"]) };
@id("undeclared-send") forbid(principal, action in Action::"effect:send", resource) unless { context.task.declared };
@id("no-deletes") forbid(principal, action in Action::"effect:delete", resource);
@id("no-spending") forbid(principal, action in Action::"effect:spend", resource);
@id("private-reads") forbid(principal, action in Action::"effect:read", resource) when { context.labels.contains("private") && !context.task.present };
"#;

/// A rule that sees how many calls the task has made: no verdict under it is the same as the one before.
const COUNTING: &str =
    "@id(\"counting\") forbid(principal, action, resource) when { context.chain.calls > 1000000000000 };\n";

/// The same rule without the fact that changes, so that there are as many.
const NOT_COUNTING: &str =
    "@id(\"counting\") forbid(principal, action, resource) when { context.task.depth > 1000000 };\n";

/// The text of a policy file; `others` is how many agents there are beside the measured one.
pub fn rules(more: More, counting: bool, others: u32) -> String {
    let mut text = String::from(MOST);
    text.push_str(if counting { COUNTING } else { NOT_COUNTING });
    match more {
        More::None => {}
        More::Scoped(count) => {
            for (number, action) in (0..count).zip(ACTIONS.iter().cycle()) {
                let _ = writeln!(
                    text,
                    "@id(\"scoped-{number}\") forbid(principal == Agent::\"other-{}\", action == Action::\"tracker/{action}\", resource) when {{ context.labels.contains(\"label-{number}\") && !context.task.declared }};",
                    number % others.max(1)
                );
            }
        }
        More::Unscoped(count) => {
            for number in 0..count {
                let _ = writeln!(
                    text,
                    "@id(\"unscoped-{number}\") forbid(principal, action, resource) when {{ context.labels.contains(\"label-{number}\") && !context.task.declared }};"
                );
            }
        }
    }
    text
}
