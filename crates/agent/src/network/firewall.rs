//! The node's nftables tables: address translation to the outside, published ports, what may be forwarded, what of the
//! machine tasks may reach, and which frames their links may send. Rules are static per instance; publishing a port adds
//! one element to a map, and security groups are chains and maps beside ([`wall`](super::wall)). Each change is one
//! atomic batch.
//!
//! ```text
//!  a task's frame ─ its own addresses? ─▶ to the machine ─▶ input: resolver, task endpoint │ load balancer ─┐
//!                                     └─▶ forwarded ─▶ departure: may the source ─▶ arrival: may the other ◀─┘
//!  a load balancer calls its target ─▶ sent ─▶ departure
//! ```
//!
//! Reading and writing text is pure; [`Nft`] runs the `nft` tool.
//!
//! Invariants
//! - The table is replaced whole at start, with the elements that it had, in one transaction.
//! - An element carries the endpoint that it belongs to, so what is published is known after a crash.
//! - Nothing from outside reaches a task but answers and published ports; tasks never reach the host's loopback, nor its
//!   other ports.
//! - Tasks hear nothing from one another but what passed the machine: frames go to the bridge's own MAC only.
//! - What is published on the machine's ports is open to tasks as to everybody else.
//! - The machine itself reaches every task: what it sends is filtered nowhere (docs/decisions/0018).

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use model::network::EndpointId;
use model::{Port, Protocol};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::timeout;

use super::bridge::TASK_ENDPOINT;
use super::resolver::{RESOLVER, RESOLVERS};
use super::wall::show_mac;
use super::{Config, Error, Result, kernel, namespace};

/// How long one run of `nft` may take; a few milliseconds are usual.
const RUN_LIMIT: Duration = Duration::from_secs(10);
/// Docker leaves this chain of its filter table to others, and calls it first.
const DOCKER_CHAIN: &str = "DOCKER-USER";
const FORWARD_CHAIN: &str = "FORWARD";

/// A host port that leads to a port of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Published {
    pub host: Port,
    pub endpoint: EndpointId,
    pub to: SocketAddrV4,
}

impl Published {
    fn element(&self) -> String {
        let Port { number, protocol } = self.host;
        let (address, port) = (self.to.ip(), self.to.port());
        format!("{} . {number} comment \"{}\" : {address} . {port}", protocol.as_str(), self.endpoint)
    }
}

/// The whole table, in place of the one that is there.
pub fn table(config: &Config, published: &[Published]) -> String {
    let bridge = &config.tag;
    let (containers, endpoint, dns) = (config.bridge_range, config.endpoint_address(), config.dns_address());
    let (endpoint_address, endpoint_port, dns_port) = (endpoint.ip(), endpoint.port(), dns.port());
    let resolvers = RESOLVERS.map(|address| address.to_string()).join(", ");
    let (transit, transit_range) = (config.transit_links(), config.transit_range);
    let ranges = config.ranges().chain([transit_range]);
    let ranges = ranges.map(|range| range.to_string()).collect::<Vec<_>>().join(", ");
    let elements = match published {
        [] => String::new(),
        some => format!("elements = {{ {} }}", join_elements(some)),
    };
    format!(
        r#"add table ip {bridge}
delete table ip {bridge}
table ip {bridge} {{
  map published {{
    type inet_proto . inet_service : ipv4_addr . inet_service
    {elements}
  }}
  set load_balancers {{
    type ipv4_addr
  }}
  map ingress {{
    type ipv4_addr : verdict
  }}
  map egress {{
    type ipv4_addr : verdict
  }}
  chain guard {{
    type filter hook prerouting priority raw
    iifname "{bridge}" ip daddr 127.0.0.0/8 drop
  }}
  chain prerouting {{
    type nat hook prerouting priority dstnat
    iifname "{bridge}" ip daddr {TASK_ENDPOINT} tcp dport 80 dnat to {endpoint}
    iifname "{bridge}" ip daddr {{ {resolvers} }} meta l4proto {{ tcp, udp }} th dport 53 dnat to {dns}
    iifname "{transit}*" ip daddr {transit_range} tcp dport {endpoint_port} dnat to {endpoint}
    iifname "{transit}*" ip daddr {transit_range} meta l4proto {{ tcp, udp }} th dport {dns_port} dnat to {dns}
    ip daddr @load_balancers accept
    fib daddr type local dnat to meta l4proto . th dport map @published
  }}
  chain output {{
    type nat hook output priority -100
    ip daddr {TASK_ENDPOINT} tcp dport 80 dnat to {endpoint}
    ip daddr {RESOLVER} meta l4proto {{ tcp, udp }} th dport 53 dnat to {dns}
    ip daddr @load_balancers accept
    fib daddr type local dnat to meta l4proto . th dport map @published
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat
    ip saddr 127.0.0.0/8 oifname "{bridge}" masquerade
    ip saddr {{ {ranges} }} oifname "{bridge}" ct status dnat masquerade
    ip saddr {{ {ranges} }} oifname != {{ "{bridge}", "lo" }} masquerade
  }}
  chain input {{
    type filter hook input priority filter
    ct state established,related accept
    iifname "lo" accept
    iifname "{transit}*" goto services
    iifname != "{bridge}" ip daddr @load_balancers ip daddr vmap @ingress
    iifname != "{bridge}" accept
    ip daddr @load_balancers goto departure
    goto services
  }}
  chain services {{
    ip daddr {endpoint_address} tcp dport {endpoint_port} accept
    ip daddr {endpoint_address} meta l4proto {{ tcp, udp }} th dport {dns_port} accept
    drop
  }}
  chain sent {{
    type filter hook output priority filter
    oifname "{bridge}" icmp type redirect drop
    ct state established,related accept
    oifname "{bridge}" ip saddr @load_balancers goto departure
  }}
  chain forward {{
    type filter hook forward priority filter
    ct state established,related accept
    oifname "{transit}*" drop
    iifname != "{bridge}" oifname != "{bridge}" accept
    iifname != "{bridge}" ct status dnat accept
    iifname != "{bridge}" drop
    goto departure
  }}
  chain departure {{
    ip saddr {containers} goto arrival
    ip saddr vmap @egress
    drop
  }}
  chain arrival {{
    ip daddr vmap @ingress
    ip saddr {containers} ip daddr {containers} accept
    ip daddr {containers} ct status dnat accept
    oifname "{bridge}" drop
    fib daddr type local drop
    ip daddr 169.254.0.0/16 drop
    accept
  }}
}}
"#
    ) + &bridge_table(bridge)
}

