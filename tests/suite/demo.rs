//! The demo is what a newcomer sees first: it has to do what it says, and to leave nothing behind.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};

use super::docs::interrupt;

fn demo() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
    command.arg("demo");
    command
}

/// The part of a text from `begin` up to `end`.
fn between<'a>(text: &'a str, begin: &str, end: &str) -> &'a str {
    let (_, rest) = text.split_once(begin).unwrap_or_else(|| panic!("no `{begin}` in {text}"));
    rest.split_once(end).unwrap_or_else(|| panic!("no `{end}` behind `{begin}` in {text}")).0
}

fn folder(child: &Child) -> PathBuf {
    std::env::temp_dir().join(format!("countersign-demo-{}", child.id()))
}

#[test]
fn the_demo_tells_its_three_acts_and_verifies() {
    let output = demo().output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let benign = between(&text, "1. A benign task", "2. An injected task");
    let answered = between(benign, "✓ tracker/comments.create on tracker/octo/hello", "completed with 200");
    for told in ["verdict     allow: declared-changes", "good for this call only: lent for", "ended "] {
        assert!(answered.contains(told), "`{told}` is not told: {benign}");
    }
    assert!(!benign.contains('✗'), "{benign}");
    let injected = between(&text, "2. An injected task", "3. A stolen token");
    let shared = between(injected, "✗ drive/files.share on drive/payroll.csv", "none was minted");
    assert!(shared.contains("verdict     deny: private-after-untrusted, undeclared-send"), "{injected}");
    assert!(injected.contains("the agent gets 403: "), "{injected}");
    // Its task has read a stranger's words, so the answer tells the stranger nothing.
    let answer = between(injected, "the agent gets 403: ", "\n");
    assert!(!answer.contains("undeclared") && !answer.contains("detail"), "{answer}");
    let stolen = between(&text, "3. A stolen token", "The lineage holds");
    assert_eq!(stolen.matches("the tool answers 401: ").count(), 2, "{stolen}");
    assert!(stolen.contains("the token was used before"), "{stolen}");
    assert!(stolen.contains("the body is not the one the token was minted for"), "{stolen}");
    assert!(text.contains("\nverify: intact. "), "{text}");
}

#[test]
fn a_demo_that_is_kept_serves_until_it_is_told_to_stop_and_leaves_nothing() {
    let mut child = demo().arg("--keep").stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let text = until_kept(&mut lines);
    let folder = folder(&child);
    assert!(folder.is_dir(), "{text}");
    let admin = between(&text, "the admin door http://", " ").to_owned();
    let ready = get(&admin, "/readyz");
    assert!(ready.starts_with("HTTP/1.1 200"), "{ready}");
    let code = interrupt(&mut child);
    let rest: String = lines.map(|line| line.unwrap() + "\n").collect();
    assert_eq!(code, Some(0), "{rest}");
    assert!(rest.contains("verify: intact. "), "{rest}");
    assert!(!folder.exists(), "it leaves {} behind", folder.display());
}

fn until_kept(lines: &mut std::io::Lines<BufReader<ChildStdout>>) -> String {
    let mut text = String::new();
    for line in lines {
        let line = line.unwrap();
        text.push_str(&line);
        text.push('\n');
        if line.starts_with("Ctrl-C") {
            return text;
        }
    }
    panic!("it is not kept: {text}");
}

/// The answer to a request without a body, head and all.
fn get(address: &str, path: &str) -> String {
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
    answer
}
