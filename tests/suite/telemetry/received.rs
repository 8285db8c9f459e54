//! What a receiver of OTLP got, read by the numbers of the protocol and not by the sender's own definitions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::suite::common::tool::Tool;

/// A protobuf message: its fields in order, each a number or bytes.
pub struct Message(Vec<(u64, Part)>);

enum Part {
    Number(u64),
    Bytes(Vec<u8>),
}

impl Message {
    pub fn read(mut bytes: &[u8]) -> Self {
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            let tag = varint(&mut bytes);
            let part = match tag & 7 {
                0 => Part::Number(varint(&mut bytes)),
                1 => Part::Number(u64::from_le_bytes(take(&mut bytes, 8).try_into().unwrap())),
                2 => {
                    let length = varint(&mut bytes).try_into().unwrap();
                    Part::Bytes(take(&mut bytes, length).to_vec())
                }
                kind => panic!("a field of kind {kind}"),
            };
            fields.push((tag >> 3, part));
        }
        Self(fields)
    }

    pub fn all(&self, number: u64) -> Vec<Self> {
        self.parts(number).map(Self::read).collect()
    }

    pub fn bytes(&self, number: u64) -> Vec<u8> {
        self.parts(number).next().unwrap_or_default().to_vec()
    }

    pub fn text(&self, number: u64) -> String {
        String::from_utf8(self.bytes(number)).unwrap()
    }

    pub fn number(&self, number: u64) -> u64 {
        let found = self.0.iter().find_map(|(field, part)| match part {
            Part::Number(value) if *field == number => Some(*value),
            Part::Number(_) | Part::Bytes(_) => None,
        });
        found.unwrap_or_default()
    }

    fn parts(&self, number: u64) -> impl Iterator<Item = &[u8]> {
        self.0.iter().filter_map(move |(field, part)| match part {
            Part::Bytes(bytes) if *field == number => Some(bytes.as_slice()),
            Part::Number(_) | Part::Bytes(_) => None,
        })
    }
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(length);
    *bytes = rest;
    taken
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let (mut value, mut shift) = (0, 0);
    loop {
        let byte = take(bytes, 1)[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return value;
        }
        shift += 7;
    }
}

/// A span, as far as tests look at it. Ids are in hexadecimal.
#[derive(Clone, Debug)]
pub struct Span {
    pub trace: String,
    pub id: String,
    pub parent: String,
    pub name: String,
    pub took: u64,
    pub said: BTreeMap<String, String>,
    pub events: Vec<String>,
    /// The traces and spans it is linked to.
    pub links: Vec<(String, String)>,
    pub failed: bool,
}

fn said(pairs: Vec<Message>) -> BTreeMap<String, String> {
    let value = |value: &Message| match value.all(5).first() {
        Some(list) => list.all(1).iter().map(|value| value.text(1)).collect::<Vec<_>>().join(","),
        None if value.number(3) > 0 => value.number(3).to_string(),
        None => value.text(1),
    };
    pairs.iter().map(|pair| (pair.text(1), value(&pair.all(2)[0]))).collect()
}

fn span(span: &Message) -> Span {
    Span {
        trace: hex::encode(span.bytes(1)),
        id: hex::encode(span.bytes(2)),
        parent: hex::encode(span.bytes(4)),
        name: span.text(5),
        took: span.number(8) - span.number(7),
        said: said(span.all(9)),
        events: span.all(11).iter().map(|event| event.text(2)).collect(),
        links: span.all(13).iter().map(|link| (hex::encode(link.bytes(1)), hex::encode(link.bytes(2)))).collect(),
        failed: span.all(15).first().is_some_and(|status| status.number(3) == 2),
    }
}

/// The bodies that were posted to a receiver below one path.
pub fn bodies(receiver: &Tool, path: &str) -> Vec<Vec<u8>> {
    let seen = receiver.seen();
    let there = seen.iter().filter(|request| request.uri().path() == path);
    there
        .map(|request| {
            assert_eq!(
                (request.method().as_str(), &request.headers()["content-type"]),
                ("POST", &"application/x-protobuf".parse().unwrap())
            );
            request.body().to_vec()
        })
        .collect()
}

/// Every span that a receiver got so far.
pub fn spans(receiver: &Tool) -> Vec<Span> {
    let messages = bodies(receiver, "/v1/traces");
    let resources = messages.iter().flat_map(|body| Message::read(body).all(1)).collect::<Vec<_>>();
    for resource in &resources {
        assert_eq!(said(resource.all(1)[0].all(1))["service.name"], "countersign");
    }
    resources.iter().flat_map(|resource| resource.all(2)).flat_map(|scope| scope.all(2)).map(|it| span(&it)).collect()
}

/// The same, once there are so many.
pub async fn wait_for(receiver: &Arc<Tool>, count: usize) -> Vec<Span> {
    for _ in 0..400 {
        let spans = spans(receiver);
        if spans.len() >= count {
            return spans;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("{count} spans did not come: {:#?}", spans(receiver));
}

/// The points of a metric that a receiver got last: its labels, and what it counts (for a histogram, how many).
pub fn counted(receiver: &Tool, name: &str) -> Vec<(BTreeMap<String, String>, f64)> {
    let last = bodies(receiver, "/v1/metrics").pop().expect("metrics");
    let metrics = Message::read(&last).all(1)[0].all(2)[0].all(2);
    let metric = metrics.iter().find(|metric| metric.text(1) == name).expect("the metric");
    let number = |point: &Message| (said(point.all(7)), f64::from_bits(point.number(4)));
    let spread = |point: &Message| {
        let (_, counts) = (point.number(5), point.bytes(6));
        let inside: u64 = counts.chunks(8).map(|count| u64::from_le_bytes(count.try_into().unwrap())).sum();
        assert_eq!((inside, counts.len()), (point.number(4), point.bytes(7).len() + 8), "one bucket more than bounds");
        #[expect(clippy::cast_precision_loss, reason = "some calls, and no more")]
        (said(point.all(9)), point.number(4) as f64)
    };
    let of = |kind: u64| metric.all(kind).iter().flat_map(|data| data.all(1)).collect::<Vec<_>>();
    let numbers = of(5).into_iter().chain(of(7));
    numbers.map(|point| number(&point)).chain(of(9).iter().map(spread)).collect()
}
