//! A span of each call: begun when the call arrives, told what becomes of it, handed on when nobody works on it any more.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Method};
use quick_cache::sync::Cache;
use tokio::sync::mpsc;

use super::Metrics;
use super::attribute::{Attribute, EXECUTE_TOOL, OPEN_TASK, Step};
use crate::model::{
    AgentName, Call, CallId, Code, Decision, Ending, Finding, OpenedBy, Outcome, Task, TaskId, Timestamp, TracePoint,
};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Spans that may wait to be sent. What comes when so many wait is dropped, and counted.
const QUEUE: usize = 4_096;

/// Tasks of which it is remembered that their opening followed from something else.
const OPENERS: usize = 10_000;

/// Which traces are kept.
#[derive(Clone, Copy, Debug)]
pub struct Sampling {
    /// Of the traces that begin here, this part: 0 to 1.
    pub part: f64,
    /// Whether an agent's word holds for a trace that it has begun.
    pub follow: bool,
}

/// Where spans begin. By default nowhere: then nothing is kept, and a `traceparent` passes as it came.
#[derive(Clone, Default)]
pub struct Spans(Option<Arc<Book>>);

struct Book {
    sampling: Sampling,
    queue: mpsc::Sender<Finished>,
    metrics: Arc<Metrics>,
    openers: Cache<TaskId, TracePoint>,
}

/// A call's span while somebody works on the call. The last one to let go of it hands it on.
#[derive(Clone)]
pub struct Span {
    begun: Instant,
    open: Option<Arc<Open>>,
}

struct Open {
    book: Arc<Book>,
    call: CallId,
    begun: Instant,
    told: Mutex<Finished>,
}

/// A span that is over, or as much as is known of it.
#[derive(Clone, Debug)]
pub struct Finished {
    /// What it is a span of.
    pub name: &'static str,
    /// Where it stands.
    pub point: TracePoint,
    /// The span it follows from, if any.
    pub parent: Option<[u8; 8]>,
    /// What else it belongs to: the opening of its task, if its agent has a trace of its own.
    pub link: Option<TracePoint>,
    /// When it began.
    pub at: Timestamp,
    /// How long it took.
    pub took: Duration,
    /// What is said of it.
    pub attributes: Vec<(Attribute, Said)>,
    /// What happened, and how long after its beginning.
    pub steps: Vec<(Step, Duration)>,
    /// It did not do what it was to do.
    pub failed: bool,
}

/// What an attribute says.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// One of our words.
    Word(&'static str),
    /// A name out of the configuration.
    Name(Arc<str>),
    /// Something made, such as an id.
    Text(String),
    /// Several names.
    Names(Vec<String>),
    /// A number.
    Number(i64),
}

impl Spans {
    /// Begins spans from now on, and where they are handed on to.
    pub fn new(sampling: Sampling, metrics: Arc<Metrics>) -> (Self, mpsc::Receiver<Finished>) {
        let (queue, finished) = mpsc::channel(QUEUE);
        let book = Book { sampling, queue, metrics, openers: Cache::new(OPENERS) };
        (Self(Some(Arc::new(book))), finished)
    }

    /// A call that has arrived with these headers.
    pub fn call(&self, id: CallId, at: Timestamp, headers: &HeaderMap) -> Span {
        let Some(book) = &self.0 else { return Span::off() };
        let parent = book.parent(headers);
        let point = parent.map_or_else(|| book.own(TracePoint::of_call(id)), |parent| parent.followed_by(id));
        Span::begin(book, id, Finished::new(EXECUTE_TOOL, point, parent.map(|parent| parent.span), at))
    }

    /// A call that was kept until somebody agreed: it bears the mark of its first try.
    pub fn again(&self, kept: &mut Call, at: Timestamp) -> Span {
        let Some(book) = &self.0 else { return Span::off() };
        let first = kept.headers.get(TRACEPARENT).and_then(TracePoint::parse);
        let first = first.unwrap_or_else(|| book.own(TracePoint::of_call(kept.id)));
        let span = Span::begin(book, kept.id, Finished::new(EXECUTE_TOOL, first.again(), Some(first.span), at));
        span.within(&kept.caller.agent, &kept.task);
        span.understood(kept);
        span
    }

