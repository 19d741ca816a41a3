//! Curves over the run as inline SVG, with the faults as bands behind them. Colours come from the page's style.

use std::fmt::Write as _;

use super::FaultWindow;
use super::html::escape;
use super::summary::grouped;

/// Width of the drawing; the page scales it.
const WIDTH: f64 = 960.0;
/// Where the curves begin: figures of the scale, up to a million, stand to the left.
const LEFT: f64 = 76.0;
/// Where they end.
const RIGHT: f64 = 948.0;
const TOP: f64 = 14.0;
const PLOT_HEIGHT: f64 = 104.0;
/// More points than this cannot be told apart.
const POINTS_MAX: usize = 880;
/// Height of one line of fault labels.
const LANE: f64 = 20.0;

/// How several seconds become one point when there are too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reduce {
    Mean,
    Max,
    Min,
}

/// How values are laid out upwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    Linear,
    /// Powers of ten: latencies span four of them.
    Log,
}

/// Times in seconds, each with its value where there is one.
type Points = Vec<(f64, Option<f64>)>;

/// One curve: its style class and one value per second, where there is one.
pub(super) struct Curve {
    pub(super) class: &'static str,
    pub(super) values: Vec<Option<f64>>,
}

impl Curve {
    pub(super) fn of_counts(class: &'static str, counts: &[u64]) -> Self {
        Self { class, values: counts.iter().map(|&count| Some(count as f64)).collect() }
    }
}

/// The time that all drawings of a page share.
pub(super) struct TimeAxis<'a> {
    /// Length of the whole, settling included, in seconds.
    pub(super) span_s: f64,
    /// When faults stopped and settling began, in seconds.
    pub(super) duration_s: f64,
    pub(super) faults: &'a [FaultWindow],
}

impl TimeAxis<'_> {
    /// The faults that the run came to.
    pub(super) fn faults(&self) -> impl Iterator<Item = &FaultWindow> {
        self.faults.iter().filter(|fault| fault.at_s < self.span_s)
    }

    /// True if faults stopped before the run did.
    pub(super) fn settles(&self) -> bool {
        self.duration_s < self.span_s
    }

    fn x(&self, t_s: f64) -> f64 {
        LEFT + (RIGHT - LEFT) * (t_s / self.span_s).clamp(0.0, 1.0)
    }

    /// Seconds between two marks: a round number that gives at most ten.
    fn step_s(&self) -> f64 {
        const STEPS: [f64; 14] = [
            1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0, 21_600.0, 86_400.0,
        ];
        STEPS.into_iter().find(|step| self.span_s / step <= 10.0).unwrap_or(86_400.0)
    }

    fn marks(&self) -> impl Iterator<Item = f64> {
        let step_s = self.step_s();
        (0..=(self.span_s / step_s) as u32).map(move |index| f64::from(index) * step_s)
    }

    /// The settling time and the faults, behind a curve of this height.
    fn bands(&self, svg: &mut String, top: f64, height: f64) {
        if self.settles() {
            let x = self.x(self.duration_s);
            let _ =
                write!(svg, "<rect class=settle x={x:.1} y={top} width={:.1} height={height} />", RIGHT - x);
        }
        for fault in self.faults() {
            let (x, width) = self.band(fault);
            let title = escape(&fault_text(fault));
            let _ = write!(
                svg,
                "<rect class=fault x={x:.1} y={top} width={width:.1} height={height}><title>{title}</title></rect>"
            );
        }
    }

    fn band(&self, fault: &FaultWindow) -> (f64, f64) {
        let x = self.x(fault.at_s);
        // A fault of a moment must still be seen.
        (x, (self.x(fault.until_s) - x).max(2.0))
    }
}

/// A fault in words: `kill gateway/1, 180 s to 190 s`.
pub(super) fn fault_text(fault: &FaultWindow) -> String {
    let detail = if fault.detail.is_empty() { String::new() } else { format!(" ({})", fault.detail) };
    let FaultWindow { verb, target, at_s, until_s, .. } = fault;
    if at_s == until_s {
        format!("{verb} {target}{detail}, at {at_s} s")
    } else {
        format!("{verb} {target}{detail}, {at_s} s to {until_s} s")
    }
}

