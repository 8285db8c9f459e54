//! Cases beside policies: those that are shipped, and what is said of those that are wrong.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tempfile::TempDir;

use super::recorded::{CATALOG, json, run};
use crate::suite::common::checkout::checkout;

/// A configuration beside which policies can lie.
pub fn folder(policies: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let text = "[agents.helper]\nidentify = [{ peer = { uid = 1000 } }]\ntools = [\"tracker\"]\n\
                [tools.tracker]\nupstream = \"https://tracker.example\"\ncatalog = \"tracker.toml\"\nissuer = \"none\"\n\
                [issuers.none]\nkind = \"none\"\n\
                [reviewers.sam]\ntoken = { file = \"sam.token\" }\nmay = [\"approve\"]\nroles = [\"ana\", \"owner\", \"on-call\"]\n";
    let token = folder.path().join("sam.token");
    fs::write(&token, "a-token-of-sam-that-nobody-guesses").unwrap();
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(folder.path().join("countersign.toml"), text).unwrap();
    fs::write(folder.path().join("tracker.toml"), CATALOG).unwrap();
    fs::create_dir(folder.path().join("policies")).unwrap();
    for (name, text) in policies {
        fs::write(folder.path().join("policies").join(name), text).unwrap();
    }
    folder
}

/// What is printed on trying these, which must not be all well.
fn problems(policies: &[(&str, &str)], command: &[&str], code: i32) -> String {
    let folder = folder(policies);
    let (exit, printed) = run(folder.path(), command);
    assert_eq!(exit, code, "{printed}");
    printed
}

fn shipped(name: &Path) -> bool {
    let name = name.to_string_lossy();
    name.ends_with(".cedar") || name.ends_with(".cases.toml")
}

#[test]
fn every_shipped_rule_has_a_case_in_which_it_holds_and_one_in_which_it_does_not() {
    let folder = folder(&[("own.cedar", OWN)]);
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(checkout("policies")).unwrap() {
        let path = entry.unwrap().path();
        if shipped(&path) {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            fs::copy(&path, folder.path().join("policies").join(&name)).unwrap();
            names.insert(name);
        }
    }
    for name in names.iter().filter_map(|name| name.strip_suffix(".cedar")) {
        assert!(names.contains(&format!("{name}.cases.toml")), "{name}.cedar has no cases");
        // By themselves, each file's cases show its own rules.
        let text = fs::read_to_string(folder.path().join(format!("policies/{name}.cedar"))).unwrap();
        assert!(!text.contains("Tool::\"") && !text.contains("Action::\"tool:"), "{name}.cedar names a tool");
        assert_eq!(text.matches("forbid(").count() + text.matches("permit(").count(), text.matches("@id(").count());
    }
    let configuration = fs::read_to_string(folder.path().join("countersign.toml")).unwrap();
    for preset in ["strict", "balanced"] {
        let text = format!("[policies]\npreset = \"{preset}\"\n{configuration}");
        fs::write(folder.path().join("countersign.toml"), text).unwrap();
        fs::write(folder.path().join("policies/own.cedar"), OWN).unwrap();
        let (code, told) = json(folder.path(), &["policy", "test"]);
        assert_eq!(code, 0, "{told:#}");
        fs::remove_file(folder.path().join("policies/own.cedar")).unwrap();
        let (code, told) = json(folder.path(), &["policy", "test", "--strict"]);
        assert_eq!(code, 0, "{told:#}");
        let rules = told["rules"].as_array().unwrap();
        assert!(rules.len() >= 20 && told["cases"].as_array().unwrap().len() >= 50, "{told:#}");
        let loaded = |name: &str| rules.iter().any(|rule| rule["file"].as_str().unwrap().ends_with(name));
        assert_eq!(loaded("values.strict.cedar"), preset == "strict", "{told:#}");
        assert_eq!(loaded("values.balanced.cedar"), preset == "balanced", "{told:#}");
        let (code, printed) = run(folder.path(), &["check"]);
        assert!(code == 0 && printed.contains(" cases of policies, 0 failed\n"), "{printed}");
    }
}

/// Under it, no case could come out as it says.
const OWN: &str = "@id(\"own\") forbid(principal, action, resource);";

const RULE: &str = "@id(\"look\") permit(principal, action in Action::\"effect:read\", resource);\n";

fn case(lines: &str) -> String {
    format!("\n[[case]]\nname = \"it\"\n{lines}\n")
}

#[test]
fn a_file_of_cases_can_be_tried_by_itself() {
    let other = ("b.cedar", "@id(\"none\") forbid(principal, action, resource);");
    for (otherwise, write, read) in [
        ("", "deny", "deny"),
        ("otherwise = \"deny\"\n", "deny", "allow"),
        ("otherwise = \"permit\"\n", "allow", "allow"),
    ] {
        let cases = format!(
            "{otherwise}{}{}",
            case(&format!("action = \"effect:write\"\nexpect = \"{write}\"")),
            case(&format!("action = \"effect:read\"\nexpect = \"{read}\"")).replace("\"it\"", "\"read\"")
        );
        let folder = folder(&[("a.cedar", RULE), ("a.cases.toml", &cases), other]);
        let (code, printed) = run(folder.path(), &["policy", "test"]);
        assert_eq!(code, 0, "{otherwise}: {printed}");
    }
}

