//! Containers: record, snapshot and process, made and unmade.
//!
//! ```text
//! nothing -create-> record -> snapshot -> runtime task (created) -start-> running -exit-> stopped -delete-> nothing
//! ```
//! A kill of the agent between any two steps leaves something that [`Containerd::list`] shows (the record comes first)
//! and that `delete` removes. `create` begins anew under the same id only when the agent could not note that it had begun
//! before: containerd may still be clearing that away.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::path::Path;

use super::api::containerd::services::containers::v1::container::Runtime as RuntimeInfo;
use super::api::containerd::services::containers::v1::{
    Container, CreateContainerRequest, DeleteContainerRequest, GetContainerRequest, ListContainersRequest,
};
use super::api::containerd::services::tasks::v1::{
    CreateTaskRequest, DeleteTaskRequest, KillRequest, ListTasksRequest, StartRequest, WaitRequest,
};
use super::api::containerd::types::Mount;
use super::api::containerd::v1::types::{Process, Status};
use super::client::{Failure, PROCESS_LIMIT, RECORD_LIMIT, Result};
use super::image::Facts;
use super::spec::document::Spec;
use super::spec::{self, Inputs};
use super::{Containerd, device, shim, snapshot, timestamp};
use crate::driver::{ContainerRequest, DriverError, Exit, Found, FoundStatus};

/// Where the container's group is; ours, not shown to callers.
const CGROUP_LABEL: &str = "gantry.cgroup";
const RUNTIME: &str = "io.containerd.runc.v2";
const SPEC_TYPE: &str = "types.containerd.io/opencontainers/runtime-spec/1/Spec";
const SIGKILL: u32 = 9;
/// containerd refuses a label whose key and value are together longer.
const LABEL_LIMIT: usize = 4096;

const CANNOT_CREATE: &str = "CannotCreateContainerError";
const CANNOT_START: &str = "CannotStartContainerError";

impl Containerd {
    pub(super) async fn create_container(&self, request: &ContainerRequest) -> crate::driver::Result<()> {
        let refuse = |error: &dyn std::fmt::Display| DriverError::new(CANNOT_CREATE, error);
        let facts = self.images().facts(&request.image.digest).await.map_err(|failure| refuse(&failure))?;
        let cgroup = self.groups().container_path(request.task, &request.id);
        let spec = self.container_spec(request, &facts, &cgroup).await?;
        let record = self.record(request, &spec, cgroup).map_err(|failure| refuse(&failure))?;
        self.put_record(record).await.map_err(|failure| refuse(&failure))?;
        let made = self.make(request, &facts).await;
        if made.is_err()
            && let Err(failure) = self.delete_container(&request.id).await
        {
            tracing::warn!(%failure, id = request.id, "a container that could not be made is left over");
        }
        made
    }

    /// Snapshot and runtime task, for a record that is there.
    async fn make(&self, request: &ContainerRequest, facts: &Facts) -> crate::driver::Result<()> {
        let prepared = self.prepare(request, facts).await;
        let mounts = prepared.map_err(|failure| DriverError::new(CANNOT_CREATE, failure))?;
        // Docker starts runc only when the container starts, so to its users these are failures to start.
        self.create_task(request, mounts).await.map_err(|failure| transition("created", CANNOT_START, &failure))
    }

    async fn prepare(&self, request: &ContainerRequest, facts: &Facts) -> Result<Vec<Mount>> {
        let prepare = |parent: String| async move {
            snapshot::prepare(self.client(), self.snapshotter(), &request.id, &parent).await
        };
        match prepare(facts.chain_id.clone()).await {
            // Somebody removed the image's snapshot behind us; its blobs are still there.
            Err(failure) if failure.is_not_found() => {
                self.images().forget(&request.image.digest);
                prepare(self.images().facts(&request.image.digest).await?.chain_id.clone()).await
            }
            result => result,
        }
    }

    async fn container_spec(
        &self,
        request: &ContainerRequest,
        facts: &Facts,
        cgroup: &str,
    ) -> crate::driver::Result<Spec> {
        let refuse = |error: &dyn std::fmt::Display| DriverError::new(CANNOT_CREATE, error);
        let accounts = self.accounts(facts).await.map_err(|failure| refuse(&failure))?;
        self.copy_up(request, facts).await.map_err(|failure| refuse(&failure))?;
        let image = facts.configuration.process();
        let definition = &request.definition;
        let own = definition.user.as_deref().filter(|user| !user.is_empty());
        let identity = accounts.identify(own.or(image.user.as_deref())).map_err(|error| refuse(&error))?;
        let parameters = definition.linux_parameters.as_ref();
        let named = parameters.map(|parameters| parameters.devices.as_slice()).unwrap_or_default();
        let devices = match definition.privileged {
            Some(true) => device::all(),
            _ => device::named(named),
        };
        let devices = devices.map_err(|error| refuse(&error))?;
        let init = self.init().display().to_string();
        let inputs = Inputs {
            request,
            image: &image,
            identity: &identity,
            host: self.host(),
            cgroups_path: cgroup,
            init: &init,
            devices: &devices,
        };
        spec::spec(&inputs).map_err(|refused| refuse(&refused))
    }