/// The faults by name, each in a lane where its label has room.
pub(super) fn fault_lanes(axis: &TimeAxis<'_>) -> String {
    let mut lanes: Vec<f64> = Vec::new();
    let mut body = String::new();
    for fault in axis.faults() {
        let (x, width) = axis.band(fault);
        let label = format!("{} {}", fault.verb, fault.target);
        // Wide enough for the page's 12 px text, so that labels do not run into each other.
        let label_width = 7.0 * label.chars().count() as f64 + 16.0;
        let fits_right = x + width + label_width <= WIDTH;
        let (from, to) = if fits_right { (x, x + width + label_width) } else { (x - label_width, x + width) };
        let lane = match lanes.iter().position(|&end| end <= from) {
            Some(lane) => lane,
            None => {
                lanes.push(0.0);
                lanes.len() - 1
            }
        };
        lanes[lane] = to;
        let y = lane as f64 * LANE;
        let (text_x, anchor) = if fits_right { (x + width + 6.0, "start") } else { (x - 6.0, "end") };
        let _ = write!(
            body,
            "<rect class=bar x={x:.1} y={:.1} width={width:.1} height=10 rx=2><title>{}</title></rect>\
             <text x={text_x:.1} y={:.1} text-anchor={anchor}>{}</text>",
            y + 5.0,
            escape(&fault_text(fault)),
            y + 14.0,
            escape(&label),
        );
    }
    if lanes.is_empty() {
        return String::new();
    }
    let height = lanes.len() as f64 * LANE + 2.0;
    format!("<svg class=lanes viewBox=\"0 0 {WIDTH} {height}\" role=img aria-label=\"Faults\">{body}</svg>")
}

/// One drawing: `curves` over time.
pub(super) fn chart(
    axis: &TimeAxis<'_>,
    label: &str,
    curves: &[Curve],
    reduce: Reduce,
    scale: Scale,
) -> String {
    let reduced: Vec<(&'static str, Points)> =
        curves.iter().map(|curve| (curve.class, reduce_to(&curve.values, reduce))).collect();
    let values = || reduced.iter().flat_map(|(_, points)| points.iter().filter_map(|&(_, value)| value));
    let vertical = Vertical::new(scale, values());
    let height = TOP + PLOT_HEIGHT + 22.0;
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {height}\" role=img aria-label=\"{}\">", escape(label));
    axis.bands(&mut svg, TOP, PLOT_HEIGHT);
    for &tick in &vertical.ticks {
        let y = vertical.y(tick);
        let _ = write!(
            svg,
            "<line class=grid x1={LEFT} x2={RIGHT} y1={y:.1} y2={y:.1} />\
             <text x={} y={:.1} text-anchor=end>{}</text>",
            LEFT - 8.0,
            y + 4.0,
            tick_text(tick),
        );
    }
    for mark in axis.marks() {
        let x = axis.x(mark);
        let (top, bottom) = (TOP + PLOT_HEIGHT, TOP + PLOT_HEIGHT + 4.0);
        let text = time_text(mark);
        // The last one would be cut at the edge.
        let fits = x + 3.5 * text.len() as f64 <= WIDTH;
        let (text_x, anchor) = if fits { (x, "middle") } else { (WIDTH, "end") };
        let _ = write!(
            svg,
            "<line class=mark x1={x:.1} x2={x:.1} y1={top} y2={bottom} />\
             <text x={text_x:.1} y={} text-anchor={anchor}>{text}</text>",
            bottom + 14.0,
        );
    }
    for (class, points) in &reduced {
        let path = path(axis, &vertical, points);
        if curves.len() == 1
            && let (Some(first), Some(last)) = (points.first(), points.last())
        {
            let (bottom, start, end) = (TOP + PLOT_HEIGHT, axis.x(first.0), axis.x(last.0));
            let area = path.replacen('M', "L", 1);
            let _ = write!(
                svg,
                "<path class=\"area {class}\" d=\"M{start:.1} {bottom}{area}L{end:.1} {bottom}Z\" />"
            );
        }
        let _ = write!(svg, "<path class=\"curve {class}\" d=\"{path}\" />");
    }
    if values().next().is_none() {
        let (x, y) = ((LEFT + RIGHT) / 2.0, TOP + PLOT_HEIGHT / 2.0);
        let _ = write!(svg, "<text x={x} y={y} text-anchor=middle>no samples</text>");
    }
    svg.push_str("</svg>");
    svg
}

