//! The reading tools: a question from the bus, checked; the store's answer, as messages.

use std::future::Future;
use std::sync::Arc;

use drover_bus::history::{
    AreaQuery, DailyTotals, FixList, NewestOf, NewestPositions, ROWS_MAX, SpanQuery, TotalInfo, TotalList,
    Track, TripInfo, TripList, Trips, VehicleQuery, VehiclesQuery, VisitInfo, VisitList, VisitQuery, Visits,
};
use drover_bus::{AgentBuilder, CallError};
use drover_model::MetersPerSecond;
use drover_store::{
    Area, Bounds, DailyTotal, History, HistoryError, Ring, Seen, Span, Trip, Visit, simplified,
};
use drover_wire::GeoTelemetry;

use crate::arguments::{micros, missing, parsed, place, tenant, time, vehicle};

/// Fixes that a track is made of at most, before it is simplified: a week at one a second. At the bound the question is refused.
const TRACK_FIXES_MAX: usize = 604_800;
/// Points of a track whose caller does not say how many it wants: a map has not many more pixels across.
const POINTS_DEFAULT: u32 = 1_000;

/// Adds the reading tools to an agent.
pub(crate) fn with_tools(agent: AgentBuilder, history: &Arc<dyn History>) -> AgentBuilder {
    /// Gives each call the store.
    fn on<I, O, F>(
        history: &Arc<dyn History>,
        ask: impl Fn(Arc<dyn History>, I) -> F + Send + Sync + 'static,
    ) -> impl Fn(drover_bus::CallContext, I) -> F + Send + Sync + 'static
    where
        F: Future<Output = Result<O, CallError>> + Send + 'static,
    {
        let history = history.clone();
        move |_, input| ask(history.clone(), input)
    }
    agent
        .tool::<NewestPositions, _, _>(on(history, newest))
        .tool::<NewestOf, _, _>(on(history, newest_of))
        .tool::<Track, _, _>(on(history, track))
        .tool::<Visits, _, _>(on(history, visits))
        .tool::<Trips, _, _>(on(history, trips))
        .tool::<DailyTotals, _, _>(on(history, daily_totals))
}

async fn newest(history: Arc<dyn History>, query: AreaQuery) -> Result<FixList, CallError> {
    let tenant = tenant(query.tenant.as_deref())?;
    let min = place(query.south, query.west)?;
    let bounds = Bounds { min, max: place(query.north, query.east)? };
    let seen = history.newest_in(tenant, bounds, ROWS_MAX).await.map_err(away)?;
    Ok(FixList { fixes: seen.iter().map(fix).collect() })
}

async fn newest_of(history: Arc<dyn History>, query: VehiclesQuery) -> Result<FixList, CallError> {
    let tenant = tenant(query.tenant.as_deref())?;
    if query.vehicle_ids.len() > ROWS_MAX {
        let many = format!("vehicle_ids has {} entries, at most {ROWS_MAX} may be", query.vehicle_ids.len());
        return Err(CallError::BadArguments(many));
    }
    let vehicles = query.vehicle_ids.iter().map(|id| vehicle(Some(id))).collect::<Result<_, _>>()?;
    let seen = history.newest_of(tenant, vehicles).await.map_err(away)?;
    Ok(FixList { fixes: seen.iter().map(fix).collect() })
}

async fn track(history: Arc<dyn History>, query: VehicleQuery) -> Result<FixList, CallError> {
    let (tenant, vehicle) = (tenant(query.tenant.as_deref())?, vehicle(query.vehicle_id.as_deref())?);
    let span = span(query.from_us, query.until_us)?;
    let points_max = (query.points_max.unwrap_or(POINTS_DEFAULT) as usize).min(ROWS_MAX);
    let track = history.track(tenant, vehicle, span, TRACK_FIXES_MAX).await.map_err(away)?;
    Ok(FixList { fixes: simplified(track, points_max).iter().map(fix).collect() })
}

