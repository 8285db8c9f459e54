//! What was ever found by fuzzing, and some thousand inputs like it, without a fuzzer.

use std::fs;
use std::path::PathBuf;

use super::{addresses, catalog, headers, json, redaction, target};
use crate::suite::common::checkout::checkout;

/// Inputs that are made of a corpus: enough to notice a guard that is gone, few enough for every run.
const MADE: usize = 20_000;

/// The same with `COUNTERSIGN_LONG`.
const MADE_LONG: usize = 400_000;

#[test]
fn a_target_is_read_in_one_way() {
    replay("target", target::holds);
}

#[test]
fn only_what_may_pass_of_the_headers_does() {
    replay("headers", headers::holds);
}

#[test]
fn a_json_body_has_one_reading() {
    replay("json", json::holds);
}

#[test]
fn a_secret_is_masked_however_the_answer_is_cut() {
    replay("redaction", redaction::holds);
}

#[test]
fn a_path_is_one_action() {
    replay("catalog", catalog::holds);
}

#[test]
fn an_address_is_as_reachable_as_the_worst_in_it() {
    replay("addresses", addresses::holds);
}

/// Every file of a corpus, and inputs made of them. A property tells whether its input got through: some must, some must
/// not, or it holds for nothing.
fn replay(name: &str, holds: fn(&[u8]) -> bool) {
    let folder = checkout("fuzz/corpus").join(name);
    let mut files: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let corpus: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    let through = corpus.iter().filter(|input| told(holds, input)).count();
    assert!(
        through > 1 && corpus.len() - through > 1,
        "{}: {through} of {} got through",
        folder.display(),
        corpus.len()
    );

    let made = if std::env::var_os("COUNTERSIGN_LONG").is_some() { MADE_LONG } else { MADE };
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let through = (0..made).filter(|_| told(holds, &dice.input(&corpus))).count();
    assert!(through > made / 100, "{name}: of {made} inputs that were made, {through} got through");
}

fn told(holds: fn(&[u8]) -> bool, input: &[u8]) -> bool {
    let told = Told(input);
    let through = holds(told.0);
    drop(told);
    through
}

/// Says which input it was, if the property does not hold for it.
struct Told<'a>(&'a [u8]);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the input, to be kept in fuzz/corpus: \"{}\"", self.0.escape_ascii());
        }
    }
}

/// Chance that is the same in every run (xorshift64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end.max(1) as u64).unwrap()
    }

    /// One of the corpus, changed in up to four places.
    fn input(&mut self, corpus: &[Vec<u8>]) -> Vec<u8> {
        let mut input = corpus[self.below(corpus.len())].clone();
        for _ in 0..=self.below(4) {
            let at = self.below(input.len() + 1);
            let end = (at + 1 + self.below(8)).min(input.len());
            match self.below(6) {
                0 if at < end => input[at] ^= 1 << self.below(8),
                1 if at < end => drop(input.drain(at..end)),
                2 if at < end => {
                    let again = input[at..end].to_vec();
                    input.splice(at..at, again);
                }
                3 => {
                    let other = &corpus[self.below(corpus.len())];
                    let from = self.below(other.len());
                    let to = (from + 1 + self.below(16)).min(other.len());
                    input.splice(at..at, other[from..to].iter().copied());
                }
                4 => {
                    let sharp = b"/\\%.;?#&=+\"{}[],:*\0\n\t 0aF\x7f\x80\xc0\xff";
                    input.insert(at, sharp[self.below(sharp.len())]);
                }
                _ => input.insert(at, u8::try_from(self.below(256)).unwrap()),
            }
        }
        input
    }
}
