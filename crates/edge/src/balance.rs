//! Which target group by weight, and which target of it by the group's algorithm.

use std::time::Duration;

use model::Timestamp;
use model::edge::Algorithm;

/// What is known of a target that may be chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// Requests that it has and has not answered.
    pub outstanding: u32,
    /// Of a full target's share; below 1 while it is in slow start.
    pub share: f64,
}

impl Candidate {
    /// Requests that one would have with a full share.
    fn pressure(&self) -> f64 {
        f64::from(self.outstanding + 1) / self.share
    }
}

/// The index of the group whose turn it is. `None` when no group has a weight.
pub fn group(weights: impl Iterator<Item = u32> + Clone, random: u64) -> Option<usize> {
    let total: u64 = weights.clone().map(u64::from).sum();
    let mut at = random.checked_rem(total)?;
    weights.enumerate().find_map(|(index, weight)| {
        let hit = at < u64::from(weight);
        at = at.saturating_sub(u64::from(weight));
        hit.then_some(index)
    })
}

/// The index of the target whose turn it is. `turn` rises with every request of the group.
pub fn target(algorithm: Algorithm, candidates: &[Candidate], turn: usize, random: u64) -> Option<usize> {
    let count = candidates.len();
    if count <= 1 {
        return (count == 1).then_some(0);
    }
    match algorithm {
        Algorithm::RoundRobin if candidates.iter().all(|candidate| candidate.share >= 1.0) => Some(turn % count),
        Algorithm::RoundRobin | Algorithm::WeightedRandom => Some(by_share(candidates, random)),
        Algorithm::LeastOutstandingRequests => {
            let from = |offset: usize| (turn.wrapping_add(offset)) % count;
            let pressure = |index: &usize| candidates[*index].pressure();
            (0..count).map(from).min_by(|a, b| pressure(a).total_cmp(&pressure(b)))
        }
    }
}

fn by_share(candidates: &[Candidate], random: u64) -> usize {
    let total: f64 = candidates.iter().map(|candidate| candidate.share).sum();
    let mut at = random as f64 / u64::MAX as f64 * total;
    let last = candidates.len() - 1;
    let hit = candidates[..last].iter().position(|candidate| {
        let hit = at < candidate.share;
        at -= candidate.share;
        hit
    });
    hit.unwrap_or(last)
}

/// The least that a target in slow start gets, so that it is warmed up at all.
const LEAST_SHARE: f64 = 0.02;

/// A target's share rises evenly from when it turned healthy until the slow start is over.
pub fn share(warming_since: Option<Timestamp>, slow_start: Duration, now: Timestamp) -> f64 {
    match warming_since {
        Some(since) if !slow_start.is_zero() => {
            (now.since(since).as_secs_f64() / slow_start.as_secs_f64()).clamp(LEAST_SHARE, 1.0)
        }
        _ => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Algorithm::{LeastOutstandingRequests, RoundRobin, WeightedRandom};

    /// How many of a hundred evenly spread random numbers fall on each group.
    fn spread(weights: &[u32]) -> Vec<usize> {
        let mut counts = vec![0; weights.len()];
        for random in 0..100 {
            if let Some(index) = group(weights.iter().copied(), random) {
                counts[index] += 1;
            }
        }
        counts
    }

    #[test]
    fn groups_by_weight() {
        assert_eq!(spread(&[1]), [100]);
        assert_eq!(spread(&[90, 10]), [90, 10]);
        assert_eq!(spread(&[0, 1]), [0, 100]);
        assert_eq!(spread(&[1, 0, 1]), [50, 0, 50]);
        assert_eq!(spread(&[0, 0]), [0, 0]);
        assert_eq!(spread(&[]), [0; 0]);
    }

    fn candidates(of: &[(u32, f64)]) -> Vec<Candidate> {
        of.iter().map(|(outstanding, share)| Candidate { outstanding: *outstanding, share: *share }).collect()
    }

    /// A thousand choices, with turn and random numbers that go evenly through all there are.
    fn counts(algorithm: Algorithm, of: &[(u32, f64)]) -> Vec<usize> {
        let candidates = candidates(of);
        let mut counts = vec![0; of.len()];
        for turn in 0..1000 {
            let random = u64::MAX / 1000 * turn as u64 + u64::MAX / 2000;
            counts[target(algorithm, &candidates, turn, random).expect("there are targets")] += 1;
        }
        counts
    }

    #[test]
    fn targets_by_algorithm() {
        assert_eq!(target(RoundRobin, &[], 0, 0), None);
        assert_eq!(counts(RoundRobin, &[(0, 1.0)]), [1000]);
        assert_eq!(counts(RoundRobin, &[(9, 1.0), (0, 1.0)]), [500, 500]);
        assert_eq!(counts(LeastOutstandingRequests, &[(2, 1.0), (1, 1.0), (3, 1.0)]), [0, 1000, 0]);
        assert_eq!(counts(LeastOutstandingRequests, &[(1, 1.0), (1, 1.0)]), [500, 500]);
        assert_eq!(counts(WeightedRandom, &[(0, 1.0), (0, 1.0)]), [500, 500]);
    }

    #[test]
    fn a_target_in_slow_start_gets_its_share() {
        assert_eq!(counts(RoundRobin, &[(0, 1.0), (0, 0.25)]), [800, 200]);
        assert_eq!(counts(LeastOutstandingRequests, &[(2, 1.0), (1, 0.5)]), [1000, 0]);
        assert_eq!(counts(LeastOutstandingRequests, &[(4, 1.0), (1, 0.5)]), [0, 1000]);
    }

    #[test]
    fn shares_rise_evenly() {
        let check = |since: Option<i64>, now, expected| {
            let slow_start = Duration::from_secs(100);
            assert_eq!(share(since.map(Timestamp), slow_start, Timestamp(now)), expected, "{since:?} {now}");
        };
        check(None, 0, 1.0);
        check(Some(0), 0, LEAST_SHARE);
        check(Some(0), 50_000, 0.5);
        check(Some(0), 100_000, 1.0);
        check(Some(0), 900_000, 1.0);
        assert_eq!(share(Some(Timestamp(0)), Duration::ZERO, Timestamp(1)), 1.0);
    }
}
