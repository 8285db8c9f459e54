//! An answer that was read whole before the agent has it.

/// A whole body as it is given to the agent.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'a> {
    /// Its bytes.
    pub body: &'a [u8],
    /// They are JSON, by their type.
    pub json: bool,
    /// The tool did what it was asked (RFC 9110 §15.3). What it says otherwise vouches for nothing.
    pub success: bool,
}
