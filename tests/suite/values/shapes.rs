//! Values where a catalog does not expect them: in another shape, under another key, beside another value.

use serde_json::{Value, json};

use super::{AGENT, STRICT, asked_to, call, send, started};
use crate::suite::common::invariants;

#[tokio::test]
async fn what_has_another_shape_than_the_catalog_says_is_looked_at_all_the_same() {
    let (mut sidecar, _raw) = started(STRICT, AGENT, "").await;
    let task = asked_to(&sidecar, "Send report.txt to Ana <ana@corp.example>").await;
    for sent in [
        json!({ "to": "ana@corp.example", "parts": [{ "file": "report.txt" }] }),
        json!({ "to": ["ana@corp.example"], "parts": ["report.txt"] }),
        json!({ "to": { "name": "ana@corp.example" }, "parts": { "file": "report.txt" } }),
        json!([{ "to": "ana@corp.example" }]),
    ] {
        assert_eq!(send(&sidecar, &task, &sent).await.status, 200, "{sent}");
    }
    for sent in [
        json!({ "parts": ["salaries.txt"] }),
        json!({ "parts": "salaries.txt" }),
        json!({ "parts": { "file": "salaries.txt" } }),
        json!({ "parts": [["salaries.txt"]] }),
        json!({ "parts": [{ "file": { "id": "salaries.txt" } }] }),
        json!({ "to": { "mallory@evil.example": "ana@corp.example" } }),
        json!({ "to": [["mallory@evil.example"]] }),
        json!([{ "to": "mallory@evil.example" }]),
        json!("mallory@evil.example"),
    ] {
        assert_eq!(send(&sidecar, &task, &sent).await.status, 428, "{sent}");
    }
    let answer = send(&sidecar, &task, &json!({ "to": null, "parts": vec![Value::Null; 5_000] })).await;
    assert_eq!(answer.code(), (400, "request_unclear".to_owned()), "{answer:?}");
    assert!(answer.json()["detail"].as_str().unwrap().contains("more than can be judged"), "{answer:?}");
    invariants::hold(&mut sidecar).await;
}

#[tokio::test]
async fn a_query_key_that_some_server_takes_for_a_sinks_is_refused() {
    let (mut sidecar, _raw) = started(STRICT, AGENT, "").await;
    let task = asked_to(&sidecar, "Look at https://example.org/").await;
    let page = async |query: &str| call(&sidecar, &task, &format!("GET /tracker/page?{query}"), &Value::Null).await;
    assert_eq!(page("url=https://example.org/&other=1").await.status, 200);
    assert_eq!(page("url=https://evil.example/").await.status, 428);
    let task = asked_to(&sidecar, "Look at https://example.org/").await;
    let page = async |query: &str| call(&sidecar, &task, &format!("GET /tracker/page?{query}"), &Value::Null).await;
    for query in ["URL=https://evil.example/", "url[]=https://evil.example/", "url=https://example.org/&%20Url=x"] {
        let answer = page(query).await;
        assert_eq!(answer.code(), (400, "request_unclear".to_owned()), "{query}: {answer:?}");
        assert!(answer.json()["detail"].as_str().unwrap().contains("write `url` in the query"), "{answer:?}");
    }
    invariants::hold(&mut sidecar).await;
}
