//! The invariants, each judged from outside of the services: by what they told as events (the history), and where that is
//! not enough by what they can not touch, which is the world's truth, the rows of the table and the disks at the end.

mod answers_are_whole;
mod backlog_in_order;
mod clients_shown_by_routers;
mod commands_are_applied_once;
mod converged_after_quiet;
mod drains_end;
mod durable_is_stored_once;
mod faults_as_told;
mod fix_path_kept;
mod identities_used_once;
mod ids_used_once;
mod links_show_one_delivery;
mod news_is_true;
mod nothing_missing;
mod orders_kept;
mod packets_reach_their_server;
mod protocol_kept;
mod queues_bounded;
mod readings_are_true;
mod refusals_have_a_cause;
mod restarts_are_noticed;
mod tasks_given_back;
mod tracks_match_truth;
mod watchers_see;

pub(crate) use answers_are_whole::answers_are_whole;
pub use backlog_in_order::backlog_in_order;
pub use clients_shown_by_routers::clients_shown_by_routers;
pub use commands_are_applied_once::commands_are_applied_once;
pub use converged_after_quiet::converged_after_quiet;
pub use drains_end::drains_end;
pub use durable_is_stored_once::durable_is_stored_once;
pub use faults_as_told::faults_as_told;
pub use fix_path_kept::fix_path_kept;
pub use identities_used_once::identities_used_once;
pub use ids_used_once::ids_used_once;
pub use links_show_one_delivery::links_show_one_delivery;
pub use news_is_true::{names_lead_to_the_living, new_go_to_the_living, the_living_are_not_called_dead};
pub use nothing_missing::nothing_missing;
pub use orders_kept::orders_kept;
pub use packets_reach_their_server::packets_reach_their_server;
pub use protocol_kept::protocol_kept;
pub use queues_bounded::queues_bounded;
pub use readings_are_true::readings_are_true;
pub use refusals_have_a_cause::{Disks, refusals_have_a_cause};
pub(crate) use restarts_are_noticed::late_after;
pub use restarts_are_noticed::restarts_are_noticed;
pub use tasks_given_back::tasks_given_back;
pub use tracks_match_truth::tracks_match_truth;
pub use watchers_see::{
    hubs_get_what_they_want, watchers_never_go_back, watchers_see_what_is_stored, watchers_stay_fresh,
};

use crate::report::{OracleOutcome, OracleResult};

/// Builds a result: without checks it says nothing, with a violation it fails.
fn result(name: &str, statement: &str, checks: u64, violation: Option<String>) -> OracleResult {
    let outcome = match (&violation, checks) {
        (Some(_), _) => OracleOutcome::Fail,
        (None, 0) => OracleOutcome::NotChecked,
        (None, _) => OracleOutcome::Pass,
    };
    OracleResult { name: name.to_owned(), statement: statement.to_owned(), outcome, checks, violation }
}
