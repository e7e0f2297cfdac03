//! RunTask and StartTask: judge the request, find places, write tasks.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use model::capacity_provider::Capacity;
use model::service::PropagateTags;
use model::task::{Attachment, Container, ContainerStatus, TaskConnect, TaskOverride};
use model::task_registration::{ConnectPlace, TaskRegistrationStatus};
use model::{
    Arn, Cluster, ContainerInstanceId, Deployment, DesiredStatus, HealthStatus, LaunchType, NetworkMode, Node, NodeId,
    Resources, Service, ServiceConnect, ServiceLoadBalancer, ServiceRegistry, ServiceRevision, Tag, Task,
    TaskDefinition, TaskId, TaskRegistration, TaskStatus, TaskTarget,
};
use plan::place::{self, Assignment, Constraint, Placement, Request, Strategy, Surveyed, Target};
use plan::{capacity, service_connect};
use rand::RngCore;
use wire::ecs;
use wire::ecs::Error;

use super::network::{self, Network};
use super::token::Token;
use super::{overrides, placement, to_wire};
use crate::Cx;
use crate::ecs::convert::{service, tag};
use crate::ecs::identifier::Kind;
use crate::ecs::{capacity_provider, cluster, container_instance, service_revision, setting, task_definition};

/// Tasks of one RunTask, container instances of one StartTask (ecs-semantics §4.4).
const COUNT_MAX: i32 = 10;
const INSTANCES_MAX: usize = 10;
const GROUP_LENGTH_MAX: usize = 255;
const STARTED_BY_LENGTH_MAX: usize = 128;
const STARTED_BY_LENGTH_MAX_START_TASK: usize = 36;
const REFERENCE_ID_LENGTH_MAX: usize = 1024;
/// The one Linux platform version, which LATEST means.
const PLATFORM_VERSION: &str = "1.4.0";
pub(in crate::ecs) const EMPTY_PROVIDER: &str = "No Container Instances were found in your capacity provider.";

/// RunTask: as many of the tasks as there is room for, and a failure for what kept the others out. A request that is
/// repeated with its client token gets the same tasks again.
pub fn run_task(cx: &mut Cx<'_>, mut request: ecs::RunTaskRequest) -> Result<ecs::RunTaskResponse, Error> {
    let token = request.client_token.take().filter(|token| !token.is_empty());
    let token = token.map(|token| Token::of("RunTask", token, &request)).transpose()?;
    if let Some(answered) = token.as_ref().map(|token| token.answer(cx)).transpose()?.flatten() {
        return Ok(answered);
    }
    let count = request.count.unwrap_or(1);
    if !(1..=COUNT_MAX).contains(&count) {
        return Err(Error::invalid_parameter(format!("count must be between 1 and {COUNT_MAX}.")));
    }
    let cluster = cluster::find_active(cx.txn, cx.scope(), request.cluster.as_deref())?;
    let strategy = request.capacity_provider_strategy.take().unwrap_or_default();
    let capacity = capacity_provider::choose(cx.txn, &cluster, request.launch_type.take(), strategy)?;
    let launch_type = capacity.launch_type;
    let platform_version = platform_version(launch_type, request.platform_version.take())?;
    let (constraints, strategies) = (request.placement_constraints.take(), request.placement_strategy.take());
    let run = Run::judge(
        cx,
        Asked {
            launch_type,
            started_by_length_max: STARTED_BY_LENGTH_MAX,
            cluster: request.cluster,
            task_definition: request.task_definition,
            group: request.group,
            started_by: request.started_by,
            overrides: request.overrides,
            network_configuration: request.network_configuration,
            tags: request.tags,
            propagate_tags: request.propagate_tags,
            enable_ecs_managed_tags: request.enable_ecs_managed_tags,
            enable_execute_command: request.enable_execute_command,
            volume_configurations: request.volume_configurations,
            reference_id: request.reference_id,
        },
    )?;
    let manner = Manner {
        constraints: placement::constraints(&run.definition, launch_type, constraints)?,
        strategies: placement::strategies(launch_type, strategies)?,
    };
    let parts = run.parts(&capacity, &[], count as usize);
    if let Some(absence) = run.absence(cx, &parts) {
        return Err(Error::invalid_parameter(absence));
    }
    let run = Run { platform_version, ..run };
    let (mut tasks, mut failures) = (Vec::new(), Vec::new());
    for part in &parts {
        let (started, placement) = run.place(cx, &manner, part);
        failures.extend(placement::failures(cx, launch_type, part.provider.as_deref(), &placement));
        tasks.extend(started);
    }
    if let Some(token) = token.filter(|_| !tasks.is_empty()) {
        token.keep(cx, tasks.iter().map(|task| task.id.to_string()).collect());
    }
    let shown = tasks.iter().map(|task| to_wire(cx.txn, task, true)).collect();
    Ok(ecs::RunTaskResponse { tasks: Some(shown), failures: Some(failures) })
}

