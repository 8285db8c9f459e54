//! What the machine gives: keys, a clock, a disk.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::{Access, access, statvfs};
use rustix::process::geteuid;

use super::Line;
use crate::config::Config;

/// Seconds by which clocks of one machine may differ: a file is stamped by the kernel's coarse one.
const SKEW: Duration = Duration::from_secs(5);

/// Before this version was written it is never: 2026-01-01.
const EARLIEST: Duration = Duration::from_secs(1_767_225_600);

/// Free bytes below which somebody should look.
const ROOMY: u64 = 1 << 30;

pub(super) fn lines(config: &Config, path: &Path) -> Vec<Line> {
    vec![keys(&config.keys), clock(&[path, &config.lineage.path]), disk(config)]
}

fn keys(folder: &Path) -> Line {
    let at = folder.display();
    let found = match fs::metadata(folder) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Line::ok("keys", format!("`{at}` is made at the first start"));
        }
        Err(error) => return Line::bad("keys", format!("`{at}`: {error}"), "let the user of `serve` read it"),
    };
    if found.mode() & 0o077 != 0 {
        let says = format!("`{at}` can be read by others (mode {:04o})", found.mode() & 0o777);
        return Line::bad("keys", says, format!("chmod 700 {at}"));
    }
    if found.uid() != geteuid().as_raw() {
        let says = format!("`{at}` belongs to uid {}, and this is uid {}", found.uid(), geteuid().as_raw());
        return Line::warn("keys", says, "look as the user that `serve` runs as");
    }
    Line::ok("keys", format!("`{at}` is its owner's alone"))
}

/// A clock that goes wrong makes tokens that are over before they begin, and records in the wrong order.
fn clock(files: &[&Path]) -> Line {
    let now = SystemTime::now();
    let to_do = "set it, and keep it right (systemd-timesyncd, chrony)";
    if now.duration_since(SystemTime::UNIX_EPOCH).is_ok_and(|since| since < EARLIEST) {
        return Line::bad("clock", "it is before this program was written", to_do);
    }
    let ahead = |path: &&&Path| {
        let changed = fs::metadata(path).and_then(|found| found.modified()).ok();
        changed.and_then(|changed| changed.duration_since(now).ok()).is_some_and(|ahead| ahead > SKEW)
    };
    if let Some(path) = files.iter().find(ahead) {
        return Line::bad(
            "clock",
            format!("`{}` was written later than now: the clock was set back", path.display()),
            to_do,
        );
    }
    if Path::new("/run/systemd/timesync/synchronized").exists() {
        return Line::ok("clock", "kept by systemd-timesyncd");
    }
    Line::ok("clock", "plausible; whether anything keeps it right cannot be seen from here")
}

fn disk(config: &Config) -> Line {
    let path = &config.lineage.path;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let at = folder.display();
    if let Err(error) = access(folder, Access::WRITE_OK) {
        return Line::bad(
            "disk",
            format!("nothing can be written to `{at}`: {error}"),
            "without a record there is no call: let `serve` write there",
        );
    }
    let free = match statvfs(folder) {
        Ok(found) => found.f_bavail.saturating_mul(found.f_frsize),
        Err(error) => return Line::warn("disk", format!("`{at}`: {error}"), "see how full it is"),
    };
    let says = format!("{} MiB are free at `{at}`", free >> 20);
    if free < config.lineage.reserve {
        Line::bad(
            "disk",
            says,
            format!("calls are refused below {} MiB (`lineage.reserve`): make room", config.lineage.reserve >> 20),
        )
    } else if free < ROOMY {
        Line::warn("disk", says, "make room, or set `lineage.rotate_size`")
    } else {
        Line::ok("disk", says)
    }
}
