//! How deep a policy nests and how long its chains are: Cedar's parser recurses, and a stack that overflows ends the process.

/// How many brackets and `if`s may be open at a place. Cedar bears some hundreds.
const DEEPEST: usize = 64;

/// How many `&&`, `||` and `.` one policy may hold. Cedar bears tens of thousands.
const LONGEST: usize = 2_000;

/// Where a text nests more deeply, or goes on for longer, than Cedar may be asked to parse: the byte, and what is wrong.
pub fn too_deep(text: &str) -> Option<(usize, String)> {
    let (mut brackets, mut ifs, mut links) = (0_usize, 0_usize, 0_usize);
    for (at, token) in tokens(text) {
        match token {
            "(" | "[" | "{" => brackets += 1,
            ")" | "]" | "}" => brackets = brackets.saturating_sub(1),
            ";" => (ifs, links) = (0, 0),
            "if" => ifs += 1,
            "&&" | "||" | "." => links += 1,
            _ => {}
        }
        if brackets + ifs > DEEPEST {
            return Some((at, format!("a policy may nest {DEEPEST} brackets and `if`s, and no more")));
        }
        if links > LONGEST {
            return Some((at, format!("a policy may join {LONGEST} parts by `&&`, `||` or `.`, and no more")));
        }
    }
    None
}

/// Words and signs outside of strings and comments, each with the byte it begins at.
fn tokens(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let rest = text.get(at..)?;
            let first = rest.chars().next()?;
            let start = at;
            if rest.starts_with("//") {
                at += rest.find('\n').unwrap_or(rest.len());
            } else if first == '"' {
                at += string(rest);
            } else if first.is_alphanumeric() || first == '_' {
                let end = rest.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(rest.len());
                at += end;
                return rest.get(..end).map(|word| (start, word));
            } else {
                let sign = ["&&", "||"].into_iter().find(|sign| rest.starts_with(sign));
                let end = sign.map_or(first.len_utf8(), str::len);
                at += end;
                if !first.is_whitespace() {
                    return rest.get(..end).map(|sign| (start, sign));
                }
            }
        }
    })
}

/// The length of the string that a text begins with, quotes included.
fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, letter) in text.char_indices().skip(1) {
        match letter {
            '"' if !escaped => return at + 1,
            _ => escaped = letter == '\\' && !escaped,
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_count_where_they_are_brackets() {
        let nested = |open: &str, close: &str, times: usize| {
            format!("permit(principal, action, resource) when {{ {}true{} }};", open.repeat(times), close.repeat(times))
        };
        for (open, close) in [("(", ")"), ("[", "]"), ("{a: ", "}"), ("if true then ", " else true"), ("([", "])")] {
            assert!(too_deep(&nested(open, close, 100)).is_some(), "{open}");
            assert_eq!(too_deep(&nested(open, close, 20)), None, "{open}");
        }
        let quoted = format!(
            "// {}\npermit(principal, action, resource) when {{ \"\\\"{}\" == \"\" }};",
            "(".repeat(99),
            "[".repeat(99)
        );
        assert_eq!(too_deep(&quoted), None);
        let many = nested("(", ")", 20).repeat(1_000);
        assert_eq!(too_deep(&many), None);
    }

    #[test]
    fn a_chain_ends_with_its_policy() {
        let chain =
            |times: usize| format!("permit(principal, action, resource) when {{ true{} }};", " && true".repeat(times));
        assert_eq!(too_deep(&chain(LONGEST).repeat(3)), None);
        assert!(too_deep(&chain(LONGEST + 1)).is_some());
        let told = too_deep(&format!("\n{}", chain(LONGEST + 1))).unwrap();
        assert!(told.0 > 0 && told.1.contains("2000"), "{told:?}");
    }
}
