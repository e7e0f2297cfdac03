//! The JSON documents that a task reads about itself, versions 3 and 4 (ecs-semantics §5.6). Pure.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;

use model::link::{ReportedStatus, TaskSpec};
use model::{HealthStatus, LaunchType, NetworkMode, Timestamp};
use serde_json::{Map, Value, json};

use crate::container;
use crate::task::state::{ContainerState, Phase, State};
use crate::volume;

/// What the agent knows of a task at this moment.
#[derive(Clone, Debug)]
pub struct View {
    pub spec: Arc<TaskSpec>,
    pub state: State,
    /// Of each container in bridge mode, as far as it is known.
    pub addresses: Vec<Option<Ipv4Addr>>,
    /// Where the task's own volumes stand.
    pub directory: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    V3,
    V4,
}

/// The task's document. Tags are in it when they were asked for.
pub fn task(view: &View, version: Version, with_tags: bool) -> Value {
    let (spec, state) = (&view.spec, &view.state);
    let mut document = Map::new();
    let mut put = |name: &str, value: Value| put(&mut document, name, value);
    put("Cluster", json!(if spec.launch_type == LaunchType::Fargate { &spec.cluster_arn } else { &spec.cluster }));
    put("TaskARN", json!(spec.arn));
    put("Family", json!(spec.family));
    put("Revision", json!(spec.revision.to_string()));
    put("DesiredStatus", json!(if state.stopping { "STOPPED" } else { "RUNNING" }));
    put("KnownStatus", json!(known_status(state)));
    put("Limits", task_limits(spec));
    put("PullStartedAt", time(state.pull_started_at));
    put("PullStoppedAt", time(state.pull_stopped_at));
    put("ExecutionStoppedAt", time(state.execution_stopped_at));
    put("AvailabilityZone", json!(spec.availability_zone));
    if version == Version::V4 {
        put("LaunchType", json!(spec.launch_type.as_str()));
        put("VPCID", json!(spec.interface.as_ref().map(|interface| &interface.vpc_id)));
        put("ServiceName", json!(spec.group.strip_prefix("service:")));
        put("Group", json!(spec.group));
    }
    if with_tags {
        let tags: Map<String, Value> = spec.tags.iter().map(|tag| (tag.key.clone(), json!(tag.value))).collect();
        put("TaskTags", if tags.is_empty() { Value::Null } else { Value::Object(tags) });
    }
    put("Containers", (0..spec.containers.len()).map(|index| self::container(view, index, version)).collect());
    Value::Object(document)
}

/// The document of the task's n-th container.
pub fn container(view: &View, index: usize, version: Version) -> Value {
    let spec = &view.spec;
    let definition = &spec.containers[index].definition;
    let missing = ContainerState::default();
    let state = view.state.containers.get(index).unwrap_or(&missing);
    let mut document = Map::new();
    let mut put = |name: &str, value: Value| put(&mut document, name, value);
    put("DockerId", json!(view.state.runtime_id(spec.id, index).to_string()));
    put("Name", json!(definition.name));
    put("DockerName", json!(docker_name(spec, index)));
    put("Image", json!(definition.image));
    put("ImageID", json!(state.image.as_ref().map(|image| &image.digest)));
    put("Ports", ports(state));
    put("Labels", Value::Object(container::labels(spec, index).into_iter().map(|(k, v)| (k, json!(v))).collect()));
    let stopping = view.state.stopping || state.stop_asked_at.is_some() || state.phase == Phase::Stopped;
    put("DesiredStatus", json!(if stopping { "STOPPED" } else { "RUNNING" }));
    put("KnownStatus", json!(container_status(state)));
    put("ExitCode", json!(state.exit_code));
    put("Limits", json!({"CPU": definition.cpu.0, "Memory": definition.memory.map_or(0, |memory| memory.0)}));
    put("StartedAt", time(state.started_at));
    put("FinishedAt", time(state.stopped_at));
    put("Type", json!("NORMAL"));
    put("Health", definition.health_check.as_ref().map_or(Value::Null, |_| health(state)));
    put("Volumes", volumes(view, index));
    put("Networks", networks(view, index, version));
    if version == Version::V4 {
        put("ContainerARN", json!(spec.containers[index].arn));
        let log = definition.log_configuration.as_ref();
        put("LogDriver", json!(log.map(|log| &log.driver)));
        let options = log.map(|log| log.options.iter().map(|(name, value)| (name.clone(), json!(value))).collect());
        put("LogOptions", options.map_or(Value::Null, Value::Object));
    }
    Value::Object(document)
}

/// What is not known is not in the document.
fn put(document: &mut Map<String, Value>, name: &str, value: Value) {
    if !value.is_null() {
        document.insert(name.to_owned(), value);
    }
}

fn time(at: Option<Timestamp>) -> Value {
    at.map_or(Value::Null, |at| json!(at.to_string()))
}

/// Virtual CPUs and MiB; absent without limits.
fn task_limits(spec: &TaskSpec) -> Value {
    let mut limits = Map::new();
    if let Some(cpu) = spec.cpu {
        limits.insert("CPU".to_owned(), json!(f64::from(cpu.0) / 1024.0));
    }
    if let Some(memory) = spec.memory {
        limits.insert("Memory".to_owned(), json!(memory.0));
    }
    if limits.is_empty() { Value::Null } else { Value::Object(limits) }
}

