//! Every test in one binary: it links once.

#[cfg(test)]
mod suite {
    mod architecture;
}
