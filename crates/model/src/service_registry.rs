//! What a service asks of Cloud Map: `serviceRegistries` (ecs-semantics §3.7).

use serde::{Deserialize, Serialize};

use crate::discovery::DiscoveryServiceKey;
use crate::{Arn, Scope};

/// Of one service, as AWS has it.
pub const REGISTRIES_MAX: usize = 1;

/// The Cloud Map service that tasks are registered in, and the port that they are registered with, if any.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceRegistry {
    /// ARN.
    pub registry: String,
    /// A port of a container: where it is published, or itself in `awsvpc`.
    pub container: Option<String>,
    pub container_port: Option<u16>,
    /// A port as it is.
    pub port: Option<u16>,
}

/// The key in the ARN of a Cloud Map service.
pub fn registry_key(arn: &str) -> Option<DiscoveryServiceKey> {
    let arn = Arn::parse(arn).filter(|arn| arn.service == "servicediscovery")?;
    let id = arn.resource.strip_prefix("service/")?;
    Some((Scope::new(&arn.account, &arn.region), id.to_owned()))
}
