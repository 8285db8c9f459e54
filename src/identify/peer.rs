//! Proof by what the kernel tells of the peer: its user, the file it runs, the unit it runs in.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::{Attested, Attestor, process};
use crate::model::{Digest, Evidence, Executable, Peer, Process, Proof, Timestamp};

/// What a local peer must be. Every field that is set must match; with none set, nothing matches.
///
/// `uid` alone also matches a peer on loopback TCP. All others need a process on a Unix socket, and that process must
/// still be there: if it has ended, whoever holds its connection now is not believed.
///
/// How much each is worth: `uid`, `gid`, `unit` and `cgroup` cannot be chosen by the process. `exe` and `sha256` tell
/// which file was started, not what its user made of it (`LD_PRELOAD`, a debugger), so name a `uid` or `unit` with
/// them. `script` is what the process says of itself, worth something only to tell apart agents of one user who trust
/// each other.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct PeerRule {
    /// Effective user id when it connected. One that this user namespace does not map shows as 65534.
    pub uid: Option<u32>,
    /// Effective group id when it connected.
    pub gid: Option<u32>,
    /// The file it runs: the very file that this path leads to here, links followed. Not matched by another file that
    /// a mount namespace shows under the same name, nor, after an upgrade, by what still runs the old one.
    pub exe: Option<PathBuf>,
    /// SHA-256 of the file it runs.
    pub sha256: Option<Digest>,
    /// Its control group (version 2, as in `/proc/PID/cgroup`), or one above it.
    pub cgroup: Option<String>,
    /// The unit of the system's systemd that it runs in, such as `triage.service`. Of a user's own service manager,
    /// that is always `user@UID.service`.
    pub unit: Option<String>,
    /// The script it runs, if it is an interpreter: the first argument that is no option.
    pub script: Option<PathBuf>,
}

impl Attestor for PeerRule {
    fn attest(&self, evidence: &Evidence, _now: Timestamp) -> Option<Attested> {
        match evidence.peer.as_ref() {
            Peer::Process(process) => self.process(process),
            Peer::Loopback { address, uid } => self.loopback(*address, (*uid)?),
            Peer::Remote(_) => None,
        }
    }
}

impl PeerRule {
    fn process(&self, process: &Process) -> Option<Attested> {
        if *self == Self::default() || !self.fits(process) {
            return None;
        }
        if self.exe.is_some() || self.sha256.is_some() {
            let running = process.exe.as_ref()?.file;
            // It may have started another program since it connected.
            if process::running_file(process.pid) != Some(running) {
                return None;
            }
        }
        // Last, since what was read before it holds only if the pid still was this process's.
        process::lives(process).then(|| Attested {
            proofs: vec![if self.names_process() { Proof::Process } else { Proof::Uid }],
            id: self.id(),
            attributes: attributes(process),
            expires_at: None,
        })
    }

    fn loopback(&self, address: SocketAddr, uid: u32) -> Option<Attested> {
        let told = Self { uid: Some(uid), ..Self::default() };
        (*self == told).then(|| Attested {
            proofs: vec![Proof::Uid],
            id: self.id(),
            attributes: BTreeMap::from([("address", address.to_string()), ("uid", uid.to_string())]),
            expires_at: None,
        })
    }

    fn names_process(&self) -> bool {
        *self != Self { uid: self.uid, gid: self.gid, ..Self::default() }
    }

    fn fits(&self, process: &Process) -> bool {
        let Self { uid, gid, exe, sha256, cgroup, unit, script } = self;
        let runs = process.exe.as_ref();
        fits(uid.as_ref(), Some(&process.uid), u32::eq)
            && fits(gid.as_ref(), Some(&process.gid), u32::eq)
            && fits(exe.as_ref(), runs, |path, runs| is_file(path, runs))
            && fits(sha256.as_ref(), runs, |digest, runs| *digest == runs.sha256)
            && fits(cgroup.as_ref(), process.cgroup.as_ref(), |above, cgroup| is_within(above, cgroup))
            && fits(unit.as_ref(), process.unit.as_ref(), String::eq)
            && fits(script.as_ref(), process.script.as_ref(), |path, script| is_script(path, script))
    }

