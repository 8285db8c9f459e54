//! Walls of form: where a file lies, how it opens, how long it is, which attributes and names it holds.

use super::reading::{Found, Source, Spot};
use super::walls::{Breach, Wall};
use super::{BESIDE, EMPTY_WORDS, FILE_LINES, FOLDERS, IGNORED, LAYERS};

/// What a file's path and text already show.
pub(super) fn of_text(source: &Source) -> Vec<Breach> {
    let mut found = Vec::new();
    let mut tell = |wall, line, what: &str| {
        found.push(Breach { wall, path: source.path.clone(), line, what: what.to_owned() });
    };
    let parts: Vec<&str> = source.path.split('/').collect();
    let lines = source.text.lines().count();
    if parts.last() == Some(&"mod.rs") {
        tell(Wall::Files, 1, "`foo.rs` stands beside `foo/`, there is no `mod.rs`");
    }
    if lines > FILE_LINES {
        tell(Wall::Files, lines, &format!("{lines} lines, at most {FILE_LINES}"));
    }
    if !source.text.starts_with("//! ") {
        tell(Wall::Files, 1, "the file does not open with its job: `//! …`");
    }
    if let ["src", inner @ ..] = &parts[..] {
        if inner.len() > FOLDERS + 1 {
            tell(Wall::Files, 1, &format!("more than {FOLDERS} folders deep"));
        }
        let room = inner.first().map_or("", |first| first.trim_end_matches(".rs"));
        if room != "lib" && !LAYERS.iter().any(|layer| layer.contains(&room)) && !BESIDE.iter().any(|it| it.0 == room) {
            tell(Wall::Layers, 1, &format!("the house has no room `{room}`"));
        }
        for part in inner {
            if let Some(word) = empty_word(part.trim_end_matches(".rs")) {
                tell(Wall::Words, 1, &format!("`{part}` holds the word `{word}`"));
            }
        }
    }
    found
}

/// What one spot of a file shows by itself.
pub(super) fn of_spot(source: &Source, spot: &Spot) -> Option<(Wall, String)> {
    let ours = source.path.starts_with("src/");
    match &spot.found {
        Found::Allow => Some((Wall::Allow, "write `#[expect(…, reason = \"…\")]`".to_owned())),
        Found::Ignored { test, reason } => {
            let listed = IGNORED.iter().any(|(name, why)| name == test && Some(*why) == reason.as_deref());
            (!listed).then(|| (Wall::Ignore, format!("`{test}` is ignored")))
        }
        Found::Elsewhere if ours => Some((Wall::Files, "source is taken from elsewhere".to_owned())),
        Found::TestSwitch if ours => {
            Some((Wall::TestSwitches, "`cfg(test)` on something else than a module".to_owned()))
        }
        Found::TopItem if source.path == "src/lib.rs" => {
            Some((Wall::Files, "the map holds module declarations only".to_owned()))
        }
        Found::Defined(name) if ours => {
            empty_word(name).map(|word| (Wall::Words, format!("`{name}` holds the word `{word}`")))
        }
        Found::Elsewhere
        | Found::TestSwitch
        | Found::TopItem
        | Found::Defined(_)
        | Found::Path(_)
        | Found::Method { .. }
        | Found::Async
        | Found::Static
        | Found::Enum(_)
        | Found::Implemented { .. }
        | Found::CatchAll { .. }
        | Found::TestModule(_) => None,
    }
}

/// The first empty word in a name, be it `CamelCase` or `snake_case`.
fn empty_word(name: &str) -> Option<&'static str> {
    let mut split = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() {
            split.push('_');
        }
        split.extend(letter.to_lowercase());
    }
    split.split('_').find_map(|word| EMPTY_WORDS.iter().find(|empty| **empty == word).copied())
}
