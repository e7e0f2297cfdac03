//! What the person who starts the control plane decides.

use std::path::PathBuf;
use std::time::Duration;

/// See docs/decisions/0010.
pub const NODE_LOST_AFTER: Duration = Duration::from_secs(60);

/// Whether callers must prove who they are. Deny is the zero value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Auth {
    /// Every request must be signed with a key that is known here.
    #[default]
    Required,
    /// Any credentials, or none, act as the root of the account. For a developer's own machine: whoever starts this
    /// must refuse to listen beyond loopback.
    Off,
}

/// AWS's service quotas that are limits here too (ecs-semantics §4.4). AWS raises them on request; here whoever starts
/// the control plane does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quotas {
    pub services_per_cluster: u32,
    pub tasks_per_service: u32,
}

impl Default for Quotas {
    fn default() -> Self {
        Self { services_per_cluster: 5_000, tasks_per_service: 5_000 }
    }
}

#[derive(Clone, Debug)]
pub struct Config {
    /// State, logs and the root access key live below it.
    pub data_dir: PathBuf,
    /// Twelve digits.
    pub account_id: String,
    /// The region in which the nodes stand, and that of callers who name none (only without authentication).
    pub region: String,
    pub auth: Auth,
    /// Refuse callers who exceed AWS's documented request rates.
    pub throttle: bool,
    pub quotas: Quotas,
    /// The cluster that this machine's own node joins.
    pub cluster: String,
    /// How long a node's session may be gone before services replace the tasks that it has.
    pub node_lost_after: Duration,
    /// Every random choice (ids, spread) follows from it; `None` takes the system's randomness.
    pub seed: Option<u64>,
}

impl Config {
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            account_id: "000000000000".to_owned(),
            region: "us-east-1".to_owned(),
            auth: Auth::Required,
            throttle: false,
            quotas: Quotas::default(),
            cluster: model::cluster::DEFAULT_CLUSTER.to_owned(),
            node_lost_after: NODE_LOST_AFTER,
            seed: None,
        }
    }
}
