//! The tables of `docs/telemetry.md`, made of what is sent.

use std::fmt::Write as _;

use super::attribute::{Attribute, Step};
use super::metrics::Name;

/// Every metric, every attribute and every event of a span, each kind as a table.
pub fn page() -> String {
    let mut text = String::from("## Metrics\n\n| metric | kind | labels | meaning |\n|---|---|---|---|\n");
    let labels = |name: Name| {
        let label = |(label, values): (&str, Vec<&str>)| format!("`{label}` ({})", values.len());
        name.labels().into_iter().map(label).collect::<Vec<_>>().join(", ")
    };
    for name in Name::ALL {
        let _ = writeln!(text, "| `{}` | {} | {} | {} |", name.text(), name.kind(), labels(name), name.help());
    }
    text.push_str("\n## Attributes of a span\n\n| key | what it says |\n|---|---|\n");
    for attribute in Attribute::ALL {
        let _ = writeln!(text, "| `{}` | {} |", attribute.name(), attribute.help());
    }
    text.push_str("\n## Events of a span\n\n| event | when |\n|---|---|\n");
    for step in Step::ALL {
        let _ = writeln!(text, "| `{}` | {} |", step.name(), step.help());
    }
    text
}
