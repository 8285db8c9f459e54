//! What names tell: of an action, what it does; of an argument, what it is.

use super::name::words;
use crate::model::Effect;
use crate::model::SinkKind;

/// First words of an action, or the last of its path, that say what it does.
const VERBS: [(Effect, &str); 4] = [
    (Effect::Delete, "delete destroy drop erase kick purge remove revoke unlink wipe"),
    (Effect::Send, "broadcast email forward invite mail notify publish reply send share tweet"),
    (Effect::Spend, "buy capture charge checkout order pay purchase refund subscribe transfer withdraw"),
    (Effect::Execute, "deploy dispatch eval evaluate exec execute invoke launch rerun restart run start trigger"),
];

/// First words of what only looks.
const READING: &str =
    "check count describe download fetch find get list lookup query read retrieve search show stats view";

/// What is made by a `POST`, where making it does more than write.
const MADE: [(Effect, &str); 3] = [
    (
        Effect::Send,
        "email emails invitation invitations invite invites mail message messages notification notifications sms",
    ),
    (
        Effect::Spend,
        "charge charges checkout intents invoice invoices order orders payment payments payout payouts purchase purchases \
         refund refunds subscription subscriptions transfer transfers",
    ),
    (
        Effect::Execute,
        "build builds command commands deployment deployments dispatches execution executions job jobs run runs script",
    ),
];

/// Words for whom or what something reaches.
const DESTINATIONS: &str = "address addresses assignee assignees audience bcc callback cc channel channels collaborator \
    conversation destination domain email emails endpoint host hostname href invitee invitees link mail member phone \
    receiver receivers recipient recipients redirect reviewer reviewers subscriber uri url urls user username users webhook";

/// Words for what is said.
const TEXTS: &str = "blocks body caption comment comments content contents description excerpt html input instructions \
    markdown message messages note notes prompt reason snippet subject summary text title";

/// Words for what is acted on, where they stand last.
const OBJECTS: &str = "account base branch bucket collection commit customer database dir directory document file filename \
    folder head id ids index key login name number object org organization owner path project ref repo repository resource \
    sha slug table tag team tree uuid workspace";

/// Words for what is not everybody's.
const PRIVATE: &str = "account audit billing contact contacts credential credentials customer customers email emails file \
    files inbox invoice invoices key keys mail password payment payments payroll personal private salary secret secrets \
    token tokens";

/// What an action does, and what tells so. `made`: whether its call makes something.
pub(super) fn effect(stated: (Effect, &str), name: &[String], made: bool) -> (Effect, String) {
    let (least, said) = stated;
    let among = |table: &[(Effect, &str)], word: &String| {
        let found = table.iter().find(|(_, words)| has(words, word));
        found.map(|(effect, _)| (*effect, word.clone()))
    };
    // `GET /order`, `get-email`: of what is read, the name of the thing is not what is done to it.
    let thing_read = least.is_read() && (name.len() < 2 || name.first().is_some_and(|first| has(READING, first)));
    let mut ends = name.first().into_iter().chain(name.last()).filter(|_| !thing_read);
    let verb = ends.find_map(|word| among(&VERBS, word));
    let thing = || name.iter().rev().find_map(|word| among(&MADE, word)).filter(|_| made);
    // What is deleted is deleted, whatever it was.
    let found = if least == Effect::Delete { None } else { verb.or_else(thing) };
    found.map_or_else(|| (least, said.to_owned()), |(effect, word)| (effect, format!("{said}, and `{word}`")))
}

/// Whether a segment of a path says that more is done than its method does.
pub(super) fn worsens(method: &str, segment: &str) -> bool {
    let stated = of_method(method);
    effect((stated, method), &words(segment), method == "POST").0 != stated
}

/// Whether a name begins or ends with a word for what is done.
pub(super) fn is_verb(name: &[String]) -> bool {
    let known = |word: &String| has(READING, word) || VERBS.iter().any(|(_, words)| has(words, word));
    name.first().into_iter().chain(name.last()).any(known)
}

/// What a GET, a POST … does at least.
pub(super) fn of_method(method: &str) -> Effect {
    match method {
        "GET" | "HEAD" | "OPTIONS" => Effect::Read,
        "DELETE" => Effect::Delete,
        _ => Effect::Write,
    }
}

/// What an argument is, by its name and the format it has.
pub(super) fn sink(name: &str, format: Option<&str>) -> Option<SinkKind> {
    if let Some("email" | "idn-email" | "uri" | "uri-reference" | "url" | "hostname" | "ipv4" | "ipv6") = format {
        return Some(SinkKind::Destination);
    }
    let words = words(name);
    let last = words.last().map_or("", String::as_str);
    let any = |list: &str| words.iter().any(|word| has(list, word));
    if last == "to" || any(DESTINATIONS) {
        Some(SinkKind::Destination)
    } else if has(OBJECTS, last) || format == Some("uuid") {
        Some(SinkKind::Object)
    } else if any(TEXTS) {
        Some(SinkKind::Text)
    } else {
        None
    }
}

/// The word, if there is one, that says that something is not everybody's.
pub(super) fn private<'a>(words: impl IntoIterator<Item = &'a String>) -> Option<&'a str> {
    words.into_iter().map(String::as_str).find(|word| has(PRIVATE, word))
}

fn has(list: &str, word: &str) -> bool {
    list.split_ascii_whitespace().any(|known| known == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_makes_an_effect_worse_and_never_better() {
        let guessed = |method: &str, name: &str| effect((of_method(method), method), &words(name), method == "POST").0;
        for (method, name, effect) in [
            ("GET", "issues.list", Effect::Read),
            ("POST", "search", Effect::Write),
            ("POST", "chat.postMessage", Effect::Send),
            ("GET", "chat.delete", Effect::Delete),
            ("GET", "listMessages", Effect::Read),
            ("GET", "get-email", Effect::Read),
            ("GET", "order", Effect::Read),
            ("PATCH", "messages.update", Effect::Write),
            ("POST", "paymentIntents", Effect::Spend),
            ("PUT", "vm.restart", Effect::Execute),
            ("DELETE", "invitations.revoke", Effect::Delete),
            ("DELETE", "runs.send", Effect::Delete),
        ] {
            assert_eq!(guessed(method, name), effect, "{method} {name}");
        }
    }

    #[test]
    fn an_argument_is_what_it_is_called() {
        for (name, kind) in [
            ("to", Some(SinkKind::Destination)),
            ("reply_to", Some(SinkKind::Destination)),
            ("webhookUrl", Some(SinkKind::Destination)),
            ("channel_id", Some(SinkKind::Destination)),
            ("message_id", Some(SinkKind::Object)),
            ("issue-number", Some(SinkKind::Object)),
            ("body", Some(SinkKind::Text)),
            ("per_page", None),
            ("total", None),
        ] {
            assert_eq!(sink(name, None), kind, "{name}");
        }
        assert_eq!(sink("x", Some("email")), Some(SinkKind::Destination));
        assert_eq!(sink("x", Some("uuid")), Some(SinkKind::Object));
    }
}
