//! Services, their deployments, and the protection of their tasks.

use std::sync::Arc;

use model::service_deployment::HookStatus;
use model::{Arn, DesiredStatus, Service, ServiceDeployment, TaskStatus};
use store::Tables;
use wire::ecs::{self, Request};

use super::{CLUSTER, Client};
use crate::order::{Kind, Order};
use crate::plane::scope;
use crate::promise::{Wanted, service_name};
use crate::shape::{Image, Shape};

impl Client {
    pub(super) async fn create(&self, slot: usize, order: Order) {
        if self.promises.all().services.get(&slot).is_some_and(|wanted| !wanted.is_deleted) {
            return;
        }
        let request = match order.kind {
            Kind::External => external(slot, order),
            Kind::Rolling | Kind::Staged(_) | Kind::Daemon => {
                let definition = self.definition(order.shape).await;
                let load_balancers = self.load_balancers(slot, order);
                ecs::CreateServiceRequest { load_balancers, ..of_definition(slot, order, definition) }
            }
        };
        let wanted = Wanted { order, is_deleted: false, is_doubtful: false, is_stopped: false };
        self.promises.all().sets.remove(&slot);
        self.change(slot, Request::CreateService(request), wanted).await;
    }

    pub(super) async fn deploy(&self, slot: usize, image: Image) {
        let Some(wanted) = self.wanted(slot) else { return };
        let order = Order { shape: Shape { image, ..wanted.order.shape }, ..wanted.order };
        let definition = self.definition(order.shape).await;
        let request = ecs::UpdateServiceRequest { task_definition: Some(definition), ..update(slot) };
        // The same revision again is no new deployment.
        let is_stopped = wanted.is_stopped && order == wanted.order;
        self.change(slot, Request::UpdateService(request), Wanted { order, is_stopped, ..wanted }).await;
    }

    pub(super) async fn renew(&self, slot: usize) {
        let Some(wanted) = self.wanted(slot) else { return };
        // What is PRIMARY is renewed, and that may be what was rolled back to: the definition is said again.
        let definition = self.definition(wanted.order.shape).await;
        let request = ecs::UpdateServiceRequest {
            task_definition: Some(definition),
            force_new_deployment: Some(true),
            ..update(slot)
        };
        self.change(slot, Request::UpdateService(request), Wanted { is_stopped: false, ..wanted }).await;
    }

    pub(super) async fn scale(&self, slot: usize, desired: i32) {
        let Some(wanted) = self.wanted(slot) else { return };
        let request = ecs::UpdateServiceRequest { desired_count: Some(desired), ..update(slot) };
        let order = Order { desired, ..wanted.order };
        self.change(slot, Request::UpdateService(request), Wanted { order, ..wanted }).await;
    }

    pub(super) async fn delete(&self, slot: usize) {
        let Some(wanted) = self.wanted(slot) else { return };
        let request =
            ecs::DeleteServiceRequest { service: service_name(slot), force: Some(true), ..Default::default() };
        self.set_doubtful(slot, true);
        // Refused is only what was done already, and not answered.
        self.persist(Request::DeleteService(request)).await;
        self.promises.all().services.insert(slot, Wanted { is_deleted: true, ..wanted });
    }

    /// Of the service's tasks that run, in the order of their ids.
    pub(super) async fn protect(&self, slot: usize, pick: usize, minutes: i32) {
        let Some((view, service)) = self.service(slot) else { return };
        let key = service.key();
        let tasks = view.tasks_of_service(&key);
        let runs = |task: &&Arc<model::Task>| {
            task.last_status == TaskStatus::Running && task.desired_status == DesiredStatus::Running
        };
        let mut ids: Vec<String> = tasks.filter(runs).map(|task| task.id.to_string()).collect();
        if ids.is_empty() {
            return;
        }
        ids.sort_unstable();
        let request = ecs::UpdateTaskProtectionRequest {
            cluster: CLUSTER.to_owned(),
            protection_enabled: true,
            expires_in_minutes: Some(minutes),
            tasks: vec![ids.swap_remove(pick % ids.len())],
        };
        self.persist(Request::UpdateTaskProtection(request)).await;
    }

