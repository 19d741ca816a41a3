//! The least that storing costs: binary COPY of the same bytes, into a table of the same columns and key.

use std::time::Instant;

use drover_env::real;
use drover_model::{Epoch, Fix, Position, TenantId, VehicleId, WallTime};
use drover_store::postgres::{BareCopy, Config, copy_bytes};
use drover_store::{Origin, Row};
use tokio::runtime::Runtime;

use crate::cpu::of_task;

/// Rows of a batch, each one transaction.
const ROWS: u64 = 5_000;
/// Batches of a slice.
const BATCHES: u64 = 2;

pub(super) struct Copying {
    runtime: Runtime,
    copy: BareCopy,
    next: u64,
    start: WallTime,
}

/// What a slice gave.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rate {
    pub(super) rows_per_s: f64,
    /// None where the server is on another machine.
    pub(super) cpu_us_per_row: Option<f64>,
}

impl Copying {
    pub(super) fn new(database: &Config) -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let copy = runtime.block_on(BareCopy::open(database))?;
        Ok(Self { runtime, copy, next: 0, start: real::wall() })
    }

    pub(super) fn slice(&mut self) -> Result<Rate, String> {
        let mut bytes = Vec::new();
        for _ in 0..BATCHES {
            bytes.push(copy_bytes(&self.rows()?));
        }
        let backend = self.copy.backend();
        let (used, begun) = (of_task(backend), Instant::now());
        self.runtime.block_on(async {
            for batch in bytes {
                self.copy.write(batch).await?;
            }
            Ok::<_, String>(())
        })?;
        let rows = (ROWS * BATCHES) as f64;
        let took = begun.elapsed().as_secs_f64();
        let used = used.zip(of_task(backend)).map(|(before, after)| (after - before).as_secs_f64());
        Ok(Rate { rows_per_s: rows / took.max(1e-9), cpu_us_per_row: used.map(|used| used * 1e6 / rows) })
    }

    /// Removes what was written.
    pub(super) fn close(self) -> Result<(), String> {
        self.runtime.block_on(self.copy.close())
    }

    fn rows(&mut self) -> Result<Vec<Row>, String> {
        let tenant = TenantId::new("bare").map_err(|error| error.to_string())?;
        let row = |number: u64| {
            let vehicle =
                VehicleId::new(&format!("VAN-{:05}", number % ROWS)).map_err(|error| error.to_string())?;
            let time = WallTime::from_micros(self.start.as_micros() + (number / ROWS) as i64 * 1_000_000);
            let place = Position::new(60.17, 24.94).map_err(|error| error.to_string())?;
            let fix = Fix::bare(number / ROWS, time, place);
            Ok(Row { tenant, vehicle, origin: Origin::Spool(Epoch::from_bits(7)), fix })
        };
        let rows = (self.next..self.next + ROWS).map(row).collect::<Result<_, String>>();
        self.next += ROWS;
        rows
    }
}
