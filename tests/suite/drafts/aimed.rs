//! Where the calls of the program's catalogs are aimed: what changes something names the places where a stranger's choice does harm.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use countersign::model::{Call, CallId, Evidence, Incoming, Payload, Peer};
use countersign::understand::{Catalog, EMBEDDED, Error, ToolCatalog, aim, embedded, understand};
use http::Request;

use super::published;
use crate::suite::common::nouns;

/// What changes something and names no sink, and why not.
const AIMLESS: [(&str, &str); 25] = [
    ("slack/conversations.join", "it joins by itself, and nobody gets anything"),
    ("slack/conversations.mark", "a mark that the caller alone sees"),
    ("slack/users.set-presence", "the caller's own"),
    ("slack/reactions.add", "a sign out of a set, taken off as easily"),
    ("slack/reactions.remove", "the caller's own sign"),
    ("slack/pins.add", "a mark on what stands there already"),
    ("slack/pins.remove", "a mark on what stays there"),
    ("slack/reminders.complete", "a mark on the caller's own"),
    ("slack/dnd.set-snooze", "the caller's own rest"),
    ("slack/dnd.end-snooze", "the caller's own rest"),
    ("slack/auth.revoke", "it takes no argument but `test`: the credential itself goes"),
    ("slack/socket.open", "it takes no argument"),
    ("github/notifications.mark-read", "all of this account's, and a mark alone"),
    ("openai/images.edit", "a form, of which nothing is read"),
    ("openai/images.vary", "a form, of which nothing is read"),
    ("openai/videos.create", "a form, of which nothing is read"),
    ("openai/files.upload", "a form, of which nothing is read"),
    ("anthropic/files.upload", "a form, of which nothing is read"),
    ("anthropic/skills.create", "a form, of which nothing is read"),
    ("rest/write", "nothing is known of the tool"),
    ("rest/write.root", "nothing is known of the tool"),
    ("rest/delete", "nothing is known of the tool: after a stranger's words, each is asked about"),
    // What says only what is said: where it goes is public, or is in no argument.
    ("github/gists.create", "text: whoever has the link reads it"),
    ("openai/images.generate", "text: it goes to the provider alone"),
    ("anthropic/batches.create", "text: it goes to the provider alone"),
];

/// A place of an action where a value is looked at, with the kind that it is of.
fn sinks(entry: &toml::Value) -> Vec<(&str, &str)> {
    let all = entry.get("sinks").and_then(toml::Value::as_array).into_iter().flatten();
    all.map(|sink| (sink["at"].as_str().unwrap(), sink["kind"].as_str().unwrap())).collect()
}

fn each(mut look: impl FnMut(&str, &str, &toml::Value)) {
    for (name, text) in EMBEDDED {
        let file: toml::Table = text.parse().unwrap();
        for (action, entry) in file["actions"].as_table().unwrap() {
            look(name, action, entry);
        }
    }
}

#[test]
fn every_action_that_changes_something_says_where_it_is_aimed_or_why_it_cannot() {
    let (mut aimless, mut changing) = (BTreeSet::new(), 0);
    each(|name, action, entry| {
        let effect = entry["effect"].as_str().unwrap();
        if effect == "read" {
            return;
        }
        changing += 1;
        let sinks = sinks(entry);
        let aimed = sinks.iter().any(|(_, kind)| ["destination", "object"].contains(kind));
        // What is only written may be all text; what is sent, spent, run or deleted goes somewhere.
        if !(aimed || effect == "write" && !sinks.is_empty()) {
            aimless.insert(format!("{name}/{action}"));
        }
    });
    let excused: BTreeSet<String> = AIMLESS.iter().map(|(action, _)| (*action).to_owned()).collect();
    let unexcused: Vec<&String> = aimless.difference(&excused).collect();
    assert!(changing > 150 && unexcused.is_empty(), "{changing}; they name no sinks: {unexcused:#?}");
    let idle: Vec<&String> = excused.difference(&aimless).collect();
    assert!(idle.is_empty(), "they need no excuse: {idle:#?}");
}

#[test]
fn slack_is_read_in_both_places_where_it_takes_arguments() {
    let file: toml::Table = embedded("slack").unwrap().parse().unwrap();
    for (action, entry) in file["actions"].as_table().unwrap() {
        let sinks: BTreeMap<&str, &str> = sinks(entry).into_iter().collect();
        for (at, kind) in sinks.iter().filter(|(at, _)| at.starts_with("body:")) {
            let asked = at.replace("body:/", "query:");
            assert_eq!(sinks.get(asked.as_str()), Some(kind), "{action}: {asked}");
        }
    }
}

