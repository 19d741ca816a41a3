//! Answers as bytes.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};
use serde::Serialize;

use crate::problem::Problem;

/// An answer, in full.
pub type Answer = Response<Full<Bytes>>;

/// An answer of JSON.
pub fn json(status: StatusCode, body: &impl Serialize) -> Answer {
    typed(status, "application/json", body)
}

pub(crate) fn typed(status: StatusCode, kind: &'static str, body: &impl Serialize) -> Answer {
    let mut answer = Response::new(Full::new(serde_json::to_vec(body).unwrap_or_default().into()));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    // What somebody may see is theirs, and old at once.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

impl From<Problem> for Answer {
    fn from(problem: Problem) -> Self {
        let mut answer = typed(problem.status, "application/problem+json", &problem.to_json());
        let headers = answer.headers_mut();
        match problem.status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            StatusCode::TOO_MANY_REQUESTS => {
                let seconds = problem.more.get("retry_after_s").and_then(serde_json::Value::as_u64);
                headers.insert(RETRY_AFTER, HeaderValue::from(seconds.unwrap_or(1)));
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        answer
    }
}
