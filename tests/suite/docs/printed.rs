//! What was printed, against what a page says is printed: what differs from run to run may differ, nothing else.

use std::mem;

/// Where a page leaves something out: within a line anything, on a line of its own any lines.
const LEFT_OUT: &str = "[..]";

/// A value that stands in the page, and the one that stands in its place now.
pub type Learned = Vec<(String, String)>;

/// Compares line by line. Gives the changing values of the lines that nothing was left out of; nothing if it differs.
pub fn compare(page: &str, printed: &str) -> Option<Learned> {
    let lines = |text: &str| text.trim_end().lines().map(str::to_owned).collect::<Vec<_>>();
    let mut learned = Learned::new();
    fits(&lines(page), &lines(printed), &mut learned).then_some(learned)
}

fn fits(page: &[String], printed: &[String], learned: &mut Learned) -> bool {
    let Some((line, rest)) = page.split_first() else { return printed.is_empty() };
    if line.trim() == LEFT_OUT {
        return (0..=printed.len()).any(|skip| fits(rest, &printed[skip..], learned));
    }
    let Some((first, more)) = printed.split_first() else { return false };
    let known = learned.len();
    if line_fits(line, first, learned) && fits(rest, more, learned) {
        return true;
    }
    learned.truncate(known);
    false
}

fn line_fits(page: &str, printed: &str, learned: &mut Learned) -> bool {
    let mut parts = page.split(LEFT_OUT).map(normal);
    let (first, values) = parts.next().unwrap_or_default();
    let (text, found) = normal(printed);
    let mut parts: Vec<String> = parts.map(|(text, _)| text).collect();
    let Some(last) = parts.pop() else {
        if first != text {
            return false;
        }
        learned.extend(values.into_iter().zip(found));
        return true;
    };
    let Some(mut rest) = text.strip_prefix(&first) else { return false };
    for part in parts {
        let Some((_, behind)) = rest.split_once(&part) else { return false };
        rest = behind;
    }
    rest.ends_with(&last)
}

/// A line with its changing values replaced by their kinds, and these values. Spaces count once.
fn normal(line: &str) -> (String, Vec<String>) {
    let (mut text, mut values, mut word) = (String::new(), Vec::new(), String::new());
    for (place, c) in line.trim_end().char_indices() {
        if c.is_ascii_alphanumeric() || ".:-_".contains(c) {
            word.push(c);
            continue;
        }
        flush(&mut word, line.get(place..).unwrap_or_default(), &mut text, &mut values);
        if !(c == ' ' && text.ends_with(' ')) {
            text.push(c);
        }
    }
    flush(&mut word, "", &mut text, &mut values);
    (text, values)
}

fn flush(word: &mut String, behind: &str, text: &mut String, values: &mut Vec<String>) {
    let word = mem::take(word);
    let core = word.trim_end_matches(['.', ':']);
    match kind(core, behind) {
        Some(kind) => {
            text.push_str(kind);
            // A bare number may stand anywhere, so it is nobody's name.
            if kind != "<number>" {
                values.push(core.to_owned());
            }
        }
        None => text.push_str(core),
    }
    text.push_str(word.get(core.len()..).unwrap_or_default());
}

fn kind(word: &str, behind: &str) -> Option<&'static str> {
    let hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let tail = |head: &str| word.strip_prefix(head).is_some_and(number);
    let dashes = word.match_indices('-').map(|(place, _)| place).eq([8, 13, 18, 23]);
    if word.len() == 36 && dashes && hex(&word.replace('-', "")) {
        return Some("<id>");
    }
    if word.len() == 64 && hex(word) {
        return Some("<digest>");
    }
    if word.len() == 24 && word.ends_with('Z') && word.get(10..11) == Some("T") {
        return Some("<time>");
    }
    if word.len() == 47 && word.starts_with("cst_") {
        return Some("<token>");
    }
    if tail("127.0.0.1:") {
        return Some("<address>");
    }
    if tail("uid:") {
        return Some("<uid>");
    }
    if tail("countersign-demo-") {
        return Some("<folder>");
    }
    let counted = [" ms", " s ", " fit", " checkpoints fit"].iter().any(|unit| behind.starts_with(unit));
    (counted && number(&word.replace('.', ""))).then_some("<number>")
}

#[test]
fn what_changes_may_differ_and_nothing_else() {
    let page = "a sidecar at http://127.0.0.1:1:\n[..]\nlent for 1 ms, dead 19.6 s after\nid  01a20203-50d7-79a6-a231-affc87a0adf8";
    let printed = "a sidecar at http://127.0.0.1:40001:\nx\n\nlent for 12 ms, dead 9.0 s after\nid   01a20203-50d7-79a6-a231-affc87a0adf9\n";
    let learned = compare(page, printed).unwrap();
    assert_eq!(learned[0], ("127.0.0.1:1".to_owned(), "127.0.0.1:40001".to_owned()));
    assert_eq!(learned.len(), 2);
    assert!(compare(page, &printed.replace("lent", "held")).is_none());
    assert!(compare(page, &printed.replace("12 ms", "12 s")).is_none());
    assert!(compare("a[..]c", "abc").is_some() && compare("a[..]c", "abd").is_none());
    assert!(compare("a", "a\nb").is_none() && compare("a\nb", "a").is_none());
}
