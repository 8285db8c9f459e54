//! The demo's agent: it does what its task says and, like any model, what it last read.

use bytes::Bytes;
use http::{Method, Request, Response};
use serde_json::{Value, json};

use super::client;

/// An agent without a key. It knows the door, and what its framework tells it.
pub(super) struct Agent {
    pub(super) door: String,
    task: String,
}

/// A call it made, and what came back.
pub(super) struct Made {
    /// The call's id, from the answer.
    pub(super) call: String,
    /// The status.
    pub(super) status: u16,
    /// The body.
    pub(super) body: Value,
}

impl Agent {
    /// The framework opens a task for it, with its own token and before the agent reads anything.
    pub(super) async fn with_task(door: String, framework: &str, task: &Value) -> Result<Self, String> {
        let request = Request::post(format!("{door}/-/tasks")).header("authorization", format!("Bearer {framework}"));
        let answer =
            client::send(request.body(Bytes::from(task.to_string())).map_err(|error| error.to_string())?).await?;
        let opened: Value = serde_json::from_slice(answer.body()).map_err(|error| error.to_string())?;
        let token =
            opened.get("token").and_then(Value::as_str).ok_or_else(|| format!("no task was opened: {opened}"))?;
        Ok(Self { door, task: token.to_owned() })
    }

    /// Reads.
    pub(super) async fn get(&self, path: &str) -> Result<Made, String> {
        self.call(Method::GET, path, "", Value::Null).await
    }

    /// Changes something, and says what for.
    pub(super) async fn post(&self, path: &str, intent: &str, body: Value) -> Result<Made, String> {
        self.call(Method::POST, path, intent, body).await
    }

    async fn call(&self, method: Method, path: &str, intent: &str, body: Value) -> Result<Made, String> {
        let mut request =
            Request::builder().method(method).uri(format!("{}{path}", self.door)).header("agent-task", &self.task);
        if !intent.is_empty() {
            request = request.header("agent-intent", intent);
        }
        let body = match body {
            Value::Null => Bytes::new(),
            body => {
                request = request.header("content-type", "application/json");
                Bytes::from(body.to_string())
            }
        };
        let answer = client::send(request.body(body).map_err(|error| error.to_string())?).await?;
        Ok(Made::of(&answer))
    }
}

impl Made {
    fn of(answer: &Response<Bytes>) -> Self {
        let call =
            answer.headers().get("countersign-call").and_then(|id| id.to_str().ok()).unwrap_or_default().to_owned();
        let body = serde_json::from_slice(answer.body()).unwrap_or(Value::Null);
        Self { call, status: answer.status().as_u16(), body }
    }

    /// Text in the answer.
    pub(super) fn text(&self, name: &str) -> &str {
        self.body.get(name).and_then(Value::as_str).unwrap_or_default()
    }
}

/// The task both acts open: answer an issue, and nothing else.
pub(super) fn task(issue: u32) -> Value {
    json!({
        "goal": format!("answer issue {issue}"),
        "on_behalf_of": "ana@example.com",
        "actions": [
            { "action": "tracker/issues.get", "resource": "octo/hello" },
            { "action": "tracker/comments.create", "resource": "octo/hello", "max": 1 },
        ],
    })
}
