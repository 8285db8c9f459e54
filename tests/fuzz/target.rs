//! A target that is accepted is sent as it came, and there is one way to read it.

use std::sync::LazyLock;

use countersign::model::Argument;
use countersign::understand::Catalog;
use fluent_uri::UriRef;

use super::sent::{catalog, decoded, understood};

static CATALOG: LazyLock<Catalog> = LazyLock::new(|| {
    catalog(
        r#"
        [actions."any"]
        match = "GET /{*path}"
        effect = "read"
        resource = "{path}"
        facts = { q = "query:q" }
        "#,
    )
});

/// Input: path and query.
pub fn holds(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let Some(call) = understood(&CATALOG, "GET", text, b"") else { return false };
    assert_eq!(call.target, text.split('#').next().unwrap(), "what was judged is what is sent");
    let (path, query) = call.target.split_once('?').unwrap_or((&call.target, ""));

    // RFC 3986 §6.2.2: nothing is left to normalise. A second parser says so.
    let normal = UriRef::parse(path).unwrap().normalize();
    assert_eq!(normal.path().as_str(), path, "the path has another spelling");
    for segment in path.split('/').skip(1) {
        let once = decoded(segment);
        let text = std::str::from_utf8(&once).expect("a segment is UTF-8");
        assert!(!matches!(text, "." | ".."), "a dot segment");
        assert!(!text.contains(|it: char| it.is_ascii_control() || "/\\%;?#".contains(it)), "{text:?} cuts a path");
        assert_eq!(decoded(text), once, "{segment} can be decoded twice");
    }
    let empty = path.split('/').skip(1).filter(|segment| segment.is_empty()).count();
    assert!(empty == 0 || empty == 1 && path.ends_with('/'), "an empty segment");
    assert_eq!(
        call.action.short_resource().as_bytes(),
        &decoded(path.strip_prefix('/').unwrap()),
        "the resource is the path"
    );

    let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let pairs: Vec<_> = pairs.map(|(key, value)| (decoded(key), value)).collect();
    assert!(pairs.iter().all(|(key, _)| !key.eq_ignore_ascii_case(b"access_token")), "a credential (RFC 6750 §2.3)");
    let mut asked = pairs.iter().filter(|(key, _)| key == b"q");
    let read = call.action.arguments.get("q");
    match (asked.next(), asked.next()) {
        (None, _) => assert_eq!(read, None),
        (Some((_, value)), None) => {
            assert!(!value.contains('+'), "a plus means two things");
            assert_eq!(read, Some(&Argument::Text(String::from_utf8(decoded(value)).unwrap())));
        }
        (Some(_), Some(_)) => panic!("`q` stands twice, and one was chosen"),
    }

    let again = understood(&CATALOG, "GET", &call.target, b"").expect("what was accepted once is accepted again");
    assert_eq!((&again.target, &again.action.resource), (&call.target, &call.action.resource));
    true
}
