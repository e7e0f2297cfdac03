//! While the task is to stop: the reverse of the start order, then letting go of everything.

use std::time::Duration;

use model::{NetworkMode, Timestamp};

use super::state::Phase;
use super::{EXIT_WAIT, Effect, Group, Job, KILL_ATTEMPTS_MAX, LOGS_GRACE, STOP_TIMEOUT_DEFAULT, Task};
use crate::driver::DriverError;

impl Task {
    pub(super) fn stop(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        for container in 0..self.state.containers.len() {
            match self.state.containers[container].phase {
                Phase::Waiting if self.is_doing(Job::Create(container)) => {}
                Phase::Waiting => self.end(container, None, now),
                Phase::Created if self.is_doing(Job::Start(container)) => {}
                Phase::Created => self.end(container, None, now),
                Phase::Running | Phase::Stopped => {}
            }
        }
        for container in 0..self.state.containers.len() {
            let state = &self.state.containers[container];
            if state.phase == Phase::Running && !self.is_held_by_dependents(container) {
                self.stop_container(container, now, effects);
            }
        }
    }

    /// A container is not stopped while one that depends on it still runs (ecs-semantics §2.4).
    fn is_held_by_dependents(&self, container: usize) -> bool {
        let mut dependents = self.edges.iter().filter(|edge| edge.on == container).map(|edge| edge.container);
        dependents.any(|dependent| {
            let phase = self.state.containers[dependent].phase;
            phase == Phase::Running || (phase == Phase::Created && self.is_doing(Job::Start(dependent)))
        })
    }

    fn stop_container(&mut self, container: usize, now: Timestamp, effects: &mut Vec<Effect>) {
        let state = &mut self.state.containers[container];
        state.health.unschedule();
        let asked_at = *state.stop_asked_at.get_or_insert(now);
        let image = state.image.clone();
        if now >= asked_at.plus(self.stop_timeout(container)) {
            return self.kill_container(container, now, effects);
        }
        if !self.transients[container].stop_sent {
            self.begin(Effect::Stop { container, image }, now, effects);
        }
    }

    fn kill_container(&mut self, container: usize, now: Timestamp, effects: &mut Vec<Effect>) {
        match self.transients[container].killed_at {
            None => self.begin(Effect::Kill { container }, now, effects),
            Some(at) if now >= at.plus(EXIT_WAIT) => {
                self.begin(Effect::Look { container }, now, effects);
            }
            Some(_) => {}
        }
    }

    pub(super) fn give_up_killing(&mut self, container: usize, error: &DriverError, now: Timestamp) {
        let attempts = self.retries.get(&Job::Kill(container)).map_or(0, |retry| retry.attempts);
        if attempts < KILL_ATTEMPTS_MAX {
            return;
        }
        self.retries.remove(&Job::Kill(container));
        self.end(container, Some(&DriverError::new("CannotStopContainerError", &error.message)), now);
    }

    fn stop_timeout(&self, container: usize) -> Duration {
        let seconds = self.spec.containers[container].definition.stop_timeout.filter(|seconds| *seconds > 0);
        seconds.map_or(STOP_TIMEOUT_DEFAULT, |seconds| Duration::from_secs(seconds.into()))
    }

    /// Removes what has stopped, and once all has, what the task as a whole holds.
    pub(super) fn clean(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        for container in 0..self.state.containers.len() {
            self.clean_container(container, now, effects);
        }
        if !self.state.stopping || self.state.released || !self.all_deleted() {
            return;
        }
        self.release(now, effects);
        let is_released = self.detached && self.group == Group::Removed && self.files_removed;
        self.state.released = is_released && self.logs_are_out(now);
    }

    fn clean_container(&mut self, container: usize, now: Timestamp, effects: &mut Vec<Effect>) {
        let state = &mut self.state.containers[container];
        if state.phase != Phase::Stopped {
            return;
        }
        let has_logs = self.spec.containers[container].definition.log_configuration.is_some();
        // What was never made has no lines and leaves nothing.
        state.logs_finished |= !has_logs || !state.create_asked;
        state.deleted |= !state.create_asked;
        let (deleted, logs_finished) = (state.deleted, state.logs_finished);
        if self.end_job(Job::EnsureImage(container)) {
            effects.push(Effect::AbandonImage { container });
        }
        // Only when the shim is gone has the last line been written.
        if deleted && !logs_finished {
            self.begin(Effect::FinishLogs { container }, now, effects);
        }
        let busy = [Job::Create, Job::Start, Job::Stop, Job::Kill].map(|job| self.is_doing(job(container)));
        if !deleted && !busy.contains(&true) {
            self.begin(Effect::Delete { container }, now, effects);
        }
    }

    fn all_deleted(&self) -> bool {
        self.state.containers.iter().all(|state| state.deleted)
    }

    fn release(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let attaching = self.doing.iter().any(|job| matches!(job, Job::Attach(_)));
        self.detached |= self.spec.network_mode == NetworkMode::Host;
        if !self.detached && !attaching {
            self.begin(Effect::Detach, now, effects);
        }
        if self.group != Group::Removed && !self.is_doing(Job::CreateGroup) {
            self.begin(Effect::RemoveGroup, now, effects);
        }
        if !self.files_removed {
            self.begin(Effect::RemoveFiles, now, effects);
        }
    }

    fn logs_are_out(&self, now: Timestamp) -> bool {
        self.state.containers.iter().all(|state| {
            let grace = state.stopped_at.map(|at| at.plus(LOGS_GRACE));
            state.logs_finished || grace.is_none_or(|grace| now >= grace)
        })
    }

    pub(super) fn stop_deadlines(&self) -> impl Iterator<Item = Timestamp> + '_ {
        let containers = (0..self.state.containers.len()).filter(|_| self.state.stopping && !self.state.released);
        containers.flat_map(|container| {
            let state = &self.state.containers[container];
            let runs = state.phase == Phase::Running;
            let kill = state.stop_asked_at.filter(|_| runs).map(|at| at.plus(self.stop_timeout(container)));
            let look = self.transients[container].killed_at.filter(|_| runs).map(|at| at.plus(EXIT_WAIT));
            let grace = state.stopped_at.filter(|_| !state.logs_finished).map(|at| at.plus(LOGS_GRACE));
            [kill, look, grace].into_iter().flatten()
        })
    }
}
