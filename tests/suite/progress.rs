//! How far a long command is: seen on a terminal, and nowhere else.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::common::sidecar::{READ, Sidecar};

/// Runs a program with a terminal of its own for its stdout, or for all but that, and tells all that came to the terminal.
const ON_A_TERMINAL: &str = "\
import fcntl, os, pty, struct, sys, termios
pid, terminal = pty.fork()
if pid == 0:
    if sys.argv[1] != '-':
        os.dup2(os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 1)
    os.environ['TERM'] = 'xterm'
    fcntl.ioctl(2, termios.TIOCSWINSZ, struct.pack('HHHH', 24, 100, 0, 0))
    os.execv(sys.argv[2], sys.argv[2:])
try:
    while told := os.read(terminal, 4096):
        os.write(1, told)
except OSError:
    pass
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
";

const SPEC: &str = r#"{"openapi": "3.0.0", "servers": [{"url": "https://t.example"}],
    "paths": {"/things/{id}": {"get": {"responses": {"200": {"description": "it"}}}}}}"#;

fn is_python_missing() -> bool {
    let missing = Command::new("python3").arg("--version").output().is_err();
    if missing {
        println!("left out: a terminal is made by `python3`");
    }
    missing
}

/// What a command prints where there is no terminal.
fn plain(folder: &Path, arguments: &[&str]) -> (String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_countersign")).args(arguments).current_dir(folder).output().unwrap();
    (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
}

/// What comes to a terminal.
fn on_a_terminal(folder: &Path, stdout: &str, arguments: &[&str]) -> String {
    let mut command = Command::new("python3");
    command.args(["-c", ON_A_TERMINAL, stdout, env!("CARGO_BIN_EXE_countersign")]).args(arguments).current_dir(folder);
    String::from_utf8(command.output().unwrap().stdout).unwrap().replace("\r\n", "\n")
}

/// A terminal with a line that is written over: what stands there in the end.
fn left(told: &str) -> String {
    let mut lines = vec![String::new()];
    let mut letters = told.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\n' => lines.push(String::new()),
            '\r' => {}
            '\u{1b}' => {
                // No colour, no line above, no cursor that is hidden: nothing but clearing this one.
                let order: String = letters.by_ref().take(3).collect();
                assert_eq!(order, "[2K", "{told:?}");
                lines.last_mut().unwrap().clear();
            }
            letter => lines.last_mut().unwrap().push(letter),
        }
    }
    lines.join("\n")
}

async fn recorded() -> Sidecar {
    let mut sidecar = Sidecar::usual().await;
    for _ in 0..3 {
        assert_eq!(sidecar.send(READ).await.status, 200);
    }
    sidecar.wait_for("ended", 3).await;
    sidecar.stop().await;
    sidecar
}

#[tokio::test]
async fn on_a_terminal_a_long_command_tells_how_far_it_is_and_leaves_nothing_of_that() {
    if is_python_missing() {
        return;
    }
    let sidecar = recorded().await;
    let folder = sidecar.folder.path();
    for (arguments, told) in [
        (&["lineage", "verify"][..], "verifying"),
        (&["lineage", "export", "--tiles", "tiles"], "exporting"),
        (&["policy", "replay"], "judging again"),
        (&["policy", "diff"], "judging"),
        (&["policy", "replay", "--policies", "policies"], "judging"),
        (&["policy", "suggest"], "judging by the draft"),
    ] {
        let (printed, complaints) = plain(folder, arguments);
        assert_eq!((printed.is_empty(), complaints.as_str()), (false, ""), "{arguments:?}");
        let terminal = on_a_terminal(folder, "-", arguments);
        assert!(terminal.contains(told) && terminal.contains('\u{1b}'), "{arguments:?}: {terminal:?}");
        assert_eq!(left(&terminal), printed, "{arguments:?}: {terminal:?}");
        // The results stay clean where only they go elsewhere.
        let terminal = on_a_terminal(folder, "results", arguments);
        assert!(terminal.contains(told) && left(&terminal).is_empty(), "{arguments:?}: {terminal:?}");
        assert_eq!(fs::read_to_string(folder.join("results")).unwrap(), printed, "{arguments:?}");
        for output in ["json", "jsonl"] {
            let terminal = on_a_terminal(folder, "results", &[arguments, &["--output", output]].concat());
            assert_eq!(terminal, "", "{arguments:?} --output {output}");
        }
    }
    // What is written as it comes is not mixed with anything.
    let terminal = on_a_terminal(folder, "results", &["lineage", "export"]);
    assert!(terminal.contains("exporting") && left(&terminal).is_empty(), "{terminal:?}");
    assert_eq!(fs::read_to_string(folder.join("results")).unwrap(), plain(folder, &["lineage", "export"]).0);
    assert_eq!(on_a_terminal(folder, "-", &["lineage", "export"]), plain(folder, &["lineage", "export"]).0);
}

#[test]
fn drafting_from_a_specification_tells_that_it_is_under_way() {
    if is_python_missing() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    // Large enough that it takes a moment.
    let more = (0..1_000).map(|n| format!("\"/x{n}/{{id}}\": {{\"get\": {{}}}}")).collect::<Vec<_>>().join(",");
    fs::write(folder.path().join("spec.json"), SPEC.replace("\"/things", &format!("{more},\"/things"))).unwrap();
    let init =
        |dir: &'static str| ["init", dir, "--openapi", "spec.json", "--agent", "a", "--proof", "user", "--tool", "t"];
    let (printed, complaints) = plain(folder.path(), &init("plain"));
    assert_eq!((printed.contains("plain/t.toml"), complaints.as_str()), (true, ""), "{printed}");
    let terminal = on_a_terminal(folder.path(), "results", &init("seen"));
    assert!(
        terminal.contains("drafting the catalog")
            && terminal.contains("checking what was written")
            && left(&terminal).is_empty(),
        "{terminal:?}"
    );
    assert_eq!(fs::read_to_string(folder.path().join("results")).unwrap(), printed.replace("plain", "seen"));
    let quiet = [&init("json")[..], &["--output", "json"]].concat();
    assert_eq!(on_a_terminal(folder.path(), "results", &quiet), "");
}
