//! The commands of a page, run for real in a folder of their own, with the files the page shows.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;

use super::printed::compare;
use crate::suite::begin::port;

/// How long a command may take, on a machine that builds at the same time.
const PATIENCE: Duration = Duration::from_secs(60);

/// A command of a page and what the page says it prints.
pub struct Step {
    pub command: String,
    pub prints: String,
}

/// The blocks of a page in one language, in their order.
pub fn blocks(page: &str, language: &str) -> Vec<String> {
    let opening = format!("```{language}");
    let mut blocks = Vec::new();
    let mut open: Option<String> = None;
    for line in page.lines() {
        match &mut open {
            Some(_) if line == "```" => blocks.extend(open.take()),
            Some(block) => {
                block.push_str(line);
                block.push('\n');
            }
            None if line == opening => open = Some(String::new()),
            None => {}
        }
    }
    blocks
}

/// The steps of a page's `console` blocks. A command that ends in a backslash goes on in the next line.
pub fn steps(page: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for line in blocks(page, "console").iter().flat_map(|block| block.lines()) {
        if let Some(command) = line.strip_prefix("$ ") {
            steps.push(Step { command: command.to_owned(), prints: String::new() });
            continue;
        }
        let step = steps.last_mut().expect("a console block begins with a command");
        if step.command.ends_with('\\') {
            step.command.push('\n');
            step.command.push_str(line);
        } else {
            step.prints.push_str(line);
            step.prints.push('\n');
        }
    }
    steps
}

/// A folder, and what runs in it. What a page calls by one name goes by another here: ports, ids, this user.
pub struct Session {
    folder: TempDir,
    /// Where in it commands are run.
    within: PathBuf,
    names: BTreeMap<String, String>,
    servers: Vec<Child>,
    printed: usize,
}

impl Session {
    pub fn new() -> Self {
        Self::within("")
    }

    /// With commands run in a folder below.
    pub fn within(folder: &str) -> Self {
        let mut names = BTreeMap::from([("uid = 1000".to_owned(), format!("uid = {}", geteuid().as_raw()))]);
        // `init` takes the next port for the admin door.
        let first = port();
        for (port, free) in [(7080, first), (7081, first + 1), (9001, first + 2)] {
            names.insert(format!("127.0.0.1:{port}"), format!("127.0.0.1:{free}"));
            names.insert(format!("http.server {port}"), format!("http.server {free}"));
            names.insert(format!("--port {port}"), format!("--port {free}"));
        }
        Self { within: folder.into(), folder: tempfile::tempdir().unwrap(), names, servers: Vec::new(), printed: 0 }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file of the page.
    pub fn lay_out(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, self.translate(text)).unwrap();
    }

    /// Runs a step; the error shows what was printed instead.
    pub fn run(&mut self, step: &Step) -> Result<(), String> {
        let command = self.translate(&step.command);
        self.printed += 1;
        let output = self.path().join(format!(".printed-{}", self.printed));
        let mut child = self.spawn(&command, &output);
        if is_server(&command) {
            self.servers.push(child);
            let address = self.names.get(if is_tool(&command) { "127.0.0.1:9001" } else { "127.0.0.1:7080" }).cloned();
            return self.until(&command, |session| {
                if let Some(status) = session.servers.last_mut().unwrap().try_wait().unwrap() {
                    panic!("`{command}` has ended, {status}: {}", fs::read_to_string(&output).unwrap());
                }
                if step.prints.is_empty() {
                    TcpStream::connect(address.as_deref().unwrap()).map_err(|error| error.to_string()).map(drop)
                } else {
                    session.learn(step, &output)
                }
            });
        }
        let started = Instant::now();
        while child.try_wait().unwrap().is_none() {
            if started.elapsed() > PATIENCE {
                child.kill().unwrap();
                child.wait().unwrap();
                return Err(format!("`{command}` goes on and on"));
            }
            sleep(Duration::from_millis(10));
        }
        if !command.contains(" lineage ") && !command.contains(" policy ") {
            return self
                .learn(step, &output)
                .map_err(|printed| format!("`{command}` printed\n{printed}\nand not\n{}", step.prints));
        }
        // What nobody waits for is in the lineage a moment later, so such a command may be asked again.
        self.until(&command, |session| {
            session.learn(step, &output).inspect_err(|_| {
                session.spawn(&command, &output).wait().unwrap();
            })
        })
    }

    fn until(&mut self, command: &str, mut fits: impl FnMut(&mut Self) -> Result<(), String>) -> Result<(), String> {
        let started = Instant::now();
        loop {
            match fits(self) {
                Err(printed) if started.elapsed() > PATIENCE / 4 => {
                    return Err(format!("`{command}` printed\n{printed}"));
                }
                Err(_) => sleep(Duration::from_millis(20)),
                Ok(()) => return Ok(()),
            }
        }
    }

    fn learn(&mut self, step: &Step, output: &Path) -> Result<(), String> {
        let printed = fs::read_to_string(output).unwrap();
        self.names.extend(compare(&step.prints, &printed).ok_or(printed)?);
        Ok(())
    }

    fn spawn(&self, command: &str, output: &Path) -> Child {
        let binary = PathBuf::from(env!("CARGO_BIN_EXE_countersign"));
        let path = format!("{}:{}", binary.parent().unwrap().display(), std::env::var("PATH").unwrap());
        let command = command.replace("cargo run --release --", "countersign");
        let command = if is_server(&command) { format!("exec {command}") } else { command };
        let printed = File::create(output).unwrap();
        let mut shell = Command::new("sh");
        shell
            .arg("-c")
            .arg(command)
            .current_dir(self.path().join(&self.within))
            .env("PATH", path)
            .env("COUNTERSIGN_LOG", "off")
            .env("NO_COLOR", "1");
        shell.stdin(Stdio::null()).stdout(printed.try_clone().unwrap()).stderr(printed).spawn().unwrap()
    }

    fn translate(&self, text: &str) -> String {
        self.names.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
    }
}

impl Session {
    /// Ctrl-C in every terminal.
    pub fn stop(&mut self) {
        for mut server in self.servers.drain(..) {
            interrupt(&mut server);
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Ctrl-C, and waits until it has ended.
pub fn interrupt(child: &mut Child) -> Option<i32> {
    let _ = kill_process(Pid::from_child(child), Signal::INT);
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    None
}

fn is_server(command: &str) -> bool {
    command.contains("--keep") || command.ends_with(" serve") || is_tool(command)
}

fn is_tool(command: &str) -> bool {
    command.contains("http.server") || command.starts_with("python3 tool.py ")
}
