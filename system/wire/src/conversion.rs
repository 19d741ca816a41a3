//! Between wire messages and the model: the one place where loose fields become checked values.

use drover_model::{
    Degrees, DriverId, Engine, Epoch, Fix, FixFlags, Meters, MetersPerSecond, Position, Refusal, TenantId,
    VehicleId, WallTime,
};

use crate::telemetry::{GeoTelemetry, RecordBatch};

/// Most fault codes that one fix carries: J1939 DM1 messages of this length do not occur on a healthy network.
const FAULT_CODES_MAX: usize = 64;

/// A message whose fields are no valid fix or batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Invalid {
    /// The refusal to answer with.
    pub reason: Refusal,
    /// What is wrong, for people.
    pub detail: String,
}

impl Invalid {
    fn out_of_range(detail: impl ToString) -> Self {
        Self { reason: Refusal::OutOfRange, detail: detail.to_string() }
    }
}

/// Reads a fix. The sequence of a message without one is 0 (a legacy report has no identity).
///
/// # Errors
/// Names the first field that is missing, out of range or not finite.
pub fn fix_from_wire(message: &GeoTelemetry) -> Result<Fix, Invalid> {
    let missing = |what: &str| Invalid::out_of_range(format!("{what} is missing"));
    let lat = message.lat.ok_or_else(|| missing("latitude"))?;
    let lon = message.lon.ok_or_else(|| missing("longitude"))?;
    let time = match (message.time_us, message.timestamp) {
        (Some(micros), _) => i64::try_from(micros).map(WallTime::from_micros).ok(),
        (None, Some(secs)) => {
            secs.checked_mul(1_000_000).and_then(|us| i64::try_from(us).ok()).map(WallTime::from_micros)
        }
        (None, None) => return Err(missing("time")),
    };
    let speed = match (message.speed_mps, message.speed_kmh) {
        (Some(exact), _) => Some(MetersPerSecond::new(exact)),
        (None, Some(kmh)) => Some(MetersPerSecond::from_km_per_hour(kmh)),
        (None, None) => None,
    };
    let meters = |value: Option<f64>| value.map(Meters::new).transpose().map_err(Invalid::out_of_range);
    let sequence = message.sequence.unwrap_or_default();
    if sequence > i64::MAX as u64 {
        return Err(Invalid::out_of_range("sequence exceeds 63 bits"));
    }
    Ok(Fix {
        sequence,
        time: time.ok_or_else(|| Invalid::out_of_range("time is beyond the year 290000"))?,
        position: Position::new(lat, lon).map_err(Invalid::out_of_range)?,
        speed: speed.transpose().map_err(Invalid::out_of_range)?,
        heading: message.heading_deg.map(Degrees::new).transpose().map_err(Invalid::out_of_range)?,
        altitude: meters(message.altitude_m)?,
        accuracy: meters(message.accuracy_m)?,
        satellites: message
            .satellites
            .map(|count| {
                u8::try_from(count).map_err(|_| Invalid::out_of_range(format!("{count} satellites")))
            })
            .transpose()?,
        flags: FixFlags(message.flags.unwrap_or_default()),
        engine: engine_from_wire(message)?,
    })
}

fn engine_from_wire(message: &GeoTelemetry) -> Result<Engine, Invalid> {
    let check = |what: &str, value: Option<f32>, min: f32, max: f32| match value {
        Some(value) if !(min..=max).contains(&value) => {
            Err(Invalid::out_of_range(format!("{what} of {value:?} is outside {min} to {max}")))
        }
        // Adding zero turns -0.0 into 0.0, as in the model's quantities.
        value => Ok(value.map(|value| value + 0.0)),
    };
    if message.fault_codes.len() > FAULT_CODES_MAX {
        let count = message.fault_codes.len();
        return Err(Invalid::out_of_range(format!(
            "{count} fault codes exceed the limit of {FAULT_CODES_MAX}"
        )));
    }
    if message.odometer_m.is_some_and(|metres| metres > i64::MAX as u64) {
        return Err(Invalid::out_of_range("odometer exceeds 63 bits"));
    }
    Ok(Engine {
        odometer_m: message.odometer_m,
        fuel_level_percent: check("fuel level", message.fuel_level_percent, 0.0, 100.0)?,
        fuel_rate_l_per_h: check("fuel rate", message.fuel_rate_l_per_h, 0.0, 3212.75)?,
        engine_speed_rpm: check("engine speed", message.engine_speed_rpm, 0.0, 16_383.75)?,
        engine_load_percent: check("engine load", message.engine_load_percent, 0.0, 250.0)?,
        coolant_celsius: check("coolant temperature", message.coolant_celsius, -60.0, 250.0)?,
        battery_volts: check("battery voltage", message.battery_volts, 0.0, 3276.75)?,
        throttle_percent: check("throttle", message.throttle_percent, 0.0, 100.0)?,
        brake_percent: check("brake", message.brake_percent, 0.0, 100.0)?,
        ignition: message.ignition,
        fault_codes: message.fault_codes.clone(),
        driver: message
            .driver
            .as_deref()
            // The error would quote the name, which is never logged.
            .map(|text| DriverId::new(text).map_err(|_| Invalid::out_of_range("driver is no valid name")))
            .transpose()?,
    })
}

