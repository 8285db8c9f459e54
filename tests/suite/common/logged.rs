//! What the process says while its tests run: every log line at every level, and every panic.

use std::io;
use std::sync::{Arc, Mutex};

use tracing::{Dispatch, Subscriber};
use tracing_subscriber::layer::{Layer, SubscriberExt as _};

/// What was said so far. All tests of a process share it.
#[derive(Clone, Default)]
pub struct Logged(Arc<Mutex<Vec<u8>>>);

impl Logged {
    /// Listens from now on, if nobody does yet.
    pub fn listen() -> Self {
        let logged = Self::default();
        let writer = logged.clone();
        let lines = tracing_subscriber::fmt::layer().json().flatten_event(true).with_writer(move || writer.clone());
        let subscriber = tracing_subscriber::registry().with(lines).with(Kept(logged.clone()));
        if tracing::dispatcher::set_global_default(Dispatch::new(subscriber)).is_ok() {
            let (heard, usual) = (logged.clone(), std::panic::take_hook());
            std::panic::set_hook(Box::new(move |panic| {
                let thread = std::thread::current().name().unwrap_or("without a name").to_owned();
                heard.0.lock().unwrap().extend_from_slice(format!("panicked in thread {thread}: {panic}\n").as_bytes());
                usual(panic);
            }));
        }
        tracing::dispatcher::get_default(|now| now.downcast_ref::<Kept>().map(|kept| kept.0.clone())).unwrap_or(logged)
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }

    /// Panics in threads of the sidecar, and in this one.
    pub fn panics(&self) -> Vec<String> {
        let here = std::thread::current().name().map(|name| format!("panicked in thread {name}:"));
        let ours = |line: &&str| {
            ["panicked in thread calls-", "panicked in thread lineage-"].iter().any(|start| line.starts_with(start))
                || here.as_ref().is_some_and(|here| line.starts_with(here.as_str()))
        };
        String::from_utf8_lossy(&self.bytes()).lines().filter(ours).map(str::to_owned).collect()
    }
}

impl io::Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Lets the process's one subscriber be asked for what it heard.
struct Kept(Logged);

impl<S: Subscriber> Layer<S> for Kept {}
