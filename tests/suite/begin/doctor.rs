//! What `doctor` says, the codes that commands end with, and what they print for shells and for `man`.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::{Serving, countersign, port, told};

/// The state of each line, and what it says.
fn lines(folder: &Path, more: &[&str]) -> (i32, Vec<(String, String, String)>) {
    let arguments = [&["doctor", "--offline", "--output", "jsonl"][..], more].concat();
    let (code, said, error) = told(&countersign(folder, &arguments));
    let line = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{said}{error}"));
        let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
        (text("what"), text("state"), text("says") + &text("do"))
    };
    (code, said.lines().map(line).collect())
}

fn says(lines: &[(String, String, String)], what: &str, state: &str, words: &str) {
    let found = lines.iter().any(|line| line.0 == what && line.1 == state && line.2.contains(words));
    assert!(found, "no line `{what}` is {state} and says `{words}`: {lines:#?}");
}

fn begun(port: u16) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let number = port.to_string();
    let begun = countersign(folder.path(), &["init", "--catalog", "openai", "--port", &number]);
    assert!(begun.status.success(), "{begun:?}");
    folder
}

#[test]
fn doctor_says_what_is_wrong_and_what_to_do() {
    let port = port();
    let folder = begun(port);
    let (code, found) = lines(folder.path(), &[]);
    assert_eq!(code, 0, "{found:?}");
    says(&found, "caller", "ok", "is `agent`");
    says(&found, "same user", "warn", "a user of its own");
    says(&found, "admin door", "ok", "nobody is there yet");
    says(&found, "clients", "warn", &format!("export OPENAI_BASE_URL=http://127.0.0.1:{port}/openai"));

    fs::create_dir(folder.path().join("keys")).unwrap();
    fs::set_permissions(folder.path().join("keys"), fs::Permissions::from_mode(0o755)).unwrap();
    let occupied = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let (code, found) = lines(folder.path(), &[]);
    assert_eq!(code, 1);
    says(&found, "keys", "bad", "chmod 700");
    says(&found, "agent's door", "bad", "something else is there");
    drop(occupied);
    let impostor = TcpListener::bind(("127.0.0.1", port + 1)).unwrap();
    let answering = std::thread::Builder::new().name("impostor".into()).spawn(move || {
        let (mut stream, _) = impostor.accept().unwrap();
        let _ = stream.read(&mut [0; 1024]);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello");
    });
    let (_, found) = lines(folder.path(), &[]);
    answering.unwrap().join().unwrap();
    says(&found, "admin door", "bad", "something else is there");
    fs::set_permissions(folder.path().join("keys"), fs::Permissions::from_mode(0o700)).unwrap();

    fs::set_permissions(folder.path().join("tokens/owner"), fs::Permissions::from_mode(0o644)).unwrap();
    let (code, found) = lines(folder.path(), &[]);
    assert_eq!(code, 1);
    says(&found, "configuration", "bad", "chmod 600");
    fs::set_permissions(folder.path().join("tokens/owner"), fs::Permissions::from_mode(0o600)).unwrap();

    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(3_600);
    let lineage = fs::File::create(folder.path().join("lineage.db")).unwrap();
    lineage.set_modified(later).unwrap();
    let (code, found) = lines(folder.path(), &[]);
    assert_eq!(code, 1);
    says(&found, "clock", "bad", "set back");
    fs::remove_file(folder.path().join("lineage.db")).unwrap();

    let _serving = Serving::start(folder.path(), port);
    let (code, found) = lines(folder.path(), &[]);
    assert_eq!(code, 0, "{found:?}");
    says(&found, "agent's door", "ok", "a sidecar serves");
    says(&found, "admin door", "ok", "a sidecar serves");
}

#[test]
fn what_is_wrong_in_several_lines_is_told_in_several_lines() {
    let folder = begun(port());
    let policy = folder.path().join("policies/allow.cedar");
    fs::write(
        &policy,
        fs::read_to_string(&policy).unwrap() + "permit(principal, action, resource) when { context.nothing };\n",
    )
    .unwrap();
    let (code, said, _) = told(&countersign(folder.path(), &["doctor", "--offline"]));
    assert!(code == 1 && said.contains("nothing") && !said.contains("\\u{a}"), "{said}");
}

#[test]
fn check_says_what_can_be_read_and_cannot_work() {
    let port = port();
    let folder = begun(port);
    let config = folder.path().join("countersign.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(
        &config,
        text.replace(&format!("admin = \"127.0.0.1:{}\"", port + 1), &format!("admin = \"127.0.0.1:{port}\"")),
    )
    .unwrap();
    let (code, said, _) = told(&countersign(folder.path(), &["check"]));
    assert!(code == 1 && said.contains("`listen.agent` and `listen.admin` are the same place"), "{said}");
    let uid = rustix::process::geteuid().as_raw();
    let more = format!("\n[agents.other]\nidentify = [{{ peer = {{ uid = {uid} }} }}]\ntools = [\"openai\"]\n");
    fs::write(&config, text + &more).unwrap();
    let (code, said, _) = told(&countersign(folder.path(), &["check", "--output", "json"]));
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(code, 1);
    assert!(said["faults"][0].as_str().unwrap().contains("list the same proof"), "{said}");
}

