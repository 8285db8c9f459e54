//! What is known of the tools that a catalog of this program is for.

/// A tool that everybody knows.
pub(super) struct Known {
    /// Its catalog's name, and its own.
    pub(super) name: &'static str,
    /// Where it is.
    pub(super) upstream: &'static str,
    /// The header of its credential, if it is not `Authorization: Bearer`.
    pub(super) header: Option<&'static str>,
    /// Headers that its clients send, beside those that always pass.
    pub(super) request_headers: &'static [&'static str],
    /// Headers of its answers that its clients read, likewise.
    pub(super) answer_headers: &'static [&'static str],
    /// The variable that its clients take their address from.
    pub(super) base_url: Option<&'static str>,
    /// A call that looks and costs nothing.
    pub(super) first: &'static str,
}

/// All of them.
pub(super) const KNOWN: [Known; 4] = [
    Known {
        name: "anthropic",
        upstream: "https://api.anthropic.com",
        header: Some("x-api-key"),
        request_headers: &["anthropic-version", "anthropic-beta"],
        answer_headers: &[
            "request-id",
            "anthropic-ratelimit-requests-remaining",
            "anthropic-ratelimit-tokens-remaining",
        ],
        base_url: Some("ANTHROPIC_BASE_URL"),
        first: "/v1/models",
    },
    Known {
        name: "github",
        upstream: "https://api.github.com",
        header: None,
        request_headers: &["x-github-api-version"],
        answer_headers: &["x-github-request-id", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"],
        base_url: None,
        first: "/meta",
    },
    Known {
        name: "openai",
        upstream: "https://api.openai.com/v1",
        header: None,
        request_headers: &["openai-organization", "openai-project", "openai-beta"],
        answer_headers: &["x-ratelimit-remaining-requests", "x-ratelimit-remaining-tokens"],
        base_url: Some("OPENAI_BASE_URL"),
        first: "/models",
    },
    Known {
        name: "slack",
        upstream: "https://slack.com/api",
        header: None,
        request_headers: &[],
        answer_headers: &[],
        base_url: None,
        first: "/api.test",
    },
];

/// The one of this name.
pub(super) fn known(name: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.name == name)
}
