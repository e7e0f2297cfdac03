//! Task sets of services whose controller is EXTERNAL.

use wire::ecs::{self, Request, Response};

use super::{CLUSTER, Client};
use crate::promise::{WantedSet, service_name};
use crate::shape::{Image, Shape};

impl Client {
    pub(super) async fn add_set(&self, slot: usize, image: Image, percent: i32) {
        let Some(wanted) = self.wanted(slot) else { return };
        let shape = Shape { image, ..wanted.order.shape };
        let task_definition = self.definition(shape).await;
        let name = {
            let mut state = self.state();
            state.sets += 1;
            format!("set-{}", state.sets)
        };
        let request = ecs::CreateTaskSetRequest {
            client_token: Some(name.clone()),
            cluster: CLUSTER.to_owned(),
            external_id: Some(name),
            launch_type: Some(shape.launch_type()),
            network_configuration: shape.network_configuration(),
            scale: Some(scale(percent)),
            service: service_name(slot),
            task_definition,
            ..Default::default()
        };
        let answer = self.persist(Request::CreateTaskSet(request)).await;
        let Some(Response::CreateTaskSet(answer)) = answer else { return };
        let Some(id) = answer.task_set.and_then(|set| set.id) else { return };
        let set = WantedSet { id, shape, percent, is_dropped: false, is_doubtful: false };
        self.promises.all().sets.entry(slot).or_default().push(set);
    }

    pub(super) async fn scale_set(&self, slot: usize, pick: usize, percent: i32) {
        let Some(set) = self.set(slot, pick) else { return };
        let request = ecs::UpdateTaskSetRequest {
            cluster: CLUSTER.to_owned(),
            scale: scale(percent),
            service: service_name(slot),
            task_set: set.id.clone(),
        };
        self.change_set(slot, pick, Request::UpdateTaskSet(request), WantedSet { percent, ..set }).await;
    }

    pub(super) async fn promote_set(&self, slot: usize, pick: usize) {
        let Some(set) = self.set(slot, pick) else { return };
        let request = ecs::UpdateServicePrimaryTaskSetRequest {
            cluster: CLUSTER.to_owned(),
            primary_task_set: set.id,
            service: service_name(slot),
        };
        self.persist(Request::UpdateServicePrimaryTaskSet(request)).await;
    }

    pub(super) async fn drop_set(&self, slot: usize, pick: usize) {
        let Some(set) = self.set(slot, pick) else { return };
        let request = ecs::DeleteTaskSetRequest {
            cluster: CLUSTER.to_owned(),
            force: Some(true),
            service: service_name(slot),
            task_set: set.id,
        };
        self.change_promise(slot, pick, |set| set.is_doubtful = true);
        // Refused is only what was done already, and not answered.
        self.persist(Request::DeleteTaskSet(request)).await;
        self.change_promise(slot, pick, |set| *set = WantedSet { is_dropped: true, is_doubtful: false, ..set.clone() });
    }

    fn set(&self, slot: usize, pick: usize) -> Option<WantedSet> {
        self.wanted(slot)?;
        let set = self.promises.all().sets.get(&slot)?.get(pick)?.clone();
        (!set.is_dropped).then_some(set)
    }

    async fn change_set(&self, slot: usize, pick: usize, request: Request, wanted: WantedSet) {
        self.change_promise(slot, pick, |set| set.is_doubtful = true);
        let is_done = self.persist(request).await.is_some();
        self.change_promise(slot, pick, |set| match is_done {
            true => *set = wanted,
            false => set.is_doubtful = false,
        });
    }

    fn change_promise(&self, slot: usize, pick: usize, change: impl FnOnce(&mut WantedSet)) {
        if let Some(set) = self.promises.all().sets.get_mut(&slot).and_then(|sets| sets.get_mut(pick)) {
            change(set);
        }
    }
}

fn scale(percent: i32) -> ecs::Scale {
    ecs::Scale { unit: Some(ecs::ScaleUnit::Percent), value: Some(percent.into()) }
}