/// The tables of a VPC of the caller's own, in its namespace. `host` is the host's end of the link between them, by which
/// everything leaves that a route leads out.
pub fn vpc_table(config: &Config, host: Ipv4Addr, resolvers: &[Ipv4Addr]) -> String {
    let (bridge, uplink) = (&config.tag, super::vpc::UPLINK);
    let (endpoint_port, dns_port) = (config.endpoint_port, config.dns_port);
    let resolvers = resolvers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    format!(
        r#"add table ip {bridge}
delete table ip {bridge}
table ip {bridge} {{
  set load_balancers {{
    type ipv4_addr
  }}
  map ingress {{
    type ipv4_addr : verdict
  }}
  map egress {{
    type ipv4_addr : verdict
  }}
  chain guard {{
    type filter hook prerouting priority raw
    iifname "{bridge}" ip daddr 127.0.0.0/8 drop
  }}
  chain prerouting {{
    type nat hook prerouting priority dstnat
    iifname "{bridge}" ip daddr {TASK_ENDPOINT} tcp dport 80 dnat to {host}:{endpoint_port}
    iifname "{bridge}" ip daddr {{ {resolvers} }} meta l4proto {{ tcp, udp }} th dport 53 dnat to {host}:{dns_port}
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat
    oifname "{uplink}" masquerade
  }}
  chain input {{
    type filter hook input priority filter
    ct state established,related accept
    iifname "lo" accept
    drop
  }}
  chain sent {{
    type filter hook output priority filter
    oifname "{bridge}" icmp type redirect drop
  }}
  chain forward {{
    type filter hook forward priority filter
    iifname "{bridge}" ct status dnat accept
    iifname "{bridge}" oifname "{uplink}" jump leaving
    ct state established,related accept
    iifname != "{bridge}" drop
    goto departure
  }}
  chain leaving {{
    drop
  }}
  chain departure {{
    ip saddr vmap @egress
    drop
  }}
  chain arrival {{
    ip daddr vmap @ingress
    oifname "{bridge}" drop
    fib daddr type local drop
    ip daddr 169.254.0.0/16 drop
    accept
  }}
}}
"#
    ) + &bridge_table(bridge)
}

/// What the links of tasks may send.
fn bridge_table(bridge: &str) -> String {
    let bridge_mac = show_mac(super::bridge::mac(bridge));
    format!(
        r#"add table bridge {bridge}
delete table bridge {bridge}
table bridge {bridge} {{
  set ports {{
    type ifname
  }}
  set sources {{
    type ifname . ether_addr . ipv4_addr
  }}
  chain prerouting {{
    type filter hook prerouting priority dstnat
    iifname @ports goto check
  }}
  chain check {{
    ether daddr {bridge_mac} iifname . ether saddr . ip saddr @sources accept
    iifname . ether saddr . arp saddr ip @sources iifname . arp saddr ether . arp saddr ip @sources accept
    drop
  }}
}}
"#
    )
}

