//! The link that a terminal is told, and nothing else is.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};

use super::super::common::sidecar::lay_out;
use super::*;

/// Runs a program on a terminal of its own, tells what it prints up to a link or its end, and stops it once nobody writes
/// to this any more.
const ON_A_TERMINAL: &str = "\
import os, pty, signal, sys
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
told = b''
try:
    while b'/login?key=' not in told or not told.endswith(b'\\n'):
        told += os.read(terminal, 4096)
except OSError:
    pass
sys.stdout.write(told.decode() + '\\nthat is all\\n')
sys.stdout.flush()
sys.stdin.read()
os.kill(pid, signal.SIGTERM)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
";

fn serve(folder: &std::path::Path, arguments: &[&str]) -> Vec<String> {
    let config = folder.join("countersign.toml").to_str().unwrap().to_owned();
    let words = [env!("CARGO_BIN_EXE_countersign"), "serve", "--config", &config];
    words.iter().chain(arguments).map(|word| (*word).to_owned()).collect()
}

/// What it prints there, and its exit code once it was stopped behind `then`.
async fn on_a_terminal(arguments: &[String], then: impl AsyncFnOnce(&str)) -> (String, Option<i32>) {
    let mut command = Command::new("python3");
    command.args(["-c", ON_A_TERMINAL]).args(arguments).env("COUNTERSIGN_LOG", "off");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let told: String = lines.take_while(|line| line != "that is all").map(|line| line + "\n").collect();
    then(&told).await;
    drop(child.stdin.take());
    (told, child.wait().unwrap().code())
}

#[tokio::test]
async fn a_terminal_is_told_a_link_that_logs_in_and_a_file_is_not() {
    if Command::new("python3").arg("--version").output().is_err() {
        println!("left out: a terminal is made by `python3`");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let wanted = Wanted { issuer: "calls", ..wanted() };
    lay_out(folder.path(), "http://127.0.0.1:1", &wanted);
    let mut child = Command::new(env!("CARGO_BIN_EXE_countersign"));
    let config = folder.path().join("countersign.toml");
    let mut child =
        child.arg("serve").arg("--config").arg(&config).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let open = BufReader::new(child.stderr.take().unwrap())
        .lines()
        .find(|line| line.as_ref().unwrap().contains("doors are open"));
    assert!(open.is_some());
    super::super::docs::interrupt(&mut child);
    let mut printed = String::new();
    child.stdout.take().unwrap().read_to_string(&mut printed).unwrap();
    assert!(!printed.contains("login"), "{printed}");

    let (told, code) = on_a_terminal(&serve(folder.path(), &["--as", "ana"]), async |told| {
        let (_, link) = told.split_once("within ten minutes: http://").unwrap_or_else(|| panic!("{told}"));
        let (admin, key) = link.trim().split_once("/login?").unwrap();
        let body = key.trim();
        let request = format!(
            "POST /login HTTP/1.1\r\nhost: {admin}\r\norigin: http://{admin}\r\nconnection: close\r\n\
             content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = Agent::new(admin.parse().unwrap()).ask(request).await;
        assert_eq!(answer.status, 303, "{answer:?}");
    })
    .await;
    assert_eq!(code, Some(0), "{told}");
    let (told, code) = on_a_terminal(&serve(folder.path(), &["--as", "nobody"]), async |_| ()).await;
    assert!(code == Some(2) && told.contains("no such reviewer"), "{code:?} {told}");
}
