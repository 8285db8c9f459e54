//! The catalogs of the program against what their tools publish: GitHub its specification, the others their clients.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use countersign::understand::draft::from_openapi;
use countersign::understand::embedded;

use super::catalog;

/// Where `tests/all` lays what it fetched.
const SPECS: &str = "COUNTERSIGN_SPECS";

fn specs() -> Option<PathBuf> {
    let folder = std::env::var_os(SPECS).map(PathBuf::from);
    if folder.is_none() {
        println!("left out: `{SPECS}` names no folder with what the tools publish; tests/all fetches it");
    }
    folder
}

/// The calls that an entry of a catalog matches.
pub fn calls(matches: &toml::Value) -> Vec<String> {
    let text = |value: &toml::Value| value.as_str().unwrap().to_owned();
    matches.as_array().map_or_else(|| vec![text(matches)], |all| all.iter().map(text).collect())
}

/// GitHub's own specification, if it is there.
pub fn github() -> Option<serde_json::Value> {
    let text = fs::read_to_string(specs()?.join("github.json")).unwrap();
    Some(serde_json::from_str(&text).unwrap())
}

/// A call with the names of its parameters taken out.
pub fn shape(call: &str) -> String {
    let blank = |segment: &str| if segment.starts_with('{') { "{}".to_owned() } else { segment.to_owned() };
    call.split('/').map(blank).collect::<Vec<_>>().join("/")
}

/// What is documented and not among them: Anthropic's client reads a batch's results from the address that the batch names.
const DOCUMENTED: [&str; 1] = ["GET /v1/messages/batches/{}/results"];

/// Every call of the catalog is among the published ones; a rest of a path may be empty.
fn all_published(name: &str, published: &BTreeSet<String>) {
    let file: toml::Table = embedded(name).unwrap().parse().unwrap();
    let actions = file["actions"].as_table().unwrap();
    let unknown: Vec<String> = actions
        .iter()
        .flat_map(|(action, entry)| calls(&entry["match"]).into_iter().map(move |call| (action, call)))
        .filter(|(_, call)| {
            let call = shape(call);
            !published.contains(&call) && !published.contains(&format!("{call}/{{}}")) && !DOCUMENTED.contains(&&*call)
        })
        .map(|(action, call)| format!("{action}: {call}"))
        .collect();
    assert!(published.len() > 50 && unknown.is_empty(), "{name}: not published: {unknown:#?}");
}

#[test]
fn githubs_own_specification_is_drafted_within_seconds_and_its_catalog_calls_nothing_else() {
    let Some(folder) = specs() else { return };
    let text = fs::read_to_string(folder.join("github.json")).unwrap();
    let started = Instant::now();
    let draft = from_openapi(&text).unwrap();
    let took = started.elapsed();
    println!(
        "{} MB, {} actions, {} left out, {took:?}",
        text.len() / 1_000_000,
        draft.actions.len(),
        draft.left_out.len()
    );
    assert!(took < Duration::from_secs(20), "{took:?}");
    assert!(draft.actions.len() > 1_000 && draft.left_out.len() < 20, "{:#?}", draft.left_out);
    catalog("github", &draft.to_string());
    let spec: serde_json::Value = serde_json::from_str(&text).unwrap();
    let mut published = BTreeSet::new();
    for (path, item) in spec["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            published.insert(shape(&format!("{} {path}", method.to_uppercase())));
        }
    }
    all_published("github", &published);
}

#[test]
fn the_other_catalogs_call_nothing_that_the_tools_own_clients_do_not() {
    let Some(folder) = specs() else { return };
    for name in ["anthropic", "openai", "slack"] {
        let text = fs::read_to_string(folder.join(format!("{name}.calls"))).unwrap();
        all_published(name, &text.lines().map(shape).collect());
    }
}
