//! Why a request has no answer (RFC 9457).

use drover_auth::TokenError;
use drover_bus::CallError;
use hyper::StatusCode;
use serde_json::{Map, Value, json};

/// A problem, as `application/problem+json` tells it.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    pub(crate) status: StatusCode,
    /// A word that programs tell problems apart by.
    pub(crate) code: &'static str,
    pub(crate) detail: String,
    /// What else a program may want to know.
    pub(crate) more: Map<String, Value>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, code: &'static str, detail: impl ToString) -> Self {
        Self { status, code, detail: detail.to_string(), more: Map::new() }
    }

    /// The request can not be understood, or asks for what can not be.
    pub(crate) fn bad(detail: impl ToString) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", detail)
    }

    /// There is no such thing, or none that the caller may see.
    pub(crate) fn missing(what: impl ToString) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", what)
    }

    /// The token does not allow it.
    pub(crate) fn forbidden(detail: impl ToString) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", detail)
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.more.insert(name.to_owned(), value.into());
        self
    }

    /// Its body.
    pub(crate) fn to_json(&self) -> Value {
        let mut body = json!({
            "type": format!("urn:drover:problem:{}", self.code),
            "title": self.status.canonical_reason().unwrap_or("Problem"),
            "status": self.status.as_u16(),
            "code": self.code,
            "detail": self.detail,
        });
        if let Value::Object(fields) = &mut body {
            fields.extend(self.more.clone());
        }
        body
    }
}

impl From<TokenError> for Problem {
    fn from(error: TokenError) -> Self {
        let code = match error {
            TokenError::Expired(_) => "expired",
            TokenError::Revoked => "revoked",
            _ => "unauthenticated",
        };
        Self::new(StatusCode::UNAUTHORIZED, code, error)
    }
}

impl From<CallError> for Problem {
    fn from(error: CallError) -> Self {
        match error {
            CallError::BadArguments(detail) => Self::bad(detail),
            CallError::Refused(detail) => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "refused", detail),
            CallError::UnknownTool(detail) => Self::new(StatusCode::NOT_IMPLEMENTED, "not_offered", detail),
            CallError::Overloaded(_) | CallError::Deadline(_) | CallError::Unavailable(_) => {
                let detail = "the store does not answer just now; what was asked for may have been done: ask again with the \
                              same Idempotency-Key";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)
            }
        }
    }
}
