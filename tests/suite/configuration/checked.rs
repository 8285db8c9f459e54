//! `countersign check` on real files: catalogs, policies and secrets, exit codes, the schema.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use tempfile::TempDir;

const CONFIG: &str = r#"
[agents.triage]
identify = [{ token = { file = "triage.token" } }]
tools = ["tracker"]
[tools.tracker]
upstream = "https://api.example.com"
catalog = "tracker.toml"
issuer = "none"
[issuers.none]
kind = "none"
"#;

const CATALOG: &str = r#"
[actions."issues.get"]
match = "GET /issues/{number}"
effect = "read"
resource = "{number}"
facts = { number = { at = "path:number", type = "long" }, "odd name" = "query:q", amount = { at = "query:a", type = "decimal" } }
"#;

const POLICY: &str =
    "permit(principal, action, resource) when { context.args has number && context.args.number > 3 };\n";

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        fs::create_dir(folder.0.path().join("policies")).unwrap();
        folder.write("countersign.toml", CONFIG, 0o644);
        folder.write("tracker.toml", CATALOG, 0o644);
        folder.write("policies/main.cedar", POLICY, 0o644);
        folder.write("triage.token", "b1946ac92492d2347c6235b4d2611184\n", 0o600);
        folder
    }

    fn write(&self, name: &str, text: &str, mode: u32) {
        let path = self.0.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn countersign(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
        command.arg("--config").arg(self.0.path().join("countersign.toml")).args(arguments);
        command.env_remove("COUNTERSIGN_TEST_UNSET").output().unwrap()
    }

    /// What `check` says: its exit code and its words.
    fn check(&self) -> (Option<i32>, String) {
        let output = self.countersign(&["check"]);
        (
            output.status.code(),
            String::from_utf8(if output.stdout.is_empty() { output.stderr } else { output.stdout }).unwrap(),
        )
    }
}

#[test]
fn what_is_fine_exits_with_0_and_is_counted() {
    let folder = Folder::new();
    let (code, told) = folder.check();
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("1 agents, 1 tools with 1 actions, 1 policy files; version "), "{told}");
    let json = folder.countersign(&["check", "--output", "json"]);
    let told: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((&told["agents"], &told["tools"], &told["actions"]), (&1.into(), &1.into(), &1.into()));
}

#[test]
fn the_schema_is_one_that_cedar_takes_and_policies_hold_to() {
    let output = Folder::new().countersign(&["check", "--schema"]);
    assert_eq!(output.status.code(), Some(0));
    let schema: cedar_policy::Schema = String::from_utf8(output.stdout).unwrap().parse().unwrap();
    let validator = cedar_policy::Validator::new(schema);
    let passes = |condition: &str| {
        let text = format!(
            "permit(principal is Agent, action == Action::\"tracker/issues.get\", resource) when {{ {condition} }};"
        );
        validator.validate(&text.parse().unwrap(), cedar_policy::ValidationMode::Strict).validation_passed()
    };
    for fine in [
        "context.args has \"odd name\" && context.args[\"odd name\"] == \"x\"",
        "context.args has amount && context.args.amount.lessThan(decimal(\"1.0\"))",
    ] {
        assert!(passes(fine), "{fine}");
    }
    for wrong in [
        "context.args.number > 1",
        "context.args has number && context.args.number == \"1\"",
        "context.weather == 1",
        "context.task.on_behalf_of == \"a\"",
    ] {
        assert!(!passes(wrong), "{wrong}");
    }
    let output = Folder::new().countersign(&["check", "--rules"]);
    let rules = String::from_utf8(output.stdout).unwrap();
    assert!(rules.contains("@id(\"config:triage.intent.missing\")"), "{rules}");
    assert!(validator.validate(&rules.parse().unwrap(), cedar_policy::ValidationMode::Strict).validation_passed());
}

/// A file, what is wrong in it, and what must be told.
type Mistake = (&'static str, &'static str, &'static [&'static str]);

const MISTAKES: &[Mistake] = &[
    ("countersign.toml", "[listen]\nagnet = 1\n", &["countersign.toml", "line 2, column 1", "agnet"]),
    (
        "countersign.toml",
        "[tools.x]\nupstream = \"https://a.example\"\ncatalog = \"x\"\nissuer = \"y\"\n",
        &["`tools.x.issuer`"],
    ),
    (
        "tracker.toml",
        "[actions.a]\nmatch = \"GET\"\neffect = \"read\"\nresource = \"x\"\n",
        &["tracker.toml", "`a`", "`match`"],
    ),
    (
        "tracker.toml",
        "[actions.a]\nmatch = \"BREW /x\"\neffect = \"read\"\nresource = \"x\"\n",
        &["tracker.toml", "`BREW`"],
    ),
    (
        "tracker.toml",
        "[actions.a]\nmatch = \"GET /../x\"\neffect = \"read\"\nresource = \"x\"\n",
        &["tracker.toml", "can match nothing"],
    ),
    (
        "tracker.toml",
        "[actions.a]\nmatch = \"GET /x\"\nefect = \"read\"\n",
        &["tracker.toml", "line 3, column 1", "efect"],
    ),
    (
        "tracker.toml",
        "[actions.a]\nmatch = \"GET /x\"\neffect = \"read\"\nresource = \"{x\"\n",
        &["tracker.toml", "`{x`"],
    ),
    (
        "tracker.toml",
        "[actions.a]\nmatch = \"GET /x\"\neffect = \"read\"\nresource = \"x\"\nfacts = { a = \"cookie:a\" }\n",
        &["tracker.toml", "`cookie:a`"],
    ),
    ("policies/main.cedar", "permit(principal, action resource);", &["main.cedar:1:26"]),
    (
        "policies/main.cedar",
        "permit(principal, action, resource) when { context.weather };",
        &["main.cedar:1:", "weather"],
    ),
    (
        "policies/main.cedar",
        "permit(principal, action == Action::\"tracker/nope\", resource);",
        &["main.cedar", "tracker/nope"],
    ),
    (
        "policies/main.cedar",
        "permit(principal, action, resource) when { context.args.number > 3 };",
        &["main.cedar:1:", "number"],
    ),
    ("policies/main.cedar", "@ttl(\"1h\") permit(principal, action, resource);", &["main.cedar", "@ttl"]),
    ("triage.token", "short\n", &["triage.token", "at least 16 bytes"]),
    ("triage.token", " \n", &["triage.token", "is empty"]),
];