#[test]
fn a_case_that_fails_says_what_came_out_instead() {
    let wrong = "@id(\"b\") @ask(\"ana\") forbid(principal, action, resource) unless { context.task.declared };\n\
                 @id(\"c\") @shadow forbid(principal, action, resource) when { context.chain.calls > 5 };\n";
    let policy = format!("{RULE}{wrong}");
    for (lines, said) in [
        ("action = \"effect:read\"\nexpect = \"deny\"", "expected deny, got allow by look"),
        ("action = \"effect:write\"\nexpect = \"allow\"", "expected allow, got deny by default"),
        (
            "action = \"effect:read\"\ncontext.task.declared = false\nexpect = \"ask\"\nrule = \"look\"",
            "expected ask by look, got ask by b",
        ),
        (
            "action = \"effect:read\"\ncontext.chain.calls = 6\nexpect = \"allow\"\nwould = \"ask\"",
            "expected that it would ask, got allow by look, would deny by c",
        ),
        ("agent = \"helper\"\naction = \"effect:read\"\ncontext.limits = [\"x\"]\nexpect = \"throttle\"", "got allow"),
    ] {
        let cases = case(lines);
        for command in [&["policy", "test"][..], &["check"]] {
            let printed = problems(&[("a.cedar", &policy), ("a.cases.toml", &cases)], command, 1);
            assert!(
                printed.contains(&format!("policies/a.cases.toml:2: case `it`: {said}")) || said == "got allow",
                "{printed}"
            );
        }
    }
}

#[test]
fn without_cases_both_ways_strict_fails() {
    let shown = case("action = \"effect:read\"\nexpect = \"allow\"");
    let files = [("a.cedar", RULE), ("a.cases.toml", shown.as_str())];
    let folder = folder(&files);
    assert_eq!(run(folder.path(), &["policy", "test"]).0, 0);
    let (code, printed) = run(folder.path(), &["policy", "test", "--strict"]);
    assert!(code == 1 && printed.contains("policies/a.cedar: the rule `look` holds in every case"), "{printed}");
    let other = shown.clone() + &shown.replace("\"it\"", "\"no\"").replace("read", "write").replace("allow", "deny");
    fs::write(folder.path().join("policies/a.cases.toml"), other).unwrap();
    assert_eq!(run(folder.path(), &["policy", "test", "--strict"]).0, 0);
    fs::remove_file(folder.path().join("policies/a.cases.toml")).unwrap();
    let (code, printed) = run(folder.path(), &["policy", "test", "--strict"]);
    assert!(code == 1 && printed.contains("the rule `look` has no case"), "{printed}");
}

#[test]
fn what_is_wrong_with_cases_is_told_all_at_once_with_the_names_that_were_meant() {
    let cases = "[[case]]\nname = \"a\"\nagent = \"helpr\"\naction = \"tracker/issues.gte\"\nexpect = \"allow\"\nrule = \"lok\"\n\
                 context = { taks = { declared = true }, task = { delcared = true } }\n\
                 [[case]]\nname = \"b\"\naction = \"tracker/comments.create\"\nexpect = \"unavailable\"\n\
                 context = { labels = [\"untrustd\"], time = { hour = \"x\" }, args = { titel = \"7\" } }\n\
                 [[case]]\nname = \"b\"\naction = \"effect:raed\"\nexpect = \"deny\"\n\
                 context = { task = 3, body = [\"x\"], approval.present = true }\n";
    let printed = problems(&[("a.cedar", RULE), ("a.cases.toml", cases)], &["check"], 2);
    for line in [
        "policies/a.cases.toml:1: case `a`: there is no agent `helpr`; did you mean `helper`?",
        "policies/a.cases.toml:1: case `a`: there is no action `tracker/issues.gte`; did you mean `tracker/issues.get`?",
        "policies/a.cases.toml:1: case `a`: there is no rule `lok`; did you mean `look`?",
        "policies/a.cases.toml:1: case `a`: `context.taks` is no fact; did you mean `context.task`?",
        "policies/a.cases.toml:1: case `a`: `context.task.delcared` is no fact; did you mean `context.task.declared`?",
        "policies/a.cases.toml:8: case `b`: rules never decide `unavailable`",
        "policies/a.cases.toml:8: case `b`: `context.labels` is never `untrustd`; there are `untrusted`, `private`, `trusted`; did you mean `untrusted`?",
        "policies/a.cases.toml:8: case `b`: `context.time.hour` is a `Long`, and \"x\" is none",
        "policies/a.cases.toml:8: case `b`: `context.args.titel` is no argument of `tracker/comments.create`; did you mean `title`?",
        "policies/a.cases.toml:13: case `b`: another case has this name",
        "policies/a.cases.toml:13: case `b`: there is no action `effect:raed`; did you mean `effect:read`?",
        "policies/a.cases.toml:13: case `b`: `context.task` is a record of facts, and 3 is none",
        "policies/a.cases.toml:13: case `b`: `context.body` is a `String`, and [\"x\"] is none",
        "policies/a.cases.toml:13: case `b`: `context.approval.present` follows from `approval.rules`; set that",
    ] {
        assert!(printed.contains(line), "no `{line}` in {printed}");
    }
    let printed = problems(&[("a.cedar", RULE), ("a.cases.toml", "[[case]]\nnaem = \"x\"\n")], &["policy", "test"], 2);
    assert!(printed.contains("a.cases.toml: TOML parse error at line 2"), "{printed}");
    let printed = problems(&[("a.cedar", RULE), ("b.cases.toml", "")], &["policy", "test"], 2);
    assert!(printed.contains("there is no `policies/b.cedar` beside it"), "{printed}");
}

