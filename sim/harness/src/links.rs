//! What a vehicle's link is like: what the scenario says of the network, at the place where the world says the vehicle is.

use std::time::Duration;

use drover_simnet::{Access, Burst, Medium};

use crate::scenario::{Border, BurstLoss, Radio};

/// Every link that vehicles can have.
#[derive(Debug, Clone)]
pub(crate) struct Links {
    /// In the middle of a cell, and where cells do not matter.
    middle: Access,
    border: Option<Access>,
    /// What a whole cell carries.
    cell_bit_s: Option<u64>,
}

impl Links {
    pub(crate) fn of(radio: &Radio) -> Self {
        let middle = Access {
            latency: radio.latency,
            jitter: radio.jitter,
            loss: radio.loss,
            burst: radio.burst_loss.map(burst),
            duplicate: radio.duplicate,
            corrupt: radio.corrupt,
            mtu_bytes: radio.mtu_bytes as usize,
            bandwidth_bit_s: radio.bandwidth_kbit_s.map(bits),
            queue: radio.queue,
        };
        let border = radio.border.map(|border| at_border(&middle, border));
        Self { middle, border, cell_bit_s: radio.cell_kbit_s.map(bits) }
    }

    /// The link of a vehicle whose signal has faded so far: 0 in the middle of its cell, 1 at the border.
    pub(crate) fn at(&self, faded: f64) -> Access {
        let Some(border) = self.border.as_ref().filter(|_| faded > 0.0) else { return self.middle.clone() };
        let middle = &self.middle;
        let between = |middle: f64, border: f64| middle + (border - middle) * faded;
        let time = |middle: Duration, border: Duration| {
            Duration::from_nanos(between(middle.as_nanos() as f64, border.as_nanos() as f64) as u64)
        };
        let bandwidth = middle.bandwidth_bit_s.zip(border.bandwidth_bit_s);
        Access {
            latency: time(middle.latency, border.latency),
            jitter: time(middle.jitter, border.jitter),
            loss: between(middle.loss, border.loss),
            burst: match (middle.burst, border.burst) {
                (Some(near), Some(far)) => Some(Burst {
                    enter: between(near.enter, far.enter),
                    leave: between(near.leave, far.leave),
                    loss: between(near.loss, far.loss),
                }),
                // A link that never turns bad in the middle turns bad the more often the nearer the border is.
                (None, Some(far)) => Some(Burst { enter: between(0.0, far.enter), ..far }),
                (near, None) => near,
            },
            bandwidth_bit_s: bandwidth.map(|(near, far)| between(near as f64, far as f64) as u64),
            ..middle.clone()
        }
    }

    /// What a cell carries when crowds take this share of it; `None` where cells carry everything.
    pub(crate) fn cell(&self, taken: f64) -> Option<Medium> {
        let left = (1.0 - taken).max(0.0);
        // A cell that carried nothing at all would hold its first datagram for ever.
        let bandwidth = |bits: u64| ((bits as f64 * left) as u64).max(1);
        self.cell_bit_s.map(|bits| Medium { bandwidth_bit_s: bandwidth(bits), queue: self.middle.queue })
    }
}

/// The number under which the network knows a cell.
pub(crate) fn medium_key((column, row): (i32, i32)) -> u64 {
    u64::from(column as u32) << 32 | u64::from(row as u32)
}

fn at_border(middle: &Access, border: Border) -> Access {
    Access {
        latency: border.latency.unwrap_or(middle.latency),
        jitter: border.jitter.unwrap_or(middle.jitter),
        loss: border.loss.unwrap_or(middle.loss),
        burst: border.burst_loss.map(burst).or(middle.burst),
        bandwidth_bit_s: border.bandwidth_kbit_s.map(bits).or(middle.bandwidth_bit_s),
        ..middle.clone()
    }
}

fn burst(loss: BurstLoss) -> Burst {
    Burst { enter: loss.enter, leave: loss.leave, loss: loss.loss }
}

fn bits(kbit: u32) -> u64 {
    u64::from(kbit) * 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_fades_evenly_from_the_middle_of_a_cell_to_its_border() {
        let burst_loss = Some(BurstLoss { enter: 0.02, leave: 0.2, loss: 0.9 });
        let border = Border {
            latency: Some(Duration::from_millis(140)),
            loss: Some(0.1),
            burst_loss,
            bandwidth_kbit_s: Some(200),
            ..Border::default()
        };
        let radio = Radio { border: Some(border), bandwidth_kbit_s: Some(1_000), ..Radio::default() };
        let links = Links::of(&radio);
        let (near, half, far) = (links.at(0.0), links.at(0.5), links.at(1.0));
        assert_eq!(near, Links::of(&Radio { border: None, ..radio }).at(1.0));
        assert_eq!((half.latency, far.latency), (Duration::from_millis(90), Duration::from_millis(140)));
        assert_eq!((half.loss, half.bandwidth_bit_s, half.jitter), (0.05, Some(600_000), near.jitter));
        assert_eq!(half.burst, Some(Burst { enter: 0.01, leave: 0.2, loss: 0.9 }));
        assert_eq!((near.burst, far.burst.map(|burst| burst.enter)), (None, Some(0.02)));
    }

    #[test]
    fn a_crowd_leaves_a_cell_what_it_does_not_take() {
        let links = Links::of(&Radio { cell_kbit_s: Some(2_000), ..Radio::default() });
        let left = |taken| links.cell(taken).map(|medium| medium.bandwidth_bit_s);
        assert_eq!((left(0.0), left(0.75), left(1.0)), (Some(2_000_000), Some(500_000), Some(1)));
        assert_eq!(Links::of(&Radio::default()).cell(0.5), None);
        assert_ne!(medium_key((-1, 0)), medium_key((0, -1)));
    }
}
