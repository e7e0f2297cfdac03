//! The node's network as this command line sets it up, and takes it down.

use agent::network::{Config, Linux};
use ipnet::Ipv4Net;

use crate::failure::{Advice, Context, Failure};
use crate::home::Home;

/// `instance` keeps several gantries on one machine apart; `bridge_range` is for bridge-mode containers.
pub fn config(home: &Home, instance: &str, bridge_range: Option<Ipv4Net>) -> Config {
    let mut config = Config::new(home.path("run"));
    instance.clone_into(&mut config.tag);
    if let Some(range) = bridge_range {
        config.bridge_range = range;
    }
    config
}

/// Removes bridge, links and rules of an instance that does not run any more and has no tasks left.
pub async fn remove(config: Config) -> Result<(), Failure> {
    let name = config.tag.clone();
    let network = Linux::open(config).await.context(|| format!("the network {name} could not be looked at"))?;
    network
        .teardown()
        .await
        .context(|| format!("the network {name} could not be removed"))
        .advice("A restart of the machine removes it too.")
}
