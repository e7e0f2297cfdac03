//! What the tasks of a deployment with Service Connect know of, and when one of them is called (ecs-semantics §3.8).
//! Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use model::service_connect::{
    ConnectEndpoint, ConnectService, ENDPOINTS_MAX, HTTP_IDLE_SECONDS, PROXY_PORT, REQUEST_SECONDS, VIRTUAL_NETWORK,
};
use model::{ContainerDefinition, ServiceConnect, TaskDefinition};

/// How long a task that is not known to be healthy is not called, at most.
pub const HELD_MAX: Duration = Duration::from_secs(480);
/// How long what is under way to a task that is to stop is waited for: requests up to their own limit and this, bytes of
/// TCP not at all, only until the data path knows.
const DRAIN_MAX_SECONDS: u32 = 120;
const DRAIN_TCP_SECONDS: u32 = 5;

const _: () = assert!(REQUEST_SECONDS < DRAIN_MAX_SECONDS && DRAIN_MAX_SECONDS < HTTP_IDLE_SECONDS);

/// What services of a namespace offer to call: those that have an alias, each name and port once. Names get addresses in
/// their order. The offers come in the order in which they count.
pub fn endpoints<'a>(namespace: &str, offers: impl Iterator<Item = &'a ConnectService>) -> Vec<ConnectEndpoint> {
    let mut by_place: BTreeMap<(String, u16), &str> = BTreeMap::new();
    for service in offers {
        let Some(alias) = &service.alias else { continue };
        by_place.entry((dns_name(namespace, service), alias.port)).or_insert(&service.registry);
    }
    let names: BTreeSet<String> = by_place.keys().map(|(name, _)| name.clone()).collect();
    let addresses: BTreeMap<&String, Ipv4Addr> =
        names.iter().zip(1..).map(|(name, n)| (name, virtual_address(n))).collect();
    let endpoint = |((name, port), registry): (&(String, u16), &&str)| ConnectEndpoint {
        address: addresses[name],
        name: name.clone(),
        port: *port,
        registry: (*registry).to_owned(),
    };
    by_place.iter().take(ENDPOINTS_MAX).map(endpoint).collect()
}

/// What clients call the service.
pub fn dns_name(namespace: &str, service: &ConnectService) -> String {
    let given = service.alias.as_ref().and_then(|alias| alias.dns_name.clone());
    given.unwrap_or_else(|| format!("{}.{namespace}", service.discovery_name()))
}

fn virtual_address(number: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(VIRTUAL_NETWORK) + number)
}

/// The lines that /etc/hosts gets.
pub fn hosts(connect: &ServiceConnect) -> Vec<(String, Ipv4Addr)> {
    let hosts: BTreeSet<(Ipv4Addr, &String)> =
        connect.endpoints.iter().map(|endpoint| (endpoint.address, &endpoint.name)).collect();
    hosts.into_iter().map(|(address, name)| (name.clone(), address)).collect()
}

/// A port that no container of the definition has said it listens on.
pub fn proxy_port(definition: &TaskDefinition) -> u16 {
    let mappings = || definition.containers.iter().flat_map(|container| &container.port_mappings);
    let is_taken = |port: &u16| mappings().any(|mapping| mapping.container_port == *port);
    (PROXY_PORT..).find(|port| !is_taken(port)).unwrap_or(PROXY_PORT)
}

/// How long a task is not called whose health is not known: as long as its health checks take to say it.
pub fn hold_seconds<'a>(containers: impl Iterator<Item = &'a ContainerDefinition>) -> u32 {
    let checks =
        containers.filter(|container| container.essential).filter_map(|container| container.health_check.as_ref());
    let longest = checks.map(|check| {
        let tries = check.interval.saturating_add(check.timeout).saturating_mul(check.retries.max(1));
        check.start_period.unwrap_or(0).saturating_add(tries)
    });
    let most = u32::try_from(HELD_MAX.as_secs()).unwrap_or(u32::MAX);
    longest.max().unwrap_or(0).min(most)
}

/// How long a task that was taken out may yet be called, at most.
pub fn drain_seconds(service: &ConnectService) -> u32 {
    match (service.protocol.has_requests(), service.request_seconds()) {
        (false, _) => DRAIN_TCP_SECONDS,
        (true, 0) => DRAIN_MAX_SECONDS,
        (true, seconds) => seconds.min(DRAIN_MAX_SECONDS),
    }
}

#[cfg(test)]
mod tests {
    use model::service_connect::{ClientAlias, ConnectProtocol};

    use super::*;

    fn service(name: &str, alias: Option<(u16, Option<&str>)>) -> ConnectService {
        ConnectService {
            port_name: name.to_owned(),
            discovery_name: None,
            alias: alias.map(|(port, name)| ClientAlias { port, dns_name: name.map(str::to_owned) }),
            idle_timeout_seconds: None,
            request_timeout_seconds: None,
            container: "app".to_owned(),
            container_port: 8080,
            protocol: ConnectProtocol::Http,
            registry: format!("arn:{name}"),
        }
    }

    #[test]
    fn each_name_has_an_address_and_each_port_of_it_leads_somewhere() {
        let offers = [
            service("web", Some((80, Some("web")))),
            service("admin", Some((9000, Some("web")))),
            service("api", Some((80, None))),
            service("late", Some((80, Some("web")))),
            service("hidden", None),
        ];
        let all: Vec<_> = endpoints("shop", offers.iter())
            .into_iter()
            .map(|endpoint| (endpoint.name, endpoint.address.octets()[3], endpoint.port, endpoint.registry))
            .collect();
        let row = |name: &str, number, port, registry: &str| (name.to_owned(), number, port, registry.to_owned());
        let expected =
            [row("api.shop", 1, 80, "arn:api"), row("web", 2, 80, "arn:web"), row("web", 2, 9000, "arn:admin")];
        assert_eq!(all, expected);
    }

    #[test]
    fn draining_takes_as_long_as_a_request_may() {
        let check = |protocol, request_timeout_seconds, expected| {
            let service = ConnectService { protocol, request_timeout_seconds, ..service("web", None) };
            assert_eq!(drain_seconds(&service), expected, "{protocol:?} {request_timeout_seconds:?}");
        };
        check(ConnectProtocol::Http, None, 15);
        check(ConnectProtocol::Grpc, Some(60), 60);
        check(ConnectProtocol::Http2, Some(3000), 120);
        check(ConnectProtocol::Http, Some(0), 120);
        check(ConnectProtocol::Tcp, None, 5);
    }

    #[test]
    fn a_task_is_held_for_as_long_as_its_checks_take() {
        let container = |essential, check: Option<(u32, u32, u32, Option<u32>)>| ContainerDefinition {
            essential,
            health_check: check.map(|(interval, timeout, retries, start_period)| model::task_definition::HealthCheck {
                command: vec!["CMD".to_owned()],
                interval,
                timeout,
                retries,
                start_period,
            }),
            ..ContainerDefinition::default()
        };
        let check = |containers: &[ContainerDefinition], expected| {
            assert_eq!(hold_seconds(containers.iter()), expected, "{containers:?}");
        };
        check(&[container(true, None)], 0);
        check(&[container(true, Some((30, 5, 3, None)))], 105);
        check(&[container(true, Some((5, 5, 2, Some(10)))), container(true, Some((5, 5, 1, None)))], 30);
        check(&[container(false, Some((30, 5, 3, None)))], 0);
        check(&[container(true, Some((300, 60, 10, Some(300))))], 480);
    }
}
