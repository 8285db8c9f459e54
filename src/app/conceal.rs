//! What others on this machine cannot see of the process: its memory, and the secrets it was started with.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, memfd_create};
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use zeroize::Zeroizing;

use super::secrets;
use crate::config::Config;

/// The variable that tells a process that its secrets come on its standard input. It holds no secret.
const HANDED_OVER: &str = "COUNTERSIGN_SECRETS";

/// The program's name as `ps` shows it.
const NAME: &std::ffi::CStr = c"countersign";

/// Nobody changes what was handed over.
const SEALS: SealFlags = SealFlags::SEAL.union(SealFlags::SHRINK).union(SealFlags::GROW).union(SealFlags::WRITE);

/// Where `{ env = "…" }` secrets are: in the environment of this process, or taken out of it.
#[derive(Default)]
pub struct Environment {
    taken: BTreeMap<String, Zeroizing<Vec<u8>>>,
}

impl Environment {
    /// The value of a variable.
    pub(super) fn get(&self, name: &str) -> Option<Zeroizing<Vec<u8>>> {
        let taken = self.taken.get(name).cloned();
        taken.or_else(|| env::var_os(name).map(|value| Zeroizing::new(value.into_encoded_bytes())))
    }
}

/// Why the process cannot be hidden.
#[derive(Debug, thiserror::Error)]
pub enum ConcealError {
    /// The kernel will not.
    #[error("{what}: {error}")]
    Kernel {
        /// What was not done.
        what: &'static str,
        /// Why.
        error: io::Error,
    },
    /// Somebody else set the variable.
    #[error(
        "`{HANDED_OVER}` is set, but the standard input holds no secrets; unset it, only countersign sets it for itself"
    )]
    NotHandedOver,
}

/// Hides the memory of this process from others of its user (prctl(2), `PR_SET_DUMPABLE`; setrlimit(2), `RLIMIT_CORE`),
/// and takes the secrets that the configuration names out of its environment.
///
/// The environment that a process was started with stays readable in `/proc/PID/environ` for as long as it runs,
/// whatever it does to its variables. So where there are such secrets, the program is started again in its own place,
/// as the same process, without them; they come to it in sealed memory, as its standard input. Call this before there
/// are threads, and before any secret is read.
pub fn conceal(config: &Config) -> Result<Environment, ConcealError> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(kernel("the process's memory cannot be hidden from others of its user"))?;
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })
        .map_err(kernel("core dumps cannot be switched off"))?;
    if env::var_os(HANDED_OVER).is_some() {
        // The second start was through `/proc/self/exe`, which is what it would be called otherwise.
        rustix::thread::set_name(NAME).map_err(kernel("the process cannot be named"))?;
        return received();
    }
    let names: BTreeSet<&str> =
        secrets::variables(config).into_iter().filter(|name| env::var_os(name).is_some()).collect();
    if names.is_empty() {
        return Ok(Environment::default());
    }
    let handed = handed_over(&names).map_err(kernel("the secrets cannot be taken out of the environment"))?;
    Err(start_again(&names, handed))
}

/// The named variables in sealed memory, as an environment holds them: `NAME=VALUE`, each behind the other with a NUL.
fn handed_over(names: &BTreeSet<&str>) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Before Linux 6.3 there is no memory that cannot be run; some machines allow no other.
    let memory =
        memfd_create("secrets", flags | MemfdFlags::NOEXEC_SEAL).or_else(|_| memfd_create("secrets", flags))?;
    let mut file = File::from(memory);
    for name in names {
        let value = Zeroizing::new(env::var_os(name).unwrap_or_default().into_encoded_bytes());
        for part in [name.as_bytes(), b"=", &value, b"\0"] {
            file.write_all(part)?;
        }
    }
    file.rewind()?;
    fcntl_add_seals(&file, SEALS)?;
    Ok(file.into())
}

/// Comes back only with an error.
fn start_again(names: &BTreeSet<&str>, handed: OwnedFd) -> ConcealError {
    let mut arguments = env::args_os();
    let mut command = Command::new("/proc/self/exe");
    command.arg0(arguments.next().unwrap_or_else(|| "countersign".into())).args(arguments);
    for name in names {
        command.env_remove(name);
    }
    command.env(HANDED_OVER, "stdin").stdin(Stdio::from(handed));
    kernel("the program cannot be started again without its secrets")(command.exec())
}

/// What the first start handed over; the standard input is empty afterwards.
fn received() -> Result<Environment, ConcealError> {
    let input = io::stdin();
    if !fcntl_get_seals(&input).is_ok_and(|seals| seals.contains(SEALS)) {
        return Err(ConcealError::NotHandedOver);
    }
    // Past the buffer of `Stdin`, which would keep a copy.
    let read = || {
        let mut file = File::from(input.as_fd().try_clone_to_owned()?);
        let length = usize::try_from(file.metadata()?.len()).unwrap_or(0);
        let mut bytes = Zeroizing::new(Vec::with_capacity(length));
        file.read_to_end(&mut bytes)?;
        rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
        Ok(bytes)
    };
    let bytes = read().map_err(kernel::<io::Error>("the secrets cannot be received"))?;
    let mut taken = BTreeMap::new();
    for variable in bytes.split(|byte| *byte == 0) {
        let Some(equals) = variable.iter().position(|byte| *byte == b'=') else { continue };
        let (name, value) = variable.split_at(equals);
        let name = std::ffi::OsStr::from_bytes(name).to_string_lossy().into_owned();
        taken.insert(name, Zeroizing::new(value.get(1..).unwrap_or_default().to_vec()));
    }
    Ok(Environment { taken })
}

fn kernel<E: Into<io::Error>>(what: &'static str) -> impl FnOnce(E) -> ConcealError {
    move |error| ConcealError::Kernel { what, error: error.into() }
}
