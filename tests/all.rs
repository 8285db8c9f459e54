//! Every test in one binary: it links once.

#[cfg(test)]
mod attacks {
    mod authority;
    mod bench;
    mod concurrency;
    mod differential;
    mod echo;
    mod exhaustion;
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
    mod streams;
    mod tunnels;
}

#[cfg(test)]
mod doors {
    mod identify;
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
    mod durability;
    mod failures;
    mod fixture;
    mod lines;
    mod verification;
}

#[cfg(test)]
mod suite {
    mod architecture;
    pub mod common;
    mod configuration;
    mod crash;
    mod demo;
    mod docs;
    mod gateway;
    mod limits;
    mod policies;
    mod promises;
    mod understanding;
    mod walk;
}
