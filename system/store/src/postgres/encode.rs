//! Rows in the binary format of COPY (PostgreSQL manual, "COPY", "Binary Format"), and fields as the types' own receive
//! functions take them: big-endian numbers, times in microseconds since 2000, a point as EWKB.
//!
//! A core: bytes in, bytes out.

use drover_model::{Engine, Fix, WallTime};

use crate::{Origin, Row};

/// Columns of the table in the order in which they are written.
pub(super) const COLUMNS: &str = "time, epoch, sequence, speed_mps, heading_deg, altitude_m, accuracy_m, odometer_m, location, \
     speed_kmh, flags, fuel_level_percent, fuel_rate_l_per_h, engine_speed_rpm, engine_load_percent, coolant_celsius, \
     battery_volts, throttle_percent, brake_percent, satellites, retention_class, ignition, vehicle_id, tenant_id, driver_id, \
     fault_codes";
/// How many they are.
const COLUMNS_LEN: i16 = 26;
/// Stands in the column of a bare report, which has none: identities of spools are not negative.
pub(super) const EPOCH_OF_LEGACY: i64 = -1;
/// 2000-01-01T00:00:00Z, from which PostgreSQL counts, in microseconds since 1970.
const TIME_ORIGIN_US: i64 = 946_684_800_000_000;
/// Signature, no flags, no extension.
const HEADER: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// A row with few readings; the buffer grows where there are more.
const ROW_BYTES: usize = 240;
/// Rows of one piece: some 350 kB. Smaller ones cost more switches between both sides than they overlap.
const PIECE_ROWS: usize = 1500;
/// Object identifier of `integer`, which an array of it carries.
const INT4_OID: u32 = 23;
/// Of a point with a reference system, little-endian: PostGIS takes it as it is on nearly every machine.
const EWKB_POINT_SRID: u32 = 0x2000_0001;
/// WGS 84.
const SRID: u32 = 4326;

/// Which rows are written, and whether each begins with its place among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Into the table itself.
    Telemetry,
    /// Into the staging table.
    Staged,
}

/// What one COPY sends, in pieces: the server takes the first while the next is encoded.
pub(super) struct Pieces<'a> {
    shape: Shape,
    rows: &'a [Row],
    /// Retention class of each row.
    classes: &'a [i16],
    next: usize,
    is_ended: bool,
}

impl<'a> Pieces<'a> {
    pub(super) const fn new(shape: Shape, rows: &'a [Row], classes: &'a [i16]) -> Self {
        Self { shape, rows, classes, next: 0, is_ended: false }
    }
}

impl Iterator for Pieces<'_> {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        if self.is_ended {
            return None;
        }
        let end = self.rows.len().min(self.next + PIECE_ROWS);
        let mut out = Encoder { bytes: Vec::with_capacity(HEADER.len() + PIECE_ROWS * ROW_BYTES) };
        if self.next == 0 {
            out.bytes.extend_from_slice(HEADER);
        }
        for place in self.next..end {
            match self.shape {
                Shape::Telemetry => out.i16_bare(COLUMNS_LEN),
                Shape::Staged => {
                    out.i16_bare(COLUMNS_LEN + 1);
                    out.i32(place as i32);
                }
            }
            out.row(&self.rows[place], self.classes[place]);
        }
        self.next = end;
        if end == self.rows.len() {
            out.i16_bare(-1);
            self.is_ended = true;
        }
        Some(out.bytes)
    }
}

/// What COPY takes for `rows`, all of the class that nobody's rule has changed. For tools and benchmarks that load rows
/// by themselves, with [`copy_statement`].
pub fn copy_bytes(rows: &[Row]) -> Vec<u8> {
    Pieces::new(Shape::Telemetry, rows, &vec![0; rows.len()]).flatten().collect()
}

