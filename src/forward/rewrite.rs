//! Points what leads to the tool at the door instead: links that an agent could not follow by itself, since it holds no
//! credential. Nothing is followed here, and what leads elsewhere passes as it is.

use bytes::{Bytes, BytesMut};
use fluent_uri::{Uri, UriRef};
use http::header::{CONTENT_LENGTH, CONTENT_LOCATION, CONTENT_TYPE, LINK, LOCATION};
use http::{HeaderMap, HeaderValue};
use http_body::Body;
use http_body_util::BodyExt as _;
use serde::Deserializer as _;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::answer::drop_validators;
use super::redact::Redacting;
use crate::model::{BoxError, Call, Pointer, Step};

/// Bytes of an answer that is read whole to rewrite links in it. A longer one passes as it is.
const LARGEST: usize = 8 * 1024 * 1024;

/// Turns `Location`, `Content-Location` and the targets of `Link` that lead to the call's tool to the door.
pub(super) fn rewrite_head(call: &Call, headers: &mut HeaderMap) {
    if ![LOCATION, CONTENT_LOCATION, LINK].iter().any(|name| headers.contains_key(name)) {
        return;
    }
    let way = Way::of(call);
    for name in [LOCATION, CONTENT_LOCATION] {
        let Some(value) = headers.get_mut(name) else { continue };
        let turned = value.to_str().ok().and_then(|target| way.turn(target.trim()));
        if let Some(turned) = turned.and_then(|turned| HeaderValue::try_from(turned).ok()) {
            *value = turned;
        }
    }
    if let http::header::Entry::Occupied(mut links) = headers.entry(LINK) {
        for value in links.iter_mut() {
            let turned = value.to_str().ok().map(|text| way.turn_links(text));
            if let Some(turned) = turned.and_then(|turned| HeaderValue::try_from(turned).ok()) {
                *value = turned;
            }
        }
    }
}

/// Turns the strings of a JSON answer to the door that the catalog names and that lead to the call's tool. Gives the whole
/// answer, if the catalog says something of what is in it and it can be read before the agent has it.
pub(super) async fn rewrite_body<B>(
    call: &Call,
    headers: &mut HeaderMap,
    body: &mut Redacting<B>,
) -> Result<Option<Bytes>, BoxError>
where
    B: Body<Data = Bytes, Error = BoxError> + Unpin,
{
    let hint = body.size_hint();
    let longest = hint.upper().unwrap_or(0).max(hint.lower());
    let (json, read) = (is_json(headers), !call.action.fields.is_empty());
    let wanted = if json { read || !call.action.rewrite.is_empty() } else { read && is_text(headers) };
    // Text of which nobody knows how long it is may be one that never ends.
    let endless = !json && hint.exact().is_none();
    if !wanted || endless || longest > LARGEST as u64 || body.is_end_stream() {
        return Ok(None);
    }
    let mut whole = BytesMut::new();
    while whole.len() <= LARGEST
        && let Some(frame) = body.frame().await
    {
        whole.extend_from_slice(&frame?.into_data().unwrap_or_default());
    }
    let mut whole = whole.freeze();
    let complete = whole.len() <= LARGEST;
    if complete
        && json
        && !call.action.rewrite.is_empty()
        && let Some(rewritten) = splice(&whole, &call.action.rewrite, &Way::of(call))
    {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(rewritten.len()));
        drop_validators(headers);
        whole = Bytes::from(rewritten);
    }
    body.put_back(whole.clone());
    Ok((complete && read).then_some(whole))
}

pub(super) fn is_json(headers: &HeaderMap) -> bool {
    let essence = essence(headers);
    essence == "application/json" || essence.ends_with("+json")
}

fn is_text(headers: &HeaderMap) -> bool {
    let essence = essence(headers);
    essence.is_empty() || essence.starts_with("text/") && essence != "text/event-stream"
}

fn essence(headers: &HeaderMap) -> String {
    let essence = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()?.split(';').next());
    essence.unwrap_or_default().trim().to_ascii_lowercase()
}

