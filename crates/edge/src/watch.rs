//! What is done about one target as long as it stays in one role:
//!
//! ```text
//! unused     no rule leads to its group: nothing
//! checked    asked for its health again and again
//! draining   deregistered: waited for until it has nothing to do, cut off when that takes too long
//! ```

use std::sync::Arc;
use std::time::Duration;

use model::Timestamp;
use model::edge::{TargetGroupSpec, TargetHealth, TargetReason, TargetState};
use tokio::time::{sleep, timeout};

use crate::facts::Facts;
use crate::group::Group;
use crate::health::{self, Health};
use crate::target::Target;
use crate::{check, clock};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Unused,
    Checked,
    Draining { since: Timestamp },
}

pub struct Watch {
    pub group: Arc<Group>,
    pub target: Arc<Target>,
    pub facts: Arc<Facts>,
}

/// Whether what a deregistered target has yet to do ends with its delay: requests do, connections only where asked.
pub fn cuts_deregistered(group: &TargetGroupSpec) -> bool {
    group.protocol.is_http() || group.connections.cut_when_deregistered
}

impl Watch {
    pub async fn play(self, role: Role) {
        match role {
            Role::Unused => self.rest(),
            Role::Checked => self.check().await,
            Role::Draining { since } => self.drain(since).await,
        }
    }

    fn rest(&self) {
        self.turn(TargetState::Unused, None);
        let (reason, description) = health::explain(TargetReason::NotInUse);
        self.tell(TargetState::Unused, reason, description, false);
    }

    async fn check(&self) {
        let mut health = Health::default();
        self.turn(TargetState::Initial, None);
        self.tell_health(&health);
        loop {
            let members = self.group.members();
            let (spec, way) = (members.spec.clone(), members.way());
            drop(members);
            let outcome = check::run(self.target.address, &spec.health_check, way).await;
            let (before, now) = (health.clone(), clock::now());
            health.record(&spec.health_check, outcome, now);
            if health.state != before.state {
                let warms = health.state == TargetState::Healthy && self.is_after_others();
                self.turn(health.state, warms.then_some(now));
                if health.state == TargetState::Unhealthy && spec.connections.cut_when_unhealthy {
                    self.target.sever();
                }
            }
            if (health.state, health.explain()) != (before.state, before.explain()) {
                self.tell_health(&health);
            }
            self.target.close_stale();
            tokio::select! {
                () = sleep(health.pause(&spec.health_check)) => {}
                () = self.group.check_changed.notified() => {}
            }
        }
    }

    /// Slow start is for those that join healthy ones which are warm already.
    fn is_after_others(&self) -> bool {
        let members = self.group.members();
        let slow_start = Duration::from_secs(members.spec.slow_start_seconds.into());
        let is_warm = |target: &Arc<Target>| {
            let since = target.warming_since();
            target.is(TargetState::Healthy) && since.is_none_or(|since| clock::now().since(since) >= slow_start)
        };
        !slow_start.is_zero() && members.targets.iter().any(is_warm)
    }

    async fn drain(&self, since: Timestamp) {
        self.target.drain();
        self.group.refresh();
        let tell = |drained| {
            let (reason, description) = health::explain(TargetReason::DeregistrationInProgress);
            self.tell(TargetState::Draining, reason, description, drained);
        };
        tell(false);
        let delay = self.group.members().spec.deregistration_delay_seconds;
        let rest = Duration::from_secs(delay.into()).saturating_sub(clock::now().since(since));
        let is_over = timeout(rest, self.target.empty()).await.is_err();
        if is_over && cuts_deregistered(&self.group.members().spec) {
            self.target.cut();
            self.target.empty().await;
        }
        tell(true);
    }

    fn turn(&self, state: TargetState, warming_since: Option<Timestamp>) {
        self.target.turn(state, warming_since);
        self.group.refresh();
    }

    fn tell_health(&self, health: &Health) {
        let (reason, description) = health.explain();
        self.tell(health.state, reason, description, false);
    }

    fn tell(&self, state: TargetState, reason: Option<TargetReason>, description: String, drained: bool) {
        self.facts.tell(TargetHealth {
            target_group: self.group.arn.clone(),
            address: self.target.address,
            state,
            reason,
            description,
            drained,
        });
    }
}