#[test]
fn a_mistake_in_any_file_exits_with_2_and_says_where() {
    for (file, text, words) in MISTAKES {
        let folder = Folder::new();
        folder.write(file, text, 0o600);
        let (code, told) = folder.check();
        assert_eq!(code, Some(2), "{file}: {text}\n{told}");
        for word in *words {
            assert!(told.contains(word), "`{word}` is not told of {file}: {text}\n{told}");
        }
    }
}

#[test]
fn a_secret_that_others_can_read_is_refused() {
    for mode in [0o640, 0o604, 0o644, 0o660, 0o620, 0o601] {
        let folder = Folder::new();
        folder.write("triage.token", "b1946ac92492d2347c6235b4d2611184", mode);
        let (code, told) = folder.check();
        assert_eq!(code, Some(2), "{mode:o}");
        assert!(
            told.contains("triage.token") && told.contains(&format!("{mode:04o}")) && told.contains("chmod 600"),
            "{told}"
        );
    }
}

#[test]
fn what_is_not_there_is_told_by_its_name() {
    for name in ["countersign.toml", "tracker.toml", "triage.token"] {
        let folder = Folder::new();
        fs::remove_file(folder.0.path().join(name)).unwrap();
        let (code, told) = folder.check();
        assert!(code == Some(2) && told.contains(name), "{name}: {told}");
    }
    let folder = Folder::new();
    fs::remove_dir_all(folder.0.path().join("policies")).unwrap();
    let (code, told) = folder.check();
    assert!(code == Some(2) && told.contains("policies"), "{told}");
    let folder = Folder::new();
    folder.write(
        "countersign.toml",
        &CONFIG.replace("{ file = \"triage.token\" }", "{ env = \"COUNTERSIGN_TEST_UNSET\" }"),
        0o644,
    );
    let (code, told) = folder.check();
    assert!(code == Some(2) && told.contains("`COUNTERSIGN_TEST_UNSET`"), "{told}");
}

#[test]
fn wrong_usage_exits_with_2_and_help_with_0() {
    let folder = Folder::new();
    for (arguments, code) in [
        (&["chekc"][..], 2),
        (&["check", "--nope"], 2),
        (&["check", "--output", "xml"], 2),
        (&[], 2),
        (&["check", "--help"], 0),
        (&["--version"], 0),
    ] {
        assert_eq!(folder.countersign(arguments).status.code(), Some(code), "{arguments:?}");
    }
}

#[test]
fn a_standing_secret_too_short_to_be_masked_is_refused() {
    let folder = Folder::new();
    let issuer = "kind = \"static\"\nsecret = { file = \"key.secret\" }";
    folder.write("countersign.toml", &CONFIG.replace("kind = \"none\"", issuer), 0o644);
    folder.write("key.secret", "hunter2\n", 0o600);
    let (code, told) = folder.check();
    assert_eq!(code, Some(2), "{told}");
    assert!(told.contains("key.secret` has fewer than 8 bytes"), "{told}");
    folder.write("key.secret", "hunter22\n", 0o600);
    assert_eq!(folder.check().0, Some(0));
}

#[test]
fn what_a_tool_asks_with_is_its_own_and_cannot_be_guessed() {
    let folder = Folder::new();
    let text = CONFIG.replace("issuer = \"none\"", "issuer = \"calls\"\nintrospect = { file = \"tool.token\" }");
    folder.write("countersign.toml", &format!("{text}[issuers.calls]\nkind = \"jwt\"\n"), 0o644);
    for (secret, code, words) in [
        ("a-secret-of-the-tracker", 0, "1 agents"),
        ("too-short", 2, "tool.token`: a token needs at least 16 bytes"),
        ("b1946ac92492d2347c6235b4d2611184", 2, "tool.token`: it proves somebody else too"),
    ] {
        folder.write("tool.token", secret, 0o600);
        let (found, told) = folder.check();
        assert!(found == Some(code) && told.contains(words), "{secret}: {told}");
    }
}
