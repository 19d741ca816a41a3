//! Wishes to change something, and what became of them.

use serde::{Deserialize, Serialize};

use super::passage::PassageState;
use super::states::{MessageState, OrderState, RouteState, StopState};
use crate::{
    CommandId, GeofenceId, MessageId, OrderId, Position, RouteId, ShareHash, ShareLinkId, StopId, TenantId,
    VehicleId, WallTime,
};

/// Most stops of an order.
pub const STOPS_MAX: usize = 100;
/// Longest name of a customer, in bytes.
pub const CUSTOMER_BYTES_MAX: usize = 256;
/// Longest message, in bytes.
pub const BODY_BYTES_MAX: usize = 4096;
/// Longest name of a geofence, in bytes.
pub const TITLE_BYTES_MAX: usize = 256;
/// Most corners of a geofence.
pub const CORNERS_MAX: usize = 1_000;
/// Most points of a route's path.
pub const POINTS_MAX: usize = 10_000;
/// Highest version of a route: what a column holds.
const VERSION_MAX: u32 = i32::MAX as u32;
/// Times of orders are of the years 2000 to 2099, as those of fixes.
const TIMES: std::ops::Range<WallTime> = WallTime::from_secs(946_684_800)..WallTime::from_secs(4_102_444_800);

/// A stop of an order that is about to be made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NewStop {
    /// Its identity, given by whoever makes it.
    pub id: StopId,
    /// Where it is.
    pub position: Position,
    /// Not before, if that matters.
    pub due_from: Option<WallTime>,
    /// Not after, if that matters.
    pub due_until: Option<WallTime>,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Action {
    /// An order that is new, planned, with its stops in the order in which they are driven.
    CreateOrder {
        /// Its identity.
        order: OrderId,
        /// Whose it is, as people call them; [`CUSTOMER_BYTES_MAX`] bytes at most.
        customer: String,
        /// One to [`STOPS_MAX`].
        stops: Vec<NewStop>,
    },
    /// A step of an order.
    ChangeOrder {
        /// Which.
        order: OrderId,
        /// The state in which it is believed to be.
        from: OrderState,
        /// The state that it is to be in.
        to: OrderState,
        /// Who gets it: with `to` of [`OrderState::Assigned`], and only then.
        vehicle: Option<VehicleId>,
    },
    /// A step of a stop.
    ChangeStop {
        /// Which.
        stop: StopId,
        /// The state in which it is believed to be.
        from: StopState,
        /// The state that it is to be in.
        to: StopState,
    },
    /// A message that is new, queued.
    SendMessage {
        /// Its identity.
        message: MessageId,
        /// Who gets it, or has sent it.
        vehicle: VehicleId,
        /// True if the vehicle gets it.
        to_vehicle: bool,
        /// What it says; [`BODY_BYTES_MAX`] bytes at most.
        body: String,
        /// When nobody needs it any more.
        expires: WallTime,
    },
    /// A step of a message.
    ChangeMessage {
        /// Which.
        message: MessageId,
        /// The state in which it is believed to be.
        from: MessageState,
        /// The state that it is to be in.
        to: MessageState,
    },
    /// What a vehicle's tracker has said of a message, or how the message ended without it.
    PassMessage {
        /// Which.
        message: MessageId,
        /// Whose tracker.
        vehicle: VehicleId,
        /// How far it has come; never [`PassageState::Queued`].
        to: PassageState,
    },
    /// What a vehicle's tracker has said of a version of a route.
    PassRoute {
        /// Which.
        route: RouteId,
        /// Which version of it.
        version: u32,
        /// Whose tracker.
        vehicle: VehicleId,
        /// How far it has come; never [`PassageState::Queued`].
        to: PassageState,
    },
    /// A link that shows one order to whoever has its secret.
    ShareOrder {
        /// Its identity.
        link: ShareLinkId,
        /// What it shows.
        order: OrderId,
        /// What is kept of its secret.
        secret: ShareHash,
        /// When it is over.
        expires: WallTime,
    },
    /// A link that shows nothing any more.
    RevokeShareLink {
        /// Which.
        link: ShareLinkId,
    },
    /// An area that gets a name.
    DrawGeofence {
        /// Its identity.
        geofence: GeofenceId,
        /// Its name; [`TITLE_BYTES_MAX`] bytes at most.
        title: String,
        /// Three to [`CORNERS_MAX`], without crossing lines; it is closed by itself.
        corners: Vec<Position>,
    },
    /// An area that gets another name, other corners, or both. It stays the same area: what is not given stays as it was.
    ChangeGeofence {
        /// Which.
        geofence: GeofenceId,
        /// Its name from now on; [`TITLE_BYTES_MAX`] bytes at most.
        title: Option<String>,
        /// Its corners from now on, as those of one that is drawn.
        corners: Option<Vec<Position>>,
    },
    /// An area that nobody needs any more.
    RemoveGeofence {
        /// Which.
        geofence: GeofenceId,
    },
    /// The way that a vehicle is to drive from now on. Versions of a route count up from 1.
    PlanRoute {
        /// Its identity.
        route: RouteId,
        /// One that is not there yet; those before it are over with it.
        version: u32,
        /// Who drives it.
        vehicle: VehicleId,
        /// Where it halts, in order; [`STOPS_MAX`] at most.
        stops: Vec<StopId>,
        /// The way, if it is known: two to [`POINTS_MAX`] points, or none.
        path: Vec<Position>,
        /// What the driver is told of it; [`BODY_BYTES_MAX`] bytes at most.
        reason: String,
    },
    /// A step of a version of a route.
    ChangeRoute {
        /// Which.
        route: RouteId,
        /// Which version of it.
        version: u32,
        /// The state in which it is believed to be.
        from: RouteState,
        /// The state that it is to be in.
        to: RouteState,
    },
}

