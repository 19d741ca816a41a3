//! Rows as they come back: the inverse of [`super::encode`].

use drover_model::{
    Degrees, DriverId, Engine, Epoch, Fix, FixFlags, Meters, MetersPerSecond, Position, TenantId, VehicleId,
    WallTime,
};
use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};

use super::encode::EPOCH_OF_LEGACY;
use crate::{Origin, OutboxEvent, Row};

const SELECT: &str = "SELECT (extract(epoch FROM time) * 1000000)::bigint AS time_us, epoch, sequence, speed_mps, \
     heading_deg, altitude_m, accuracy_m, odometer_m, ST_X(location) AS lon, ST_Y(location) AS lat, flags, \
     fuel_level_percent, fuel_rate_l_per_h, engine_speed_rpm, engine_load_percent, coolant_celsius, battery_volts, \
     throttle_percent, brake_percent, satellites, ignition, vehicle_id, tenant_id, driver_id, fault_codes \
     FROM public.vehicle_telemetry ORDER BY time, vehicle_id, sequence, epoch, tenant_id";

/// Every row, in the order of its key.
pub(super) async fn all_rows(connection: &mut PgConnection) -> Result<Vec<Row>, String> {
    let rows = sqlx::query(SELECT).fetch_all(connection).await;
    let rows = rows.map_err(|error| super::error::describe_any(&error))?;
    rows.iter().map(row).collect()
}

/// Every event of the outbox, in the order of their identities.
pub(super) async fn all_events(connection: &mut PgConnection) -> Result<Vec<OutboxEvent>, String> {
    let select = "SELECT topic, rows FROM public.outbox ORDER BY event_id";
    let events: Vec<(String, i32)> = sqlx::query_as(select)
        .fetch_all(connection)
        .await
        .map_err(|error| super::error::describe_any(&error))?;
    let event = |(topic, rows): (String, i32)| match super::TOPICS.into_iter().find(|known| *known == topic) {
        Some(topic) => Ok(OutboxEvent { topic, rows: rows.unsigned_abs() }),
        None => Err(format!("{topic:?} is no topic")),
    };
    events.into_iter().map(event).collect()
}

fn row(from: &PgRow) -> Result<Row, String> {
    decode(from).map_err(|error| error.to_string())?
}

/// A column that is not there is an error of this program, a value that can not be one of whoever wrote it.
fn decode(from: &PgRow) -> Result<Result<Row, String>, sqlx::Error> {
    let epoch: i64 = from.try_get("epoch")?;
    let sequence: i64 = from.try_get("sequence")?;
    let position = Position::new(from.try_get("lat")?, from.try_get("lon")?);
    let speed = from.try_get::<Option<f64>, _>("speed_mps")?.map(MetersPerSecond::new).transpose();
    let heading = from.try_get::<Option<f64>, _>("heading_deg")?.map(Degrees::new).transpose();
    let altitude = from.try_get::<Option<f64>, _>("altitude_m")?.map(Meters::new).transpose();
    let accuracy = from.try_get::<Option<f64>, _>("accuracy_m")?.map(Meters::new).transpose();
    let names: (String, String) = (from.try_get("tenant_id")?, from.try_get("vehicle_id")?);
    let driver: Option<String> = from.try_get("driver_id")?;
    let satellites: Option<i16> = from.try_get("satellites")?;
    let time = WallTime::from_micros(from.try_get("time_us")?);
    let flags: i32 = from.try_get("flags")?;
    let engine = engine(from)?;
    let checked = || {
        let wrong = |error: drover_model::OutOfRange| error.to_string();
        let name = |error: drover_model::NameError| error.to_string();
        let driver =
            driver.map(|text| DriverId::new(&text)).transpose().map_err(|error| error.to_string())?;
        Ok(Row {
            tenant: TenantId::new(&names.0).map_err(name)?,
            vehicle: VehicleId::new(&names.1).map_err(name)?,
            origin: match u64::try_from(epoch) {
                Ok(epoch) => Origin::Spool(Epoch::new(epoch).map_err(|error| error.to_string())?),
                Err(_) if epoch == EPOCH_OF_LEGACY => Origin::Legacy,
                Err(_) => return Err(format!("epoch of {epoch} is none")),
            },
            fix: Fix {
                sequence: sequence as u64,
                time,
                position: position.map_err(wrong)?,
                speed: speed.map_err(wrong)?,
                heading: heading.map_err(wrong)?,
                altitude: altitude.map_err(wrong)?,
                accuracy: accuracy.map_err(wrong)?,
                satellites: satellites.map(|count| count as u8),
                flags: FixFlags(flags as u32),
                engine: Engine { driver, ..engine },
            },
        })
    };
    Ok(checked())
}

fn engine(from: &PgRow) -> Result<Engine, sqlx::Error> {
    Ok(Engine {
        odometer_m: from.try_get::<Option<i64>, _>("odometer_m")?.map(|metres| metres as u64),
        fuel_level_percent: from.try_get("fuel_level_percent")?,
        fuel_rate_l_per_h: from.try_get("fuel_rate_l_per_h")?,
        engine_speed_rpm: from.try_get("engine_speed_rpm")?,
        engine_load_percent: from.try_get("engine_load_percent")?,
        coolant_celsius: from.try_get("coolant_celsius")?,
        battery_volts: from.try_get("battery_volts")?,
        throttle_percent: from.try_get("throttle_percent")?,
        brake_percent: from.try_get("brake_percent")?,
        ignition: from.try_get("ignition")?,
        fault_codes: from
            .try_get::<Option<Vec<i32>>, _>("fault_codes")?
            .unwrap_or_default()
            .into_iter()
            .map(|code| code as u32)
            .collect(),
        driver: None,
    })
}