/// The scale upwards.
struct Vertical {
    scale: Scale,
    min: f64,
    max: f64,
    ticks: Vec<f64>,
}

impl Vertical {
    fn new(scale: Scale, values: impl Iterator<Item = f64> + Clone) -> Self {
        let largest = values.clone().fold(0.0, f64::max);
        match scale {
            Scale::Linear => {
                let step = round_step(largest.max(1.0) / 3.0);
                let steps = (largest / step).ceil().max(1.0);
                let ticks = (0..=steps as u32).map(|index| f64::from(index) * step).collect();
                Self { scale, min: 0.0, max: steps * step, ticks }
            }
            Scale::Log => {
                let smallest = values.filter(|&value| value > 0.0).fold(f64::INFINITY, f64::min);
                let low =
                    if smallest.is_finite() { smallest.log10().floor().clamp(-3.0, 9.0) as i32 } else { 0 };
                let high = (largest.max(1e-3).log10().ceil() as i32).max(low + 1);
                let ticks = (low..=high).map(|power| 10f64.powi(power)).collect();
                Self { scale, min: 10f64.powi(low), max: 10f64.powi(high), ticks }
            }
        }
    }

    fn y(&self, value: f64) -> f64 {
        let share = match self.scale {
            Scale::Linear => (value - self.min) / (self.max - self.min),
            Scale::Log => {
                (value.max(self.min).log10() - self.min.log10()) / (self.max.log10() - self.min.log10())
            }
        };
        TOP + PLOT_HEIGHT * (1.0 - share.clamp(0.0, 1.0))
    }
}

/// The next of 1, 2, 5, 10, 20, ... that is not smaller.
fn round_step(least: f64) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|&step| step >= least)
        .unwrap_or(least)
}

/// Points in time with their values; several seconds become one where there are too many.
fn reduce_to(values: &[Option<f64>], reduce: Reduce) -> Points {
    let size = values.len().div_ceil(POINTS_MAX).max(1);
    let point = |(index, chunk): (usize, &[Option<f64>])| {
        let there = chunk.iter().flatten().copied();
        let count = there.clone().count();
        let value = match reduce {
            Reduce::Mean => there.sum::<f64>() / count.max(1) as f64,
            Reduce::Max => there.fold(f64::MIN, f64::max),
            Reduce::Min => there.fold(f64::MAX, f64::min),
        };
        // In the middle of what it stands for.
        (index as f64 * size as f64 + chunk.len() as f64 / 2.0, (count > 0).then_some(value))
    };
    values.chunks(size).enumerate().map(point).collect()
}

fn path(axis: &TimeAxis<'_>, vertical: &Vertical, points: &[(f64, Option<f64>)]) -> String {
    let mut path = String::new();
    let mut command = 'M';
    for &(t_s, value) in points {
        match value {
            // A gap in the samples is a gap in the curve.
            None => command = 'M',
            Some(value) => {
                let _ = write!(path, "{command}{:.1} {:.1}", axis.x(t_s), vertical.y(value));
                command = 'L';
            }
        }
    }
    path
}

fn tick_text(value: f64) -> String {
    if value >= 1.0 || value == 0.0 { grouped(value.round() as u64) } else { format!("{value}") }
}

/// Minutes and seconds, as on a stopwatch.
fn time_text(t_s: f64) -> String {
    let seconds = t_s as u64;
    match seconds {
        0..3_600 => format!("{}:{:02}", seconds / 60, seconds % 60),
        _ => format!("{}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60),
    }
}
