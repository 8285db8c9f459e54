//! Configurations that are fine, and those that are not: what is told names the key, or the line and column.

mod checked;

use std::path::Path;

use countersign::config::{Config, Door, Rule, SecretFrom};

/// A configuration without a mistake.
const GOOD: &str = r#"
[listen]
agent = "127.0.0.1:7080"
admin = "unix:admin.sock"

[agents.triage]
identify = [{ peer = { uid = 1000 } }]
open_tasks = [{ token = { file = "framework.token" } }]
tools = ["tracker"]

[[agents.triage.limits]]
per = "task"
requests = 20
window = "1m"

[tools.tracker]
upstream = "https://api.example.com/v2"
catalog = "tracker.toml"
issuer = "calls"

[issuers.calls]
kind = "jwt"

[reviewers.ana]
token = { file = "ana.token" }
may = ["read"]
"#;

const IDENTIFY: &str = "identify = [{ peer = { uid = 1000 } }]";
const OPEN: &str = "open_tasks = [{ token = { file = \"framework.token\" } }]";
const UPSTREAM: &str = "upstream = \"https://api.example.com/v2\"";
const AGENT_DOOR: &str = "agent = \"127.0.0.1:7080\"";

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(text, Path::new("/etc/countersign")).map_err(|error| error.to_string())
}

/// The good configuration with one thing changed, which must stand in it.
fn with(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from}");
    GOOD.replacen(from, to, 1)
}

fn assert_told(from: &str, to: &str, words: &[&str]) {
    let told = parse(&with(from, to)).expect_err(to);
    for word in words {
        assert!(told.contains(word), "`{word}` is not told of `{to}`:\n{told}");
    }
}

#[test]
fn a_configuration_without_a_mistake_is_read() {
    let config = parse(GOOD).unwrap();
    assert_eq!(config.listen.admin, Door::Unix("/etc/countersign/admin.sock".into()), "paths are from where it lies");
    let agent = &config.agents[0];
    assert_eq!(agent.open_tasks, [Rule::Token(SecretFrom::File("/etc/countersign/framework.token".into()))]);
    assert_eq!((agent.limits[0].name.as_str(), agent.limits[0].requests), ("triage.limits.0", 20));
    let tool = &config.tools[0].tool;
    assert_eq!(
        (tool.origin().as_str(), tool.base_path.as_str(), tool.max_body),
        ("https://api.example.com", "/v2", 10 << 20)
    );
    assert!(parse("").unwrap().agents.is_empty());
}

#[test]
fn other_ways_of_writing_it_are_fine_too() {
    for (from, to) in [
        (AGENT_DOOR, "agent = \"[::1]:0\""),
        (AGENT_DOOR, "agent = \"unix:agent.sock\"\nsocket_mode = \"0660\""),
        (IDENTIFY, "identify = [{ peer = { exe = \"/usr/bin/python3.13\", unit = \"triage.service\" } }]"),
        (IDENTIFY, "identify = [{ peer = { exe = \"/usr/bin/node\", script = \"agent.js\" } }]"),
        (IDENTIFY, "identify = [{ peer = { exe = \"/usr/bin/curl\" } }]"),
        (
            IDENTIFY,
            "identify = [{ all = [{ peer = { uid = 1 } }, { token = { env = \"TRIAGE\" } }] }, { token = { systemd = \"t\" } }]",
        ),
        (OPEN, ""),
        (UPSTREAM, "upstream = \"http://10.1.2.3:8080\"\nplaintext = true\nnetworks = [\"10.0.0.0/8\"]"),
        (
            UPSTREAM,
            "upstream = \"https://[fd00::1]:8443/\"\nnetworks = [\"fd00::/8\"]\nmax_call = \"1h\"\nmax_body = \"64KiB\"",
        ),
        ("kind = \"jwt\"", "kind = \"static\"\nsecret = { env = \"KEY\" }\nheader = \"x-api-key\""),
        ("kind = \"jwt\"", "kind = \"none\""),
    ] {
        parse(&with(from, to)).unwrap_or_else(|error| panic!("{to}: {error}"));
    }
}

