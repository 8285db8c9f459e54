//! What stands in free text and leads somewhere: addresses, links, account, card and telephone numbers, keys.

use std::net::Ipv4Addr;

use memchr::memmem;

use super::words::is_between;

/// Top-level domains, as the root zone had them in April 2025, a line each.
const ENDINGS: &str = concat!("\n", include_str!("endings.txt"));

/// Top-level domains that are endings of files more often.
const OF_FILES: [&str; 10] = ["cc", "md", "mov", "ps", "py", "rs", "sh", "so", "tf", "zip"];

/// Letters and digits that a key has at least.
const SHORTEST_KEY: usize = 20;

/// Everything in a text that leads somewhere, each as it stands there, but for marks that mean the same to whoever follows it.
pub fn entities(text: &str) -> Vec<String> {
    let text: String = text.chars().map(in_ascii).collect();
    // A host may stand in brackets, at which words end: `http://[2001:db8::1]/`, `ana@[203.0.113.9]`.
    let text = text.replace("//[", "//").replace("@[", "@");
    let words: Vec<&str> = text.split(is_between).map(trimmed).filter(|word| !word.is_empty()).collect();
    let mut found = Vec::new();
    for place in 0..words.len() {
        let Some(rest @ [word, ..]) = words.get(place..) else { break };
        let (before, link) = word.split_at(link_in(word).unwrap_or(word.len()));
        // `href='evil.example'`, but not `evil.example/?a=b`
        let apart: &[char] = if is_link(before) { &[] } else { &['=', '\'', '*'] };
        before.split(apart).for_each(|part| in_part(trimmed(part), &mut found));
        found.extend((!link.is_empty() && !link.ends_with("//")).then(|| link.to_owned()));
        found.extend(grouped(rest).or_else(|| grouped_in(word)));
    }
    found
}

/// What a part of a word leads to: `mailto:ana@corp.example`, `evil.example/x:ana@corp.example`.
fn in_part(part: &str, found: &mut Vec<String>) {
    let addresses: Vec<&str> = part.split(':').map(trimmed).filter(|piece| is_address(piece)).collect();
    found.extend(addresses.iter().map(|address| (*address).to_owned()));
    if !addresses.contains(&part) && (is_link(part) || is_key(part)) {
        found.push(part.to_owned());
    }
}

/// Marks that lead to the same place as those of ASCII: full-width ones, full stops and slashes of other scripts (UTS 46
/// §2.3), and the slash that browsers take for one.
fn in_ascii(sign: char) -> char {
    match sign {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(sign) - 0xfee0).unwrap_or(sign),
        '\u{3002}' | '\u{ff61}' => '.',
        '\u{2044}' | '\u{2215}' | '\\' => '/',
        _ => sign,
    }
}

/// Without the marks around it that are no part of an address or number.
fn trimmed(word: &str) -> &str {
    word.trim_matches(|sign: char| !sign.is_alphanumeric() && !matches!(sign, '+' | '/'))
}

/// `local@host.name`
fn is_address(word: &str) -> bool {
    let Some((local, host)) = word.rsplit_once('@') else { return false };
    !local.is_empty() && (host_of(host).is_some() || is_number(host))
}

/// With a scheme, or `www.`, or a path behind a host's name, or an ending that only hosts have.
pub(super) fn is_link(word: &str) -> bool {
    link_in(word).map_or_else(|| names_host(word), |begins| begins == 0 && !word.ends_with("//"))
}

/// Whether it says by its host, or by what stands behind that, that it is a link.
fn names_host(word: &str) -> bool {
    let (place, path) = word.split_at(word.find(['/', '?', '#']).unwrap_or(word.len()));
    let lower = place.to_lowercase();
    let (named, place) = lower.rsplit_once('@').map_or((false, &*lower), |(_, place)| (true, place));
    let host = place.split(':').next().unwrap_or_default();
    let bare = path.is_empty() && host.len() == place.len();
    if is_number(host) {
        return !bare;
    }
    let Some(ending) = host_of(host) else { return false };
    let of_hosts = lower.starts_with("www.") || ending.starts_with("xn--") || is_of_hosts(ending);
    of_hosts && !(named && bare) || !bare && ending.chars().all(char::is_alphabetic)
}