/// No error when some are there already with the same target.
pub fn publish(tag: &str, published: &[Published]) -> String {
    format!("add element ip {tag} published {{ {} }}\n", join_elements(published))
}

/// No error when some are gone: they are added first.
pub fn withdraw(tag: &str, published: &[Published]) -> String {
    format!("{}delete element ip {tag} published {{ {} }}\n", publish(tag, published), join_elements(published))
}

/// Published ports are not those of load balancers' addresses: exactly these, whatever was held before.
pub fn hold(tag: &str, addresses: &BTreeSet<Ipv4Addr>) -> String {
    let flush = format!("flush set ip {tag} load_balancers\n");
    if addresses.is_empty() {
        return flush;
    }
    let elements = addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    format!("{flush}add element ip {tag} load_balancers {{ {elements} }}\n")
}

/// No error when it is gone.
pub fn remove_table(tag: &str) -> String {
    ["ip", "bridge"].map(|family| format!("add table {family} {tag}\ndelete table {family} {tag}\n")).concat()
}

fn join_elements(published: &[Published]) -> String {
    published.iter().map(Published::element).collect::<Vec<_>>().join(", ")
}

/// What `nft -j list map` shows. Elements that are not as [`publish`] writes them are not ours, and left out.
pub fn parse_published(listing: &Value) -> Vec<Published> {
    let objects = listing["nftables"].as_array().into_iter().flatten();
    let elements = objects.filter_map(|object| object["map"]["elem"].as_array()).flatten();
    elements.filter_map(parse_element).collect()
}

fn parse_element(element: &Value) -> Option<Published> {
    let key = &element[0]["elem"];
    let protocol = match key["val"]["concat"][0].as_str()? {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        _ => return None,
    };
    let host = Port { number: port(&key["val"]["concat"][1])?, protocol };
    let address: Ipv4Addr = element[1]["concat"][0].as_str()?.parse().ok()?;
    let to = SocketAddrV4::new(address, port(&element[1]["concat"][1])?);
    Some(Published { host, endpoint: key["comment"].as_str()?.parse().ok()?, to })
}

fn port(value: &Value) -> Option<u16> {
    value.as_u64()?.try_into().ok()
}

/// The chain of the iptables filter table that has to let our traffic pass: a `drop` policy there is final whatever
/// our own chains say. `None`: nothing stands in the way.
pub fn foreign_chain(chains: &Value) -> Option<&'static str> {
    let chains = || chains["nftables"].as_array().into_iter().flatten().map(|object| &object["chain"]);
    let mut filter = chains().filter(|chain| chain["family"] == "ip" && chain["table"] == "filter");
    if filter.any(|chain| chain["name"] == DOCKER_CHAIN) {
        return Some(DOCKER_CHAIN);
    }
    let drops = |chain: &Value| chain["hook"] == "forward" && chain["policy"] == "drop";
    let mut filter = chains().filter(|chain| chain["family"] == "ip" && chain["table"] == "filter");
    filter.any(|chain| chain["name"] == FORWARD_CHAIN && drops(chain)).then_some(FORWARD_CHAIN)
}

/// The handles of our rules in a foreign chain: those that name our links.
pub fn foreign_handles(listing: &Value, links: &[String]) -> Vec<u64> {
    let rules = listing["nftables"].as_array().into_iter().flatten().map(|object| &object["rule"]);
    let ours = rules.filter(|rule| {
        let matches = rule["expr"].as_array().into_iter().flatten().map(|expression| &expression["match"]);
        matches
            .into_iter()
            .any(|part| part["left"]["meta"]["key"].is_string() && links.iter().any(|link| part["right"] == *link))
    });
    ours.filter_map(|rule| rule["handle"].as_u64()).collect()
}

/// What passes our own forward chain passes the foreign one.
pub fn pass_foreign(links: &[String], chain: &str) -> String {
    let rules = links.iter().map(|link| {
        format!(
            "insert rule ip filter {chain} iifname \"{link}\" counter accept\n\
             insert rule ip filter {chain} oifname \"{link}\" counter accept\n"
        )
    });
    rules.collect()
}

pub fn unpass_foreign(chain: &str, handles: &[u64]) -> String {
    handles.iter().fold(String::new(), |mut script, handle| {
        writeln!(script, "delete rule ip filter {chain} handle {handle}").expect("writing to a string");
        script
    })
}