/// StartTask: one task on each of the container instances, or a failure for it.
pub fn start_task(cx: &mut Cx<'_>, request: ecs::StartTaskRequest) -> Result<ecs::StartTaskResponse, Error> {
    let instances = request.container_instances;
    if instances.is_empty() {
        return Err(Error::client("Container Instances cannot be empty."));
    }
    if instances.len() > INSTANCES_MAX {
        return Err(Error::invalid_parameter(format!("containerInstances can have at most {INSTANCES_MAX} items.")));
    }
    let run = Run::judge(
        cx,
        Asked {
            launch_type: LaunchType::Ec2,
            started_by_length_max: STARTED_BY_LENGTH_MAX_START_TASK,
            cluster: request.cluster,
            task_definition: request.task_definition,
            group: request.group,
            started_by: request.started_by,
            overrides: request.overrides,
            network_configuration: request.network_configuration,
            tags: request.tags,
            propagate_tags: request.propagate_tags,
            enable_ecs_managed_tags: request.enable_ecs_managed_tags,
            enable_execute_command: request.enable_execute_command,
            volume_configurations: request.volume_configurations,
            reference_id: request.reference_id,
        },
    )?;
    let mut addresses = run.addresses(cx, instances.len());
    let constraints = placement::constraints(&run.definition, LaunchType::Ec2, None)?;
    let (mut tasks, mut failures) = (Vec::new(), Vec::new());
    for text in &instances {
        let found = container_instance::find(cx.txn, cx.scope(), &run.cluster.name, text)?;
        let Some(instance) = found else {
            failures.push(super::missing(cx.scope(), &run.cluster.name, Kind::ContainerInstance, text));
            continue;
        };
        let (node, arn) = (instance.node, Arn::container_instance(&instance.scope, &instance.cluster, instance.id));
        if instance.status == model::InstanceStatus::Inactive {
            let reason = Some("INACTIVE".to_owned());
            failures.push(ecs::Failure { arn: Some(arn.to_string()), reason, detail: None });
            continue;
        }
        let wanted = Request { constraints: constraints.clone(), ..run.request(cx, &addresses) };
        match cx.ledger.place_on(cx.txn, cx.scope(), node, &wanted) {
            Ok(assignment) => tasks.extend(run.write(cx, &mut addresses, None, vec![assignment])),
            Err(refusal) => failures.push(placement::instance_failure(cx.txn, &refusal)),
        }
    }
    let shown = tasks.iter().map(|task| to_wire(cx.txn, task, true)).collect();
    Ok(ecs::StartTaskResponse { tasks: Some(shown), failures: Some(failures) })
}

/// What RunTask and StartTask both ask, as it came.
struct Asked {
    launch_type: LaunchType,
    started_by_length_max: usize,
    cluster: Option<String>,
    task_definition: String,
    group: Option<String>,
    started_by: Option<String>,
    overrides: Option<ecs::TaskOverride>,
    network_configuration: Option<ecs::NetworkConfiguration>,
    tags: Option<Vec<ecs::Tag>>,
    propagate_tags: Option<ecs::PropagateTags>,
    enable_ecs_managed_tags: Option<bool>,
    enable_execute_command: Option<bool>,
    volume_configurations: Option<Vec<ecs::TaskVolumeConfiguration>>,
    /// AWS's API shows it nowhere again, so its length is all that there is to it.
    reference_id: Option<String>,
}

