//! A comparison as a page: one self-contained file without network or scripts, in light and dark.

use std::fmt::Write;

use super::text::value;
use super::{Comparison, Judgement, Row};
use crate::report::{escape, page_with};

/// Width of the drawing of one ratio, in the units of its view box.
const WIDTH: f64 = 220.0;
/// A change by more than this is drawn at the edge.
const REACH: f64 = 0.5;

/// The page.
pub fn page(comparison: &Comparison) -> String {
    let mut body = String::new();
    let worse = comparison.rows.iter().any(|row| row.judgement == Judgement::Worse);
    let (class, word) = match (worse, comparison.not_passed.is_empty()) {
        (true, _) => ("bad", "worse"),
        (false, false) => ("warn", "not passed"),
        (false, true) => ("good", "not worse"),
    };
    let _ = writeln!(
        body,
        "<header>\n<p class=top><span class=\"verdict {class}\">{word}</span> <span class=name>{}</span></p>\n<h1>{}</h1>",
        escape(&comparison.scenario),
        escape(&comparison.outcome_text()),
    );
    let reasons: Vec<String> =
        comparison.not_passed.iter().map(|reason| format!("<li>{}</li>", escape(reason))).collect();
    if !reasons.is_empty() {
        let _ = writeln!(body, "<ul class=\"reasons warn\">{}</ul>", reasons.concat());
    }
    let _ = writeln!(
        body,
        "<p class=facts>{} · bars reach as far as B / A lies in 19 cases of 20; a change below 1 % counts as none</p>\n</header>",
        escape(&comparison.runs_text())
    );
    body.push_str(
        "<section>\n<h2>Figures</h2>\n<div class=wide><table>\n<thead><tr><th>Metric<th class=n>A<th class=n>B<th class=n>B / A<th>\
         <th></tr></thead>\n",
    );
    for row in &comparison.rows {
        line(&mut body, row);
    }
    body.push_str("</table></div>\n</section>\n");
    page_with(&format!("{word}: {}", comparison.scenario), &body)
}

fn line(body: &mut String, row: &Row) {
    let class = row.judgement.class();
    let _ = writeln!(
        body,
        "<tr><td><code>{}</code><td class=n>{}<td class=n>{}<td class=n>{}<td>{}<td class={class}>{}</tr>",
        escape(&row.metric),
        value(row.a),
        value(row.b),
        row.ratio_text(),
        bar(row),
        row.judgement
    );
}

/// The interval, with a line at no change.
fn bar(row: &Row) -> String {
    let Some(ratio) = &row.ratio else { return String::new() };
    let x = |ratio: f64| WIDTH / 2.0 * (1.0 + ((ratio - 1.0) / REACH).clamp(-1.0, 1.0));
    let (low, middle, high) = (x(ratio.low), x(ratio.middle), x(ratio.high));
    format!(
        "<svg class=ratio viewBox=\"0 0 {WIDTH} 14\" width={WIDTH} height=14 role=img aria-label=\"{}\">\
         <line class=mark x1={half} y1=0 x2={half} y2=14 />\
         <line class=reach x1={low:.1} y1=7 x2={high:.1} y2=7 /><circle class=dot cx={middle:.1} cy=7 r=3.5 /></svg>",
        row.ratio_text(),
        half = WIDTH / 2.0,
    )
}
