//! The control plane as processes that come and go on one disk.
//!
//! A killed process is cut off from its disk, its links and its callers at that instant, so that whatever of it the
//! runtime has still to wind up reaches nobody.

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use control::{Caller, Clock, Config, Control, Cx};
use model::{Scope, Timestamp};
use rand::RngCore as _;
use rand::rngs::StdRng;
use store::{CommitStream, LogError, Next, Tables, WriteError};
use tokio::sync::Notify;
use tokio::time::sleep;
use wire::error::Failure;
use wire::{ecs, elbv2};

use crate::check::Watcher;
use crate::disk::Disk;
use crate::random;
use crate::trace::Trace;

/// 2026-01-01T00:00:00Z, as on the nodes.
const EPOCH: Timestamp = Timestamp(1_767_225_600_000);
const ACCOUNT: &str = "000000000000";
const REGION: &str = "us-east-1";
/// A process that cannot open its state is started again.
const START_PAUSE: Duration = Duration::from_millis(500);

/// How a call went.
pub enum Answer<T> {
    Done(Box<T>),
    /// The caller's fault, for good: exception and text.
    Refused(String),
    /// Nothing was changed.
    NotNow,
    /// It may have been done: nobody was left to say so.
    Unknown,
}

/// Clones are the same control plane.
#[derive(Clone)]
pub struct Plane {
    shared: Arc<Shared>,
}

struct Shared {
    /// Keys only: the state is on the simulated disk, and nothing is logged.
    directory: PathBuf,
    clock: Clock,
    disk: Disk,
    trace: Trace,
    watcher: Watcher,
    state: Mutex<State>,
    /// A `watch` would wake callers in an order of chance.
    died: Notify,
}

struct State {
    control: Option<Arc<Control>>,
    random: StdRng,
}

pub fn scope() -> Scope {
    Scope::new(ACCOUNT, REGION)
}

/// The control plane's.
pub fn clock() -> Clock {
    Clock::tokio(EPOCH)
}

impl Plane {
    pub fn new(seed: u64, directory: &Path, disk: Disk, trace: Trace, watcher: Watcher) -> Self {
        let shared = Shared {
            directory: directory.to_owned(),
            clock: clock(),
            disk,
            trace,
            watcher,
            state: Mutex::new(State { control: None, random: random::fork(seed, "control plane") }),
            died: Notify::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The living process.
    pub fn control(&self) -> Option<Arc<Control>> {
        self.state().control.clone()
    }

    /// The durable state, while a process lives.
    pub fn view(&self) -> Option<Arc<Tables>> {
        Some(self.control()?.store.view())
    }

    /// Starts a process, and returns once it serves.
    pub async fn start(&self) {
        loop {
            match self.open().await {
                Ok(control) => {
                    self.shared.trace.tell("control plane: started");
                    let commits = control.store.subscribe();
                    self.shared.watcher.look_at_all(&control.store.view());
                    tokio::spawn(watch(self.clone(), Arc::downgrade(&control), commits));
                    self.state().control = Some(control);
                    return;
                }
                Err(error) => self.shared.trace.tell(format_args!("control plane: cannot start: {error}")),
            }
            sleep(START_PAUSE).await;
        }
    }

    async fn open(&self) -> Result<Arc<Control>, control::OpenError> {
        let seed = self.state().random.next_u64();
        let config = Config { seed: Some(seed), ..Config::new(&self.shared.directory) };
        Control::open_with(config, self.shared.disk.open(), self.shared.clock.clone()).await
    }

    /// As `kill -9`.
    pub fn kill(&self) {
        let Some(control) = self.state().control.take() else { return };
        self.shared.trace.tell("control plane: killed");
        self.shared.disk.cut_off();
        self.shared.died.notify_waiters();
        tokio::spawn(async move { control.close().await });
    }

    /// Calls an operation of ECS as a client with the root key.
    pub async fn call(&self, request: ecs::Request) -> Answer<ecs::Response> {
        self.write(|cx| control::ecs::dispatch(cx, request)).await
    }

    /// The same of load balancing.
    pub async fn balance(&self, request: elbv2::Request) -> Answer<elbv2::Response> {
        self.write(|cx| control::elbv2::dispatch(cx, request)).await
    }

    async fn write<T, E: Into<Failure>>(&self, operation: impl FnOnce(&mut Cx<'_>) -> Result<T, E>) -> Answer<T> {
        let Some(control) = self.control() else { return Answer::NotNow };
        let mut died = pin!(self.shared.died.notified());
        died.as_mut().enable();
        let caller = Caller::root(scope(), "AKIA");
        let answered = tokio::select! {
            biased;
            () = died => return Answer::Unknown,
            answered = control.write(&caller, operation) => answered,
        };
        match answered {
            Ok(response) => Answer::Done(Box::new(response)),
            Err(WriteError::Refused(error)) => Answer::Refused(text(&error.into())),
            Err(WriteError::Log(error)) if matches!(*error, LogError::Closed) => Answer::Unknown,
            Err(WriteError::Log(_)) => Answer::NotNow,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn text(failure: &Failure) -> String {
    format!("{}: {}", failure.code, failure.message)
}

/// Shows each durable commit to the checks. What a killed process still winds up is seen by nobody.
async fn watch(plane: Plane, process: Weak<Control>, mut commits: CommitStream) {
    loop {
        match commits.next().await {
            Next::Commit(commit) => {
                let Some(control) = plane.control() else { return };
                if !std::ptr::eq(Arc::as_ptr(&control), process.as_ptr()) {
                    return;
                }
                plane.shared.watcher.look(&commit, &control.store.view());
            }
            Next::Lagged => panic!("a watcher that runs after each commit is never behind"),
            Next::Closed => return,
        }
    }
}
