//! One session: a client's socket while it has one, who it is once that is known, and what it sees. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use drover_auth::{Principal, Scope};
use drover_model::VehicleId;
use tokio::time::Instant;

use crate::cells::Area;

use crate::fleet::{Fleet, Place};
use crate::interest::{Interest, SessionKey, Want};
use crate::outbox::{Farewell, Out, Outbox};
use crate::protocol::{Code, Encoding, Refusal, Topic};
use crate::view::View;

/// What a session is seen beside when its topics change.
pub(crate) struct Around<'a> {
    pub(crate) now: Instant,
    pub(crate) fleet: &'a Fleet,
    pub(crate) interest: &'a mut Interest,
}

/// How far a session is.
#[derive(Debug)]
pub(crate) enum Stage {
    /// Nobody knows yet who it is.
    Unknown,
    /// It is somebody.
    Known(Box<View>),
}

/// A session.
#[derive(Debug)]
pub(crate) struct Session {
    /// What the client calls it when it resumes. Nobody guesses it.
    pub(crate) name: String,
    pub(crate) peer: IpAddr,
    pub(crate) encoding: Encoding,
    pub(crate) stage: Stage,
    pub(crate) outbox: Outbox,
    /// Set once it is let go: told to the client after what is in the outbox.
    pub(crate) farewell: Option<Farewell>,
    pub(crate) opened: Instant,
    pub(crate) heard: Instant,
    pub(crate) pinged: bool,
    /// Since when it has no socket.
    pub(crate) detached: Option<Instant>,
    /// It is on the list of those with news.
    pub(crate) listed: bool,
    /// Topics by their text.
    topics: BTreeMap<String, Topic>,
}

impl Session {
    pub(crate) fn new(name: String, peer: IpAddr, encoding: Encoding, now: Instant) -> Self {
        Self {
            name,
            peer,
            encoding,
            stage: Stage::Unknown,
            outbox: Outbox::default(),
            farewell: None,
            opened: now,
            heard: now,
            pinged: false,
            detached: None,
            listed: false,
            topics: BTreeMap::new(),
        }
    }

    pub(crate) fn view(&self) -> Option<&View> {
        match &self.stage {
            Stage::Known(view) => Some(view),
            Stage::Unknown => None,
        }
    }

    pub(crate) fn view_mut(&mut self) -> Option<&mut View> {
        match &mut self.stage {
            Stage::Known(view) => Some(view),
            Stage::Unknown => None,
        }
    }

    pub(crate) fn principal(&self) -> Option<Arc<Principal>> {
        self.view().map(|view| view.principal.clone())
    }

    /// Adds an answer; false if the client lets too many of them lie.
    pub(crate) fn answer(&mut self, text: bytes::Bytes) -> bool {
        self.outbox.push(Out::Text(text))
    }

    /// Adds a topic: the client sees what is in it from now on.
    pub(crate) fn subscribe(
        &mut self,
        key: SessionKey,
        (topic, text): (Topic, &str),
        topics_max: usize,
        around: &mut Around<'_>,
    ) -> Result<(), Refusal> {
        let Stage::Known(view) = &mut self.stage else { return Ok(()) };
        may(&view.principal, &topic)?;
        let before = self.topics.remove(text);
        if before.is_none() && self.topics.len() >= topics_max {
            return Err(Refusal::new(Code::TooMany, format!("a session has at most {topics_max} topics")));
        }
        match before {
            // What it has it keeps; it is only told anew.
            Some(before) if before == topic => {}
            Some(before) => {
                register(view, key, &before, around, false);
                register(view, key, &topic, around, true);
                view.prune(around.fleet);
            }
            None => register(view, key, &topic, around, true),
        }
        let places = places_of(view, &topic, around.fleet);
        self.topics.insert(text.to_owned(), topic.clone());
        if topic != Topic::Events {
            view.snapshot(text, places);
        }
        Ok(())
    }

    /// Gives a topic up. Returns false if it is none of the session's.
    pub(crate) fn unsubscribe(&mut self, key: SessionKey, text: &str, around: &mut Around<'_>) -> bool {
        let Stage::Known(view) = &mut self.stage else { return false };
        let Some(topic) = self.topics.remove(text) else { return false };
        register(view, key, &topic, around, false);
        view.forget_snapshot(text);
        view.prune(around.fleet);
        true
    }

    /// Leaves the index; `into` takes its place, if there is somebody.
    pub(crate) fn withdraw(&mut self, key: SessionKey, into: Option<SessionKey>, around: &mut Around<'_>) {
        let Stage::Known(view) = &mut self.stage else { return };
        for topic in self.topics.values() {
            // The new one first, so that nothing is given up in between.
            if let Some(into) = into {
                for want in wants_of(&view.principal, topic) {
                    around.interest.add(want.clone(), into, &members(view, &want, around.fleet));
                }
            }
            for want in wants_of(&view.principal, topic) {
                around.interest.remove(around.now, &want, key, &members(view, &want, around.fleet));
            }
        }
    }