fn known_status(state: &State) -> &'static str {
    match state.status() {
        ReportedStatus::Stopped => "STOPPED",
        ReportedStatus::Running => "RUNNING",
        ReportedStatus::Pending if state.containers.iter().any(|c| c.phase >= Phase::Created) => "CREATED",
        ReportedStatus::Pending => "NONE",
    }
}

fn container_status(state: &ContainerState) -> &'static str {
    match state.phase {
        Phase::Waiting if state.image.is_some() => "PULLED",
        Phase::Waiting => "NONE",
        Phase::Created => "CREATED",
        Phase::Running => "RUNNING",
        Phase::Stopped => "STOPPED",
    }
}

/// `ecs-<family>-<revision>-<container>-<hex>` (ecs-semantics §5.5).
fn docker_name(spec: &TaskSpec, index: usize) -> String {
    let container = &spec.containers[index];
    let name = container.definition.name.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect::<String>();
    let hex = container.id.chars().filter(|c| *c != '-').take(20).collect::<String>();
    format!("ecs-{}-{}-{name}-{hex}", spec.family, spec.revision)
}

fn ports(state: &ContainerState) -> Value {
    let ports = state.bindings.iter().map(|binding| {
        json!({
            "ContainerPort": binding.container_port,
            "Protocol": binding.protocol.as_str(),
            "HostPort": binding.host_port,
            "HostIp": binding.bind_ip,
        })
    });
    list(ports)
}

fn health(state: &ContainerState) -> Value {
    match state.health_status() {
        HealthStatus::Unknown => json!({"status": "UNKNOWN"}),
        status => json!({"status": status.as_str(), "exitCode": i32::from(status == HealthStatus::Unhealthy)}),
    }
}

fn volumes(view: &View, index: usize) -> Value {
    let mounts = volume::mounts(&view.spec, index, &view.directory).unwrap_or_default();
    let points = &view.spec.containers[index].definition.mount_points;
    list(mounts.into_iter().map(|mount| {
        let point = points.iter().find(|point| point.container_path == mount.destination);
        let mut volume = Map::new();
        put(&mut volume, "DockerName", json!(point.map(|point| &point.source_volume)));
        put(&mut volume, "Source", json!(mount.source));
        put(&mut volume, "Destination", json!(mount.destination));
        Value::Object(volume)
    }))
}

fn networks(view: &View, index: usize, version: Version) -> Value {
    let mode = view.spec.network_mode;
    let mut network = Map::new();
    network.insert("NetworkMode".to_owned(), json!(mode.as_str()));
    let address = match &view.spec.interface {
        Some(interface) => Some(interface.address),
        None => view.addresses.get(index).copied().flatten(),
    };
    if let Some(address) = address {
        network.insert("IPv4Addresses".to_owned(), json!([address]));
    }
    if let (Version::V4, NetworkMode::Awsvpc, Some(interface)) = (version, mode, &view.spec.interface) {
        let length = interface.subnet_prefix_length;
        let subnet = ipnet::Ipv4Net::new(interface.address, length).map(|net| net.trunc().to_string());
        network.insert("AttachmentIndex".to_owned(), json!(0));
        network.insert("MACAddress".to_owned(), json!(interface.mac));
        put(&mut network, "IPv4SubnetCIDRBlock", json!(subnet.ok()));
        network.insert("PrivateDNSName".to_owned(), json!(interface.private_dns_name));
        network.insert("SubnetGatewayIpv4Address".to_owned(), json!(format!("{}/{length}", interface.gateway)));
    }
    json!([network])
}