    fn record(&self, request: &ContainerRequest, spec: &Spec, cgroup: String) -> Result<Container> {
        let mut labels: HashMap<String, String> = request.labels.iter().cloned().collect();
        if let Some((key, _)) = labels.iter().find(|(key, value)| key.len() + value.len() > LABEL_LIMIT) {
            return Err(Failure::Invalid(format!("label {key:.64} is longer than {LABEL_LIMIT} bytes")));
        }
        labels.insert(CGROUP_LABEL.to_owned(), cgroup);
        let value = serde_json::to_vec(spec).expect("a specification is JSON");
        Ok(Container {
            id: request.id.clone(),
            labels,
            image: request.image.reference.clone(),
            runtime: Some(RuntimeInfo { name: RUNTIME.to_owned(), options: None }),
            spec: Some(prost_types::Any { type_url: SPEC_TYPE.to_owned(), value }),
            snapshotter: self.snapshotter().to_owned(),
            snapshot_key: request.id.clone(),
            ..Container::default()
        })
    }

    /// What a killed agent left gives way to a new attempt, its process too: containerd gives up what it was making when
    /// the agent went away, and may be about to remove it.
    async fn put_record(&self, record: Container) -> Result<()> {
        match self.try_put_record(record.clone()).await {
            Err(failure) if failure.is_already_there() => {}
            put => return put,
        }
        self.delete_container(&record.id).await?;
        self.try_put_record(record).await
    }

    async fn try_put_record(&self, record: Container) -> Result<()> {
        let request = CreateContainerRequest { container: Some(record) };
        let client = self.client();
        client.call("containers.Create", RECORD_LIMIT, client.containers().create(request)).await?;
        Ok(())
    }

    async fn create_task(&self, request: &ContainerRequest, rootfs: Vec<Mount>) -> Result<()> {
        let (stdout, stderr) = match request.log_file.as_deref() {
            Some(path) => streams(path)?,
            None => (String::new(), String::new()),
        };
        let task = CreateTaskRequest {
            container_id: request.id.clone(),
            rootfs,
            stdout,
            stderr,
            ..CreateTaskRequest::default()
        };
        let client = self.client();
        client.call("tasks.Create", PROCESS_LIMIT, client.tasks().create(task)).await?;
        Ok(())
    }

    pub(super) async fn start_container(&self, id: &str) -> crate::driver::Result<u32> {
        let request = StartRequest { container_id: id.to_owned(), exec_id: String::new() };
        let client = self.client();
        let started = client.call("tasks.Start", PROCESS_LIMIT, client.tasks().start(request)).await;
        started.map(|response| response.pid).map_err(|failure| transition("running", CANNOT_START, &failure))
    }

