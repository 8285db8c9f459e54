//! Whether the doors are open, or could be.

use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::time::timeout;

use super::Line;
use crate::config::{Door, Listen};

/// How long a door may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// Bytes of an answer that are looked at.
const ENOUGH: u64 = 4 << 10;

/// What is behind a door.
enum Behind {
    /// Nobody, and it can be opened.
    Nobody,
    /// It cannot be opened.
    Shut(String),
    /// Something that answers so.
    Answer(String),
}

pub(super) async fn lines(listen: &Listen) -> Vec<Line> {
    let admin = knock(&listen.admin, true).await;
    let serving = matches!(&admin, Behind::Answer(answer) if is_ours(answer));
    vec![
        said("agent's door", &listen.agent, &knock(&listen.agent, false).await, serving),
        said("admin door", &listen.admin, &admin, serving),
    ]
}

fn said(what: &'static str, door: &Door, behind: &Behind, serving: bool) -> Line {
    let at = match door {
        Door::Tcp(address) => address.to_string(),
        Door::Unix(path) => path.display().to_string(),
    };
    match behind {
        Behind::Nobody => Line::ok(what, format!("{at}: nobody is there yet; `countersign serve` opens it")),
        Behind::Shut(why) => Line::bad(what, format!("{at}: {why}"), "take another place under `[listen]`"),
        Behind::Answer(answer) if what == "admin door" && serving && answer.starts_with("HTTP/1.1 503") => {
            let reason = answer.split("\r\n\r\n").nth(1).unwrap_or_default().trim();
            Line::warn(what, format!("{at}: a sidecar serves, and is not ready: {reason}"), "see its log")
        }
        Behind::Answer(_) if serving => Line::ok(what, format!("{at}: a sidecar serves")),
        Behind::Answer(_) => {
            Line::bad(what, format!("{at}: something else is there"), "stop it, or take another place under `[listen]`")
        }
    }
}

/// Whether a sidecar answers: by what `/readyz` says, whole.
fn is_ours(answer: &str) -> bool {
    let Some((head, body)) = answer.split_once("\r\n\r\n") else { return false };
    let says = body.lines().next().unwrap_or_default();
    head.starts_with("HTTP/1.1 200") && says == "ready"
        || head.starts_with("HTTP/1.1 503") && matches!(says, "stopping" | "the lineage cannot be written")
}

/// `ask`: a question at the agents' door would be a call, and recorded; there, that it opens is enough.
async fn knock(door: &Door, ask: bool) -> Behind {
    match door {
        Door::Tcp(address) => match timeout(PATIENCE, TcpStream::connect(address)).await {
            Ok(Ok(stream)) if ask => asked(stream, &address.to_string()).await,
            Ok(Ok(_)) => Behind::Answer(String::new()),
            Ok(Err(_)) | Err(_) => match TcpListener::bind(address).await {
                Ok(_) => Behind::Nobody,
                Err(error) => Behind::Shut(error.to_string()),
            },
        },
        Door::Unix(path) => match timeout(PATIENCE, UnixStream::connect(path)).await {
            Ok(Ok(stream)) if ask => asked(stream, "localhost").await,
            Ok(Ok(_)) => Behind::Answer(String::new()),
            Ok(Err(_)) | Err(_) if path.parent().is_some_and(|folder| folder == Path::new("") || folder.is_dir()) => {
                Behind::Nobody
            }
            Ok(Err(error)) => Behind::Shut(error.to_string()),
            Err(_) => Behind::Shut("it does not answer".to_owned()),
        },
    }
}

async fn asked(mut stream: impl AsyncRead + AsyncWrite + Unpin, host: &str) -> Behind {
    let request = format!("GET /readyz HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    let mut answer = Vec::new();
    let exchange = async {
        stream.write_all(request.as_bytes()).await?;
        (&mut stream).take(ENOUGH).read_to_end(&mut answer).await
    };
    // What does not answer, or breaks off, is told from what it said by then.
    let _ = timeout(PATIENCE, exchange).await;
    Behind::Answer(String::from_utf8_lossy(&answer).into_owned())
}