    /// Made of what the rule names and of nothing else: a caller that could get itself a new name, by running another
    /// file under the same uid, would leave behind what its old name had taken in.
    fn id(&self) -> String {
        let Self { uid, gid, exe, sha256, cgroup, unit, script } = self;
        let parts = [
            uid.map(|uid| format!("uid:{uid}")),
            gid.map(|gid| format!("gid:{gid}")),
            unit.as_ref().map(|unit| format!("unit:{unit}")),
            cgroup.as_ref().map(|cgroup| format!("cgroup:{cgroup}")),
            exe.as_ref().map(|exe| format!("exe:{}", exe.display())),
            sha256.map(|sha256| format!("sha256:{sha256}")),
            script.as_ref().map(|script| format!("script:{}", script.display())),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
    }
}

/// A field that is not set asks for nothing; one that is set asks for a known fact that fits.
fn fits<R, F>(rule: Option<&R>, fact: Option<&F>, fit: impl Fn(&R, &F) -> bool) -> bool {
    rule.is_none_or(|rule| fact.is_some_and(|fact| fit(rule, fact)))
}

/// Compared by what the path leads to here: the kernel shows the path of a running file as its own mount namespace has
/// it, where any user may lay any file under any name.
fn is_file(path: &Path, runs: &Executable) -> bool {
    process::identity(path) == Some(runs.file)
}

fn is_within(above: &str, cgroup: &str) -> bool {
    cgroup.strip_prefix(above).is_some_and(|below| below.is_empty() || below.starts_with('/'))
}

fn is_script(path: &Path, script: &Path) -> bool {
    path == script || fs::canonicalize(path).is_ok_and(|path| path == script)
}

fn attributes(process: &Process) -> BTreeMap<&'static str, String> {
    let path = |path: &Path| path.to_string_lossy().into_owned();
    let known = [
        ("pid", (process.pid != 0).then(|| process.pid.to_string())),
        ("uid", Some(process.uid.to_string())),
        ("gid", Some(process.gid.to_string())),
        ("exe", process.exe.as_ref().map(|exe| path(&exe.path))),
        ("sha256", process.exe.as_ref().map(|exe| exe.sha256.to_string())),
        ("cgroup", process.cgroup.clone()),
        ("unit", process.unit.clone()),
        ("script", process.script.as_deref().map(path)),
    ];
    known.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;
    use std::sync::Arc;

    use rustix::process::{Pid, PidfdFlags, pidfd_open};

    use super::*;

    /// This test's own process, said to be of uid 1000 and so on: it lives, and runs its own file.
    fn this() -> Process {
        let path = std::env::current_exe().unwrap();
        let pid = std::process::id();
        let file = process::running_file(pid).unwrap();
        Process {
            pid,
            uid: 1000,
            gid: 100,
            pidfd: Some(pidfd(pid)),
            started: process::start_time(pid),
            exe: Some(Executable { path, file, sha256: Digest([7; 32]) }),
            cgroup: Some("/system.slice/triage.service/worker".into()),
            unit: Some("triage.service".into()),
            script: Some("/opt/agent.py".into()),
        }
    }

    fn pidfd(pid: u32) -> OwnedFd {
        pidfd_open(Pid::from_raw(pid.try_into().unwrap()).unwrap(), PidfdFlags::empty()).unwrap()
    }

    fn attest(rule: &PeerRule, peer: Peer) -> Option<Attested> {
        rule.attest(&Evidence { peer: Arc::new(peer), bearer: None }, Timestamp::from_millis(0))
    }

    fn matches(rule: PeerRule) -> bool {
        attest(&rule, Peer::Process(this())).is_some()
    }

    fn everything() -> PeerRule {
        PeerRule {
            uid: Some(1000),
            gid: Some(100),
            exe: Some(std::env::current_exe().unwrap()),
            sha256: Some(Digest([7; 32])),
            cgroup: Some("/system.slice/triage.service".into()),
            unit: Some("triage.service".into()),
            script: Some("/opt/agent.py".into()),
        }
    }

    #[test]
    fn every_field_that_is_set_must_match() {
        assert!(matches(everything()));
        assert!(!matches(PeerRule { uid: Some(0), ..everything() }));
        assert!(!matches(PeerRule { gid: Some(0), ..everything() }));
        assert!(!matches(PeerRule { exe: Some("/bin/sh".into()), ..everything() }));
        assert!(!matches(PeerRule { sha256: Some(Digest([8; 32])), ..everything() }));
        assert!(!matches(PeerRule { cgroup: Some("/system.slice/triage".into()), ..everything() }));
        assert!(!matches(PeerRule { unit: Some("other.service".into()), ..everything() }));
        assert!(!matches(PeerRule { script: Some("/opt/other.py".into()), ..everything() }));
    }

    #[test]
    fn a_rule_that_names_nothing_matches_nobody() {
        assert!(!matches(PeerRule::default()));
    }

