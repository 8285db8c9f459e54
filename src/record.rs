//! The rail under all rooms: nothing is minted before its verdict is on it.

mod account;
mod archive;
mod checkpoint;
mod combination;
mod credential;
mod decided;
mod entry;
mod error;
mod event;
mod facts;
mod habits;
mod list;
mod past;
mod people;
mod prove;
mod query;
mod rail;
mod said;
mod seal;
mod sqlite;
mod standing;
mod tile_path;
pub mod tiles;
mod verify;
mod watch;

use std::time::Duration;

pub use self::account::{
    Judged, Known, Told, amended, asked, closed, erased, glass_broken, lapsed, loaded, not_loaded, opened, quarantined,
    released, resolved, reviewed, told, told_of_grant,
};
pub use self::checkpoint::{Checkpoint, Signer, Verifier};
pub use self::credential::{CredentialNote, CredentialPlan, HandleNote};
pub use self::decided::{Basis, Decided, Lost};
pub use self::error::StoreError;
pub use self::event::{
    AnswerNote, Closed, Ended, Erased, Event, Loaded, Minted, Opened, Permitted, Record, Refused, Repeated, SentNote,
    Settled,
};
pub use self::facts::FactsNote;
pub use self::habits::{Learned, PastBaseline, PastBaselines, Ratified, Reset, Shown, learned, ratified, reset};
pub use self::list::Filter;
pub use self::past::{Past, PastLife};
pub use self::people::{Amended, Answer, Asked, GlassBroken, NotLoaded, Quarantined, Released, Resolved, Reviewed};
pub use self::query::{Reader, Stored, Story};
pub use self::rail::{Open, Rail, Recorded};
pub use self::said::PastQuestion;
pub use self::seal::Sealer;
pub use self::sqlite::{Limbo, OpenCall, OpenTask, Options, Rotate, SqliteLineage, Sync};
pub use self::tile_path::{TilePath, tile_path};
pub use self::verify::{Against, Report, Verdict, verify, verify_since};
use crate::model::BoxFuture;

/// Where records go: one writer, an order, and no way back.
pub trait Lineage: Send + std::marker::Sync {
    /// Queues a record. The receipt resolves to its place in the tree once it is durable, or says why it never will be.
    ///
    /// Dropping the receipt of a `Permitted` takes the permission back: if it was too late to keep it from being
    /// written, the store writes its `Ended` behind it. Dropping any other receipt changes nothing.
    fn append(&self, record: Record) -> Receipt;

    /// Why nothing can be recorded now, if nothing can.
    fn trouble(&self) -> Option<String>;
}

/// A promise of a place in the tree.
pub type Receipt = BoxFuture<'static, Result<u64, Unavailable>>;

/// The record could not be made durable. Nothing was minted.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Unavailable {
    /// A refusal was counted with others like it, and has no place of its own: the count will be recorded.
    #[error("the refusal is counted with others like it")]
    Counted,
    /// More records are waiting than the queue holds.
    #[error("the lineage's queue is full")]
    Full,
    /// The store took too long.
    #[error("the lineage did not commit within {0:?}")]
    Late(Duration),
    /// The store failed.
    #[error("the lineage cannot be written: {0}")]
    Failed(String),
}