#[test]
fn what_is_wrong_with_policies_is_told_all_at_once_with_the_names_that_were_meant() {
    let policy = "@reasn(\"x\") permit(principal, action, resource);\n\
                  permit(principal, action == Action::\"tracker/issues.gte\", resource);\n\
                  permit(principal == Agnt::\"x\", action in Action::\"effect:wirte\", resource);\n\
                  permit(principal, action, resource) when { context.taks.declared };\n\
                  permit(principal, action, resource) when { context.task.delcared && context.time.hour == \"x\" };\n\
                  permit(principal, action == Action::\"tracker/files.send\", resource) when { context.args.too == \"x\" };\n";
    let printed = problems(&[("a.cedar", policy), ("b.cedar", "permit(principal, action resource);")], &["check"], 2);
    for line in [
        "policies/a.cedar: in the rule `a.cedar:1`: `@reasn` is not an annotation; there are `@id`",
        "did you mean `reason`?",
        "policies/a.cedar:2:29: unrecognized action `Action::\"tracker/issues.gte\"`",
        "  did you mean `Action::\"tracker/issues.get\"`?",
        "policies/a.cedar:3:21: unrecognized entity type `Agnt`",
        "policies/a.cedar:3:42: unrecognized action `Action::\"effect:wirte\"`",
        "policies/a.cedar:4:44: there is no fact `context.taks`",
        "  did you mean `context.task`?",
        "policies/a.cedar:5:44: there is no fact `context.task.delcared`",
        "  did you mean `context.task.declared`?",
        "policies/a.cedar:5:69: the types Long and String are not compatible",
        "policies/a.cedar:6:76: attribute `args.too` in context for Action::\"tracker/files.send\" not found",
        "  did you mean `to`?",
        "policies/b.cedar:1:26: unexpected token `resource`",
    ] {
        assert!(printed.contains(line), "no `{line}` in {printed}");
    }
}

#[test]
fn names_that_nobody_has_are_noted() {
    let policy = "@id(\"x\") forbid(principal == Agent::\"helpr\", action, resource in Tool::\"trackr\")\n\
                  when { principal in Group::\"staff\" && context.labels.contains(\"untrustd\") && context.task.opened_by == \"framwork\" };\n\
                  @id(\"y\") forbid(principal, action, resource == Resource::\"tracker/x\") when { context.labels.contains(\"private\") };";
    let folder = folder(&[("a.cedar", policy)]);
    let (code, printed) = run(folder.path(), &["check"]);
    assert_eq!(code, 0, "{printed}");
    for line in [
        "`x` names the agent `helpr`, which the configuration does not; did you mean `helper`?",
        "`x` names the tool `trackr`, which the configuration does not; did you mean `tracker`?",
        "`x` names the group `staff`",
        "`x` asks whether `context.labels` is `untrustd`, which it never is; did you mean `untrusted`?",
        "`x` asks whether `context.task.opened_by` is `framwork`, which it never is; did you mean `framework`?",
    ] {
        assert!(printed.contains(line), "no `{line}` in {printed}");
    }
    assert!(!printed.contains("`y`"), "{printed}");
}

#[test]
fn what_the_page_about_policies_shows_is_so() {
    let page = fs::read_to_string(checkout("docs/policies.md")).unwrap();
    let block = |language: &str, first: &str| {
        let opening = format!("```{language}\n{first}\n");
        let (_, rest) = page.split_once(&opening).unwrap_or_else(|| panic!("the page shows no `{first}`"));
        rest.split_once("\n```\n").unwrap().0.to_owned() + "\n"
    };
    let policy = block("cedar", "// policies/support.cedar");
    let cases = block("toml", "# policies/support.cases.toml");
    let folder = folder(&[("support.cedar", &policy), ("support.cases.toml", &cases)]);
    let (code, printed) = run(folder.path(), &["policy", "test", "--strict"]);
    assert_eq!((code, printed.as_str()), (0, "5 cases, 0 failed; 4 rules, 0 without a case each way\n"));
}