/// The same, judged: every task of the request is made from it. So are the tasks of a service's deployment.
pub(in crate::ecs) struct Run {
    cluster: Arc<Cluster>,
    /// With the overrides in it.
    definition: Arc<TaskDefinition>,
    launch_type: LaunchType,
    platform_version: Option<String>,
    overrides: TaskOverride,
    /// Of a service: its digests are what the tasks run.
    revision: Option<Arc<ServiceRevision>>,
    group: String,
    started_by: Option<String>,
    tags: Vec<Tag>,
    network: Option<Network>,
    /// Of a service: its places in target groups.
    targets: Vec<TaskTarget>,
    /// Of a service: its places in Cloud Map.
    registrations: Vec<TaskRegistration>,
    /// Of a service with Service Connect.
    connect: Option<ServiceConnect>,
    /// Of a service: the tasks that its subnets have already.
    subnet_tasks: BTreeMap<String, u32>,
}

/// How to choose among the nodes that could take a task.
pub(in crate::ecs) struct Manner {
    constraints: Vec<Constraint>,
    strategies: Vec<Strategy>,
}

/// So many tasks that get their room in one place.
pub(in crate::ecs) struct Part {
    pub provider: Option<String>,
    pub count: usize,
}

impl Run {
    fn judge(cx: &Cx<'_>, asked: Asked) -> Result<Self, Error> {
        refuse_unbuilt(&asked)?;
        let cluster = cluster::find_active(cx.txn, cx.scope(), asked.cluster.as_deref())?;
        if asked.task_definition.is_empty() {
            return Err(Error::invalid_parameter("TaskDefinition can not be blank."));
        }
        let registered = task_definition::find_active(cx.txn, cx.scope(), &asked.task_definition)?;
        let launch_type = asked.launch_type;
        if !registered.compatibilities.contains(&launch_type) {
            return Err(Error::invalid_parameter(format!(
                "Task definition does not support launch_type {}.",
                launch_type.as_str()
            )));
        }
        let (mut overrides, definition) = overrides::resolve(registered, launch_type, asked.overrides)?;
        overrides.log_driver_mode = Some(setting::effective(cx.txn, cx.caller, "defaultLogDriverMode"));
        let managed = asked.enable_ecs_managed_tags == Some(true);
        Ok(Self {
            group: group(asked.group, &definition.family)?,
            started_by: started_by(asked.started_by, asked.started_by_length_max)?,
            tags: tags(&cluster, &definition, asked.tags, asked.propagate_tags, managed)?,
            network: network::resolve(cx, definition.network_mode, launch_type, asked.network_configuration)?,
            cluster,
            definition,
            launch_type,
            platform_version: None,
            overrides,
            revision: None,
            targets: Vec::new(),
            registrations: Vec::new(),
            connect: None,
            subnet_tasks: BTreeMap::new(),
        })
    }

    /// For the tasks of a service's deployment. The definition need not be ACTIVE any more.
    pub(in crate::ecs) fn of_deployment(
        cx: &Cx<'_>,
        service: &Service,
        deployment: &Deployment,
    ) -> Result<Self, Error> {
        let cluster = cluster::find_active(cx.txn, cx.scope(), Some(&service.cluster))?;
        let key = (cx.scope().clone(), deployment.family.clone(), deployment.revision);
        let definition = cx.txn.task_definitions.get(&key).cloned();
        let definition = definition.ok_or_else(|| Error::client("TaskDefinition not found."))?;
        let launch_type = service.capacity_of(deployment).launch_type;
        let (mut overrides, definition) = overrides::resolve(definition, launch_type, None)?;
        overrides.log_driver_mode = Some(setting::effective(cx.txn, cx.caller, "defaultLogDriverMode"));
        let network = deployment.network.as_ref().map(service::network_to_wire);
        let registrations = registrations(deployment, &definition);
        Ok(Self {
            group: service.group(),
            started_by: Some(deployment.id.clone()),
            tags: service_tags(service, &definition),
            network: network::resolve(cx, definition.network_mode, launch_type, network)?,
            cluster,
            definition,
            launch_type,
            platform_version: deployment.platform_version.clone(),
            overrides,
            revision: service_revision::of_deployment(cx.txn, &service.key(), deployment).cloned(),
            targets: deployment.load_balancers.iter().map(target).collect(),
            registrations,
            connect: deployment.connect.clone(),
            subnet_tasks: subnet_tasks(cx, service, deployment),
        })
    }

