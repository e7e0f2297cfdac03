//! Scenarios: what is told to a task, line by line, and what it asks for. Containers are called a, b, c.

mod dependencies;
mod lives;
mod properties;
mod stops;

use std::sync::Arc;
use std::time::Duration;

use model::link::{ContainerSpec, InterfaceSpec, TaskReport, TaskSpec};
use model::task_definition::{Condition, Dependency, HealthCheck, LogConfiguration, VolumeFrom};
use model::{ContainerDefinition, DesiredStatus, LaunchType, NetworkMode, Scope, TaskId, Timestamp};

use super::{Effect, Event, Task};
use crate::driver::{Attached, DriverError, ExecResult, FoundStatus, Image};

pub(crate) const BOOT: &str = "boot-1";

pub(crate) fn spec(containers: Vec<ContainerDefinition>) -> TaskSpec {
    let container = |(n, definition): (usize, ContainerDefinition)| ContainerSpec {
        id: model::id::uuid(n as u128),
        arn: format!("arn:container/{n}"),
        definition: definition.into(),
        gpu_ids: Vec::new(),
    };
    TaskSpec {
        id: TaskId(1),
        arn: "arn:task/1".into(),
        scope: Scope::new("000000000000", "us-east-1"),
        cluster: "default".into(),
        cluster_arn: "arn:cluster".into(),
        family: "web".into(),
        revision: 1,
        launch_type: LaunchType::Fargate,
        group: "family:web".into(),
        started_by: None,
        availability_zone: None,
        created_at: Timestamp(0),
        tags: Vec::new(),
        cpu: None,
        memory: None,
        network_mode: NetworkMode::Awsvpc,
        interface: Some(InterfaceSpec {
            attachment_id: "attachment".into(),
            interface_id: "eni-1".into(),
            mac: "02:47:ac:1f:00:05".into(),
            address: [172, 31, 0, 5].into(),
            subnet_id: "subnet-1".into(),
            subnet_prefix_length: 20,
            gateway: [172, 31, 0, 1].into(),
            vpc_id: "vpc-1".into(),
            own_network: false,
            private_dns_name: "ip-172-31-0-5.ec2.internal".into(),
            security_groups: Vec::new(),
        }),
        containers: containers.into_iter().enumerate().map(container).collect(),
        volumes: Vec::new(),
        connect: None,
    }
}

/// An essential container whose image is called as itself.
pub(crate) fn container(name: &str) -> ContainerDefinition {
    ContainerDefinition { name: name.into(), image: name.into(), essential: true, ..ContainerDefinition::default() }
}

pub(crate) trait Built: Sized {
    fn with(self, change: impl FnOnce(&mut ContainerDefinition)) -> ContainerDefinition;

    fn optional(self) -> ContainerDefinition {
        self.with(|c| c.essential = false)
    }

    fn after(self, other: &str, condition: Condition) -> ContainerDefinition {
        self.with(|c| c.depends_on.push(Dependency { container: other.into(), condition }))
    }

    fn volumes_from(self, other: &str) -> ContainerDefinition {
        self.with(|c| c.volumes_from.push(VolumeFrom { source_container: other.into(), read_only: None }))
    }

    fn start_timeout(self, seconds: u32) -> ContainerDefinition {
        self.with(|c| c.start_timeout = Some(seconds))
    }

    fn stop_timeout(self, seconds: u32) -> ContainerDefinition {
        self.with(|c| c.stop_timeout = Some(seconds))
    }

    /// Every 10 s, twice.
    fn checked(self) -> ContainerDefinition {
        let command = vec!["CMD".into(), "true".into()];
        self.with(|c| {
            c.health_check = Some(HealthCheck { command, interval: 10, timeout: 5, retries: 2, start_period: None })
        })
    }

    fn logged(self) -> ContainerDefinition {
        self.with(|c| c.log_configuration = Some(LogConfiguration { driver: "awslogs".into(), options: Vec::new() }))
    }
}

impl Built for ContainerDefinition {
    fn with(mut self, change: impl FnOnce(&mut ContainerDefinition)) -> ContainerDefinition {
        change(&mut self);
        self
    }
}

/// Tells the task each line on the left and compares what it asks for with the right. `*` on the right takes anything.
/// A left side of `until ready` plays on until all containers run, `let go` until the task is STOPPED.
pub(crate) struct Rig {
    pub task: Task,
    pub now: Timestamp,
    pub reports: Vec<TaskReport>,
    pending: Vec<Effect>,
}