    pub(super) async fn answer(&self, slot: usize, goes_on: bool) {
        let Some(deployment) = self.deployment(slot) else { return };
        let mut hooks = deployment.progress.iter().flat_map(|progress| &progress.hooks);
        let Some(hook) = hooks.find(|hook| hook.status == HookStatus::AwaitingAction) else { return };
        let action = match goes_on {
            true => ecs::DeploymentLifecycleHookAction::Continue,
            false => ecs::DeploymentLifecycleHookAction::Rollback,
        };
        let request = ecs::ContinueServiceDeploymentRequest {
            service_deployment_arn: arn(&deployment),
            hook_id: hook.id.clone(),
            action: Some(action),
        };
        self.note_stop(slot, !goes_on);
        self.persist(Request::ContinueServiceDeployment(request)).await;
    }

    pub(super) async fn stop_deployment(&self, slot: usize, goes_back: bool) {
        let Some(deployment) = self.deployment(slot) else { return };
        let stop_type = match goes_back {
            true => ecs::StopServiceDeploymentStopType::Rollback,
            false => ecs::StopServiceDeploymentStopType::Abort,
        };
        let request =
            ecs::StopServiceDeploymentRequest { service_deployment_arn: arn(&deployment), stop_type: Some(stop_type) };
        self.note_stop(slot, true);
        self.persist(Request::StopServiceDeployment(request)).await;
    }

    /// What is asked to stop need not come in. Whether it does stop, nobody can tell before.
    fn note_stop(&self, slot: usize, is_asked: bool) {
        if let Some(wanted) = self.promises.all().services.get_mut(&slot) {
            wanted.is_stopped |= is_asked;
        }
    }

    pub(super) fn wanted(&self, slot: usize) -> Option<Wanted> {
        self.promises.all().services.get(&slot).copied().filter(|wanted| !wanted.is_deleted)
    }

    fn service(&self, slot: usize) -> Option<(Arc<Tables>, Arc<Service>)> {
        self.wanted(slot)?;
        let view = self.plane.view()?;
        let service = view.services.get(&(scope(), CLUSTER.to_owned(), service_name(slot)))?.clone();
        Some((view, service))
    }

    /// The service's newest deployment, while it goes on.
    fn deployment(&self, slot: usize) -> Option<Arc<ServiceDeployment>> {
        let (view, service) = self.service(slot)?;
        let key = (scope(), CLUSTER.to_owned(), service.name.clone(), service.service_deployment.clone()?);
        view.service_deployments.get(&key).filter(|row| !row.is_over()).cloned()
    }

    /// Asks for a change of a service, which holds from the answer on.
    pub(super) async fn change(&self, slot: usize, request: Request, wanted: Wanted) {
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
}

fn update(slot: usize) -> ecs::UpdateServiceRequest {
    ecs::UpdateServiceRequest { service: service_name(slot), ..Default::default() }
}

fn of_definition(slot: usize, order: Order, definition: String) -> ecs::CreateServiceRequest {
    let strategy = order.providers.strategy();
    let is_daemon = order.kind == Kind::Daemon;
    ecs::CreateServiceRequest {
        service_name: service_name(slot),
        task_definition: Some(definition),
        launch_type: strategy.is_none().then(|| order.shape.launch_type()),
        capacity_provider_strategy: strategy,
        network_configuration: order.shape.network_configuration(),
        desired_count: (!is_daemon).then_some(order.desired),
        scheduling_strategy: is_daemon.then_some(ecs::SchedulingStrategy::Daemon),
        deployment_configuration: Some(order.configuration()),
        ..Default::default()
    }
}

fn external(slot: usize, order: Order) -> ecs::CreateServiceRequest {
    ecs::CreateServiceRequest {
        service_name: service_name(slot),
        desired_count: Some(order.desired),
        deployment_controller: Some(ecs::DeploymentController { r#type: ecs::DeploymentControllerType::External }),
        ..Default::default()
    }
}

fn arn(row: &ServiceDeployment) -> String {
    Arn::service_deployment(&row.scope, &row.cluster, &row.service, &row.id).to_string()
}
