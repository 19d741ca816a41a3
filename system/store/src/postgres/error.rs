//! What an error of the database means for a transaction.
//!
//! Codes are those of the PostgreSQL manual, appendix A. What is not known is taken as "not available": then the same rows are
//! tried again, and none is lost.

use sqlx::postgres::{PgDatabaseError, PgErrorPosition, PgSeverity};

use crate::StoreError;

/// How far the transaction had come when the error arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// The commit had not been asked for: nothing is written.
    Writing,
    /// It had been: everything or nothing is written, unless the server says which.
    Committing,
}

/// What the store does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// Some row is there already, or another transaction writes the same rows: compare row by row.
    Repeated,
    /// A row's partition is not there: make it, and once more.
    NoPartition,
    /// As the trait says.
    Store(StoreError),
}

impl Failure {
    pub(super) fn unavailable(detail: impl Into<String>) -> Self {
        Self::Store(StoreError::Unavailable { detail: detail.into() })
    }

    pub(super) fn unknown(detail: impl Into<String>) -> Self {
        Self::Store(StoreError::Unknown { detail: detail.into() })
    }

    pub(super) fn of(error: &sqlx::Error, stage: Stage) -> Self {
        let Some(refusal) = server_error(error) else {
            return match stage {
                Stage::Writing => Self::unavailable(error.to_string()),
                Stage::Committing => Self::unknown(error.to_string()),
            };
        };
        let is_fatal = matches!(refusal.severity(), PgSeverity::Fatal | PgSeverity::Panic);
        // A server that goes down says so, and may have committed all the same.
        if stage == Stage::Committing && is_fatal {
            return Self::unknown(describe(refusal));
        }
        match refusal.code() {
            "23505" | "40P01" | "40001" => Self::Repeated,
            "23514" if refusal.constraint().is_none() => Self::NoPartition,
            code if is_fatal || !is_of_the_row(code) => Self::unavailable(describe(refusal)),
            _ => Self::Store(StoreError::BadRow { detail: describe(refusal) }),
        }
    }
}

/// Classes 22, "data exception", and 23, "integrity constraint violation".
fn is_of_the_row(code: &str) -> bool {
    code.starts_with("22") || code.starts_with("23")
}

/// The server's own words, if it is the server that speaks.
pub(super) fn server_error(error: &sqlx::Error) -> Option<&PgDatabaseError> {
    error.as_database_error().and_then(|error| error.try_downcast_ref::<PgDatabaseError>())
}

/// The message, with what it adds and its code. What it adds to the refusal of a row is the row, with place and driver: that
/// is nothing for a log.
pub(super) fn describe(error: &PgDatabaseError) -> String {
    let mut text = error.message().to_owned();
    if let Some(detail) = error.detail().filter(|_| !is_of_the_row(error.code())) {
        text.push_str(&format!(" ({detail})"));
    }
    // A statement of ours that the server can not read is an error of ours: say where.
    if let Some(PgErrorPosition::Original(place)) = error.position() {
        text.push_str(&format!(" at character {place}"));
    }
    format!("{text} [{}]", error.code())
}

/// As [`describe`], whoever speaks.
pub(super) fn describe_any(error: &sqlx::Error) -> String {
    server_error(error).map_or_else(|| error.to_string(), describe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_connection_is_unknown_only_inside_the_commit() {
        let lost = || sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into());
        assert!(matches!(
            Failure::of(&lost(), Stage::Writing),
            Failure::Store(StoreError::Unavailable { .. })
        ));
        assert!(matches!(
            Failure::of(&lost(), Stage::Committing),
            Failure::Store(StoreError::Unknown { .. })
        ));
    }

    #[test]
    fn only_values_and_constraints_are_the_rows_fault() {
        for (code, expected) in
            [("22003", true), ("23514", true), ("53100", false), ("57014", false), ("42P01", false)]
        {
            assert_eq!(is_of_the_row(code), expected, "{code}");
        }
    }
}
