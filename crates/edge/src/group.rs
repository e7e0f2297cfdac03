//! A target group as requests see it: its settings, its targets, and those of them that take requests now.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use model::Timestamp;
use model::edge::{Algorithm, Stickiness, TargetGroupSpec, TargetState};
use tokio::sync::Notify;

use crate::balance::{self, Candidate};
use crate::dial::Source;
use crate::flow;
use crate::target::Target;
use crate::upstream::Way;

#[derive(Debug)]
pub struct Group {
    pub arn: String,
    /// Rises with every choice, over all workers, so that clients see the targets in turn.
    turn: AtomicUsize,
    members: ArcSwap<Members>,
    /// The health check is another one.
    pub check_changed: Notify,
}

#[derive(Debug)]
pub struct Members {
    pub spec: Arc<TargetGroupSpec>,
    /// What targets see as the other end.
    pub source: Source,
    pub targets: Vec<Arc<Target>>,
    /// The healthy ones; when there is none, the unhealthy ones: better a doubtful answer than none.
    pub serving: Vec<Arc<Target>>,
}

impl Members {
    fn new(spec: Arc<TargetGroupSpec>, source: Source, targets: Vec<Arc<Target>>) -> Self {
        let those = |state| targets.iter().filter(|target| target.is(state)).cloned().collect::<Vec<_>>();
        let mut serving = those(TargetState::Healthy);
        if serving.is_empty() {
            serving = those(TargetState::Unhealthy);
        }
        Self { spec, source, targets, serving }
    }

    pub fn way(&self) -> Way {
        Way { protocol: self.spec.protocol, version: self.spec.protocol_version, source: self.source.clone() }
    }

    pub fn is_sticky_by_source(&self) -> bool {
        self.spec.stickiness == Some(Stickiness::SourceIp)
    }

    /// The serving target that has a flow, but for those that were tried: one of the zone, if there is one there.
    pub fn of_flow(&self, flow: u64, zone: Option<&str>, tried: &[Arc<Target>]) -> Option<Arc<Target>> {
        let is_tried = |target: &Arc<Target>| tried.iter().any(|tried| Arc::ptr_eq(tried, target));
        let left = || self.serving.iter().filter(|target| !is_tried(target));
        let is_near = |target: &&Arc<Target>| target.zone.as_deref() == zone;
        let near: Vec<&Arc<Target>> = left().filter(is_near).collect();
        let from = if zone.is_none() || near.is_empty() { left().collect() } else { near };
        flow::choose(from.iter().map(|target| target.seed), flow).map(|index| from[index].clone())
    }

    /// The serving target that a cookie names.
    pub fn tagged(&self, tag: &str) -> Option<&Arc<Target>> {
        self.serving.iter().find(|target| target.tag == tag)
    }
}

impl Group {
    pub fn new(arn: String, spec: Arc<TargetGroupSpec>, source: Source) -> Arc<Self> {
        let members = ArcSwap::from_pointee(Members::new(spec, source, Vec::new()));
        Arc::new(Self { arn, turn: AtomicUsize::new(0), members, check_changed: Notify::new() })
    }

    pub fn members(&self) -> Arc<Members> {
        self.members.load_full()
    }

    /// Only the front changes it.
    pub fn set(&self, spec: Arc<TargetGroupSpec>, source: Source, targets: Vec<Arc<Target>>) {
        self.members.store(Arc::new(Members::new(spec, source, targets)));
    }

    /// After a target has turned.
    pub fn refresh(&self) {
        let members = self.members();
        self.set(members.spec.clone(), members.source.clone(), members.targets.clone());
    }

    /// A serving target that was not tried yet. One that is avoided only when there is no other.
    pub fn choose(
        &self,
        members: &Members,
        tried: &[Arc<Target>],
        random: u64,
        now: impl Fn() -> Timestamp,
    ) -> Option<Arc<Target>> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let spec = &members.spec;
        let in_turn = spec.algorithm == Algorithm::RoundRobin && spec.slow_start_seconds == 0;
        if in_turn && tried.is_empty() {
            let next = members.serving.get(turn.checked_rem(members.serving.len())?)?;
            if !next.is_avoided(&now) {
                return Some(next.clone());
            }
        }
        let is_tried = |target: &Arc<Target>| tried.iter().any(|tried| Arc::ptr_eq(tried, target));
        let untried: Vec<&Arc<Target>> = members.serving.iter().filter(|target| !is_tried(target)).collect();
        let trusted: Vec<&Arc<Target>> = untried.iter().copied().filter(|target| !target.is_avoided(&now)).collect();
        let left = if trusted.is_empty() { untried } else { trusted };
        let slow_start = Duration::from_secs(spec.slow_start_seconds.into());
        let now = now();
        let candidate = |target: &&Arc<Target>| Candidate {
            outstanding: target.outstanding(),
            share: balance::share(target.warming_since(), slow_start, now),
        };
        let candidates: Vec<Candidate> = left.iter().map(candidate).collect();
        balance::target(spec.algorithm, &candidates, turn, random).map(|index| left[index].clone())
    }
}
