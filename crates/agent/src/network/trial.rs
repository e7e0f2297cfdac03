//! Whether this machine can have the node's network at all: made for a trial, in a namespace that ends with its thread.
//! Nothing of it is ever seen outside.

use std::os::fd::AsFd;

use super::netlink::{Netlink, VethPair};
use super::{Config, Nft, Result, bridge, firewall, kernel, namespace};

/// Makes all kinds of thing that a node and its tasks need, and looks whether their addresses are free.
///
/// # Errors
/// Names the first thing that cannot be had.
///
/// # Panics
/// If the trial itself does.
pub fn run(config: Config) -> Result<()> {
    let thread = std::thread::Builder::new().name("network".into());
    let trial = thread.spawn(move || attempt(&config)).map_err(kernel("start a thread"))?;
    trial.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn attempt(config: &Config) -> Result<()> {
    config.check()?;
    let mut host = Netlink::open().map_err(kernel("open a netlink socket"))?;
    bridge::find_neighbours(&mut host, config)?;
    namespace::enter_new().map_err(kernel("make a network namespace"))?;
    bridge::ensure(config)?;
    make_links()?;
    Nft::apply_blocking(&firewall::table(config, &[]))
}

fn make_links() -> Result<()> {
    let here = namespace::current().map_err(kernel("open a network namespace"))?;
    let pair = VethPair {
        name: "trial0",
        mac: [0x02, 0, 0, 0, 0, 1],
        peer_name: "trial1",
        peer_mac: [0x02, 0, 0, 0, 0, 2],
        peer_namespace: here.as_fd(),
        mtu: 1500,
    };
    let mut netlink = Netlink::open().map_err(kernel("open a netlink socket"))?;
    netlink.create_veth(&pair).map_err(kernel("make a pair of links"))
}
