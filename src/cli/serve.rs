//! `countersign serve`: opens the doors, and closes them in order when told to.

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::{Exit, Failure};
use crate::app::{self, StartError};
use crate::telemetry;

/// Who sits at the terminal.
#[derive(Args, Debug)]
pub(super) struct ServeArguments {
    /// The reviewer whom the link to the pages logs in that is printed on a terminal. Without it, it logs in the operator, who
    /// may look and stop, but has no name to agree to calls by.
    #[arg(long = "as", value_name = "REVIEWER")]
    reviewer: Option<String>,
}

pub(super) fn run(arguments: &ServeArguments, path: &Path) -> Result<Exit, Failure> {
    let filter = std::env::var_os("COUNTERSIGN_LOG").filter(|filter| !filter.is_empty());
    let filter = filter.map_or_else(|| "info".to_owned(), |filter| filter.to_string_lossy().into_owned());
    telemetry::install(&filter, app::wall_clock())
        .map_err(|error| Failure::Usage(format!("`COUNTERSIGN_LOG`: {error}")))?;
    let (config, text) = super::init::begun(path)?;
    let environment = app::conceal(&config).map_err(StartError::from)?;
    let runtime = super::runtime()?;
    let ended = runtime.block_on(async {
        let running = app::start(&config, &text, app::Seams { environment, ..app::Seams::default() }).await?;
        let address = |address: Option<std::net::SocketAddr>| {
            address.map_or_else(|| "unix".to_owned(), |address| address.to_string())
        };
        tracing::info!(
            agent = address(running.agent),
            admin = address(running.admin),
            vkey = running.vkey,
            "the doors are open"
        );
        if std::io::stdout().is_terminal() {
            invite(&running, arguments.reviewer.as_deref())?;
        }
        let failed = |error: std::io::Error| Failure::Away(format!("signals cannot be received: {error}"));
        let following = running.follow(path).map_err(failed)?;
        tokio::select! {
            told = told_to_stop() => told?,
            () = following => {}
        }
        tracing::info!("stopping: calls under way get ten seconds");
        let stopping = running.stop();
        tokio::select! {
            ended = stopping => {
                if !ended {
                    tracing::warn!("some credentials could not be ended in time; the next start goes on with them");
                }
            }
            // Told twice: what is left open is found and ended by the next start.
            second = told_to_stop() => second?,
        }
        Ok(Exit::Done)
    });
    // Told twice, it waits for no thread that still carries calls.
    runtime.shutdown_background();
    ended
}

/// Tells whoever sits at the terminal where the pages are.
fn invite(running: &app::Running, reviewer: Option<&str>) -> Result<(), Failure> {
    let Some(login) = running.login(reviewer) else {
        return match (reviewer, running.admin) {
            (Some(name), Some(_)) => {
                Err(Failure::Usage(format!("`--as {name}`: the configuration has no such reviewer")))
            }
            // A browser cannot open a Unix socket.
            (_, _) => Ok(()),
        };
    };
    let mut out = std::io::stdout().lock();
    // Whoever closed the terminal does not want it.
    let _ = writeln!(out, "The pages, for whoever opens this first within ten minutes: {login}");
    Ok(())
}

pub(super) async fn told_to_stop() -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::Away(format!("signals cannot be received: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