    /// Goes on where `other` was.
    pub(crate) fn take_over(&mut self, other: &mut Self) {
        std::mem::swap(&mut self.stage, &mut other.stage);
        std::mem::swap(&mut self.topics, &mut other.topics);
        let encoding = self.encoding;
        if let Some(view) = self.view_mut() {
            view.set_encoding(encoding);
        }
    }
}

/// True if the token is good for the topic.
fn may(principal: &Principal, topic: &Topic) -> Result<(), Refusal> {
    let forbidden =
        |what: &str| Err(Refusal::new(Code::Forbidden, format!("the token does not show {what}")));
    match topic {
        Topic::Vehicles(listed) => match listed.iter().find(|vehicle| !principal.concerns(**vehicle)) {
            Some(vehicle) => forbidden(vehicle.as_str()),
            None => Ok(()),
        },
        Topic::Group(_) | Topic::Viewport(_) if principal.vehicle.is_some() => {
            forbidden("more than its own vehicles")
        }
        // They tell what the HTTP API tells of orders and messages, to those whom it tells that.
        Topic::Events if !(principal.scopes.has(Scope::RouteRead) || principal.scopes.has(Scope::Drive)) => {
            forbidden("events")
        }
        Topic::All | Topic::Group(_) | Topic::Viewport(_) | Topic::Events => Ok(()),
    }
}

/// What a topic means to the index.
fn wants_of(principal: &Principal, topic: &Topic) -> Vec<Want> {
    let tenant = principal.tenant;
    match topic {
        Topic::All => vec![match principal.vehicle {
            None => Want::All(tenant),
            Some(own) => Want::Vehicle(tenant, own),
        }],
        Topic::Vehicles(listed) => listed.iter().map(|vehicle| Want::Vehicle(tenant, *vehicle)).collect(),
        Topic::Group(name) => vec![Want::Group(tenant, name.clone())],
        Topic::Events => vec![Want::Events(tenant)],
        Topic::Viewport(viewport) => match viewport.area() {
            Area::Everything => vec![Want::All(tenant)],
            Area::Cells(_, cells) => cells.into_iter().map(|cell| Want::Cell(tenant, cell)).collect(),
        },
    }
}

fn members(view: &View, want: &Want, fleet: &Fleet) -> Vec<VehicleId> {
    match want {
        Want::Group(_, name) => fleet.members(view.tenant(), name),
        Want::All(_) | Want::Vehicle(..) | Want::Cell(..) | Want::Events(_) => Vec::new(),
    }
}

fn register(view: &mut View, key: SessionKey, topic: &Topic, around: &mut Around<'_>, wanted: bool) {
    match topic {
        Topic::All => view.set_all(wanted),
        Topic::Vehicles(listed) if wanted => listed.iter().for_each(|vehicle| view.add_vehicle(*vehicle)),
        Topic::Vehicles(listed) => listed.iter().for_each(|vehicle| view.remove_vehicle(*vehicle)),
        Topic::Group(name) => view.set_group(name, wanted),
        Topic::Viewport(viewport) => view.set_area(wanted.then(|| viewport.area())),
        Topic::Events => {}
    }
    for want in wants_of(&view.principal, topic) {
        let members = members(view, &want, around.fleet);
        if wanted {
            around.interest.add(want, key, &members);
        } else if !view.still_wants(&want) {
            around.interest.remove(around.now, &want, key, &members);
        }
    }
}

/// The vehicles of a topic, as far as the hub has heard of them.
fn places_of(view: &View, topic: &Topic, fleet: &Fleet) -> Vec<Place> {
    let tenant = view.tenant();
    let named = |names: &mut dyn Iterator<Item = &VehicleId>| {
        names.filter_map(|vehicle| fleet.place(tenant, *vehicle)).collect()
    };
    match (topic, &view.principal.vehicle) {
        // For whoever sees one, not all are looked at.
        (Topic::All, Some(own)) => {
            let mut places: Vec<Place> = named(&mut std::iter::once(own));
            places.retain(|place| view.wants(fleet.vehicle(*place)));
            places
        }
        (Topic::All | Topic::Viewport(_) | Topic::Group(_), _) => {
            let wanted = |(place, vehicle): (Place, &crate::fleet::Vehicle)| {
                let inside = match topic {
                    Topic::All => true,
                    Topic::Group(name) => vehicle.group.as_ref() == Some(name),
                    _ => view.is_in_area(vehicle),
                };
                (inside && view.wants(vehicle)).then_some(place)
            };
            fleet.of_tenant(tenant).filter_map(wanted).collect()
        }
        (Topic::Vehicles(listed), _) => named(&mut listed.iter()),
        (Topic::Events, _) => Vec::new(),
    }
}
