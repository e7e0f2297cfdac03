//! What tasks there are: an image, which says how its container behaves on a simulated machine, and a network.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use agent::driver::DriverError;
use agent::simulated::Behaviour;
use model::network::Vpc;
use wire::ecs;

use crate::plane::scope;

/// Every task takes as much, and a machine holds eight.
pub const TASK_CPU: u32 = 256;
pub const TASK_MEMORY: u32 = 512;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Image {
    /// Runs until it is told to stop.
    Steady,
    /// Ignores the stop signal.
    Deaf,
    /// Takes seconds for everything.
    Slow,
    /// Has a health check, which succeeds.
    Checked,
    /// Its health check fails after a while.
    Sick,
    /// Ends well after a while.
    Brief,
    /// Ends badly soon after its start.
    Failing,
    /// Is killed for want of memory.
    Greedy,
    /// Cannot be pulled.
    Absent,
    /// Cannot be started.
    Broken,
}

/// What becomes of a task in the end when nobody stops it and nothing goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nature {
    Lasting,
    Passing,
    NeverRuns,
}

impl Image {
    pub const ALL: [Self; 10] = [
        Self::Steady,
        Self::Deaf,
        Self::Slow,
        Self::Checked,
        Self::Sick,
        Self::Brief,
        Self::Failing,
        Self::Greedy,
        Self::Absent,
        Self::Broken,
    ];

    pub fn nature(self) -> Nature {
        match self {
            Self::Steady | Self::Deaf | Self::Slow | Self::Checked => Nature::Lasting,
            Self::Sick | Self::Brief | Self::Failing | Self::Greedy => Nature::Passing,
            Self::Absent | Self::Broken => Nature::NeverRuns,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::Deaf => "deaf",
            Self::Slow => "slow",
            Self::Checked => "checked",
            Self::Sick => "sick",
            Self::Brief => "brief",
            Self::Failing => "failing",
            Self::Greedy => "greedy",
            Self::Absent => "absent",
            Self::Broken => "broken",
        }
    }

    /// Load balancers, while it runs.
    pub fn answers(self) -> bool {
        self != Self::Sick
    }

    fn is_checked(self) -> bool {
        matches!(self, Self::Checked | Self::Sick)
    }

    fn behaviour(self) -> Behaviour {
        let usual = Behaviour { latency: Duration::from_millis(5), ..Behaviour::default() };
        let ends = |seconds, code| Some((Duration::from_secs(seconds), code));
        match self {
            Self::Steady | Self::Checked => usual,
            Self::Deaf => Behaviour { stop: None, ..usual },
            Self::Slow => Behaviour {
                latency: Duration::from_secs(2),
                stop: Some((Duration::from_secs(9), 143)),
                ..Behaviour::default()
            },
            Self::Sick => Behaviour { checks: vec![0, 0, 0, 1], ..usual },
            Self::Brief => Behaviour { exit: ends(45, 0), ..usual },
            Self::Failing => Behaviour { exit: ends(8, 1), ..usual },
            Self::Greedy => Behaviour { exit: ends(60, 137), out_of_memory: true, ..usual },
            Self::Absent => {
                let error = DriverError::new("CannotPullContainerError", "no such image");
                Behaviour { pull_error: Some(error), ..usual }
            }
            Self::Broken => {
                let error = DriverError::new("CannotStartContainerError", "no such command");
                Behaviour { start_error: Some(error), ..usual }
            }
        }
    }
}

/// For the machines.
pub fn behaviours() -> BTreeMap<String, Behaviour> {
    Image::ALL.map(|image| (image.name().to_owned(), image.behaviour())).into()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Network {
    Fargate,
    /// awsvpc on a container instance.
    Awsvpc,
    /// Published on this port of the host; 0: on a port that the node chooses.
    Bridge(u16),
    Host(u16),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shape {
    pub image: Image,
    pub network: Network,
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.image.name())?;
        match self.network {
            Network::Fargate => f.write_str("-fargate"),
            Network::Awsvpc => f.write_str("-awsvpc"),
            Network::Bridge(port) => write!(f, "-bridge-{port}"),
            Network::Host(port) => write!(f, "-host-{port}"),
        }
    }
}

impl Shape {
    pub fn family(self) -> String {
        self.to_string()
    }

    pub fn launch_type(self) -> ecs::LaunchType {
        match self.network {
            Network::Fargate => ecs::LaunchType::Fargate,
            _ => ecs::LaunchType::Ec2,
        }
    }

    /// Of its tasks and services: awsvpc tasks name subnets, others must not.
    pub fn network_configuration(self) -> Option<ecs::NetworkConfiguration> {
        matches!(self.network, Network::Fargate | Network::Awsvpc).then(|| {
            let subnets = Vpc::default_of(&scope()).subnets.iter().map(|subnet| subnet.id.clone()).collect();
            let awsvpc = ecs::AwsVpcConfiguration { subnets, ..Default::default() };
            ecs::NetworkConfiguration { awsvpc_configuration: Some(awsvpc) }
        })
    }

    pub fn definition(self) -> ecs::RegisterTaskDefinitionRequest {
        let (mode, compatibility) = match self.network {
            Network::Fargate => (ecs::NetworkMode::Awsvpc, ecs::Compatibility::Fargate),
            Network::Awsvpc => (ecs::NetworkMode::Awsvpc, ecs::Compatibility::Ec2),
            Network::Bridge(_) => (ecs::NetworkMode::Bridge, ecs::Compatibility::Ec2),
            Network::Host(_) => (ecs::NetworkMode::Host, ecs::Compatibility::Ec2),
        };
        let port = match self.network {
            Network::Fargate | Network::Awsvpc => ecs::PortMapping { container_port: Some(80), ..Default::default() },
            Network::Bridge(port) => {
                ecs::PortMapping { container_port: Some(80), host_port: Some(port.into()), ..Default::default() }
            }
            Network::Host(port) => ecs::PortMapping { container_port: Some(port.into()), ..Default::default() },
        };
        let check = || ecs::HealthCheck {
            command: vec!["CMD".to_owned(), "check".to_owned()],
            interval: Some(5),
            retries: Some(2),
            ..Default::default()
        };
        let container = ecs::ContainerDefinition {
            name: Some("main".to_owned()),
            image: Some(self.image.name().to_owned()),
            port_mappings: Some(vec![port]),
            health_check: self.image.is_checked().then(check),
            stop_timeout: Some(10),
            ..Default::default()
        };
        ecs::RegisterTaskDefinitionRequest {
            family: self.family(),
            container_definitions: vec![container],
            cpu: Some(TASK_CPU.to_string()),
            memory: Some(TASK_MEMORY.to_string()),
            network_mode: Some(mode),
            requires_compatibilities: Some(vec![compatibility]),
            ..Default::default()
        }
    }
}
