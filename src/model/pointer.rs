//! Where in a JSON text a value is (RFC 6901), with `*` for every element or member.

use std::str::FromStr;

/// Steps a pointer may have.
const DEEPEST: usize = 32;

/// A JSON pointer of which some steps may be any.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Pointer(Vec<Step>);

/// One step down.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Step {
    /// The member of this name, or the element of this number.
    Named(String),
    /// Every member, or every element.
    Every,
}

impl Pointer {
    /// To the whole text.
    pub fn whole() -> Self {
        Self(Vec::new())
    }

    /// From the whole text down.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }
}

/// Text that is no such pointer.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no JSON pointer such as `/url` or `/items/*/url`: {1}")]
pub struct NotAPointer(String, &'static str);

impl FromStr for Pointer {
    type Err = NotAPointer;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = |why| NotAPointer(text.to_owned(), why);
        let rest = text.strip_prefix('/').ok_or_else(|| wrong("it begins with `/`"))?;
        let mut steps = Vec::new();
        for step in rest.split('/') {
            if step.replace("~0", "").replace("~1", "").contains('~') {
                return Err(wrong("`~` is written `~0`, and `/` in a name `~1`"));
            }
            if step.contains('*') && step != "*" {
                return Err(wrong("`*` stands for a whole step"));
            }
            steps.push(if step == "*" { Step::Every } else { Step::Named(step.replace("~1", "/").replace("~0", "~")) });
        }
        if steps.len() > DEEPEST {
            return Err(wrong("it has more than 32 steps"));
        }
        Ok(Self(steps))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_are_read_as_rfc_6901_has_them() {
        let named = |name: &str| Step::Named(name.to_owned());
        let read = |text: &str| text.parse::<Pointer>().unwrap().0;
        assert_eq!(read("/a~1b/*/m~01/"), [named("a/b"), Step::Every, named("m~1"), named("")]);
        for wrong in ["", "url", "/a~2", "/~", "/a*", "/**", &"/a".repeat(33)] {
            assert!(wrong.parse::<Pointer>().is_err(), "{wrong}");
        }
    }
}