    #[test]
    fn a_fact_that_is_not_known_does_not_match() {
        let unknown = || Process { exe: None, cgroup: None, unit: None, script: None, ..this() };
        let uid = PeerRule { uid: Some(1000), ..PeerRule::default() };
        assert!(attest(&uid, Peer::Process(unknown())).is_some());
        for rule in [
            PeerRule { exe: everything().exe, ..uid.clone() },
            PeerRule { sha256: everything().sha256, ..uid.clone() },
            PeerRule { cgroup: everything().cgroup, ..uid.clone() },
            PeerRule { unit: everything().unit, ..uid.clone() },
            PeerRule { script: everything().script, ..uid.clone() },
        ] {
            assert_eq!(attest(&rule, Peer::Process(unknown())), None, "{rule:?}");
        }
    }

    #[test]
    fn a_control_group_is_matched_whole_names_at_a_time() {
        assert!(is_within("/a/b", "/a/b"));
        assert!(is_within("/a/b", "/a/b/c"));
        assert!(!is_within("/a/b", "/a/bc"));
        assert!(!is_within("/a/b", "/a"));
        assert!(!is_within("/", "/a"));
    }

    #[test]
    fn a_process_that_was_not_pinned_is_not_believed() {
        let uid = PeerRule { uid: Some(1000), ..PeerRule::default() };
        assert_eq!(attest(&uid, Peer::Process(Process { pidfd: None, started: None, ..this() })), None);
        let elsewhere = Process { pid: 0, pidfd: None, started: None, exe: None, ..this() };
        assert!(attest(&uid, Peer::Process(elsewhere)).is_some(), "one of another pid namespace, by its uid");
    }

    #[test]
    fn without_a_pidfd_the_start_time_must_be_the_same() {
        let uid = PeerRule { uid: Some(1000), ..PeerRule::default() };
        let of = |started| attest(&uid, Peer::Process(Process { pidfd: None, started, ..this() }));
        let started = this().started.unwrap();
        assert!(of(Some(started)).is_some());
        assert_eq!(of(Some(started + 1)), None);
    }

    #[test]
    fn the_pidfd_decides_where_a_pid_was_taken_over() {
        let mut other = std::process::Command::new("true").spawn().unwrap();
        let gone = pidfd(other.id());
        other.wait().unwrap();
        // All else is in order: the pid and its start time are those of a process that lives.
        assert_eq!(attest(&everything(), Peer::Process(Process { pidfd: Some(gone), ..this() })), None);
    }

    #[test]
    fn another_file_than_at_first_is_not_believed() {
        let moved = |mut process: Process| {
            process.exe.as_mut().unwrap().file.1 += 1;
            Peer::Process(process)
        };
        let digest = PeerRule { sha256: Some(Digest([7; 32])), ..PeerRule::default() };
        assert!(attest(&digest, Peer::Process(this())).is_some());
        assert_eq!(attest(&digest, moved(this())), None);
    }

    #[test]
    fn a_user_is_a_user_over_loopback_too_and_nothing_more() {
        let peer = |uid| Peer::Loopback { address: "127.0.0.1:5000".parse().unwrap(), uid };
        let uid = PeerRule { uid: Some(1000), ..PeerRule::default() };
        let attested = attest(&uid, peer(Some(1000))).unwrap();
        assert_eq!((attested.proofs.as_slice(), attested.id.as_str()), ([Proof::Uid].as_slice(), "uid:1000"));
        assert_eq!(attested.attributes["address"], "127.0.0.1:5000");
        assert_eq!(attest(&uid, peer(Some(0))), None);
        assert_eq!(attest(&uid, peer(None)), None);
        assert_eq!(attest(&PeerRule { gid: Some(100), ..uid.clone() }, peer(Some(1000))), None);
        assert_eq!(attest(&everything(), peer(Some(1000))), None);
        assert_eq!(attest(&PeerRule::default(), peer(Some(1000))), None);
        assert_eq!(attest(&uid, Peer::Remote("192.0.2.7:5000".parse().unwrap())), None);
    }

    #[test]
    fn the_workload_is_named_by_what_the_rule_names_and_by_nothing_else() {
        let named = |rule: &PeerRule| attest(rule, Peer::Process(this())).unwrap();
        let user = named(&PeerRule { uid: Some(1000), gid: Some(100), ..PeerRule::default() });
        assert_eq!((user.id.as_str(), user.proofs.as_slice()), ("uid:1000 gid:100", [Proof::Uid].as_slice()));
        let unit = named(&PeerRule { uid: Some(1000), unit: everything().unit, ..PeerRule::default() });
        assert_eq!(unit.id, "uid:1000 unit:triage.service");
        assert_eq!(unit.proofs, [Proof::Process]);
        let names: Vec<_> = unit.attributes.keys().copied().collect();
        assert_eq!(names, ["cgroup", "exe", "gid", "pid", "script", "sha256", "uid", "unit"]);
    }
}