/// From a tool to the door.
struct Way<'a> {
    door: &'a str,
    tool: &'a str,
    base: &'a str,
    origin: Option<Uri<String>>,
    asked: Option<Uri<String>>,
}

impl<'a> Way<'a> {
    fn of(call: &'a Call) -> Self {
        let origin = call.tool.origin();
        let asked = Uri::parse(format!("{origin}{}{}", call.tool.base_path, call.target)).ok();
        let Call { door, tool, .. } = call;
        Self { door, tool: &tool.name, base: &tool.base_path, origin: Uri::parse(format!("{origin}/")).ok(), asked }
    }

    /// Where a reference leads at the door, if it leads to the tool and below its base path. It is resolved against what
    /// was asked of the tool (RFC 3986 §5).
    fn turn(&self, reference: &str) -> Option<String> {
        let reference = UriRef::parse(reference).ok()?;
        let target = reference.resolve_against(self.asked.as_ref().or(self.origin.as_ref())?).ok()?;
        let (ours, theirs) = (self.origin.as_ref()?, &target);
        let same_scheme = ours.scheme().as_str().eq_ignore_ascii_case(theirs.scheme().as_str());
        let (our_host, their_host) = (ours.authority()?, theirs.authority()?);
        let same_host = our_host.host().eq_ignore_ascii_case(their_host.host()) && their_host.userinfo().is_none();
        if !same_scheme || !same_host || port(ours) != port(theirs) {
            return None;
        }
        let rest = target.path().as_str().strip_prefix(self.base)?;
        let rest = match rest {
            "" => "/",
            rest if rest.starts_with('/') => rest,
            _ => return None,
        };
        let query = target.query().map_or_else(String::new, |query| format!("?{query}"));
        let fragment = target.fragment().map_or_else(String::new, |fragment| format!("#{fragment}"));
        Some(format!("{}/{}{rest}{query}{fragment}", self.door, self.tool))
    }

    /// A `Link` value (RFC 8288 §3) with its targets turned. What stands in quotes is no target.
    fn turn_links(&self, value: &str) -> String {
        let mut turned = String::with_capacity(value.len());
        let (mut rest, mut quoted) = (value, false);
        while let Some(place) = rest.find(['<', '"', '\\']) {
            let (before, from) = rest.split_at(place);
            turned.push_str(before);
            let length = match (from.chars().next(), quoted) {
                (Some('\\'), true) => 1 + from.chars().nth(1).map_or(0, char::len_utf8),
                (Some('<'), false) => from.find('>').unwrap_or(from.len()),
                (mark, _) => {
                    quoted ^= mark == Some('"');
                    1
                }
            };
            let (taken, left) = from.split_at_checked(length).unwrap_or((from, ""));
            match taken.strip_prefix('<').filter(|_| left.starts_with('>')).and_then(|target| self.turn(target.trim()))
            {
                Some(target) => turned.extend(["<", &target]),
                None => turned.push_str(taken),
            }
            rest = left;
        }
        turned.push_str(rest);
        turned
    }
}

/// The port that is meant, be it written or not.
fn port(uri: &Uri<String>) -> &str {
    let written =
        uri.authority().and_then(|authority| Some(authority.port()?.as_str())).filter(|port| !port.is_empty());
    let usual = if uri.scheme().as_str().eq_ignore_ascii_case("http") { "80" } else { "443" };
    written.unwrap_or(usual)
}

/// The text with those strings turned, if there are any; every other byte stays as it was.
fn splice(text: &[u8], pointers: &[Pointer], way: &Way<'_>) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text).ok()?;
    let whole: &RawValue = serde_json::from_str(text).ok()?;
    let wanted: Vec<&[Step]> = pointers.iter().map(Pointer::steps).collect();
    let mut found = Vec::new();
    gather(whole, &wanted, &mut found).ok()?;
    let mut spliced = Vec::with_capacity(text.len());
    let (mut done, mut changed) = (0, false);
    for raw in found {
        let Some(turned) = turn_string(raw, way) else { continue };
        let start = raw.as_ptr().addr().checked_sub(text.as_ptr().addr())?;
        spliced.extend_from_slice(text.as_bytes().get(done..start)?);
        spliced.extend_from_slice(turned.as_bytes());
        done = start + raw.len();
        changed = true;
    }
    spliced.extend_from_slice(text.as_bytes().get(done..)?);
    changed.then_some(spliced)
}

