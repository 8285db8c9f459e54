//! From watching to enforcing: what an unmodified client was seen to do becomes a catalog that knows it again.

use std::fs;
use std::process::Command;

use super::super::common::raw::{Raw, Reply};
use super::super::common::sidecar::TRACKER;
use super::super::policies::recorded::{json, run};
use super::*;

/// What the client does: each with the action that it is to be drafted as.
const CALLS: [(&str, &str, &str); 12] = [
    ("GET", "/users/7", "users.get"),
    ("GET", "/users/12?expand=teams", "users.get"),
    ("GET", "/users/7/orders", "users.orders.list"),
    ("GET", "/users/7/orders/01a20207-0594-7501-96c0-5d9ac99fc477", "users.orders.get"),
    ("POST", "/users/7/orders", "users.orders.create"),
    ("DELETE", "/users/7/orders/01a20207-0594-7501-96c0-5d9ac99fc477", "users.orders.delete"),
    ("POST", "/channels/C024BE91L/messages?to=bo", "channels.messages.create"),
    ("PUT", "/notes/list.txt", "notes.list-txt.replace"),
    ("GET", "/search?q=a%22%5D%20effect", "search.list"),
    ("GET", "/it's(all)$&~/x,y=*", "it-s-all.x-y.list"),
    ("HEAD", "/users/9", "users.get-2"),
    ("GET", "/", "list"),
];

async fn calls(sidecar: &Sidecar) {
    for (method, target, _) in CALLS {
        let url = format!("http://{}/tracker{target}", sidecar.door);
        let mut curl = Command::new("curl");
        curl.args(["-s", "-g", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "20"]);
        match method {
            "HEAD" => curl.arg("-I"),
            "POST" | "PUT" => curl.args(["-X", method, "-d", "{\"total\": 3}", "-H", "content-type: application/json"]),
            _ => curl.args(["-X", method]),
        };
        curl.arg(url);
        let output = tokio::task::spawn_blocking(move || curl.output().unwrap()).await.unwrap();
        let status = String::from_utf8(output.stdout).unwrap();
        assert!(status == "200" || status == "404", "{method} {target}: {status}");
    }
}

/// The actions of all calls that were permitted, in order, once so many have ended.
async fn actions(sidecar: &Sidecar, ended: usize) -> Vec<String> {
    sidecar.wait_for("ended", ended).await;
    let permitted = sidecar.records("permitted");
    permitted.iter().map(|record| record.entry["action"].as_str().unwrap().to_owned()).collect()
}

async fn observing(catalog: &'static str, agent: &'static str) -> Sidecar {
    let upstream = Some(Raw::start().await);
    Sidecar::start(Wanted { agent, policy: POLICY, catalog, upstream, ..Wanted::default() }, Seams::default()).await
}

fn is_curl_missing() -> bool {
    let missing = Command::new("curl").arg("--version").output().is_err();
    if missing {
        println!("left out: the client that is observed is `curl`");
    }
    missing
}

