//! Services in Cloud Map: when their tasks are instances there, and with which attributes.

mod support;

use model::discovery::DiscoveryInstance;
use model::dns::Records;
use model::link::ReportedStatus;
use model::network::Vpc;
use model::task::NetworkBinding;
use model::{HealthStatus, NodeId, Protocol, TaskStatus};
use serde_json::{Value, json};
use store::Tables;
use support::World;
use support::node::{Link, report};
use support::obedient::join;

const NODE: NodeId = NodeId(7);

async fn register(world: &World, mode: &str, health_check: bool) {
    let mut container = json!({
        "name": "app", "image": "one", "memory": 64, "portMappings": [{"containerPort": 8080}],
    });
    if health_check {
        container["healthCheck"] = json!({"command": ["CMD", "true"]});
    }
    let mut definition = json!({"family": "web", "networkMode": mode, "containerDefinitions": [container]});
    if mode == "awsvpc" {
        let fargate = json!({"requiresCompatibilities": ["FARGATE"], "cpu": "256", "memory": "512"});
        definition.as_object_mut().unwrap().extend(fargate.as_object().unwrap().clone());
    }
    world.call("RegisterTaskDefinition", definition).await;
}

/// The ARN of a Cloud Map service `web.corp.local` with records of this type.
async fn registry(world: &World, kind: &str, more: Value) -> String {
    let vpc = Vpc::default_of(&world.scope()).id;
    let request = json!({"Name": "corp.local", "Vpc": vpc});
    let operation = world.discover("CreatePrivateDnsNamespace", request).await["OperationId"].clone();
    let operation = world.discover("GetOperation", json!({"OperationId": operation})).await;
    let mut request = json!({
        "Name": "web", "NamespaceId": operation["Operation"]["Targets"]["NAMESPACE"],
        "DnsConfig": {"DnsRecords": [{"Type": kind, "TTL": 10}]},
    });
    request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    world.discover("CreateService", request).await["Service"]["Arn"].as_str().unwrap().to_owned()
}

fn request(world: &World, mode: &str, registry: Value) -> Value {
    let mut request = json!({
        "serviceName": "web", "taskDefinition": "web", "desiredCount": 1, "serviceRegistries": [registry],
    });
    if mode == "awsvpc" {
        let subnet = Vpc::default_of(&world.scope()).subnets[0].id.clone();
        request["launchType"] = json!("FARGATE");
        request["networkConfiguration"] = json!({"awsvpcConfiguration": {"subnets": [subnet]}});
    }
    request
}

fn instances(tables: &Tables) -> Vec<DiscoveryInstance> {
    tables.discovery_instances.iter().map(|row| DiscoveryInstance::clone(row)).collect()
}

/// What `web.corp.local` leads to.
fn answers(tables: &Tables) -> usize {
    let snapshot = control::dns::snapshot(tables);
    let records = snapshot.zones.into_iter().filter(|zone| zone.name == "corp.local").flat_map(|zone| zone.records);
    let set = records.into_iter().find(|set| set.name == "web.corp.local");
    set.map_or(0, |set| match set.records {
        Records::A(addresses) => addresses.len(),
        Records::Aaaa(addresses) => addresses.len(),
        Records::Srv(services) => services.len(),
    })
}

#[tokio::test]
async fn tasks_are_instances_from_when_they_run_until_they_are_to_stop() {
    let world = World::new().await;
    join(&world, NODE).await;
    register(&world, "awsvpc", false).await;
    let arn = registry(&world, "A", json!({})).await;
    let asked = json!({"registryArn": arn});
    let created = world.call("CreateService", request(&world, "awsvpc", asked.clone())).await;
    assert_eq!(created["service"]["serviceRegistries"], json!([asked]));
    world.until("it is registered", |tables| answers(tables) == 1).await;
    let row = instances(&world.view()).remove(0);
    let task = world.task(row.id.parse().unwrap());
    assert_eq!(task.last_status, TaskStatus::Running);
    let expected = [
        ("AVAILABILITY_ZONE", "us-east-1a"),
        ("AWS_INSTANCE_IPV4", &*task.attachment.as_ref().unwrap().address.to_string()),
        ("ECS_CLUSTER_NAME", "default"),
        ("ECS_SERVICE_NAME", "web"),
        ("ECS_TASK_DEFINITION_FAMILY", "web"),
        ("REGION", "us-east-1"),
    ];
    let shown: Vec<(&str, &str)> = row.attributes.iter().map(|(name, value)| (&**name, &**value)).collect();
    assert_eq!(shown, expected);

    world.call("UpdateService", json!({"service": "web", "desiredCount": 3})).await;
    world.until("all are registered", |tables| answers(tables) == 3).await;
    world.call("StopTask", json!({"task": task.id.to_string()})).await;
    assert!(
        instances(&world.view()).iter().all(|other| other.id != row.id) || {
            world.until("it is gone", |tables| instances(tables).iter().all(|other| other.id != row.id)).await;
            true
        }
    );
    world.until("its successor is there", |tables| answers(tables) == 3).await;
    world.call("DeleteService", json!({"service": "web", "force": true})).await;
    world.until("none is left", |tables| instances(tables).is_empty()).await;
    world
        .until("all have stopped", |tables| tables.tasks.iter().all(|task| task.last_status == TaskStatus::Stopped))
        .await;
    world.check_ledger();
}

