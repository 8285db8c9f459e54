//! Drafts of specifications that say little, say it elsewhere, or say what no draft can hold.

use countersign::model::Label;
use countersign::understand::draft::{Draft, from_openapi};
use serde_json::{Value, json};

use super::catalog;

/// A draft of one path of a specification.
fn drafted(path: &str, item: &Value) -> Draft {
    let message = json!({ "type": "object", "properties": { "n": { "type": "integer" }, "next": { "$ref": "#/components/schemas/Message" } } });
    let page = json!({ "name": "page", "in": "query", "schema": { "type": "integer" } });
    let other = json!({ "delete": { "responses": { "204": { "description": "gone" } } } });
    let spec = json!({
        "openapi": "3.1.0",
        "paths": { path: item },
        "components": { "schemas": { "Message": message }, "parameters": { "Page": page }, "pathItems": { "Other": other } }
    });
    let draft = from_openapi(&spec.to_string()).unwrap();
    catalog("one", &draft.to_string());
    draft
}

/// The pointers that an answer of this schema is drafted to bring a stranger's words at.
fn untrusted(method: &str, schema: &Value) -> Vec<String> {
    let answers = json!({ "200": { "description": "ok", "content": { "application/json": { "schema": schema } } } });
    untrusted_in(method, &answers)
}

fn untrusted_in(method: &str, answers: &Value) -> Vec<String> {
    let draft = drafted("/things", &json!({ method: { "operationId": "things", "responses": answers } }));
    let yields = &draft.actions["things"].yields;
    yields.iter().filter(|one| one.label == Label::Untrusted).map(|one| one.at.clone()).collect()
}

#[test]
fn an_answer_that_is_not_surely_free_of_strings_is_untrusted_as_a_whole() {
    let text = json!({ "type": "string" });
    let deep = (0..9).fold(text.clone(), |inner, _| json!({ "type": "object", "properties": { "a": inner } }));
    for schema in [
        json!({}),
        json!(true),
        json!({ "type": "object" }),
        json!({ "type": "object", "properties": {} }),
        json!({ "type": "array" }),
        json!({ "oneOf": [{ "type": "array" }, { "type": "null" }] }),
        json!({ "oneOf": [{ "type": "object" }, { "type": "object", "properties": { "n": { "type": "integer" } } }] }),
        json!({ "type": "object", "additionalProperties": text }),
        json!({ "type": "object", "additionalProperties": { "type": "integer" } }),
        json!({ "type": "object", "properties": { "n": { "type": "integer" } }, "additionalProperties": true }),
        json!({ "type": "object", "patternProperties": { "^x": text } }),
        json!({ "type": "object", "properties": { "a": {} } }),
        json!({ "type": "object", "properties": { "a": { "description": "whatever" } } }),
        json!({ "properties": { "n": { "type": "integer" } } }),
        json!({ "$ref": "other.yaml#/Thing" }),
        json!({ "$ref": "#/components/schemas/Nothing" }),
        json!({ "$ref": "#/components/schemas/Message" }),
        json!({ "type": "object", "properties": { "a": { "$ref": "#/components/schemas/Nothing" } } }),
        json!({ "allOf": [{ "type": "object" }, { "$ref": "#/components/schemas/Nothing" }] }),
        json!({ "type": "object", "properties": { "n": { "type": "integer" } }, "if": {}, "then": { "properties": { "a": text } } }),
        json!({ "type": "file" }),
        json!({ "$dynamicRef": "#thing" }),
        text,
        json!({ "type": ["string", "null"] }),
        json!({ "anyOf": [{ "type": "string" }, { "type": "null" }] }),
        deep,
    ] {
        assert!(untrusted("get", &schema).contains(&String::new()), "{schema}");
        // What changes something answers, too: a search by POST.
        assert!(untrusted("post", &schema).contains(&String::new()), "{schema}");
    }
    let csv =
        json!({ "200": { "content": { "application/json": { "schema": { "type": "integer" } }, "text/csv": {} } } });
    let second = json!({ "200": { "content": { "application/json": { "schema": { "type": "integer" } } } },
        "202": { "content": { "application/json": { "schema": { "type": "string" } } } } });
    for answers in [json!({}), json!({ "200": { "$ref": "other.yaml#/Answer" } }), json!({ "204": {} }), csv, second] {
        assert_eq!(untrusted_in("get", &answers), [""], "{answers}");
    }
    let half = json!({ "200": { "content": { "application/json": { "schema": { "type": "integer" } } } }, "202": { "$ref": "other.yaml#/Answer" } });
    assert_eq!(untrusted_in("get", &half), [""]);
    assert!(untrusted_in("post", &json!({ "204": { "description": "done" } })).is_empty(), "it has no body");
}

#[test]
fn a_string_is_found_wherever_a_schema_puts_it() {
    let text = json!({ "type": "string" });
    let object = |member: Value| json!({ "type": "object", "properties": { "a": member } });
    for (schema, at) in [
        (object(text.clone()), "/a"),
        (object(json!({ "anyOf": [{ "type": "string" }, { "type": "null" }] })), "/a"),
        (object(json!({ "type": ["string", "null"] })), "/a"),
        (object(json!({ "type": "string", "format": "email" })), "/a"),
        (object(json!({ "type": "string", "format": "our-own" })), "/a"),
        (json!({ "oneOf": [{ "type": "array", "items": text }, { "type": "null" }] }), "/*"),
        (json!({ "type": "array", "prefixItems": [{ "type": "integer" }, text] }), "/*"),
        (json!({ "allOf": [object(json!({ "type": "integer" })), { "properties": { "b": text } }] }), "/b"),
        (json!({ "oneOf": [object(json!({ "type": "integer" })), object(text.clone())] }), "/a"),
    ] {
        assert_eq!(untrusted("get", &schema), [at], "{schema}");
    }
    let map = json!({ "type": "object", "additionalProperties": text });
    assert_eq!(untrusted("get", &map), ["", "/*"]);
}