/// The `nft` tool. One batch is one transaction: all of it takes effect, or none.
#[derive(Clone, Debug, Default)]
pub struct Nft {
    /// Where its rules are; `None`: in the namespace of the thread that runs it.
    namespace: Option<PathBuf>,
}

impl Nft {
    pub fn here() -> Self {
        Self::default()
    }

    /// In the namespace that is kept at `path`.
    pub fn within(path: PathBuf) -> Self {
        Self { namespace: Some(path) }
    }

    pub async fn apply(&self, script: &str) -> Result<()> {
        let Some(path) = self.namespace.clone() else { return Self::here().run(&["-f", "-"], script).await.map(drop) };
        let script = script.to_owned();
        super::on_thread(move || {
            namespace::enter(&path).map_err(kernel("enter a VPC's network namespace"))?;
            Self::apply_blocking(&script)
        })
        .await
    }

    /// In the calling thread's namespace, where the tool is started by this thread.
    pub fn apply_blocking(script: &str) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_err(kernel("start a thread"))?.block_on(Self::here().run(&["-f", "-"], script)).map(drop)
    }

    /// `None`: there is no such object.
    pub async fn list(&self, what: &[&str]) -> Result<Option<Value>> {
        let arguments = [&["-j", "list"], what].concat();
        match self.run(&arguments, "").await {
            Ok(output) => serde_json::from_slice(&output).map(Some).map_err(|error| Error::Nft(error.to_string())),
            Err(Error::Nft(message)) if message.contains("No such file or directory") => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn run(&self, arguments: &[&str], input: &str) -> Result<Vec<u8>> {
        let mut command = Command::new("nft");
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| Error::Nft(format!("cannot run nft: {error}")))?;
        let mut stdin = child.stdin.take().expect("piped");
        let talk = async {
            stdin.write_all(input.as_bytes()).await?;
            drop(stdin);
            child.wait_with_output().await
        };
        let output = timeout(RUN_LIMIT, talk).await.map_err(|_| Error::Nft("nft did not end in time".into()))?;
        let output = output.map_err(|error| Error::Nft(error.to_string()))?;
        if !output.status.success() {
            return Err(Error::Nft(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
        }
        Ok(output.stdout)
    }
}

#[cfg(test)]
mod tests {
    use model::TaskId;
    use serde_json::json;

    use super::*;

    fn published() -> Published {
        Published {
            host: Port { number: 8080, protocol: Protocol::Tcp },
            endpoint: EndpointId { task: TaskId(0xabc), container: Some(1) },
            to: SocketAddrV4::new(Ipv4Addr::new(172, 30, 0, 5), 80),
        }
    }

    #[test]
    fn elements_are_read_back_and_strange_ones_left_out() {
        let element = |comment: &str, protocol: &str| {
            json!([
                {"elem": {"val": {"concat": [protocol, 8080]}, "comment": comment}},
                {"concat": ["172.30.0.5", 80]},
            ])
        };
        let ours = element("00000000000000000000000000000abc-1", "tcp");
        let elements = json!([ours, element("theirs", "tcp"), element("00000000000000000000000000000abc-1", "sctp")]);
        let listing = json!({"nftables": [{"metainfo": {}}, {"map": {"elem": elements}}]});
        assert_eq!(parse_published(&listing), [published()]);
        assert_eq!(parse_published(&json!({"nftables": [{"map": {"name": "published"}}]})), []);
    }

    #[test]
    fn the_foreign_chain_is_the_one_that_is_asked_first() {
        let chain = |name: &str, policy: &str| json!({"chain": {"family": "ip", "table": "filter", "name": name, "hook": "forward", "policy": policy}});
        let check = |chains: Vec<Value>, expected: Option<&str>| {
            assert_eq!(foreign_chain(&json!({"nftables": chains})), expected);
        };
        check(vec![], None);
        check(vec![chain("FORWARD", "accept")], None);
        check(vec![chain("FORWARD", "drop")], Some("FORWARD"));
        check(vec![chain("FORWARD", "drop"), chain("DOCKER-USER", "")], Some("DOCKER-USER"));
    }

    #[test]
    fn our_rules_in_a_foreign_chain_are_those_that_name_our_bridge() {
        let rule = |handle: u64, key: &str, name: &str| {
            json!({"rule": {"handle": handle, "expr": [
                {"match": {"op": "==", "left": {"meta": {"key": key}}, "right": name}}, {"accept": null}
            ]}})
        };
        let rules = [rule(4, "iifname", "gantry0"), rule(5, "oifname", "gantry0"), rule(6, "iifname", "docker0")];
        assert_eq!(foreign_handles(&json!({"nftables": rules}), &["gantry0".to_owned()]), [4, 5]);
    }
}
