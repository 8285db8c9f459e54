//! Fuzzes `tests/fuzz/redaction.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    countersign_fuzz::redaction::holds(bytes);
});
