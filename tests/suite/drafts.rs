//! Catalogs that are drafted from what a tool says of itself, and those that come with the program.

mod aimed;
mod described;
mod observed;
mod published;

use std::sync::Arc;
use std::time::Duration;

use countersign::model::{Effect, Tool};
use countersign::understand::draft::{Draft, Listed, Permission, from_openapi, from_tools};
use countersign::understand::{EMBEDDED, ToolCatalog, embedded};
use http::Method;

use super::common::checkout::checkout;

fn tool(name: &str) -> Arc<Tool> {
    Arc::new(Tool {
        name: name.into(),
        scheme: http::uri::Scheme::HTTPS,
        authority: http::uri::Authority::from_static("t.example"),
        base_path: String::new(),
        networks: Vec::new(),
        issuer: "i".into(),
        max_call: Duration::from_secs(1),
        max_body: 1,
        request_headers: Vec::new(),
        answer_headers: Vec::new(),
    })
}

/// The catalog that a text is; the test ends where it is none.
pub fn catalog(name: &str, text: &str) -> ToolCatalog {
    ToolCatalog::parse(tool(name), text).unwrap_or_else(|error| panic!("{name}: {error}\n{text}"))
}

fn effect(catalog: &ToolCatalog, method: Method, path: &str) -> Option<(String, Effect)> {
    catalog.find(&method, path).map(|found| (found.spec.name.to_string(), found.spec.effect))
}

const MAIL: &str = r"
openapi: 3.1.0
info: { title: Mail, version: '1' }
servers:
  - url: https://{region}.mail.example/v2/
    variables: { region: { default: eu } }
paths:
  /folders/{folder}/messages:
    parameters:
      - { name: folder, in: path, required: true, schema: { type: string } }
    get:
      operationId: listMessages
      tags: [Messages]
      summary: What lies in a folder
      parameters:
        - { $ref: '#/components/parameters/page' }
        - { name: unread, in: query, schema: { type: boolean } }
      responses:
        '200':
          content:
            application/json:
              schema: { type: array, items: { $ref: '#/components/schemas/Message' } }
    post:
      operationId: createMessage
      tags: [Messages]
      requestBody:
        content: { application/json: { schema: { $ref: '#/components/schemas/Message' } } }
      responses: { '201': { description: sent } }
  /folders/{folder}/messages/{id}:
    delete:
      operationId: messages/delete
      parameters:
        - { name: folder, in: path, required: true, schema: { type: string } }
        - { name: id, in: path, required: true, schema: { type: integer } }
      responses: { '204': { description: gone } }
  /attachments/{path}:
    get:
      parameters:
        - { name: path, in: path, required: true, x-multi-segment: true, schema: { type: string } }
      responses: { '200': { content: { application/octet-stream: {} } } }
  /attachments/{id}/info:
    get:
      responses: { '200': { content: { application/json: { schema: { type: object, properties: { size: { type: integer } } } } } } }
  /files/{name}.json:
    get: { responses: { '200': { description: ok } } }
components:
  parameters:
    page: { name: page, in: query, schema: { type: integer } }
  schemas:
    Message:
      type: object
      required: [to, subject]
      properties:
        to: { type: string, format: email }
        subject: { type: string }
        body: { type: string }
        priority: { type: string, enum: [low, high] }
        thread: { anyOf: [{ $ref: '#/components/schemas/Message' }, { type: 'null' }] }
";

fn mail() -> Draft {
    from_openapi(MAIL).unwrap()
}

#[test]
fn a_specification_becomes_a_catalog_that_loads_and_is_marked_for_review() {
    let draft = mail();
    assert_eq!(draft.upstream.as_deref(), Some("https://eu.mail.example/v2"));
    let text = draft.to_string();
    let catalog = catalog("mail", &text);
    assert_eq!(
        effect(&catalog, Method::GET, "/folders/in/messages"),
        Some(("mail/messages.list".to_owned(), Effect::Read))
    );
    let sent = effect(&catalog, Method::POST, "/folders/out/messages");
    assert_eq!(sent, Some(("mail/messages.create".to_owned(), Effect::Send)), "{text}");
    let deleted = effect(&catalog, Method::DELETE, "/folders/in/messages/7");
    assert_eq!(deleted, Some(("mail/messages.delete".to_owned(), Effect::Delete)));
    for guess in [
        "effect = \"send\"   # review: POST, and `messages`",
        "{ at = \"body:/to\", kind = \"destination\" },   # review",
        "{ at = \"body:/body\", kind = \"text\" },   # review",
        "priority = \"body:/priority\"",
        "{ at = \"path:id\", type = \"long\" }",
        "{ at = \"/*/subject\", label = \"untrusted\" },   # review",
        "# What lies in a folder",
    ] {
        assert!(text.contains(guess), "{guess} is not in\n{text}");
    }
    let guesses = text.lines().filter(|line| line.starts_with("effect") || line.starts_with("resource"));
    assert!(guesses.clone().count() > 6 && guesses.into_iter().all(|line| line.contains("# review")), "{text}");
}

#[test]
fn a_rest_of_a_path_is_one_where_nothing_stands_in_its_way() {
    let draft = mail();
    let catalog = catalog("mail", &draft.to_string());
    assert!(catalog.find(&Method::GET, "/attachments/7/info").unwrap().spec.name.ends_with("info.list"));
    assert!(catalog.find(&Method::GET, "/attachments/a").is_some());
    assert!(
        catalog.find(&Method::GET, "/attachments/a/b/c").is_none(),
        "one segment: the other path stands in its way"
    );
    let alone = MAIL.replace("/attachments/{id}/info", "/sizes/{id}");
    let catalog = self::catalog("mail", &from_openapi(&alone).unwrap().to_string());
    assert!(catalog.find(&Method::GET, "/attachments/a/b/c").is_some());
}

