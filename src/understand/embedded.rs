//! The catalogs that come with the program: written from the tools' public documentation, checked against what they publish.

/// Each by the name that a configuration calls it, with its text.
pub const EMBEDDED: [(&str, &str); 5] = [
    ("anthropic", include_str!("../../catalogs/anthropic.toml")),
    ("github", include_str!("../../catalogs/github.toml")),
    ("openai", include_str!("../../catalogs/openai.toml")),
    ("rest", include_str!("../../catalogs/rest.toml")),
    ("slack", include_str!("../../catalogs/slack.toml")),
];

/// The one of this name.
pub fn embedded(name: &str) -> Option<&'static str> {
    EMBEDDED.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}
