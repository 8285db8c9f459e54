//! What the annotations of rules do to a verdict, and what errors and limits do.

use std::sync::Arc;
use std::time::Duration;

use countersign::judge::{AgentRules, IntentRule, Policies, PolicyError, Question, Source, Verdict, compile, judge};
use countersign::model::{Call, Code, Digest, Exceeded, Facts};

use super::written::{actions, agents};
use crate::suite::common::nouns::{self, Bounded};

const PERMIT: &str = "@id(\"yes\") permit(principal, action, resource);";
const OVERFLOW: &str = "context.chain.calls + 9223372036854775807 > 0";

fn policies(text: &str) -> Result<Policies, PolicyError> {
    Policies::load(
        &[Source { name: "p.cedar".to_owned(), text: text.to_owned() }],
        &agents(),
        &actions(),
        Digest([7; 32]),
    )
}

/// A call of triage in a task that ends after `left_ms`, which these policies judge on facts that `change` has been at.
fn verdict(text: &str, left_ms: i64, change: impl FnOnce(&mut Facts)) -> Verdict {
    let (memory, caller) = (Bounded::new(Vec::new(), [].into()), nouns::caller("triage", "token:x"));
    let mut task = nouns::task("triage", 1);
    task.expires_at = Some(nouns::at(left_ms));
    memory.open(task.clone(), nouns::token(&task), nouns::at(0));
    let call: Call = nouns::call(&caller, &Arc::new(task), "github/issues.get", "octo/hello");
    let (mut facts, reservation) = memory.reserve(&call).unwrap();
    change(&mut facts);
    judge(&policies(text).unwrap(), Box::new(call), facts, reservation)
}

/// What a no comes to: whether waiting helps, and the rules with their codes.
fn no(verdict: Verdict) -> (bool, Vec<(String, Code)>) {
    let (throttled, no) = match verdict {
        Verdict::Throttle(no) => (true, no),
        Verdict::Deny(no) => (false, no),
        other @ (Verdict::Allow(_) | Verdict::Ask(_)) => panic!("{other:?}"),
    };
    (throttled, no.findings.iter().map(|finding| (finding.rule.clone(), finding.code)).collect())
}