/// A JSON string that is an absolute URL of the tool's, turned. A relative one may be anything else as well.
fn turn_string(raw: &str, way: &Way<'_>) -> Option<String> {
    let value: String = serde_json::from_str(raw).ok()?;
    UriRef::parse(value.as_str()).ok()?.authority()?;
    serde_json::to_string(&way.turn(&value)?).ok()
}

/// The values that pointers lead to, in the order in which they stand.
fn gather<'a>(value: &'a RawValue, wanted: &[&[Step]], found: &mut Vec<&'a str>) -> Result<(), serde_json::Error> {
    let raw = value.get();
    if wanted.iter().any(|steps| steps.is_empty()) {
        found.push(raw);
    }
    let down = |named: &str| -> Vec<&[Step]> {
        let leads = |step: &Step| match step {
            Step::Every => true,
            Step::Named(name) => name == named,
        };
        wanted
            .iter()
            .filter_map(|steps| steps.split_first())
            .filter(|(step, _)| leads(step))
            .map(|(_, rest)| rest)
            .collect()
    };
    let children = match raw.as_bytes().first() {
        Some(b'{' | b'[') if wanted.iter().any(|steps| !steps.is_empty()) => {
            serde_json::Deserializer::from_str(raw).deserialize_any(Children)?
        }
        _ => return Ok(()),
    };
    for (name, child) in children {
        let rest = down(&name);
        if !rest.is_empty() {
            gather(child, &rest, found)?;
        }
    }
    Ok(())
}

/// Reads what stands directly in an object or array, each by its name or number, and nothing below.
struct Children;

