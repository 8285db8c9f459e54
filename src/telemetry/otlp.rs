//! Spans and metrics as OTLP sends them: protobuf over HTTP, `/v1/traces` and `/v1/metrics`.

use std::time::Duration;

use prometheus::proto::{LabelPair, MetricFamily, MetricType};
use prost::Message as _;

use super::Metrics;
use super::attribute::{Attribute, EXECUTE_TOOL};
use super::messages::{
    AnyValue, Data, Event, ExportMetrics, ExportTraces, Gauge, Histogram, HistogramPoint, KeyValue, Link, List, Metric,
    NumberPoint, Resource, ResourceMetrics, ResourceSpans, Scope, ScopeMetrics, ScopeSpans, Span, Status, Sum, Value,
};
use super::span::{Finished, Said};
use crate::model::Timestamp;

/// `SPAN_KIND_INTERNAL`, which the conventions want of a tool that is executed.
const INTERNAL: i32 = 1;

/// `STATUS_CODE_ERROR`.
const ERROR: i32 = 2;

/// `AGGREGATION_TEMPORALITY_CUMULATIVE`.
const CUMULATIVE: i32 = 2;

/// Who sends.
#[derive(Clone, Debug)]
pub struct Source {
    /// What tells this sidecar from others, and is the same after a restart.
    pub instance: String,
    /// When it started.
    pub started: Timestamp,
}

impl Source {
    fn resource(&self) -> Resource {
        let name = text("service.name", "countersign");
        let version = text("service.version", env!("CARGO_PKG_VERSION"));
        Resource { attributes: vec![name, version, text("service.instance.id", &self.instance)] }
    }
}

fn scope() -> Scope {
    Scope { name: "countersign".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() }
}

/// An `ExportTraceServiceRequest` of these spans.
pub fn traces(source: &Source, spans: Vec<Finished>) -> Vec<u8> {
    let spans = spans.into_iter().map(span).collect();
    let scope_spans = vec![ScopeSpans { scope: Some(scope()), spans }];
    ExportTraces { resource_spans: vec![ResourceSpans { resource: Some(source.resource()), scope_spans }] }
        .encode_to_vec()
}

fn span(finished: Finished) -> Span {
    let Finished { name, point, parent, link, at, took, mut attributes, steps, failed } = finished;
    let begun = nanos(at);
    let after = |took: Duration| begun.saturating_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    let tool = attributes.iter().find(|(attribute, _)| *attribute == Attribute::Tool);
    let full =
        tool.and_then(|(_, said)| if let Said::Name(tool) = said { Some(format!("{name} {tool}")) } else { None });
    if name == EXECUTE_TOOL {
        attributes.push((Attribute::Operation, Said::Word(EXECUTE_TOOL)));
    }
    let said = |(attribute, said): (Attribute, Said)| key(attribute.name(), value(said));
    Span {
        trace_id: point.trace.to_vec(),
        span_id: point.span.to_vec(),
        parent_span_id: parent.map(|parent| parent.to_vec()).unwrap_or_default(),
        name: full.unwrap_or_else(|| name.to_owned()),
        kind: INTERNAL,
        start_time_unix_nano: begun,
        end_time_unix_nano: after(took),
        attributes: attributes.into_iter().map(said).collect(),
        events: steps
            .into_iter()
            .map(|(step, took)| Event { time_unix_nano: after(took), name: step.name().to_owned() })
            .collect(),
        links: link
            .map(|link| Link { trace_id: link.trace.to_vec(), span_id: link.span.to_vec() })
            .into_iter()
            .collect(),
        status: failed.then_some(Status { code: ERROR }),
    }
}

fn value(said: Said) -> Value {
    match said {
        Said::Word(word) => Value::Text(word.to_owned()),
        Said::Name(name) => Value::Text(name.to_string()),
        Said::Text(text) => Value::Text(text),
        Said::Names(names) => {
            let values = names.into_iter().map(|name| AnyValue { value: Some(Value::Text(name)) }).collect();
            Value::List(List { values })
        }
        Said::Number(number) => Value::Number(number),
    }
}

/// An `ExportMetricsServiceRequest` of everything that is counted.
pub fn metrics(source: &Source, counted: &Metrics, now: Timestamp) -> Vec<u8> {
    let (start, time) = (nanos(source.started), nanos(now));
    let metrics = counted.families().iter().map(|family| metric(family, start, time)).collect();
    let scope_metrics = vec![ScopeMetrics { scope: Some(scope()), metrics }];
    ExportMetrics { resource_metrics: vec![ResourceMetrics { resource: Some(source.resource()), scope_metrics }] }
        .encode_to_vec()
}

fn metric(family: &MetricFamily, start: u64, time: u64) -> Metric {
    let kind = family.get_field_type();
    let number = |metric: &prometheus::proto::Metric| {
        let value =
            if kind == MetricType::COUNTER { metric.get_counter().get_value() } else { metric.get_gauge().get_value() };
        let attributes = labels(metric.get_label());
        NumberPoint { start_time_unix_nano: start, time_unix_nano: time, as_double: Some(value), attributes }
    };
    let all = family.get_metric().iter();
    let data = match kind {
        MetricType::COUNTER => {
            Data::Sum(Sum { points: all.map(number).collect(), temporality: CUMULATIVE, is_monotonic: true })
        }
        MetricType::HISTOGRAM => Data::Histogram(Histogram {
            points: all.map(|one| spread(one, start, time)).collect(),
            temporality: CUMULATIVE,
        }),
        MetricType::GAUGE | MetricType::SUMMARY | MetricType::UNTYPED => {
            Data::Gauge(Gauge { points: all.map(number).collect() })
        }
    };
    Metric { name: family.name().to_owned(), description: family.help().to_owned(), data: Some(data) }
}

/// A histogram: Prometheus counts up to each bound, OTLP between two.
fn spread(metric: &prometheus::proto::Metric, start: u64, time: u64) -> HistogramPoint {
    let histogram = metric.get_histogram();
    let (mut bounds, mut counts, mut below) = (Vec::new(), Vec::new(), 0);
    for bucket in histogram.get_bucket().iter().filter(|bucket| bucket.upper_bound().is_finite()) {
        bounds.push(bucket.upper_bound());
        counts.push(bucket.cumulative_count().saturating_sub(below));
        below = bucket.cumulative_count();
    }
    counts.push(histogram.get_sample_count().saturating_sub(below));
    HistogramPoint {
        start_time_unix_nano: start,
        time_unix_nano: time,
        count: histogram.get_sample_count(),
        sum: Some(histogram.get_sample_sum()),
        bucket_counts: counts,
        explicit_bounds: bounds,
        attributes: labels(metric.get_label()),
    }
}

fn labels(pairs: &[LabelPair]) -> Vec<KeyValue> {
    pairs.iter().filter(|pair| !pair.value().is_empty()).map(|pair| text(pair.name(), pair.value())).collect()
}

fn text(name: &str, said: &str) -> KeyValue {
    key(name, Value::Text(said.to_owned()))
}

fn key(name: &str, value: Value) -> KeyValue {
    KeyValue { key: name.to_owned(), value: Some(AnyValue { value: Some(value) }) }
}

fn nanos(at: Timestamp) -> u64 {
    at.unsigned_millis().saturating_mul(1_000_000)
}
