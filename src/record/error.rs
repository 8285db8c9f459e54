//! What can be wrong with a lineage, in words for whoever runs it.

use std::io;

/// Why a lineage cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process holds the lock beside the file.
    #[error("`{0}` is being written by another process, and a lineage has one writer")]
    InUse(String),
    /// A later version of this program made the file.
    #[error("`{path}` is a lineage of format {found}, and this program knows formats up to {known}: use a newer one")]
    Newer {
        /// The file.
        path: String,
        /// The format it is in.
        found: String,
        /// The latest format known here.
        known: u32,
    },
    /// The file is a database, but not one of ours.
    #[error("`{0}` is a database, but not a lineage")]
    Foreign(String),
    /// The file system refused.
    #[error("cannot open `{path}`: {source}")]
    Open {
        /// The file.
        path: String,
        /// What the file system said.
        source: io::Error,
    },
    /// The database refused.
    #[error("the lineage's database says: {0}")]
    Database(#[from] rusqlite::Error),
    /// What is stored does not fit together.
    #[error("the lineage is damaged at record {seq}: {what}")]
    Damaged {
        /// The first record that is wrong, counted from 0.
        seq: u64,
        /// What is wrong with it.
        what: String,
    },
    /// The file is not the one that was being written.
    #[error("the lineage's files were moved, deleted or replaced while they were being written")]
    Replaced,
    /// A checkpoint that was sent elsewhere knows more than the lineage, or something else.
    #[error(
        "the lineage has {size} records, and `{file}` holds its signed checkpoint over {told} that it does not continue: it was \
         rolled back, cut off or replaced; put the right file back, or move the checkpoint away to begin anew knowingly"
    )]
    RolledBack {
        /// Where the checkpoint lies.
        file: String,
        /// Records it covers.
        told: u64,
        /// Records there are.
        size: u64,
    },
    /// A policy, catalog or other text is not the one that was loaded.
    #[error("a stored text does not have the digest it is stored under")]
    Text,
    /// Text that is no checkpoint, or not a valid one.
    #[error("the checkpoint is not valid: {0}")]
    Note(&'static str),
    /// Text that is no verification key.
    #[error("`{0}` is not a verification key such as `name+1234abcd+…`")]
    VerificationKey(String),
    /// The signing key is none, or its name cannot stand in a checkpoint.
    #[error("the signing key cannot be used: {0}")]
    SigningKey(&'static str),
    /// The store's key has another length.
    #[error("the store's key must have 32 bytes, not {0}")]
    StoreKey(usize),
    /// What was sealed cannot be opened: another key, another call, or changed.
    #[error("a sealed name cannot be opened with this key and for this call")]
    Sealed,
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    Random,
    /// A leaf has at most 65 535 bytes (C2SP tlog-tiles, entry bundles), private fields at most 256 KiB.
    #[error("a record of {bytes} bytes is longer than the {most} a lineage's record may have")]
    TooLong {
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        most: usize,
    },
    /// A value that JSON cannot express.
    #[error("a record cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// No thread could be started.
    #[error("cannot start the lineage's writer: {0}")]
    Thread(io::Error),
}
