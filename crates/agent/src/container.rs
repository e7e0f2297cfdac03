//! What the agent puts on a container beside its definition (ecs-semantics §5.5).

use model::link::TaskSpec;
use model::{LaunchType, NetworkMode};

use crate::driver::{Attached, BindMount, ContainerRequest, Image};
use crate::task::RuntimeId;

/// Labels that tell people and tools whose container it is. They win over the definition's own.
const LABEL_PREFIX: &str = "com.amazonaws.ecs.";
/// As docker cuts a container's id for its host name.
const HOSTNAME_CHARACTERS: usize = 12;

/// The files of a container that live on the node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    pub mounts: Vec<BindMount>,
    pub log_file: Option<std::path::PathBuf>,
}

pub fn request(
    spec: &TaskSpec,
    id: RuntimeId,
    image: Image,
    network: Option<&Attached>,
    files: Files,
) -> ContainerRequest {
    let container = id.container;
    ContainerRequest {
        id: id.to_string(),
        image,
        definition: spec.containers[container].definition.as_ref().clone(),
        environment: environment(spec, container),
        network_namespace: network.map(|attached| attached.namespace.clone()),
        hostname: hostname(spec, container),
        mounts: files.mounts,
        task: spec.id,
        labels: labels(spec, container),
        log_file: files.log_file,
    }
}

/// The definition's variables win over the agent's own.
fn environment(spec: &TaskSpec, container: usize) -> Vec<(String, String)> {
    let container = &spec.containers[container];
    let region = spec.scope.region.to_string();
    let mut own = vec![
        ("AWS_REGION", region.clone()),
        ("AWS_DEFAULT_REGION", region),
        ("ECS_CONTAINER_METADATA_URI", format!("http://169.254.170.2/v3/{}", container.id)),
        ("ECS_CONTAINER_METADATA_URI_V4", format!("http://169.254.170.2/v4/{}", container.id)),
        ("ECS_AGENT_URI", format!("http://169.254.170.2/api/{}", container.id)),
    ];
    match spec.launch_type {
        LaunchType::Fargate => own.push(("AWS_EXECUTION_ENV", "AWS_ECS_FARGATE".to_owned())),
        LaunchType::Ec2 => own.push(("AWS_EXECUTION_ENV", "AWS_ECS_EC2".to_owned())),
        LaunchType::External => {}
    }
    let given = &container.definition.environment;
    own.retain(|(name, _)| given.iter().all(|(other, _)| other != name));
    let own = own.into_iter().map(|(name, value)| (name.to_owned(), value));
    own.chain(given.iter().cloned()).collect()
}

pub fn labels(spec: &TaskSpec, container: usize) -> Vec<(String, String)> {
    let definition = &spec.containers[container].definition;
    let own = [
        ("task-arn", spec.arn.clone()),
        ("container-name", definition.name.clone()),
        ("task-definition-family", spec.family.clone()),
        ("task-definition-version", spec.revision.to_string()),
        ("cluster", spec.cluster.clone()),
    ];
    let given = definition.docker_labels.iter().filter(|(name, _)| !name.starts_with(LABEL_PREFIX)).cloned();
    given.chain(own.into_iter().map(|(name, value)| (format!("{LABEL_PREFIX}{name}"), value))).collect()
}

/// `None`: the host's own name, in the host's network.
pub fn hostname(spec: &TaskSpec, container: usize) -> Option<String> {
    let container = &spec.containers[container];
    match (spec.network_mode, &spec.interface) {
        (NetworkMode::Host, _) => None,
        (NetworkMode::Awsvpc, Some(interface)) => Some(interface.private_dns_name.clone()),
        _ => {
            let own = container.id.chars().filter(|c| *c != '-').take(HOSTNAME_CHARACTERS).collect();
            Some(container.definition.hostname.clone().unwrap_or(own))
        }
    }
}