async fn visits(history: Arc<dyn History>, query: VisitQuery) -> Result<VisitList, CallError> {
    let tenant = tenant(query.tenant.as_deref())?;
    let span = span(query.from_us, query.until_us)?;
    let area = match &query.geofence_id {
        Some(_) if !query.corners.is_empty() => {
            let both = "an area is given by its corners or by geofence_id, not by both";
            return Err(CallError::BadArguments(both.to_owned()));
        }
        Some(id) => Area::Geofence(parsed(Some(id), "geofence_id")?),
        None => {
            let corners = query.corners.iter().map(|corner| place(corner.lat, corner.lon));
            Area::Ring(Ring::new(corners.collect::<Result<_, _>>()?).map_err(CallError::BadArguments)?)
        }
    };
    let visits = history.visits(tenant, area, span, ROWS_MAX).await.map_err(away)?;
    let info = |visit: &Visit| VisitInfo {
        vehicle_id: Some(visit.vehicle.to_string()),
        entered_us: micros(visit.entered),
        last_inside_us: micros(visit.last_inside),
    };
    Ok(VisitList { visits: visits.iter().map(info).collect() })
}

async fn trips(history: Arc<dyn History>, query: VehicleQuery) -> Result<TripList, CallError> {
    let (tenant, vehicle) = (tenant(query.tenant.as_deref())?, vehicle(query.vehicle_id.as_deref())?);
    let span = span(query.from_us, query.until_us)?;
    let trips = history.trips(tenant, vehicle, span, ROWS_MAX).await.map_err(away)?;
    let info = |trip: &Trip| TripInfo {
        started_us: micros(trip.started),
        ended_us: micros(trip.ended),
        distance_m: Some(trip.distance.value()),
        from_lat: Some(trip.from.lat()),
        from_lon: Some(trip.from.lon()),
        to_lat: Some(trip.to.lat()),
        to_lon: Some(trip.to.lon()),
    };
    Ok(TripList { trips: trips.iter().map(info).collect() })
}

async fn daily_totals(history: Arc<dyn History>, query: SpanQuery) -> Result<TotalList, CallError> {
    let tenant = tenant(query.tenant.as_deref())?;
    let span = span(query.from_us, query.until_us)?;
    let totals = history.daily_totals(tenant, span, ROWS_MAX).await.map_err(away)?;
    let info = |total: &DailyTotal| TotalInfo {
        vehicle_id: Some(total.vehicle.to_string()),
        day_us: micros(total.day),
        fixes: Some(total.fixes),
        distance_m: Some(total.distance_m),
        moving_s: Some(total.moving_s),
        idling_s: total.idling_s,
        fuel_l: total.fuel_l,
        speed_max_mps: total.speed_max.map(MetersPerSecond::value),
    };
    Ok(TotalList { totals: totals.iter().map(info).collect() })
}

pub(crate) fn away(error: HistoryError) -> CallError {
    match error {
        HistoryError::Unavailable { .. } => CallError::Unavailable(error.to_string()),
        HistoryError::TooMuch { .. } | HistoryError::NoGeofence { .. } => {
            CallError::Refused(error.to_string())
        }
    }
}

fn span(from_us: Option<u64>, until_us: Option<u64>) -> Result<Span, CallError> {
    let at = |micros: Option<u64>, what: &str| micros.ok_or_else(|| missing(what)).map(time);
    let span = Span { from: at(from_us, "begin of the span")?, until: at(until_us, "end of the span")? };
    if span.from >= span.until {
        return Err(CallError::BadArguments(format!("the span ends at {}, before it begins", span.until)));
    }
    Ok(span)
}

fn fix(seen: &Seen) -> GeoTelemetry {
    GeoTelemetry {
        vehicle_id: Some(seen.vehicle.to_string()),
        lat: Some(seen.position.lat()),
        lon: Some(seen.position.lon()),
        speed_kmh: seen.speed.map(MetersPerSecond::to_km_per_hour),
        time_us: micros(seen.time),
        speed_mps: seen.speed.map(MetersPerSecond::value),
        heading_deg: seen.heading.map(drover_model::Degrees::value),
        ..GeoTelemetry::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_that_can_not_be_is_named() {
        let said = |error: CallError| error.to_string();
        assert_eq!(
            span(Some(5), Some(5)).map_err(said),
            Err("bad arguments: the span ends at 1970-01-01T00:00:00.000005Z, before it begins".to_owned())
        );
        assert_eq!(
            span(None, Some(5)).map_err(said),
            Err("bad arguments: begin of the span is missing".to_owned())
        );
        assert!(span(Some(0), Some(u64::MAX)).is_ok());
    }
}
