//! Drafts from calls that were seen: what they know again, and what whoever made the calls can do to them.

use countersign::model::Effect;
use countersign::understand::ToolCatalog;
use countersign::understand::draft::{Draft, Seen, from_observed};
use http::Method;
use proptest::prelude::*;

use super::{catalog, effect};

fn seen(line: &str) -> Seen {
    let (method, target) = line.split_once(' ').unwrap();
    Seen { method: method.to_owned(), target: target.to_owned(), count: 1 }
}

fn from(lines: &[&str]) -> (Draft, ToolCatalog) {
    let draft = from_observed(lines.iter().map(|line| seen(line)));
    let read = catalog("seen", &draft.to_string());
    (draft, read)
}

/// What a call of these would be.
fn of(read: &ToolCatalog, line: &str) -> Option<(String, Effect)> {
    let Seen { method, target, .. } = seen(line);
    let path = target.split('?').next().unwrap();
    effect(read, Method::from_bytes(method.as_bytes()).unwrap(), path)
}

fn named(read: &ToolCatalog, line: &str) -> String {
    of(read, line).map_or_else(|| "unknown".to_owned(), |(name, _)| name)
}

#[test]
fn what_looks_like_an_id_becomes_a_parameter_and_what_does_not_stays() {
    let (draft, read) = from(&[
        "GET /users/7",
        "GET /users/12?expand=teams",
        "GET /users/me",
        "GET /users/7/orders/01a20207-0594-7501-96c0-5d9ac99fc477",
        "POST /users/7/orders",
        "DELETE /users/7/orders/01a20207-0594-7501-96c0-5d9ac99fc477",
        "GET /rest/api/2/issue/PROJ-123",
        "GET /",
    ]);
    for (line, name, effect) in [
        ("GET /users/99", "seen/users.get", Effect::Read),
        ("GET /users/me", "seen/users.me.list", Effect::Read),
        ("GET /users/3/orders/4", "seen/users.orders.get", Effect::Read),
        ("POST /users/3/orders", "seen/users.orders.create", Effect::Spend),
        ("DELETE /users/3/orders/4", "seen/users.orders.delete", Effect::Delete),
        ("GET /rest/api/2/issue/A-1", "seen/rest.api.2.issue.get", Effect::Read),
        ("GET /", "seen/list", Effect::Read),
    ] {
        assert_eq!(of(&read, line), Some((name.to_owned(), effect)), "{line} in\n{draft}");
    }
    for unseen in ["GET /users", "GET /teams/7", "DELETE /users/7", "GET /rest/api/3/issue/A-1"] {
        assert_eq!(of(&read, unseen), None, "{unseen} in\n{draft}");
    }
    let text = draft.to_string();
    for line in [
        "# 2 calls\n[actions.\"users.get\"]\nmatch = \"GET /users/{user_id}\"\n",
        "resource = \"users/{user_id}/orders/{order_id}\"   # review\n",
        "facts = { order_id = \"path:order_id\", user_id = \"path:user_id\" }   # review\n",
        "effect = \"spend\"   # review: POST, and `orders`\n",
        "    { at = \"\", label = \"untrusted\" },   # review: nothing is said of the answer\n",
        "# left out: what bodies hold: no record keeps it, so no `body:` is among facts and sinks\n",
    ] {
        assert!(text.contains(line), "no `{line}` in\n{text}");
    }
    // What a write names is a sink; what only looks goes nowhere by its path.
    assert_eq!(draft.actions["users.orders.delete"].sinks.len(), 2, "{text}");
    assert!(draft.actions["users.get"].sinks.is_empty(), "{text}");
}

#[test]
fn many_names_in_one_place_are_values_but_for_what_says_what_is_done() {
    let many = |method: &str, before: &str, behind: &str, count: usize| -> Vec<String> {
        let word = |n: usize| char::from(b'a' + u8::try_from(n % 26).unwrap()).to_string().repeat(n / 26 + 2);
        (0..count).map(|n| format!("{method} {before}/{}{behind}", word(n))).collect()
    };
    let with = |more: &[&str], mut lines: Vec<String>| {
        lines.extend(more.iter().map(|line| (*line).to_owned()));
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        from(&lines)
    };
    let (draft, read) = with(&["POST /teams/search", "POST /teams/payments"], many("POST", "/teams", "", 9));
    assert_eq!(of(&read, "POST /teams/unheard-of"), Some(("seen/teams.create".to_owned(), Effect::Write)), "{draft}");
    // Neither hides among them.
    assert_eq!(named(&read, "POST /teams/search"), "seen/teams.search.create", "{draft}");
    assert_eq!(of(&read, "POST /teams/payments"), Some(("seen/teams.payments.create".to_owned(), Effect::Spend)));
    assert_eq!(of(&read, "DELETE /teams/aa"), None, "nobody deleted any:\n{draft}");
    let (draft, read) = with(&[], many("GET", "/teams", "/members/7", 8));
    assert_eq!((draft.actions.len(), of(&read, "GET /teams/unheard-of/members/7")), (8, None), "{draft}");
    let (draft, read) = with(&[], many("GET", "/teams", "/members/7", 9));
    assert_eq!(named(&read, "GET /teams/unheard-of/members/9"), "seen/teams.members.get", "{draft}");
    // Where an API begins, it names what it has.
    let (draft, read) = with(&[], many("GET", "/v2/api", "", 32));
    assert_eq!((draft.actions.len(), of(&read, "GET /v2/api/unheard-of")), (32, None), "{draft}");
}

