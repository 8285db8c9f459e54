//! Every test in one binary: it links once.

#[cfg(test)]
mod attacks {
    mod authority;
    mod bench;
    mod certified;
    mod chains;
    mod concurrency;
    mod differential;
    mod echo;
    mod egress;
    mod exhaustion;
    mod exposed;
    mod floods;
    mod framing;
    mod http2;
    mod json;
    mod leakage;
    mod links;
    mod local;
    mod mirror;
    mod modes;
    mod nobody;
    mod paths;
    mod program;
    mod reloads;
    mod shutdown;
    mod streams;
    mod tls_h2;
    mod tunnels;
}

#[cfg(test)]
mod doors {
    mod identify;
    mod oauth;
}

#[cfg(test)]
mod fuzz {
    use crate::suite::common::nouns;

    mod addresses;
    mod catalog;
    mod headers;
    mod json;
    mod redaction;
    mod replay;
    mod sent;
    mod target;
}

#[cfg(test)]
mod store {
    mod disk;
    mod durability;
    mod failures;
    mod formats;
    pub mod fixture;
    mod killed;
    mod lines;
    mod lists;
    mod media;
    mod power;
    mod proofs;
    mod rotation;
    pub mod shim;
    mod verification;
}

#[cfg(test)]
mod suite {
    mod approvals;
    mod architecture;
    mod baselines;
    mod begin;
    pub mod common;
    mod configuration;
    mod crash;
    mod demo;
    mod docs;
    mod drafts;
    mod gateway;
    mod limits;
    mod outside;
    mod pages;
    mod policies;
    mod modes;
    mod progress;
    mod promises;
    mod reload;
    mod stopped;
    mod tasks;
    mod telemetry;
    mod understanding;
    mod values;
    mod walk;
}
