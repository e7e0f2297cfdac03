//! What a task is told and what it asks for.

use std::time::Duration;

use model::DesiredStatus;
use model::Timestamp;
use model::link::TaskReport;

use crate::driver::{Attached, DriverError, ExecResult, FoundStatus, Image, NetworkRequest, Result, TaskLimits};

/// A fact. Containers are meant by their place in the spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Desired(DesiredStatus),
    /// The node cannot take the task on.
    Refused(DriverError),
    /// The deadline that the task named has passed.
    Tick,
    GroupCreated(Result<()>),
    /// `None`: the namespace of the whole task.
    NetworkAttached(Option<usize>, Result<Attached>),
    ImageEnsured(usize, Result<Image>),
    Created(usize, Result<()>),
    Started(usize, Result<u32>),
    Exited {
        container: usize,
        exit_code: i32,
        at: Timestamp,
        out_of_memory: bool,
    },
    Checked(usize, Result<ExecResult>),
    /// What the runtime has of a container that was looked for: `None`, nothing.
    Looked(usize, Result<Option<FoundStatus>>),
    /// What the runtime had of a container when all were listed after a gap in its events.
    Seen {
        container: usize,
        found: Option<FoundStatus>,
        asked_at: Timestamp,
    },
    StopSent(usize, Result<()>),
    KillSent(usize, Result<()>),
    Deleted(usize, Result<()>),
    /// All that the container wrote has been handed on.
    LogsFinished(usize),
    Detached(Result<()>),
    GroupRemoved(Result<()>),
    FilesRemoved(Result<()>),
}

impl Event {
    /// The job that this event ends.
    pub fn job(&self) -> Option<Job> {
        match self {
            Self::Desired(_) | Self::Refused(_) | Self::Tick | Self::Exited { .. } | Self::Seen { .. } => None,
            Self::GroupCreated(_) => Some(Job::CreateGroup),
            Self::NetworkAttached(network, _) => Some(Job::Attach(*network)),
            Self::ImageEnsured(container, _) => Some(Job::EnsureImage(*container)),
            Self::Created(container, _) => Some(Job::Create(*container)),
            Self::Started(container, _) => Some(Job::Start(*container)),
            Self::Checked(container, _) => Some(Job::Check(*container)),
            Self::Looked(container, _) => Some(Job::Look(*container)),
            Self::StopSent(container, _) => Some(Job::Stop(*container)),
            Self::KillSent(container, _) => Some(Job::Kill(*container)),
            Self::Deleted(container, _) => Some(Job::Delete(*container)),
            Self::LogsFinished(container) => Some(Job::FinishLogs(*container)),
            Self::Detached(_) => Some(Job::Detach),
            Self::GroupRemoved(_) => Some(Job::RemoveGroup),
            Self::FilesRemoved(_) => Some(Job::RemoveFiles),
        }
    }

    /// Why the job failed.
    pub fn failure(&self) -> Option<&DriverError> {
        match self {
            Self::Desired(_) | Self::Tick | Self::Exited { .. } | Self::Seen { .. } | Self::LogsFinished(_) => None,
            Self::Refused(error) => Some(error),
            Self::NetworkAttached(_, result) => result.as_ref().err(),
            Self::ImageEnsured(_, result) => result.as_ref().err(),
            Self::Started(_, result) => result.as_ref().err(),
            Self::Checked(_, result) => result.as_ref().err(),
            Self::Looked(_, result) => result.as_ref().err(),
            Self::Created(_, result) | Self::StopSent(_, result) => result.as_ref().err(),
            Self::KillSent(_, result) | Self::Deleted(_, result) => result.as_ref().err(),
            Self::GroupCreated(result) | Self::Detached(result) => result.as_ref().err(),
            Self::GroupRemoved(result) | Self::FilesRemoved(result) => result.as_ref().err(),
        }
    }
}

/// Work that is under way for a task, at most one of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Job {
    CreateGroup,
    Attach(Option<usize>),
    EnsureImage(usize),
    Create(usize),
    Start(usize),
    Check(usize),
    Look(usize),
    Stop(usize),
    Kill(usize),
    Delete(usize),
    FinishLogs(usize),
    Detach,
    RemoveGroup,
    RemoveFiles,
}

