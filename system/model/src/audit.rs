//! Notes of who did what.

use crate::{AuditId, TenantId, WallTime};

/// Longest text of a note, in bytes.
pub const AUDIT_TEXT_BYTES_MAX: usize = 256;

/// Somebody did something, or was not let.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// Its identity, given by whoever noted it: noted twice it is kept once.
    pub id: AuditId,
    /// Whose it is to read; nobody's of somebody whose token was not believed.
    pub tenant: Option<TenantId>,
    /// When.
    pub at: WallTime,
    /// Who, as their issuer calls them; empty of somebody who is not known.
    pub actor: String,
    /// What they are there for, such as `dispatcher`.
    pub role: String,
    /// What was done: `signed_in`, `refused`, or the kind of a change, such as `share_order`.
    pub action: String,
    /// What it was done to: an identity, or a path.
    pub subject: String,
    /// What became of it: `applied`, another verdict, or why somebody was refused.
    pub outcome: String,
    /// The address that it came from.
    pub peer: String,
}

impl AuditEntry {
    /// The same with texts of [`AUDIT_TEXT_BYTES_MAX`] at most: a long one loses its end.
    #[must_use]
    pub fn shortened(mut self) -> Self {
        let texts = [
            &mut self.actor,
            &mut self.role,
            &mut self.action,
            &mut self.subject,
            &mut self.outcome,
            &mut self.peer,
        ];
        for text in texts {
            // No database keeps a NUL.
            text.retain(|letter| letter != '\0');
            let end = text.floor_char_boundary(AUDIT_TEXT_BYTES_MAX);
            text.truncate(end);
        }
        self
    }

    /// Whether its texts are short enough.
    ///
    /// # Errors
    /// Which one is not.
    pub fn check(&self) -> Result<(), String> {
        let texts = [
            ("actor", &self.actor),
            ("role", &self.role),
            ("action", &self.action),
            ("subject", &self.subject),
            ("outcome", &self.outcome),
            ("peer", &self.peer),
        ];
        match texts.iter().find(|(_, text)| text.len() > AUDIT_TEXT_BYTES_MAX || text.contains('\0')) {
            Some((name, _)) => Err(format!("{name}: {AUDIT_TEXT_BYTES_MAX} bytes at most, and no NUL")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_loses_its_end_between_two_letters() {
        let entry = AuditEntry {
            id: AuditId::from_bits(1),
            tenant: None,
            at: WallTime::from_secs(0),
            actor: "é".repeat(200),
            role: String::new(),
            action: "a\0b".to_owned(),
            subject: String::new(),
            outcome: String::new(),
            peer: String::new(),
        };
        assert!(entry.check().is_err_and(|error| error.contains("actor")));
        let short = entry.shortened();
        assert_eq!((short.actor.len(), short.action.as_str(), short.check()), (256, "ab", Ok(())));
    }
}