fn ttl(text: &str, left_ms: i64) -> Duration {
    match verdict(text, left_ms, |_| {}) {
        Verdict::Allow(permit) => permit.scope().ttl,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_smallest_ttl_of_the_rules_that_permit_wins() {
    let others = "@ttl(\"1s\") permit(principal, action, resource) when { context.task.depth > 0 };
                  @ttl(\"2s\") permit(principal == Agent::\"billing\", action, resource);";
    for (rules, seconds) in [
        (PERMIT.to_owned(), 60),
        (
            format!(
                "{PERMIT} @ttl(\"20s\") permit(principal, action, resource); @ttl(\"7s\") permit(principal is Agent, action, resource);"
            ),
            7,
        ),
        (format!("{PERMIT} @ttl(\"20s\") permit(principal, action, resource); {others}"), 20),
        ("@ttl(\"1m\") permit(principal, action, resource);".to_owned(), 60),
    ] {
        assert_eq!(ttl(&rules, 3_600_000), Duration::from_secs(seconds), "{rules}");
    }
    assert_eq!(ttl("@ttl(\"500ms\") permit(principal, action, resource);", 3_600_000), Duration::from_millis(500));
    assert_eq!(
        ttl("@ttl(\"20s\") permit(principal, action, resource);", 5_000),
        Duration::from_secs(5),
        "no longer than the task"
    );
}

#[test]
fn a_forbid_says_its_code_and_reason() {
    let forbid = "@id(\"no\") @code(\"intent_missing\") @reason(\"say why\") forbid(principal, action, resource);";
    match verdict(&format!("{PERMIT} {forbid}"), 1, |_| {}) {
        Verdict::Deny(no) => {
            let first = no.first().unwrap();
            assert_eq!(
                (first.rule.as_str(), first.code, first.reason.as_deref()),
                ("no", Code::IntentMissing, Some("say why"))
            );
        }
        other => panic!("{other:?}"),
    }
    let plain = no(verdict(&format!("{PERMIT} @id(\"no\") forbid(principal, action, resource);"), 1, |_| {}));
    assert_eq!(plain, (false, vec![("no".to_owned(), Code::Denied)]));
}

#[test]
fn without_an_id_a_rule_is_named_by_its_file_and_place() {
    let text = format!(
        "{PERMIT}\nforbid(principal, action, resource) when {{ false }};\nforbid(principal, action, resource);"
    );
    assert_eq!(no(verdict(&text, 1, |_| {})).1, [("p.cedar:3".to_owned(), Code::Denied)]);
}

#[test]
fn a_rule_that_errs_denies_be_it_a_forbid_or_a_permit() {
    for kind in ["forbid", "permit"] {
        let text = format!("{PERMIT} @id(\"errs\") {kind}(principal, action, resource) when {{ {OVERFLOW} }};");
        let (throttled, findings) = no(verdict(&text, 1, |facts| facts.chain.calls = 1));
        assert_eq!((throttled, findings), (false, vec![("errs".to_owned(), Code::Denied)]), "{kind}");
    }
    // Nor does a limit that is reached make "wait" of it.
    let text = format!(
        "{PERMIT} @id(\"errs\") @code(\"limit_reached\") forbid(principal, action, resource) when {{ {OVERFLOW} }};"
    );
    assert_eq!(no(verdict(&text, 1, |facts| facts.chain.calls = 1)), (false, vec![("errs".to_owned(), Code::Denied)]));
    // A rule whose scope does not hold is not evaluated, so it cannot err.
    let elsewhere =
        format!("{PERMIT} forbid(principal == Agent::\"billing\", action, resource) when {{ {OVERFLOW} }};");
    assert!(matches!(verdict(&elsewhere, 1, |facts| facts.chain.calls = 1), Verdict::Allow(_)));
}

#[test]
fn an_optional_fact_may_be_asked_for_by_itself() {
    // Nothing else of `task` is mentioned, and there is nothing to mention: it is absent, which is no error.
    let text = "@id(\"for-ana\") permit(principal, action, resource) when { context.task has on_behalf_of && context.task.on_behalf_of == \"ana\" };";
    assert_eq!(no(verdict(text, 1, |_| {})).1, [("default".to_owned(), Code::Denied)]);
    let ana = |facts: &mut Facts| facts.task.on_behalf_of = Some("ana".to_owned());
    assert!(matches!(verdict(text, 1, ana), Verdict::Allow(_)));
    let unless = format!(
        "{PERMIT} @id(\"anybody\") forbid(principal, action, resource) unless {{ context.task has on_behalf_of }};"
    );
    assert_eq!(no(verdict(&unless, 1, |_| {})).1, [("anybody".to_owned(), Code::Denied)]);
}

#[test]
fn waiting_is_only_told_where_it_helps() {
    let limits = compile(&[AgentRules {
        agent: "triage".to_owned(),
        intent: IntentRule::Writes,
        limits: vec!["triage.limits.0".to_owned()],
        chain: vec!["triage.chain.max_calls".to_owned()],
    }]);
    let reached = |name: &'static str| {
        move |facts: &mut Facts| {
            facts.limits.insert(name.to_owned(), Exceeded { limit: 10, retry_after_ms: Some(1_500) });
        }
    };
    let with = |permit: &str| format!("{permit}\n{limits}");
    let limit = ("config:triage.limits.0".to_owned(), Code::LimitReached);
    let chain = ("config:triage.chain.max_calls".to_owned(), Code::ChainLimitReached);
    assert_eq!(no(verdict(&with(PERMIT), 1, reached("triage.limits.0"))), (true, vec![limit.clone()]));
    assert_eq!(no(verdict(&with(PERMIT), 1, reached("triage.chain.max_calls"))), (true, vec![chain]));
    // No rule permits it anyway.
    let refused = no(verdict(&with(""), 1, reached("triage.limits.0")));
    assert_eq!(refused, (false, vec![limit.clone(), ("default".to_owned(), Code::Denied)]));
    // Another rule forbids it anyway.
    let forbidden = with(&format!("{PERMIT} @id(\"no\") forbid(principal, action, resource);"));
    assert_eq!(
        no(verdict(&forbidden, 1, reached("triage.limits.0"))),
        (false, vec![limit, ("no".to_owned(), Code::Denied)])
    );
    match verdict(&with(PERMIT), 1, reached("triage.limits.0")) {
        Verdict::Throttle(no) => assert_eq!(no.retry_after_ms(), Some(1_500)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_agent_or_action_that_is_not_loaded_is_denied() {
    let policies = policies(PERMIT).unwrap();
    for (agent, action) in
        [("nobody", "github/issues.get"), ("triage", "github/nothing"), ("lone", "chat/post"), ("billing", "git/log")]
    {
        let task = Arc::new(nouns::task("triage", 1));
        let call = nouns::call(&nouns::caller(agent, "token:x"), &task, action, "x");
        let memory = Bounded::new(Vec::new(), [].into());
        memory.open(nouns::task("triage", 1), nouns::token(&task), nouns::at(0));
        let (facts, _reservation) = memory.reserve(&call).unwrap();
        assert_eq!(
            policies.decide(&Question::of(&call), &facts).findings.first().unwrap().rule,
            "default",
            "{agent} {action}"
        );
    }
}