    pub(super) async fn kill_container(&self, id: &str, signal: u32, all: bool) -> Result<()> {
        let request = KillRequest { container_id: id.to_owned(), exec_id: String::new(), signal, all };
        match self.client().call("tasks.Kill", PROCESS_LIMIT, self.client().tasks().kill(request)).await {
            Ok(()) => Ok(()),
            Err(failure) if failure.is_not_found() => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    /// Each part on its own, so that one that is gone does not keep the others.
    pub(super) async fn delete_container(&self, id: &str) -> Result<()> {
        self.delete_task(id).await?;
        self.end_forgotten_shim(id).await?;
        let (record, snapshot) =
            tokio::join!(self.delete_record(id), snapshot::remove(self.client(), self.snapshotter(), id));
        record.and(snapshot)
    }

    async fn delete_task(&self, id: &str) -> Result<()> {
        match self.try_delete_task(id).await {
            Ok(()) => return Ok(()),
            Err(failure @ (Failure::Late { .. } | Failure::Unreachable { .. })) => return Err(failure),
            // It runs still, most likely.
            Err(_) => {}
        }
        self.kill_container(id, SIGKILL, true).await?;
        let request = WaitRequest { container_id: id.to_owned(), exec_id: String::new() };
        match self.client().call("tasks.Wait", PROCESS_LIMIT, self.client().tasks().wait(request)).await {
            Ok(_) => {}
            Err(failure) if failure.is_not_found() => {}
            Err(failure) => return Err(failure),
        }
        self.try_delete_task(id).await
    }

    async fn try_delete_task(&self, id: &str) -> Result<()> {
        let request = DeleteTaskRequest { container_id: id.to_owned() };
        match self.client().call("tasks.Delete", PROCESS_LIMIT, self.client().tasks().delete(request)).await {
            Ok(_) => Ok(()),
            Err(failure) if failure.is_not_found() => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    async fn end_forgotten_shim(&self, id: &str) -> Result<()> {
        let client = self.client();
        let (address, namespace) = (client.address().to_owned(), client.namespace().to_owned());
        let owner = shim::Owner { address, namespace, id: id.to_owned() };
        let ended = tokio::task::spawn_blocking(move || shim::end_forgotten(&owner)).await;
        ended.map_err(|error| Failure::io("ending a shim", error.into()))
    }

    async fn delete_record(&self, id: &str) -> Result<()> {
        let request = DeleteContainerRequest { id: id.to_owned() };
        let client = self.client();
        match client.call("containers.Delete", RECORD_LIMIT, client.containers().delete(request)).await {
            Ok(()) => Ok(()),
            Err(failure) if failure.is_not_found() => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    pub(super) async fn get_record(&self, id: &str) -> Result<Container> {
        let request = GetContainerRequest { id: id.to_owned() };
        let client = self.client();
        let response = client.call("containers.Get", RECORD_LIMIT, client.containers().get(request)).await?;
        response.container.ok_or_else(|| Failure::Invalid(format!("containerd answers no container for {id}")))
    }

    pub(super) async fn list_containers(&self) -> Result<Vec<Found>> {
        let client = self.client();
        let containers = ListContainersRequest { filters: Vec::new() };
        let tasks = ListTasksRequest { filter: String::new() };
        // Tasks first: a container made between the two calls then shows up late, not as lost.
        let tasks = client.call("tasks.List", PROCESS_LIMIT, client.tasks().list(tasks)).await?.tasks;
        let listed = client.call("containers.List", RECORD_LIMIT, client.containers().list(containers)).await?;
        let processes: HashMap<String, Process> =
            tasks.into_iter().map(|process| (process.id.clone(), process)).collect();
        let found = listed.containers.into_iter().map(|record| self.describe(record, &processes));
        let mut found: Vec<Found> = found.collect::<Result<_>>()?;
        found.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(found)
    }

    fn describe(&self, mut record: Container, processes: &HashMap<String, Process>) -> Result<Found> {
        let cgroup = record.labels.remove(CGROUP_LABEL).unwrap_or_default();
        let mut labels: Vec<(String, String)> = record.labels.into_iter().collect();
        labels.sort();
        let status = match processes.get(&record.id) {
            None => FoundStatus::Lost,
            Some(process) => self.status(process, &cgroup),
        };
        Ok(Found { id: record.id, labels, status })
    }

    fn status(&self, process: &Process, cgroup: &str) -> FoundStatus {
        match Status::try_from(process.status).unwrap_or(Status::Unknown) {
            Status::Created => FoundStatus::Created,
            Status::Stopped => FoundStatus::Stopped {
                exit_code: i32::try_from(process.exit_status).unwrap_or(i32::MAX),
                at: timestamp(process.exited_at.as_ref()),
                out_of_memory: self.ran_out_of_memory(cgroup),
            },
            Status::Running | Status::Paused | Status::Pausing => FoundStatus::Running { pid: process.pid },
            Status::Unknown => FoundStatus::Lost,
        }
    }

    /// Adds to an exit what only the container's group knows.
    pub(super) async fn complete(&self, exit: Exit) -> Exit {
        let cgroup = match self.get_record(&exit.id).await {
            Ok(mut record) => record.labels.remove(CGROUP_LABEL),
            // Deleted already: then nobody asks any more.
            Err(failure) => {
                tracing::debug!(%failure, id = exit.id, "the exit of an unknown container");
                None
            }
        };
        let out_of_memory = cgroup.is_some_and(|cgroup| self.ran_out_of_memory(&cgroup));
        Exit { out_of_memory, ..exit }
    }

    fn ran_out_of_memory(&self, cgroup: &str) -> bool {
        match self.groups().out_of_memory_kills(cgroup) {
            Ok(kills) => kills.is_some_and(|kills| kills > 0),
            Err(error) => {
                tracing::warn!(%error, cgroup, "cannot tell whether memory ran out");
                false
            }
        }
    }
}

/// A time-out has a name and text of its own (ecs-semantics §1.3).
fn transition(state: &str, name: &'static str, failure: &Failure) -> DriverError {
    match failure {
        Failure::Late { limit, .. } => {
            let waited = limit.as_secs();
            let text = format!("Could not transition to {state}; timed out after waiting {waited}s");
            DriverError::new("DockerTimeoutError", text)
        }
        failure => DriverError::new(name, failure),
    }
}

/// Names for the two streams of a container, both of the file at `path`, which is made when it is missing.
///
/// The names must differ: a shim that is given one name twice, or a `file://` URI, opens the file once and closes it when
/// the first stream ends. What the other stream has still to say is then lost, and once its pipe is full the container
/// hangs.
fn streams(path: &Path) -> Result<(String, String)> {
    let failed = |error| Failure::io(format_args!("making {}", path.display()), error);
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Failure::Invalid(format!("{} is not the path of a file", path.display())));
    };
    std::fs::create_dir_all(directory).map_err(failed)?;
    OpenOptions::new().append(true).create(true).open(path).map_err(failed)?;
    let again = directory.join(".").join(name);
    Ok((path.display().to_string(), again.display().to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_streams_of_a_container_have_two_names_for_one_file() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("logs").join("a.log");
        let (stdout, stderr) = streams(&path).expect("made");
        assert_ne!(stdout, stderr);
        std::fs::write(&stdout, "one").expect("written");
        assert_eq!(std::fs::read_to_string(&stderr).expect("read"), "one");
        streams(&path).expect("there already");
        assert_eq!(std::fs::read_to_string(&stdout).expect("read"), "one");
    }
}
