//! The client: asks the control plane through its operations, asks again until it gets an answer, and notes what it was
//! promised.

pub mod balance;
mod service;
mod task;
mod task_set;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::{Arn, NodeId};
use tokio::time::sleep;
use wire::ecs::{self, Request, Response};

use crate::order::POOL;
use crate::plane::{Answer, Plane};
use crate::promise::Promises;
use crate::shape::Shape;
use crate::step::Ask;
use crate::trace::Trace;

const RETRY_PAUSE: Duration = Duration::from_secs(1);
pub const CLUSTER: &str = "default";

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
    sets: usize,
    front: balance::Front,
}

impl Client {
    pub fn new(plane: Plane, promises: Promises, trace: Trace) -> Self {
        Self { plane, promises, trace, state: Arc::default() }
    }

    /// What holds in every run: a cluster with its capacity providers, and target groups for each service.
    pub async fn set_up(&self) {
        let group = ecs::AutoScalingGroupProvider { auto_scaling_group_arn: POOL.to_owned(), ..Default::default() };
        let request = ecs::CreateCapacityProviderRequest {
            name: POOL.to_owned(),
            auto_scaling_group_provider: Some(group),
            ..Default::default()
        };
        self.persist(Request::CreateCapacityProvider(request)).await;
        self.persist(Request::CreateCluster(ecs::CreateClusterRequest::default())).await;
        let request = ecs::PutClusterCapacityProvidersRequest {
            cluster: CLUSTER.to_owned(),
            capacity_providers: ["FARGATE", "FARGATE_SPOT", POOL].map(str::to_owned).into(),
            default_capacity_provider_strategy: Vec::new(),
        };
        self.persist(Request::PutClusterCapacityProviders(request)).await;
        let front = self.set_up_front().await;
        self.state().front = front;
    }

    pub async fn ask(&self, ask: &Ask, nodes: &[NodeId]) {
        match *ask {
            Ask::Run { shape, providers, count, has_token } => self.run(shape, providers, count, has_token).await,
            Ask::Start { shape, node } => self.start(shape, nodes[node]).await,
            Ask::Stop { pick } => self.stop(pick).await,
            Ask::Create { slot, order } => self.create(slot, order).await,
            Ask::Deploy { slot, image } => self.deploy(slot, image).await,
            Ask::Renew { slot } => self.renew(slot).await,
            Ask::Scale { slot, desired } => self.scale(slot, desired).await,
            Ask::Protect { slot, pick, minutes } => self.protect(slot, pick, minutes).await,
            Ask::Answer { slot, goes_on } => self.answer(slot, goes_on).await,
            Ask::StopDeployment { slot, goes_back } => self.stop_deployment(slot, goes_back).await,
            Ask::Delete { slot } => self.delete(slot).await,
            Ask::AddSet { slot, image, percent } => self.add_set(slot, image, percent).await,
            Ask::ScaleSet { slot, pick, percent } => self.scale_set(slot, pick, percent).await,
            Ask::PromoteSet { slot, pick } => self.promote_set(slot, pick).await,
            Ask::DropSet { slot, pick } => self.drop_set(slot, pick).await,
            Ask::Drain { node } => self.set_state(nodes[node], ecs::ContainerInstanceStatus::Draining).await,
            Ask::Activate { node } => self.set_state(nodes[node], ecs::ContainerInstanceStatus::Active).await,
            Ask::Deregister { node } => self.deregister(nodes[node]).await,
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
