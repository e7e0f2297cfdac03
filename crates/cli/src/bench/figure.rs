//! A measured number, its peer's, and what it should be.

use std::time::Duration;

use serde::Serialize;

use crate::output;

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Goal {
    /// Ours divided by the peer's.
    RatioAtMost(f64),
    RatioAtLeast(f64),
    /// In the figure's own unit.
    AtMost(f64),
    AtLeast(f64),
    /// Printed for what it tells.
    None,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Peer {
    pub name: &'static str,
    pub value: f64,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Figure {
    pub name: String,
    pub unit: &'static str,
    pub value: f64,
    pub peer: Option<Peer>,
    pub ratio: Option<f64>,
    pub goal: Goal,
    /// `None` without a goal.
    pub holds: Option<bool>,
}

impl Figure {
    pub fn new(name: impl Into<String>, unit: &'static str, value: f64, peer: Option<Peer>, goal: Goal) -> Self {
        let ratio = peer.as_ref().map(|peer| value / peer.value);
        let holds = match (goal, ratio) {
            (Goal::AtMost(limit), _) => Some(value <= limit),
            (Goal::AtLeast(limit), _) => Some(value >= limit),
            (Goal::RatioAtMost(limit), Some(ratio)) => Some(ratio <= limit),
            (Goal::RatioAtLeast(limit), Some(ratio)) => Some(ratio >= limit),
            (Goal::None, _) | (_, None) => None,
        };
        Self { name: name.into(), unit, value, peer, ratio, goal, holds }
    }
}

/// Samples in order, to ask for percentiles.
pub struct Sorted(Vec<f64>);

impl Sorted {
    /// `samples` holds at least one.
    pub fn new(mut samples: Vec<f64>) -> Self {
        assert!(!samples.is_empty(), "nothing was measured");
        samples.sort_by(f64::total_cmp);
        Self(samples)
    }

    /// The smallest sample that at least `percent` of all do not exceed.
    pub fn percentile(&self, percent: f64) -> f64 {
        let rank = (percent / 100.0 * self.0.len() as f64).ceil() as usize;
        self.0[rank.clamp(1, self.0.len()) - 1]
    }
}

pub fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

pub fn table(figures: &[Figure]) -> String {
    output::table(&["FIGURE", "GANTRY", "PEER", "RATIO", "GOAL", ""], figures.iter().map(row))
}

fn row(figure: &Figure) -> Vec<String> {
    let peer = figure.peer.as_ref().map(|peer| format!("{} {} ({})", number(peer.value), figure.unit, peer.name));
    let verdict = match figure.holds {
        Some(true) => output::green("holds"),
        Some(false) => output::red("missed"),
        None => String::new(),
    };
    vec![
        figure.name.clone(),
        format!("{} {}", number(figure.value), figure.unit),
        peer.unwrap_or_default(),
        figure.ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default(),
        goal(figure),
        verdict,
    ]
}

fn goal(figure: &Figure) -> String {
    match figure.goal {
        Goal::RatioAtMost(limit) => format!("ratio ≤ {limit}"),
        Goal::RatioAtLeast(limit) => format!("ratio ≥ {limit}"),
        Goal::AtMost(limit) => format!("≤ {} {}", number(limit), figure.unit),
        Goal::AtLeast(limit) => format!("≥ {} {}", number(limit), figure.unit),
        Goal::None => String::new(),
    }
}

/// Three digits at least, and no more than one after the point.
fn number(value: f64) -> String {
    if value < 100.0 { format!("{value:.1}") } else { format!("{value:.0}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples() {
        let check = |samples: &[f64], percent, expected| {
            assert_eq!(Sorted::new(samples.to_vec()).percentile(percent), expected, "{samples:?} {percent}");
        };
        check(&[7.0], 99.0, 7.0);
        check(&[3.0, 1.0, 2.0], 50.0, 2.0);
        check(&[4.0, 1.0, 3.0, 2.0], 50.0, 2.0);
        check(&[1.0, 2.0, 3.0], 99.0, 3.0);
        check(&[1.0, 2.0, 3.0], 0.0, 1.0);
    }

    #[test]
    fn goals_are_judged_by_ratio_or_value() {
        let check = |value, peer: Option<f64>, goal, expected| {
            let peer = peer.map(|value| Peer { name: "peer", value });
            assert_eq!(Figure::new("f", "ms", value, peer, goal).holds, expected, "{value} {goal:?}");
        };
        check(1.0, Some(2.0), Goal::RatioAtMost(0.5), Some(true));
        check(1.1, Some(2.0), Goal::RatioAtMost(0.5), Some(false));
        check(40.0, Some(2.0), Goal::RatioAtLeast(20.0), Some(true));
        check(39.0, Some(2.0), Goal::RatioAtLeast(20.0), Some(false));
        check(60.0, None, Goal::AtMost(60.0), Some(true));
        check(61.0, Some(100.0), Goal::AtMost(60.0), Some(false));
        check(9.0, None, Goal::AtLeast(10.0), Some(false));
        check(9.0, None, Goal::None, None);
        check(9.0, None, Goal::RatioAtMost(1.0), None);
    }
}
