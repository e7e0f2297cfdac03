//! The client: asks the control plane through its operations, asks again until it gets an answer, and notes what it was
//! promised.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::{Arn, NodeId, TaskId};
use tokio::time::sleep;
use wire::ecs::{self, Request, Response};

use crate::plane::{Answer, Plane};
use crate::promise::{Promises, RunTask, Wanted, service_name};
use crate::shape::Shape;
use crate::step::{Ask, Breaker};
use crate::trace::Trace;

const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Clones are the same client.
#[derive(Clone)]
pub struct Client {
    plane: Plane,
    promises: Promises,
    trace: Trace,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    definitions: BTreeMap<Shape, String>,
    runs: usize,
}

impl Client {
    pub fn new(plane: Plane, promises: Promises, trace: Trace) -> Self {
        Self { plane, promises, trace, state: Arc::default() }
    }

    pub async fn ask(&self, ask: &Ask, nodes: &[NodeId]) {
        match *ask {
            Ask::Run { shape, count, has_token } => self.run(shape, count, has_token).await,
            Ask::Start { shape, node } => self.start(shape, nodes[node]).await,
            Ask::Stop { pick } => self.stop(pick).await,
            Ask::Create { slot, shape, desired, percent, breaker } => {
                self.create(slot, shape, desired, percent, breaker).await;
            }
            Ask::Deploy { slot, image } => {
                let Some(wanted) = self.wanted(slot) else { return };
                let shape = Shape { image, ..wanted.shape };
                let definition = self.definition(shape).await;
                let request = ecs::UpdateServiceRequest { task_definition: Some(definition), ..update(slot) };
                self.change(slot, Request::UpdateService(request), Wanted { shape, ..wanted }).await;
            }
            Ask::Renew { slot } => {
                let Some(wanted) = self.wanted(slot) else { return };
                let request = ecs::UpdateServiceRequest { force_new_deployment: Some(true), ..update(slot) };
                self.change(slot, Request::UpdateService(request), wanted).await;
            }
            Ask::Scale { slot, desired } => {
                let Some(wanted) = self.wanted(slot) else { return };
                let request = ecs::UpdateServiceRequest { desired_count: Some(desired), ..update(slot) };
                self.change(slot, Request::UpdateService(request), Wanted { desired, ..wanted }).await;
            }
            Ask::Delete { slot } => {
                let Some(wanted) = self.wanted(slot) else { return };
                let request =
                    ecs::DeleteServiceRequest { service: service_name(slot), force: Some(true), ..Default::default() };
                self.change(slot, Request::DeleteService(request), Wanted { is_deleted: true, ..wanted }).await;
            }
            Ask::Drain { node } => self.set_state(nodes[node], ecs::ContainerInstanceStatus::Draining).await,
            Ask::Activate { node } => self.set_state(nodes[node], ecs::ContainerInstanceStatus::Active).await,
            Ask::Deregister { node } => self.deregister(nodes[node]).await,
        }
    }

    async fn run(&self, shape: Shape, count: i32, has_token: bool) {
        let task_definition = self.definition(shape).await;
        let started_by = self.begin_run(usize::try_from(count).unwrap_or(0));
        let request = Request::RunTask(ecs::RunTaskRequest {
            task_definition,
            count: Some(count),
            launch_type: Some(shape.launch_type()),
            network_configuration: shape.network_configuration(),
            client_token: has_token.then(|| started_by.clone()),
            started_by: Some(started_by),
            ..Default::default()
        });
        // Without a token it is not safe to ask again.
        let answer = match has_token {
            true => self.persist(request).await,
            false => self.once(request).await,
        };
        let Some(Response::RunTask(answer)) = answer else { return };
        self.note_tasks(shape, answer.tasks);
    }

    async fn start(&self, shape: Shape, node: NodeId) {
        let task_definition = self.definition(shape).await;
        let Some(instance) = self.instance(node) else { return };
        let started_by = self.begin_run(1);
        let request = Request::StartTask(ecs::StartTaskRequest {
            task_definition,
            container_instances: vec![instance],
            network_configuration: shape.network_configuration(),
            started_by: Some(started_by),
            ..Default::default()
        });
        let Some(Response::StartTask(answer)) = self.once(request).await else { return };
        self.note_tasks(shape, answer.tasks);
    }

    /// A `startedBy` of its own for each request.
    fn begin_run(&self, most: usize) -> String {
        let mut state = self.state();
        state.runs += 1;
        let name = format!("run-{}", state.runs);
        self.promises.all().runs.insert(name.clone(), most);
        name
    }

    fn note_tasks(&self, shape: Shape, tasks: Option<Vec<ecs::Task>>) {
        let ids = tasks.unwrap_or_default().into_iter().filter_map(|task| id_of(&task.task_arn?));
        let mut promises = self.promises.all();
        promises.tasks.extend(ids.map(|id| RunTask { id, shape, is_stopped: false }));
    }

