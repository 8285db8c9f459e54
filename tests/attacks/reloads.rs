//! O5, Q1: files that change under the running program, and a hundred reloads under a thousand calls.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use countersign::app::{Reloaded, Seams};
use tokio::time::sleep;

use super::bench::{CATALOG, POLICY, get, wanted};
use super::program::Program;
use crate::suite::common::invariants;
use crate::suite::common::sidecar::{Sidecar, all};

/// Two versions of everything: each rule's name, and the effect and the fact of an action, say which.
fn version(sidecar: &Sidecar, version: &str) {
    sidecar.write("policies/main.cedar", POLICY.replace("@id(\"", &format!("@id(\"{version}-")));
    let (effect, fact) = if version == "a" { ("read", "of_a") } else { ("write", "of_b") };
    let action = format!(
        "[actions.\"versions\"]\nmatch = \"GET /versions/{{which}}\"\neffect = \"{effect}\"\nresource = \"{{which}}\"\nfacts = {{ {fact} = \"path:which\" }}\n"
    );
    sidecar.write("tracker.toml", format!("{CATALOG}\n{action}"));
}

#[tokio::test]
async fn o5_a_hundred_reloads_under_a_thousand_calls_and_each_call_sees_one_version() {
    let mut sidecar = Sidecar::start(wanted(), Seams::default()).await;
    let mut digests = BTreeMap::new();
    for name in ["a", "b"] {
        version(&sidecar, name);
        assert_eq!(sidecar.reload().await.unwrap(), Reloaded::Replaced);
        digests.insert(sidecar.records("loaded").pop().unwrap().entry["version"].clone().to_string(), name);
    }
    let begun = Instant::now();
    let reloads = async {
        for round in 0..100 {
            version(&sidecar, ["a", "b"][round % 2]);
            assert_eq!(sidecar.reload().await.unwrap(), Reloaded::Replaced);
        }
        begun.elapsed()
    };
    let calls = async {
        let mut refused = 0;
        for _ in 0..50 {
            let targets = (0..20).map(|call| if call % 4 == 3 { "/tracker/admin" } else { "/tracker/versions/x" });
            for answer in all(targets.map(|target| sidecar.agent().ask(get(target)))).await {
                refused += usize::from(answer.status == 403);
                assert!([200, 403].contains(&answer.status), "{answer:?}");
            }
        }
        (refused, begun.elapsed())
    };
    let (reloaded, (refused, called)) = tokio::join!(reloads, calls);
    eprintln!("100 reloads in {reloaded:?}, 1000 calls in {called:?}");
    assert_eq!(refused, 250);
    sidecar.wait_for("ended", 750).await;
    let mut seen: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for story in invariants::stories(&sidecar.reader()) {
        let Some(verdict) = story.first("permitted").or_else(|| story.first("refused")) else { continue };
        let version = digests[&verdict.entry["policies"].to_string()];
        let rules = verdict.entry["rules"].as_array().unwrap();
        let expected = if verdict.kind() == "permitted" { "all" } else { "no-admin" };
        assert_eq!(rules, &[format!("{version}-{expected}")], "{verdict:?}");
        if verdict.kind() == "permitted" {
            assert_eq!(verdict.entry["effect"], if version == "a" { "read" } else { "write" }, "{verdict:?}");
            let args = invariants::private(verdict, "args").as_object().unwrap();
            assert_eq!(args.keys().collect::<Vec<_>>(), [&format!("of_{version}")], "{verdict:?}");
            assert_eq!(story.last("ended").unwrap().entry["ending"], "completed", "nobody was cut");
        }
        *seen.entry((version, if verdict.kind() == "permitted" { "permitted" } else { "refused" })).or_default() += 1;
    }
    assert!(["a", "b"].iter().all(|version| seen[&(*version, "permitted")] > 50), "{seen:?}");
    invariants::hold(&mut sidecar).await;
}

/// Waits until the program answers so.
async fn until(program: &Program, statuses: [u16; 2]) -> Duration {
    let begun = Instant::now();
    let mut found = [0; 2];
    while begun.elapsed() < Duration::from_secs(15) {
        found = [program.ask(get("/tracker/notes")).await.status, program.ask(get("/tracker/admin")).await.status];
        if found == statuses {
            return begun.elapsed();
        }
        sleep(Duration::from_millis(20)).await;
    }
    panic!("{found:?} and not {statuses:?}: {}", program.log());
}

async fn until_logged(program: &Program, words: &str, times: usize) {
    for _ in 0..750 {
        if program.log().matches(words).count() >= times {
            return;
        }
        sleep(Duration::from_millis(20)).await;
    }
    panic!("`{words}` was not logged {times} times: {}", program.log());
}

#[tokio::test]
async fn the_program_follows_its_files_and_a_signal() {
    let program = Program::usual().await;
    let file = |name: &str| program.folder.path().join(name);
    until(&program, [200, 403]).await;
    // By itself, once they lie still.
    let more = "@id(\"none\") forbid(principal, action, resource);";
    std::fs::write(file("policies/more.cedar"), more).unwrap();
    let took = until(&program, [403, 403]).await;
    assert!(took < Duration::from_secs(5), "{took:?}");
    std::fs::remove_file(file("policies/more.cedar")).unwrap();
    until(&program, [200, 403]).await;
    // What makes no sense is said once, and not loaded.
    std::fs::write(file("policies/more.cedar"), "no policy at all").unwrap();
    until_logged(&program, "what lies on the disk is not loaded", 1).await;
    sleep(Duration::from_secs(3)).await;
    assert_eq!(program.log().matches("what lies on the disk is not loaded").count(), 1);
    until(&program, [200, 403]).await;
    assert!(program.metrics().await.body.contains("countersign_outdated 1"));
    std::fs::remove_file(file("policies/more.cedar")).unwrap();
    // Told to, at once.
    std::fs::write(file("policies/main.cedar"), more).unwrap();
    program.signal(rustix::process::Signal::HUP);
    until(&program, [403, 403]).await;
    // As a mounted ConfigMap changes: behind the link of a folder stands another one.
    for (name, text) in [("one", POLICY), ("two", more)] {
        std::fs::create_dir(file(name)).unwrap();
        std::fs::write(file(name).join("main.cedar"), text).unwrap();
    }
    std::fs::remove_dir_all(file("policies")).unwrap();
    std::os::unix::fs::symlink("one", file("policies")).unwrap();
    until(&program, [200, 403]).await;
    std::os::unix::fs::symlink("two", file("next")).unwrap();
    std::fs::rename(file("next"), file("policies")).unwrap();
    until(&program, [403, 403]).await;
    program.hold().await;
}
