//! What the kernel tells of one process: `/proc/PID` (proc(5)), and its pidfd (pidfd_open(2)).

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::model::Process;

/// Bytes of a file below `/proc` that are looked at.
const LONGEST: u64 = 64 * 1024;

/// A pidfd of the process that connected.
///
/// `SO_PEERPIDFD` (Linux 6.5) names that very process. Older kernels tell only its pid, so that a process that took
/// the pid over between connecting and here is pinned in its place: the one gap that cannot be closed there.
pub(super) fn pin(stream: impl AsFd, pid: u32) -> Option<OwnedFd> {
    use nix::sys::socket::{getsockopt, sockopt::PeerPidfd};
    match getsockopt(&stream, PeerPidfd) {
        Ok(pidfd) => Some(pidfd),
        Err(nix::errno::Errno::ENOPROTOOPT) => {
            pidfd_open(Pid::from_raw(i32::try_from(pid).ok()?)?, PidfdFlags::empty()).ok()
        }
        // EINVAL: it has ended already, and its pid may be another's by now. (Later kernels, such as 6.18, give a pidfd
        // even then, and that one says so.)
        Err(_) => None,
    }
}

/// Whether a pinned process still is the one that connected: not ended, whatever its pid names now.
///
/// Facts read from `/proc/PID` before this says yes are facts of that process, since a pid is not given to another
/// before the process has ended.
pub(super) fn lives(process: &Process) -> bool {
    match (&process.pidfd, process.started) {
        (Some(pidfd), _) => !has_ended(pidfd),
        (None, Some(started)) => start_time(process.pid) == Some(started),
        // A peer of another pid namespace has no pid here, so nothing but its uid and gid can be known. Any other
        // process that could not be pinned is not believed.
        (None, None) => process.pid == 0,
    }
}

/// A pidfd becomes readable when its process ends; one that cannot be asked counts as ended.
pub(super) fn has_ended(pidfd: &OwnedFd) -> bool {
    let mut asked = [PollFd::new(pidfd, PollFlags::IN)];
    loop {
        match poll(&mut asked, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) {
            Err(Errno::INTR) => {}
            answer => return answer != Ok(0),
        }
    }
}

/// Device and inode of the file that a process runs now; `None` if this user may not know.
pub(super) fn running_file(pid: u32) -> Option<(u64, u64)> {
    identity(&exe_link(pid))
}

/// Device and inode of the file at `path`, links followed.
pub(super) fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

/// Where the file a process runs can be opened, even if it was renamed or removed.
pub(super) fn exe_link(pid: u32) -> PathBuf {
    format!("/proc/{pid}/exe").into()
}

/// Clock ticks from boot to the start of a process.
pub(super) fn start_time(pid: u32) -> Option<u64> {
    parse_start_time(&read(pid, "stat")?)
}

/// The path of a process's control group, version 2.
pub(super) fn cgroup(pid: u32) -> Option<String> {
    parse_cgroup(&read(pid, "cgroup")?)
}

/// The systemd unit of the *system* manager that a control group belongs to.
///
/// That is the outermost service or scope, reached through slices only. What lies within one is named by whoever it
/// was delegated to: any user may run a `triage.service` of their own below `user@1000.service`, any container one
/// below its scope, and neither is the system's `triage.service`.
pub(super) fn unit(cgroup: &str) -> Option<String> {
    let mut slice = None;
    for part in cgroup.split('/').filter(|part| !part.is_empty()) {
        match part.rsplit_once('.') {
            Some((_, "service" | "scope")) => return Some(part.to_owned()),
            Some((_, "slice")) => slice = Some(part.to_owned()),
            _ => return None,
        }
    }
    slice
}

/// The script that an interpreter runs: its first argument that is no option, if that is a file.
///
/// It is the process's own word: arguments can be overwritten, and the directory they are relative to may have changed
/// since the start. An option that takes a value hides the script; then there is none, rather than a wrong one.
pub(super) fn script(pid: u32) -> Option<PathBuf> {
    let arguments = read(pid, "cmdline")?;
    let named = first_operand(&arguments)?;
    let directory = fs::read_link(format!("/proc/{pid}/cwd")).ok()?;
    let path = fs::canonicalize(directory.join(named)).ok()?;
    path.is_file().then_some(path)
}

fn first_operand(arguments: &[u8]) -> Option<&Path> {
    let operand = arguments.split(|&byte| byte == 0).skip(1).find(|argument| !argument.starts_with(b"-"))?;
    (!operand.is_empty()).then(|| Path::new(OsStr::from_bytes(operand)))
}

