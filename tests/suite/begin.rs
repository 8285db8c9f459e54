//! The first hour: what `init` lays out works at once, and what `doctor` says is so.

mod doctor;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use countersign::understand::EMBEDDED;
use serde_json::Value;

use super::docs::interrupt;

pub fn countersign(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
    command.args(arguments).current_dir(folder).env("COUNTERSIGN_LOG", "off").stdin(Stdio::null());
    for variable in
        ["COUNTERSIGN_TOKEN", "NO_COLOR", "OPENAI_BASE_URL", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"]
    {
        command.env_remove(variable);
    }
    command.output().unwrap()
}

pub fn told(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

/// A port that is free, and whose next two are, too. It is below those that the system gives to whoever asks for any, or
/// another test might get it before it is used here; and each process begins to look somewhere else.
pub fn port() -> u16 {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    for _ in 0..1_000 {
        let place = (std::process::id() * 7 + TAKEN.fetch_add(1, Ordering::Relaxed)) % 5_000;
        let port = 10_000 + 4 * u16::try_from(place).unwrap();
        if (port..port + 3).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
            return port;
        }
    }
    panic!("no three free ports lie beside each other");
}

const YES: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";

/// A tool that says yes to everything.
fn tool() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answering = move || {
        for mut stream in listener.incoming().flatten() {
            let mut seen = Vec::new();
            let mut some = [0; 4096];
            while !whole(&seen) {
                match stream.read(&mut some) {
                    Ok(length @ 1..) => seen.extend_from_slice(&some[..length]),
                    Ok(0) | Err(_) => break,
                }
            }
            // Whoever hung up needs no answer.
            let _ = stream.write_all(YES);
        }
    };
    thread::Builder::new().name("tool".to_owned()).spawn(answering).unwrap();
    address
}

fn whole(seen: &[u8]) -> bool {
    let text = String::from_utf8_lossy(seen).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    body.len() >= length.unwrap_or(0)
}

/// A sidecar that runs until it is dropped.
pub struct Serving(Child);

impl Serving {
    pub fn start(folder: &Path, port: u16) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
        command.arg("serve").current_dir(folder).env("COUNTERSIGN_LOG", "error").stdin(Stdio::null());
        let mut child = command.spawn().unwrap();
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(started.elapsed() < Duration::from_secs(30), "the door does not open");
            assert!(child.try_wait().unwrap().is_none(), "it does not serve");
            thread::sleep(Duration::from_millis(20));
        }
        Self(child)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        interrupt(&mut self.0);
    }
}

/// Sends a request as it stands, and gives the status and the body of the answer.
pub fn ask(port: u16, head: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let length = body.len();
    let request =
        format!("{head}\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
}

#[test]
fn whatever_is_begun_with_passes_its_own_check() {
    let folder = tempfile::tempdir().unwrap();
    for (number, (catalog, _)) in EMBEDDED.iter().enumerate() {
        let proof = ["user", "token", "unit:agent.service", "exe:/usr/bin/true", "user"][number];
        let mut arguments = vec!["init", catalog, "--catalog", catalog, "--proof", proof, "--agent", "triage"];
        if *catalog == "rest" {
            arguments.extend(["--upstream", "https://api.notes.example", "--observe"]);
        }
        let (code, said, error) = told(&countersign(folder.path(), &arguments));
        assert_eq!(code, 0, "{catalog}: {said}{error}");
        assert!(said.contains("next:\n  countersign --config "), "{said}");
        let config = format!("{catalog}/countersign.toml");
        let (code, said, error) = told(&countersign(folder.path(), &["--config", &config, "check"]));
        assert_eq!(code, 0, "{catalog}: {said}{error}");
        for token in fs::read_dir(folder.path().join(catalog).join("tokens")).unwrap() {
            let token = token.unwrap();
            assert_eq!(token.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{token:?}");
            assert!(fs::read_to_string(token.path()).unwrap().trim().len() >= 40);
        }
        assert_eq!(folder.path().join(catalog).join("tokens/triage").exists(), proof == "token");
    }
}

#[test]
fn nothing_is_written_over_and_nothing_is_half_written() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("policies")).unwrap();
    fs::write(folder.path().join("policies/allow.cedar"), "mine").unwrap();
    let (code, _, error) = told(&countersign(folder.path(), &["init", "--catalog", "github"]));
    assert_eq!(code, 2);
    assert!(error.contains("policies/allow.cedar` is there already; nothing was written"), "{error}");
    assert_eq!(fs::read_to_string(folder.path().join("policies/allow.cedar")).unwrap(), "mine");
    assert!(!folder.path().join("countersign.toml").exists() && !folder.path().join("tokens").exists());
    for (arguments, says) in [
        (&["init"][..], "which tool?"),
        (&["init", "--catalog", "gitlab"], "there is no catalog `gitlab`"),
        (&["init", "--upstream", "http://api.example.com"], "use https"),
        (&["init", "--catalog", "rest"], "which tool?"),
        (&["init", "x", "--catalog", "github", "--agent", "Not A Name"], "a name has up to 64"),
        (&["init", "x", "--catalog", "github", "--proof", "finger"], "a proof is `user`"),
        (&["init", "x", "--openapi", "none.yaml"], "none.yaml"),
        (&["init", "x", "--catalog", "github", "--port", "0"], "agents and their frameworks have to know the port"),
    ] {
        let (code, _, error) = told(&countersign(folder.path(), arguments));
        assert!(code == 2 && error.contains(says), "{arguments:?}: {code} {error}");
    }
    assert!(!folder.path().join("x").exists());
}

