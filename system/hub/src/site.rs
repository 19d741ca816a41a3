//! What a browser asks for beside its session: pages, the HTTP API, the street map behind the vehicles.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use drover_api::{Api, Fleet};
use drover_env::BoxFuture;
use drover_model::{TenantId, VehicleId};
use drover_streets::{ATTRIBUTION, DOCUMENT_BYTES_MAX, Streets};
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HOST,
    HeaderMap, HeaderName, HeaderValue, IF_NONE_MATCH, VARY,
};
use hyper::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};

use crate::home::{Homes, HubUrl};
use crate::live::Live;
use crate::oidc::Oidc;
use crate::reach::Reach;
use crate::server::{Body, Pages, problem};

/// How long a browser keeps the street map, in seconds.
const MAP_MAX_AGE: &str = "public, max-age=86400";

/// What pages show of a hub without a street map, until they know where its vehicles are: Europe.
const NOWHERE: [f64; 4] = [-10.0, 36.0, 30.0, 70.0];

/// Somebody whom a demonstration lets sign in by a click.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demo {
    /// What the button says.
    pub name: String,
    /// Their role.
    pub role: String,
    /// Their token.
    pub token: String,
}

/// What the pages are told before anybody has signed in.
#[derive(Debug, Clone, Default)]
pub struct SiteConfig {
    /// What the installation is called.
    pub name: String,
    /// The map; vehicles move over nothing without it.
    pub streets: Option<Streets>,
    /// Ready-made sign-ins; none in production.
    pub demo: Vec<Demo>,
    /// Where people sign in, if at an identity provider.
    pub oidc: Option<Oidc>,
    /// Where dispatchers break things, on this machine; nowhere in production.
    pub faults: Option<SocketAddr>,
    /// Where each hub is reached, if at an address of its own: customers are sent to the home of their vehicle.
    pub hub_url: Option<HubUrl>,
}

/// Answers everything that is no session.
pub(crate) struct Site {
    api: Api,
    config: Value,
    reach: Arc<Reach>,
    map: Map,
    /// Other origins that pages connect to.
    elsewhere: Vec<String>,
}

/// The street map, ready to be sent.
struct Map {
    streets: Streets,
    document: Bytes,
    packed: Bytes,
}

impl Site {
    pub(crate) fn new(api: Api, config: SiteConfig, reach: Arc<Reach>) -> Self {
        let map = Map::new(config.streets.clone().unwrap_or_default());
        let faults = config.faults.map(|addr| format!("http://{addr}"));
        let of_provider = config.oidc.iter().flat_map(|oidc| oidc.origins().iter().cloned());
        let hubs = config.hub_url.as_ref().map(HubUrl::source);
        let elsewhere = faults.iter().cloned().chain(of_provider).chain(hubs).collect();
        let mut config = described(&config, &map);
        if let Some(faults) = &faults {
            config["faults"] = json!(faults);
        }
        Self { api, config, reach, map, elsewhere }
    }

    /// What the pages are told; of certificates what is so now.
    fn described(&self) -> Bytes {
        let mut config = self.config.clone();
        config["web_transport"] = self.reach.described();
        config.to_string().into()
    }

    async fn find(&self, request: Request<Incoming>, peer: SocketAddr) -> Response<Body> {
        let path = request.uri().path().to_owned();
        match path.as_str() {
            "/config.json" | "/api/v1/config.json" => {
                bytes(StatusCode::OK, "application/json", self.described())
            }
            path if Api::is_of(path) => self.api.answer(request, peer.ip()).await.map(BodyExt::boxed_unsync),
            _ if *request.method() != Method::GET && *request.method() != Method::HEAD => {
                problem(StatusCode::METHOD_NOT_ALLOWED, &format!("{path} is read only"))
            }
            "/streets.geojson" => self.map.answer(request.headers()),
            path if path.starts_with("/tiles/") => self.tile(path),
            path => asset(path, request.headers(), &self.elsewhere(request.headers()))
                .unwrap_or_else(|| problem(StatusCode::NOT_FOUND, &format!("there is no {path}"))),
        }
    }

    /// Where pages connect to beside their own origin.
    fn elsewhere(&self, headers: &HeaderMap) -> Vec<String> {
        // WebTransport's port is another origin.
        let web_transport = self.reach.origin(header(headers, HOST));
        web_transport.into_iter().chain(self.elsewhere.iter().cloned()).collect()
    }

    /// `/tiles/ZOOM/X/Y.mvt`.
    fn tile(&self, path: &str) -> Response<Body> {
        let mut parts = path.trim_start_matches("/tiles/").trim_end_matches(".mvt").split('/');
        let mut next = || parts.next().and_then(|part| part.parse::<u32>().ok());
        let (Some(zoom), Some(x), Some(y)) = (next(), next(), next()) else {
            return problem(StatusCode::NOT_FOUND, "tiles are at /tiles/ZOOM/X/Y.mvt");
        };
        let tile = u8::try_from(zoom).ok().and_then(|zoom| self.map.streets.tile(zoom, x, y));
        let mut answer = match tile {
            Some(tile) => bytes(StatusCode::OK, "application/vnd.mapbox-vector-tile", tile.into()),
            None => bytes(StatusCode::NO_CONTENT, "application/vnd.mapbox-vector-tile", Bytes::new()),
        };
        answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static(MAP_MAX_AGE));
        answer
    }
}

