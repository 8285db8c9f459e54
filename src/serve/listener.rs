//! A door's address, bound before anybody is let in.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener as StdUnixListener, UnixStream as StdUnixStream};
use std::path::Path;

use rustix::fs::Mode;

/// A bound door that nobody has accepted from yet.
#[derive(Debug)]
pub enum Listener {
    /// On loopback.
    Tcp(std::net::TcpListener),
    /// On a path.
    Unix(StdUnixListener),
}

impl Listener {
    /// Binds a TCP address.
    pub fn tcp(address: SocketAddr) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(Self::Tcp(listener))
    }

    /// Binds a path with this mode. A socket that nobody answers on is replaced; anything else there is an error.
    pub fn unix(path: &Path, mode: u32) -> io::Result<Self> {
        match std::fs::symlink_metadata(path) {
            Ok(there) if there.file_type().is_socket() && StdUnixStream::connect(path).is_err() => {
                std::fs::remove_file(path)?;
            }
            Ok(_) => return Err(io::Error::new(io::ErrorKind::AddrInUse, "something is there already")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if std::fs::metadata(folder)?.mode() & 0o1002 == 0o002 {
            let why = "anybody may put a socket of their own in its place; `chmod o-w` the folder";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
        }
        // Nobody else may come in between the socket's making and its mode.
        let before = rustix::process::umask(Mode::from_raw_mode(0o077));
        let listener = StdUnixListener::bind(path);
        rustix::process::umask(before);
        let listener = listener?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
        listener.set_nonblocking(true)?;
        Ok(Self::Unix(listener))
    }

    /// Where it listens, if that is an address.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok(),
            Self::Unix(_) => None,
        }
    }

    /// The same door, for another thread to accept from.
    pub fn share(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Tcp(listener) => Self::Tcp(listener.try_clone()?),
            Self::Unix(listener) => Self::Unix(listener.try_clone()?),
        })
    }
}
