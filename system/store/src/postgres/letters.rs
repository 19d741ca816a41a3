//! Rows that no table of ours can hold, as text that can hold anything: numbers that are none, times of no year.

use std::str::FromStr;

use drover_model::{Degrees, DriverId, Epoch, Meters, MetersPerSecond, Position, TenantId, VehicleId};
use drover_model::{Engine, Fix, FixFlags, Refusal, WallTime};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgConnection;

use super::encode::{EPOCH_OF_LEGACY, identity, readings};
use super::error::{Failure, Stage};
use crate::{DeadLetter, Origin, Row};

/// A number as text: JSON has none for what is not finite, and not every reader of it keeps the last digit of the others.
#[derive(Debug, Serialize, Deserialize)]
struct Exact(String);

impl Exact {
    fn of(value: impl ToString) -> Self {
        Self(value.to_string())
    }

    fn value<T: FromStr>(self) -> Result<T, String> {
        self.0.parse().map_err(|_| format!("{:?} is no number", self.0))
    }
}

/// A fix as it is kept aside.
#[derive(Debug, Serialize, Deserialize)]
struct Content {
    sequence: u64,
    lat: Exact,
    lon: Exact,
    speed_mps: Option<Exact>,
    heading_deg: Option<Exact>,
    altitude_m: Option<Exact>,
    accuracy_m: Option<Exact>,
    satellites: Option<u8>,
    flags: u32,
    odometer_m: Option<u64>,
    /// In the order of [`readings`].
    readings: [Option<Exact>; 8],
    ignition: Option<bool>,
    fault_codes: Vec<u32>,
    driver: Option<DriverId>,
}

impl From<&Fix> for Content {
    fn from(fix: &Fix) -> Self {
        Self {
            sequence: fix.sequence,
            lat: Exact::of(fix.position.lat()),
            lon: Exact::of(fix.position.lon()),
            speed_mps: fix.speed.map(|speed| Exact::of(speed.value())),
            heading_deg: fix.heading.map(|heading| Exact::of(heading.value())),
            altitude_m: fix.altitude.map(|altitude| Exact::of(altitude.value())),
            accuracy_m: fix.accuracy.map(|accuracy| Exact::of(accuracy.value())),
            satellites: fix.satellites,
            flags: fix.flags.0,
            odometer_m: fix.engine.odometer_m,
            readings: readings(&fix.engine).map(|reading| reading.map(Exact::of)),
            ignition: fix.engine.ignition,
            fault_codes: fix.engine.fault_codes.clone(),
            driver: fix.engine.driver,
        }
    }
}

impl Content {
    fn into_fix(self, time: WallTime) -> Result<Fix, String> {
        let wrong = |error: drover_model::OutOfRange| error.to_string();
        let mut values = [None; 8];
        for (value, exact) in values.iter_mut().zip(self.readings) {
            *value = exact.map(Exact::value).transpose()?;
        }
        let [speed, heading, altitude, accuracy] =
            [self.speed_mps, self.heading_deg, self.altitude_m, self.accuracy_m]
                .map(|exact| exact.map(Exact::value).transpose());
        let [fuel_level, fuel_rate, engine_speed, engine_load, coolant, battery, throttle, brake] = values;
        Ok(Fix {
            sequence: self.sequence,
            time,
            position: Position::new(self.lat.value()?, self.lon.value()?).map_err(wrong)?,
            speed: speed?.map(MetersPerSecond::new).transpose().map_err(wrong)?,
            heading: heading?.map(Degrees::new).transpose().map_err(wrong)?,
            altitude: altitude?.map(Meters::new).transpose().map_err(wrong)?,
            accuracy: accuracy?.map(Meters::new).transpose().map_err(wrong)?,
            satellites: self.satellites,
            flags: FixFlags(self.flags),
            engine: Engine {
                odometer_m: self.odometer_m,
                fuel_level_percent: fuel_level,
                fuel_rate_l_per_h: fuel_rate,
                engine_speed_rpm: engine_speed,
                engine_load_percent: engine_load,
                coolant_celsius: coolant,
                battery_volts: battery,
                throttle_percent: throttle,
                brake_percent: brake,
                ignition: self.ignition,
                fault_codes: self.fault_codes,
                driver: self.driver,
            },
        })
    }
}

