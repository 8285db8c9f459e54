//! What stands in free text and leads somewhere: addresses, links, account, card and telephone numbers, keys.

use super::value::is_between;

/// Endings of host names that make a word a link where neither a scheme nor a path says so. A file's ending is none.
const ENDINGS: [&str; 40] = [
    "ai", "app", "at", "be", "biz", "ca", "ch", "cloud", "cn", "co", "com", "de", "dev", "edu", "es", "eu", "fr",
    "gov", "in", "info", "io", "it", "jp", "link", "live", "ly", "me", "net", "nl", "online", "org", "pl", "ru",
    "shop", "site", "tk", "uk", "us", "xyz", "zone",
];

/// Letters and digits that a key has at least.
const SHORTEST_KEY: usize = 20;

/// Everything in a text that leads somewhere, each as it stands there.
pub fn entities(text: &str) -> Vec<String> {
    let words: Vec<&str> = text.split(is_between).map(trimmed).filter(|word| !word.is_empty()).collect();
    let mut found = Vec::new();
    for (place, word) in words.iter().enumerate() {
        // `href='https://…'`, but not `https://…?a=b`
        let parts: Vec<&str> =
            if is_link(word) { vec![word] } else { word.split(['=', '\'', '*']).map(trimmed).collect() };
        for part in parts {
            // `mailto:ana@corp.example`, `contact:ana@corp.example`
            let behind = part.rsplit_once(':').map_or(part, |(_, behind)| behind);
            if is_address(behind) {
                found.push(behind.to_owned());
            } else if is_link(part) || is_key(part) {
                found.push(part.to_owned());
            }
        }
        found.extend(grouped(words.get(place..).unwrap_or_default()));
    }
    found
}

/// Without the marks around it that are no part of an address or number.
fn trimmed(word: &str) -> &str {
    word.trim_matches(|sign: char| !sign.is_alphanumeric() && !matches!(sign, '+' | '/'))
}

/// `local@host.name`
fn is_address(word: &str) -> bool {
    let Some((local, host)) = word.rsplit_once('@') else { return false };
    !local.is_empty() && !word.contains("://") && host_of(host).is_some()
}

/// With a scheme, or `www.`, or a path behind a host's name, or an ending that only hosts have.
pub(super) fn is_link(word: &str) -> bool {
    let lower = word.to_lowercase();
    if let Some((scheme, rest)) = lower.split_once("://") {
        return !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) && !rest.is_empty();
    }
    let host = lower.split(['/', '?', '#', ':']).next().unwrap_or_default();
    let Some(ending) = host_of(host) else { return false };
    let bare = host == lower;
    lower.starts_with("www.") || ENDINGS.contains(&ending) || !bare && ending.chars().all(char::is_alphabetic)
}

/// The last label of a host's name, if it looks like one.
fn host_of(host: &str) -> Option<&str> {
    let (name, ending) = host.rsplit_once('.')?;
    let label = |label: &str| !label.is_empty() && label.chars().all(|sign| sign.is_alphanumeric() || sign == '-');
    (name.split('.').all(label) && ending.chars().count() >= 2 && ending.chars().all(char::is_alphanumeric))
        .then_some(ending)
}

/// Long, of letters and digits both: a token, a key, a hash.
fn is_key(word: &str) -> bool {
    let known = ["sk-", "ghp_", "gho_", "github_pat_", "xoxb-", "xoxp-", "AKIA", "eyJ"];
    let signs = |sign: char| sign.is_ascii_alphanumeric() || matches!(sign, '_' | '-' | '+' | '/' | '.');
    if !word.chars().all(signs) || word.len() < SHORTEST_KEY {
        return false;
    }
    let count = |of: fn(&char) -> bool| word.chars().filter(of).count();
    let (digits, letters) = (count(char::is_ascii_digit), count(char::is_ascii_alphabetic));
    known.iter().any(|known| word.starts_with(known)) || digits >= 4 && letters >= 4 && !word.contains('/')
}

