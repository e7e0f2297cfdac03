//! The data path as the control plane knows it: it looks at targets now and then and tells how they truly are, and those
//! that are taken out it lets go once their requests have ended. It carries no requests.
//!
//! ```text
//! registered ─▶ initial ─(looked at)─▶ healthy ◀─▶ unhealthy      by what runs at the address
//! deregistered ─▶ draining ─(its requests have ended, if ever)─▶ drained
//! ```
//! A control plane that was started again is told all from the beginning, by a data path that was started with it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use agent::simulated::World;
use control::Control;
use model::Timestamp;
use model::edge::{TargetHealth, TargetReason, TargetSpec, TargetState};
use rand::Rng as _;
use rand::rngs::StdRng;
use tokio::time::{Instant, sleep};

use crate::plane::Plane;
use crate::random;
use crate::shape::Image;

/// Between two looks at the snapshot.
const TICK: Duration = Duration::from_millis(500);
/// Until a target is looked at first, at most.
const FIRST_LOOK_SECONDS: u64 = 8;
/// Between two looks at a target.
const INTERVAL: Duration = Duration::from_secs(5);
/// Until a target's requests have ended, at most; of those whose requests do end.
const DRAINS_SECONDS: u64 = 40;

/// A target that was taken out: the ARN of its group, its address, and since when.
pub type Leaving = (String, SocketAddr, Timestamp);

/// The targets that were told to be drained. Clones are the same record.
#[derive(Clone, Default)]
pub struct Releases(Arc<Mutex<BTreeSet<Leaving>>>);

impl Releases {
    fn add(&self, leaving: Leaving) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(leaving);
    }

    pub fn has(&self, leaving: &Leaving) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(leaving)
    }
}

/// Clones are the same data path.
#[derive(Clone)]
pub struct Edge {
    plane: Plane,
    machines: Vec<World>,
    releases: Releases,
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    random: StdRng,
    /// The process that was told.
    process: Weak<Control>,
    looks: BTreeMap<(String, SocketAddr), Look>,
    leaves: BTreeMap<Leaving, Option<Instant>>,
    /// Nothing answers until then.
    fails_until: Option<Instant>,
    /// Nothing is told until then.
    silent_until: Option<Instant>,
}

#[derive(Clone, Copy)]
struct Look {
    state: TargetState,
    next: Instant,
}

impl Edge {
    pub fn new(seed: u64, plane: Plane, machines: Vec<World>, releases: Releases) -> Self {
        let shared = Shared {
            random: random::fork(seed, "edge"),
            process: Weak::new(),
            looks: BTreeMap::new(),
            leaves: BTreeMap::new(),
            fails_until: None,
            silent_until: None,
        };
        Self { plane, machines, releases, shared: Arc::new(Mutex::new(shared)) }
    }

    /// Without end.
    pub async fn run(self) {
        loop {
            sleep(TICK).await;
            if let Some(control) = self.plane.control() {
                self.look(&control);
            }
        }
    }

    /// No target answers for a while.
    pub fn fail(&self, lasts: Duration) {
        self.shared().fails_until = Some(Instant::now() + lasts);
    }

    /// Nothing is told for a while.
    pub fn be_silent(&self, lasts: Duration) {
        self.shared().silent_until = Some(Instant::now() + lasts);
    }

    /// From now on nothing is wrong with it.
    pub fn heal(&self) {
        let mut shared = self.shared();
        (shared.fails_until, shared.silent_until) = (None, None);
    }

    fn look(&self, control: &Arc<Control>) {
        let now = Instant::now();
        let mut shared = self.shared();
        if shared.silent_until.is_some_and(|until| now < until) {
            return;
        }
        if !std::ptr::eq(shared.process.as_ptr(), Arc::as_ptr(control)) {
            shared.process = Arc::downgrade(control);
            shared.looks.clear();
            shared.leaves.clear();
        }
        let Some(snapshot) = control.traffic.subscribe().borrow().clone() else { return };
        let mut targets = BTreeSet::new();
        let mut facts = Vec::new();
        for group in &snapshot.target_groups {
            for target in &group.targets {
                facts.extend(match target.draining_since {
                    Some(since) => self.drain(&mut shared, (group.arn.clone(), target.address, since), now),
                    None => self.check(&mut shared, &group.arn, target, now),
                });
                targets.insert((group.arn.clone(), target.address, target.draining_since));
            }
        }
        let is_registered = |name: &(String, SocketAddr)| targets.contains(&(name.0.clone(), name.1, None));
        shared.looks.retain(|name, _| is_registered(name));
        shared.leaves.retain(|(group, address, since), _| targets.contains(&(group.clone(), *address, Some(*since))));
        drop(shared);
        facts.into_iter().for_each(|fact| control.traffic.tell(fact));
    }

    fn check(&self, shared: &mut Shared, group: &str, target: &TargetSpec, now: Instant) -> Option<TargetHealth> {
        let name = (group.to_owned(), target.address);
        let Some(look) = shared.looks.get(&name).copied() else {
            let next = now + Duration::from_secs(shared.random.random_range(0..=FIRST_LOOK_SECONDS));
            shared.looks.insert(name, Look { state: TargetState::Initial, next });
            return Some(fact(group, target.address, TargetState::Initial, false));
        };
        if now < look.next {
            return None;
        }
        let answers = shared.fails_until.is_none_or(|until| now >= until) && self.answers(target.address);
        let state = if answers { TargetState::Healthy } else { TargetState::Unhealthy };
        shared.looks.insert(name, Look { state, next: now + INTERVAL });
        (state != look.state).then(|| fact(group, target.address, state, false))
    }

    /// Some are busy to the end of the deregistration delay, and beyond.
    fn drain(&self, shared: &mut Shared, leaving: Leaving, now: Instant) -> Option<TargetHealth> {
        let Shared { random, leaves, .. } = shared;
        let ends = *leaves.entry(leaving.clone()).or_insert_with(|| {
            let after = Duration::from_secs(random.random_range(0..=DRAINS_SECONDS));
            random.random_bool(0.8).then(|| now + after)
        });
        let is_drained = ends.is_some_and(|ends| now >= ends);
        if is_drained {
            self.releases.add(leaving.clone());
        }
        Some(fact(&leaving.0, leaving.1, TargetState::Draining, is_drained))
    }

    /// Something serves at the address.
    fn answers(&self, address: SocketAddr) -> bool {
        let IpAddr::V4(address) = address.ip() else { return false };
        let image = self.machines.iter().find_map(|machine| machine.image_at(address));
        image.is_some_and(|image| Image::ALL.iter().any(|known| known.name() == image && known.answers()))
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn fact(group: &str, address: SocketAddr, state: TargetState, drained: bool) -> TargetHealth {
    let reason = match state {
        TargetState::Healthy => None,
        TargetState::Initial => Some(TargetReason::InitialHealthChecking),
        TargetState::Unhealthy => Some(TargetReason::Timeout),
        TargetState::Draining => Some(TargetReason::DeregistrationInProgress),
        TargetState::Unused => Some(TargetReason::NotInUse),
    };
    let description = reason.map(|_| "as it is".to_owned()).unwrap_or_default();
    TargetHealth { target_group: group.to_owned(), address, state, reason, description, drained }
}
