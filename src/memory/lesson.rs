//! What one answer teaches: which of its values a system of record stands behind, and which words a stranger may have
//! written.

use serde_json::Value;

use crate::model::{Aimed, CallId, Field, Key, Label, Pointer, Reading, Step, vouched, words};

/// Words of trusted fields of one answer of which every run is vouched for. Of longer ones, each field as a whole.
const MOST_WORDS: usize = 4_096;

/// An answer, read.
#[derive(Debug)]
pub struct Lesson {
    /// The call that brought it.
    pub(super) call: CallId,
    /// Whoever opened the task had named what was read.
    pub(super) named: bool,
    pub(super) trusted: Vec<Key>,
    pub(super) untrusted: Vec<Vec<String>>,
}

impl Lesson {
    /// What `reading` teaches, by what the catalog says of its parts. What cannot be read in the way it is said to be
    /// vouches for nothing, and all of it is a stranger's if any of it is.
    pub(super) fn of(reading: Reading<'_>, fields: &[Field], (call, named): (CallId, bool)) -> Self {
        let mut lesson = Self { call, named, trusted: Vec::new(), untrusted: Vec::new() };
        let parsed = reading.json.then(|| serde_json::from_slice::<Value>(reading.body).ok()).flatten();
        let Some(value) = parsed else {
            let text = String::from_utf8_lossy(reading.body);
            let whole = |label: Label| fields.iter().any(|field| field.label == label && field.at.steps().is_empty());
            if fields.iter().any(|field| field.label == Label::Untrusted) {
                lesson.untrusted.push(words(&text).collect());
            } else if whole(Label::Trusted) && !reading.json && reading.success {
                lesson.trust(&[text.into_owned()]);
            }
            return lesson;
        };
        let (mut trusted, mut untrusted) = (Vec::new(), Vec::new());
        for Field { at, label } in fields {
            match label {
                Label::Trusted => gather(&value, at, &mut trusted),
                Label::Untrusted => gather(&value, at, &mut untrusted),
                Label::Private => {}
            }
        }
        lesson.untrusted = untrusted.iter().map(|text| words(text).collect()).collect();
        if reading.success {
            lesson.trust(&trusted);
        }
        lesson
    }

    fn trust(&mut self, texts: &[String]) {
        let mut left = MOST_WORDS;
        for text in texts {
            let count = words(text).take(left + 1).count();
            if count <= left {
                left -= count;
                self.trusted.extend(vouched(text));
            }
            self.trusted.extend(Aimed::new(text).into_iter().flat_map(|value| value.keys));
        }
    }
}

/// Every scalar that a pointer leads to or over, as text.
fn gather(value: &Value, at: &Pointer, texts: &mut Vec<String>) {
    let mut here = vec![value];
    for step in at.steps() {
        here = here.into_iter().flat_map(|value| down(value, step)).collect();
    }
    for value in here {
        scalars(value, texts);
    }
}

fn down<'a>(value: &'a Value, step: &Step) -> Vec<&'a Value> {
    match (value, step) {
        (Value::Array(items), Step::Every) => items.iter().collect(),
        (Value::Object(members), Step::Every) => members.values().collect(),
        (Value::Object(members), Step::Named(name)) => members.get(name).into_iter().collect(),
        (Value::Array(items), Step::Named(name)) => {
            name.parse().ok().and_then(|place: usize| items.get(place)).into_iter().collect()
        }
        (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_), _) => Vec::new(),
    }
}

fn scalars(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::Null => {}
        Value::Bool(truth) => texts.push(truth.to_string()),
        Value::Number(number) => texts.push(number.to_string()),
        Value::String(text) => texts.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| scalars(item, texts)),
        Value::Object(members) => members.values().for_each(|member| scalars(member, texts)),
    }
}
