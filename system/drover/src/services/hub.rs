//! Starts a hub: its door, its certificate for browsers, its pages.

use std::sync::Arc;

use drover_env::Chain;
use drover_quic::Principal;
use serde_json::json;
use tracing::info;

use super::{checked, expect_name, keep_reading, news, prepare, read_revoked, run};
use crate::cli::ServiceArgs;
use crate::config::{self, Loaded, usage};
use crate::pki::RevokedList;
use crate::{Stop, door, shown};

pub(crate) fn hub(args: &ServiceArgs) -> Result<(), Stop> {
    let Some((path, mut loaded)) = prepare::<drover_hub::Config>(args, config::HUB)? else { return Ok(()) };
    loaded.service.check().map_err(|problem| usage(path, &format!("[hub]: {problem}")))?;
    expect_name(
        path,
        &loaded.identity,
        "a hub (drover://svc/hub/<index>)",
        |who| matches!(who, Principal::Service(node) if node.kind == drover_model::NodeKind::Hub),
    )?;
    let door::Believed { verifier, tickets } =
        door::open(&loaded.access).map_err(|problem| usage(path, &format!("[access]: {problem}")))?;
    let wrong_site = |problem: String| usage(path, &format!("[site]: {problem}"));
    let certificate = shown::Source::of(&loaded.site).map_err(wrong_site)?;
    let site = door::site(&loaded.site, &loaded.access).map_err(wrong_site)?;
    if let Some(file) = &loaded.revoked {
        read_revoked(file).map_err(|problem| usage(path, &format!("[tls]: revoked: {problem}")))?;
    }
    if args.check_config {
        return checked(path);
    }
    loaded.service = config::placed_hub(loaded.service, &args.placement);
    let api = drover_api::Config {
        public_url: loaded.site.public_url,
        share_from_stops_before: loaded.site.share_from_stops_before,
        requests_per_s: loaded.site.requests_per_s,
        requests_burst: loaded.site.requests_burst,
        ..drover_api::Config::default()
    };
    let Loaded { process, service, cluster, identity, trust, revoked: file, .. } = loaded;
    run(&process, &args.placement, identity.principal(), |env, cancel, admin| async move {
        if let Some(file) = file {
            // Before the first client is taken.
            let revoked = verifier.revoked();
            let take = move |list: RevokedList| revoked.set_listed(list.tokens);
            take(read_revoked(&file)?);
            drop(env.spawn("hub.revoked_file", keep_reading(file, take)));
        }
        let door = Arc::new(drover_hub::Tokens::new(verifier.clone(), tickets.clone()));
        let is_public = certificate.is_public();
        let needs_certificate = is_public || service.quic.is_some();
        let hub = drover_hub::Hub::bind_with(env.clone(), service, &identity, &trust, cluster, door)
            .await
            .map_err(|error| Chain(&error).to_string())?;
        if needs_certificate {
            certificate.start(&env, hub.shown()).map_err(|error| format!("[site]: {error}"))?;
        }
        let hub = if is_public { hub.with_tls().map_err(|error| Chain(&error).to_string())? } else { hub };
        let hub = hub.with_site(verifier, tickets, api, site);
        let (discovery, gauge) = (hub.discovery(), hub.gauge());
        admin.tell(move || {
            let mut details = news(discovery.as_ref()).unwrap_or_else(|| json!({}));
            details["clients"] = clients(&gauge.counts());
            Some(details)
        });
        let failed = |error| format!("read the address: {error}");
        let (addr, bus) = (hub.local_addr().map_err(failed)?, hub.bus_addr().map_err(failed)?);
        let quic = hub.quic_addr().map_err(failed)?.map(tracing::field::display);
        info!(%addr, %bus, quic, tls = is_public, "hub listens");
        admin.ready();
        hub.run(cancel).await;
        Ok(())
    })
}

/// Its figures, for people and dashboards.
fn clients(counts: &drover_hub::core::Counts) -> serde_json::Value {
    json!({
        "sockets": counts.sockets,
        "waiting_to_resume": counts.detached,
        "vehicles": counts.vehicles,
        "newest_fix_age_ms": counts.newest_fix_age_ms,
        "messages": counts.messages,
        "bytes": counts.bytes,
        "coalesced": counts.coalesced,
        "slow_let_go": counts.slow,
    })
}
