//! The properties that are fuzzed. Each is written once, in `tests/fuzz`, where the corpus is replayed against it too.

#[path = "../../tests/fuzz/addresses.rs"]
pub mod addresses;
#[path = "../../tests/fuzz/catalog.rs"]
pub mod catalog;
#[path = "../../tests/fuzz/headers.rs"]
pub mod headers;
#[path = "../../tests/fuzz/json.rs"]
pub mod json;
#[path = "../../tests/suite/common/nouns.rs"]
pub mod nouns;
#[path = "../../tests/fuzz/redaction.rs"]
pub mod redaction;
#[path = "../../tests/fuzz/sent.rs"]
pub mod sent;
#[path = "../../tests/fuzz/target.rs"]
pub mod target;
