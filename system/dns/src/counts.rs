//! What a server did with queries since it told last. The hot path counts here, and once a second it is told as events.

use drover_env::{Env, Value};

use crate::query::Code;

/// Why a message gets no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// Below the 12 bytes of a header.
    Short,
    /// Longer than a query is.
    Oversize,
    /// An answer, perhaps one that somebody has reflected.
    Response,
    /// From port 0, where nobody can be.
    NoPort,
    /// Above the rate of its network.
    Rate,
}

impl Cause {
    /// All of them, in order.
    pub const ALL: [Self; 5] = [Self::Short, Self::Oversize, Self::Response, Self::NoPort, Self::Rate];

    /// As events show it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Short => "short",
            Self::Oversize => "oversize",
            Self::Response => "response",
            Self::NoPort => "no_port",
            Self::Rate => "rate",
        }
    }
}

/// Codes by their place in [`Counts::codes`], and as events show them.
const CODES: [(Code, &str); 7] = [
    (Code::NoError, "noerror"),
    (Code::FormErr, "formerr"),
    (Code::NxDomain, "nxdomain"),
    (Code::NotImp, "notimp"),
    (Code::Refused, "refused"),
    (Code::BadVers, "badvers"),
    (Code::BadCookie, "badcookie"),
];

/// Queries by what became of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    codes: [u64; CODES.len()],
    /// Of these: told to come by TCP.
    pub truncated: u64,
    /// Of those: above the rate of their network.
    pub slipped: u64,
    /// With a good cookie.
    pub cookies_good: u64,
    /// With a cookie of a server that was none of ours, or too old.
    pub cookies_bad: u64,
    /// By what they got: bytes of queries, and of answers to them, by UDP and without a good cookie.
    pub unproven_bytes: [u64; 2],
    dropped: [u64; Cause::ALL.len()],
}

impl Counts {
    /// How many were answered with that code.
    pub const fn answered(&self, code: Code) -> u64 {
        self.codes[place(code)]
    }

    /// How many were dropped for that cause.
    pub const fn dropped_for(&self, cause: Cause) -> u64 {
        self.dropped[cause as usize]
    }

    pub(crate) const fn answer_with(&mut self, code: Code) {
        self.codes[place(code)] += 1;
    }

    pub(crate) const fn drop_for(&mut self, cause: Cause) {
        self.dropped[cause as usize] += 1;
    }

    /// Tells what was counted, and begins anew.
    pub(crate) fn tell(&mut self, env: &Env) {
        let Self { codes, truncated, slipped, cookies_good, cookies_bad, unproven_bytes, dropped } =
            std::mem::take(self);
        for ((_, code), times) in CODES.into_iter().zip(codes).filter(|(_, times)| *times > 0) {
            env.event("dns.answered", &[("reason", Value::Str(code)), ("times", Value::U64(times))]);
        }
        let others = [
            ("dns.truncated", truncated),
            ("dns.slipped", slipped),
            ("dns.cookies_good", cookies_good),
            ("dns.cookies_bad", cookies_bad),
            ("dns.unproven_query_bytes", unproven_bytes[0]),
            ("dns.unproven_answer_bytes", unproven_bytes[1]),
        ];
        for (name, times) in others.into_iter().filter(|(_, times)| *times > 0) {
            env.event(name, &[("times", Value::U64(times))]);
        }
        for (cause, times) in Cause::ALL.into_iter().zip(dropped).filter(|(_, times)| *times > 0) {
            env.event("dns.dropped", &[("reason", Value::Str(cause.name())), ("times", Value::U64(times))]);
        }
    }
}

const fn place(code: Code) -> usize {
    match code {
        Code::NoError => 0,
        Code::FormErr => 1,
        Code::NxDomain => 2,
        Code::NotImp => 3,
        Code::Refused => 4,
        Code::BadVers => 5,
        Code::BadCookie => 6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_has_a_place_of_its_own() {
        let mut counts = Counts::default();
        Cause::ALL.into_iter().for_each(|cause| counts.drop_for(cause));
        CODES.into_iter().for_each(|(code, _)| counts.answer_with(code));
        assert_eq!(counts.dropped, [1; Cause::ALL.len()]);
        assert_eq!(counts.codes, [1; CODES.len()]);
        assert!(CODES.into_iter().enumerate().all(|(at, (code, _))| place(code) == at));
    }
}
