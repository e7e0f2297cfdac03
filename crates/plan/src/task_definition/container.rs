//! The rules on one container's own fields (ecs-semantics §2.3, §2.5).

use std::net::IpAddr;
use std::ops::RangeInclusive;

use model::task_definition::{HealthCheck, Ulimit};
use model::{ContainerDefinition, NetworkMode};

use super::{NAME_LENGTH_MAX, Verdict, is_name, linux, logging, refuse};

const INTERVAL_SECONDS: RangeInclusive<u32> = 5..=300;
const TIMEOUT_SECONDS: RangeInclusive<u32> = 2..=60;
const RETRIES: RangeInclusive<u32> = 1..=10;
const START_PERIOD_SECONDS: RangeInclusive<u32> = 0..=300;
const DIGEST_HEX_LENGTH: usize = 64;
const HOST_NAME_LENGTH_MAX: usize = 253;

/// As `ulimits[].name` may have them.
pub(super) const ULIMIT_NAMES: [&str; 15] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

pub(super) fn check(container: &ContainerDefinition, mode: NetworkMode) -> Verdict {
    check_name(&container.name)?;
    check_image(&container.image)?;
    check_hosts(container, mode)?;
    for (name, _) in &container.environment {
        if name.is_empty() || name.contains(['=', '\0']) {
            return refuse(format!("Invalid environment variable name '{name}' for container '{}'.", container.name));
        }
    }
    if let Some(path) = &container.working_directory
        && !path.starts_with('/')
    {
        return refuse(format!(
            "Invalid 'workingDirectory' setting for container '{}'. It must be an absolute path.",
            container.name
        ));
    }
    container.ulimits.iter().try_for_each(|ulimit| check_ulimit(container, ulimit))?;
    container.health_check.iter().try_for_each(|health| check_health_check(container, health))?;
    container.log_configuration.iter().try_for_each(logging::check)?;
    linux::check_system_controls(container, mode)?;
    container.linux_parameters.iter().try_for_each(|parameters| linux::check(container, parameters))
}

fn check_name(name: &str) -> Verdict {
    if name.is_empty() {
        return refuse("Container.name should not be null or empty.");
    }
    if name.len() > NAME_LENGTH_MAX {
        return refuse("Container.name length must be between 1 and 255 characters.");
    }
    if !is_name(name) {
        return refuse("Container.name contains invalid characters.");
    }
    Ok(())
}

/// `repository[:tag]` of at most 255 characters, with or without a digest, which does not count.
fn check_image(image: &str) -> Verdict {
    if image.is_empty() {
        return refuse("Container.image should not be null or empty.");
    }
    let (repository, digest) = match image.split_once('@') {
        Some((repository, digest)) => (repository, Some(digest)),
        None => (image, None),
    };
    let is_allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_:./#".contains(&b);
    if !repository.bytes().all(is_allowed) || digest.is_some_and(|digest| !is_digest(digest)) {
        return refuse("Container.image contains invalid characters.");
    }
    if !(1..=NAME_LENGTH_MAX).contains(&repository.len()) {
        return refuse("Container.image repository length must be between 1 and 255 characters");
    }
    Ok(())
}

fn is_digest(text: &str) -> bool {
    let is_hex = |hex: &str| hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    text.strip_prefix("sha256:").is_some_and(|hex| hex.len() == DIGEST_HEX_LENGTH && is_hex(hex))
}

/// Under awsvpc the interface names the host. All of it ends up in files that are read line by line and word by word.
fn check_hosts(container: &ContainerDefinition, mode: NetworkMode) -> Verdict {
    let name = &container.name;
    if mode == NetworkMode::Awsvpc && container.hostname.is_some() {
        return refuse("When networkMode=awsvpc, 'hostname' is not supported on a container.");
    }
    if mode == NetworkMode::Awsvpc && !container.extra_hosts.is_empty() {
        return refuse("When networkMode=awsvpc, 'extraHosts' is not supported on a container.");
    }
    if let Some(hostname) = container.hostname.iter().find(|hostname| !is_host_name(hostname)) {
        return refuse(format!("Invalid hostname '{hostname}' for container '{name}'."));
    }
    let mut addresses = container.extra_hosts.iter().map(|(_, address)| address).chain(&container.dns_servers);
    if let Some(address) = addresses.find(|address| address.parse::<IpAddr>().is_err()) {
        return refuse(format!("Invalid IP address '{address}' for container '{name}'."));
    }
    let mut names = container.extra_hosts.iter().map(|(host, _)| host).chain(&container.dns_search_domains);
    match names.find(|host| !is_host_name(host)) {
        Some(host) => refuse(format!("Invalid host name '{host}' for container '{name}'.")),
        None => Ok(()),
    }
}

/// Loose on purpose: underscores and trailing dots occur in the field.
fn is_host_name(text: &str) -> bool {
    (1..=HOST_NAME_LENGTH_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

fn check_ulimit(container: &ContainerDefinition, ulimit: &Ulimit) -> Verdict {
    let Ulimit { name, soft_limit, hard_limit } = ulimit;
    if !ULIMIT_NAMES.contains(&name.as_str()) {
        return refuse(format!("Invalid ulimit name '{name}' for container '{}'.", container.name));
    }
    if *hard_limit != UNLIMITED && (*soft_limit == UNLIMITED || soft_limit > hard_limit) {
        return refuse(format!(
            "Invalid ulimit '{name}' for container '{}'. The soft limit cannot be greater than the hard limit.",
            container.name
        ));
    }
    if *soft_limit < UNLIMITED || *hard_limit < UNLIMITED {
        return refuse(format!(
            "Invalid ulimit '{name}' for container '{}'. A limit cannot be negative.",
            container.name
        ));
    }
    if container.ulimits.iter().filter(|other| other.name == *name).count() > 1 {
        return refuse(format!(
            "Invalid ulimit '{name}' for container '{}'. It is set more than once.",
            container.name
        ));
    }
    Ok(())
}

/// How docker spells no limit.
const UNLIMITED: i64 = -1;

fn check_health_check(container: &ContainerDefinition, health: &HealthCheck) -> Verdict {
    let name = &container.name;
    let command: Vec<&str> = health.command.iter().map(String::as_str).collect();
    match command[..] {
        [] | ["CMD"] | ["CMD-SHELL"] => {
            return refuse(format!("Invalid 'healthCheck' setting for container '{name}'. It has no command."));
        }
        ["NONE", ..] => {
            return refuse(format!("Invalid 'healthCheck' setting for container '{name}'. 'NONE' is not supported."));
        }
        _ => {}
    }
    let ranges = [
        ("interval", Some(health.interval), INTERVAL_SECONDS),
        ("timeout", Some(health.timeout), TIMEOUT_SECONDS),
        ("retries", Some(health.retries), RETRIES),
        ("startPeriod", health.start_period, START_PERIOD_SECONDS),
    ];
    for (field, value, range) in ranges {
        if value.is_some_and(|value| !range.contains(&value)) {
            return refuse(format!(
                "Invalid 'healthCheck' setting for container '{name}'. '{field}' must be between {} and {}.",
                range.start(),
                range.end()
            ));
        }
    }
    Ok(())
}
