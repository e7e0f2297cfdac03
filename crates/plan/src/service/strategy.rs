//! How the production traffic goes over to a new revision: by how much with each step, and how long each step is
//! watched (ecs-semantics §3.13).

use std::time::Duration;

use model::deployment_configuration::{DeploymentStrategy, PerMille};

/// What the new revision gets after so many steps. `None` for a strategy that has no steps.
pub fn production(strategy: DeploymentStrategy, steps: u32) -> Option<PerMille> {
    let share = match strategy {
        DeploymentStrategy::Rolling => return None,
        DeploymentStrategy::BlueGreen => PerMille::ALL,
        DeploymentStrategy::Linear { step, .. } => PerMille(step.0.saturating_mul(steps)),
        DeploymentStrategy::Canary { percent, .. } if steps <= 1 => percent,
        DeploymentStrategy::Canary { .. } => PerMille::ALL,
    };
    Some(if steps == 0 { PerMille::NONE } else { share.min(PerMille::ALL) })
}

/// How long the next step waits. There is none after the last one, but the bake time of all.
pub fn step_bake(strategy: DeploymentStrategy) -> Duration {
    let minutes = match strategy {
        DeploymentStrategy::Rolling | DeploymentStrategy::BlueGreen => 0,
        DeploymentStrategy::Linear { step_bake_minutes, .. } => step_bake_minutes,
        DeploymentStrategy::Canary { bake_minutes, .. } => bake_minutes,
    };
    minutes_long(minutes)
}

pub(super) fn minutes_long(minutes: u32) -> Duration {
    Duration::from_secs(u64::from(minutes) * 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(strategy: DeploymentStrategy) -> Vec<f64> {
        let mut shares = Vec::new();
        while shares.last() != Some(&100.0) {
            let steps = shares.len() as u32 + 1;
            shares.push(production(strategy, steps).expect("a strategy with steps").percent());
        }
        shares
    }

    #[test]
    fn steps_are_those_of_the_worked_examples() {
        let linear = |step| DeploymentStrategy::Linear { step: PerMille(step), step_bake_minutes: 6 };
        let canary = |percent| DeploymentStrategy::Canary { percent: PerMille(percent), bake_minutes: 10 };
        for (strategy, expected) in [
            (DeploymentStrategy::BlueGreen, vec![100.0]),
            (linear(300), vec![30.0, 60.0, 90.0, 100.0]),
            (linear(500), vec![50.0, 100.0]),
            (linear(1000), vec![100.0]),
            (canary(50), vec![5.0, 100.0]),
            (canary(1), vec![0.1, 100.0]),
            (canary(1000), vec![100.0]),
        ] {
            assert_eq!(shares(strategy), expected, "{strategy:?}");
            assert_eq!(production(strategy, 0), Some(PerMille::NONE));
        }
        assert_eq!(shares(linear(30)).len(), 34);
        assert_eq!(production(DeploymentStrategy::Rolling, 1), None);
        assert_eq!((step_bake(linear(300)).as_secs(), step_bake(canary(50)).as_secs()), (360, 600));
    }
}
