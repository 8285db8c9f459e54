//! A path that is accepted is one action, the most particular one, however the tool's server reads it.

use std::sync::LazyLock;

use countersign::understand::Catalog;

use super::sent::{catalog, decoded, understood};

/// Method, path and resource of every action; its name is its place in this table.
const ACTIONS: [(&str, &str, &str); 12] = [
    ("GET", "/", "root"),
    ("GET", "/{*rest}", "{rest}"),
    ("GET", "/admin", "admin"),
    ("GET", "/admin/{*rest}", "{rest}"),
    ("DELETE", "/admin/users/{id}", "{id}"),
    ("GET", "/repos/{owner}/{repo}", "{owner}:{repo}"),
    ("GET", "/repos/{owner}/{repo}/issues", "{owner}:{repo}"),
    ("GET", "/repos/octo/{repo}", "{repo}"),
    ("GET", "/repos/{owner}/hello/issues", "{owner}"),
    ("POST", "/repos/{owner}/{repo}", "{owner}:{repo}"),
    ("POST", "/repos/{owner}/admin", "{owner}"),
    ("PUT", "/blobs/{*path}", "{path}"),
];

const METHODS: [&str; 5] = ["GET", "POST", "PUT", "DELETE", "HEAD"];

static CATALOG: LazyLock<Catalog> = LazyLock::new(|| {
    let action = |(at, (method, path, resource)): (usize, &(&str, &str, &str))| {
        format!("[actions.a{at}]\nmatch = \"{method} {path}\"\neffect = \"read\"\nresource = \"{resource}\"\n")
    };
    catalog(&ACTIONS.iter().enumerate().map(action).collect::<String>())
});

/// Input: a byte for the method, then path and query.
pub fn holds(bytes: &[u8]) -> bool {
    let Some((method, target)) = bytes.split_first() else { return false };
    let method = METHODS[usize::from(*method) % METHODS.len()];
    let Ok(target) = std::str::from_utf8(target) else { return false };
    let Some(call) = understood(&CATALOG, method, target, b"") else { return false };
    let path = call.target.split('?').next().unwrap();
    let (at, resource) = most_particular(method, path).expect("an action was found where none matches");
    assert_eq!(&*call.action.name, format!("t/a{at}"), "{method} {path}");
    assert_eq!(call.action.short_resource(), resource, "{method} {path}");

    // Whoever decodes twice, cuts at a semicolon, turns backslashes, or folds slashes and dots gets to the same place.
    let lenient = leniently(path);
    if method == "GET" {
        let is_admin = |path: &str| path == "/admin" || path.starts_with("/admin/") && path.len() > "/admin/".len();
        assert_eq!(is_admin(&lenient), matches!(at, 2 | 3), "{path} is {lenient} to some");
    }
    let again = understood(&CATALOG, method, &call.target, b"").expect("what was accepted once is accepted again");
    assert_eq!((&again.action.name, &again.action.resource), (&call.action.name, &call.action.resource));
    true
}

/// The action whose pattern names most of the path, from the left, and its resource.
fn most_particular(method: &str, path: &str) -> Option<(usize, String)> {
    let matching = ACTIONS.iter().enumerate().filter(|(_, action)| action.0 == method);
    let mut found: Vec<_> = matching
        .filter_map(|(at, (_, pattern, resource))| {
            let (kinds, values) = fits(pattern, path)?;
            Some((kinds, at, filled(resource, &values)))
        })
        .collect();
    found.sort();
    let all = found.len();
    found.dedup_by(|a, b| a.0 == b.0);
    assert_eq!(found.len(), all, "two actions match {path} equally");
    found.into_iter().next().map(|(_, at, resource)| (at, resource))
}

/// Of each segment of a pattern how particular it is (0: its very name), and the values of its parameters.
#[expect(clippy::type_complexity, reason = "it is taken apart where it is asked for")]
fn fits(pattern: &str, path: &str) -> Option<(Vec<u8>, Vec<(String, String)>)> {
    let (mut kinds, mut values) = (Vec::new(), Vec::new());
    let mut rest = path.strip_prefix('/');
    for part in pattern.strip_prefix('/')?.split('/') {
        let here = rest?;
        let whole = part.starts_with("{*");
        let (segment, behind) =
            if whole { (here, None) } else { here.split_once('/').map_or((here, None), |(a, b)| (a, Some(b))) };
        rest = behind;
        if part.starts_with('{') {
            if segment.is_empty() {
                return None;
            }
            kinds.push(if whole { 2 } else { 1 });
            values.push((part.trim_matches(['{', '*', '}']).to_owned(), String::from_utf8(decoded(segment)).ok()?));
        } else if part == segment {
            kinds.push(0);
        } else {
            return None;
        }
    }
    rest.is_none().then_some((kinds, values))
}

fn filled(resource: &str, values: &[(String, String)]) -> String {
    let mut parts = resource.split('{');
    let mut text = parts.next().unwrap().to_owned();
    for part in parts {
        let (name, behind) = part.split_once('}').unwrap();
        text.push_str(&values.iter().find(|(known, _)| known == name).unwrap().1);
        text.push_str(behind);
    }
    text
}

/// A path as a server reads it that means well.
fn leniently(path: &str) -> String {
    let once = String::from_utf8_lossy(&decoded(path)).into_owned();
    let twice = String::from_utf8_lossy(&decoded(&once)).replace('\\', "/");
    let mut segments: Vec<&str> = Vec::new();
    for segment in twice.split('/').map(|segment| segment.split(';').next().unwrap_or_default()) {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            segment => segments.push(segment),
        }
    }
    let slash = if twice.ends_with('/') && !segments.is_empty() { "/" } else { "" };
    format!("/{}{slash}", segments.join("/"))
}
