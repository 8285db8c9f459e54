//! What tests share: a sidecar with its folder, a tool, a vault, and the invariants that hold after every test.

pub mod gate;
pub mod invariants;
pub mod nouns;
pub mod sidecar;
pub mod tool;
pub mod vault;