/// Puts `letters` aside in the transaction that is open, each once.
pub(super) async fn insert(connection: &mut PgConnection, letters: &[DeadLetter]) -> Result<(), Failure> {
    const INSERT: &str = "INSERT INTO public.dead_letters \
        (tenant_id, vehicle_id, time_us, epoch, sequence, reason, detail, content) \
        VALUES ($1, $2, $3, $4, $5::numeric, $6, $7, $8) ON CONFLICT DO NOTHING";
    for letter in letters {
        let row = &letter.row;
        let (epoch, sequence) = identity(row);
        sqlx::query(INSERT)
            .bind(row.tenant.as_str())
            .bind(row.vehicle.as_str())
            .bind(row.fix.time.as_micros())
            .bind(epoch)
            .bind(sequence.to_string())
            .bind(letter.reason.name())
            // A text of the database can hold everything but this.
            .bind(letter.detail.replace('\0', ""))
            .bind(sqlx::types::Json(Content::from(&row.fix)))
            .execute(&mut *connection)
            .await
            .map_err(|error| Failure::of(&error, Stage::Writing))?;
    }
    Ok(())
}

/// Everything that was put aside, oldest first.
pub(super) async fn all(connection: &mut PgConnection) -> Result<Vec<DeadLetter>, String> {
    let select = "SELECT tenant_id, vehicle_id, time_us, epoch, reason, detail, content \
                  FROM public.dead_letters ORDER BY dead_letter_id";
    let stored: Vec<StoredLetter> = sqlx::query_as(select)
        .fetch_all(connection)
        .await
        .map_err(|error| super::error::describe_any(&error))?;
    stored.into_iter().map(letter).collect()
}

/// The oldest letters behind the one with this number, each with its own.
pub(super) async fn after(
    connection: &mut PgConnection,
    number: i64,
    limit: i64,
) -> Result<Vec<(i64, DeadLetter)>, String> {
    let numbered =
        "SELECT dead_letter_id FROM public.dead_letters WHERE dead_letter_id > $1 ORDER BY 1 LIMIT $2";
    let select = "SELECT tenant_id, vehicle_id, time_us, epoch, reason, detail, content \
                  FROM public.dead_letters WHERE dead_letter_id = ANY ($1) ORDER BY dead_letter_id";
    let failed = |error: sqlx::Error| super::error::describe_any(&error);
    let asked = sqlx::query_scalar(numbered).bind(number).bind(limit).fetch_all(&mut *connection);
    let numbers: Vec<i64> = asked.await.map_err(failed)?;
    let stored: Vec<StoredLetter> =
        sqlx::query_as(select).bind(&numbers).fetch_all(connection).await.map_err(failed)?;
    numbers.into_iter().zip(stored).map(|(number, stored)| Ok((number, letter(stored)?))).collect()
}

/// Drops those of the letters whose rows are stored by now, and says how many.
pub(super) async fn drop_stored(connection: &mut PgConnection, letters: &[i64]) -> Result<u64, String> {
    let dropped =
        sqlx::query_scalar("SELECT public.drop_letters($1)").bind(letters).fetch_one(connection).await;
    dropped.map(i64::unsigned_abs).map_err(|error| super::error::describe_any(&error))
}

type StoredLetter = (String, String, i64, i64, String, String, sqlx::types::Json<Content>);

fn letter(stored: StoredLetter) -> Result<DeadLetter, String> {
    let (tenant, vehicle, time_us, epoch, reason, detail, content) = stored;
    let name = |error: drover_model::NameError| error.to_string();
    let origin = match u64::try_from(epoch) {
        Ok(epoch) => Origin::Spool(Epoch::new(epoch).map_err(|error| error.to_string())?),
        Err(_) if epoch == EPOCH_OF_LEGACY => Origin::Legacy,
        Err(_) => return Err(format!("epoch of {epoch} is none")),
    };
    let known = Refusal::ALL.into_iter().find(|known| known.name() == reason);
    Ok(DeadLetter {
        row: Row {
            tenant: TenantId::new(&tenant).map_err(name)?,
            vehicle: VehicleId::new(&vehicle).map_err(name)?,
            origin,
            fix: content.0.into_fix(WallTime::from_micros(time_us))?,
        },
        reason: known.ok_or_else(|| format!("{reason:?} is no reason"))?,
        detail,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_aside_comes_back_as_it_was() {
        let time = WallTime::from_micros(i64::MIN);
        let mut fix = Fix::bare(u64::MAX, time, Position::new(-60.5, 24.1).expect("in range"));
        fix.speed = MetersPerSecond::new(1.0 / 3.0).ok();
        // Once it came back as ...147.
        fix.heading = Degrees::new(116.991_545_220_171_49).ok();
        fix.flags = FixFlags(u32::MAX);
        fix.engine.odometer_m = Some(u64::MAX);
        fix.engine.coolant_celsius = Some(f32::NEG_INFINITY);
        fix.engine.fuel_rate_l_per_h = Some(0.1);
        fix.engine.fault_codes = vec![u32::MAX];
        let text = serde_json::to_string(&Content::from(&fix)).expect("it is written");
        let content: Content = serde_json::from_str(&text).expect("it is read");
        assert_eq!(content.into_fix(time), Ok(fix));
    }
}
