//! Scenarios, the virtual runner, history, oracles, gates and reports.
