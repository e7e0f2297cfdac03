//! The control plane as one value: its state, its log events, and what the calls share.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use model::Timestamp;
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use store::log::LogError;
use store::{Log, Store, Txn, WriteError};
use telemetry::LogStore;

use crate::access_key::{AccessKey, AccessKeyError};
use crate::dns::{self, Dns};
use crate::event::{self, Events};
use crate::node_key::{NodeKey, NodeKeyError};
use crate::serve::front::Front;
use crate::session::{self, Sessions};
use crate::signing_keys::SigningKeys;
use crate::throttle::Throttle;
use crate::traffic::{self, Traffic};
use crate::{Caller, Clock, Config, Cx, Ledger, reconcile, retention, task_target};

const STATE_FILE: &str = "state.redb";
const LOGS_DIRECTORY: &str = "logs";

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("cannot create the data directory {path}: {source}")]
    DataDirectory { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    AccessKey(#[from] AccessKeyError),
    #[error(transparent)]
    NodeKey(#[from] NodeKeyError),
    #[error("cannot open the state: {0}")]
    State(#[from] LogError),
    #[error("cannot write the state: {0}")]
    Start(#[from] WriteError<std::convert::Infallible>),
    #[error("cannot open the log store: {0}")]
    Logs(#[from] telemetry::LogError),
}

/// Must be opened on a tokio runtime.
pub struct Control {
    pub config: Config,
    pub store: Arc<Store>,
    pub logs: Arc<LogStore>,
    pub clock: Clock,
    pub root_key: AccessKey,
    /// Opens the nodes' link.
    pub node_key: NodeKey,
    pub sessions: Sessions,
    pub events: Events,
    pub(crate) signing_keys: SigningKeys,
    pub(crate) throttle: Throttle,
    /// No service is looked at any more: their tasks are to end.
    pub(crate) services_rest: AtomicBool,
    random: Mutex<StdRng>,
    ledger: Ledger,
    /// What load balancers are to serve, and how their targets are.
    pub traffic: Traffic,
    /// What the name server is to answer.
    pub dns: Dns,
    /// Takes the connections that come to the API's listener and are a load balancer's; set once there is a data path.
    pub front: OnceLock<Front>,
}

impl Control {
    /// Opens, or makes, the data directory of `config`.
    ///
    /// # Errors
    /// When the directory, its key, its state or its logs cannot be used.
    pub async fn open(config: Config) -> Result<Arc<Self>, OpenError> {
        create_directory(&config)?;
        let log = store::log::redb::RedbLog::open(&config.data_dir.join(STATE_FILE))?;
        Self::open_with(config, log, Clock::System).await
    }

    /// As [`open`](Self::open), with another log for the state and another clock: tests and simulations keep their
    /// state in memory.
    ///
    /// # Errors
    /// As `open`.
    pub async fn open_with(config: Config, log: impl Log, clock: Clock) -> Result<Arc<Self>, OpenError> {
        create_directory(&config)?;
        let mut random = match config.seed {
            Some(seed) => StdRng::seed_from_u64(seed),
            None => StdRng::from_os_rng(),
        };
        let root_key = AccessKey::load_or_create(&config.data_dir, &config.account_id, &mut random)?;
        let node_key = NodeKey::load_or_create(&config.data_dir, &mut random)?;
        let store = Store::open(log).await?;
        let logs = LogStore::open(&config.data_dir.join(LOGS_DIRECTORY))?;
        let control = Arc::new(Self {
            config,
            store,
            logs,
            clock,
            root_key,
            node_key,
            sessions: Sessions::default(),
            events: Events::default(),
            signing_keys: SigningKeys::default(),
            throttle: Throttle::default(),
            services_rest: AtomicBool::new(false),
            random: Mutex::new(random),
            ledger: Ledger::default(),
            traffic: Traffic::default(),
            dns: Dns::default(),
            front: OnceLock::new(),
        });
        session::start(&control).await?;
        event::start(&control);
        retention::start(&control);
        reconcile::start(&control);
        traffic::start(&control);
        dns::start(&control);
        task_target::start(&control);
        Ok(control)
    }

    /// Ends the sessions and closes the state: afterwards nothing can be written, and its file is free.
    pub async fn close(&self) {
        self.sessions.close();
        self.store.close().await;
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A generator of its own for one call.
    pub fn fork_random(&self) -> StdRng {
        StdRng::from_rng(&mut *self.random.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A UUID for a request, a session or the like.
    pub fn new_uuid(&self) -> String {
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        let high = u128::from(random.next_u64()) << 64;
        model::id::uuid(high | u128::from(random.next_u64()))
    }

    fn cx<'a>(&'a self, txn: &'a mut Txn, caller: &'a Caller, random: &'a mut StdRng) -> Cx<'a> {
        Cx { txn, caller, now: self.now(), random, config: &self.config, ledger: &self.ledger, traffic: &self.traffic }
    }

    /// Runs a reading operation on what is durable now. What it writes goes nowhere.
    pub fn read<T>(&self, caller: &Caller, operation: impl FnOnce(&mut Cx<'_>) -> T) -> T {
        let mut txn = Txn::on(&self.store.view());
        let mut random = self.fork_random();
        operation(&mut self.cx(&mut txn, caller, &mut random))
    }

    /// Runs a writing operation alone on the newest state and answers once its changes are durable.
    ///
    /// # Errors
    /// The operation's own, or that of the log; in both cases nothing was changed.
    pub async fn write<T, E>(
        &self,
        caller: &Caller,
        operation: impl FnOnce(&mut Cx<'_>) -> Result<T, E>,
    ) -> Result<T, WriteError<E>> {
        let mut random = self.fork_random();
        let written = self.store.write(|txn| operation(&mut self.cx(txn, caller, &mut random)));
        Ok(written.await?.0)
    }
}

fn create_directory(config: &Config) -> Result<(), OpenError> {
    std::fs::create_dir_all(&config.data_dir)
        .map_err(|source| OpenError::DataDirectory { path: config.data_dir.clone(), source })
}