#[test]
fn a_guess_from_a_call_is_never_better_than_its_method() {
    let (draft, _) = from(&[
        "POST /search",
        "POST /items/7/get",
        "PUT /list/9",
        "DELETE /items/7/read",
        "PATCH /show",
        "GET /items/7/delete-all",
        "POST /documents/12:cancel",
        "POST /messages",
    ]);
    let effects: Vec<(&str, Effect)> =
        draft.actions.iter().map(|(name, drafted)| (name.as_str(), drafted.effect)).collect();
    assert_eq!(
        effects,
        [
            ("documents.12-cancel.create", Effect::Write),
            ("items.delete-all.list", Effect::Delete),
            ("items.get.create", Effect::Write),
            ("items.read.delete", Effect::Delete),
            ("list.replace", Effect::Write),
            ("messages.create", Effect::Send),
            ("search.create", Effect::Write),
            ("show.update", Effect::Write),
        ],
        "{draft}"
    );
}

#[test]
fn fields_of_a_query_are_read_only_where_they_never_had_two_readings() {
    let (draft, _) = from(
        &[
            "POST /send?channel=C1&text=hi",
            "POST /send?channel=C2",
            "GET /export?email=a%40b&user=1",
            "GET /export?email=a&user=2&user=3",
            "GET /export?email=c&url=a+b",
            "GET /export?a%22%0A%5B=1&user%5D%20=x",
        ]
        .map(|line| line.replace("%0A", "%20"))
        .each_ref()
        .map(String::as_str),
    );
    let places = |name: &str| draft.actions[name].facts.values().map(|fact| fact.at.clone()).collect::<Vec<_>>();
    let sinks = |name: &str| draft.actions[name].sinks.iter().map(|sink| sink.at.clone()).collect::<Vec<_>>();
    assert_eq!(places("send.create"), ["query:channel"], "{draft}");
    assert_eq!(sinks("send.create"), ["query:channel", "query:text"], "{draft}");
    assert_eq!(
        (places("export.list"), sinks("export.list")),
        (vec!["query:email".to_owned()], vec!["query:email".to_owned()])
    );
}

#[test]
fn what_cannot_be_told_apart_or_read_is_counted_and_the_rest_is_bounded() {
    let deep = format!("GET /{}", ["x"; 17].join("/"));
    let (draft, _) = from(&["GET /a/../b", "TRACE /a", "GET no", "GET /a\"b", "GET /a\nb", "GET /ok", &deep]);
    assert_eq!((draft.actions.len(), draft.left_out.len()), (1, 2), "{draft}");
    assert_eq!(
        draft.left_out,
        ["calls that no catalog could match: 5", "calls whose paths are too many, or too long, to be told apart: 1"]
    );
    // Whoever makes up paths gets a draft that ends; those that were called most are in it.
    let mut flood: Vec<Seen> = (0..30_000_u32)
        .map(|n| {
            let letters = n.to_string().bytes().map(|digit| char::from(digit + 49)).collect::<String>();
            seen(&format!("GET /c{}/{letters}/run/{}", n % 20, "y".repeat(60)))
        })
        .collect();
    flood.insert(0, Seen { count: 50, ..seen("DELETE /of/use") });
    let draft = from_observed(flood);
    let text = draft.to_string();
    let left_out = draft.left_out.join("\n");
    assert!(draft.actions.len() <= 300 && text.len() < 300_000, "{} {}", draft.actions.len(), text.len());
    assert!(draft.actions.contains_key("of.use.delete") && left_out.contains("too many"), "{left_out}");
    catalog("flood", &text);
    let words = ["ab", "bc", "cd", "de", "ef", "fg", "gh", "hi"];
    let names = (0..400_usize).map(|n| seen(&format!("GET /t{}/{}/{}/run", n / 64, words[n / 8 % 8], words[n % 8])));
    let draft = from_observed(names.chain([Seen { count: 2, ..seen("GET /zz/zz/run") }]));
    assert_eq!((draft.actions.len(), draft.actions.contains_key("zz.zz.run.list")), (300, true));
    assert_eq!(draft.left_out, ["calls of further actions; the 300 that were called most are here: 101"]);
}

/// Targets of a few words, so that they meet; and some of any bytes at all.
fn targets() -> impl Strategy<Value = Vec<(usize, String)>> {
    let segment = prop_oneof![
        4 => prop::sample::select(vec!["a", "b", "users", "v1", "7", "12", "delete", "search", "x%20y", "8d581470", "p:run", "", "q"]).prop_map(str::to_owned),
        1 => "[-a-z0-9._~$'()*+,=:@{}\"\\n%]{1,6}",
    ];
    let target = prop::collection::vec(segment, 1..5).prop_map(|segments| format!("/{}", segments.join("/")));
    prop::collection::vec((0_usize..7, target), 1..60)
}

const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_was_called_the_draft_is_a_catalog_that_knows_it_again(calls in targets()) {
        let lines: Vec<Seen> = calls.iter().map(|(method, target)| seen(&format!("{} {target}", METHODS[*method]))).collect();
        let draft = from_observed(lines.clone());
        let text = draft.to_string();
        if draft.actions.is_empty() {
            return Ok(());
        }
        let read = catalog("any", &text);
        prop_assert!(text.chars().all(|letter| letter == '\n' || letter == ' ' || letter.is_ascii_graphic()), "{}", text);
        let left_out = draft.left_out.iter().any(|why| why.contains("no catalog could match"));
        let unknown = lines.iter().filter(|Seen { method, target, .. }| {
            effect(&read, Method::from_bytes(method.as_bytes()).unwrap(), target).is_none()
        });
        prop_assert!(unknown.count() == 0 || left_out, "{}", text);
    }
}
