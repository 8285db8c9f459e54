//! Fuzzes `tests/fuzz/target.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    countersign_fuzz::target::holds(bytes);
});
