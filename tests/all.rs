//! Every test in one binary: it links once.

#[cfg(test)]
mod doors {
    mod identify;
}

#[cfg(test)]
mod store {
    mod disk;
    mod durability;
    mod failures;
    pub mod fixture;
    mod killed;
    mod lines;
    mod power;
    mod proofs;
    mod rotation;
    pub mod shim;
    mod verification;
}

#[cfg(test)]
mod suite {
    mod architecture;
    mod common;
    mod configuration;
    mod crash;
    mod demo;
    mod docs;
    mod gateway;
    mod limits;
    mod outside;
    mod policies;
    mod promises;
    mod understanding;
    mod walk;
}