impl Rig {
    pub fn new(spec: TaskSpec) -> Self {
        let task = Task::new(Arc::new(spec), &BOOT.into());
        Self { task, now: Timestamp(1_000_000), reports: Vec::new(), pending: Vec::new() }
    }

    pub fn adopt(task: &Task, found: &[Option<FoundStatus>], boot: &str, now: Timestamp) -> (Self, String) {
        let (task, effects) = Task::adopt(task.spec().clone(), task.state().clone(), found, &boot.into(), now);
        let mut rig = Self { task, now, reports: Vec::new(), pending: Vec::new() };
        let asked = rig.note(effects);
        (rig, asked)
    }

    pub fn check(&mut self, lines: &[(&str, &str)]) {
        for (told, expected) in lines {
            let asked = self.play(told);
            assert!(
                *expected == "*" || asked == *expected,
                "told `{told}`: asked for `{asked}`, expected `{expected}`"
            );
        }
    }

    fn play(&mut self, told: &str) -> String {
        if let Some(seconds) = told.strip_prefix('+') {
            let seconds = seconds.trim_end_matches(" s").parse().unwrap();
            self.now = self.now.plus(Duration::from_secs(seconds));
            return self.tell(Event::Tick);
        }
        match told {
            "until ready" => self.play_until(|rig| rig.task.state().started_at.is_some()),
            "let go" => self.play_until(|rig| rig.task.state().released),
            told => {
                let event = self.event(told);
                self.tell(event)
            }
        }
    }

    pub fn tell(&mut self, event: Event) -> String {
        self.now = self.now.plus(Duration::from_millis(1));
        if let Some(job) = event.job() {
            self.pending.retain(|effect| effect.job() != Some(job));
        }
        let effects = self.task.step(event, self.now);
        self.note(effects)
    }

    fn note(&mut self, effects: Vec<Effect>) -> String {
        let mut asked = Vec::new();
        for effect in effects {
            match effect {
                Effect::Report(report) => self.reports.push(report),
                effect => {
                    asked.push(self.describe(&effect));
                    self.pending.push(effect);
                }
            }
        }
        asked.join(", ")
    }

    /// Answers whatever is asked for with success.
    fn play_until(&mut self, done: impl Fn(&Self) -> bool) -> String {
        self.tell(Event::Tick);
        for _ in 0..1000 {
            if done(self) {
                return String::new();
            }
            let job = self.pending.iter().find_map(Effect::job).expect("the task waits for nothing");
            let event = success(job);
            self.tell(event);
        }
        panic!("the task goes round in circles")
    }

    fn place(&self, name: &str) -> usize {
        let containers = &self.task.spec().containers;
        containers.iter().position(|container| container.definition.name == name).expect("a container's name")
    }

    fn name(&self, container: usize) -> &str {
        &self.task.spec().containers[container].definition.name
    }

    fn describe(&self, effect: &Effect) -> String {
        let of = |verb: &str, container: &usize| format!("{verb} {}", self.name(*container));
        match effect {
            Effect::CreateGroup(_) => "group".into(),
            Effect::Attach(request) => match request.container {
                None => "attach".into(),
                Some(container) => of("attach", &container),
            },
            Effect::EnsureImage { container } => of("image", container),
            Effect::AbandonImage { container } => of("abandon", container),
            Effect::Create { container, .. } => of("create", container),
            Effect::Start { container } => of("start", container),
            Effect::Check { container, .. } => of("check", container),
            Effect::Look { container } => of("look", container),
            Effect::Stop { container, .. } => of("stop", container),
            Effect::Kill { container } => of("kill", container),
            Effect::Delete { container } => of("delete", container),
            Effect::FinishLogs { container } => of("finish", container),
            Effect::Detach => "detach".into(),
            Effect::RemoveGroup => "ungroup".into(),
            Effect::RemoveFiles => "unfile".into(),
            Effect::Report(_) => unreachable!(),
        }
    }