/// Field 22 of `/proc/PID/stat`. Field 2 is the process's name in parentheses, and the process chooses it: it may hold
/// spaces and parentheses, so counting starts after the last one.
fn parse_start_time(stat: &[u8]) -> Option<u64> {
    let close = stat.iter().rposition(|&byte| byte == b')')?;
    let rest = std::str::from_utf8(stat.get(close + 1..)?).ok()?;
    rest.split_ascii_whitespace().nth(22 - 3)?.parse().ok()
}

/// The line of hierarchy 0 (cgroups(7)), in pure and in hybrid mode.
fn parse_cgroup(lines: &[u8]) -> Option<String> {
    std::str::from_utf8(lines).ok()?.lines().find_map(|line| line.strip_prefix("0::")).map(str::to_owned)
}

fn read(pid: u32, name: &str) -> Option<Vec<u8>> {
    let mut found = Vec::new();
    File::open(format!("/proc/{pid}/{name}")).ok()?.take(LONGEST).read_to_end(&mut found).ok()?;
    Some(found)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::process::Command;

    use super::*;

    #[test]
    fn a_peer_that_has_ended_is_not_pinned_by_whoever_has_its_pid_now() {
        let (one, _other) = UnixStream::pair().unwrap();
        if nix::sys::socket::getsockopt(&one, nix::sys::socket::sockopt::PeerPidfd).is_err() {
            eprintln!("left out: this kernel has no SO_PEERPIDFD");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("door.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let program = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])";
        let done = Command::new("python3").args(["-c", program]).arg(&path).status().unwrap();
        assert!(done.success());
        let (stream, _) = listener.accept().unwrap();
        // This very process stands for the one that was given the pid next.
        assert!(pin(&stream, std::process::id()).is_none_or(|pidfd| has_ended(&pidfd)));
        assert!(!has_ended(&pin(&one, std::process::id()).unwrap()));
    }

    #[test]
    fn a_start_time_is_read_past_any_name() {
        let rest = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20 21";
        for name in ["(sleep)", "(a b)", "(a) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 99 ()", "())"] {
            assert_eq!(parse_start_time(format!("42 {name} {rest}\n").as_bytes()), Some(4711), "{name}");
        }
        assert_eq!(parse_start_time(b"42 (sleep) S 1 2"), None);
        assert_eq!(parse_start_time(b""), None);
    }

    #[test]
    fn the_start_time_of_this_process_is_known() {
        let own = start_time(std::process::id()).unwrap();
        assert!(own > 0);
        assert_eq!(start_time(u32::MAX), None);
    }

    #[test]
    fn the_control_group_is_that_of_version_2() {
        assert_eq!(
            parse_cgroup(b"4:memory:/m\n1:cpu:/c\n0::/system.slice/x.service\n").unwrap(),
            "/system.slice/x.service"
        );
        assert_eq!(parse_cgroup(b"4:memory:/m\n10::/c\n"), None);
    }

    #[test]
    fn the_unit_is_the_outermost_one_of_the_system() {
        for (cgroup, expected) in [
            ("/system.slice/triage.service", Some("triage.service")),
            ("/system.slice/triage.service/worker", Some("triage.service")),
            ("/system.slice/system-agents.slice/agents@1.service", Some("agents@1.service")),
            ("/user.slice/user-1000.slice/session-3.scope", Some("session-3.scope")),
            ("/user.slice/user-1000.slice/user@1000.service/app.slice/triage.service", Some("user@1000.service")),
            ("/system.slice/docker-ab12.scope/system.slice/triage.service", Some("docker-ab12.scope")),
            ("/docker/ab12/system.slice/triage.service", None),
            ("/../triage.service", None),
            ("/system.slice/triage.service (deleted)", None),
            ("/agents.slice", Some("agents.slice")),
            ("/", None),
        ] {
            assert_eq!(unit(cgroup).as_deref(), expected, "{cgroup}");
        }
    }

    #[test]
    fn the_script_is_the_first_argument_that_is_no_option() {
        let of = |arguments: &[u8]| first_operand(arguments).map(Path::to_path_buf);
        assert_eq!(of(b"python3\0-u\0-B\0agent.py\0--all\0x.py\0"), Some("agent.py".into()));
        assert_eq!(of(b"python3\0-c\0import evil\0agent.py\0"), Some("import evil".into()));
        assert_eq!(of(b"python3\0"), None);
        assert_eq!(of(b"python3\0-u\0"), None);
        assert_eq!(of(b"agent.py"), None);
    }
}
