//! The pages that a refusal's `type` points at.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use maud::{DOCTYPE, html};

use crate::model::Code;

/// The page about one code; 404 if there is no such code.
pub fn problem(name: &str) -> Response<Full<Bytes>> {
    let known = Code::from_name(name);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width";
                title { "Countersign: " (known.map_or("no such code", Code::title)) }
                style { "body{font:16px/1.5 system-ui,sans-serif;max-width:42rem;margin:3rem auto;padding:0 1rem;color:#1b1b1b;background:#fff}code{background:#f2f2f2;padding:.1em .3em}" }
            }
            body {
                @match known {
                    Some(code) => {
                        h1 { (code.title()) }
                        p { code { (code.name()) } ", HTTP status " (code.status()) ", decision " code { (code.decision().name()) } }
                        p { (code.help()) }
                    }
                    None => {
                        h1 { "There is no such code" }
                        ul { @for code in Code::ALL { li { a href=(code.name()) { (code.name()) } ": " (code.title()) } } }
                    }
                }
            }
        }
    };
    let mut answer = Response::new(Full::new(Bytes::from(page.into_string())));
    *answer.status_mut() = if known.is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND };
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    answer
}