impl<'a> Visitor<'a> for Children {
    type Value = Vec<(String, &'a RawValue)>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object or array")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut children = Vec::new();
        while let Some(child) = map.next_entry()? {
            children.push(child);
        }
        Ok(children)
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut children = Vec::new();
        while let Some(child) = list.next_element()? {
            children.push((children.len().to_string(), child));
        }
        Ok(children)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(test: impl Fn(&Way<'_>)) {
        let origin = Uri::parse("https://api.example.com/".to_owned()).unwrap();
        let asked = Uri::parse("https://api.example.com/v3/repos/octo/issues?page=2".to_owned()).unwrap();
        let (door, tool, base) = ("http://127.0.0.1:7080", "github", "/v3");
        test(&Way { door, tool, base, origin: Some(origin), asked: Some(asked) });
    }

    #[test]
    fn what_leads_to_the_tool_is_turned_to_the_door_and_nothing_else() {
        way(|way| {
            for (target, expected) in [
                ("https://api.example.com/v3/x?y=1#z", "/x?y=1#z"),
                ("HTTPS://API.example.COM:443/v3/x", "/x"),
                ("https://api.example.com:/v3/x", "/x"),
                ("//api.example.com/v3/x", "/x"),
                ("/v3/x", "/x"),
                ("7", "/repos/octo/7"),
                ("../../x", "/x"),
                ("?page=3", "/repos/octo/issues?page=3"),
                ("", "/repos/octo/issues?page=2"),
                ("https://api.example.com/v3", "/"),
            ] {
                assert_eq!(way.turn(target), Some(format!("http://127.0.0.1:7080/github{expected}")), "{target}");
            }
            for target in [
                "https://evil.example/v3/x",
                "http://api.example.com/v3/x",
                "http://api.example.com:443/v3/x",
                "https://api.example.com:8443/v3/x",
                "//evil",
                r"/\evil",
                r"\\evil",
                "http:evil",
                "https:x",
                "https:/v3/x",
                "javascript:alert(1)",
                "data:,x",
                "https://api.example.com@evil.example/v3/x",
                "https://user@api.example.com/v3/x",
                "https://api.example.com.evil.example/v3/x",
                "/v33/x",
                "/x",
                "../../../x",
                "https://api.example.com/v3/../x",
                "https://api.example.com/v3/%2e%2e/x",
                "https://api.example.com/other",
                "/v3/ä",
                " /v3/x y",
                "///v3/x",
                "/v3/x\ty",
            ] {
                assert_eq!(way.turn(target), None, "{target}");
            }
        });
    }

    #[test]
    fn every_target_of_a_link_is_turned_and_nothing_that_looks_like_one() {
        way(|way| {
            let own = "https://api.example.com/v3";
            for (value, expected) in [
                (
                    format!("<{own}/a?p=1,2>; rel=\"next\", <{own}/b>; rel=last"),
                    "<DOOR/a?p=1,2>; rel=\"next\", <DOOR/b>; rel=last".to_owned(),
                ),
                (
                    format!("<https://evil.example/>; rel=next, < {own}/b >; rel=x"),
                    "<https://evil.example/>; rel=next, <DOOR/b>; rel=x".to_owned(),
                ),
                (
                    format!("</v3/a>; title=\"<{own}/b>, \\\"<{own}/c>\"; rel=x"),
                    format!("<DOOR/a>; title=\"<{own}/b>, \\\"<{own}/c>\"; rel=x"),
                ),
                (format!("<{own}/a"), format!("<{own}/a")),
                ("none, at \\all\\".to_owned(), "none, at \\all\\".to_owned()),
            ] {
                assert_eq!(way.turn_links(&value), expected.replace("DOOR", "http://127.0.0.1:7080/github"), "{value}");
            }
        });
    }

    #[test]
    fn strings_are_turned_where_a_pointer_leads_and_every_other_byte_stays() {
        let pointers: Vec<Pointer> = ["/url", "/items/*/html_url", "/items/1/n", "/a~1b/*", "/deep/*/*/u"]
            .iter()
            .map(|text| text.parse().unwrap())
            .collect();
        way(|way| {
            let own = "https://api.example.com/v3";
            let text = format!(
                "\u{20}{{ \"items\" : [ {{\"html_url\":\"{own}/1\" ,\"n\":\"{own}/n\"}},\n{{\"html_url\" : \"https:\\/\\/api.example.com/v3/\\u00322\",\"n\":\"{own}/n\"}}, 7, null], \
                 \"url\":\"{own}/u\",\"\\u0075rl\":\"{own}/v\", \"a/b\":{{\"x\":\"{own}/x\",\"y\":1.50e2}}, \"other\":\"{own}/o\", \"deep\":[[{{\"u\":\"/v3/relative\"}}]] }}\n"
            );
            let turned = splice(text.as_bytes(), &pointers, way).unwrap();
            let door = "http://127.0.0.1:7080/github";
            let expected = text
                .replace(&format!("\"html_url\":\"{own}/1\""), &format!("\"html_url\":\"{door}/1\""))
                .replace("https:\\/\\/api.example.com/v3/\\u00322", &format!("{door}/22"))
                .replace(&format!("22\",\"n\":\"{own}"), &format!("22\",\"n\":\"{door}"))
                .replace(&format!("{own}/u"), &format!("{door}/u"))
                .replace(&format!("{own}/v"), &format!("{door}/v"))
                .replace(&format!("{own}/x"), &format!("{door}/x"));
            assert_eq!(String::from_utf8(turned).unwrap(), expected);
            for same in
                ["{\"url\":\"https://evil.example/\"}", "{\"url\":\"u\"}", "[]", "{\"url\":", "\"x\"", "", "{} {}"]
            {
                assert_eq!(splice(same.as_bytes(), &pointers, way), None, "{same}");
            }
        });
    }
}
