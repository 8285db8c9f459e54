//! What tests share: a sidecar with its folder, a tool, a vault, raw bytes on both sides, and the invariants that hold
//! after every test.

pub mod checkout;
pub mod gate;
pub mod invariants;
pub mod logged;
pub mod nouns;
pub mod raw;
pub mod sidecar;
pub mod spellings;
pub mod tool;
pub mod vault;
pub mod wire;
