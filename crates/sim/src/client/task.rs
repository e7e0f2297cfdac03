//! Tasks that clients run themselves.

use model::{NodeId, TaskId};
use wire::ecs::{self, Request, Response};

use super::Client;
use crate::order::Providers;
use crate::promise::RunTask;
use crate::shape::Shape;

impl Client {
    pub(super) async fn run(&self, shape: Shape, providers: Providers, count: i32, has_token: bool) {
        let task_definition = self.definition(shape).await;
        let started_by = self.begin_run(usize::try_from(count).unwrap_or(0));
        let strategy = providers.strategy();
        let request = Request::RunTask(ecs::RunTaskRequest {
            task_definition,
            count: Some(count),
            launch_type: strategy.is_none().then(|| shape.launch_type()),
            capacity_provider_strategy: strategy,
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

    pub(super) async fn start(&self, shape: Shape, node: NodeId) {
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

    pub(super) async fn stop(&self, pick: usize) {
        let Some(promise) = self.promises.all().tasks.get(pick).copied() else { return };
        let task = promise.id.to_string();
        let request = ecs::StopTaskRequest { task, reason: Some("asked to".to_owned()), ..Default::default() };
        if self.persist(Request::StopTask(request)).await.is_some() {
            self.promises.all().tasks[pick].is_stopped = true;
        }
    }
}

fn id_of(arn: &str) -> Option<TaskId> {
    arn.rsplit('/').next()?.parse().ok()
}