#[test]
fn a_specification_is_begun_with_and_another_one_added_beside() {
    let folder = tempfile::tempdir().unwrap();
    let spec = "openapi: 3.0.0\nservers: [{ url: 'https://pets.example/v1' }]\npaths:\n  /pets:\n    get: { operationId: listPets, tags: [Pets] }\n";
    fs::write(folder.path().join("pets.yaml"), spec).unwrap();
    let first = ["init", "--openapi", "pets.yaml", "--output", "json"];
    let (code, said, error) = told(&countersign(folder.path(), &first));
    assert_eq!(code, 0, "{said}{error}");
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["first"], "http://127.0.0.1:7080/pets/pets");
    let config = fs::read(folder.path().join("countersign.toml")).unwrap();
    let (code, said, _) = told(&countersign(folder.path(), &["init", "--openapi", "pets.yaml", "--tool", "zoo"]));
    assert!(code == 0 && said.contains("[tools.zoo]\nupstream = \"https://pets.example/v1\"\n"), "{said}");
    assert!(folder.path().join("zoo.toml").exists());
    assert_eq!(fs::read(folder.path().join("countersign.toml")).unwrap(), config);
    let (code, _, error) = told(&countersign(folder.path(), &["init", "--openapi", "pets.yaml", "--tool", "zoo"]));
    assert!(code == 2 && error.contains("zoo.toml` is there already"), "{error}");
    let with_both = String::from_utf8(config).unwrap().replace("tools = [\"pets\"]", "tools = [\"pets\", \"zoo\"]")
        + said.split_once("\n\n").unwrap().1;
    fs::write(folder.path().join("countersign.toml"), with_both).unwrap();
    let (code, said, error) = told(&countersign(folder.path(), &["check"]));
    assert!(code == 0 && said.contains("2 tools with 2 actions"), "{said}{error}");
}

#[test]
fn what_comes_next_is_told_only_where_it_would_work() {
    let folder = tempfile::tempdir().unwrap();
    let spec = "openapi: 3.0.0\nservers: [{ url: 'https://pets.example/v1' }]\npaths:\n  /pets/{id}:\n    get: { operationId: getPet, parameters: [{ name: id, in: path, required: true, schema: { type: string } }] }\n";
    fs::write(folder.path().join("pets.yaml"), spec).unwrap();
    for (arguments, has, lacks) in [
        (&["init", "a", "--openapi", "pets.yaml"][..], "any call of a/pets.toml", "curl"),
        (
            &["init", "b", "--catalog", "github", "--proof", "exe:/usr/bin/agent"],
            "from the program /usr/bin/agent",
            "curl",
        ),
        (&["init", "c", "--catalog", "github", "--proof", "unit:agent.service"], "from the unit agent.service", "curl"),
        (
            &["init", "d", "--catalog", "github", "--proof", "exe:/usr/bin/curl"],
            "curl --unix-socket d/agent.sock",
            "from the",
        ),
        (&["init", "e", "--catalog", "github"], "approvals list --token-file e/tokens/owner", "from the"),
    ] {
        let (code, said, error) = told(&countersign(folder.path(), arguments));
        assert!(code == 0 && said.contains(has) && !said.contains(lacks), "{arguments:?}: {said}{error}");
    }
    let unset = ["init", "f", "--catalog", "github", "--credential", "env:COUNTERSIGN_TEST_UNSET"];
    let (code, said, error) = told(&countersign(folder.path(), &unset));
    assert!(said.starts_with("wrote f/countersign.toml") && said.contains("next:\n"), "{said}");
    assert!(code == 2 && error.contains("all is written, but") && error.contains("COUNTERSIGN_TEST_UNSET"), "{error}");
}

#[test]
fn a_client_that_knows_nothing_works_at_once_behind_observe() {
    let folder = tempfile::tempdir().unwrap();
    let (tool, port) = (tool(), port());
    let upstream = format!("http://{tool}");
    let number = port.to_string();
    let begun = countersign(
        folder.path(),
        &["init", "--catalog", "slack", "--upstream", &upstream, "--observe", "--port", &number],
    );
    assert!(begun.status.success(), "{begun:?}");
    let serving = Serving::start(folder.path(), port);
    let form = "content-type: application/x-www-form-urlencoded\r\nauthorization: Bearer xoxb-of-no-worth";
    for (head, body) in [
        (format!("POST /slack/chat.postMessage HTTP/1.1\r\n{form}"), "channel=C1&text=hi"),
        (format!("POST /slack/chat.delete HTTP/1.1\r\n{form}"), "channel=C1&ts=1.2"),
        ("POST /slack/chat.postMessage HTTP/1.1\r\ncontent-type: application/json".to_owned(), "{\"channel\":\"C1\"}"),
        ("GET /slack/conversations.history?channel=C1 HTTP/1.1".to_owned(), ""),
        ("PATCH /slack/nobody/knows HTTP/1.1\r\ncontent-type: text/plain".to_owned(), "x"),
    ] {
        let (status, answer) = ask(port, &head, body);
        assert_eq!((status, answer.as_str()), (200, "{}"), "{head}");
    }
    // The same under `enforce`: what cannot be read is refused, and so is what nobody knows.
    drop(serving);
    let config = folder.path().join("countersign.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("mode = \"observe\"", "mode = \"enforce\"")).unwrap();
    let _serving = Serving::start(folder.path(), port);
    let (status, _) = ask(port, &format!("POST /slack/chat.postMessage HTTP/1.1\r\n{form}"), "channel=C1&text=hi");
    assert_eq!(status, 415);
    assert_eq!(ask(port, "PATCH /slack/nobody/knows HTTP/1.1", "").0, 404);
}