/// The COPY into `table` that takes [`copy_bytes`].
pub fn copy_statement(table: &str) -> String {
    format!("COPY {table} ({COLUMNS}) FROM STDIN WITH (FORMAT binary)")
}

/// The two columns that say which life of which spool a row is of.
pub(super) fn identity(row: &Row) -> (i64, u64) {
    match row.origin {
        Origin::Spool(epoch) => (epoch.value() as i64, row.fix.sequence),
        Origin::Legacy => (EPOCH_OF_LEGACY, 0),
    }
}

struct Encoder {
    bytes: Vec<u8>,
}

impl Encoder {
    fn row(&mut self, row: &Row, class: i16) {
        let Fix { position, speed, heading, altitude, accuracy, satellites, flags, engine, time, .. } =
            &row.fix;
        let (epoch, sequence) = identity(row);
        self.time(*time);
        self.i64(epoch);
        self.i64(sequence as i64);
        self.optional(speed.map(|speed| speed.value().to_be_bytes()));
        self.optional(heading.map(|heading| heading.value().to_be_bytes()));
        self.optional(altitude.map(|altitude| altitude.value().to_be_bytes()));
        self.optional(accuracy.map(|accuracy| accuracy.value().to_be_bytes()));
        self.optional(engine.odometer_m.map(u64::to_be_bytes));
        self.point(position.lon(), position.lat());
        self.optional(speed.map(|speed| speed.to_km_per_hour().to_be_bytes()));
        // The column is signed: the highest mark shows as a sign, and comes back as it was.
        self.field(&flags.0.to_be_bytes());
        for reading in readings(engine) {
            self.optional(reading.map(f32::to_be_bytes));
        }
        self.optional(satellites.map(|count| i16::from(count).to_be_bytes()));
        self.field(&class.to_be_bytes());
        self.optional(engine.ignition.map(|on| [u8::from(on)]));
        self.field(row.vehicle.as_str().as_bytes());
        self.field(row.tenant.as_str().as_bytes());
        match &engine.driver {
            Some(driver) => self.field(driver.as_str().as_bytes()),
            None => self.null(),
        }
        self.codes(&engine.fault_codes);
    }

    fn field(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(&(value.len() as i32).to_be_bytes());
        self.bytes.extend_from_slice(value);
    }

    fn null(&mut self) {
        self.bytes.extend_from_slice(&(-1i32).to_be_bytes());
    }

    fn optional<const N: usize>(&mut self, value: Option<[u8; N]>) {
        match value {
            Some(value) => self.field(&value),
            None => self.null(),
        }
    }

    /// A number without its length: the count of fields.
    fn i16_bare(&mut self, value: i16) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    fn i32(&mut self, value: i32) {
        self.field(&value.to_be_bytes());
    }

    fn i64(&mut self, value: i64) {
        self.field(&value.to_be_bytes());
    }

    fn time(&mut self, time: WallTime) {
        self.i64(time.as_micros().saturating_sub(TIME_ORIGIN_US));
    }

    fn point(&mut self, x: f64, y: f64) {
        self.bytes.extend_from_slice(&25i32.to_be_bytes());
        self.bytes.push(1);
        for word in [EWKB_POINT_SRID, SRID] {
            self.bytes.extend_from_slice(&word.to_le_bytes());
        }
        for coordinate in [x, y] {
            self.bytes.extend_from_slice(&coordinate.to_le_bytes());
        }
    }

    /// An array of one dimension from 1, as `array_recv` takes it; none at all is null.
    fn codes(&mut self, codes: &[u32]) {
        if codes.is_empty() {
            return self.null();
        }
        let count = codes.len() as u32;
        self.bytes.extend_from_slice(&(20 + 8 * count).to_be_bytes());
        for word in [1, 0, INT4_OID, count, 1] {
            self.bytes.extend_from_slice(&word.to_be_bytes());
        }
        for code in codes {
            self.field(&code.to_be_bytes());
        }
    }
}