#[tokio::test]
async fn a_task_that_stops_is_no_instance_any_more_before_its_node_is_told() {
    let world = World::new().await;
    let (mut link, first) = Link::join(&world, NODE).await;
    register(&world, "awsvpc", false).await;
    let arn = registry(&world, "A", json!({})).await;
    world.call("CreateService", request(&world, "awsvpc", json!({"registryArn": arn}))).await;
    let desired = if first.tasks.is_empty() { link.desired().await } else { first };
    let id = desired.tasks[0].id;
    link.report(vec![report(id, 1, ReportedStatus::Running)]).await;
    world.until("it is registered", |tables| answers(tables) == 1).await;
    world.call("StopTask", json!({"task": id.to_string()})).await;
    world
        .until("its node may be told", |tables| tables.tasks.get(&id).unwrap().last_status >= TaskStatus::Stopping)
        .await;
    assert!(instances(&world.view()).iter().all(|row| row.id != id.to_string()));
}

#[tokio::test]
async fn the_health_of_containers_is_that_of_instances() {
    let world = World::new().await;
    let (mut link, first) = Link::join(&world, NODE).await;
    register(&world, "awsvpc", true).await;
    let arn = registry(&world, "A", json!({"HealthCheckCustomConfig": {"FailureThreshold": 1}})).await;
    world.call("CreateService", request(&world, "awsvpc", json!({"registryArn": arn}))).await;
    let desired = if first.tasks.is_empty() { link.desired().await } else { first };
    let id = desired.tasks[0].id;
    let mut said = report(id, 1, ReportedStatus::Running);
    link.report(vec![said.clone()]).await;
    let is = |healthy| move |tables: &Tables| instances(tables).iter().any(|row| row.is_healthy == healthy);
    world.until("it is there, and not known to be healthy", is(false)).await;
    said.sequence = 2;
    said.containers.iter_mut().for_each(|container| container.health = HealthStatus::Healthy);
    link.report(vec![said]).await;
    world.until("it is healthy", is(true)).await;
}

#[tokio::test]
async fn a_published_port_is_an_srv_record() {
    let world = World::new().await;
    let (mut link, first) = Link::join(&world, NODE).await;
    register(&world, "bridge", false).await;
    let arn = registry(&world, "SRV", json!({})).await;
    let asked = json!({"registryArn": arn, "containerName": "app", "containerPort": 8080});
    world.call("CreateService", request(&world, "bridge", asked)).await;
    let desired = if first.tasks.is_empty() { link.desired().await } else { first };
    let mut said = report(desired.tasks[0].id, 1, ReportedStatus::Running);
    said.containers[0].network_bindings = vec![NetworkBinding {
        bind_ip: "0.0.0.0".to_owned(),
        container_port: 8080,
        host_port: 32_768,
        protocol: Protocol::Tcp,
    }];
    link.report(vec![said]).await;
    world.until("it is registered", |tables| answers(tables) == 1).await;
    let row = instances(&world.view()).remove(0);
    assert_eq!((row.address(), row.port()), (Some([172, 31, 0, 1].into()), Some(32_768)));
    assert!(row.attributes["EC2_INSTANCE_ID"].starts_with("i-"));
}

#[tokio::test]
async fn what_cannot_be_registered_is_refused() {
    let world = World::new().await;
    join(&world, NODE).await;
    let a = registry(&world, "A", json!({})).await;
    let namespace = world.discover("ListNamespaces", json!({})).await["Namespaces"][0]["Id"].clone();
    let srv =
        json!({"Name": "srv", "NamespaceId": namespace, "DnsConfig": {"DnsRecords": [{"Type": "SRV", "TTL": 1}]}});
    let srv = world.discover("CreateService", srv).await["Service"]["Arn"].clone();
    let check = |mode: &'static str, asked: Value, expected: &'static str| {
        let world = &world;
        async move {
            register(world, mode, false).await;
            let refusal = world.try_call("CreateService", request(world, mode, asked.clone())).await;
            assert_eq!(refusal.err(), Some(format!("InvalidParameterException: {expected}")), "{mode} {asked}");
        }
    };
    check("awsvpc", json!({}), "registryArn is required for each of the serviceRegistries.").await;
    check(
        "awsvpc",
        json!({"registryArn": "arn:aws:servicediscovery:us-east-1:000000000000:service/srv-none"}),
        "The service registry with registryArn arn:aws:servicediscovery:us-east-1:000000000000:service/srv-none does not \
         exist.",
    )
    .await;
    check(
        "awsvpc",
        json!({"registryArn": a, "containerName": "app"}),
        "containerName and containerPort must be specified together.",
    )
    .await;
    check(
        "awsvpc",
        json!({"registryArn": a, "containerName": "none", "containerPort": 8080}),
        "The container none does not exist in the task definition.",
    )
    .await;
    check(
        "awsvpc",
        json!({"registryArn": a, "containerName": "app", "containerPort": 1}),
        "The container app did not have a container port 1 defined.",
    )
    .await;
    check(
        "awsvpc",
        json!({"registryArn": srv}),
        "When specifying 'awsvpc' for networkMode and a type SRV DNS record, you must specify either a 'containerName' and \
         'containerPort' combination, or a 'port' value.",
    )
    .await;
    check(
        "awsvpc",
        json!({"registryArn": srv, "containerName": "app", "containerPort": 8080, "port": 1}),
        "You must specify either a containerName and containerPort combination, or a port value, but not both.",
    )
    .await;
    check(
        "bridge",
        json!({"registryArn": srv}),
        "When specifying 'host' or 'bridge' for networkMode, values for 'containerName' and 'containerPort' must be \
         specified from the task definition.",
    )
    .await;
    check(
        "bridge",
        json!({"registryArn": a, "containerName": "app", "containerPort": 8080}),
        "Only SRV records are supported for service discovery when using 'host' or 'bridge' for networkMode.",
    )
    .await;
}
