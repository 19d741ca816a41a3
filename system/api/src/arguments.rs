//! What a request says: its query, its body, its headers.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use drover_model::{CommandId, WallTime};
use hyper::header::HeaderMap;
use ring::digest::{SHA256, digest};
use serde::de::DeserializeOwned;

use crate::problem::Problem;

/// Entries of a list unless the caller says otherwise.
const LIMIT_DEFAULT: usize = 100;
/// Most that a caller may ask for.
const LIMIT_MAX: usize = 1_000;

/// The parameters of a query, each once.
pub(crate) struct Query(BTreeMap<String, String>);

impl Query {
    /// Of the text behind the question mark.
    pub(crate) fn of(text: Option<&str>, known: &[&str]) -> Result<Self, Problem> {
        let mut all = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(text.unwrap_or_default().as_bytes()) {
            if !known.contains(&name.as_ref()) {
                let there_are = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                return Err(Problem::bad(format!("unknown parameter {name:?}: there are {there_are}")));
            }
            if value.contains('\0') {
                return Err(Problem::bad(format!("parameter {name}: no text has a character 0")));
            }
            if all.insert(name.clone().into_owned(), value.into_owned()).is_some() {
                return Err(Problem::bad(format!("parameter {name} is given twice")));
            }
        }
        Ok(Self(all))
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub(crate) fn get<T: FromStr<Err: Display>>(&self, name: &str) -> Result<Option<T>, Problem> {
        self.text(name).map(|text| parsed(name, text)).transpose()
    }

    pub(crate) fn need<T: FromStr<Err: Display>>(&self, name: &str) -> Result<T, Problem> {
        self.get(name)?.ok_or_else(|| Problem::bad(format!("parameter {name} is missing")))
    }

    /// How many entries are wanted.
    pub(crate) fn limit(&self) -> Result<usize, Problem> {
        let limit: usize = self.get("limit")?.unwrap_or(LIMIT_DEFAULT);
        if (1..=LIMIT_MAX).contains(&limit) {
            Ok(limit)
        } else {
            Err(Problem::bad(format!("limit of {limit}: it is 1 to {LIMIT_MAX}")))
        }
    }

    /// The entry that a page begins after, as [`cursor`] wrote it: its time in microseconds, and its identity.
    pub(crate) fn place<T: FromStr>(&self) -> Result<Option<(u64, T)>, Problem> {
        let Some(text) = self.text("cursor") else { return Ok(None) };
        let place = text.split_once('.').and_then(|(at, id)| Some((at.parse().ok()?, id.parse().ok()?)));
        let wrong = || Problem::bad(format!("cursor of {text:?}: it is the next of the page before"));
        Ok(Some(place.ok_or_else(wrong)?))
    }

    /// From when to before when.
    pub(crate) fn span(&self) -> Result<(u64, u64), Problem> {
        let (from, until) = (self.need::<WallTime>("from")?, self.need::<WallTime>("until")?);
        if from >= until {
            return Err(Problem::bad(format!("the span ends at {until}, not after {from}, where it begins")));
        }
        Ok((micros("from", from)?, micros("until", until)?))
    }
}

/// The place behind an entry of a list that goes by time.
pub(crate) fn cursor(at_us: Option<u64>, id: Option<&str>) -> Option<String> {
    Some(format!("{}.{}", at_us?, id?))
}

pub(crate) fn parsed<T: FromStr<Err: Display>>(name: &str, text: &str) -> Result<T, Problem> {
    text.parse().map_err(|error: T::Err| Problem::bad(format!("{name}: {error}")))
}

pub(crate) fn micros(name: &str, time: WallTime) -> Result<u64, Problem> {
    u64::try_from(time.as_micros()).map_err(|_| Problem::bad(format!("{name}: {time} is before 1970")))
}

/// A body of JSON.
pub(crate) fn body<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(bytes).map_err(|error| Problem::bad(format!("the body: {error}")))
}

/// The identity of a change: `Idempotency-Key`, a UUID that the caller makes up, and says again with a repeat.
pub(crate) fn idempotency_key(headers: &HeaderMap) -> Result<CommandId, Problem> {
    let key = headers.get("idempotency-key").and_then(|value| value.to_str().ok()).ok_or_else(|| {
        Problem::bad("a change needs the header Idempotency-Key with a UUID; the same again with a repeat")
    })?;
    parsed("Idempotency-Key", key.trim().trim_matches('"'))
}

/// An identity that follows from a name, as bits of a UUID: whoever gives the same name means the same thing.
pub fn named_by(name: &[u8]) -> u128 {
    let mut bits = [0; 16];
    bits.copy_from_slice(&digest(&SHA256, name).as_ref()[..16]);
    // A UUID of version 8, "for experimental or vendor-specific use cases" (RFC 9562, section 5.8).
    let bits = u128::from_be_bytes(bits);
    bits & !(0xF << 76 | 0xC << 60) | 0x8 << 76 | 0x8 << 60
}

/// When a change happened, if its sender could not say so at once: `Happened-At`, RFC 3339.
pub(crate) fn happened_at(headers: &HeaderMap) -> Result<Option<WallTime>, Problem> {
    let text = headers.get("happened-at").and_then(|value| value.to_str().ok());
    text.map(|text| parsed("Happened-At", text.trim())).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_query_is_named() {
        let said =
            |text, known: &[&str]| Query::of(Some(text), known).map(|_| ()).map_err(|problem| problem.detail);
        assert_eq!(said("limit=5", &["limit"]), Ok(()));
        assert_eq!(said("limit=5&limit=6", &["limit"]), Err("parameter limit is given twice".to_owned()));
        assert_eq!(said("x=1", &["a", "b"]), Err("unknown parameter \"x\": there are a, b".to_owned()));
        let query = Query::of(
            Some("limit=0&from=2026-01-01T00:00:00Z&until=2025-01-01T00:00:00Z"),
            &["limit", "from", "until"],
        );
        let query = query.expect("a query");
        assert_eq!(
            query.limit().map_err(|problem| problem.detail),
            Err("limit of 0: it is 1 to 1000".to_owned())
        );
        assert!(query.span().is_err_and(|problem| problem.detail.starts_with("the span ends at 2025")));
    }

    #[test]
    fn a_change_without_a_key_is_told_what_it_needs() {
        let mut headers = HeaderMap::new();
        assert!(idempotency_key(&headers).is_err_and(|problem| problem.detail.contains("Idempotency-Key")));
        headers.insert("idempotency-key", "67e55044-10b1-426f-9247-bb680e5fe0c8".parse().expect("a value"));
        assert!(idempotency_key(&headers).is_ok());
        headers.insert("idempotency-key", "once".parse().expect("a value"));
        assert!(idempotency_key(&headers).is_err_and(|problem| problem.detail.contains("is no UUID")));
    }
}
