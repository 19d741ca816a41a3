//! The audit trail: who signed in, was refused, made a link or changed an order, read page by page by dispatchers of the tenant alone.

use super::*;

/// All notes that `query` finds, page by page.
async fn trail(office: &Office, token: &str, query: &str) -> Vec<Value> {
    let mut notes = Vec::new();
    let mut cursor = String::new();
    loop {
        let (status, page) = office.get(&format!("/api/v1/audit?limit=2{query}{cursor}"), token).await;
        assert_eq!(status, 200, "{page}");
        notes.extend(page["items"].as_array().expect("items").iter().cloned());
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return notes,
        }
    }
}

fn said(notes: &[Value]) -> Vec<String> {
    let text = |note: &Value, name: &str| note[name].as_str().unwrap_or_default().to_owned();
    notes
        .iter()
        .map(|note| format!("{} {} {}", text(note, "actor"), text(note, "action"), text(note, "outcome")))
        .collect()
}

#[tokio::test]
async fn who_did_what_is_kept_and_read_page_by_page_newest_first() {
    let office = Office::open();
    let dispatcher = office.token("north", "dispatcher", None);
    let (order, _) = office.order(&dispatcher, 1).await;
    let (_, link) =
        office.post(&format!("/api/v1/orders/{order}/share-links"), &dispatcher, 2, json!({})).await;
    let id = link["id"].as_str().expect("an identity");
    office
        .say(Method::DELETE, &format!("/api/v1/share-links/{id}"), &dispatcher, Some(3), &Value::Null)
        .await;
    let message = json!({ "vehicle": "VAN-2", "body": "mind the gate" });
    office.post("/api/v1/messages", &dispatcher, 4, message).await;
    let viewer = office.token("north", "viewer", None);
    assert_eq!(office.get("/api/v1/orders", &viewer).await.0, 403);
    let south = office.token("south", "dispatcher", None);
    office.order(&south, 5).await;
    // Nobody with a token: of no tenant.
    office.get("/api/v1/orders", "nonsense").await;

    let stop = CancellationToken::new();
    stop.cancel();
    // Who ends hands on what waits.
    office.api.clone().keep_notes(stop).await;
    let notes = trail(&office, &dispatcher, "").await;
    assert_eq!(
        said(&notes)
            .iter()
            .map(|text| text.split(" until ").next().unwrap_or_default().to_owned())
            .collect::<Vec<_>>(),
        [
            "viewer refused forbidden",
            "viewer signed_in",
            "dispatcher send_message applied",
            "dispatcher revoke_share_link applied",
            "dispatcher share_order applied",
            "dispatcher create_order applied",
            "dispatcher signed_in",
        ]
    );
    assert_eq!((&notes[5]["subject"], &notes[5]["peer"]), (&json!(order), &json!("127.0.0.1")));
    assert_eq!(notes[4]["subject"], link["id"]);
    let secret = link["token"].as_str().expect("a secret");
    assert!(
        notes
            .iter()
            .all(|note| !note.to_string().contains(secret) && !note.to_string().contains("mind the gate"))
    );
    let of_viewer = said(&trail(&office, &dispatcher, "&actor=viewer&action=refused").await);
    assert_eq!(of_viewer, ["viewer refused forbidden"]);
    let of_south = said(&trail(&office, &south, "&action=create_order").await);
    assert_eq!(of_south, ["dispatcher create_order applied"], "each tenant reads its own");
}

#[tokio::test]
async fn the_trail_is_for_dispatchers() {
    let office = Office::open();
    for (role, vehicle) in [("viewer", None), ("driver", Some("VAN-1"))] {
        let (status, problem) = office.get("/api/v1/audit", &office.token("north", role, vehicle)).await;
        assert_eq!(status, 403, "{role}: {problem}");
    }
    let dispatcher = office.token("north", "dispatcher", None);
    assert_eq!(office.get("/api/v1/audit?cursor=soon", &dispatcher).await.0, 400);
}
