//! The admin door of a sidecar that is running, for commands that ask it something.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use zeroize::Zeroizing;

use super::Failure;
use crate::config::Door;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where the sidecar is, and who asks.
#[derive(Args, Debug)]
pub(super) struct AskArguments {
    /// The admin door: `unix:PATH` or an address. By default the one that the configuration names.
    #[arg(long, global = true, value_name = "DOOR")]
    door: Option<String>,
    /// A file with your reviewer's token; by default the token is taken from `COUNTERSIGN_TOKEN`. Over a Unix socket, the
    /// user the sidecar runs as needs none.
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// Reads an id of a call, a task or a question.
pub(super) fn id<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| "an id looks like `01a20d78-a14e-794c-8f4b-5dab522deea2`".to_owned())
}

/// An admin door, and what proves whoever knocks.
pub(super) struct AdminDoor {
    door: Door,
    token: Option<Zeroizing<String>>,
}

impl AskArguments {
    /// The door. The configuration is read only if it is needed: a sidecar goes on when its file is broken.
    pub(super) fn door(&self, config: &Path) -> Result<AdminDoor, Failure> {
        let door = match &self.door {
            Some(text) => match text.strip_prefix("unix:") {
                Some(path) => Door::Unix(path.into()),
                None => Door::Tcp(
                    text.parse::<SocketAddr>()
                        .map_err(|_| Failure::Usage(format!("`{text}` is neither `unix:PATH` nor an address")))?,
                ),
            },
            None => super::init::begun(config)?.0.listen.admin,
        };
        let token = match &self.token_file {
            Some(path) => Some(crate::app::read(path)?),
            None => std::env::var("COUNTERSIGN_TOKEN").ok().filter(|token| !token.is_empty()),
        };
        Ok(AdminDoor { door, token: token.map(|token| Zeroizing::new(token.trim_end().to_owned())) })
    }
}

impl AdminDoor {
    /// Asks for this, with these words if it changes something; gives the answer.
    pub(super) fn ask(&self, method: Method, path: &str, words: &Value) -> Result<Value, Failure> {
        super::runtime()?.block_on(async {
            let asked = tokio::time::timeout(PATIENCE, self.answer(method, path, words)).await;
            let (status, body) = asked.map_err(|_| self.away("it does not answer"))??;
            let said = || String::from_utf8_lossy(&body).trim_end().to_owned();
            match status {
                StatusCode::OK => serde_json::from_slice(&body).map_err(|_| self.away("its answer is no JSON")),
                StatusCode::UNAUTHORIZED => Err(Failure::Refused(format!("{}\n  {}", said(), self.which_token()))),
                StatusCode::FORBIDDEN => Err(Failure::Refused(said())),
                status if status.is_client_error() => Err(Failure::Usage(said())),
                _ => Err(self.away(&said())),
            }
        })
    }

    async fn answer(&self, method: Method, path: &str, words: &Value) -> Result<(StatusCode, Bytes), Failure> {
        let host = match &self.door {
            Door::Tcp(address) => address.to_string(),
            Door::Unix(_) => "localhost".to_owned(),
        };
        let body = if words.is_null() { Bytes::new() } else { Bytes::from(words.to_string()) };
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().map_err(|_| Failure::Usage(format!("`{path}` cannot be asked for")))?;
        let value =
            |text: &str| HeaderValue::from_str(text).map_err(|_| Failure::Usage("the token is none".to_owned()));
        request.headers_mut().insert(HOST, value(&host)?);
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(token) = &self.token {
            let mut bearer = value(&Zeroizing::new(format!("Bearer {}", token.as_str())))?;
            bearer.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, bearer);
        }
        match &self.door {
            Door::Tcp(address) => {
                let stream = TcpStream::connect(address).await.map_err(|error| self.shut(&error))?;
                self.exchange(stream, request).await
            }
            Door::Unix(path) => {
                let stream = UnixStream::connect(path).await.map_err(|error| self.shut(&error))?;
                self.exchange(stream, request).await
            }
        }
    }

    async fn exchange(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        request: Request<Full<Bytes>>,
    ) -> Result<(StatusCode, Bytes), Failure> {
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| self.away(&error))?;
        tokio::spawn(connection);
        let answer = sender.send_request(request).await.map_err(|error| self.away(&error))?;
        let status = answer.status();
        let body = answer.into_body().collect().await.map_err(|error| self.away(&error))?;
        Ok((status, body.to_bytes()))
    }

    /// What to do where nobody is known by the token.
    fn which_token(&self) -> &'static str {
        if self.token.is_some() {
            "`--token-file FILE` or `COUNTERSIGN_TOKEN` held another; `countersign init` has put a reviewer's into `tokens/owner`"
        } else {
            "name its file with `--token-file FILE`, or put it into `COUNTERSIGN_TOKEN`; `countersign init` has put one into `tokens/owner`"
        }
    }

    /// Nobody opens.
    fn shut(&self, error: &std::io::Error) -> Failure {
        self.away(&format!("{error}; is `countersign serve` running?"))
    }

    fn away(&self, why: &(impl std::fmt::Display + ?Sized)) -> Failure {
        let door = match &self.door {
            Door::Tcp(address) => address.to_string(),
            Door::Unix(path) => path.display().to_string(),
        };
        Failure::Away(format!("the admin door at {door}: {why}"))
    }
}
