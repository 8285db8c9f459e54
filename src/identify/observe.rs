//! Looks at the other end of a connection, once, when it is accepted.

use std::fs::{self, File};
use std::io::{self, Read};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use quick_cache::sync::Cache;
use ring::digest::{self, SHA256};
use tokio::net::UnixStream;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::{process, socket_owner};
use crate::model::{Digest, Executable, Peer, Process};

/// Digests that are remembered.
const REMEMBERED: usize = 256;
/// Bytes of the largest executable that is hashed; what a larger one runs is not known.
const LARGEST: u64 = 512 << 20;
/// Executables that are hashed at a time. Hashing takes about a millisecond a megabyte, and must not take all cores.
const AT_A_TIME: usize = 2;
/// How long a look may take, waiting for a turn to hash included.
const PATIENCE: Duration = Duration::from_secs(5);

/// Looks at the processes at the other end of Unix sockets, and remembers the digests of what they run.
pub struct Observer {
    digests: Cache<Version, Digest>,
    turns: Semaphore,
}

impl Observer {
    /// An observer that has seen nothing yet. One serves all connections.
    pub fn new() -> Arc<Self> {
        Arc::new(Self { digests: Cache::new(REMEMBERED), turns: Semaphore::new(AT_A_TIME) })
    }

    /// The process at the other end of `stream`.
    ///
    /// It is pinned at once, before anything is waited for. What may not be read (another user's process, `hidepid`)
    /// is `None`. A process that has ended by the end of the look, or that takes over five seconds to look at, is
    /// one that no rule about processes will match.
    ///
    /// Fails if the kernel does not tell who connected (`SO_PEERCRED`, unix(7)): close such a connection.
    pub async fn unix(self: &Arc<Self>, stream: &UnixStream) -> io::Result<Peer> {
        let credentials = stream.peer_cred()?;
        let pid = credentials.pid().and_then(|pid| u32::try_from(pid).ok()).unwrap_or(0);
        let bare = |pidfd| bare(pid, (credentials.uid(), credentials.gid()), pidfd);
        let pinned = bare(process::pin(stream, pid));
        let looked = timeout(PATIENCE, Arc::clone(self).look(pinned)).await;
        Ok(Peer::Process(looked.ok().flatten().unwrap_or_else(|| bare(None))))
    }

    async fn look(self: Arc<Self>, process: Process) -> Option<Process> {
        if process.pid == 0 {
            return Some(process);
        }
        let observer = Arc::clone(&self);
        let (mut process, unhashed) = spawn_blocking(move || observer.read(process)).await.ok()?;
        if let Some(opened) = unhashed {
            let _turn = self.turns.acquire().await.ok()?;
            let observer = Arc::clone(&self);
            process.exe = spawn_blocking(move || observer.hash(opened)).await.ok()?;
        }
        // Last: only now is it certain that what was read under its pid was read of this process.
        if process::lives(&process) {
            return Some(process);
        }
        Some(bare(process.pid, (process.uid, process.gid), process.pidfd))
    }

    /// Everything but the digest of an executable that was not seen before; that one is handed back, open.
    fn read(&self, mut process: Process) -> (Process, Option<Opened>) {
        process.started = process::start_time(process.pid);
        process.cgroup = process::cgroup(process.pid);
        process.unit = process.cgroup.as_deref().and_then(process::unit);
        process.script = process::script(process.pid);
        let Some(opened) = Opened::running_in(process.pid) else { return (process, None) };
        let Some(sha256) = self.digests.get(&opened.version) else { return (process, Some(opened)) };
        process.exe = Some(opened.with(sha256));
        (process, None)
    }

    fn hash(&self, mut opened: Opened) -> Option<Executable> {
        let sha256 = opened.hash()?;
        self.digests.insert(opened.version, sha256);
        Some(opened.with(sha256))
    }
}

/// The peer of a TCP connection that was accepted at `local`.
///
/// Over loopback, the kernel is asked whose socket it is, with one blocking question of some microseconds. Ask at
/// once: what is found is who holds the other end now.
pub fn observe_tcp(peer: SocketAddr, local: SocketAddr) -> Peer {
    if peer.ip().to_canonical().is_loopback() {
        Peer::Loopback { address: peer, uid: socket_owner::owner(peer, local) }
    } else {
        Peer::Remote(peer)
    }
}