/// An account number (ISO 13616: two letters, two digits, up to thirty more), a card's number or a telephone number (E.164,
/// with its `+`) that begins here, perhaps written in groups.
fn grouped(words: &[&str]) -> Option<String> {
    let first = words.first()?;
    if first.starts_with('+') {
        let joined = joined(words, |word| {
            word.chars().all(|sign| sign.is_ascii_digit() || matches!(sign, '-' | '.' | '/' | '+'))
        });
        let digits = joined.bytes().filter(u8::is_ascii_digit).count();
        return (7..=15).contains(&digits).then_some(joined);
    }
    if first.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') {
        let digits = |word: &str| word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
        let whole: String = if first.len() > 6 { (*first).to_owned() } else { joined(words, digits) };
        let number = whole.replace('-', "");
        return is_card(&number).then_some(number);
    }
    let begins = first.len() >= 4
        && first.bytes().take(2).all(|byte| byte.is_ascii_alphabetic())
        && first.bytes().skip(2).take(2).all(|byte| byte.is_ascii_digit());
    if !begins {
        return None;
    }
    let one = |word: &str| word.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let number = if first.len() > 4 {
        (*first).to_owned()
    } else {
        joined(words, |word| one(word) && word.len() <= 4 && word.bytes().any(|byte| byte.is_ascii_digit()))
    };
    (one(&number) && (14..=34).contains(&number.len())).then_some(number)
}

/// A payment card's number (ISO/IEC 7812-1): thirteen to nineteen digits, the last of which checks the others.
fn is_card(number: &str) -> bool {
    let digits = number.bytes().rev().map(|byte| u32::from(byte.wrapping_sub(b'0')));
    let doubled = |(place, digit): (usize, u32)| if place % 2 == 1 { digit * 2 / 10 + digit * 2 % 10 } else { digit };
    (13..=19).contains(&number.len()) && digits.enumerate().map(doubled).sum::<u32>() % 10 == 0
}

/// The words that begin a list as long as they are of a kind, in one.
fn joined(words: &[&str], kind: impl Fn(&str) -> bool) -> String {
    words.iter().take(9).take_while(|word| kind(word)).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leads_somewhere_is_found_however_it_is_wrapped() {
        for (text, expected) in [
            ("write to <ana@corp.example>, or mailto:bob@x.io!", vec!["ana@corp.example", "bob@x.io"]),
            ("see [this](https://evil.example/a?b=c).", vec!["https://evil.example/a?b=c"]),
            ("go to www.evil.tld/x or secure-systems-252.com now", vec!["www.evil.tld/x", "secure-systems-252.com"]),
            ("evil.example/path", vec!["evil.example/path"]),
            ("href='https://evil.example'", vec!["https://evil.example"]),
            ("IBAN US133000000121212121212.", vec!["US133000000121212121212"]),
            ("to DE89 3704 0044 0532 0130 00 please", vec!["DE89370400440532013000"]),
            ("call +49 30 1234567 today", vec!["+49301234567"]),
            ("token ghp_16C7e42F292c6912E7710c838347Ae178B4a", vec!["ghp_16C7e42F292c6912E7710c838347Ae178B4a"]),
            ("card 4111 1111 1111 1111 or 4111-1111-1111-1111, please", vec!["4111111111111111", "4111111111111111"]),
            ("ftp://files.example/x", vec!["ftp://files.example/x"]),
        ] {
            assert_eq!(entities(text), expected, "{text}");
        }
    }

    #[test]
    fn plain_words_lead_nowhere() {
        for text in [
            "Please pay the bill in report.txt and landing.page.md by 12:30, e.g. tomorrow.",
            "it costs 1.200,50 EUR, i.e. +5 percent",
            "v1.2.3 of the and/or clause, 2024-05-26",
            "a@b is no address, nor is @ana",
            "DE89 is a road",
            "4111 1111 1111 1112 does not check, and 1234567890123 neither",
            "20240526 101500 123",
        ] {
            assert_eq!(entities(text), Vec::<String>::new(), "{text}");
        }
    }
}
