//! Every path, what it takes, and who answers it.

mod arrivals;
mod audit;
mod changes;
mod deliveries;
mod geofences;
mod messages;
mod orders;
mod plans;
mod vehicles;

use drover_auth::ShareSecret;
use drover_env::BoxFuture;
use hyper::{Method, StatusCode};
use matchit::Router;

use crate::answer::Answer;
use crate::api::{Api, Asked};
use crate::problem::Problem;

pub(crate) type Answering = BoxFuture<'static, Result<Answer, Problem>>;

/// Who may ask.
pub(crate) enum Handler {
    /// Anybody.
    Public(fn(&Api) -> Result<Answer, Problem>),
    /// Whoever has the secret of a share link.
    Shared(fn(Api, ShareSecret) -> Answering),
    /// Whoever has a token.
    Known(fn(Api, Asked) -> Answering),
}

/// One method of one path.
pub(crate) struct Endpoint {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    /// Names of the query.
    pub(crate) parameters: &'static [&'static str],
    /// The schema of the body, if it takes one.
    pub(crate) body: Option<fn() -> schemars::Schema>,
    pub(crate) summary: &'static str,
    pub(crate) handler: Handler,
}

/// Declares an endpoint whose caller has a token.
macro_rules! known {
    ($method:ident $path:literal ($($parameter:literal),*) $(takes $body:ty)?, $handler:path, $summary:literal) => {{
        #[allow(unused_mut, unused_assignments, reason = "not all take a body")]
        let body: Option<fn() -> schemars::Schema> = {
            let mut body: Option<fn() -> schemars::Schema> = None;
            $(body = Some(|| schemars::schema_for!($body));)?
            body
        };
        crate::routes::Endpoint {
            method: hyper::Method::$method,
            path: $path,
            parameters: &[$($parameter),*],
            body,
            summary: $summary,
            handler: crate::routes::Handler::Known(|api, asked| Box::pin($handler(api, asked))),
        }
    }};
}
pub(crate) use known;

/// All of them.
pub(crate) fn all() -> Vec<Endpoint> {
    let mut all = vec![Endpoint {
        method: Method::GET,
        path: "/api/v1/openapi.json",
        parameters: &[],
        body: None,
        summary: "This document.",
        handler: Handler::Public(|_| Ok(crate::answer::json(StatusCode::OK, &crate::openapi::document()))),
    }];
    all.extend(vehicles::endpoints());
    all.extend(orders::endpoints());
    all.extend(messages::endpoints());
    all.extend(plans::endpoints());
    all.extend(arrivals::endpoints());
    all.extend(geofences::endpoints());
    all.extend(deliveries::endpoints());
    all.extend(changes::endpoints());
    all.extend(audit::endpoints());
    all
}

/// The endpoints of one path.
pub(crate) struct Methods(Vec<Endpoint>);

impl Methods {
    /// The one of `method`; HEAD is answered as GET.
    pub(crate) fn of(&self, method: &Method) -> Result<&Endpoint, Problem> {
        let wanted = if *method == Method::HEAD { &Method::GET } else { method };
        self.0.iter().find(|endpoint| endpoint.method == *wanted).ok_or_else(|| {
            let there_are: Vec<&str> = self.0.iter().map(|endpoint| endpoint.method.as_str()).collect();
            let detail = format!("{} takes {}, not {method}", self.0[0].path, there_are.join(" and "));
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method", detail)
        })
    }
}

/// Finds the endpoint of a path.
pub(crate) struct Table(Router<Methods>);

impl Table {
    pub(crate) fn new() -> Self {
        let mut by_path: std::collections::BTreeMap<&str, Vec<Endpoint>> = std::collections::BTreeMap::new();
        for endpoint in all() {
            by_path.entry(endpoint.path).or_default().push(endpoint);
        }
        let mut router = Router::new();
        for (path, endpoints) in by_path {
            router.insert(path, Methods(endpoints)).expect("paths are as matchit wants them, and differ");
        }
        Self(router)
    }

    /// The methods of a path, and its parts that have names.
    pub(crate) fn find(&self, path: &str) -> Result<(Vec<String>, &Methods), Problem> {
        let found = self.0.at(path).map_err(|_| {
            Problem::missing(format!("there is no {path}; /api/v1/openapi.json lists what there is"))
        })?;
        let decoded = found.params.iter().map(|(_, value)| {
            let decoded = percent_encoding::percent_decode_str(value).decode_utf8();
            decoded.map(String::from).map_err(|_| Problem::bad("a part of the path is no UTF-8"))
        });
        Ok((decoded.collect::<Result<_, _>>()?, found.value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_is_found_and_a_wrong_method_is_told_the_right_ones() {
        let table = Table::new();
        for endpoint in all() {
            let path = endpoint.path.replace("{id}", "VAN%2D7");
            let (parts, methods) = table.find(&path).expect("found");
            assert_eq!(methods.of(&endpoint.method).expect("there").summary, endpoint.summary);
            assert_eq!(parts, vec!["VAN-7"; endpoint.path.matches("{id}").count()]);
        }
        let (_, methods) = table.find("/api/v1/orders").expect("found");
        let said = methods.of(&Method::DELETE).err().expect("refused").detail;
        assert!(said == "/api/v1/orders takes GET and POST, not DELETE", "{said}");
        assert!(table.find("/api/v1/nothing").is_err_and(|problem| problem.status == StatusCode::NOT_FOUND));
    }
}
