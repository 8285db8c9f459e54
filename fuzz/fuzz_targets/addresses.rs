//! Fuzzes `tests/fuzz/addresses.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    countersign_fuzz::addresses::holds(bytes);
});
