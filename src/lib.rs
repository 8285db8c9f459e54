//! Countersign: a sidecar between an AI agent and the tools and APIs it calls.
//!
//! The modules stand in the order of a call. [`mediate`] is the walk; read it first, then whichever step interests you.

pub mod cli;
pub mod config;
pub mod app;

pub mod serve;
pub mod mediate;

pub mod identify;
pub mod understand;
pub mod memory;
pub mod judge;
pub mod record;
pub mod mint;
pub mod forward;
pub mod revoke;

pub mod model;
pub mod telemetry;
