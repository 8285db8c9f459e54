//! The `Agent-Intent` header: a dictionary of structured fields (RFC 9651 §3.2).

use http::{HeaderMap, HeaderValue};
use sfv::{BareItem, Dictionary, ListEntry, Parser};

use crate::model::{Intent, IntentSource};

/// Bytes one of its values may have.
const LONGEST: usize = 1024;

/// The intent a request declares, if it declares one. The error is for the agent.
///
/// Members beyond `action`, `resource` and `purpose` are passed over, as RFC 9651 §1.1 asks of extensible fields.
pub fn declared(headers: &HeaderMap) -> Result<Option<Intent>, String> {
    let lines: Vec<&[u8]> = headers.get_all("agent-intent").iter().map(HeaderValue::as_bytes).collect();
    if lines.is_empty() {
        return Ok(None);
    }
    let joined = lines.join(&b", "[..]);
    let dictionary: Dictionary = Parser::new(&joined)
        .parse()
        .map_err(|error| format!("`Agent-Intent` is no dictionary of structured fields: {error}"))?;
    let intent = Intent {
        action: member(&dictionary, "action")?,
        resource: member(&dictionary, "resource")?,
        purpose: member(&dictionary, "purpose")?,
        source: IntentSource::Header,
    };
    if intent.action.is_none() {
        return Err("`Agent-Intent` names no action; write `action=\"…\"`".to_owned());
    }
    Ok(Some(intent))
}

fn member(dictionary: &Dictionary, name: &str) -> Result<Option<String>, String> {
    let Some(entry) = dictionary.get(name) else { return Ok(None) };
    let text = match entry {
        ListEntry::Item(item) => match &item.bare_item {
            BareItem::String(text) => Some(text.as_str().to_owned()),
            BareItem::DisplayString(text) => Some(text.clone()),
            BareItem::Token(_)
            | BareItem::Integer(_)
            | BareItem::Decimal(_)
            | BareItem::Boolean(_)
            | BareItem::ByteSequence(_)
            | BareItem::Date(_) => None,
        },
        ListEntry::InnerList(_) => None,
    };
    let text = text.ok_or_else(|| format!("`{name}` in `Agent-Intent` is no string; write `{name}=\"…\"`"))?;
    if text.len() > LONGEST {
        return Err(format!("`{name}` in `Agent-Intent` is longer than {LONGEST} bytes"));
    }
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&'static str]) -> Result<Option<Intent>, String> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("agent-intent", HeaderValue::from_static(line));
        }
        declared(&headers)
    }

    #[test]
    fn an_intent_is_read_from_one_line_or_several() {
        let intent = read(&[r#"action="issues.create", resource="octo/hello""#, r#"purpose="file the crash""#])
            .unwrap()
            .unwrap();
        assert_eq!(intent.action.as_deref(), Some("issues.create"));
        assert_eq!(intent.resource.as_deref(), Some("octo/hello"));
        assert_eq!(intent.purpose.as_deref(), Some("file the crash"));
        assert_eq!(read(&[]).unwrap(), None);
        assert_eq!(read(&[r#"action="a", purpose=%"na%c3%afve""#]).unwrap().unwrap().purpose.as_deref(), Some("naïve"));
    }

    #[test]
    fn an_intent_that_is_no_dictionary_of_strings_is_refused() {
        for line in ["action=", "action=create", "resource=\"x\"", "action=(\"a\")", "\"x\"", "action=\"a\", "] {
            assert!(read(&[line]).is_err(), "{line}");
        }
    }
}
