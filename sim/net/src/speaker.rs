//! Who is at work, so that what a service logs can stand beside its events and datagrams.

use std::cell::RefCell;
use std::sync::Arc;

use drover_model::NodeName;

use crate::sim::Shared;

thread_local! {
    static SPEAKER: RefCell<Option<Speaker>> = const { RefCell::new(None) };
}

/// The node whose task runs.
#[derive(Clone)]
pub(crate) struct Speaker {
    pub(crate) shared: Arc<Shared>,
    pub(crate) node: NodeName,
}

impl Speaker {
    /// Runs `work` in this node's name.
    pub(crate) fn during<T>(&self, work: impl FnOnce() -> T) -> T {
        SPEAKER.set(Some(self.clone()));
        let done = work();
        SPEAKER.set(None);
        done
    }
}

/// Puts a line into the trace's text, where that is captured: what the node that runs now logs. It does not count as
/// something that happened.
pub fn log(text: impl FnOnce() -> String) {
    SPEAKER.with_borrow(|speaker| {
        if let Some(Speaker { shared, node }) = speaker {
            shared.lock().trace.note(shared.now(), *node, text);
        }
    });
}
