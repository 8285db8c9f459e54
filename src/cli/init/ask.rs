//! The three questions, on a terminal. Each has an answer that Enter gives.

use std::io::{BufRead, Write};

use super::InitArguments;
use super::answers::Proof;
use crate::cli::Failure;
use crate::cli::known::KNOWN;
use crate::understand::embedded;

/// Asks for what the flags do not say.
pub(super) fn missing(
    arguments: &mut InitArguments,
    input: &mut dyn BufRead,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    if arguments.agent.is_none() {
        let name = ask("What is the agent called?", "agent", input, out)?;
        arguments.agent = Some(name);
    }
    if arguments.catalog.is_none() && arguments.upstream.is_none() && arguments.openapi.is_none() {
        let names: Vec<&str> = KNOWN.iter().map(|known| known.name).collect();
        let question = format!("Which tool does it call? {}, or an address (https://…)", names.join(", "));
        loop {
            let told = ask(&question, "github", input, out)?;
            if told.contains("://") {
                arguments.upstream = Some(told);
                break;
            }
            if embedded(&told).is_some_and(|_| told != "rest") {
                arguments.catalog = Some(told);
                break;
            }
            say(out, &format!("`{told}` is neither.\n"))?;
        }
    }
    while arguments.proof.is_none() {
        let question = "What proves it? user (any process of yours), token, unit:NAME (of systemd), exe:/PATH";
        match ask(question, "user", input, out)?.parse::<Proof>() {
            Ok(proof) => arguments.proof = Some(proof),
            Err(why) => say(out, &format!("{why}.\n"))?,
        }
    }
    Ok(())
}

fn ask(question: &str, usual: &str, input: &mut dyn BufRead, out: &mut dyn Write) -> Result<String, Failure> {
    say(out, &format!("{question} [{usual}] "))?;
    let mut line = String::new();
    let length =
        input.read_line(&mut line).map_err(|error| Failure::Usage(format!("cannot read the answer: {error}")))?;
    if length == 0 {
        return Err(Failure::Usage("nobody answered; nothing was written".to_owned()));
    }
    let line = line.trim();
    Ok(if line.is_empty() { usual.to_owned() } else { line.to_owned() })
}

fn say(out: &mut dyn Write, text: &str) -> Result<(), Failure> {
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| Failure::Away(format!("cannot print: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_questions_are_asked_until_they_are_answered_and_none_that_a_flag_answers() {
        let mut arguments = InitArguments::default();
        let mut out = Vec::new();
        missing(&mut arguments, &mut "triage\nhub\nslack\nfinger\ntoken\n".as_bytes(), &mut out).unwrap();
        assert_eq!(arguments.agent.as_deref(), Some("triage"));
        assert_eq!(arguments.catalog.as_deref(), Some("slack"));
        assert_eq!(arguments.proof, Some(Proof::Token));
        let asked = String::from_utf8(out).unwrap();
        assert!(asked.contains("`hub` is neither.") && asked.contains("a proof is `user`"), "{asked}");
        assert_eq!(asked.matches('?').count(), 5, "{asked}");

        let mut out = Vec::new();
        missing(&mut arguments, &mut "".as_bytes(), &mut out).unwrap();
        assert_eq!(out, b"");
        let cut_off = missing(&mut InitArguments::default(), &mut "triage\n".as_bytes(), &mut Vec::new());
        assert!(cut_off.unwrap_err().to_string().contains("nothing was written"));
    }
}