fn list(values: impl Iterator<Item = Value>) -> Value {
    let values: Vec<Value> = values.collect();
    if values.is_empty() { Value::Null } else { Value::Array(values) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::Image;

    fn view(spec: Value) -> View {
        let mut defaults = json!({
            "id": "00000000000000000000000000000001", "arn": "arn:task", "cluster": "default",
            "scope": {"account": "1", "region": "us-east-1"}, "cluster_arn": "arn:cluster", "family": "web",
            "revision": 3, "launch_type": "Ec2", "group": "family:web", "created_at": 0, "network_mode": "bridge",
            "availability_zone": "us-east-1a", "tags": [{"key": "k", "value": "v"}],
            "volumes": [{"name": "data", "host_given": false}],
            "containers": [{"id": "01234567-89ab-cdef-0123-456789abcdef", "arn": "arn:container", "definition": {
                "name": "we_b", "image": "nginx", "essential": true, "cpu": 10, "memory": 128,
                "mount_points": [{"source_volume": "data", "container_path": "/data"}],
                "log_configuration": {"driver": "awslogs", "options": [["awslogs-group", "g"]]},
            }}],
        });
        defaults.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        let state = State {
            started_at: Some(Timestamp(2000)),
            pull_started_at: Some(Timestamp(1000)),
            containers: vec![ContainerState {
                phase: Phase::Running,
                image: Some(Image { reference: "nginx".into(), digest: "sha256:1".into(), pulled: false }),
                started_at: Some(Timestamp(2000)),
                bindings: vec![model::task::NetworkBinding {
                    bind_ip: "0.0.0.0".into(),
                    container_port: 80,
                    host_port: 8080,
                    protocol: model::Protocol::Tcp,
                }],
                ..ContainerState::default()
            }],
            ..State::default()
        };
        View {
            spec: Arc::new(serde_json::from_value(defaults).unwrap()),
            state,
            addresses: vec![Some(Ipv4Addr::new(172, 30, 0, 2))],
            directory: "/t".into(),
        }
    }

    #[test]
    fn a_bridge_container_of_version_3() {
        let labels = |name: &str| format!("com.amazonaws.ecs.{name}");
        assert_eq!(
            container(&view(json!({})), 0, Version::V3),
            json!({
                "DockerId": "00000000000000000000000000000001-0",
                "Name": "we_b",
                "DockerName": "ecs-web-3-web-0123456789abcdef0123",
                "Image": "nginx",
                "ImageID": "sha256:1",
                "Ports": [{"ContainerPort": 80, "Protocol": "tcp", "HostPort": 8080, "HostIp": "0.0.0.0"}],
                "Labels": {
                    labels("task-arn"): "arn:task", labels("container-name"): "we_b",
                    labels("task-definition-family"): "web", labels("task-definition-version"): "3",
                    labels("cluster"): "default",
                },
                "DesiredStatus": "RUNNING",
                "KnownStatus": "RUNNING",
                "Limits": {"CPU": 10, "Memory": 128},
                "StartedAt": "1970-01-01T00:00:02.000Z",
                "Type": "NORMAL",
                "Volumes": [{"DockerName": "data", "Source": "/t/volumes/0", "Destination": "/data"}],
                "Networks": [{"NetworkMode": "bridge", "IPv4Addresses": ["172.30.0.2"]}],
            })
        );
    }

    #[test]
    fn a_fargate_task_of_version_4() {
        let view = view(json!({
            "launch_type": "Fargate", "network_mode": "awsvpc", "group": "service:api", "cpu": 256, "memory": 512,
            "interface": {
                "attachment_id": "a", "interface_id": "eni-1", "mac": "02:47:ac:1f:00:05", "address": "172.31.0.5",
                "subnet_id": "subnet-1", "subnet_prefix_length": 20, "gateway": "172.31.0.1", "vpc_id": "vpc-1",
                "private_dns_name": "ip-172-31-0-5.ec2.internal",
            },
        }));
        let mut document = task(&view, Version::V4, true);
        let container = document.as_object_mut().unwrap().remove("Containers").unwrap()[0].clone();
        assert_eq!(
            document,
            json!({
                "Cluster": "arn:cluster", "TaskARN": "arn:task", "Family": "web", "Revision": "3",
                "DesiredStatus": "RUNNING", "KnownStatus": "RUNNING", "Limits": {"CPU": 0.25, "Memory": 512},
                "PullStartedAt": "1970-01-01T00:00:01.000Z", "AvailabilityZone": "us-east-1a",
                "LaunchType": "FARGATE", "VPCID": "vpc-1", "ServiceName": "api", "Group": "service:api",
                "TaskTags": {"k": "v"},
            })
        );
        assert_eq!(container["ContainerARN"], "arn:container");
        assert_eq!(
            (&container["LogDriver"], &container["LogOptions"]),
            (&json!("awslogs"), &json!({"awslogs-group": "g"}))
        );
        assert_eq!(
            container["Networks"],
            json!([{
                "NetworkMode": "awsvpc", "IPv4Addresses": ["172.31.0.5"], "AttachmentIndex": 0,
                "MACAddress": "02:47:ac:1f:00:05", "IPv4SubnetCIDRBlock": "172.31.0.0/20",
                "PrivateDNSName": "ip-172-31-0-5.ec2.internal", "SubnetGatewayIpv4Address": "172.31.0.1/20",
            }])
        );
    }

    #[test]
    fn statuses_tell_how_far_it_is() {
        let mut view = view(json!({}));
        let statuses = |view: &View| {
            let task = task(view, Version::V4, false);
            assert_eq!(task.get("TaskTags"), None);
            let status = |value: &Value| value["KnownStatus"].as_str().unwrap().to_owned();
            (status(&task), status(&task["Containers"][0]))
        };
        let mut check = |change: &dyn Fn(&mut State), task: &str, container: &str| {
            change(&mut view.state);
            assert_eq!(statuses(&view), (task.to_owned(), container.to_owned()));
        };
        check(&|state| state.containers.clear(), "RUNNING", "NONE");
        check(&|state| *state = State::default(), "NONE", "NONE");
        check(&|state| state.containers = vec![ContainerState::default()], "NONE", "NONE");
        check(&|state| state.containers[0].phase = Phase::Created, "CREATED", "CREATED");
        check(&|state| state.containers[0].phase = Phase::Stopped, "CREATED", "STOPPED");
        check(&|state| state.released = true, "STOPPED", "STOPPED");
    }
}