/// One wish, of one tenant.
#[derive(Debug, Clone, PartialEq)]
pub struct Command {
    /// Whose things it is about.
    pub tenant: TenantId,
    /// What makes two wishes the same wish.
    pub id: CommandId,
    /// When it was taken up, by the clock of who took it. Of a wish that is said again the first time holds.
    pub at: WallTime,
    /// What is asked for.
    pub action: Action,
}

impl Command {
    /// Checks what types can not say.
    ///
    /// # Errors
    /// Names the field and what it may be.
    pub fn check(&self) -> Result<(), String> {
        match &self.action {
            Action::CreateOrder { customer, stops, .. } => {
                check_text("customer", customer, CUSTOMER_BYTES_MAX)?;
                if stops.is_empty() || stops.len() > STOPS_MAX {
                    return Err(format!("{} stops: an order has 1 to {STOPS_MAX}", stops.len()));
                }
                stops.iter().try_for_each(check_stop)?;
                let mut ids: Vec<StopId> = stops.iter().map(|stop| stop.id).collect();
                ids.sort_unstable();
                match ids.windows(2).find(|pair| pair[0] == pair[1]) {
                    Some(pair) => Err(format!("stop {} is given twice", pair[0])),
                    None => Ok(()),
                }
            }
            Action::ChangeOrder { to: OrderState::Assigned, vehicle: None, .. } => {
                Err("an order is assigned to a vehicle: none is named".to_owned())
            }
            Action::ChangeOrder { to, vehicle: Some(vehicle), .. } if *to != OrderState::Assigned => {
                Err(format!("vehicle {vehicle} is named, and the order is not assigned but {to}"))
            }
            Action::SendMessage { body, expires, .. } => {
                check_text("body", body, BODY_BYTES_MAX)?;
                check_time("expires", *expires)
            }
            Action::ShareOrder { expires, .. } => check_time("expires", *expires),
            Action::DrawGeofence { title, corners, .. } => {
                check_text("title", title, TITLE_BYTES_MAX)?;
                check_corners(corners)
            }
            Action::ChangeGeofence { title: None, corners: None, .. } => {
                Err("an area is changed in its title, its corners or both: neither is given".to_owned())
            }
            Action::ChangeGeofence { title, corners, .. } => {
                title.as_ref().map_or(Ok(()), |title| check_text("title", title, TITLE_BYTES_MAX))?;
                corners.as_ref().map_or(Ok(()), |corners| check_corners(corners))
            }
            Action::PlanRoute { version, stops, path, reason, .. } => {
                check_text("reason", reason, BODY_BYTES_MAX)?;
                if *version == 0 || *version > VERSION_MAX {
                    return Err(format!("version {version}: they count from 1 to {VERSION_MAX}"));
                }
                if stops.len() > STOPS_MAX {
                    return Err(format!("{} stops: a route has at most {STOPS_MAX}", stops.len()));
                }
                match path.len() {
                    0 | 2..=POINTS_MAX => Ok(()),
                    many => Err(format!("a path of {many} points: it has none, or 2 to {POINTS_MAX}")),
                }
            }
            Action::PassMessage { to: PassageState::Queued, .. }
            | Action::PassRoute { to: PassageState::Queued, .. } => {
                Err("to: what is queued is so from the beginning".to_owned())
            }
            Action::PassMessage { .. }
            | Action::PassRoute { .. }
            | Action::ChangeOrder { .. }
            | Action::ChangeStop { .. }
            | Action::ChangeMessage { .. }
            | Action::RevokeShareLink { .. }
            | Action::RemoveGeofence { .. }
            | Action::ChangeRoute { .. } => Ok(()),
        }
    }
}

