//! An upstream that keeps every byte it gets, answers the very bytes it is told to, and looks, when a credential arrives,
//! whether a permission is on disk.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use countersign::model::CallId;
use countersign::record::Reader;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::gate::Gate;
use super::vault::Vault;
use super::wire::{Flaw, Kind, Message};

/// What it answers unless it is told otherwise.
pub const FINE: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 13\r\n\r\n{\"well\":true}";

/// Who can tell whether a credential was permitted: the vault that minted it, and the lineage.
#[derive(Clone)]
pub struct Witness {
    pub vault: Arc<Vault>,
    pub lineage: PathBuf,
}

impl Witness {
    /// The calls whose credentials stand in these bytes, and whether each has a committed permission.
    pub fn look(&self, bytes: &[u8]) -> Vec<(CallId, bool)> {
        let permitted = |call| permitted(&self.lineage, call);
        self.vault.calls_of(bytes).into_iter().map(|call| (call, permitted(call))).collect()
    }
}

fn permitted(lineage: &Path, call: CallId) -> bool {
    let story = Reader::open(lineage).ok().and_then(|reader| reader.story(call).ok().flatten());
    story.is_some_and(|story| story.first("permitted").is_some())
}

/// Bytes to answer with, and when.
#[derive(Clone, Debug)]
pub struct Reply {
    pub bytes: Vec<u8>,
    /// As soon as the head has come, whatever else may follow.
    pub early: bool,
    /// And then hang up.
    pub close: bool,
}

impl Reply {
    pub fn new(bytes: impl AsRef<[u8]>) -> Self {
        Self { bytes: bytes.as_ref().to_vec(), early: false, close: false }
    }

    pub fn early(self) -> Self {
        Self { early: true, ..self }
    }

    pub fn then_close(self) -> Self {
        Self { close: true, ..self }
    }
}

/// A request, on which connection it came, and whose credentials it carried.
#[derive(Clone, Debug)]
pub struct Arrived {
    pub message: Message,
    pub connection: usize,
    pub lent: Vec<(CallId, bool)>,
}

pub struct Raw {
    pub address: SocketAddr,
    pub origin: String,
    /// Before each answer.
    pub before_answer: Gate,
    witness: Mutex<Option<Witness>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    connections: Vec<Vec<u8>>,
    arrived: Vec<Arrived>,
    replies: VecDeque<Reply>,
    malformed: Vec<String>,
    closed: usize,
}

impl Raw {
    pub async fn start() -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let raw = Arc::new(Self {
            address,
            origin: format!("http://{address}"),
            before_answer: Gate::open(),
            witness: Mutex::default(),
            state: Mutex::default(),
        });
        let serving = raw.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                let raw = serving.clone();
                tokio::spawn(async move {
                    raw.converse(stream).await;
                    raw.state.lock().unwrap().closed += 1;
                });
            }
        });
        raw
    }

    /// From here on it knows whom to ask about credentials.
    pub fn witnessed_by(&self, witness: Witness) {
        *self.witness.lock().unwrap() = Some(witness);
    }

    /// The next answer that it does not know by itself; those told first are given first.
    pub fn reply(&self, reply: Reply) {
        self.state.lock().unwrap().replies.push_back(reply);
    }

    /// How many connections were made.
    pub fn connections(&self) -> usize {
        self.state.lock().unwrap().connections.len()
    }

    /// How many of them are open.
    pub fn open(&self) -> usize {
        let state = self.state.lock().unwrap();
        state.connections.len() - state.closed
    }

    /// Every byte it got, by connection.
    pub fn bytes(&self) -> Vec<Vec<u8>> {
        self.state.lock().unwrap().connections.clone()
    }

    /// The requests it got, in order.
    pub fn arrived(&self) -> Vec<Arrived> {
        self.state.lock().unwrap().arrived.clone()
    }

    pub fn requests(&self) -> Vec<Message> {
        self.arrived().into_iter().map(|arrived| arrived.message).collect()
    }

    /// What it got and could not be read in one way only.
    pub fn malformed(&self) -> Vec<String> {
        self.state.lock().unwrap().malformed.clone()
    }

    async fn converse(&self, mut stream: TcpStream) {
        let connection = {
            let mut state = self.state.lock().unwrap();
            state.connections.push(Vec::new());
            state.connections.len() - 1
        };
        let mut taken = 0;
        loop {
            let Some((reply, answered)) = self.next(&mut stream, connection, &mut taken).await else { return };
            if !answered {
                self.before_answer.pass().await;
                let _ = stream.write_all(&reply.bytes).await;
            }
            if reply.close {
                let _ = stream.shutdown().await;
                return;
            }
        }
    }

    /// Waits for a whole request. The reply it gets, and whether that was given already.
    async fn next(&self, stream: &mut TcpStream, connection: usize, taken: &mut usize) -> Option<(Reply, bool)> {
        let mut early = None;
        loop {
            let rest = self.state.lock().unwrap().connections[connection][*taken..].to_vec();
            if early.is_none() && rest.windows(4).any(|end| end == b"\r\n\r\n") {
                early = self.take(|reply| reply.early);
                if let Some(reply) = &early {
                    let _ = stream.write_all(&reply.bytes).await;
                }
            }
            match Message::read(&rest, Kind::Request) {
                Ok(message) => {
                    *taken += message.length;
                    let lent = self.look(&rest[..message.length]);
                    self.state.lock().unwrap().arrived.push(Arrived { message, connection, lent });
                    let answered = early.is_some();
                    let reply = early.or_else(|| self.take(|reply| !reply.early));
                    return Some((reply.unwrap_or_else(|| Reply::new(FINE)), answered));
                }
                Err(Flaw::Malformed(what)) => {
                    let told = format!("{what}: {:?}", String::from_utf8_lossy(&rest));
                    self.state.lock().unwrap().malformed.push(told);
                    return None;
                }
                Err(Flaw::Incomplete) => {}
            }
            let mut more = vec![0; 64 * 1024];
            let count = stream.read(&mut more).await.unwrap_or(0);
            if count == 0 {
                return None;
            }
            self.state.lock().unwrap().connections[connection].extend_from_slice(&more[..count]);
        }
    }

    fn take(&self, which: impl Fn(&Reply) -> bool) -> Option<Reply> {
        let mut state = self.state.lock().unwrap();
        if state.replies.front().is_some_and(which) { state.replies.pop_front() } else { None }
    }

    fn look(&self, bytes: &[u8]) -> Vec<(CallId, bool)> {
        let witness = self.witness.lock().unwrap().clone();
        witness.map(|witness| witness.look(bytes)).unwrap_or_default()
    }
}
