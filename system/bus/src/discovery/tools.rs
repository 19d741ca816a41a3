//! The tools of health agents.

use std::time::Duration;

use drover_model::NodeKind;

use super::messages::{
    HealthyNodes, Registered, RegistrationInfo, ServiceQuery, SnapshotInfo, SnapshotQuery,
};
use crate::tool::Tool;
use crate::tools::Nothing;

/// Says that the caller is there: first, again and again while it lives, and when it is about to stop.
#[derive(Debug)]
pub struct Register;

impl Tool for Register {
    type Input = RegistrationInfo;
    type Output = Registered;
    const NAME: &'static str = "HealthService.register";
    const DESCRIPTION: &'static str = "Says that the caller is there, with addresses, tools, load and capacity. Renewed a few times per second.";
    const OFFERED_BY: NodeKind = NodeKind::Health;
    // Later than this it is old news, and others are on their way.
    const DEADLINE: Duration = Duration::from_secs(1);
    const SAFE_TO_REPEAT: bool = true;
}

/// Every node that the agent knows, as soon as that is something else than the caller has: a question that hangs is how news is
/// pushed, because it can neither pile up nor be lost unnoticed.
#[derive(Debug)]
pub struct WatchNodes;

impl Tool for WatchNodes {
    type Input = SnapshotQuery;
    type Output = SnapshotInfo;
    const NAME: &'static str = "HealthService.watchNodes";
    const DESCRIPTION: &'static str = "Every node that the agent knows and its state; answers when that differs from what the caller has, or after its wait.";
    const OFFERED_BY: NodeKind = NodeKind::Health;
    const SAFE_TO_REPEAT: bool = true;
}

/// Nodes of a service that take new work, the best first.
#[derive(Debug)]
pub struct GetHealthyNodes;

impl Tool for GetHealthyNodes {
    type Input = ServiceQuery;
    type Output = HealthyNodes;
    const NAME: &'static str = "HealthService.GetHealthyNodes";
    const DESCRIPTION: &'static str = "Nodes of a service that take new work, the best first.";
    const OFFERED_BY: NodeKind = NodeKind::Health;
    const SAFE_TO_REPEAT: bool = true;
}

/// Routers that take new work, the best first.
#[derive(Debug)]
pub struct GetHealthyRouters;

impl Tool for GetHealthyRouters {
    type Input = Nothing;
    type Output = HealthyNodes;
    const NAME: &'static str = "HealthService.GetHealthyRouters";
    const DESCRIPTION: &'static str = "Routers that take new work, the best first.";
    const OFFERED_BY: NodeKind = NodeKind::Health;
    const SAFE_TO_REPEAT: bool = true;
}