#[test]
fn an_unknown_key_is_told_with_its_line_and_column() {
    for (from, to, key) in [
        (AGENT_DOOR, "agnet = \"127.0.0.1:7080\"", "agnet"),
        ("requests = 20", "requets = 20", "requets"),
        ("kind = \"jwt\"", "kind = \"jwt\"\nissuers = \"x\"", "issuers"),
        ("tools = [\"tracker\"]", "tools = [\"tracker\"]\ntool = []", "tool"),
        ("issuer = \"calls\"", "issuer = \"calls\"\nplain = true", "plain"),
        ("[reviewers.ana]", "[reviewer.ana]", "reviewer"),
        (IDENTIFY, "identify = [{ peer = { user = 1000 } }]", "user"),
        (OPEN, "open_tasks = [{ token = { file = \"a\", mode = 3 } }]", "mode"),
        ("[agents.triage]", "[agents.triage.chain]\nmax_deep = 4\n[agents.triage]", "max_deep"),
    ] {
        let text = with(from, to);
        let told = parse(&text).expect_err(to);
        assert!(told.contains(&format!("`{key}`")) || told.contains(&format!("{key} ")), "{key}: {told}");
        let (line, column) = place(&told).unwrap_or_else(|| panic!("no line and column: {told}"));
        let there = text.lines().nth(line - 1).unwrap_or_default();
        assert!(column >= 1 && there.contains(key), "`{key}` is not in line {line}:\n{told}");
    }
}

/// The line and column that an error tells.
fn place(told: &str) -> Option<(usize, usize)> {
    let (_, behind) = told.split_once("line ")?;
    let (line, behind) = behind.split_once(", column ")?;
    Some((line.parse().ok()?, behind.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()?))
}

#[test]
fn a_value_of_the_wrong_type_is_told_with_its_line_and_column() {
    for (from, to) in [
        ("requests = 20", "requests = \"20\""),
        ("requests = 20", "requests = -1"),
        ("window = \"1m\"", "window = \"1 minute\""),
        ("per = \"task\"", "per = \"user\""),
        ("may = [\"read\"]", "may = [\"write\"]"),
        ("kind = \"jwt\"", "kind = \"oauth\""),
        (AGENT_DOOR, "agent = 7080"),
        ("tools = [\"tracker\"]", "tools = \"tracker\""),
        ("token = { file = \"ana.token\" }", "token = \"hunter2\""),
        ("[issuers.calls]", "[issuers.calls]\n[issuers.calls]"),
        ("[issuers.calls]", "[issuers.calls"),
    ] {
        let told = parse(&with(from, to)).expect_err(to);
        assert!(place(&told).is_some(), "{to}: {told}");
    }
}

#[test]
fn what_makes_no_sense_is_told_under_its_key() {
    for (from, to, words) in [
        ("tools = [\"tracker\"]", "tools = [\"tracker\", \"chat\"]", ["`agents.triage.tools`", "[tools.chat]"]),
        ("issuer = \"calls\"", "issuer = \"corp\"", ["`tools.tracker.issuer`", "[issuers.corp]"]),
        (UPSTREAM, "upstream = \"http://10.1.2.3\"", ["`tools.tracker.upstream`", "plaintext = true"]),
        (UPSTREAM, "upstream = \"http://10.1.2.3\"\nplaintext = true", ["`tools.tracker.upstream`", "networks"]),
        (
            UPSTREAM,
            "upstream = \"http://10.1.2.3\"\nnetworks = [\"10.0.0.0/8\"]",
            ["`tools.tracker.upstream`", "plaintext = true"],
        ),
        (UPSTREAM, "upstream = \"https://10.1\"", ["`tools.tracker.upstream`", "`10.1`"]),
        (UPSTREAM, "upstream = \"https://u:p@a.example\"", ["`tools.tracker.upstream`", "user"]),
        (
            UPSTREAM,
            "upstream = \"https://a.example\"\nnetworks = [\"10.0.0.1/8\"]",
            ["`tools.tracker.networks`", "`10.0.0.1/8`"],
        ),
        (UPSTREAM, "upstream = \"https://a.example\"\nmax_call = \"2h\"", ["`tools.tracker.max_call`", "hour"]),
        (
            UPSTREAM,
            "upstream = \"https://a.example\"\nrequest_headers = [\"Authorization\"]",
            ["`tools.tracker.request_headers`", "authorization"],
        ),
        (
            UPSTREAM,
            "upstream = \"https://a.example\"\nanswer_headers = [\"x y\"]",
            ["`tools.tracker.answer_headers`", "`x y`"],
        ),
        (IDENTIFY, "identify = []", ["`agents.triage.identify`", "at least one"]),
        (IDENTIFY, "identify = [{ peer = {} }]", ["`agents.triage.identify.0`", "anybody"]),
        (IDENTIFY, "identify = [{ all = [{ peer = { uid = 1 } }] }]", ["`agents.triage.identify.0`", "two proofs"]),
        (
            IDENTIFY,
            "identify = [{ peer = { exe = \"/usr/bin/python3.13\" } }]",
            ["`agents.triage.identify.0`", "`script`"],
        ),
        (
            IDENTIFY,
            "identify = [{ peer = { uid = 7 } }, { peer = { exe = \"/bin/sh\", uid = 7 } }]",
            ["`agents.triage.identify.1`", "`sh`"],
        ),
        (
            IDENTIFY,
            "identify = [{ token = { file = \"framework.token\" } }]",
            ["`agents.triage.open_tasks`", "identify"],
        ),
        (OPEN, "open_tasks = [{ peer = { uid = 1000 } }]", ["`agents.triage.open_tasks`", "identify"]),
        ("requests = 20", "requests = 0", ["`agents.triage.limits.0`", "nothing"]),
        (AGENT_DOOR, "agent = \"0.0.0.0:7080\"", ["`listen.agent`", "loopback"]),
        (AGENT_DOOR, "agent = \"[::]:7080\"", ["`listen.agent`", "loopback"]),
        (AGENT_DOOR, "agent = \"192.0.2.1:7080\"", ["`listen.agent`", "loopback"]),
        (AGENT_DOOR, "agent = \"localhost:7080\"", ["`listen.agent`", "`localhost:7080`"]),
        ("admin = \"unix:admin.sock\"", "admin = \"0.0.0.0:7081\"", ["`listen.admin`", "loopback"]),
        (AGENT_DOOR, "expose = true", ["`listen.expose`", "`listen.tls`"]),
        (AGENT_DOOR, "socket_mode = \"rw\"", ["`listen.socket_mode`", "`rw`"]),
        ("kind = \"jwt\"", "kind = \"jwt\"\nheader = \"x y\"", ["`issuers.calls.header`", "`x y`"]),
    ] {
        assert_told(from, to, &words);
    }
}

