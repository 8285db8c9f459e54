//! The known name that an unknown one was probably meant to be.

/// How alike two names must be, of 1.
const ALIKE: f64 = 0.75;

/// The known name nearest to `word`, if one is near.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let score = |name: &str| {
        // `owner/name` and `name` are near, too.
        let last = name.rsplit(['/', '.']).next().unwrap_or(name);
        strsim::jaro_winkler(word, name).max(if last == word { 1.0 } else { 0.0 })
    };
    let scored = known.into_iter().map(|name| (score(name), name)).filter(|(score, _)| *score >= ALIKE);
    scored.max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, name)| name)
}

/// The same, as the end of a sentence; empty if no name is near.
pub fn meant<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, known).map(|name| format!("; did you mean `{name}`?")).unwrap_or_default()
}