/// A call of Slack's as it is understood.
fn said(target: &str, kind: &str, body: &str) -> Result<Box<Call>, Error> {
    let request = Request::post(format!("/slack{target}")).header("content-type", kind);
    let request = request.body(Payload::Whole(Bytes::copy_from_slice(body.as_bytes()))).unwrap();
    let evidence = Evidence { peer: Arc::new(Peer::Remote("192.0.2.7:9".parse().unwrap())), bearer: None };
    let (id, received_at, door) = (CallId::new(nouns::at(7), [3; 10]), nouns::at(7), http::uri::Scheme::HTTP);
    let incoming = Incoming { id, received_at, task: None, evidence, door, request };
    let tool = ToolCatalog::parse(nouns::tool("slack"), embedded("slack").unwrap()).unwrap();
    let allowed = BTreeMap::from([(nouns::agent("triage"), BTreeSet::from([Arc::from("slack")]))]);
    let (caller, catalog) = (nouns::caller("triage", "token:x"), Catalog::new(vec![tool], allowed));
    let aim = aim(&incoming.request, &caller, &catalog)?;
    understand(incoming, caller, Arc::new(nouns::task("triage", 1)), aim)
}

#[test]
fn whom_slack_is_told_to_let_in_and_what_it_is_told_to_show_is_looked_at() {
    let json = "application/json";
    for (target, body, seen) in [
        ("/conversations.invite", r#"{"channel":"C1","users":"U7"}"#, &["body:/channel", "body:/users"][..]),
        ("/conversations.invite?channel=C1&users=U7", "", &["query:channel", "query:users"]),
        (
            "/conversations.inviteShared",
            r#"{"channel":"C1","emails":["m@x.example"]}"#,
            &["body:/channel", "body:/emails"],
        ),
        ("/files.completeUploadExternal", r#"{"files":[{"id":"F1"}],"channels":"C7"}"#, &["body:/channels"]),
        ("/usergroups.users.update", r#"{"usergroup":"S1","users":"U7"}"#, &["body:/usergroup", "body:/users"]),
        ("/canvases.access.set", r#"{"canvas_id":"F1","user_ids":["U7"]}"#, &["body:/canvas_id", "body:/user_ids"]),
        ("/chat.meMessage", r#"{"channel":"C7","text":"hi"}"#, &["body:/channel"]),
        (
            "/chat.postMessage",
            r#"{"channel":"C1","markdown_text":"https://x.example/a"}"#,
            &["body:/channel", "body:/markdown_text"],
        ),
        ("/chat.postMessage?channel=C7", r#"{"channel":"C1"}"#, &["body:/channel", "query:channel"]),
        (
            "/chat.postMessage",
            r#"{"channel":"C1","icon_url":"https://x.example/a"}"#,
            &["body:/channel", "body:/icon_url"],
        ),
        (
            "/chat.update",
            r#"{"channel":"C1","ts":"1.2","attachments":[{"text":"https://x.example"}]}"#,
            &["body:/attachments", "body:/channel", "body:/ts"],
        ),
        ("/chat.delete", r#"{"channel":"C1","ts":"1.2"}"#, &["body:/channel", "body:/ts"]),
        (
            "/admin.users.invite",
            r#"{"email":"m@x.example","team_id":"T1","channel_ids":"C1"}"#,
            &["body:/channel_ids", "body:/email", "body:/team_id"],
        ),
    ] {
        let call = said(target, json, body).unwrap_or_else(|error| panic!("{target}: {error}"));
        let critical: BTreeSet<&str> = call.action.critical.iter().map(|one| &*one.sink).collect();
        assert_eq!(critical, seen.iter().copied().collect(), "{target} {body}");
    }
    // What cannot be read is not sent.
    let form = "application/x-www-form-urlencoded";
    assert!(matches!(said("/conversations.invite", form, "channel=C1&users=U7"), Err(Error::TypeUnknown(_))));
    assert!(said("/reactions.add", form, "channel=C1&name=eyes").is_ok());
}

#[test]
fn githubs_sinks_are_arguments_that_github_publishes() {
    let Some(spec) = published::github() else { return };
    let file: toml::Table = embedded("github").unwrap().parse().unwrap();
    let mut bodies: BTreeMap<String, String> = BTreeMap::new();
    for (path, item) in spec["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let body = &operation["requestBody"];
            let body = body["$ref"].as_str().map_or(body, |at| spec.pointer(at.trim_start_matches('#')).unwrap());
            let body = body.to_string();
            bodies.insert(published::shape(&format!("{} {path}", method.to_uppercase())), body);
        }
    }
    for (action, entry) in file["actions"].as_table().unwrap() {
        for (at, _) in sinks(entry).iter().filter(|(at, _)| at.starts_with("body:")) {
            let name = at.trim_start_matches("body:/").split('/').next().unwrap();
            for call in published::calls(&entry["match"]) {
                let shape = published::shape(&call);
                let body = bodies.get(&shape).or_else(|| bodies.get(&format!("{shape}/{{}}")));
                let known = body.is_some_and(|body| body.contains(&format!("\"{name}\":{{")));
                assert!(known, "{action}: {call} takes no `{name}`");
            }
        }
    }
}
