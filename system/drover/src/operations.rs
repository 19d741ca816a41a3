//! What an operator may ask of a persistence agent by its admin address: to try again what was put aside, and to make totals anew.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use drover_env::Env;
use drover_model::{TenantId, VehicleId, WallTime};
use drover_persistence::{Patience, RowVerdict, commit_rows};
use drover_store::Row;
use drover_store::postgres::PostgresStore;
use tokio::time::Instant;

/// Letters that are tried at once.
const LETTERS_AT_ONCE: usize = 500;
/// How long a database that is away is waited for before an operation is given up.
const AWAY_MAX: Duration = Duration::from_secs(30);
/// Most days of one request: as long as anything is kept.
const DAYS_MAX: i64 = 4_000;
const DAY_S: i64 = 86_400;

/// The operations of an agent with a database.
#[derive(Clone)]
pub(crate) struct Operations {
    env: Env,
    store: Arc<PostgresStore>,
}

impl Operations {
    pub(crate) const fn new(env: Env, store: Arc<PostgresStore>) -> Self {
        Self { env, store }
    }

    /// Tries every dead letter again, oldest first. What is stored now is put aside no longer; the rest stays.
    ///
    /// # Errors
    /// The database is away. What was done stays done.
    pub(crate) async fn replay_letters(&self) -> Result<String, String> {
        let mut rng = self.env.rng("replay letters");
        let (mut last, mut tried, mut stored) = (i64::MIN, 0, 0);
        loop {
            let letters = self.store.dead_letters_after(last, LETTERS_AT_ONCE).await?;
            let Some((newest, _)) = letters.last() else { break };
            last = *newest;
            tried += letters.len();
            let (numbers, rows): (Vec<i64>, Vec<Row>) =
                letters.into_iter().map(|(number, letter)| (number, letter.row)).unzip();
            let patience = Patience {
                retry_min: Duration::from_millis(100),
                retry_max: Duration::from_secs(2),
                until: Instant::now() + AWAY_MAX,
            };
            let verdicts = commit_rows(&self.env, &*self.store, rows, patience, &mut rng).await;
            let verdicts = verdicts.map_err(|error| error.to_string())?;
            let is_there =
                |verdict: &RowVerdict| matches!(verdict, RowVerdict::Stored | RowVerdict::Duplicate);
            let done = numbers.into_iter().zip(&verdicts).filter(|(_, verdict)| is_there(verdict));
            let done: Vec<i64> = done.map(|(number, _)| number).collect();
            stored += self.store.drop_stored_letters(&done).await?;
        }
        Ok(format!(
            "{tried} dead letters tried again: {stored} are stored now, {} stay aside\n",
            tried as u64 - stored
        ))
    }

    /// Makes the totals of past days anew.
    ///
    /// # Errors
    /// What is asked for can not be, or the database is away. What was done stays done.
    pub(crate) async fn rederive(&self, range: &Range) -> Result<String, String> {
        let mut totals = 0;
        for day in 0..range.days {
            let day = WallTime::from_secs(range.first.as_secs() + day * DAY_S);
            totals += self.store.rederive(range.tenant, day, range.vehicle).await?;
        }
        Ok(format!(
            "{} days looked at: {totals} totals made anew; days that are not over or have expired are left alone\n",
            range.days
        ))
    }
}

/// Days of one tenant, and of one of its vehicles or all.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Range {
    tenant: TenantId,
    vehicle: Option<VehicleId>,
    first: WallTime,
    days: i64,
}

impl Range {
    /// Reads the query of a request: `tenant=acme&from=2026-03-01&to=2026-03-07&vehicle=V`, the last one if need be.
    ///
    /// # Errors
    /// Names the key and what it may be.
    pub(crate) fn parse(query: &str) -> Result<Self, String> {
        let pairs = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        let given: BTreeMap<&str, &str> = pairs.collect();
        if let Some(other) = given.keys().find(|key| !["tenant", "vehicle", "from", "to"].contains(key)) {
            return Err(format!("unknown key {other:?}; there are tenant, vehicle, from, to"));
        }
        let value = |key: &str| given.get(key).copied().ok_or_else(|| format!("{key} is missing"));
        let day = |key: &str| {
            let text = value(key)?;
            let wrong = |_| format!("{key} of {text:?} is no day such as 2026-03-01");
            format!("{text}T00:00:00Z").parse::<WallTime>().map_err(wrong)
        };
        let name = |key: &str, error: drover_model::NameError| format!("{key}: {error}");
        let tenant = value("tenant")?.parse().map_err(|error| name("tenant", error))?;
        let vehicle = given.get("vehicle").map(|text| text.parse()).transpose();
        let vehicle = vehicle.map_err(|error| name("vehicle", error))?;
        let (first, last) = (day("from")?, day("to")?);
        let days = (last.as_secs() - first.as_secs()) / DAY_S + 1;
        match days {
            1..=DAYS_MAX => Ok(Self { tenant, vehicle, first, days }),
            ..=0 => Err("to lies before from".to_owned()),
            _ => Err(format!("{days} days at once: {DAYS_MAX} at most")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_read_whole_or_says_what_is_wrong() {
        let good = Range::parse("tenant=acme&from=2026-02-27&to=2026-03-02").expect("a range");
        assert_eq!(
            (good.days, good.vehicle, good.first.to_string().as_str()),
            (4, None, "2026-02-27T00:00:00Z")
        );
        let check = |query: &str, expected: &str| {
            let problem = Range::parse(query).expect_err("refused");
            assert!(problem.contains(expected), "{problem}");
        };
        check(
            "tenant=acme&from=2026-02-30&to=2026-03-02",
            "from of \"2026-02-30\" is no day such as 2026-03-01",
        );
        check("tenant=acme&from=2026-03-02&to=2026-03-01", "to lies before from");
        check("tenant=acme&from=1900-01-01&to=2026-03-01", "4000 at most");
        check("from=2026-03-02&to=2026-03-02", "tenant is missing");
        check("tenant=a%20b&from=2026-03-02&to=2026-03-02", "tenant: name");
        check("tenant=acme&day=3", "unknown key \"day\"; there are tenant, vehicle, from, to");
    }
}