#[test]
fn what_surely_holds_no_strangers_words_is_not_untrusted() {
    let count = json!({ "type": "object", "properties": { "n": { "type": "integer" } } });
    for schema in [
        json!({ "type": "integer" }),
        json!({ "type": "string", "format": "date-time" }),
        json!({ "type": "string", "enum": ["on", "off"] }),
        json!({ "anyOf": [{ "const": "on" }, { "type": "null" }] }),
        json!({ "allOf": [count, { "properties": { "b": { "type": ["boolean", "null"] } } }] }),
        json!({ "type": "object", "properties": { "n": { "type": "integer" } }, "oneOf": [{ "required": ["n"] }] }),
        json!({ "type": "object", "properties": { "n": { "type": "integer" } }, "additionalProperties": false }),
        json!({ "anyOf": [count, { "type": "null" }] }),
        json!({ "type": "array", "items": count }),
    ] {
        assert!(untrusted("get", &schema).is_empty(), "{schema}");
    }
}

#[test]
fn a_specification_that_goes_round_in_many_ways_is_drafted_at_once() {
    let round = json!({ "anyOf": vec![json!({ "$ref": "#/components/schemas/Round" }); 60] });
    let body = json!({ "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Round" } } } });
    let spec = json!({
        "openapi": "3.1.0",
        "paths": { "/round": { "get": { "operationId": "go", "requestBody": body, "responses": { "200": body } } } },
        "components": { "schemas": { "Round": round } }
    });
    let started = std::time::Instant::now();
    let draft = from_openapi(&spec.to_string()).unwrap();
    assert_eq!(draft.actions["go"].yields[0].at, "");
    assert!(started.elapsed() < std::time::Duration::from_secs(10), "{:?}", started.elapsed());
}

#[test]
fn no_operation_is_lost_without_a_word() {
    let answers = json!({ "responses": { "204": { "description": "done" } } });
    for (item, said) in [
        (json!({ "$ref": "paths.yaml#/things" }), "what /things does: `paths.yaml#/things` leads nowhere in this file"),
        (json!({ "trace": answers }), "TRACE /things: that is no method that tools are called with"),
        (json!({ "query": answers }), "QUERY /things: that is no method"),
    ] {
        let draft = drafted("/things", &item);
        assert!(draft.actions.is_empty(), "{item}");
        let [left_out] = &draft.left_out[..] else { panic!("{item}: {:?}", draft.left_out) };
        assert!(left_out.starts_with(said), "{left_out}");
        assert!(draft.to_string().contains(&format!("# left out: {said}")));
    }
    let beside = json!({ "$ref": "#/components/pathItems/Other", "summary": "s", "x-own": {}, "get": answers });
    let draft = drafted("/things", &beside);
    assert_eq!(draft.actions.len(), 2, "what stands beside a reference, and what it leads to");
    assert!(draft.left_out.is_empty(), "{:?}", draft.left_out);
}

#[test]
fn arguments_that_are_said_elsewhere_are_told_of() {
    let body = |schema: Value| json!({ "content": { "application/json": { "schema": schema } } });
    for (operation, astray) in [
        (json!({ "parameters": [{ "$ref": "common.yaml#/Id" }] }), "common.yaml#/Id"),
        (json!({ "requestBody": { "$ref": "common.yaml#/Body" } }), "common.yaml#/Body"),
        (
            json!({ "requestBody": body(json!({ "$ref": "#/components/schemas/Nothing" })) }),
            "#/components/schemas/Nothing",
        ),
        (json!({ "requestBody": body(json!({ "allOf": [{ "$ref": "common.yaml#/Part" }] })) }), "common.yaml#/Part"),
    ] {
        let draft = drafted("/things/{id}", &json!({ "put": operation }));
        let said = format!("arguments of PUT /things/{{id}}: `{astray}` leads nowhere in this file");
        assert_eq!(draft.left_out, [said]);
        // What the path holds is seen, described or not.
        let [action] = &draft.actions.values().collect::<Vec<_>>()[..] else { panic!("{draft}") };
        assert!(action.facts.contains_key("id") && action.sinks.iter().any(|sink| sink.at == "path:id"), "{draft}");
    }
}

#[test]
fn each_argument_that_is_said_elsewhere_is_told_of_by_itself() {
    let parameters = json!([{ "$ref": "common.yaml#/A" }, { "$ref": "common.yaml#/B" }]);
    let draft = drafted("/things", &json!({ "get": { "operationId": "things", "parameters": parameters } }));
    assert_eq!(draft.left_out.len(), 2, "{:?}", draft.left_out);
}

#[test]
fn numbers_truths_and_chosen_words_of_a_query_are_facts() {
    let query = |name: &str, schema: Value| json!({ "name": name, "in": "query", "schema": schema });
    let parameters = json!([
        query("page", json!({ "type": "integer" })),
        query("draft", json!({ "type": "boolean" })),
        query("sort", json!({ "type": "string", "enum": ["new", "old"] })),
        query("q", json!({ "type": "string" })),
        query("max", json!({ "type": ["integer", "null"] })),
        { "$ref": "#/components/parameters/Page" },
    ]);
    let draft = drafted("/things", &json!({ "get": { "operationId": "things", "parameters": parameters } }));
    let text = draft.to_string();
    let facts = "facts = { draft = { at = \"query:draft\", type = \"bool\" }, page = { at = \"query:page\", type = \"long\" }, \
                 sort = \"query:sort\" }   # review";
    assert!(text.contains(facts), "{text}");
}
