//! Step 3 against Cedar itself: what the index leaves out and the memory keeps must never show.
//!
//! The yardstick evaluates every rule on a context of every fact, in a world of every entity, with Cedar's own
//! authorizer and nothing of ours but the table of facts and the schema (DESIGN §2.3).

mod again;
mod annotations;
mod cases;
mod known;
pub mod recorded;
mod suggested;
mod written;
mod yardstick;

use proptest::prelude::*;

use self::written::{Rule, asked, rule, rules};
use self::yardstick::{Told, Yardstick, load, told};
use countersign::judge::vocabulary::FACTS;

fn config() -> ProptestConfig {
    ProptestConfig { cases: 160, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn indexed_and_remembered_a_verdict_is_that_of_all_rules_on_all_facts(
        rules in rules(), questions in prop::collection::vec(asked(), 1..10),
    ) {
        let policies = load(&[&rules]);
        let yardstick = Yardstick::new(&rules, policies.schema());
        for asked in &questions {
            let expected = yardstick.outcome(asked);
            prop_assert_eq!(&told(&policies, asked), &expected, "asked first: {:?}", asked);
            prop_assert_eq!(&told(&policies, asked), &expected, "remembered: {:?}", asked);
        }
        // Once more, now that all of them are remembered beside one another.
        for asked in &questions {
            prop_assert_eq!(told(&policies, asked), yardstick.outcome(asked), "asked again: {:?}", asked);
        }
    }

    #[test]
    fn a_fact_that_no_rule_mentions_changes_nothing(rules in rules(), one in asked(), other in asked()) {
        let text: String = rules.iter().map(Rule::text).collect();
        let policies = load(&[&rules]);
        let mut changed = one.clone();
        for fact in &FACTS {
            let whole = if fact.group.is_empty() { fact.name } else { fact.group };
            // A rule that asks sees what was agreed to.
            let mentioned = text.contains(whole) || (whole == "approval" && text.contains("@ask"));
            if !mentioned && !text.contains("context ==") {
                changed.take(whole, &other);
            }
        }
        if !text.contains("args") && !text.contains("context ==") {
            changed.take("args", &other);
        }
        prop_assert_eq!(told(&policies, &one), told(&policies, &changed));
        // Not only because it is remembered.
        prop_assert_eq!(told(&policies, &one), told(&load(&[&rules]), &changed));
    }

    #[test]
    fn one_more_forbid_never_turns_a_no_into_a_yes(rules in rules(), more in rule(99), questions in prop::collection::vec(asked(), 1..8)) {
        let mut stricter = rules.clone();
        stricter.push(Rule { permits: false, shadow: false, ..more });
        let (before, after) = (load(&[&rules]), load(&[&stricter]));
        for asked in questions {
            let (was, is) = (told(&before, &asked), told(&after, &asked));
            prop_assert!(was.findings.is_empty() || !is.findings.is_empty(), "{:?}", asked);
        }
    }

    #[test]
    fn a_rule_in_shadow_never_decides(rules in rules(), questions in prop::collection::vec(asked(), 1..8)) {
        let without: Vec<Rule> = rules.iter().filter(|rule| !rule.shadow).cloned().collect();
        let (with, without) = (load(&[&rules]), load(&[&without]));
        for asked in questions {
            let decided = Told { would: None, ..told(&with, &asked) };
            prop_assert_eq!(decided, told(&without, &asked), "{:?}", asked);
        }
    }

    #[test]
    fn what_is_agreed_to_takes_back_a_question_and_nothing_else(rules in rules(), asked in asked()) {
        let policies = load(&[&rules]);
        let before = told(&policies, &asked);
        let mut agreed = asked.clone();
        let asking = before.findings.iter().filter_map(|finding| Some((finding.rule.clone(), finding.ask.as_ref()?.rule)));
        agreed.facts.approval.rules.extend(asking);
        let mentioned: String = rules.iter().map(Rule::text).collect();
        if mentioned.contains("approval") || mentioned.contains("context ==") {
            return Ok(());
        }
        let after = told(&policies, &agreed);
        let left: Vec<_> = before.findings.iter().filter(|finding| finding.ask.is_none()).cloned().collect();
        prop_assert_eq!(after.findings, left);
    }

    #[test]
    fn neither_the_order_of_files_nor_of_rules_matters(
        rules in rules(), cut in any::<prop::sample::Index>(), questions in prop::collection::vec(asked(), 1..6),
    ) {
        let cut = if rules.is_empty() { 0 } else { cut.index(rules.len()) };
        let (front, back) = rules.split_at(cut);
        let backwards: Vec<Rule> = rules.iter().rev().cloned().collect();
        let orders = [load(&[&rules]), load(&[back, front]), load(&[&backwards])];
        for asked in questions {
            let verdicts = orders.each_ref().map(|policies| told(policies, &asked));
            prop_assert_eq!(&verdicts[0], &verdicts[1]);
            prop_assert_eq!(&verdicts[0], &verdicts[2]);
        }
    }
}

#[test]
fn the_generated_rules_decide_every_way() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    // A property that only ever saw refusals by default would hold of anything.
    let mut runner = TestRunner::deterministic();
    let (mut yes, mut forbidden, mut unevaluated, mut by_default, mut throttled) = (0, 0, 0, 0, 0);
    for _ in 0..400 {
        let rules = rules().new_tree(&mut runner).unwrap().current();
        let asked = asked().new_tree(&mut runner).unwrap().current();
        let outcome = told(&load(&[&rules]), &asked);
        match outcome.findings.first() {
            None => yes += 1,
            Some(first) if first.reason.as_deref() == Some("the rule could not be evaluated") => unevaluated += 1,
            Some(first) if first.rule == "default" => by_default += 1,
            Some(_) if outcome.findings.last().is_some_and(|last| last.rule == "default") => throttled += 1,
            Some(_) => forbidden += 1,
        }
    }
    let seen = [yes, forbidden, unevaluated, by_default];
    println!("permitted, forbidden, not evaluated, by default: {seen:?}; throttled without a permit: {throttled}");
    assert!(seen.iter().all(|count| *count >= 10) && throttled >= 3, "{seen:?} {throttled}");
}