#[test]
fn doctor_sees_what_goes_round() {
    let folder = begun(port());
    let output = Command::new(env!("CARGO_BIN_EXE_countersign"))
        .args(["doctor", "--offline"])
        .current_dir(folder.path())
        .env("https_proxy", "http://proxy.example:3128")
        .env_remove("NO_PROXY")
        .env_remove("no_proxy")
        .env("OPENAI_API_KEY", "sk-of-no-worth")
        .env("OPENAI_BASE_URL", "https://api.openai.com/v1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (code, said, error) = told(&output);
    assert_eq!(code, 0, "{said}{error}");
    for words in ["export NO_PROXY=127.0.0.1,localhost", "`OPENAI_API_KEY` is set", "past the door"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(!said.contains("sk-of-no-worth"), "a credential's value is told to nobody");
}

#[test]
fn a_command_ends_with_the_code_that_the_pages_name() {
    let port = port();
    let folder = begun(port);
    let code = |arguments: &[&str]| told(&countersign(folder.path(), arguments)).0;
    assert_eq!(code(&["check"]), 0);
    assert_eq!(code(&["approvals", "list"]), 4, "nobody serves");
    let error = |arguments: &[&str]| told(&countersign(folder.path(), arguments)).2;
    assert!(error(&["agents", "list"]).contains("is `countersign serve` running?"));
    for command in [&["check"][..], &["serve"], &["agents", "list"], &["policy", "test"]] {
        let error = error(&[&["--config", "none.toml"], command].concat());
        assert!(error.contains("begin with `countersign init`"), "{command:?}: {error}");
    }
    assert!(error(&["policy", "replay"]).contains("before `countersign serve` starts for the first time"));
    assert!(error(&["approvals", "approve", "nobody"]).contains("an id looks like"));
    assert_eq!(code(&["doctor", "--config", "none.toml"]), 2);
    assert_eq!(code(&["no-such-command"]), 2);
    assert_eq!(code(&["--help"]), 0);
    let cases = folder.path().join("policies/allow.cases.toml");
    let text = fs::read_to_string(&cases).unwrap();
    fs::write(&cases, text.replacen("expect = \"allow\"", "expect = \"deny\"", 1)).unwrap();
    assert_eq!(code(&["check"]), 1, "a case fails");
    fs::write(&cases, text).unwrap();
    let _serving = Serving::start(folder.path(), port);
    assert_eq!(code(&["agents", "list"]), 3, "no token is shown");
    assert_eq!(code(&["agents", "list", "--token-file", "tokens/owner"]), 0);
    for (arguments, says) in [
        (&["agents", "list"][..], "`--token-file FILE`"),
        (&["agents", "list"], "`COUNTERSIGN_TOKEN`; `countersign init` has put one into `tokens/owner`"),
        (&["agents", "list", "--token-file", "tokens/framework"], "this token is none of a reviewer"),
    ] {
        let error = error(arguments);
        assert!(error.contains(says), "{arguments:?}: {error}");
    }
}

#[test]
fn shells_and_man_get_what_they_read() {
    let folder = tempfile::tempdir().unwrap();
    for (shell, words) in
        [("bash", "_countersign()"), ("zsh", "#compdef countersign"), ("fish", "complete -c countersign")]
    {
        let (code, said, _) = told(&countersign(folder.path(), &["completions", shell]));
        assert!(code == 0 && said.contains(words) && said.contains("doctor"), "{shell}");
    }
    let (code, said, _) = told(&countersign(folder.path(), &["man"]));
    assert!(code == 0 && said.contains(".TH countersign 1"), "{said}");
    let (code, _, error) = told(&countersign(folder.path(), &["man", "--dir", "pages"]));
    assert_eq!(code, 0, "{error}");
    let page = fs::read_to_string(folder.path().join("pages/countersign-lineage-show.1")).unwrap();
    assert!(page.contains("CALL"), "{page}");
}

#[test]
fn without_colours_there_are_none() {
    let error = |variables: &[(&str, &str)]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
        command.arg("no-such-command").env_remove("NO_COLOR").envs(variables.iter().copied());
        told(&command.output().unwrap()).2
    };
    assert!(error(&[("CLICOLOR_FORCE", "1")]).contains('\u{1b}'), "there are colours to take out");
    assert!(!error(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]).contains('\u{1b}'));
}
