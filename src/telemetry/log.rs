//! The log: which events become lines, and where the lines go.

use std::io::Write as _;
use std::panic::Location;

use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

use super::line::line;
use crate::model::Clock;

/// What our own events are logged under: this, and what begins with it and `::`.
const OURS: &str = "countersign";

/// Logs to standard error from now on, at the levels that `filter` says; so do panics, by their place alone.
///
/// `filter` is `off`, `error`, `warn`, `info`, `debug` or `trace`, or a list such as `warn,countersign::mint=debug`.
/// It speaks of our own events: those of libraries, which at lower levels print headers and paths, are heard at
/// `warn` and above, whatever it says.
pub fn install(filter: &str, clock: Clock) -> Result<(), FilterError> {
    let write = |line: &str| {
        // In one piece, so that lines of two threads do not mix. Nobody is left to be told if it cannot be written.
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
    };
    let lines = Lines { levels: Levels::parse(filter)?, clock, write };
    // A second subscriber in one process (tests) changes nothing.
    let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry().with(lines));
    std::panic::set_hook(Box::new(|panic| {
        // What a panic carries may quote what it was working on, so it is not looked at.
        let at = panic.location().map_or_else(|| "unknown".to_owned(), place);
        let thread = std::thread::current();
        tracing::error!(at, thread = thread.name(), "a panic: what was being done is given up, and the rest goes on");
    }));
    Ok(())
}

/// A filter that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{0}` is no filter for the log; write `off`, `error`, `warn`, `info`, `debug` or `trace`, or a list such as \
     `warn,countersign::mint=debug`"
)]
pub struct FilterError(String);

/// What is loud enough.
struct Levels {
    ours: Targets,
    others: LevelFilter,
}

impl Levels {
    fn parse(filter: &str) -> Result<Self, FilterError> {
        let wrong = || FilterError(filter.escape_debug().collect());
        let ours: Targets = filter.parse().map_err(|_| wrong())?;
        let default = ours.default_level();
        // A word that is no level reads as a target, and would silence everything else.
        if filter.trim().is_empty() || ours.iter().any(|(target, _)| !is_ours(target)) {
            return Err(wrong());
        }
        Ok(Self { others: default.unwrap_or(LevelFilter::WARN).min(LevelFilter::WARN), ours })
    }

    fn take(&self, metadata: &Metadata<'_>) -> bool {
        let (target, level) = (metadata.target(), metadata.level());
        if !metadata.is_event() {
            // Spans of libraries; we have none, and lines name none.
            false
        } else if is_ours(target) {
            self.ours.would_enable(target, level)
        } else {
            *level <= self.others
        }
    }
}

fn is_ours(target: &str) -> bool {
    target.strip_prefix(OURS).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Each event it takes becomes a line.
struct Lines<W> {
    levels: Levels,
    clock: Clock,
    write: W,
}

impl<S: Subscriber, W: Fn(&str) + 'static> Layer<S> for Lines<W> {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.levels.take(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.levels.take(metadata)
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        (self.write)(&line(self.clock.now(), event));
    }
}

/// Where in the source, as `src/mint.rs:12:3`. Of a library, the file's last parts: the rest is where it was built.
fn place(location: &Location<'_>) -> String {
    let mut parts: Vec<&str> = location.file().rsplit('/').take(4).collect();
    parts.reverse();
    format!("{}:{}:{}", parts.join("/"), location.line(), location.column())
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::model::Timestamp;

    /// The lines that `filter` lets through of a few events of ours and of others.
    fn logged(filter: &str) -> Vec<String> {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let taken = lines.clone();
        let layer = Lines {
            levels: Levels::parse(filter).unwrap(),
            clock: Clock::new(|| Timestamp::from_millis(0)),
            write: move |line: &str| taken.lock().unwrap().push(line.to_owned()),
        };
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::error!(target: "countersign::mint", "ours error");
            tracing::info!(target: "countersign", "ours info");
            tracing::debug!(target: "countersign::mint", "ours debug");
            tracing::trace!(target: "countersign::mint", "ours trace");
            tracing::error!(target: "hyper::proto", "theirs error");
            tracing::warn!(target: "hyper::proto", "theirs warn");
            tracing::info!(target: "countersigner", "theirs info");
            tracing::debug!(target: "hyper::proto", authorization = "Bearer x", "theirs debug");
            tracing::trace!(target: "rustls", "theirs trace");
        });
        let lines = lines.lock().unwrap();
        let told = |line: &String| {
            let read: serde_json::Value = serde_json::from_str(line).unwrap();
            read["message"].as_str().unwrap().to_owned()
        };
        lines.iter().map(told).collect()
    }

    #[test]
    fn libraries_are_never_heard_below_warn() {
        for (filter, heard) in [
            ("info", &["ours error", "ours info", "theirs error", "theirs warn"][..]),
            ("trace", &["ours error", "ours info", "ours debug", "ours trace", "theirs error", "theirs warn"]),
            ("error", &["ours error", "theirs error"]),
            ("off", &[]),
            ("countersign=info", &["ours error", "ours info", "theirs error", "theirs warn"]),
            ("warn,countersign::mint=debug", &["ours error", "ours debug", "theirs error", "theirs warn"]),
        ] {
            assert_eq!(logged(filter), heard, "{filter}");
        }
    }

    #[test]
    fn a_filter_that_speaks_of_others_or_of_nothing_is_refused() {
        for filter in ["", "verbose", "hyper=trace", "info,hyper=trace", "countersign=loud", "countersigner=debug"] {
            assert!(Levels::parse(filter).is_err(), "{filter}");
        }
    }

    #[test]
    fn numbers_and_errors_keep_their_kind() {
        let lines = Arc::new(Mutex::new(String::new()));
        let taken = lines.clone();
        let layer = Lines {
            levels: Levels::parse("info").unwrap(),
            clock: Clock::new(|| Timestamp::from_millis(0)),
            write: move |line: &str| *taken.lock().unwrap() = line.to_owned(),
        };
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            let error = std::io::Error::other("disk\nfull");
            tracing::info!(target: "countersign", calls = 3, ended = true, part = 0.5, %error, "told");
        });
        let read: serde_json::Value = serde_json::from_str(&lines.lock().unwrap()).unwrap();
        assert_eq!((&read["calls"], &read["ended"]), (&3.into(), &true.into()));
        assert_eq!((&read["part"], &read["error"]), (&"0.5".into(), &"disk\nfull".into()));
    }

    #[test]
    fn a_place_does_not_say_where_a_library_was_built() {
        assert!(place(Location::caller()).starts_with("src/telemetry/log.rs:"));
    }
}