    /// `create a` is its success, `create a fails` its failure.
    fn event(&self, told: &str) -> Event {
        let words: Vec<&str> = told.split(' ').collect();
        let error = DriverError::new("SomeError", "no luck");
        let container = |name: &str| self.place(name);
        let looked = |status| Ok(Some(status));
        match words[..] {
            ["begin"] => Event::Tick,
            ["desired", "STOPPED"] => Event::Desired(DesiredStatus::Stopped),
            ["refused"] => Event::Refused(error),
            ["group"] => Event::GroupCreated(Ok(())),
            ["group", "fails"] => Event::GroupCreated(Err(error)),
            ["attach"] => Event::NetworkAttached(None, Ok(attached())),
            ["attach", "fails"] => Event::NetworkAttached(None, Err(error)),
            ["attach", name] => Event::NetworkAttached(Some(container(name)), Ok(attached())),
            ["attach", name, "fails"] => Event::NetworkAttached(Some(container(name)), Err(error)),
            ["image", name] => Event::ImageEnsured(container(name), Ok(image(false))),
            ["pull", name] => Event::ImageEnsured(container(name), Ok(image(true))),
            ["image", name, "fails"] => Event::ImageEnsured(container(name), Err(error)),
            ["create", name] => Event::Created(container(name), Ok(())),
            ["create", name, "fails"] => Event::Created(container(name), Err(error)),
            ["start", name] => Event::Started(container(name), Ok(42)),
            ["start", name, "fails"] => Event::Started(container(name), Err(error)),
            ["exit", name, code] => self.exit(name, code, false),
            ["oom", name] => self.exit(name, "137", true),
            ["check", name, "hangs"] => {
                Event::Checked(container(name), Ok(ExecResult { exit_code: None, output: String::new() }))
            }
            ["check", name, "fails"] => Event::Checked(container(name), Err(error)),
            ["check", name, code] => {
                let exit_code = Some(code.parse().unwrap());
                Event::Checked(container(name), Ok(ExecResult { exit_code, output: String::new() }))
            }
            ["look", name, "running"] => Event::Looked(container(name), looked(FoundStatus::Running { pid: 42 })),
            ["look", name, "gone"] => Event::Looked(container(name), Ok(None)),
            ["look", name, code] => {
                let exit_code = code.parse().unwrap();
                let status = FoundStatus::Stopped { exit_code, at: self.now, out_of_memory: false };
                Event::Looked(container(name), looked(status))
            }
            ["stop", name] => Event::StopSent(container(name), Ok(())),
            ["stop", name, "fails"] => Event::StopSent(container(name), Err(error)),
            ["kill", name] => Event::KillSent(container(name), Ok(())),
            ["kill", name, "fails"] => Event::KillSent(container(name), Err(error)),
            ["delete", name] => Event::Deleted(container(name), Ok(())),
            ["delete", name, "fails"] => Event::Deleted(container(name), Err(error)),
            ["finish", name] => Event::LogsFinished(container(name)),
            ["detach"] => Event::Detached(Ok(())),
            ["detach", "fails"] => Event::Detached(Err(error)),
            ["ungroup"] => Event::GroupRemoved(Ok(())),
            ["unfile"] => Event::FilesRemoved(Ok(())),
            _ => panic!("not a line: {told}"),
        }
    }

    fn exit(&self, name: &str, code: &str, out_of_memory: bool) -> Event {
        Event::Exited { container: self.place(name), exit_code: code.parse().unwrap(), at: self.now, out_of_memory }
    }

    pub fn report(&self) -> &TaskReport {
        self.reports.last().expect("a report")
    }
}

pub(crate) fn attached() -> Attached {
    let binding = model::task::NetworkBinding {
        bind_ip: "0.0.0.0".into(),
        container_port: 80,
        host_port: 32768,
        protocol: model::Protocol::Tcp,
    };
    Attached { namespace: "/run/netns/x".into(), address: Some([172, 31, 0, 5].into()), bindings: vec![binding] }
}

pub(crate) fn image(pulled: bool) -> Image {
    Image { reference: "docker.io/library/x:latest".into(), digest: "sha256:00".into(), pulled }
}

/// The event of a job that went well.
pub(crate) fn success(job: super::Job) -> Event {
    use super::Job;
    match job {
        Job::CreateGroup => Event::GroupCreated(Ok(())),
        Job::Attach(network) => Event::NetworkAttached(network, Ok(attached())),
        Job::EnsureImage(container) => Event::ImageEnsured(container, Ok(image(false))),
        Job::Create(container) => Event::Created(container, Ok(())),
        Job::Start(container) => Event::Started(container, Ok(42)),
        Job::Check(container) => {
            Event::Checked(container, Ok(ExecResult { exit_code: Some(0), output: String::new() }))
        }
        Job::Look(container) => Event::Looked(container, Ok(None)),
        Job::Stop(container) => Event::StopSent(container, Ok(())),
        Job::Kill(container) => Event::KillSent(container, Ok(())),
        Job::Delete(container) => Event::Deleted(container, Ok(())),
        Job::FinishLogs(container) => Event::LogsFinished(container),
        Job::Detach => Event::Detached(Ok(())),
        Job::RemoveGroup => Event::GroupRemoved(Ok(())),
        Job::RemoveFiles => Event::FilesRemoved(Ok(())),
    }
}