    /// A task was opened by a request with these headers: its calls follow from that.
    pub fn opened(&self, task: &Task, headers: &HeaderMap, begun: Instant) {
        let Some(book) = &self.0 else { return };
        let parent = book.parent(headers).or_else(|| Some(book.opener(task.parent?)));
        let point = parent.map_or_else(|| book.opener(task.id), |parent| parent.opening(task.id));
        if parent.is_some() {
            book.openers.insert(task.id, point);
        }
        let mut told = Finished::new(OPEN_TASK, point, parent.map(|parent| parent.span), task.opened_at);
        told.say(Attribute::Agent, Said::Name(task.agent.0.clone()));
        told.say(Attribute::Conversation, Said::Text(task.id.to_string()));
        told.took = begun.elapsed();
        book.hand_on(told);
    }
}

impl Book {
    /// What a request says it follows from, kept if that is followed.
    fn parent(&self, headers: &HeaderMap) -> Option<TracePoint> {
        let mut values = headers.get_all(TRACEPARENT).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return None };
        let parent = TracePoint::parse(value)?;
        Some(if self.sampling.follow { parent } else { self.own(parent) })
    }

    /// The opening of a task.
    fn opener(&self, task: TaskId) -> TracePoint {
        self.openers.get(&task).unwrap_or_else(|| self.own(TracePoint::of_task(task)))
    }

    /// Kept or not by our own measure: by its id, so that all of a trace are kept or none.
    fn own(&self, point: TracePoint) -> TracePoint {
        let TracePoint { trace: [.., a, b, c, d], .. } = point;
        let place = f64::from(u32::from_be_bytes([a, b, c, d])) / (f64::from(u32::MAX) + 1.0);
        point.kept(place < self.sampling.part)
    }

    fn hand_on(&self, finished: Finished) {
        if finished.point.is_kept() && self.queue.try_send(finished).is_err() {
            self.metrics.spans_dropped(1);
        }
    }
}

impl Span {
    /// One that nobody keeps.
    pub fn off() -> Self {
        Self { begun: Instant::now(), open: None }
    }

    fn begin(book: &Arc<Book>, call: CallId, told: Finished) -> Self {
        let begun = Instant::now();
        let span =
            Self { begun, open: Some(Arc::new(Open { book: book.clone(), call, begun, told: Mutex::new(told) })) };
        span.tell(|told| told.say(Attribute::Call, Said::Text(call.to_string())));
        span
    }