/// The readings that are single numbers, in the order in which they are kept.
pub(super) fn readings(engine: &Engine) -> [Option<f32>; 8] {
    [
        engine.fuel_level_percent,
        engine.fuel_rate_l_per_h,
        engine.engine_speed_rpm,
        engine.engine_load_percent,
        engine.coolant_celsius,
        engine.battery_volts,
        engine.throttle_percent,
        engine.brake_percent,
    ]
}

#[cfg(test)]
mod tests {
    use drover_model::{Epoch, Position, TenantId, VehicleId};

    use super::*;

    fn row() -> Row {
        let time = WallTime::from_micros(TIME_ORIGIN_US + 5);
        let mut fix = Fix::bare(3, time, Position::new(60.0, 24.0).expect("in range"));
        fix.engine.fault_codes = vec![7];
        Row {
            tenant: TenantId::new("acme").expect("a valid name"),
            vehicle: VehicleId::new("V").expect("a valid name"),
            origin: Origin::Spool(Epoch::from_bits(2)),
            fix,
        }
    }

    #[test]
    fn a_row_is_written_as_the_manual_says() {
        let bytes: Vec<u8> = Pieces::new(Shape::Telemetry, &[row()], &[1]).flatten().collect();
        let mut expected = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
        let mut add = |bytes: &[u8]| expected.extend_from_slice(bytes);
        add(&[0, 26]);
        for number in [5i64, 2, 3] {
            add(&[0, 0, 0, 8]);
            add(&number.to_be_bytes());
        }
        add(&[0xff; 4 * 5]);
        add(&[0, 0, 0, 25, 1, 1, 0, 0, 0x20, 0xe6, 0x10, 0, 0]);
        add(&24f64.to_le_bytes());
        add(&60f64.to_le_bytes());
        add(&[0xff; 4]);
        add(&[0, 0, 0, 4, 0, 0, 0, 0]);
        add(&[0xff; 4 * 9]);
        add(&[0, 0, 0, 2, 0, 1]);
        add(&[0xff; 4]);
        add(b"\0\0\0\x01V\0\0\0\x04acme");
        add(&[0xff; 4]);
        add(&[
            0, 0, 0, 28, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 23, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0, 7,
        ]);
        add(&[0xff; 2]);
        assert_eq!(bytes, expected);
        assert_eq!(COLUMNS.split(',').count(), COLUMNS_LEN as usize);
    }

    #[test]
    fn a_staged_row_begins_with_its_place() {
        let bytes: Vec<u8> = Pieces::new(Shape::Staged, &[row(), row()], &[0, 0]).flatten().collect();
        let second = HEADER.len() + (bytes.len() - HEADER.len() - 2) / 2;
        assert_eq!(&bytes[second..second + 10], [0, 27, 0, 0, 0, 4, 0, 0, 0, 1]);
    }

    #[test]
    fn pieces_are_cut_between_rows_and_only_the_last_ends() {
        for count in [0, 1, PIECE_ROWS, PIECE_ROWS + 1, 2 * PIECE_ROWS] {
            let (rows, classes) = (vec![row(); count], vec![0; count]);
            let pieces: Vec<Vec<u8>> = Pieces::new(Shape::Telemetry, &rows, &classes).collect();
            assert_eq!(pieces.len(), count.div_ceil(PIECE_ROWS).max(1), "{count}");
            let len: usize = pieces.iter().map(Vec::len).sum();
            let one = Pieces::new(Shape::Telemetry, &rows[..count.min(1)], &classes).flatten().count();
            let row_len = if count > 0 { one - HEADER.len() - 2 } else { 0 };
            assert_eq!(len, HEADER.len() + count * row_len + 2, "{count}");
        }
    }

    #[test]
    fn a_bare_report_is_identified_by_its_time() {
        let bare = Row { origin: Origin::Legacy, ..row() };
        assert_eq!(identity(&bare), (-1, 0));
    }
}
