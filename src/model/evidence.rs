//! What a connection and its request show of who is asking. Believed by nobody until `identify` has looked.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use super::{Digest, Secret};

/// Who might be asking: the peer at the other end, and what the request carries.
#[derive(Debug)]
pub struct Evidence {
    /// Observed once per connection.
    pub peer: Arc<Peer>,
    /// `Authorization: Bearer`; the agent's own proof, never forwarded.
    pub bearer: Option<Secret>,
}

/// The other end of the connection, as the kernel tells it.
#[derive(Debug)]
pub enum Peer {
    /// A process on the other end of a Unix socket.
    Process(Process),
    /// A socket on this machine, reached over loopback TCP; the kernel tells its owner's uid, or cannot.
    Loopback {
        /// The peer's address.
        address: SocketAddr,
        /// Owner of the peer's socket, if the kernel could tell.
        uid: Option<u32>,
    },
    /// Anything else: no more than an address.
    Remote(SocketAddr),
}

/// A local process, pinned so that a reused pid is not taken for it.
#[derive(Debug)]
pub struct Process {
    /// Process id at the time of connecting.
    pub pid: u32,
    /// Effective user id at the time of connecting.
    pub uid: u32,
    /// Effective group id at the time of connecting.
    pub gid: u32,
    /// Stays with this very process; readable once it has ended.
    pub pidfd: Option<OwnedFd>,
    /// Clock ticks from boot to the start of the process (`/proc/PID/stat`, field 22).
    pub started: Option<u64>,
    /// The file that runs.
    pub exe: Option<Executable>,
    /// The control group's path (`/proc/PID/cgroup`, version 2).
    pub cgroup: Option<String>,
    /// The systemd unit that the control group names, such as `triage.service`.
    pub unit: Option<String>,
    /// The script an interpreter runs: its first argument that is a file, resolved.
    pub script: Option<PathBuf>,
}

/// An executable file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Executable {
    /// Where it lay when it was started.
    pub path: PathBuf,
    /// Device and inode: the same file, not the same name.
    pub file: (u64, u64),
    /// Digest of its content.
    pub sha256: Digest,
}
