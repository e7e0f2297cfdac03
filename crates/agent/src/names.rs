//! What a container knows of names: /etc/hostname, /etc/hosts and /etc/resolv.conf (ecs-semantics §5.5).
//! The texts are pure; [`HostNames::read`] and [`write`] touch files.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use model::NetworkMode;
use model::link::TaskSpec;

use crate::container;
use crate::driver::{BindMount, DriverError};

/// Every container's own machine, and the well-known multicast groups.
const LOCAL_HOSTS: &str = "127.0.0.1\tlocalhost\n\
    ::1\tlocalhost ip6-localhost ip6-loopback\n\
    fe00::0\tip6-localnet\n\
    ff00::0\tip6-mcastprefix\n\
    ff02::1\tip6-allnodes\n\
    ff02::2\tip6-allrouters\n";

/// The node's own names, for tasks in host mode and for what the task definition leaves open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostNames {
    pub hostname: String,
    pub hosts: String,
    pub resolv_conf: String,
}

impl HostNames {
    /// What cannot be read is empty.
    pub fn read() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        Self {
            hostname: read("/proc/sys/kernel/hostname").trim_end().to_owned(),
            hosts: read("/etc/hosts"),
            resolv_conf: read("/etc/resolv.conf"),
        }
    }
}

/// The three texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    pub hostname: String,
    pub hosts: String,
    pub resolv_conf: String,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("invalid IP address in add-host: \"{0}\"")]
    ExtraHost(String),
    #[error("{0} is not an ip address")]
    Server(String),
    #[error("invalid host name: {0:?}")]
    Name(String),
}

impl From<Error> for DriverError {
    fn from(error: Error) -> Self {
        DriverError::new("CannotCreateContainerError", error)
    }
}

/// The names of the spec's n-th container. `address` is what the network driver answered, `servers` its
/// `dns_servers`.
///
/// # Errors
/// When the task definition has an address or a name that is none.
pub fn names(
    spec: &TaskSpec,
    container: usize,
    address: Option<Ipv4Addr>,
    servers: &[IpAddr],
    host: &HostNames,
) -> Result<Names, Error> {
    let hostname = container::hostname(spec, container).unwrap_or_else(|| host.hostname.clone());
    check_name(&hostname)?;
    Ok(Names {
        hosts: hosts(spec, container, address, &hostname, host)?,
        resolv_conf: resolv_conf(spec, container, servers, host)?,
        hostname,
    })
}

fn hosts(
    spec: &TaskSpec,
    container: usize,
    address: Option<Ipv4Addr>,
    hostname: &str,
    host: &HostNames,
) -> Result<String, Error> {
    let mut text = match spec.network_mode {
        NetworkMode::Host => host.hosts.clone(),
        _ => LOCAL_HOSTS.to_owned(),
    };
    if !text.ends_with('\n') {
        text.push('\n');
    }
    if let Some(address) = address {
        let short = hostname.split_once('.').filter(|_| spec.interface.is_none());
        let short = short.map_or(String::new(), |(first, _)| format!(" {first}"));
        writeln!(text, "{address}\t{hostname}{short}").expect("writing to a string");
    }
    for (name, address) in spec.connect.iter().flat_map(|connect| &connect.hosts) {
        check_name(name)?;
        writeln!(text, "{address}\t{name}").expect("writing to a string");
    }
    for (name, address) in &spec.containers[container].definition.extra_hosts {
        let address: IpAddr = address.parse().map_err(|_| Error::ExtraHost(address.clone()))?;
        check_name(name)?;
        writeln!(text, "{address}\t{name}").expect("writing to a string");
    }
    Ok(text)
}

/// The definition's servers and search domains; what it leaves open is the network's: an awsvpc task searches the domain
/// of its own name, the others what the host does.
fn resolv_conf(spec: &TaskSpec, container: usize, servers: &[IpAddr], host: &HostNames) -> Result<String, Error> {
    let definition = &spec.containers[container].definition;
    let given = definition.dns_servers.iter().map(|text| text.parse().map_err(|_| Error::Server(text.clone())));
    let given: Vec<IpAddr> = given.collect::<Result<_, _>>()?;
    definition.dns_search_domains.iter().try_for_each(|domain| check_name(domain))?;
    let mut text = String::new();
    for server in if given.is_empty() { servers } else { &given } {
        writeln!(text, "nameserver {server}").expect("writing to a string");
    }
    let search = match &definition.dns_search_domains[..] {
        [] => match &spec.interface {
            Some(interface) => {
                interface.private_dns_name.split_once('.').map_or_else(String::new, |(_, domain)| domain.to_owned())
            }
            None => words_after(&host.resolv_conf, "search").join(" "),
        },
        domains => domains.join(" "),
    };
    // A lone dot says: search nothing.
    if !search.is_empty() && search != "." {
        writeln!(text, "search {search}").expect("writing to a string");
    }
    let options = words_after(&host.resolv_conf, "options").join(" ");
    if !options.is_empty() {
        writeln!(text, "options {options}").expect("writing to a string");
    }
    Ok(text)
}