/// Writes a fix as it stands in a batch: without vehicle, epoch and the contracts' rounded doubles of tags 4 and 5.
/// A time before 1970, which no receiver reports, is written as 1970: the tag has no sign.
pub fn fix_to_wire(fix: &Fix) -> GeoTelemetry {
    GeoTelemetry {
        vehicle_id: None,
        lat: Some(fix.position.lat()),
        lon: Some(fix.position.lon()),
        speed_kmh: None,
        timestamp: None,
        sequence: Some(fix.sequence),
        epoch: None,
        time_us: Some(fix.time.as_micros().max(0) as u64),
        speed_mps: fix.speed.map(MetersPerSecond::value),
        altitude_m: fix.altitude.map(Meters::value),
        heading_deg: fix.heading.map(Degrees::value),
        accuracy_m: fix.accuracy.map(Meters::value),
        satellites: fix.satellites.map(u32::from),
        flags: (fix.flags != FixFlags::default()).then_some(fix.flags.0),
        odometer_m: fix.engine.odometer_m,
        fuel_level_percent: fix.engine.fuel_level_percent,
        fuel_rate_l_per_h: fix.engine.fuel_rate_l_per_h,
        engine_speed_rpm: fix.engine.engine_speed_rpm,
        engine_load_percent: fix.engine.engine_load_percent,
        coolant_celsius: fix.engine.coolant_celsius,
        battery_volts: fix.engine.battery_volts,
        throttle_percent: fix.engine.throttle_percent,
        brake_percent: fix.engine.brake_percent,
        ignition: fix.engine.ignition,
        fault_codes: fix.engine.fault_codes.clone(),
        driver: fix.engine.driver.map(String::from),
    }
}

/// A checked [`RecordBatch`]: fixes of one vehicle and epoch.
#[derive(Debug, Clone, PartialEq)]
pub struct VehicleBatch {
    /// Whose data it is.
    pub tenant: TenantId,
    /// Who recorded it.
    pub vehicle: VehicleId,
    /// In which life of its spool.
    pub epoch: Epoch,
    /// The fixes.
    pub fixes: Vec<Fix>,
}

impl VehicleBatch {
    /// The message to send.
    pub fn to_wire(&self) -> RecordBatch {
        RecordBatch {
            tenant: Some(self.tenant.as_str().to_owned()),
            vehicle_id: Some(self.vehicle.as_str().to_owned()),
            epoch: Some(self.epoch.value()),
            fixes: self.fixes.iter().map(fix_to_wire).collect(),
        }
    }
}

impl TryFrom<&RecordBatch> for VehicleBatch {
    type Error = Invalid;
    fn try_from(message: &RecordBatch) -> Result<Self, Invalid> {
        let tenant = message.tenant.as_deref().unwrap_or_default();
        let vehicle = message.vehicle_id.as_deref().unwrap_or_default();
        let epoch = message.epoch.ok_or_else(|| Invalid::out_of_range("epoch is missing"))?;
        let epoch = Epoch::new(epoch).map_err(|error| Invalid::out_of_range(error.to_string()))?;
        Ok(Self {
            tenant: TenantId::new(tenant).map_err(|e| Invalid::out_of_range(format!("tenant: {e}")))?,
            vehicle: VehicleId::new(vehicle).map_err(|e| Invalid::out_of_range(format!("vehicle: {e}")))?,
            epoch,
            fixes: message.fixes.iter().map(fix_from_wire).collect::<Result<_, _>>()?,
        })
    }
}