fn check_text(name: &str, text: &str, bytes_max: usize) -> Result<(), String> {
    match text.len() {
        len if len > bytes_max => Err(format!("{name} of {len} bytes exceeds the limit of {bytes_max}")),
        _ if text.contains('\0') => Err(format!("{name} has a NUL in it, which no table holds")),
        _ => Ok(()),
    }
}

fn check_corners(corners: &[Position]) -> Result<(), String> {
    match corners.len() {
        3..=CORNERS_MAX if is_simple(corners) => Ok(()),
        3..=CORNERS_MAX => Err("corners: the area's border crosses or touches itself".to_owned()),
        many => Err(format!("{many} corners: an area has 3 to {CORNERS_MAX}")),
    }
}

fn check_time(name: &str, time: WallTime) -> Result<(), String> {
    if TIMES.contains(&time) {
        Ok(())
    } else {
        Err(format!("{name} of {time} is outside the years 2000 to 2099"))
    }
}

/// True if no two sides of the closed ring share a point, but for neighbours their corner. On the plane of degrees, as PostGIS sees it.
fn is_simple(corners: &[Position]) -> bool {
    type Point = (f64, f64);
    let points: Vec<Point> = corners.iter().map(|corner| (corner.lon(), corner.lat())).collect();
    let turn = |a: Point, b: Point, c: Point| {
        let cross = (b.0 - a.0) * (c.1 - a.1) - (b.1 - a.1) * (c.0 - a.0);
        if cross == 0.0 { 0.0 } else { cross.signum() }
    };
    // Of three points on one line: does `c` lie between `a` and `b`?
    let between = |a: Point, b: Point, c: Point| {
        (a.0.min(b.0)..=a.0.max(b.0)).contains(&c.0) && (a.1.min(b.1)..=a.1.max(b.1)).contains(&c.1)
    };
    let meet = |(a, b): (Point, Point), (c, d): (Point, Point)| {
        let (abc, abd, cda, cdb) = (turn(a, b, c), turn(a, b, d), turn(c, d, a), turn(c, d, b));
        (abc * abd < 0.0 && cda * cdb < 0.0)
            || (abc == 0.0 && between(a, b, c))
            || (abd == 0.0 && between(a, b, d))
            || (cda == 0.0 && between(c, d, a))
            || (cdb == 0.0 && between(c, d, b))
    };
    let len = points.len();
    let side = |at: usize| (points[at % len], points[(at + 1) % len]);
    (0..len).all(|first| {
        let (from, to) = side(first);
        let (corner, next) = side(first + 1);
        // A neighbour may not fold back over it.
        let folds = turn(from, corner, next) == 0.0 && (between(from, to, next) || between(to, next, from));
        from != to
            && !folds
            && (first + 2..len.min(len - 1 + first)).all(|second| !meet(side(first), side(second)))
    })
}

fn check_stop(stop: &NewStop) -> Result<(), String> {
    for (name, time) in [("due_from", stop.due_from), ("due_until", stop.due_until)] {
        time.map_or(Ok(()), |time| check_time(name, time))?;
    }
    match (stop.due_from, stop.due_until) {
        (Some(from), Some(until)) if until <= from => {
            Err(format!("stop {} is due until {until}, and from {from} on", stop.id))
        }
        _ => Ok(()),
    }
}

