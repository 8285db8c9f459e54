//! The product itself: `countersign serve` on a folder made for it, and a task opened at its door.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::child::{Core, Server, on};
use super::rules::{ACTIONS, More, rules};

/// What proves the framework that opens the task.
pub const FRAMEWORK: &str = "a-bench-token-that-opens-tasks-on-loopback-only";

/// How a sidecar is set up.
#[derive(Clone, Debug)]
pub struct Setup {
    /// `full` or `normal`.
    pub sync: &'static str,
    /// `jwt` or `none`.
    pub issuer: &'static str,
    /// Rules beside the first twenty.
    pub more: More,
    /// Whether a rule sees a fact that changes with each call.
    pub counting: bool,
    /// Agents beside the one that is measured.
    pub others: u32,
    /// What it logs.
    pub log: &'static str,
    /// Who on this machine is sent every span and all metrics, if anybody.
    pub told: Option<u16>,
}

/// A sidecar that serves.
pub struct Sidecar {
    /// Its process.
    pub server: Server,
    /// The token of the task that was opened.
    pub task: String,
}

impl Sidecar {
    /// Makes the folder, starts the program in it and opens a task.
    pub fn start(program: &Path, folder: &Path, upstream: u16, setup: &Setup) -> Result<Self> {
        let (agent, admin) = (free_port()?, free_port()?);
        write(folder, &config(setup, upstream, agent, admin), setup)?;
        let log = fs::File::create(folder.join("log"))?;
        let mut command = on(Core::Measured, program);
        command.arg("--config").arg(folder.join("countersign.toml")).arg("serve").env("COUNTERSIGN_LOG", setup.log);
        // One that logs every refusal would fill the disk that its records are measured on.
        command.stdout(Stdio::null()).stderr(if setup.log == "warn" { Stdio::from(log) } else { Stdio::null() });
        let mut server = Server::known(command.spawn().context("the sidecar could not be started")?, agent);
        let until = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(("127.0.0.1", agent)).is_err() {
            if server.has_ended() || Instant::now() > until {
                bail!("the sidecar did not start: {}", fs::read_to_string(folder.join("log")).unwrap_or_default());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let task = open_task(agent)?;
        Ok(Self { server, task })
    }
}

fn config(setup: &Setup, upstream: u16, agent: u16, admin: u16) -> String {
    let uid = rustix::process::geteuid().as_raw();
    let Setup { sync, issuer, .. } = setup;
    let mut text = format!(
        r#"
[listen]
agent = "127.0.0.1:{agent}"
admin = "127.0.0.1:{admin}"
workers = 1
[lineage]
sync = "{sync}"
[agents.bench]
identify = [{{ peer = {{ uid = {uid} }} }}]
open_tasks = [{{ token = {{ file = "framework.token" }} }}]
tools = ["tracker"]
groups = ["support"]
intent = "writes"
[[agents.bench.limits]]
per = "agent"
requests = 100000000
window = "10s"
[tools.tracker]
upstream = "http://127.0.0.1:{upstream}"
catalog = "tracker.toml"
issuer = "calls"
networks = ["127.0.0.0/8"]
plaintext = true
[issuers.calls]
kind = "{issuer}"
"#
    );
    if let Some(port) = setup.told {
        let _ = writeln!(text, "[telemetry]\notlp = \"http://127.0.0.1:{port}\"");
    }
    for number in 0..setup.others {
        let _ = write!(
            text,
            "[agents.other-{number}]\nidentify = [{{ peer = {{ uid = {} }} }}]\ntools = [\"tracker\"]\ngroups = [\"support\"]\nintent = \"never\"\n",
            100_000 + number
        );
    }
    text
}

fn write(folder: &Path, config: &str, setup: &Setup) -> Result<()> {
    fs::create_dir_all(folder.join("policies"))?;
    fs::write(folder.join("countersign.toml"), config)?;
    let token = folder.join("framework.token");
    fs::write(&token, FRAMEWORK)?;
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600))?;
    fs::write(folder.join("policies/bench.cedar"), rules(setup.more, setup.counting, setup.others))?;
    let mut catalog = String::new();
    for (place, action) in ACTIONS.iter().enumerate() {
        let (method, effect) = match place {
            0..8 => ("GET", "read"),
            8..11 => ("POST", "write"),
            _ => ("POST", "send"),
        };
        let path = action.replace('.', "/");
        let _ = write!(
            catalog,
            "[actions.\"{action}\"]\nmatch = \"{method} /repos/{{owner}}/{{repo}}/{path}/{{number}}\"\neffect = \"{effect}\"\nresource = \"{{owner}}/{{repo}}\"\nfacts = {{ number = \"path:number\" }}\n"
        );
        if *action == "issues.get" {
            catalog.push_str("yields = [{ at = \"/body\", label = \"untrusted\" }]\n");
        }
    }
    Ok(fs::write(folder.join("tracker.toml"), catalog)?)
}

/// The call that is measured, and one that a rule forbids.
pub const PERMITTED: &str = "/tracker/repos/octo/hello/issues/get/7";
/// See [`PERMITTED`].
pub const FORBIDDEN: &str = "/tracker/repos/octo/hello/files/get/7";

/// How a task is opened.
pub const OPENING: &str = r#"{"goal":"answer issue 7","actions":[{"action":"tracker/issues.get","resource":"octo/hello"}],"on_behalf_of":"ana@example.com","ttl":86400,"agent":"bench"}"#;

fn open_task(port: u16) -> Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    write!(
        stream,
        "POST /-/tasks HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nauthorization: Bearer {FRAMEWORK}\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{OPENING}",
        OPENING.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    token_of(answer.split_once("\r\n\r\n").map_or("", |(_, body)| body))
}

/// The token in the answer to an opening.
pub fn token_of(body: &str) -> Result<String> {
    let opened: Value = serde_json::from_str(body).unwrap_or_default();
    let token = opened.get("token").and_then(Value::as_str);
    Ok(token.with_context(|| format!("no task was opened: {body}"))?.to_owned())
}

/// One that is free now; between this and its use another process could take it, and then the sidecar does not start.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
