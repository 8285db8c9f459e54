//! Processes of a run: each on its core, each ended with the run.

use std::env;
use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail};
use tokio::net::TcpListener;

/// Where a process runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Core {
    /// With what is measured.
    Measured,
    /// With the load and the upstream.
    Other,
}

/// Whether processes can be kept on cores of their own here.
pub fn can_pin() -> bool {
    let tried =
        Command::new("taskset").args(["-c", "0,1", "true"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    tried.is_ok_and(|status| status.success())
        && std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1)
}

/// A command that will run on a core, if it can be kept there.
pub fn on(core: Core, program: impl Into<OsString>) -> Command {
    if !can_pin() {
        return Command::new(program.into());
    }
    let number = match core {
        Core::Measured => "0",
        Core::Other => "1",
    };
    let mut command = Command::new("taskset");
    command.args(["-c", number]).arg(program.into());
    command
}

/// This program in one of its other roles.
pub fn role(core: Core, arguments: &[&str]) -> Result<Command> {
    let mut command = on(core, env::current_exe().context("the path of this program")?);
    command.args(arguments);
    Ok(command)
}

/// A process that serves until the run is over.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// Where it listens.
    pub port: u16,
}

impl Server {
    /// Starts one that says on its first line where it listens.
    pub fn start(mut command: Command) -> Result<Self> {
        let mut child = command.stdout(Stdio::piped()).spawn().with_context(|| format!("{command:?}"))?;
        let mut line = String::new();
        let heard = child.stdout.take().map(|stdout| BufReader::new(stdout).read_line(&mut line));
        let mut server = Self { child, port: 0 };
        match (heard, line.trim().parse()) {
            (Some(Ok(_)), Ok(port)) => server.port = port,
            (Some(_) | None, _) => bail!("{command:?} did not start"),
        }
        Ok(server)
    }

    /// Takes over one that was started, and listens there.
    pub fn known(child: Child, port: u16) -> Self {
        Self { child, port }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The other side of [`Server::start`]: listens on a free port and says which.
pub async fn announce() -> Result<TcpListener> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", listener.local_addr()?.port())?;
    out.flush()?;
    Ok(listener)
}
