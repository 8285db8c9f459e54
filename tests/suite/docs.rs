//! The pages say what is so: generated ones are what the code gives, shown commands print what is shown, every key that
//! can be written is described.

mod console;
mod example;
mod keys;
mod printed;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use countersign::config::Config;
use countersign::judge::vocabulary;
use countersign::model::Code;
use countersign::telemetry;

pub use self::console::interrupt;
use self::console::{Session, blocks, steps};
use super::common::checkout::checkout;

/// Set to 1, a page that is generated is written rather than compared.
const BLESS: &str = "COUNTERSIGN_BLESS";

fn page(name: &str) -> String {
    fs::read_to_string(checkout(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn generated(name: &str, text: &str) {
    if std::env::var_os(BLESS).is_some_and(|bless| bless == "1") {
        fs::write(checkout(name), text).unwrap();
    }
    assert!(
        page(name) == text,
        "{name} is not what the code gives; `{BLESS}=1 cargo test --release --test all docs` writes it anew"
    );
}

#[test]
fn the_page_of_facts_is_the_table_of_facts() {
    generated("docs/facts.md", &vocabulary::page());
}

#[test]
fn the_page_of_refusals_names_every_code() {
    let mut text = String::from(
        "# Refusals\n\n\
         When the answer is no, an agent gets `application/problem+json` (RFC 9457) with one of these codes. The same code stands in\n\
         the record of the call, and the door has a page about each under `/-/problems/CODE`. This page is generated from the table\n\
         that answers are made of.\n\n\
         `decision` says what kind of no it is. `deny`: the same call gets the same answer. `throttle`: it may be let later.\n\
         `unavailable`: nobody decided, or what was decided could not be carried out.\n\n\
         Until the task has read something untrusted, the answer also holds `type`, `title`, `status`, `detail`, `rule`,\n\
         `retry_after_ms`, `suggestions` and `stop`, as far as there is something to say. From then on it holds `code`, `decision`,\n\
         `instance` and `retryable` and nothing else: whoever wrote what the agent has read may be reading this, too.\n\n\
         | code | status | decision | title | what to do |\n|---|---|---|---|---|\n",
    );
    for code in Code::ALL {
        let _ = writeln!(
            text,
            "| `{code}` | {} | {} | {} | {} |",
            code.status(),
            code.decision().name(),
            code.title(),
            code.help()
        );
    }
    let for_rules = Code::FOR_RULES.map(|code| format!("`{code}`")).join(", ");
    let _ = writeln!(text, "\nA `forbid` may choose one of {for_rules} by `@code(\"…\")`; without it, `denied`.");
    generated("docs/refusals.md", &text);
}

#[test]
fn the_page_of_telemetry_has_every_metric_attribute_and_event() {
    let text = page("docs/telemetry.md");
    let (prose, _) = text.split_once("## Metrics\n").expect("the tables stand at its end");
    generated("docs/telemetry.md", &format!("{prose}{}", telemetry::page()));
}

/// Every field of these structs has a row in its table, and every row a field.
fn all_described(page_name: &str, source: &str, among: impl Fn(&str) -> bool) {
    let described = keys::described(&page(page_name));
    for (name, fields) in keys::defined(&page(source)).fields.into_iter().filter(|(name, _)| among(name)) {
        let rows = described
            .get(&name)
            .unwrap_or_else(|| panic!("{page_name} has no table of the fields of {name} ({source})"));
        assert_eq!(*rows, fields, "{page_name}: the fields of {name} ({source})");
    }
}

#[test]
fn every_key_of_the_configuration_is_described() {
    all_described("docs/configuration.md", "src/config.rs", |_| true);
    all_described("docs/configuration.md", "src/understand/catalog/file.rs", |name| {
        ["ActionFile", "SinkFile", "YieldFile"].contains(&name)
    });
    let text = page("docs/configuration.md");
    for (kind, words) in keys::defined(&page("src/config.rs")).words {
        for word in words {
            let shown = [format!("`\"{word}\"`"), format!("`{{ {word} = "), format!("`kind = \"{word}\"`")];
            assert!(
                shown.iter().any(|shown| text.contains(shown)),
                "docs/configuration.md does not say `{word}` ({kind})"
            );
        }
    }
}

#[test]
fn every_configuration_that_is_shown_is_one() {
    let text = page("docs/configuration.md");
    let shown = blocks(&text, "toml");
    let whole = shown.iter().find(|block| block.starts_with("# countersign.toml")).expect("there is a whole example");
    let config = Config::parse(whole, Path::new("/etc/countersign")).unwrap();
    assert!(!config.agents.is_empty() && !config.tools.is_empty());
    let tools = page("docs/oauth.md");
    let config = Config::parse(&blocks(&tools, "toml")[0], Path::new("/etc/countersign")).unwrap();
    assert!(config.tools[0].introspect.is_some());
    {
        let name = "examples/demo/countersign.toml";
        Config::parse(&page(name), &checkout("examples/demo")).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn every_field_of_a_record_is_described() {
    let kinds = |name: &str| name != "Record";
    all_described("docs/lineage-format.md", "src/record/event.rs", kinds);
    all_described("docs/lineage-format.md", "src/record/people.rs", kinds);
}

/// Files that a page shows: those of the project must stand there in these words, the others are laid out.
fn lay_out(session: &Session, page: &str) {
    for block in ["toml", "cedar", "python"].iter().flat_map(|language| blocks(page, language)) {
        let (first, rest) = block.split_once('\n').unwrap_or_default();
        let Some(name) = first
            .strip_prefix("# ")
            .or_else(|| first.strip_prefix("// "))
            .filter(|name| name.contains('.') && !name.contains(' '))
        else {
            continue;
        };
        if checkout(name).exists() {
            let file = fs::read_to_string(checkout(name)).unwrap();
            assert!(file.contains(rest.trim()), "`{name}` does not read as shown");
        } else {
            session.lay_out(name, &block);
        }
    }
}

fn has(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

#[test]
fn the_page_of_commands_is_what_they_say_of_themselves() {
    generated("docs/commands.md", &countersign::cli::reference::page());
}

#[test]
fn the_first_hour_goes_as_its_page_says() {
    if !has("curl") || !has("python3") {
        println!("left out: the first hour's commands want `curl` and `python3`");
        return;
    }
    let text = page("docs/getting-started.md");
    let mut session = Session::new();
    lay_out(&session, &text);
    for step in &steps(&text) {
        if let Err(why) = session.run(step) {
            panic!("docs/getting-started.md: {why}");
        }
    }
    session.stop();
}

#[test]
fn what_the_readme_shows_is_what_happens() {
    if !has("curl") || !has("python3") {
        println!("left out: the README's commands want `curl` and `python3`");
        return;
    }
    let text = page("README.md");
    let mut session = Session::new();
    lay_out(&session, &text);
    let steps = steps(&text);
    assert!(steps.len() > 5, "the README shows commands");
    for step in steps.iter().filter(|step| !step.command.starts_with("tests/all")) {
        if let Err(why) = session.run(step) {
            panic!("README.md: {why}");
        }
    }
    a_stranger_can_check_the_lineage(&mut session);
}

/// The verifier that the page of the format shows, on the lineage that the README's commands left behind: sound while
/// it is served and at rest, and not once a byte is another.
fn a_stranger_can_check_the_lineage(session: &mut Session) {
    lay_out(session, &page("docs/lineage-format.md"));
    let sound = |session: &Session, python: &[&str]| {
        let output = Command::new("python3").args(python).current_dir(session.path()).output().unwrap();
        let printed = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&printed).into_owned())
    };
    for _ in 0..2 {
        let (sound, printed) = sound(session, &["check.py", "lineage.db"]);
        assert!(sound && printed.starts_with("sound: "), "{printed}");
        session.stop();
    }
    for (table, column) in [("payloads", "body"), ("records", "entry")] {
        let change = format!(
            "import sqlite3; db = sqlite3.connect('lineage.db'); \
             db.execute(\"UPDATE {table} SET {column} = CAST(replace({column}, 'notes.read', 'notes.rear') AS BLOB)\"); \
             db.execute(\"UPDATE {table} SET {column} = CAST(replace({column}, 'list.txt', 'lisp.txt') AS BLOB)\"); db.commit()"
        );
        let (changed, printed) = sound(session, &["-c", &change]);
        assert!(changed, "{printed}");
        let (sound, printed) = sound(session, &["check.py", "lineage.db"]);
        assert!(
            !sound
                && printed.contains(if table == "payloads" { "the payload of record" } else { "the leaf of record" }),
            "{printed}"
        );
    }
}

/// Every text file of ours below these folders, with its path.
fn files(folder: &Path, ending: &str, found: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, ending, found);
        } else if path.extension().is_some_and(|extension| extension == ending) {
            found.push((path.clone(), fs::read_to_string(&path).unwrap()));
        }
    }
}

#[test]
fn every_test_that_a_page_names_is_there() {
    let mut sources = Vec::new();
    for folder in ["src", "tests"] {
        files(&checkout(folder), "rs", &mut sources);
    }
    for (name, at_least) in [("README.md", 20), ("docs/threat-model.md", 50)] {
        let text = page(name);
        let named: Vec<&str> = text
            .split('`')
            .filter(|word| {
                let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
                word.matches('_').count() > 3 && word.bytes().all(letter)
            })
            .collect();
        assert!(named.len() > at_least, "{name} names its evidence");
        for test in named {
            let begins = format!("fn {test}()");
            assert!(
                sources.iter().any(|(_, source)| source.contains(&begins)),
                "{name} names the test `{test}`, which is not there"
            );
        }
    }
}

#[test]
fn every_link_between_the_pages_leads_somewhere() {
    let mut pages = vec![(checkout("README.md"), page("README.md"))];
    for folder in ["docs", "examples", "deploy", "policies"] {
        files(&checkout(folder), "md", &mut pages);
    }
    for (path, text) in pages {
        for (_, rest) in text.match_indices("](").map(|(place, _)| text.split_at(place + 2)) {
            let target = rest.split([')', '#']).next().unwrap();
            let known =
                target.is_empty() || target.starts_with("https://") || path.parent().unwrap().join(target).exists();
            assert!(known, "{}: `{target}` is not there", path.display());
        }
    }
}