impl Pages for Site {
    fn answer(&self, request: Request<Incoming>, peer: SocketAddr) -> BoxFuture<'_, Response<Body>> {
        Box::pin(async move {
            let head = *request.method() == Method::HEAD;
            let answer = self.find(request, peer).await;
            if head { answer.map(|_| Full::default().boxed_unsync()) } else { answer }
        })
    }
}

/// What the pages are told.
fn described(config: &SiteConfig, map: &Map) -> Value {
    let bounds = if config.streets.is_some() { map.streets.bounds() } else { NOWHERE };
    let [west, south, east, north] = bounds;
    let streets = if map.document.len() > DOCUMENT_BYTES_MAX {
        json!({ "tiles": "/tiles/{z}/{x}/{y}.mvt" })
    } else {
        json!("/streets.geojson")
    };
    let demo: Vec<Value> = config
        .demo
        .iter()
        .map(|demo| json!({ "name": demo.name, "role": demo.role, "token": demo.token }))
        .collect();
    json!({
        "name": config.name,
        "attribution": if config.streets.is_some() { ATTRIBUTION } else { "" },
        "streets": streets,
        "center": [f64::midpoint(west, east), f64::midpoint(south, north)],
        "bounds": bounds,
        "sign_in": match (&config.oidc, demo.is_empty()) {
            (_, false) => "demo",
            (Some(_), true) => "oidc",
            (None, true) => "token",
        },
        "oidc": config.oidc.as_ref().map(Oidc::described),
        "demo": demo,
    })
}

impl Map {
    fn new(streets: Streets) -> Self {
        let document = Bytes::from(streets.to_geojson());
        let mut packer = GzEncoder::new(Vec::new(), Compression::default());
        // Writing to memory never fails; what is not packed is sent as it is.
        let packed = packer.write_all(&document).and_then(|()| packer.finish()).unwrap_or_default();
        Self { streets, document, packed: packed.into() }
    }

    fn answer(&self, headers: &HeaderMap) -> Response<Body> {
        let accepts = header(headers, ACCEPT_ENCODING).contains("gzip") && !self.packed.is_empty();
        let body = if accepts { &self.packed } else { &self.document };
        let mut answer = bytes(StatusCode::OK, "application/geo+json", body.clone());
        let headers = answer.headers_mut();
        if accepts {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(MAP_MAX_AGE));
        answer
    }
}

/// A file of the pages.
fn asset(path: &str, headers: &HeaderMap, elsewhere: &[String]) -> Option<Response<Body>> {
    let asset = drover_web::asset(path)?.accepting(header(headers, ACCEPT_ENCODING));
    let mut answer = if asset.is_known(header(headers, IF_NONE_MATCH)) {
        bytes(StatusCode::NOT_MODIFIED, asset.mime, Bytes::new())
    } else {
        bytes(StatusCode::OK, asset.mime, Bytes::from_static(asset.bytes))
    };
    let headers = answer.headers_mut();
    if let Some(encoding) = asset.encoding.header() {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(asset.cache_control()));
    headers.insert(ETAG, HeaderValue::from_static(asset.etag));
    for (name, value) in drover_web::HEADERS {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    if !elsewhere.is_empty()
        && let Ok(policy) = HeaderValue::try_from(drover_web::content_security_policy(&elsewhere.join(" ")))
    {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    Some(answer)
}

fn header(headers: &HeaderMap, name: HeaderName) -> &str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn bytes(status: StatusCode, kind: &'static str, body: Bytes) -> Response<Body> {
    let mut answer = Response::new(Full::new(body).boxed_unsync());
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

/// Vehicles as the hub has heard of them.
pub(crate) struct LiveFleet {
    pub(crate) live: Arc<Live>,
    pub(crate) homes: Homes,
}

impl Fleet for LiveFleet {
    fn features(
        &self,
        tenant: TenantId,
        may_see: &dyn Fn(VehicleId) -> bool,
        with_engine: bool,
    ) -> Option<Vec<Value>> {
        let wall = self.live.env.wall();
        let features = self.live.decide(|core| core.features(tenant, may_see, with_engine, wall));
        Some(features.iter().filter_map(|feature| serde_json::from_slice(feature).ok()).collect())
    }

    fn feature(&self, tenant: TenantId, vehicle: VehicleId) -> Option<Value> {
        let wall = self.live.env.wall();
        let feature = self.live.decide(|core| core.feature(tenant, vehicle, wall))?;
        serde_json::from_slice(&feature).ok()
    }

    fn home(&self, tenant: TenantId, vehicle: VehicleId) -> Option<String> {
        self.homes.of(tenant, vehicle)
    }
}
