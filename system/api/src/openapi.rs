//! The API's own description (OpenAPI 3.1), made from the table that requests are answered by.

use serde_json::{Map, Value, json};

use crate::routes::{Endpoint, Handler, all};

/// What a parameter of a query means, wherever it stands.
fn meaning(parameter: &str) -> &'static str {
    match parameter {
        "limit" => {
            "Entries at most, 1 to 1000; 100 without it. A page may have fewer: there are more behind it if it has a next."
        }
        "cursor" => "The next of the page before.",
        "from" => "First moment (RFC 3339).",
        "until" => "First moment after the last one (RFC 3339).",
        "points" => "Points at most, 2 to 10000; 2000 without it.",
        "bbox" => "west,south,east,north in degrees.",
        "area" => "A GeoJSON polygon.",
        "geofence" => "Identity of a geofence.",
        "group" => "Only vehicles of this group.",
        "search" => "Only vehicles whose name has this in it.",
        "status" => "Only vehicles that are moving, idling, stopped or silent.",
        "state" => "Only those in this state.",
        "vehicle" => "Only those of this vehicle.",
        "actor" => "Only what somebody of this name did.",
        "action" => "Only this: signed_in, refused, or the kind of a change, such as share_order.",
        "subject" => "Only what was done to the thing of this identity.",
        "open" => "true: only those that are planned, assigned or under way.",
        "newest" => "true: the newest first.",
        "since" => "The place in the feed that was read up to.",
        "wait_s" => "Seconds to wait for something to change, at most 25.",
        _ => "",
    }
}

fn parameters(endpoint: &Endpoint) -> Vec<Value> {
    let mut parameters: Vec<Value> = Vec::new();
    if endpoint.path.contains("{id}") {
        parameters
            .push(json!({ "name": "id", "in": "path", "required": true, "schema": { "type": "string" } }));
    }
    let text = json!({ "type": "string" });
    for name in endpoint.parameters {
        parameters.push(json!({ "name": name, "in": "query", "description": meaning(name), "schema": text }));
    }
    if endpoint.method != hyper::Method::GET {
        parameters.push(json!({
            "name": "Idempotency-Key", "in": "header", "required": true,
            "description": "A UUID that the caller makes up: said again with it, a change is not made again.",
            "schema": { "type": "string", "format": "uuid" },
        }));
        parameters.push(json!({
            "name": "Happened-At", "in": "header",
            "description": "When it happened, if it could not be said at once (RFC 3339): of steps and messages, at most seven days ago.",
            "schema": { "type": "string", "format": "date-time" },
        }));
    }
    parameters
}

fn operation(endpoint: &Endpoint) -> Value {
    let problem = json!({
        "description": "A problem (RFC 9457).",
        "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
    });
    let done = if endpoint.method == hyper::Method::POST && !endpoint.path.ends_with("/state") {
        "201"
    } else {
        "200"
    };
    let mut operation = json!({
        "summary": endpoint.summary,
        "operationId": format!("{} {}", endpoint.method.as_str().to_lowercase(), endpoint.path.trim_start_matches("/api/v1/")),
        "parameters": parameters(endpoint),
        "responses": { done: { "description": "Done.", "content": { "application/json": {} } }, "default": problem },
    });
    operation["security"] = match endpoint.handler {
        Handler::Public(_) => json!([]),
        Handler::Shared(_) => json!([{ "shareLink": [] }]),
        Handler::Known(_) => json!([{ "token": [] }]),
    };
    if let Some(body) = endpoint.body {
        let mut schema = serde_json::to_value(body()).unwrap_or_default();
        if let Value::Object(schema) = &mut schema {
            schema.remove("$schema");
        }
        operation["requestBody"] =
            json!({ "required": true, "content": { "application/json": { "schema": schema } } });
    }
    operation
}

/// The document.
pub(crate) fn document() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for endpoint in all() {
        let methods = paths.entry(endpoint.path).or_insert_with(|| json!({}));
        methods[endpoint.method.as_str().to_lowercase()] = operation(&endpoint);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Drover", "version": env!("CARGO_PKG_VERSION"),
            "description": "Vehicles, orders, messages, routes and what changes. Positions as they come: the live map, a WebSocket at /live-map.",
        },
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT (ES256)" },
                "shareLink": { "type": "http", "scheme": "bearer", "bearerFormat": "the secret of a share link (dsl_...)" },
            },
            "schemas": { "Problem": {
                "type": "object",
                "properties": {
                    "type": { "type": "string" }, "title": { "type": "string" }, "status": { "type": "integer" },
                    "code": { "type": "string" }, "detail": { "type": "string" },
                    "state": { "type": "string", "description": "What the thing is now, after a step that was not allowed." },
                },
            } },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_endpoint_and_every_parameter_is_described() {
        let document = document();
        for endpoint in all() {
            let operation = &document["paths"][endpoint.path][endpoint.method.as_str().to_lowercase()];
            assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{}", endpoint.path);
            assert_eq!(operation.get("requestBody").is_some(), endpoint.body.is_some());
            for parameter in endpoint.parameters {
                assert!(!meaning(parameter).is_empty(), "{parameter}");
            }
        }
    }
}
