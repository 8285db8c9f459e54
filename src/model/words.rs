//! The words of a text, in the two forms in which values are compared: without marks, and as they stand.

use super::entity::is_link;

/// The words of a text in normal form: lower case, without the marks around them; a link without `http://`, `www.` and
/// the slash at its end.
pub fn words(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split(is_between).filter_map(|word| {
        let word = word.trim_matches(|sign: char| !sign.is_alphanumeric());
        let lower = word.to_lowercase();
        let bare = without_scheme(&lower);
        (!bare.is_empty()).then(|| bare.to_owned())
    })
}

/// The words of a text as they stand, in lower case, without the marks around them that say nothing: quotes, the mark that
/// ends a sentence, `#` and `@` before a name, a slash at the end, a dash between words; a link as in normal form. What is left
/// may make another thing of it: `docs/*`, `../docs`, `-13`, `13%`.
pub(super) fn exact(text: &str) -> Vec<String> {
    let quote = |sign: char| matches!(sign, '\'' | '\u{2018}'..='\u{201f}' | '\u{ab}' | '\u{bb}');
    let mut found = Vec::new();
    for word in text.split(is_between) {
        let word = word.trim_matches(quote).trim_start_matches(['#', '@']);
        let word = word.strip_suffix(['.', '!', ':', '\u{2026}']).unwrap_or(word).trim_matches(quote);
        let dash = matches!(word, "-" | "\u{2013}" | "\u{2014}") && !found.is_empty();
        if word.is_empty() || dash {
            continue;
        }
        let lower = word.to_lowercase();
        let bare = if is_link(&lower) { without_scheme(&lower) } else { &lower };
        let bare = bare.strip_suffix('/').filter(|name| name.ends_with(char::is_alphanumeric)).unwrap_or(bare);
        found.push(bare.to_owned());
    }
    found
}

fn without_scheme(link: &str) -> &str {
    let bare = link.strip_prefix("https://").or_else(|| link.strip_prefix("http://")).unwrap_or(link);
    bare.strip_prefix("www.").unwrap_or(bare)
}

/// Whether something stands around the word that is no part of its normal form.
pub(super) fn is_odd(word: &str) -> bool {
    words(word).next().as_deref() != Some(word)
}

/// What stands between words, and in none of the things that are compared.
pub(super) fn is_between(sign: char) -> bool {
    sign.is_whitespace() || matches!(sign, ',' | ';' | '|' | '"' | '<' | '>' | '(' | ')' | '[' | ']' | '{' | '}' | '`')
}