    async fn stop(&self, pick: usize) {
        let Some(promise) = self.promises.all().tasks.get(pick).copied() else { return };
        let task = promise.id.to_string();
        let request = ecs::StopTaskRequest { task, reason: Some("asked to".to_owned()), ..Default::default() };
        if self.persist(Request::StopTask(request)).await.is_some() {
            self.promises.all().tasks[pick].is_stopped = true;
        }
    }

    async fn create(
        &self,
        slot: usize,
        shape: Shape,
        desired: i32,
        (minimum, maximum): (i32, i32),
        breaker: Option<Breaker>,
    ) {
        if self.promises.all().services.get(&slot).is_some_and(|wanted| !wanted.is_deleted) {
            return;
        }
        let circuit_breaker = breaker.map(|breaker| ecs::DeploymentCircuitBreaker {
            enable: true,
            rollback: breaker.rollback,
            ..Default::default()
        });
        let configuration = ecs::DeploymentConfiguration {
            minimum_healthy_percent: Some(minimum),
            maximum_percent: Some(maximum),
            deployment_circuit_breaker: circuit_breaker,
            ..Default::default()
        };
        let request = ecs::CreateServiceRequest {
            service_name: service_name(slot),
            task_definition: Some(self.definition(shape).await),
            launch_type: Some(shape.launch_type()),
            network_configuration: shape.network_configuration(),
            desired_count: Some(desired),
            deployment_configuration: Some(configuration),
            ..Default::default()
        };
        let wanted =
            Wanted { shape, desired, percent: (minimum, maximum), breaker, is_deleted: false, is_doubtful: false };
        self.change(slot, Request::CreateService(request), wanted).await;
    }

    fn wanted(&self, slot: usize) -> Option<Wanted> {
        self.promises.all().services.get(&slot).copied().filter(|wanted| !wanted.is_deleted)
    }

    /// Asks for a change of a service, which holds from the answer on.
    async fn change(&self, slot: usize, request: Request, wanted: Wanted) {
        self.set_doubtful(slot, true);
        match self.persist(request).await {
            Some(_) => {
                self.promises.all().services.insert(slot, wanted);
            }
            None => self.set_doubtful(slot, false),
        }
    }

    fn set_doubtful(&self, slot: usize, is_doubtful: bool) {
        if let Some(wanted) = self.promises.all().services.get_mut(&slot) {
            wanted.is_doubtful = is_doubtful;
        }
    }

    pub async fn set_state(&self, node: NodeId, status: ecs::ContainerInstanceStatus) {
        let Some(instance) = self.instance(node) else { return };
        let request = ecs::UpdateContainerInstancesStateRequest {
            container_instances: vec![instance],
            status,
            ..Default::default()
        };
        self.persist(Request::UpdateContainerInstancesState(request)).await;
    }

    async fn deregister(&self, node: NodeId) {
        let Some(container_instance) = self.instance(node) else { return };
        let request =
            ecs::DeregisterContainerInstanceRequest { container_instance, force: Some(true), ..Default::default() };
        self.persist(Request::DeregisterContainerInstance(request)).await;
    }

    /// The container instance that the node is now.
    fn instance(&self, node: NodeId) -> Option<String> {
        let view = self.plane.view()?;
        let instance = view.container_instance_of_node(node)?;
        Some(Arn::container_instance(&instance.scope, &instance.cluster, instance.id).to_string())
    }

    /// Registered once; registering it again by mistake makes a further revision, which does no harm.
    async fn definition(&self, shape: Shape) -> String {
        if let Some(known) = self.state().definitions.get(&shape) {
            return known.clone();
        }
        let answer = self.persist(Request::RegisterTaskDefinition(shape.definition())).await;
        let Some(Response::RegisterTaskDefinition(answer)) = answer else { panic!("{shape} is refused") };
        let arn = answer.task_definition.and_then(|definition| definition.task_definition_arn).expect("it has an ARN");
        self.state().definitions.insert(shape, arn.clone());
        arn
    }

    /// Until it is done or refused.
    async fn persist(&self, request: Request) -> Option<Response> {
        loop {
            match self.plane.call(request.clone()).await {
                Answer::Done(response) => {
                    self.trace.tell(format_args!("client: {} done", request.operation()));
                    return Some(*response);
                }
                Answer::Refused(text) => {
                    self.trace.tell(format_args!("client: {} refused: {text}", request.operation()));
                    return None;
                }
                Answer::NotNow | Answer::Unknown => sleep(RETRY_PAUSE).await,
            }
        }
    }

    async fn once(&self, request: Request) -> Option<Response> {
        let operation = request.operation();
        let (outcome, response) = match self.plane.call(request).await {
            Answer::Done(response) => ("done".to_owned(), Some(*response)),
            Answer::Refused(text) => (format!("refused: {text}"), None),
            Answer::NotNow => ("not now".to_owned(), None),
            Answer::Unknown => ("no answer".to_owned(), None),
        };
        self.trace.tell(format_args!("client: {operation} {outcome}"));
        response
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn update(slot: usize) -> ecs::UpdateServiceRequest {
    ecs::UpdateServiceRequest { service: service_name(slot), ..Default::default() }
}

fn id_of(arn: &str) -> Option<TaskId> {
    arn.rsplit('/').next()?.parse().ok()
}