/// A process of which no more is known than what came with the connection.
fn bare(pid: u32, (uid, gid): (u32, u32), pidfd: Option<OwnedFd>) -> Process {
    Process { pid, uid, gid, pidfd, started: None, exe: None, cgroup: None, unit: None, script: None }
}

/// An executable, open: what is hashed is the file that runs, whatever its name leads to by now.
struct Opened {
    file: File,
    version: Version,
    path: PathBuf,
}

impl Opened {
    fn running_in(pid: u32) -> Option<Self> {
        let link = process::exe_link(pid);
        let file = File::open(&link).ok()?;
        let version = Version::of(&file).ok()?;
        Some(Self { file, version, path: fs::read_link(link).ok()? })
    }

    /// `None` if it is too large, cannot be read, or is written to meanwhile.
    fn hash(&mut self) -> Option<Digest> {
        if self.version.size > LARGEST {
            return None;
        }
        let mut hash = digest::Context::new(&SHA256);
        let mut buffer = vec![0; 256 << 10];
        let mut content = (&self.file).take(LARGEST);
        loop {
            let read = content.read(&mut buffer).ok()?;
            if read == 0 {
                break;
            }
            hash.update(buffer.get(..read)?);
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(hash.finish().as_ref());
        (Version::of(&self.file).ok()? == self.version).then_some(Digest(digest))
    }

    fn with(self, sha256: Digest) -> Executable {
        Executable { path: self.path, file: (self.version.device, self.version.inode), sha256 }
    }
}

/// What changes when a file's content does.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
struct Version {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Version {
    fn of(file: &File) -> io::Result<Self> {
        let found = file.metadata()?;
        Ok(Self {
            device: found.dev(),
            inode: found.ino(),
            size: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use rustix::process::{Pid, PidfdFlags, pidfd_open};

    use super::*;

    #[tokio::test]
    async fn what_was_read_of_a_pids_next_owner_is_not_believed() {
        let mut first = Command::new("true").spawn().unwrap();
        let pid = Pid::from_raw(first.id().try_into().unwrap()).unwrap();
        let gone = pidfd_open(pid, PidfdFlags::empty()).unwrap();
        first.wait().unwrap();
        // This very process stands for the one that was given the pid next.
        let pid = std::process::id();
        let own = bare(
            pid,
            (0, 0),
            Some(pidfd_open(Pid::from_raw(pid.try_into().unwrap()).unwrap(), PidfdFlags::empty()).unwrap()),
        );
        assert!(Observer::new().look(own).await.unwrap().exe.is_some());
        let seen = Observer::new().look(bare(pid, (0, 0), Some(gone))).await.unwrap();
        assert!(seen.exe.is_none() && seen.started.is_none() && seen.cgroup.is_none());
        assert!(!process::lives(&seen));
    }

    #[test]
    fn what_is_hashed_is_the_open_file_and_a_changed_one_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        fs::write(&path, "one").unwrap();
        let open = || {
            let file = File::open(&path).unwrap();
            Opened { version: Version::of(&file).unwrap(), file, path: path.clone() }
        };
        let mut first = open();
        let mut second = open();
        fs::rename(&path, folder.path().join("y")).unwrap();
        fs::write(&path, "two").unwrap();
        first.version = Version::of(&first.file).unwrap();
        assert_eq!(first.hash(), Some(Digest::of(b"one")));
        fs::write(folder.path().join("y"), "longer").unwrap();
        assert_eq!(second.hash(), None);
    }

    #[test]
    fn only_loopback_peers_are_asked_about() {
        let local = "192.0.2.1:7080".parse().unwrap();
        for remote in ["192.0.2.7:5000", "[2001:db8::7]:5000", "[::ffff:192.0.2.7]:5000"] {
            assert!(matches!(observe_tcp(remote.parse().unwrap(), local), Peer::Remote(_)), "{remote}");
        }
        for near in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            let peer = observe_tcp(near.parse().unwrap(), local);
            assert!(matches!(peer, Peer::Loopback { uid: None, .. }), "{near}");
        }
    }
}