#[test]
fn all_tools_of_an_issuer_ask_about_its_tokens_or_none() {
    for (from, to, words) in [
        (
            UPSTREAM,
            "introspect = { env = \"T\" }\nupstream = \"https://a.example\"\ncatalog = \"a\"\nissuer = \"none\"\n[issuers.none]\nkind = \"none\"\n[tools.b]\nupstream = \"https://b.example\"",
            ["`tools.tracker.introspect`", "only our own tokens"],
        ),
        (
            UPSTREAM,
            "upstream = \"https://a.example\"\ncatalog = \"a\"\nissuer = \"calls\"\n[tools.asks]\nintrospect = { env = \"T\" }\nupstream = \"https://b.example\"",
            ["`tools.tracker.introspect`", "issuer of its own"],
        ),
    ] {
        assert_told(from, to, &words);
    }
}

#[test]
fn a_name_that_could_be_mistaken_is_refused_under_its_table() {
    let long = "a".repeat(65);
    // What a policy or a pattern could read in another way, and what looks like a name that there is.
    for name in [
        "Triage", "triage ", " triage", "*", "tri*", "a+b", "a,b", "a?", "tri age", "-x", "_x", "\\\"", "a/b", "a.b",
        "ä", "", "..", "a\\nb", &long,
    ] {
        for (table, from) in [
            ("agents", "[agents.triage]"),
            ("tools", "[tools.tracker]"),
            ("issuers", "[issuers.calls]"),
            ("reviewers", "[reviewers.ana]"),
        ] {
            let text = format!(
                "{GOOD}\n[{table}.\"{name}\"]\n{}",
                GOOD.split_once(from).unwrap().1.split("\n[").next().unwrap()
            );
            let told = parse(&text).expect_err(&text);
            assert!(
                told.starts_with(&format!("`{table}.")) && told.contains("a name has up to 64"),
                "{table} {name}: {told}"
            );
        }
    }
    for name in ["operator", "opener", "policy"] {
        assert_told(
            "[reviewers.ana]",
            &format!("[reviewers.{name}]"),
            &[&format!("`reviewers.{name}`"), "somebody else"],
        );
    }
    for name in ["oauth", "access", "calls"] {
        assert_told("[tools.tracker]", &format!("[tools.{name}]"), &[&format!("`tools.{name}`"), "door's own"]);
    }
    assert_told("tools = [\"tracker\"]", "tools = [\"tracker\"]\ngroups = [\"Staff\"]", &["groups", "Staff"]);
}
