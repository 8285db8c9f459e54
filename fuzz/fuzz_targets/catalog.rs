//! Fuzzes `tests/fuzz/catalog.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    countersign_fuzz::catalog::holds(bytes);
});
