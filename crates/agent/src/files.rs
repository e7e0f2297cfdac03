//! What tasks have on the node's disk: volumes, the files of names, container output. Gathers what
//! [`volume`](crate::volume), [`names`](crate::names) and [`logs`](crate::logs) decide, on threads that may block.
//!
//! ```text
//! <data dir>/agent/volumes/<task id>/   volumes and names; gone with the task
//! <data dir>/agent/logs/                container output; gone once it is shipped
//! ```

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use model::link::TaskSpec;
use model::{LaunchType, TaskId};
use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::container::Files as ContainerFiles;
use crate::driver::{Attached, DriverError, Result};
use crate::logs::{Logs, Options, Shipment};
use crate::names::{self, HostNames};
use crate::task::RuntimeId;
use crate::volume;

pub enum Files {
    Disk(Box<Disk>),
    /// Simulated containers have no files.
    None,
}

pub struct Disk {
    volumes: PathBuf,
    logs: Logs,
    host: HostNames,
}

impl Files {
    /// Follows again the output that an earlier agent followed.
    pub fn open(directory: &Path, shipments: mpsc::Sender<Shipment>, clock: Clock) -> io::Result<Self> {
        let volumes = directory.join("volumes");
        std::fs::create_dir_all(&volumes)?;
        let logs = Logs::open(directory.join("logs"), shipments, clock)?;
        Ok(Self::Disk(Box::new(Disk { volumes, logs, host: HostNames::read() })))
    }

    /// Makes the files of a container, before the container. Again is no error.
    pub async fn prepare(
        &self,
        spec: &TaskSpec,
        id: RuntimeId,
        network: Option<&Attached>,
        servers: Vec<IpAddr>,
    ) -> Result<ContainerFiles> {
        let Self::Disk(disk) = self else { return Ok(ContainerFiles::default()) };
        let log_file = disk.follow(spec, id)?;
        let container = id.container;
        let address = network.and_then(|attached| attached.address);
        let names = names::names(spec, container, address, &servers, &disk.host)?;
        let directory = volume::directory(&disk.volumes, spec.id);
        let spec = spec.clone();
        let make = move || {
            volume::prepare(&spec, &directory)?;
            let mut mounts = volume::mounts(&spec, container, &directory)?;
            let read_only = spec.containers[container].definition.readonly_root_filesystem == Some(true);
            let named = names::write(&names, &directory, container, read_only, &mounts)
                .map_err(|error| DriverError::new("CannotCreateContainerError", error))?;
            mounts.extend(named);
            Ok(mounts)
        };
        let mounts = blocking("CannotCreateContainerError", make).await?;
        Ok(ContainerFiles { mounts, log_file })
    }

    /// Whether the control plane has a place for the container's output.
    pub async fn check_logs(&self, spec: &TaskSpec, id: RuntimeId) -> Result<()> {
        let Self::Disk(disk) = self else { return Ok(()) };
        let Some(options) = log_options(spec, id)? else { return Ok(()) };
        disk.logs.check(&options).await.map_err(|error| log_driver_error(spec, &error))
    }

    /// Returns when all that a container wrote is shipped. Its shim must be gone.
    pub async fn finish_logs(&self, key: &str) {
        let Self::Disk(disk) = self else { return };
        disk.logs.finish(key);
        disk.logs.shipped(key).await;
    }

    /// Lets go of the output of a container that no task speaks for: what it wrote is shipped all the same.
    pub fn abandon_logs(&self, key: &str) {
        if let Self::Disk(disk) = self {
            disk.logs.finish(key);
        }
    }

    pub async fn remove(&self, task: TaskId) -> Result<()> {
        let Self::Disk(disk) = self else { return Ok(()) };
        let volumes = disk.volumes.clone();
        let remove =
            move || volume::remove(&volumes, task).map_err(|error| DriverError::new("CannotRemoveVolumeError", error));
        blocking("CannotRemoveVolumeError", remove).await
    }

    /// Where the task's own volumes stand.
    pub fn directory(&self, task: TaskId) -> PathBuf {
        match self {
            Self::Disk(disk) => volume::directory(&disk.volumes, task),
            Self::None => PathBuf::new(),
        }
    }

    /// Tasks that have files here.
    pub fn tasks(&self) -> io::Result<Vec<TaskId>> {
        match self {
            Self::Disk(disk) => volume::list(&disk.volumes),
            Self::None => Ok(Vec::new()),
        }
    }

    /// Containers whose output is followed and whose end is not known here.
    pub fn followed(&self) -> Vec<String> {
        match self {
            Self::Disk(disk) => disk.logs.keys(),
            Self::None => Vec::new(),
        }
    }
}

impl Disk {
    fn follow(&self, spec: &TaskSpec, id: RuntimeId) -> Result<Option<PathBuf>> {
        let Some(options) = log_options(spec, id)? else { return Ok(None) };
        let key = id.to_string();
        self.logs.follow(&key, &options).map_err(|error| log_driver_error(spec, &error))?;
        Ok(Some(self.logs.file(&key)))
    }
}

fn log_options(spec: &TaskSpec, id: RuntimeId) -> Result<Option<Options>> {
    let options = Options::of(spec, id.container, &id.to_string());
    options.map_err(|error| log_driver_error(spec, &error))
}

/// ecs-semantics §1.3: FARGATE and the others call it differently.
fn log_driver_error(spec: &TaskSpec, error: &dyn std::error::Error) -> DriverError {
    let name = match spec.launch_type {
        LaunchType::Fargate => "ResourceInitializationError",
        LaunchType::Ec2 | LaunchType::External => "CannotStartContainerError",
    };
    DriverError::new(name, format!("failed to initialize logging driver: {error}"))
}

async fn blocking<T: Send + 'static>(
    name: &'static str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|error| DriverError::new(name, error))?
}
