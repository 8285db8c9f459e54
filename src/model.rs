//! The nouns of the house. They hold what the steps agree on, decide nothing, and import nothing of ours.

mod action;
mod call;
mod caller;
mod code;
mod credential;
mod ending;
mod evidence;
mod facts;
mod finding;
mod future;
mod ids;
mod intent;
mod scope;
mod secret;
mod task;
mod time;
mod tool;

pub use action::{Action, Argument, Effect};
pub use call::{Call, Content, Incoming};
pub use caller::{AgentName, Caller, Proof, Workload};
pub use code::{Code, Decision};
pub use credential::{Credential, Handle, Lifetime, Placement, names_credential};
pub use ending::{Answered, Ending, Revocation};
pub use evidence::{Evidence, Executable, Peer, Process};
pub use facts::{ChainFacts, Exceeded, Facts, IntentFacts, TaskFacts, Time, WorkloadFacts};
pub use finding::Finding;
pub use future::BoxFuture;
pub use ids::{CallId, Digest, TaskId};
pub use intent::{Intent, IntentSource};
pub use scope::Scope;
pub use secret::Secret;
pub use task::{Grant, Label, OpenedBy, Task};
pub use time::{Clock, Timestamp};
pub use tool::{Network, Tool};
