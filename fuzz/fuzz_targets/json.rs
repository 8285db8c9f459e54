//! Fuzzes `tests/fuzz/json.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    countersign_fuzz::json::holds(bytes);
});