impl Job {
    /// Letting go is tried again until it is done. What makes things is not: the drivers do their own retries, and
    /// the task fails.
    pub(super) fn is_retried(self) -> bool {
        match self {
            Self::Look(_) | Self::Stop(_) | Self::Kill(_) | Self::Delete(_) => true,
            Self::Detach | Self::RemoveGroup | Self::RemoveFiles => true,
            Self::CreateGroup | Self::Attach(_) | Self::EnsureImage(_) | Self::Create(_) | Self::Start(_) => false,
            Self::Check(_) | Self::FinishLogs(_) => false,
        }
    }

    /// The event of this job when it could not be done.
    pub fn failed(self, error: &DriverError) -> Event {
        let error = error.clone();
        match self {
            Self::CreateGroup => Event::GroupCreated(Err(error)),
            Self::Attach(network) => Event::NetworkAttached(network, Err(error)),
            Self::EnsureImage(container) => Event::ImageEnsured(container, Err(error)),
            Self::Create(container) => Event::Created(container, Err(error)),
            Self::Start(container) => Event::Started(container, Err(error)),
            Self::Check(container) => Event::Checked(container, Err(error)),
            Self::Look(container) => Event::Looked(container, Err(error)),
            Self::Stop(container) => Event::StopSent(container, Err(error)),
            Self::Kill(container) => Event::KillSent(container, Err(error)),
            Self::Delete(container) => Event::Deleted(container, Err(error)),
            Self::FinishLogs(container) => Event::LogsFinished(container),
            Self::Detach => Event::Detached(Err(error)),
            Self::RemoveGroup => Event::GroupRemoved(Err(error)),
            Self::RemoveFiles => Event::FilesRemoved(Err(error)),
        }
    }
}

/// Something that the task asks of the world. All but `Report` and `AbandonImage` are jobs: each is
/// answered by exactly one event, unless the agent dies first.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    CreateGroup(TaskLimits),
    Attach(NetworkRequest),
    EnsureImage {
        container: usize,
    },
    /// The result of `EnsureImage` is not wanted any more. Its event may still come.
    AbandonImage {
        container: usize,
    },
    /// Makes the container and the files that are mounted into it. `network` is absent in the host's network. Once it
    /// is answered, a crash of the machine cannot make the task unknown.
    Create {
        container: usize,
        image: Image,
        network: Option<Attached>,
    },
    Start {
        container: usize,
    },
    Check {
        container: usize,
        command: Vec<String>,
        limit: Duration,
    },
    Look {
        container: usize,
    },
    /// Sends the image's stop signal to the first process.
    Stop {
        container: usize,
        image: Option<Image>,
    },
    Kill {
        container: usize,
    },
    /// Before it begins, the task's state must be on disk: the exit code is nowhere else afterwards.
    Delete {
        container: usize,
    },
    FinishLogs {
        container: usize,
    },
    Detach,
    RemoveGroup,
    RemoveFiles,
    Report(TaskReport),
}

impl Effect {
    /// The job that this effect begins; `None`: it is not answered.
    pub fn job(&self) -> Option<Job> {
        Some(match self {
            Self::CreateGroup(_) => Job::CreateGroup,
            Self::Attach(request) => Job::Attach(request.container),
            Self::EnsureImage { container } => Job::EnsureImage(*container),
            Self::Create { container, .. } => Job::Create(*container),
            Self::Start { container } => Job::Start(*container),
            Self::Check { container, .. } => Job::Check(*container),
            Self::Look { container } => Job::Look(*container),
            Self::Stop { container, .. } => Job::Stop(*container),
            Self::Kill { container } => Job::Kill(*container),
            Self::Delete { container } => Job::Delete(*container),
            Self::FinishLogs { container } => Job::FinishLogs(*container),
            Self::Detach => Job::Detach,
            Self::RemoveGroup => Job::RemoveGroup,
            Self::RemoveFiles => Job::RemoveFiles,
            Self::AbandonImage { .. } | Self::Report(_) => return None,
        })
    }
}
