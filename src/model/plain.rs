//! Words that somebody else chose, made safe to show: on a terminal, in a page, in a log.

/// The text with every character escaped that whoever shows it would obey, hide or reorder its neighbours by.
pub fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_printable(c) { shown.push(c) } else { shown.extend(c.escape_unicode()) }
    }
    shown
}

/// Neither a control character nor one that reorders or hides its neighbours (Unicode TR 36 §2.5, UAX 9 §2).
pub fn is_printable(c: char) -> bool {
    let hides = matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}');
    !c.is_control() && !hides
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        assert_eq!(plain("a\u{1b}[2Jb\nc\u{202e}d\u{9b}é"), r"a\u{1b}[2Jb\u{a}c\u{202e}d\u{9b}é");
    }
}