/// The words of the last line that starts so, as resolvers read it.
fn words_after<'a>(text: &'a str, keyword: &str) -> Vec<&'a str> {
    let mut lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let last = lines.rfind(|words| words.first() == Some(&keyword));
    last.map_or(Vec::new(), |words| words[1..].to_vec())
}

/// A name goes into line-based files: it is one word, and visible.
fn check_name(name: &str) -> Result<(), Error> {
    let visible = name.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
    if name.is_empty() || !visible { Err(Error::Name(name.to_owned())) } else { Ok(()) }
}

/// Writes the texts of the n-th container below the task's directory and answers their mounts, except where one of
/// `mounts` already stands. As with docker, a read-only root makes them read-only too.
pub fn write(
    names: &Names,
    directory: &Path,
    container: usize,
    read_only: bool,
    mounts: &[BindMount],
) -> io::Result<Vec<BindMount>> {
    let directory = directory.join("names").join(container.to_string());
    fs::create_dir_all(&directory)?;
    let hostname = format!("{}\n", names.hostname);
    let mut made = Vec::new();
    for (name, text) in [("hostname", &hostname), ("hosts", &names.hosts), ("resolv.conf", &names.resolv_conf)] {
        let destination = format!("/etc/{name}");
        if mounts.iter().any(|mount| mount.destination == destination) {
            continue;
        }
        let source = directory.join(name);
        fs::write(&source, text)?;
        made.push(BindMount { source, destination, read_only, copy_up: false });
    }
    Ok(made)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn host() -> HostNames {
        HostNames {
            hostname: "node".into(),
            hosts: "127.0.0.1 localhost node".into(),
            resolv_conf: "search old\nnameserver 127.0.0.53\nsearch corp.example lan\noptions edns0\n".into(),
        }
    }

    fn spec(text: &str) -> TaskSpec {
        let defaults = serde_json::json!({
            "id": "00000000000000000000000000000001", "arn": "", "scope": {"account": "0", "region": "r"},
            "cluster": "", "cluster_arn": "", "family": "", "revision": 1, "launch_type": "Ec2", "group": "",
            "created_at": 0, "network_mode": "bridge",
            "containers": [{"id": "01234567-89ab-cdef-0123-456789abcdef", "arn": "", "definition": {
                "name": "c", "image": "", "essential": true
            }}],
        });
        let mut spec: TaskSpec = serde_json::from_value(defaults).unwrap();
        let overrides: serde_json::Value = serde_json::from_str(text).unwrap();
        let mut definition = serde_json::to_value(&spec.containers[0].definition).unwrap();
        definition.as_object_mut().unwrap().extend(overrides.as_object().unwrap().clone());
        spec.containers[0].definition = serde_json::from_value(definition).unwrap();
        spec
    }

    fn of(spec: &TaskSpec, address: Option<[u8; 4]>) -> Result<Names, Error> {
        names(spec, 0, address.map(Ipv4Addr::from), &["10.0.0.2".parse().unwrap()], &host())
    }

    #[test]
    fn a_bridge_container_is_named_by_its_id_and_asks_the_hosts_servers() {
        let names = of(&spec("{}"), Some([172, 30, 0, 5])).unwrap();
        assert_eq!(names.hostname, "0123456789ab");
        assert!(names.hosts.starts_with("127.0.0.1\tlocalhost\n"), "{}", names.hosts);
        assert!(names.hosts.ends_with("\n172.30.0.5\t0123456789ab\n"), "{}", names.hosts);
        assert_eq!(names.resolv_conf, "nameserver 10.0.0.2\nsearch corp.example lan\noptions edns0\n");
    }

    #[test]
    fn the_definitions_own_settings_go_first() {
        let spec = spec(
            r#"{"hostname": "web.example.com", "dns_servers": ["9.9.9.9", "1.1.1.1"], "dns_search_domains": ["a.b"],
                "extra_hosts": [["db", "10.1.2.3"], ["six", "fd00::1"]]}"#,
        );
        let names = of(&spec, Some([172, 30, 0, 5])).unwrap();
        assert_eq!(names.hostname, "web.example.com");
        let added = "\n172.30.0.5\tweb.example.com web\n10.1.2.3\tdb\nfd00::1\tsix\n";
        assert!(names.hosts.ends_with(added), "{}", names.hosts);
        assert_eq!(names.resolv_conf, "nameserver 9.9.9.9\nnameserver 1.1.1.1\nsearch a.b\noptions edns0\n");
    }

    #[test]
    fn an_awsvpc_task_has_its_interfaces_name() {
        let mut spec = spec(r#"{"dns_search_domains": ["."]}"#);
        spec.network_mode = NetworkMode::Awsvpc;
        spec.interface = Some(model::link::InterfaceSpec {
            attachment_id: String::new(),
            interface_id: String::new(),
            mac: String::new(),
            address: Ipv4Addr::new(172, 31, 0, 5),
            subnet_id: String::new(),
            subnet_prefix_length: 20,
            gateway: Ipv4Addr::new(172, 31, 0, 1),
            vpc_id: String::new(),
            own_network: false,
            private_dns_name: "ip-172-31-0-5.ec2.internal".into(),
            security_groups: Vec::new(),
        });
        let names = of(&spec, Some([172, 31, 0, 5])).unwrap();
        assert_eq!(names.hostname, "ip-172-31-0-5.ec2.internal");
        assert!(names.hosts.ends_with("\n172.31.0.5\tip-172-31-0-5.ec2.internal\n"), "{}", names.hosts);
        assert_eq!(names.resolv_conf, "nameserver 10.0.0.2\noptions edns0\n");
        Arc::make_mut(&mut spec.containers[0].definition).dns_search_domains.clear();
        let names = of(&spec, Some([172, 31, 0, 5])).unwrap();
        assert_eq!(names.resolv_conf, "nameserver 10.0.0.2\nsearch ec2.internal\noptions edns0\n");
    }

    #[test]
    fn host_mode_sees_the_hosts_names_and_none_mode_its_own() {
        let mut spec = spec(r#"{"extra_hosts": [["db", "10.1.2.3"]]}"#);
        spec.network_mode = NetworkMode::Host;
        let names = of(&spec, None).unwrap();
        assert_eq!((&names.hostname[..], &names.hosts[..]), ("node", "127.0.0.1 localhost node\n10.1.2.3\tdb\n"));
        spec.network_mode = NetworkMode::None;
        let names = of(&spec, None).unwrap();
        assert_eq!(names.hosts, format!("{LOCAL_HOSTS}10.1.2.3\tdb\n"));
    }

    #[test]
    fn what_a_task_can_call_by_service_connect_has_a_name() {
        let mut spec = spec(r#"{"extra_hosts": [["db", "10.1.2.3"]]}"#);
        let hosts =
            vec![("api.shop".into(), Ipv4Addr::new(127, 255, 0, 1)), ("db".into(), Ipv4Addr::new(127, 255, 0, 2))];
        spec.connect = Some(model::link::ConnectSpec { proxy_port: 15_001, hosts });
        let names = of(&spec, None).unwrap();
        assert!(names.hosts.ends_with("\n127.255.0.1\tapi.shop\n127.255.0.2\tdb\n10.1.2.3\tdb\n"), "{}", names.hosts);
    }

    #[test]
    fn what_is_no_address_or_no_name_is_refused() {
        let check = |text: &str, expected: &str| {
            assert_eq!(of(&spec(text), None).unwrap_err().to_string(), expected, "{text}");
        };
        check(r#"{"extra_hosts": [["db", "x"]]}"#, r#"invalid IP address in add-host: "x""#);
        check(r#"{"extra_hosts": [["a b", "10.1.2.3"]]}"#, r#"invalid host name: "a b""#);
        check(r#"{"dns_servers": ["dns.example"]}"#, "dns.example is not an ip address");
        check(r#"{"dns_search_domains": ["a\nnameserver 6.6.6.6"]}"#, r#"invalid host name: "a\nnameserver 6.6.6.6""#);
        check(r#"{"hostname": "a\nb"}"#, r#"invalid host name: "a\nb""#);
    }

    #[test]
    fn files_are_written_and_give_way_to_the_tasks_own_mounts() {
        let directory = tempfile::tempdir().unwrap();
        let names = of(&spec("{}"), None).unwrap();
        let own = BindMount {
            source: "/srv/hosts".into(),
            destination: "/etc/hosts".into(),
            read_only: false,
            copy_up: false,
        };
        for _ in 0..2 {
            let mounts = write(&names, directory.path(), 1, true, std::slice::from_ref(&own)).unwrap();
            let destinations: Vec<&str> = mounts.iter().map(|mount| &mount.destination[..]).collect();
            assert_eq!(destinations, ["/etc/hostname", "/etc/resolv.conf"]);
            assert_eq!(fs::read_to_string(&mounts[0].source).unwrap(), "0123456789ab\n");
            assert!(mounts.iter().all(|mount| mount.read_only));
        }
    }
}
