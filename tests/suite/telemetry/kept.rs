//! Which spans are kept, and how many may wait.

use std::sync::Arc;

use countersign::model::{CallId, Timestamp};
use countersign::telemetry::{Metrics, Sampling, Spans};
use http::HeaderMap;
use ring::rand::{SecureRandom as _, SystemRandom};

/// How many of so many calls leave a span that waits, and what is counted.
fn kept(part: f64, calls: usize) -> (usize, String) {
    let metrics = Arc::new(Metrics::new().unwrap());
    let (spans, mut finished) = Spans::new(Sampling { part, follow: true }, metrics.clone());
    let at = Timestamp::from_millis(1_795_324_800_123);
    for _ in 0..calls {
        let mut random = [0; 10];
        SystemRandom::new().fill(&mut random).unwrap();
        drop(spans.call(CallId::new(at, random), at, &HeaderMap::new()));
    }
    let waiting = std::iter::from_fn(|| finished.try_recv().ok()).count();
    (waiting, String::from_utf8(metrics.text()).unwrap())
}

#[test]
fn what_comes_when_too_many_wait_is_dropped_and_counted() {
    let (waiting, counted) = kept(1.0, 5_000);
    assert_eq!(waiting, 4_096);
    assert!(counted.contains("countersign_spans_total{outcome=\"dropped\"} 904\n"), "{counted}");
}

#[test]
fn a_part_of_the_traces_is_about_that_part() {
    let (waiting, counted) = kept(0.25, 4_000);
    assert!((800..1_200).contains(&waiting), "{waiting} of 4000");
    assert!(counted.contains("countersign_spans_total{outcome=\"dropped\"} 0\n"), "{counted}");
    assert_eq!((kept(0.0, 100).0, kept(1.0, 100).0), (0, 100));
}