#[test]
fn what_a_catalog_cannot_say_is_left_out_with_the_reason() {
    let draft = mail();
    let [left_out] = &draft.left_out[..] else { panic!("{:?}", draft.left_out) };
    assert!(left_out.starts_with("GET /files/{name}.json: `{name}.json` is a part of a segment"), "{left_out}");
    assert!(draft.to_string().contains("# left out: GET /files/{name}.json: `{name}.json` is a part of a segment"));
}

#[test]
fn json_and_yaml_and_the_older_swagger_say_the_same() {
    let older = r##"{
        "swagger": "2.0", "host": "mail.example", "basePath": "/v1", "consumes": ["application/json"],
        "paths": { "/send": { "post": {
            "operationId": "sendMail",
            "parameters": [{ "in": "body", "name": "mail", "schema": { "$ref": "#/definitions/Mail" } }],
            "responses": { "200": { "schema": { "$ref": "#/definitions/Mail" } } } } } },
        "definitions": { "Mail": { "type": "object", "required": ["recipient"], "properties": {
            "recipient": { "type": "string" }, "text": { "type": "string" } } } }
    }"##;
    let draft = from_openapi(older).unwrap();
    assert_eq!(draft.upstream.as_deref(), Some("https://mail.example/v1"));
    let sent = &draft.actions["send-mail"];
    assert_eq!((sent.effect, sent.resource.as_str()), (Effect::Send, "send/{body:/recipient}"));
    catalog("mail", &draft.to_string());
    for text in ["[]", "{}", "{\"openapi\": \"3.0.0\"}", "{", "a: b: c", "paths: {}"] {
        assert!(from_openapi(text).is_err(), "{text}");
    }
}

#[test]
fn what_a_specification_says_ends_no_line_and_begins_no_table() {
    let evil = "{\"openapi\": \"3.0.0\", \"paths\": { \"/x\": { \"get\": { \"operationId\": \"a\\\"]\\n[actions.b\", \
                \"summary\": \"\\n\\u001b[31mred\\r[actions.c]\", \"parameters\": [{ \"in\": \"query\", \"name\": \"url\\n\\\"\\u007f\" }] } } } }";
    let draft = from_openapi(evil).unwrap();
    let text = draft.to_string();
    assert_eq!(catalog("evil", &text).actions.len(), 1, "{text}");
    assert!(!text.contains(['\u{1b}', '\r', '\u{7f}']), "{text}");
}

#[test]
fn a_list_of_tools_is_drafted_by_the_same_guesses() {
    let listed = |name: &str, permission, arguments: &[&str]| Listed {
        name: name.to_owned(),
        permission,
        arguments: arguments.iter().map(|name| (*name).to_owned()).collect(),
        about: String::new(),
    };
    let draft = from_tools(&[
        listed("send_email", Permission::Write, &["recipient", "body", "attachments_count"]),
        listed("search_contacts", Permission::Read, &["query"]),
        listed("delete_file", Permission::Read, &["file_id"]),
        listed("python", Permission::Execute, &["code"]),
    ]);
    let effects: Vec<(&str, Effect)> =
        draft.actions.iter().map(|(name, action)| (name.as_str(), action.effect)).collect();
    assert_eq!(
        effects,
        [
            ("delete-file", Effect::Delete),
            ("python", Effect::Execute),
            ("search-contacts", Effect::Read),
            ("send-email", Effect::Send)
        ]
    );
    let text = draft.to_string();
    assert!(text.contains("mcp = \"send_email\""), "{text}");
    assert!(text.contains("{ at = \"body:/params/arguments/recipient\", kind = \"destination\" }"), "{text}");
    assert!(text.contains("label = \"private\" },   # review: `contacts`"), "{text}");
    text.parse::<toml::Table>().unwrap();
}

#[test]
fn every_catalog_of_the_program_loads_and_no_effect_is_milder_than_its_method() {
    for (name, text) in EMBEDDED {
        let catalog = catalog(name, text);
        let row = format!("| `{name}` |");
        let page = std::fs::read_to_string(checkout("docs/catalogs.md")).unwrap();
        let row = page.lines().find(|line| line.starts_with(&row)).unwrap_or_else(|| panic!("{name} is on no page"));
        assert!(row.contains(&format!("| {} actions", catalog.actions.len())), "{row}: {}", catalog.actions.len());
        let file: toml::Table = text.parse().unwrap();
        for (action, entry) in file["actions"].as_table().unwrap() {
            let calls = published::calls(&entry["match"]);
            let effect = entry["effect"].as_str().unwrap();
            let deletes = calls.iter().any(|call| call.starts_with("DELETE "));
            // Taking a label off, or unlocking, is undone as easily as it is done.
            let undone = ["lock", "labels", "assignees", "requested_reviewers"];
            let mild = calls.iter().any(|call| call.split('/').any(|segment| undone.contains(&segment)));
            assert!(!deletes || effect == "delete" || mild && effect == "write", "{name}/{action}");
            let reads = calls.iter().all(|call| call.starts_with("GET "));
            assert!(!reads || effect == "read", "{name}/{action}: a GET that is no read");
        }
    }
    assert!(embedded("github").is_some() && embedded("gitlab").is_none());
}