    pub(in crate::ecs) fn launch_type(&self) -> LaunchType {
        self.launch_type
    }

    /// How a service's tasks are placed.
    pub(in crate::ecs) fn manner_of(&self, service: &Service) -> Result<Manner, Error> {
        let strategies = service::strategies_to_wire(service);
        let mut strategies = placement::strategies(self.launch_type, Some(strategies))?;
        if strategies.is_empty() {
            let zones = Strategy::SpreadAttribute("ecs.availability-zone".to_owned());
            strategies = vec![zones, Strategy::SpreadInstances];
        }
        let constraints = service::constraints_to_wire(service);
        let constraints = placement::constraints(&self.definition, self.launch_type, Some(constraints))?;
        Ok(Manner { constraints, strategies })
    }

    /// `count` more tasks by where they get their room. `present` are those that each provider of the strategy has.
    pub(in crate::ecs) fn parts(&self, capacity: &Capacity, present: &[usize], count: usize) -> Vec<Part> {
        if capacity.strategy.is_empty() {
            return vec![Part { provider: None, count }];
        }
        let counts = capacity::assign(&capacity.strategy, present, count);
        let parts = capacity.strategy.iter().zip(counts).filter(|(_, count)| *count > 0);
        parts.map(|(item, count)| Part { provider: Some(item.provider.clone()), count }).collect()
    }

