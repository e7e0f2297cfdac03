//! While the task is to run: what is due next.

use std::time::Duration;

use model::link::ReportedStatus;
use model::task::NetworkBinding;
use model::{NetworkMode, Timestamp};

use super::dependency::{self, Verdict};
use super::state::Phase;
use super::{Effect, Group, Task};
use crate::driver::{Attached, DriverError, Image, NetworkRequest, TaskLimits};
use crate::health;

impl Task {
    pub(super) fn start(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        if self.state.containers.iter().any(|container| container.phase < Phase::Running)
            && self.group == Group::Unknown
        {
            let limits = TaskLimits { cpu: self.spec.cpu, memory: self.spec.memory };
            self.begin(Effect::CreateGroup(limits), now, effects);
        }
        for container in 0..self.spec.containers.len() {
            self.attach_network(container, now, effects);
            match self.state.containers[container].phase {
                Phase::Waiting => self.create(container, now, effects),
                Phase::Created => self.start_container(container, now, effects),
                Phase::Running => self.check(container, now, effects),
                Phase::Stopped => {}
            }
        }
    }

    /// Also for containers that run already, after a restart: the rules of the node may be gone.
    fn attach_network(&mut self, container: usize, now: Timestamp, effects: &mut Vec<Effect>) {
        let Some(key) = self.network_key(container) else { return };
        let is_needed = self.state.containers[container].phase != Phase::Stopped;
        if !is_needed || self.attached(key).is_some() || self.networks_failed.contains(&key) {
            return;
        }
        let Some(kind) = self.network_kind(key) else {
            return self.fail_task(&DriverError::new("ContainerNetworkingError", "the task has no network interface"));
        };
        let proxy_port = self.spec.connect.as_ref().map(|connect| connect.proxy_port);
        let request = NetworkRequest { task: self.spec.id, container: key, kind, proxy_port };
        self.begin(Effect::Attach(request), now, effects);
    }

    /// The image is fetched while the container still waits for others; it is made once they hold.
    fn create(&mut self, container: usize, now: Timestamp, effects: &mut Vec<Effect>) {
        let Some(image) = self.state.containers[container].image.clone() else {
            self.transients[container].image_asked_at.get_or_insert(now);
            self.begin(Effect::EnsureImage { container }, now, effects);
            return self.give_up_on_dependencies(container, now);
        };
        if !self.dependencies_hold(container, now) {
            return self.give_up_on_dependencies(container, now);
        }
        let network = match self.network_key(container) {
            None => None,
            Some(key) => match self.attached(key) {
                Some(attached) => Some(attached.clone()),
                None => return,
            },
        };
        if self.group != Group::Ready {
            return;
        }
        self.state.containers[container].create_asked = true;
        self.begin(Effect::Create { container, image, network }, now, effects);
    }

    fn start_container(&mut self, container: usize, now: Timestamp, effects: &mut Vec<Effect>) {
        self.state.containers[container].start_asked = true;
        self.begin(Effect::Start { container }, now, effects);
    }

    fn check(&mut self, container: usize, now: Timestamp, effects: &mut Vec<Effect>) {
        let Some(check) = &self.spec.containers[container].definition.health_check else { return };
        let state = &mut self.state.containers[container];
        if state.health.due().is_none_or(|due| due > now) {
            return;
        }
        let Some(command) = health::command_of(check) else { return };
        let limit = Duration::from_secs(check.timeout.into());
        state.health.unschedule();
        self.begin(Effect::Check { container, command, limit }, now, effects);
    }

    fn verdicts(&self, container: usize, now: Timestamp) -> impl Iterator<Item = Verdict> + '_ {
        self.edges.iter().filter(move |edge| edge.container == container).map(move |edge| {
            let start_timeout = self.spec.containers[edge.on].definition.start_timeout;
            dependency::judge(edge.need, &self.state.containers[edge.on], start_timeout, now)
        })
    }

    fn dependencies_hold(&self, container: usize, now: Timestamp) -> bool {
        self.verdicts(container, now).all(|verdict| verdict == Verdict::Holds)
    }

    fn give_up_on_dependencies(&mut self, container: usize, now: Timestamp) {
        if !self.verdicts(container, now).any(|verdict| verdict == Verdict::Never) {
            return;
        }
        let message = format!("Task dependencies cannot be resolved, taskArn: {}", self.spec.arn);
        let error = DriverError::new("TaskDependencyError", message);
        self.end(container, Some(&error), now);
        self.state.failure.get_or_insert(super::report::reason(&error));
        self.state.stopping = true;
    }

    pub(super) fn learn_network(&mut self, key: Option<usize>, attached: Attached) {
        self.state.interface_attached |= key.is_none();
        self.networks.retain(|(known, _)| *known != key);
        self.networks.reserve_exact(1);
        self.networks.push((key, attached));
        for container in 0..self.state.containers.len() {
            if self.network_key(container) != Some(key) {
                continue;
            }
            let bindings = self.bindings_of(container);
            let state = &mut self.state.containers[container];
            if state.phase == Phase::Running && state.bindings.is_empty() {
                state.bindings = bindings;
            }
        }
    }

    /// Containers that run already have their network; only those that wait for it fail.
    pub(super) fn learn_network_failure(&mut self, key: Option<usize>, error: &DriverError, now: Timestamp) {
        self.networks_failed.insert(key);
        let is_running = |task: &Self, container: usize| task.state.containers[container].phase >= Phase::Running;
        match key {
            Some(container) => self.fail_container(container, error, now),
            None if (0..self.state.containers.len()).any(|container| is_running(self, container)) => {}
            None => self.fail_task(error),
        }
    }

    pub(super) fn learn_image(&mut self, container: usize, image: Image, now: Timestamp) {
        if image.pulled {
            let asked_at = self.transients[container].image_asked_at.unwrap_or(now);
            let started_at = self.state.pull_started_at.map_or(asked_at, |at| at.min(asked_at));
            self.state.pull_started_at = Some(started_at);
            self.state.pull_stopped_at = Some(now);
        }
        self.state.containers[container].image = Some(image);
    }

    /// As the API shows them once the container runs: none for awsvpc, the same port for host.
    pub(super) fn bindings_of(&self, container: usize) -> Vec<NetworkBinding> {
        match self.spec.network_mode {
            NetworkMode::Awsvpc | NetworkMode::None => Vec::new(),
            NetworkMode::Bridge => {
                self.attached(Some(container)).map(|attached| attached.bindings.clone()).unwrap_or_default()
            }
            NetworkMode::Host => {
                let mappings = self.spec.containers[container].definition.port_mappings.iter();
                let binding = |mapping: &model::task_definition::PortMapping| NetworkBinding {
                    bind_ip: "0.0.0.0".to_owned(),
                    container_port: mapping.container_port,
                    host_port: mapping.container_port,
                    protocol: mapping.protocol,
                };
                mappings.map(binding).collect()
            }
        }
    }

    pub(super) fn start_deadlines(&self, now: Timestamp) -> impl Iterator<Item = Timestamp> + '_ {
        let is_starting = !self.state.stopping && self.state.status() != ReportedStatus::Stopped;
        let containers = (0..self.state.containers.len()).filter(move |_| is_starting);
        containers.flat_map(move |container| {
            let state = &self.state.containers[container];
            let waits = self.verdicts(container, now).filter_map(|verdict| match verdict {
                Verdict::Waits { until } => until,
                Verdict::Holds | Verdict::Never => None,
            });
            let until = waits.min().filter(|_| state.phase == Phase::Waiting);
            until.into_iter().chain(state.health.due())
        })
    }
}