/// What became of a wish: once and for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It was carried out.
    Applied,
    /// Nothing was changed: something has this identity already.
    Exists,
    /// Nothing was changed: there is no such thing.
    Missing,
    /// Nothing was changed: the thing was in another state than was believed.
    Elsewhere,
    /// Nothing was changed: no step leads there.
    NotAStep,
}

impl Verdict {
    /// Every one.
    pub const ALL: [Self; 5] = [Self::Applied, Self::Exists, Self::Missing, Self::Elsewhere, Self::NotAStep];

    /// Its name, in tables and on the bus.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Exists => "exists",
            Self::Missing => "missing",
            Self::Elsewhere => "elsewhere",
            Self::NotAStep => "not_a_step",
        }
    }

    /// The verdict of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verdict| verdict.as_str() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_that_can_not_be_is_named() {
        let check = |action: Action, expected: &str| {
            let tenant = "acme".parse().expect("a valid name");
            let said =
                Command { tenant, id: CommandId::from_bits(1), at: WallTime::UNIX_EPOCH, action }.check();
            assert_eq!(said.err().unwrap_or_default(), expected);
        };
        let stop = NewStop {
            id: StopId::from_bits(7),
            position: Position::new(60.0, 24.0).expect("in range"),
            due_from: None,
            due_until: None,
        };
        let order = OrderId::from_bits(1);
        let create =
            |customer: &str, stops| Action::CreateOrder { order, customer: customer.to_owned(), stops };
        check(create("Ann", vec![stop.clone()]), "");
        check(create("Ann", vec![]), "0 stops: an order has 1 to 100");
        check(create("A\0", vec![stop.clone()]), "customer has a NUL in it, which no table holds");
        let twice = "stop 00000000-0000-0000-0000-000000000007 is given twice";
        check(create("Ann", vec![stop.clone(), stop.clone()]), twice);
        let late = NewStop { due_from: Some(WallTime::from_secs(5)), ..stop };
        check(create("", vec![late]), "due_from of 1970-01-01T00:00:05Z is outside the years 2000 to 2099");
        let (from, to) = (OrderState::Planned, OrderState::Assigned);
        let change = |to, vehicle| Action::ChangeOrder { order, from, to, vehicle };
        check(change(to, None), "an order is assigned to a vehicle: none is named");
        let van = Some("V".parse().expect("a valid name"));
        check(change(to, van), "");
        check(
            change(OrderState::Cancelled, van),
            "vehicle V is named, and the order is not assigned but cancelled",
        );
        let corner = Position::new(60.0, 24.0).expect("in range");
        let area = |title: &str, corners: &[(f64, f64)]| Action::DrawGeofence {
            geofence: GeofenceId::from_bits(1),
            title: title.to_owned(),
            corners: corners.iter().map(|(lat, lon)| Position::new(*lat, *lon).expect("in range")).collect(),
        };
        let square = [(60.0, 24.0), (60.0, 25.0), (61.0, 25.0), (61.0, 24.0)];
        check(area("harbour", &square), "");
        check(area("harbour", &square[..2]), "2 corners: an area has 3 to 1000");
        check(area(&"x".repeat(257), &square), "title of 257 bytes exceeds the limit of 256");
        let crossed = "corners: the area's border crosses or touches itself";
        check(area("bow tie", &[square[0], square[2], square[1], square[3]]), crossed);
        check(area("line", &[square[0], square[1], (60.0, 24.5)]), crossed);
        check(area("twice", &[square[0], square[0], square[1], square[2]]), crossed);
        check(
            area("touching", &[square[0], (60.0, 24.5), square[1], square[2], (60.0, 24.5), square[3]]),
            crossed,
        );
        check(area("corner on a line", &[square[0], (60.0, 24.5), square[1], square[2]]), "");
        let route = |version, points| Action::PlanRoute {
            route: RouteId::from_bits(1),
            version,
            vehicle: "V".parse().expect("a valid name"),
            stops: vec![StopId::from_bits(1)],
            path: vec![corner; points],
            reason: String::new(),
        };
        check(route(1, 0), "");
        check(route(1, 1), "a path of 1 points: it has none, or 2 to 10000");
        check(route(0, 2), "version 0: they count from 1 to 2147483647");
    }
}
