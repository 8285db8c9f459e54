//! What is told to those who watch: logs as JSON lines, what is counted, and a span of each call.

mod attribute;
mod line;
mod log;
mod messages;
mod metrics;
mod otlp;
mod page;
mod span;

pub use self::attribute::{Attribute, Step};
pub use self::line::{LONGEST_LINE, LONGEST_VALUE};
pub use self::log::{FilterError, install};
pub use self::metrics::{Connected, Metrics};
pub use self::otlp::{Source, metrics, traces};
pub use self::page::page;
pub use self::span::{Finished, Sampling, Span, Spans};