#[tokio::test]
async fn what_a_client_was_seen_to_do_is_drafted_checked_and_then_known() {
    if is_curl_missing() {
        return;
    }
    let mut sidecar = observing("[actions]\n", "mode = \"observe\"\nintent = \"never\"").await;
    sidecar.upstreams[0].reply(Reply::new("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"));
    calls(&sidecar).await;
    // The first of them was answered with 404; once more, and it is there.
    calls(&sidecar).await;
    sidecar.upstreams[0].reply(Reply::new("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"));
    calls(&sidecar).await;
    let all = actions(&sidecar, 3 * CALLS.len()).await;
    assert!(all.iter().all(|action| action == "tracker/unclassified"), "{all:?}");

    let folder = sidecar.folder.path().to_owned();
    let (code, draft) = run(&folder, &["policy", "suggest", "--catalog", "tracker"]);
    assert_eq!(code, 0, "{draft}");
    assert!(
        draft.contains("# left out: calls that the tool did not answer, or answered with 404 or 405: 2\n"),
        "{draft}"
    );
    let (code, told) = run(&folder, &["policy", "suggest", "--catalog", "tracker", "--write", "seen.toml"]);
    assert_eq!((code, told.starts_with("wrote seen.toml: 11 actions, to be reviewed\n")), (0, true), "{told}");
    assert_eq!(fs::read_to_string(folder.join("seen.toml")).unwrap(), draft);

    fs::rename(folder.join("seen.toml"), folder.join("tracker.toml")).unwrap();
    let (code, told) = run(&folder, &["check"]);
    assert!(code == 0 && told.contains("1 tools with 11 actions"), "{told}");
    sidecar.edit("countersign.toml", "mode = \"observe\"", "mode = \"enforce\"");
    sidecar.edit("policies/main.cedar", "action in Action::\"effect:read\"", "action");
    sidecar.reload().await.unwrap();
    calls(&sidecar).await;
    let known = actions(&sidecar, 4 * CALLS.len()).await;
    let drafted: Vec<String> = CALLS.iter().map(|(_, _, name)| format!("tracker/{name}")).collect();
    assert_eq!(known[3 * CALLS.len()..], drafted, "{draft}");
    // Nothing that was not seen is known.
    for unseen in [
        "DELETE /tracker/users/7",
        "POST /tracker/users",
        "GET /tracker/notes/list.txt",
        "PATCH /tracker/users/7/orders",
    ] {
        let request = format!("{unseen} HTTP/1.1\r\nhost: HOST\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
        assert_eq!(sidecar.send(&request).await.code(), (404, "action_unknown".to_owned()), "{unseen}");
    }
    invariants::hold(&mut sidecar).await;
}

#[tokio::test]
async fn a_draft_is_made_of_what_the_generic_catalog_let_pass_and_nothing_is_written_over() {
    if is_curl_missing() {
        return;
    }
    let mut sidecar = observing(TRACKER, "mode = \"observe\"\nintent = \"never\"").await;
    let folder = sidecar.folder.path().to_owned();
    let suggest = |more: &[&str]| run(&folder, &[&["policy", "suggest", "--catalog", "tracker"], more].concat());
    let (code, told) = suggest(&[]);
    assert!(
        code == 2 && told.contains("no call of tool `tracker` is recorded that its catalog does not describe"),
        "{told}"
    );
    // What its own catalog describes is not drafted again.
    assert_eq!(sidecar.send(READ).await.status, 200);
    sidecar.wait_for("ended", 1).await;
    assert_eq!(suggest(&[]).0, 2);
    sidecar.edit("countersign.toml", "catalog = \"tracker.toml\"", "catalog = \"rest\"");
    sidecar.reload().await.unwrap();
    calls(&sidecar).await;
    let all = actions(&sidecar, CALLS.len() + 1).await;
    assert!(!all.contains(&"tracker/unclassified".to_owned()), "{all:?}");
    let (code, told) = json(&folder, &["policy", "suggest", "--catalog", "tracker"]);
    assert_eq!((code, &told["actions"], &told["calls"]), (0, &12.into(), &13.into()), "{told:#}");
    let draft = told["draft"].as_str().unwrap();
    assert!(draft.contains("[actions.\"repos.octo.hello.issues.get\"]"), "{draft}");

    fs::write(folder.join("mine.toml"), "# mine").unwrap();
    let (code, told) = suggest(&["--write", "mine.toml"]);
    assert!(code == 2 && told.contains("`mine.toml` is there already; nothing was written"), "{told}");
    assert_eq!(fs::read_to_string(folder.join("mine.toml")).unwrap(), "# mine");
    let (code, told) = json(&folder, &["policy", "suggest", "--catalog", "tracker", "--write", "new.toml"]);
    assert_eq!((code, &told["written"]), (0, &"new.toml".into()), "{told:#}");
    assert_eq!(suggest(&["--agent", "nobody"]).0, 2);
    assert_eq!(suggest(&["--since", "2999-01-01T00:00:00Z"]).0, 2);
    let (code, told) = run(&folder, &["policy", "suggest", "--catalog", "nothing"]);
    assert!(code == 2 && told.contains("there is no tool `nothing`; there are `tracker`"), "{told}");
    let (code, told) = run(&folder, &["policy", "suggest", "--write", "x.toml"]);
    assert!(code == 2 && told.contains("--catalog"), "{told}");
    invariants::hold(&mut sidecar).await;
}

#[tokio::test]
async fn what_was_erased_is_in_no_draft() {
    let mut sidecar = observing("[actions]\n", "mode = \"observe\"\nintent = \"never\"").await;
    let ask = |name: &str| format!("GET /tracker/{name}/7 HTTP/1.1\r\nhost: HOST\r\nconnection: close\r\n\r\n");
    let erased = sidecar.send(&ask("secrets-of-ana")).await.call();
    sidecar.send(&ask("users")).await;
    sidecar.wait_for("ended", 2).await;
    sidecar.stop().await;
    let folder = sidecar.folder.path().to_owned();
    assert_eq!(run(&folder, &["lineage", "erase", &erased.to_string()]).0, 0);
    let (code, draft) = run(&folder, &["policy", "suggest", "--catalog", "tracker"]);
    assert_eq!(code, 0, "{draft}");
    assert!(draft.contains("# left out: calls whose private fields were erased: 1\n"), "{draft}");
    assert!(draft.contains("users/{user_id}") && !draft.contains("ana"), "{draft}");
}