    /// How long ago it began.
    pub fn took(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Who asks is proven, and in which task: without a trace of its own the call follows from the opening of that.
    pub fn within(&self, agent: &AgentName, task: &Task) {
        let Some(open) = &self.open else { return };
        let opener = (task.opened_by != OpenedBy::Nobody).then(|| open.book.opener(task.id));
        self.tell(|told| {
            told.say(Attribute::Agent, Said::Name(agent.0.clone()));
            let Some(opener) = opener else { return };
            told.say(Attribute::Conversation, Said::Text(task.id.to_string()));
            match told.parent {
                None => (told.point, told.parent) = (opener.followed_by(open.call), Some(opener.span)),
                Some(_) if told.point.trace != opener.trace => told.link = Some(opener),
                Some(_) => {}
            }
        });
    }

    /// It is known what the call does. The tool is told where in the trace it is called; of what its agent says beside
    /// that nothing passes if its trace does not.
    pub fn understood(&self, call: &mut Call) {
        let Some(open) = &self.open else { return };
        let point = lock(&open.told).point;
        let Ok(mark) = HeaderValue::from_str(&point.to_string()) else { return };
        let old = call.headers.insert(TRACEPARENT, mark);
        if old.as_ref().and_then(TracePoint::parse).is_none() {
            call.headers.remove(TRACESTATE);
        }
        self.tell(|told| {
            told.say(Attribute::Tool, Said::Name(call.action.name.clone()));
            told.say(Attribute::ToolType, Said::Word("extension"));
            told.say(Attribute::Effect, Said::Word(call.action.effect.name()));
            told.say(Attribute::Method, method(&call.method));
            told.say(Attribute::Server, Said::Text(call.tool.authority.host().to_owned()));
        });
        self.came(Step::Understood);
    }

    /// The call has come so far.
    pub fn came(&self, step: Step) {
        let took = self.begun.elapsed();
        self.tell(|told| told.steps.push((step, took)));
    }

    /// It is permitted, and so asks this issuer for a credential.
    pub fn permitted(&self, issuer: &Arc<str>) {
        self.tell(|told| {
            told.say(Attribute::Decision, Said::Word(Decision::Allow.name()));
            told.say(Attribute::Issuer, Said::Name(issuer.clone()));
        });
        self.came(Step::Recorded);
    }

    /// It is refused.
    pub fn refused(&self, code: Code, findings: &[Finding]) {
        self.tell(|told| {
            told.say(Attribute::Decision, Said::Word(code.decision().name()));
            if !findings.is_empty() {
                let rules = findings.iter().map(|finding| finding.rule.clone()).collect();
                told.say(Attribute::Rules, Said::Names(rules));
            }
        });
        self.failed(code);
    }

    /// It was permitted, and there is no answer.
    pub fn failed(&self, code: Code) {
        self.tell(|told| told.fail(code.name()));
    }

    /// The head of the tool's answer is here.
    pub fn answered(&self, status: u16) {
        self.tell(|told| told.say(Attribute::Status, Said::Number(status.into())));
        self.came(Step::Answered);
    }

    /// The permitted call is over.
    pub fn ended(&self, outcome: &Outcome) {
        self.tell(|told| {
            told.say(Attribute::Ending, Said::Word(outcome.ending.name()));
            if let Some(answered) = outcome.answered {
                told.say(Attribute::Bytes, Said::Number(i64::try_from(answered.bytes).unwrap_or(i64::MAX)));
            }
            match outcome.ending {
                Ending::Completed => {}
                Ending::Failed
                | Ending::Abandoned
                | Ending::Expired
                | Ending::Revoked
                | Ending::Shutdown
                | Ending::Unknown => told.fail(outcome.ending.name()),
            }
        });
    }

    fn tell(&self, what: impl FnOnce(&mut Finished)) {
        if let Some(open) = &self.open {
            what(&mut lock(&open.told));
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let told = self.told.get_mut().unwrap_or_else(PoisonError::into_inner);
        told.took = self.begun.elapsed();
        self.book.hand_on(told.clone());
    }
}

impl Finished {
    fn new(name: &'static str, point: TracePoint, parent: Option<[u8; 8]>, at: Timestamp) -> Self {
        let (attributes, steps) = (Vec::with_capacity(Attribute::ALL.len()), Vec::with_capacity(Step::ALL.len()));
        Self { name, point, parent, link: None, at, took: Duration::ZERO, attributes, steps, failed: false }
    }

    fn say(&mut self, attribute: Attribute, said: Said) {
        match self.attributes.iter_mut().find(|(known, _)| *known == attribute) {
            Some((_, old)) => *old = said,
            None => self.attributes.push((attribute, said)),
        }
    }

    fn fail(&mut self, why: &'static str) {
        self.failed = true;
        // The code that the agent read says more than the ending that follows from it.
        if !self.attributes.iter().any(|(known, _)| *known == Attribute::Error) {
            self.say(Attribute::Error, Said::Word(why));
        }
    }
}

fn method(method: &Method) -> Said {
    Said::Text(method.as_str().to_owned())
}

fn lock(told: &Mutex<Finished>) -> MutexGuard<'_, Finished> {
    told.lock().unwrap_or_else(PoisonError::into_inner)
}