/// A top-level domain: what makes a word a link where neither a scheme nor a path says so.
fn is_of_hosts(ending: &str) -> bool {
    !OF_FILES.contains(&ending) && memmem::find(ENDINGS.as_bytes(), format!("\n{ending}\n").as_bytes()).is_some()
}

/// Where in a word a link begins that says so: by a scheme, however many slashes stand behind it, or by two slashes (RFC 3986
/// §4.2).
fn link_in(word: &str) -> Option<usize> {
    if word.starts_with("//") && names_host(word.trim_start_matches('/')) {
        return Some(0);
    }
    let begins = |(colon, _): (usize, &str)| {
        let (before, behind) = (word.get(..colon)?, word.get(colon + 1..)?);
        let says_so = behind.starts_with("//") || names_host(behind.trim_start_matches('/'));
        let scheme = |sign: char| sign.is_ascii_alphanumeric() || sign == '+';
        says_so.then(|| before.trim_end_matches(scheme).len())
    };
    word.match_indices(":/").find_map(begins)
}

/// An IPv4 address.
fn is_number(host: &str) -> bool {
    host.parse::<Ipv4Addr>().is_ok()
}

/// The last label of a host's name, if it looks like one.
fn host_of(host: &str) -> Option<&str> {
    let (name, ending) = host.rsplit_once('.')?;
    let label = |label: &str| !label.is_empty() && label.chars().all(|sign| sign.is_alphanumeric() || sign == '-');
    let last = ending.starts_with("xn--") && label(ending) || ending.chars().all(char::is_alphanumeric);
    (name.split('.').all(label) && ending.chars().count() >= 2 && last).then_some(ending)
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

/// The same, written in groups within one word: `DE89-3704-0044-0532-0130-00`, `tel:+4930123456789`.
fn grouped_in(word: &str) -> Option<String> {
    let parts: Vec<&str> = word.split([':', '=', '-', '.', '/']).filter(|part| !part.is_empty()).collect();
    (0..parts.len()).find_map(|place| grouped(parts.get(place..)?))
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
            ("link:https://evil.example/leak?d=S", vec!["https://evil.example/leak?d=S"]),
            (
                "view-source:https://evil.example git+https://evil.example/x",
                vec!["https://evil.example", "git+https://evil.example/x"],
            ),
            ("链接：https://evil.example 点https://evil.example", vec!["https://evil.example", "https://evil.example"]),
            ("![](https\\://evil.example/x)", vec!["://evil.example/x"]),
            ("![](https://evil.example/S:ana@corp.example)", vec!["https://evil.example/S:ana@corp.example"]),
            ("evil.example/leak:ana@corp.example", vec!["ana@corp.example", "evil.example/leak:ana@corp.example"]),
            ("![](//evil.example/x?d=S) \\\\evil.example\\share", vec!["//evil.example/x?d=S", "//evil.example/share"]),
            (
                "https:/evil.example/x https:\\\\evil.example\\leak",
                vec!["https:/evil.example/x", "https://evil.example/leak"],
            ),
            ("http://[2001:db8::1]/leak 203.0.113.9/leak", vec!["http://2001:db8::1", "203.0.113.9/leak"]),
            (
                "evil.xn--p1ai/leak evil.рф evil.top evil．com/x",
                vec!["evil.xn--p1ai/leak", "evil.рф", "evil.top", "evil.com/x"],
            ),
            (
                "mallory＠evil.com mallory@[203.0.113.9] mallory@evil.com/x",
                vec!["mallory@evil.com", "mallory@203.0.113.9", "mallory@evil.com/x"],
            ),
            ("DE89-3704-0044-0532-0130-00 tel:+4930123456789", vec!["DE89370400440532013000", "+4930123456789"]),
            ("4111.1111.1111.1111, 4111/1111/1111/1111", vec!["4111111111111111", "4111111111111111"]),
        ] {
            assert_eq!(entities(text), expected, "{text}");
        }
    }

    #[test]
    fn a_text_of_nothing_but_marks_is_gone_through_once() {
        for mark in ["/", ":/", "://", "//:", "a:/", "@", "=", "*", "-"] {
            assert!(entities(&mark.repeat(100_000)).len() <= 1, "{mark}");
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
            "C:\\docs\\report.txt, //server and 10.0.0.5 // done",
            "see build.rs, lib.so or a.zip; and:/or",
        ] {
            assert_eq!(entities(text), Vec::<String>::new(), "{text}");
        }
    }
}