    /// What to say when there is no container instance for any of the parts.
    fn absence(&self, cx: &Cx<'_>, parts: &[Part]) -> Option<&'static str> {
        if parts.iter().any(|part| self.has_candidates(cx, part)) {
            return None;
        }
        match parts.iter().any(|part| part.provider.is_some()) {
            true => Some(EMPTY_PROVIDER),
            false => Some("No Container Instances were found in your cluster."),
        }
    }

    /// Whether anything could ever take a task of the part. FARGATE says so with each task.
    pub(in crate::ecs) fn has_candidates(&self, cx: &Cx<'_>, part: &Part) -> bool {
        let target = self.target(part.provider.as_deref());
        target == Target::Fargate || cx.ledger.has_candidates(cx.txn, cx.scope(), &target)
    }

    /// The same within these availability zones.
    pub(in crate::ecs) fn within(&self, manner: &Manner, zones: &BTreeSet<String>) -> Manner {
        let mut constraints = manner.constraints.clone();
        if self.launch_type != LaunchType::Fargate {
            let zones: Vec<&str> = zones.iter().map(String::as_str).collect();
            let query = format!("attribute:ecs.availability-zone in [{}]", zones.join(", ")).parse();
            constraints.push(Constraint::MemberOf(query.expect("the names of zones are words")));
        }
        Manner { constraints, strategies: manner.strategies.clone() }
    }

    /// Places and writes as many tasks of the part as there is room for.
    pub(in crate::ecs) fn place(&self, cx: &mut Cx<'_>, manner: &Manner, part: &Part) -> (Vec<Task>, Placement) {
        self.place_in(cx, manner, part, None)
    }

    /// The same, with subnets of these availability zones only.
    pub(in crate::ecs) fn place_in(
        &self,
        cx: &mut Cx<'_>,
        manner: &Manner,
        part: &Part,
        zones: Option<&BTreeSet<String>>,
    ) -> (Vec<Task>, Placement) {
        let mut addresses = self.addresses(cx, part.count);
        let subnets = self.network.iter().flat_map(|network| &network.subnets);
        for (subnet, addresses) in subnets.zip(&mut addresses) {
            if zones.is_some_and(|zones| !zones.contains(&subnet.zone)) {
                addresses.clear();
            }
        }
        let wanted = Request {
            count: u32::try_from(part.count).unwrap_or(u32::MAX),
            target: self.target(part.provider.as_deref()),
            constraints: manner.constraints.clone(),
            strategies: manner.strategies.clone(),
            ..self.request(cx, &addresses)
        };
        let mut placed = cx.ledger.place(cx.txn, cx.scope(), &wanted);
        let assigned = std::mem::take(&mut placed.assigned);
        (self.write(cx, &mut addresses, part.provider.as_deref(), assigned), placed)
    }

    /// The cluster's container instances, and which of them would take a task if they had the room.
    pub(in crate::ecs) fn survey(&self, cx: &mut Cx<'_>, manner: &Manner) -> Vec<Surveyed> {
        let subnets = self.network.iter().flat_map(|network| &network.subnets);
        let subnets = subnets.map(|subnet| place::Subnet { zone: subnet.zone.clone(), tasks: 0, free: 1 }).collect();
        let is_lasting = |constraint: &&Constraint| **constraint != Constraint::DistinctInstance;
        let wanted = Request {
            reservation: Resources::default(),
            constraints: manner.constraints.iter().filter(is_lasting).cloned().collect(),
            subnets,
            ..self.request(cx, &[])
        };
        cx.ledger.survey(cx.txn, cx.scope(), &wanted)
    }

    /// Places and writes a task on each of the nodes that has room, up to so many tasks.
    pub(in crate::ecs) fn place_on(
        &self,
        cx: &mut Cx<'_>,
        manner: &Manner,
        nodes: &[NodeId],
        most: usize,
    ) -> (Vec<Task>, Placement) {
        let mut addresses = self.addresses(cx, most.min(nodes.len()));
        let (mut tasks, mut placement) = (Vec::new(), Placement::default());
        for node in nodes {
            let wanted = Request { constraints: manner.constraints.clone(), ..self.request(cx, &addresses) };
            match cx.ledger.place_on(cx.txn, cx.scope(), *node, &wanted) {
                Ok(assignment) => tasks.extend(self.write(cx, &mut addresses, None, vec![assignment])),
                Err(refusal) => placement.refused.push(refusal),
            }
            if tasks.len() == most {
                break;
            }
        }
        placement.unplaced = placement.refused.len() as u32;
        placement.refused.truncate(place::REFUSALS_MAX);
        (tasks, placement)
    }

    fn target(&self, provider: Option<&str>) -> Target {
        let cluster = self.cluster.name.clone();
        match (self.launch_type, provider) {
            (LaunchType::Fargate, _) => Target::Fargate,
            (_, Some(provider)) => Target::Provider { cluster, provider: provider.to_owned() },
            (_, None) => Target::Cluster(cluster),
        }
    }

    /// Free addresses for up to `count` tasks in each of the subnets.
    fn addresses(&self, cx: &mut Cx<'_>, count: usize) -> Vec<Vec<Ipv4Addr>> {
        let subnets = self.network.iter().flat_map(|network| &network.subnets);
        subnets.map(|subnet| network::free_addresses(cx.txn, cx.random, subnet, count)).collect()
    }

    /// For one task, without constraints and strategies.
    fn request(&self, cx: &mut Cx<'_>, addresses: &[Vec<Ipv4Addr>]) -> Request {
        let subnets = self.network.iter().flat_map(|network| &network.subnets).zip(addresses);
        Request {
            count: 1,
            target: self.target(None),
            reservation: self.definition.reservation(),
            required_attributes: self.definition.requires_attributes.clone(),
            group: self.group.clone(),
            constraints: Vec::new(),
            strategies: Vec::new(),
            subnets: subnets
                .map(|(subnet, free)| place::Subnet {
                    zone: subnet.zone.clone(),
                    tasks: self.subnet_tasks.get(&subnet.id).copied().unwrap_or(0),
                    free: free.len() as u32,
                })
                .collect(),
            seed: cx.random.next_u64(),
        }
    }

    /// Writes a task for each assignment, with its interface and what it holds on its node.
    fn write(
        &self,
        cx: &mut Cx<'_>,
        addresses: &mut [Vec<Ipv4Addr>],
        provider: Option<&str>,
        assigned: Vec<Assignment>,
    ) -> Vec<Task> {
        let mut held: BTreeMap<NodeId, Vec<Resources>> = BTreeMap::new();
        let mut tasks = Vec::with_capacity(assigned.len());
        for Assignment { node, subnet, gpus } in assigned {
            let id = TaskId(random_u128(cx.random));
            let attachment = subnet.and_then(|index| {
                let network = self.network.as_ref()?;
                let address = addresses[index].pop().expect("placement keeps to the free addresses");
                Some(network::attach(cx, network, &network.subnets[index], address, id))
            });
            let reservation = Resources { gpus, ..self.definition.reservation() };
            held.entry(node).or_default().push(reservation.clone());
            let capacity_provider = provider.map(str::to_owned);
            let task = Task { capacity_provider, ..self.task(cx, id, node, attachment, reservation) };
            cx.txn.put(task.clone());
            tasks.push(task);
        }
        for (id, reservations) in held {
            cx.txn.update::<Node, _>(&id, |node| {
                reservations.iter().for_each(|reservation| node.free.take(reservation));
                node.changes += 1;
            });
        }
        tasks
    }

    fn task(
        &self,
        cx: &mut Cx<'_>,
        id: TaskId,
        node: NodeId,
        attachment: Option<Attachment>,
        reservation: Resources,
    ) -> Task {
        let is_fargate = self.launch_type == LaunchType::Fargate;
        let definition = &self.definition;
        let network = self.network.as_ref().zip(attachment.as_ref());
        let subnet = network
            .and_then(|(network, attachment)| network.subnets.iter().find(|subnet| subnet.id == attachment.subnet_id));
        let node_zone = cx.txn.nodes.get(&node).map(|node| node.zone.clone());
        let connect = self.connect.clone().map(|service| {
            let attachment_id = model::id::uuid(random_u128(cx.random));
            TaskConnect { attachment_id, service }
        });
        Task {
            id,
            scope: cx.scope().clone(),
            cluster: self.cluster.name.clone(),
            family: definition.family.clone(),
            revision: definition.revision,
            launch_type: self.launch_type,
            capacity_provider: None,
            node: Some(node),
            container_instance: if is_fargate { None } else { container_instance_of(cx, node) },
            group: self.group.clone(),
            started_by: self.started_by.clone(),
            overrides: self.overrides.clone(),
            cpu: definition.cpu,
            memory: definition.memory,
            last_status: match definition.network_mode {
                NetworkMode::Awsvpc => TaskStatus::Provisioning,
                _ => TaskStatus::Pending,
            },
            desired_status: DesiredStatus::Running,
            health: HealthStatus::Unknown,
            containers: containers(cx.random, definition, &reservation, self.revision.as_deref()),
            attachment,
            reservation,
            availability_zone: subnet.map(|subnet| subnet.zone.clone()).or(node_zone),
            platform_version: self.platform_version.clone(),
            ephemeral_storage: if is_fargate { definition.ephemeral_storage } else { None },
            tags: self.tags.clone(),
            stop_code: None,
            stopped_reason: None,
            connected: false,
            connectivity_at: None,
            created_at: cx.now,
            pull_started_at: None,
            pull_stopped_at: None,
            started_at: None,
            execution_stopped_at: None,
            stopping_at: None,
            stopped_at: None,
            version: 1,
            report_sequence: 0,
            counted: false,
            targets: self.targets.clone(),
            registrations: self.registrations.clone(),
            connect,
            protected_until: None,
        }
    }
}

/// The places in Cloud Map that tasks of the deployment get: those of its registries, and those of Service Connect.
fn registrations(deployment: &Deployment, definition: &TaskDefinition) -> Vec<TaskRegistration> {
    let hold_seconds = service_connect::hold_seconds(definition.containers.iter());
    let offers = deployment.connect.iter().flat_map(|connect| &connect.services);
    let offers = offers.map(|row| TaskRegistration {
        registry: ServiceRegistry {
            registry: row.registry.clone(),
            container: Some(row.container.clone()),
            container_port: Some(row.container_port),
            port: None,
        },
        status: TaskRegistrationStatus::Waiting,
        connect: Some(ConnectPlace { hold_seconds, drain_seconds: service_connect::drain_seconds(row), since: None }),
    });
    deployment.registries.iter().cloned().map(TaskRegistration::waiting).chain(offers).collect()
}

/// What is not built is refused, whoever asks.
fn refuse_unbuilt(asked: &Asked) -> Result<(), Error> {
    if asked.enable_execute_command == Some(true) {
        return Err(Error::unsupported_feature("enableExecuteCommand is not supported by Gantry yet."));
    }
    if asked.volume_configurations.as_ref().is_some_and(|volumes| !volumes.is_empty()) {
        return Err(Error::unsupported_feature("volumeConfigurations are not supported by Gantry yet."));
    }
    if asked.reference_id.as_ref().is_some_and(|id| id.chars().count() > REFERENCE_ID_LENGTH_MAX) {
        return Err(Error::invalid_parameter(format!(
            "referenceId can have at most {REFERENCE_ID_LENGTH_MAX} characters."
        )));
    }
    Ok(())
}

pub(in crate::ecs) fn platform_version(
    launch_type: LaunchType,
    given: Option<String>,
) -> Result<Option<String>, Error> {
    let given = given.filter(|version| !version.is_empty());
    match (launch_type, given.as_deref()) {
        (LaunchType::Fargate, None | Some("LATEST" | PLATFORM_VERSION)) => Ok(Some(PLATFORM_VERSION.to_owned())),
        (LaunchType::Fargate, Some(_)) => {
            Err(Error::platform_unknown("The specified platform version does not exist."))
        }
        (_, None) => Ok(None),
        (LaunchType::Ec2, Some(_)) => {
            Err(Error::invalid_parameter("The platform version must be null when specifying an EC2 launch type."))
        }
        (LaunchType::External, Some(_)) => {
            Err(Error::invalid_parameter("The platform version must be null when specifying an EXTERNAL launch type."))
        }
    }
}

fn group(given: Option<String>, family: &str) -> Result<String, Error> {
    let Some(group) = given.filter(|group| !group.is_empty()) else { return Ok(format!("family:{family}")) };
    if group.chars().count() > GROUP_LENGTH_MAX {
        return Err(Error::invalid_parameter(format!("group can have at most {GROUP_LENGTH_MAX} characters.")));
    }
    if group.starts_with("service:") {
        return Err(Error::invalid_parameter("The group prefix 'service:' is kept for the tasks of services."));
    }
    Ok(group)
}

fn started_by(given: Option<String>, most: usize) -> Result<Option<String>, Error> {
    let Some(text) = given.filter(|text| !text.is_empty()) else { return Ok(None) };
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "-_/".contains(c);
    if text.len() > most || !text.chars().all(is_allowed) {
        return Err(Error::invalid_parameter(format!(
            "startedBy can have at most {most} letters, digits, hyphens, underscores and slashes."
        )));
    }
    Ok(Some(text))
}

/// The caller's tags, over those of the task definition when they are to be propagated, and ECS's own.
fn tags(
    cluster: &Cluster,
    definition: &TaskDefinition,
    given: Option<Vec<ecs::Tag>>,
    propagate: Option<ecs::PropagateTags>,
    managed: bool,
) -> Result<Vec<Tag>, Error> {
    let given = tag::from_wire(given.unwrap_or_default())?;
    let mut tags = match propagate {
        None | Some(ecs::PropagateTags::None) => Vec::new(),
        Some(ecs::PropagateTags::TaskDefinition) => definition.tags.clone(),
        Some(ecs::PropagateTags::Service) => {
            return Err(Error::invalid_parameter("propagateTags can be SERVICE for the tasks of services only."));
        }
        Some(ecs::PropagateTags::Unknown(_)) => {
            return Err(Error::invalid_parameter("propagateTags should be one of [TASK_DEFINITION,NONE]"));
        }
    };
    model::tag::put(&mut tags, &given);
    if tags.len() > model::tag::TAGS_MAX {
        return Err(Error::invalid_parameter(tag::too_many()));
    }
    if managed {
        tags.push(Tag { key: "aws:ecs:clusterName".to_owned(), value: cluster.name.clone() });
    }
    Ok(tags)
}

/// Of a service's task: those that are to be propagated, and ECS's own.
fn service_tags(service: &Service, definition: &TaskDefinition) -> Vec<Tag> {
    let mut tags = match service.propagate_tags {
        PropagateTags::None => Vec::new(),
        PropagateTags::Service => service.tags.clone(),
        PropagateTags::TaskDefinition => definition.tags.clone(),
    };
    if service.enable_ecs_managed_tags {
        tags.push(Tag { key: "aws:ecs:clusterName".to_owned(), value: service.cluster.clone() });
        tags.push(Tag { key: "aws:ecs:serviceName".to_owned(), value: service.name.clone() });
    }
    tags
}

/// How many tasks of the service each of its subnets has, when there is something to choose.
fn subnet_tasks(cx: &Cx<'_>, service: &Service, deployment: &Deployment) -> BTreeMap<String, u32> {
    let mut counts = BTreeMap::new();
    if deployment.network.as_ref().is_none_or(|network| network.subnets.len() < 2) {
        return counts;
    }
    for task in cx.txn.tasks_of_service(&service.key()).filter(|task| task.desired_status == DesiredStatus::Running) {
        if let Some(attachment) = &task.attachment {
            *counts.entry(attachment.subnet_id.clone()).or_default() += 1;
        }
    }
    counts
}

fn target(row: &ServiceLoadBalancer) -> TaskTarget {
    TaskTarget::waiting(row.group(), &row.container, row.container_port)
}

fn container_instance_of(cx: &Cx<'_>, node: NodeId) -> Option<ContainerInstanceId> {
    cx.txn.container_instance_of_node(node).map(|instance| instance.id)
}

/// The containers as they begin. GPUs are handed out in the order of the definition.
fn containers(
    random: &mut dyn RngCore,
    definition: &TaskDefinition,
    reservation: &Resources,
    pins: Option<&ServiceRevision>,
) -> Vec<Container> {
    let mut gpus = reservation.gpus.iter();
    let mut containers = Vec::with_capacity(definition.containers.len());
    for container in &definition.containers {
        containers.push(Container {
            id: random_uuid(random),
            name: container.name.clone(),
            image: container.image.clone(),
            essential: container.essential,
            has_health_check: container.health_check.is_some(),
            image_digest: pins.and_then(|revision| revision.pin_of(&container.name)).map(str::to_owned),
            is_pinned: pins.is_some_and(|revision| revision.pin_of(&container.name).is_some()),
            runtime_id: None,
            last_status: ContainerStatus::Pending,
            exit_code: None,
            reason: None,
            health: HealthStatus::Unknown,
            network_bindings: Vec::new(),
            cpu: container.cpu,
            memory: container.memory,
            memory_reservation: container.memory_reservation,
            gpu_ids: gpus.by_ref().take(container.gpu_count as usize).cloned().collect(),
        });
    }
    containers
}

pub(in crate::ecs) fn random_u128(random: &mut dyn RngCore) -> u128 {
    u128::from(random.next_u64()) << 64 | u128::from(random.next_u64())
}

pub(in crate::ecs) fn random_uuid(random: &mut dyn RngCore) -> String {
    model::id::uuid(random_u128(random))
}
