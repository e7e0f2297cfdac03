//! Clusters between wire and model.

use model::cluster::Cluster;
use model::{Arn, LaunchType};
use wire::ecs;
use wire::ecs::Error;

use super::capacity_provider::strategy_to_wire;
use super::{service_connect, signed, tag};

const CONTAINER_INSIGHTS: &str = "containerInsights";
const DISABLED: &str = "disabled";

/// What runs in a cluster, counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Census {
    /// ACTIVE and DRAINING container instances.
    pub instances: usize,
    pub ec2: Count,
    pub fargate: Count,
    pub external: Count,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Count {
    pub running: usize,
    pub pending: usize,
    pub active_services: usize,
    pub draining_services: usize,
}

/// Which of a cluster's lists are filled in; the others are shown empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Detail {
    pub settings: bool,
    pub statistics: bool,
    pub tags: bool,
}

impl Detail {
    pub const ALL: Self = Self { settings: true, statistics: true, tags: true };

    /// Of `include`. ATTACHMENTS and CONFIGURATIONS are what no cluster has yet.
    ///
    /// # Errors
    /// `InvalidParameterException` for anything else.
    pub fn from_wire(include: &[ecs::ClusterField]) -> Result<Self, Error> {
        let mut detail = Self::default();
        for field in include {
            match field {
                ecs::ClusterField::Settings => detail.settings = true,
                ecs::ClusterField::Statistics => detail.statistics = true,
                ecs::ClusterField::Tags => detail.tags = true,
                ecs::ClusterField::Attachments | ecs::ClusterField::Configurations => {}
                ecs::ClusterField::Unknown(name) => {
                    return Err(Error::invalid_parameter(format!(
                        "include should be one of [ATTACHMENTS,CONFIGURATIONS,SETTINGS,STATISTICS,TAGS], not '{name}'"
                    )));
                }
            }
        }
        Ok(detail)
    }
}

/// # Errors
/// `ClientException` that names the first part that is given and not built. A configuration of empty parts says nothing.
pub fn refuse_unbuilt(configuration: Option<&ecs::ClusterConfiguration>) -> Result<(), Error> {
    let (execute_command, managed_storage) = match configuration {
        Some(ecs::ClusterConfiguration { execute_command_configuration, managed_storage_configuration }) => {
            (execute_command_configuration.is_some(), managed_storage_configuration.is_some())
        }
        None => (false, false),
    };
    super::refuse_unbuilt(
        "the cluster",
        &[
            ("configuration.executeCommandConfiguration", execute_command),
            ("configuration.managedStorageConfiguration", managed_storage),
        ],
    )
}

pub fn default_settings() -> Vec<(String, String)> {
    vec![(CONTAINER_INSIGHTS.to_owned(), DISABLED.to_owned())]
}

/// Sets the settings that are given. The only one is `containerInsights`, and as its metrics are not built, it can only
/// be `disabled`.
///
/// # Errors
/// `InvalidParameterException` for any other name or value, `ClientException` for the values that are not built.
pub fn set(settings: &mut Vec<(String, String)>, given: Vec<ecs::ClusterSetting>) -> Result<(), Error> {
    for ecs::ClusterSetting { name, value } in given {
        if name != Some(ecs::ClusterSettingName::ContainerInsights) {
            return Err(Error::invalid_parameter(format!(
                "cluster setting name should be one of [{CONTAINER_INSIGHTS}]"
            )));
        }
        check_container_insights(value.as_deref().unwrap_or_default())?;
    }
    *settings = default_settings();
    Ok(())
}

fn check_container_insights(value: &str) -> Result<(), Error> {
    match value {
        DISABLED => Ok(()),
        "enabled" | "enhanced" => Err(Error::client(format!(
            "The value '{value}' of the setting '{CONTAINER_INSIGHTS}' is not supported by Gantry yet."
        ))),
        _ => Err(Error::invalid_parameter(format!(
            "Invalid value '{value}' for the setting '{CONTAINER_INSIGHTS}'. It should be one of \
             [enabled,disabled,enhanced]."
        ))),
    }
}

pub fn to_wire(cluster: &Cluster, census: &Census, detail: Detail) -> ecs::Cluster {
    let all = [census.ec2, census.fargate, census.external];
    let count = |of: fn(&Count) -> usize| Some(number(all.iter().map(of).sum()));
    ecs::Cluster {
        cluster_arn: Some(Arn::cluster(&cluster.scope, &cluster.name).to_string()),
        cluster_name: Some(cluster.name.clone()),
        status: Some(cluster.status.as_str().to_owned()),
        registered_container_instances_count: Some(number(census.instances)),
        running_tasks_count: count(|tasks| tasks.running),
        pending_tasks_count: count(|tasks| tasks.pending),
        active_services_count: count(|counted| counted.active_services),
        statistics: Some(if detail.statistics { statistics(census) } else { vec![] }),
        tags: Some(if detail.tags { tag::to_wire(&cluster.tags) } else { vec![] }),
        settings: Some(if detail.settings { settings_to_wire(cluster) } else { vec![] }),
        capacity_providers: Some(cluster.capacity_providers.clone()),
        default_capacity_provider_strategy: Some(strategy_to_wire(&cluster.default_strategy)),
        attachments: None,
        attachments_status: None,
        configuration: None,
        service_connect_defaults: service_connect::defaults_to_wire(cluster),
    }
}

fn number(count: usize) -> i32 {
    signed(u32::try_from(count).unwrap_or(u32::MAX))
}

fn settings_to_wire(cluster: &Cluster) -> Vec<ecs::ClusterSetting> {
    let setting = |(name, value): &(String, String)| ecs::ClusterSetting {
        name: Some(name.as_str().into()),
        value: Some(value.clone()),
    };
    cluster.settings.iter().map(setting).collect()
}

fn statistics(census: &Census) -> Vec<ecs::KeyValuePair> {
    let by_type =
        [(LaunchType::Ec2, census.ec2), (LaunchType::Fargate, census.fargate), (LaunchType::External, census.external)];
    let of_tasks = by_type.iter().flat_map(|(launch_type, tasks)| {
        let name = statistics_name(*launch_type);
        [(format!("running{name}TasksCount"), tasks.running), (format!("pending{name}TasksCount"), tasks.pending)]
    });
    let of_services = by_type.iter().flat_map(|(launch_type, counted)| {
        let name = statistics_name(*launch_type);
        [
            (format!("active{name}ServiceCount"), counted.active_services),
            (format!("draining{name}ServiceCount"), counted.draining_services),
        ]
    });
    let all = of_tasks.chain(of_services);
    all.map(|(name, count)| ecs::KeyValuePair { name: Some(name), value: Some(count.to_string()) }).collect()
}

fn statistics_name(launch_type: LaunchType) -> &'static str {
    match launch_type {
        LaunchType::Ec2 => "EC2",
        LaunchType::Fargate => "Fargate",
        LaunchType::External => "External",
    }
}
