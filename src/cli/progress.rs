//! How far a long command is, for whoever waits at a terminal. Nobody else sees any of it, and nothing of it stays.

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::Output;

/// A line on stderr that says what is being done, until it is dropped.
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// Begins with something. It is shown on a terminal only, and never where the results are for programs.
    pub(super) fn of(what: &'static str, output: Output) -> Self {
        if output != Output::Text || !io::stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        let bar = ProgressBar::new_spinner();
        bar.set_message(what);
        restyle(&bar, "{spinner} {msg}, {elapsed}");
        bar.enable_steady_tick(Duration::from_millis(100));
        Self(bar)
    }

    /// The same for what writes its results as it goes: not where these come to a terminal, too.
    pub(super) fn beside(what: &'static str, output: Output) -> Self {
        if io::stdout().is_terminal() { Self(ProgressBar::hidden()) } else { Self::of(what, output) }
    }

    /// Goes on with something else, of which nobody knows yet how much it is.
    pub(super) fn step(&self, what: &'static str) {
        restyle(&self.0, "{spinner} {msg}, {elapsed}");
        self.0.unset_length();
        self.0.reset();
        self.0.set_message(what);
    }

    /// Takes down how much is done, of how much.
    pub(super) fn counter(&self) -> impl Fn(u64, u64) + Send + 'static {
        let bar = self.0.clone();
        move |done, total| {
            if bar.length() != Some(total) {
                restyle(&bar, "{msg} {bar:32} {human_pos} of {human_len}, {eta} left");
                bar.set_length(total);
            }
            bar.set_position(done);
        }
    }

    /// Each of these, counted.
    pub(super) fn over<'a, T>(&self, all: &'a [T]) -> impl Iterator<Item = &'a T> {
        let (count, total) = (self.counter(), all.len() as u64);
        (1..).zip(all).map(move |(done, it)| {
            count(done, total);
            it
        })
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// None of the styles has a colour.
fn restyle(bar: &ProgressBar, template: &str) {
    bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner()));
}
