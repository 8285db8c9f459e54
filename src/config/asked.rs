//! Whether tools ask about the tokens they get: all tools of an issuer do, or none.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::parsed::{ConfigError, IssuerKind, ToolConfig, wrong};

/// Notes at each issuer whether its tools ask. A token that one tool takes unasked is not ended by telling another.
pub(super) fn note(tools: &[ToolConfig], issuers: &mut BTreeMap<Arc<str>, IssuerKind>) -> Result<(), ConfigError> {
    for (name, issuer) in issuers {
        let its = || tools.iter().filter(|tool| tool.tool.issuer == *name);
        let Some(asks) = its().find(|tool| tool.introspect.is_some()) else { continue };
        let IssuerKind::Jwt { asked, .. } = issuer else {
            let why = "only our own tokens (`kind = \"jwt\"`) can be asked about; leave it out";
            return Err(wrong(format!("tools.{}.introspect", asks.tool.name), why));
        };
        if let Some(other) = its().find(|tool| tool.introspect.is_none()) {
            let why = format!(
                "`{}` asks about the tokens of `{name}` and this tool does not; set it here too, or give one of them an issuer of its own",
                asks.tool.name
            );
            return Err(wrong(format!("tools.{}.introspect", other.tool.name), why));
        }
        *asked = true;
    }
    Ok(())
}
