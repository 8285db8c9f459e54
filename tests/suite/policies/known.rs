//! Generated facts, with which generated policies are asked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use countersign::model::{
    AgentFacts, ApprovalFacts, Argument, BaselineFacts, ChainFacts, Digest, Exceeded, Facts, IntentFacts, IntentSource,
    Label, OpenedBy, TaskFacts, Time, ValueFacts, WorkloadFacts,
};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::written::{SETS, WORDS};

pub fn facts() -> impl Strategy<Value = Facts> {
    let words = prop::collection::vec(select(WORDS.to_vec()), 5);
    let rules = prop::collection::btree_map(
        (0_usize..10).prop_map(|number| format!("r{number:02}")),
        Just(Digest([7; 32])),
        0..6,
    );
    let numbers = prop::collection::vec(prop_oneof![3 => 0_i64..4, 1 => Just(40)], 13);
    let sets = prop::collection::vec(subsequence(SETS.to_vec(), 0..=4), 9);
    (words, numbers, sets, prop::collection::vec(any::<bool>(), 15), args(), rules).prop_map(
        |(words, numbers, sets, truths, args, rules)| Facts {
            intent: IntentFacts {
                declared: truths[0],
                source: if words[0] == "header" { IntentSource::Header } else { IntentSource::None },
                matches: truths[1],
                purpose_present: truths[2],
            },
            task: TaskFacts {
                present: truths[3],
                opened_by: if words[1] == "nobody" { OpenedBy::Nobody } else { OpenedBy::Framework },
                declared: truths[4],
                depth: numbers[0],
                age_s: numbers[1],
                overflow: truths[8],
                alarmed: truths[9],
                denials: numbers[10],
                on_behalf_of: truths[5].then(|| words[2].to_owned()),
            },
            workload: WorkloadFacts { kind: words[3].into(), strength: numbers[2] },
            agent: AgentFacts { quarantined: truths[6], break_glass: truths[7] },
            labels: [Label::Untrusted, Label::Private]
                .into_iter()
                .filter(|label| sets[0].contains(&label.name()))
                .collect(),
            values: ValueFacts {
                critical: names(&sets[3]),
                unattested: sets[4].iter().map(|name| (Arc::from(*name), None)).collect(),
                delegated: names(&sets[5]),
                quoted: names(&sets[6]),
            },
            chain: ChainFacts {
                calls: numbers[3],
                repeats: numbers[4],
                concurrent: numbers[5],
                fan_out: numbers[8],
                privilege_s: numbers[9],
                actions: names(&sets[1]),
            },
            baseline: habits(&truths[10..], &numbers[11..], &sets[7..]),
            limits: sets[2]
                .iter()
                .map(|name| ((*name).to_owned(), Exceeded { limit: 1, retry_after_ms: None }))
                .collect(),
            approval: ApprovalFacts { rules },
            time: Time { hour: numbers[6], weekday: numbers[7] },
            body: words[4].into(),
            args,
        },
    )
}

fn habits(truths: &[bool], numbers: &[i64], sets: &[Vec<&'static str>]) -> BaselineFacts {
    BaselineFacts {
        version: numbers[0],
        ready: truths[0],
        novel_action: truths[1],
        novel_step: truths[2],
        novel_resource: truths[3],
        novel_source: truths[4],
        novel_destination: truths[0] && truths[1],
        chances: sets[0].iter().map(|name| ((*name).into(), numbers[1])).collect(),
        unusual: sets[0].iter().map(|name| (*name).into()).collect(),
        insufficient: sets[1].iter().map(|name| (*name).into()).collect(),
        drift: numbers[1],
    }
}

fn names(set: &[&str]) -> BTreeSet<Arc<str>> {
    set.iter().map(|name| Arc::from(*name)).collect()
}

fn args() -> impl Strategy<Value = BTreeMap<Arc<str>, Argument>> {
    let all = vec![
        ("number", Argument::Long(1)),
        ("number", Argument::Long(7)),
        ("title", Argument::Text("a b".to_owned())),
        ("to", Argument::Text("whole".to_owned())),
        ("amount", Argument::Decimal("0.5000".to_owned())),
        ("amount", Argument::Decimal("3.5".to_owned())),
        ("urgent", Argument::Bool(true)),
        ("urgent", Argument::Bool(false)),
    ];
    subsequence(all, 0..=8).prop_map(|args| args.into_iter().map(|(name, value)| (Arc::from(name), value)).collect())
}
