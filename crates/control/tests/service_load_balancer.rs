//! Services behind load balancers: when their tasks are in target groups, and what that means for them. The data path is
//! played by the test: it says of targets what it is to say.

mod support;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use model::edge::{Action, TargetHealth, TargetState};
use model::link::ReportedStatus;
use model::load_balancer::Target;
use model::service::ServiceStatus;
use model::service_deployment::ServiceDeploymentStatus;
use model::task_target::TaskTargetStatus;
use model::{DesiredStatus, NodeId, Service, Task, TaskId, TaskStatus};
use serde_json::{Value, json};
use store::Tables;
use support::World;
use support::node::{Link, report};
use support::obedient::{Registry, join, serve};

const NODE: NodeId = NodeId(7);

/// With so many target groups on one load balancer.
async fn world(groups: usize) -> (World, Vec<String>) {
    let world = World::new().await;
    join(&world, NODE).await;
    register(&world, "one").await;
    let vpc = model::network::Vpc::default_of(&world.scope());
    let subnets: Vec<_> = vpc.subnets.iter().take(2).map(|subnet| subnet.id.clone()).collect();
    let made = world.balance("CreateLoadBalancer", json!({"Name": "front", "Subnets": subnets})).await;
    let balancer = made["LoadBalancers"][0]["LoadBalancerArn"].clone();
    let mut arns = Vec::new();
    for number in 0..groups {
        let group = json!({
            "Name": format!("web-{number}"), "Protocol": "HTTP", "Port": 80, "VpcId": vpc.id, "TargetType": "ip",
        });
        let made = world.balance("CreateTargetGroup", group).await;
        let arn = made["TargetGroups"][0]["TargetGroupArn"].as_str().unwrap().to_owned();
        let listener = json!({
            "LoadBalancerArn": balancer, "Protocol": "HTTP", "Port": 80 + number,
            "DefaultActions": [{"Type": "forward", "TargetGroupArn": arn}],
        });
        world.balance("CreateListener", listener).await;
        arns.push(arn);
    }
    (world, arns)
}

async fn register(world: &World, image: &str) {
    let definition = json!({
        "family": "web", "networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"], "cpu": "256", "memory": "512",
        "containerDefinitions": [{"name": "app", "image": image, "portMappings": [{"containerPort": 8080}]}],
    });
    world.call("RegisterTaskDefinition", definition).await;
}

fn behind(groups: &[String]) -> Value {
    let load_balancer = |arn| json!({"targetGroupArn": arn, "containerName": "app", "containerPort": 8080});
    groups.iter().map(load_balancer).collect()
}

async fn create(world: &World, desired: u32, groups: &[String]) -> Value {
    let subnet = model::network::Vpc::default_of(&world.scope()).subnets[0].id.clone();
    let request = json!({
        "serviceName": "web", "taskDefinition": "web", "desiredCount": desired, "launchType": "FARGATE",
        "networkConfiguration": {"awsvpcConfiguration": {"subnets": [subnet]}}, "loadBalancers": behind(groups),
    });
    world.call("CreateService", request).await["service"].clone()
}

fn service(tables: &Tables) -> Service {
    Service::clone(tables.services.iter().next().expect("the service is there"))
}

fn events(world: &World) -> Vec<String> {
    world.view().service_events.iter().map(|event| event.message.clone()).collect()
}

fn count_events(world: &World, text: &str) -> usize {
    events(world).iter().filter(|event| event.contains(text)).count()
}

fn fact(group: &str, target: &Target, state: TargetState, description: &str) -> TargetHealth {
    TargetHealth {
        target_group: group.to_owned(),
        address: SocketAddr::new(IpAddr::V4(target.address), target.port),
        state,
        reason: None,
        description: description.to_owned(),
        drained: state == TargetState::Draining,
    }
}

/// The data path says the same of all targets of the group that are registered, or that are draining.
fn say_of_all(world: &World, group: &str, state: TargetState) {
    let is_draining = state == TargetState::Draining;
    let view = world.view();
    let targets = view.targets.iter().filter(|target| target.deregistered_at.is_some() == is_draining);
    let name = group.rsplit('/').nth(1).unwrap();
    for target in targets.filter(|target| target.group == name) {
        world.control.traffic.tell(fact(group, target, state, "Request timed out"));
    }
}

fn registered(tables: &Tables) -> usize {
    tables.targets.iter().filter(|target| target.deregistered_at.is_none()).count()
}

fn statuses(tables: &Tables) -> Vec<TaskTargetStatus> {
    tables.tasks.iter().flat_map(|task| &task.targets).map(|target| target.status).collect()
}

/// Waits until so many targets are registered, finds them healthy, and waits until the service is steady.
async fn steady(world: &World, groups: &[String], targets: usize) {
    world.until("all are registered", |tables| registered(tables) == targets).await;
    groups.iter().for_each(|group| say_of_all(world, group, TargetState::Healthy));
    world.until("it is steady", |tables| service(tables).steady_at.is_some()).await;
}

fn only_task(tables: &Tables) -> Task {
    Task::clone(tables.tasks.iter().next().expect("a task"))
}

#[tokio::test]
async fn tasks_are_registered_when_they_run_and_drained_before_they_stop() {
    let (world, groups) = world(1).await;
    let created = create(&world, 2, &groups).await;
    assert_eq!(created["loadBalancers"], behind(&groups));
    world.until("both are registered", |tables| registered(tables) == 2).await;
    for task in world.view().tasks.iter() {
        let address = task.attachment.as_ref().unwrap().address;
        let key = (world.scope(), "web-0".to_owned(), address, 8080);
        assert_eq!(world.view().targets.get(&key).unwrap().task, Some(task.id));
        assert_eq!(task.last_status, TaskStatus::Running);
    }
    world.clock.advance(Duration::from_secs(600));
    assert_eq!(service(&world.view()).steady_at, None, "running is not enough");
    steady(&world, &groups, 2).await;

    world.call("UpdateService", json!({"service": "web", "desiredCount": 1})).await;
    world.until("one drains", |tables| registered(tables) == 1).await;
    let is_leaving = |task: &&std::sync::Arc<Task>| task.desired_status == DesiredStatus::Stopped;
    let leaving = world.view().tasks.iter().find(is_leaving).expect("one is to stop").id;
    let row = world.task(leaving);
    assert_eq!((row.last_status, row.targets[0].status), (TaskStatus::Deactivating, TaskTargetStatus::Draining));
    say_of_all(&world, &groups[0], TargetState::Draining);
    world.until("it has stopped", |tables| tables.tasks.get(&leaving).is_some_and(|task| task.counted)).await;
    assert_eq!(world.view().targets.len(), 1);
    let said: Vec<String> = events(&world).into_iter().filter(|event| !event.contains("(task ")).collect();
    let deployment = service(&world.view()).deployments[0].id.clone();
    assert_eq!(
        said,
        [
            format!("(service web) registered 2 targets in (target-group {})", groups[0]),
            format!("(service web) (deployment {deployment}) deployment completed."),
            "(service web) has reached a steady state.".to_owned(),
            format!("(service web) deregistered 1 targets in (target-group {})", groups[0]),
            "(service web) has begun draining connections on 1 tasks.".to_owned(),
        ]
    );
    world.check_ledger();
}

#[tokio::test]
async fn requests_that_do_not_end_are_waited_for_no_longer_than_the_delay() {
    let (world, groups) = world(1).await;
    create(&world, 1, &groups).await;
    steady(&world, &groups, 1).await;
    let task = only_task(&world.view()).id;
    world.call("StopTask", json!({"task": task.to_string()})).await;
    world.until("its successor runs", |tables| registered(tables) == 1 && tables.targets.len() == 2).await;
    world.clock.advance(Duration::from_secs(299));
    assert_eq!(world.task(task).last_status, TaskStatus::Deactivating);
    world.clock.advance(Duration::from_secs(1));
    world.until("it has stopped", |tables| tables.tasks.get(&task).is_some_and(|task| task.counted)).await;
}

#[tokio::test]
async fn a_target_that_fails_has_its_task_replaced() {
    let (world, groups) = world(1).await;
    create(&world, 1, &groups).await;
    steady(&world, &groups, 1).await;
    let bad = only_task(&world.view()).id;
    say_of_all(&world, &groups[0], TargetState::Unhealthy);
    world.until("another one is registered", |tables| registered(tables) == 2).await;
    assert_eq!(world.task(bad).desired_status, DesiredStatus::Running, "not before the other one works");
    let good = world.view().targets.iter().find(|target| target.task != Some(bad)).unwrap().clone();
    world.control.traffic.tell(fact(&groups[0], &good, TargetState::Healthy, ""));
    world.until("it drains", |tables| tables.tasks.get(&bad).unwrap().last_status == TaskStatus::Deactivating).await;
    let reason = format!("Task failed ELB health checks in (target-group {})", groups[0]);
    assert_eq!(world.task(bad).stopped_reason.as_deref(), Some(&*reason));
    let said = format!(
        "(service web) (task {bad}) (port 8080) is unhealthy in (target-group {}) due to (reason Request timed out).",
        groups[0]
    );
    assert!(events(&world).contains(&said), "{:?}", events(&world));
}

#[tokio::test]
async fn a_task_that_dies_is_taken_out_at_once() {
    let (world, groups) = world(1).await;
    create(&world, 1, &groups).await;
    steady(&world, &groups, 1).await;
    let dead = only_task(&world.view()).id;
    // The node is taken over by a link that the test moves.
    let (mut link, _) = Link::join(&world, NODE).await;
    link.report(vec![report(dead, 99, ReportedStatus::Stopped)]).await;
    world.until("it is deregistered", |tables| registered(tables) == 0).await;
    say_of_all(&world, &groups[0], TargetState::Draining);
    let is_gone = |tables: &Tables| tables.tasks.get(&dead).unwrap().targets[0].status == TaskTargetStatus::Gone;
    world.until("nothing is left of it", |tables| tables.targets.is_empty() && is_gone(tables)).await;
}

#[tokio::test]
async fn a_restart_in_the_middle_loses_and_repeats_nothing() {
    let (mut world, groups) = world(1).await;
    create(&world, 2, &groups).await;
    steady(&world, &groups, 2).await;
    let said = events(&world);
    world.restart().await;
    let (link, desired) = Link::join(&world, NODE).await;
    serve(link, desired, &Registry::default());
    say_of_all(&world, &groups[0], TargetState::Initial);
    world.clock.advance(Duration::from_secs(60));
    assert_eq!(statuses(&world.view()), [TaskTargetStatus::Healthy; 2], "the data path has not looked yet");

    world.call("UpdateService", json!({"service": "web", "desiredCount": 1})).await;
    world.until("one drains", |tables| statuses(tables).contains(&TaskTargetStatus::Draining)).await;
    world.restart().await;
    let (link, desired) = Link::join(&world, NODE).await;
    assert!(desired.tasks.iter().all(|task| task.desired_status == DesiredStatus::Running), "it runs on");
    serve(link, desired, &Registry::default());
    say_of_all(&world, &groups[0], TargetState::Draining);
    let ended = |tables: &Tables| tables.tasks.iter().any(|task| task.counted) && tables.targets.len() == 1;
    world.until("it has stopped", ended).await;
    assert_eq!(events(&world)[..said.len()], said);
    for (text, count) in [("registered 2 targets", 1), ("deregistered 1 targets", 1), ("draining", 1), ("steady", 1)] {
        assert_eq!(count_events(&world, text), count, "{text}: {:?}", events(&world));
    }
}

#[tokio::test]
async fn in_several_groups_a_task_is_activating_first() {
    let (world, groups) = world(2).await;
    create(&world, 1, &groups).await;
    world.until("it is in both", |tables| registered(tables) == 2).await;
    let task = only_task(&world.view());
    assert_eq!((task.last_status, task.targets.len()), (TaskStatus::Running, 2));
    say_of_all(&world, &groups[0], TargetState::Healthy);
    world.until("one knows", |tables| statuses(tables).contains(&TaskTargetStatus::Healthy)).await;
    assert_eq!(service(&world.view()).steady_at, None, "one is not enough");
    steady(&world, &groups, 2).await;
}

#[tokio::test]
async fn what_is_taken_out_by_hand_is_replaced() {
    let (world, groups) = world(1).await;
    create(&world, 1, &groups).await;
    steady(&world, &groups, 1).await;
    let task = only_task(&world.view());
    let target = json!({"Id": task.attachment.unwrap().address.to_string(), "Port": 8080});
    world.balance("DeregisterTargets", json!({"TargetGroupArn": groups[0], "Targets": [target]})).await;
    world.until("another one is there", |tables| registered(tables) == 1).await;
    say_of_all(&world, &groups[0], TargetState::Healthy);
    let is_leaving = |task: &Task| task.desired_status == DesiredStatus::Stopped;
    world.until("it goes", |tables| tables.tasks.get(&task.id).is_some_and(|task| is_leaving(task))).await;
    let text = format!("is not healthy in target-group ({}) due to TARGET IS NOT FOUND.", groups[0]);
    assert_eq!(count_events(&world, &text), 1, "{:?}", events(&world));
}

#[tokio::test]
async fn ports_that_the_node_chose_are_registered_by_its_instance() {
    let (world, groups) = world(1).await;
    let vpc = model::network::Vpc::default_of(&world.scope());
    let group = json!({"Name": "machines", "Protocol": "HTTP", "Port": 80, "VpcId": vpc.id});
    let made = world.balance("CreateTargetGroup", group).await["TargetGroups"][0].clone();
    assert_eq!(made["TargetType"], "instance");
    let arn = made["TargetGroupArn"].as_str().unwrap().to_owned();
    let view = world.view();
    let listener = view.listeners.iter().next().unwrap().arn().to_string();
    let action = json!([{"Type": "forward", "TargetGroupArn": arn}]);
    world.balance("ModifyListener", json!({"ListenerArn": listener, "DefaultActions": action})).await;
    let definition = json!({
        "family": "bridged", "containerDefinitions": [
            {"name": "app", "image": "one", "memory": 64, "portMappings": [{"containerPort": 8080, "hostPort": 0}]},
        ],
    });
    world.call("RegisterTaskDefinition", definition).await;
    let request = |group: &str| {
        json!({
            "serviceName": "web", "taskDefinition": "bridged", "desiredCount": 2,
            "loadBalancers": behind(&[group.to_owned()]), "role": "arn:aws:iam::000000000000:role/r",
        })
    };
    let refused = world.try_call("CreateService", request(&groups[0])).await.unwrap_err();
    let mode =
        "has target type ip, which is incompatible with the bridge network mode specified in the task definition.";
    assert_eq!(refused, format!("InvalidParameterException: The provided target group {} {mode}", groups[0]));
    let created = world.call("CreateService", request(&arn)).await;
    assert_eq!(created["service"]["roleArn"], "arn:aws:iam::000000000000:role/r");
    world.until("both are registered", |tables| registered(tables) == 2).await;
    let health = world.balance("DescribeTargetHealth", json!({"TargetGroupArn": arn})).await;
    let shown: Vec<_> =
        health["TargetHealthDescriptions"].as_array().unwrap().iter().map(|row| &row["Target"]["Id"]).collect();
    let instance = format!("i-{:017x}", NODE.0);
    assert_eq!(shown, [&json!(instance); 2]);

    let target = Target::clone(world.view().targets.iter().next().unwrap());
    world.control.traffic.tell(fact(&arn, &target, TargetState::Unhealthy, "Request timed out"));
    world.until("another one is registered", |tables| registered(tables) == 3).await;
    say_of_all(&world, &arn, TargetState::Healthy);
    let bad = target.task.unwrap();
    world.control.traffic.tell(fact(&arn, &target, TargetState::Unhealthy, "Request timed out"));
    world.until("the bad one goes", |tables| tables.tasks.get(&bad).unwrap().stopping_at.is_some()).await;
    let said = format!("(instance {instance}) (port {}) is unhealthy in (target-group {arn})", target.port);
    assert_eq!(count_events(&world, &said), 1, "{:?}", events(&world));
}

#[tokio::test]
async fn a_deleted_service_drains_its_tasks_first() {
    let (world, groups) = world(1).await;
    create(&world, 2, &groups).await;
    steady(&world, &groups, 2).await;
    world.call("DeleteService", json!({"service": "web", "force": true})).await;
    world.until("they drain", |tables| registered(tables) == 0).await;
    assert_eq!(service(&world.view()).status, ServiceStatus::Draining);
    say_of_all(&world, &groups[0], TargetState::Draining);
    world.until("it is over", |tables| service(tables).status == ServiceStatus::Inactive).await;
    world.until("so are they", |tables| tables.tasks.iter().all(|task| task.counted)).await;
    assert!(world.view().targets.is_empty());
}

#[tokio::test]
async fn shutdown_drains_too() {
    let (world, groups) = world(1).await;
    create(&world, 2, &groups).await;
    steady(&world, &groups, 2).await;
    let control = world.control.clone();
    let stopping = tokio::spawn(async move { control.stop_tasks(support::LIMIT).await });
    world.until("they drain", |tables| registered(tables) == 0).await;
    say_of_all(&world, &groups[0], TargetState::Draining);
    assert_eq!(stopping.await.unwrap().unwrap().left, 0);
}

#[tokio::test]
async fn other_load_balancers_are_another_deployment() {
    let (world, groups) = world(2).await;
    create(&world, 1, &groups[..1]).await;
    steady(&world, &groups, 1).await;
    let first = only_task(&world.view()).id;
    let same = json!({"service": "web", "loadBalancers": behind(&groups[..1])});
    let answer = world.call("UpdateService", same).await;
    assert_eq!(answer["service"]["deployments"].as_array().unwrap().len(), 1, "nothing new");
    let update = json!({"service": "web", "loadBalancers": behind(&groups[1..])});
    let answer = world.call("UpdateService", update).await["service"].clone();
    assert_eq!(answer["deployments"].as_array().unwrap().len(), 2);
    assert_eq!(answer["loadBalancers"], behind(&groups[1..]));
    let revision = answer["currentServiceRevisions"][0]["arn"].clone();
    let revisions = json!({"serviceRevisionArns": [revision]});
    let revision = world.call("DescribeServiceRevisions", revisions).await["serviceRevisions"][0].clone();
    assert_eq!(revision["loadBalancers"], behind(&groups[1..]));
    assert_eq!(revision["resolvedConfiguration"], json!({"loadBalancers": [{"targetGroupArn": groups[1]}]}));

    world.until("it is in the new group", |tables| tables.targets.iter().any(|row| row.group == "web-1")).await;
    say_of_all(&world, &groups[1], TargetState::Healthy);
    let is_leaving = |tables: &Tables, id: TaskId| tables.tasks.get(&id).is_some_and(|task| task.stopping_at.is_some());
    world.until("the old one goes", |tables| is_leaving(tables, first)).await;
    let none = world.call("UpdateService", json!({"service": "web", "loadBalancers": []})).await;
    assert_eq!(none["service"]["loadBalancers"], json!([]));
}

/// What the default rule of the listener on this port forwards to.
fn weights(tables: &Tables, port: u16) -> Vec<(String, u32)> {
    let listener = tables.listeners.iter().find(|listener| listener.port == port).expect("a listener");
    match &listener.action {
        Action::Forward(forward) => forward.groups.clone(),
        other => panic!("not forward: {other:?}"),
    }
}

fn rule(world: &World, port: u16) -> String {
    let view = world.view();
    let listener = view.listeners.iter().find(|listener| listener.port == port).expect("a listener");
    listener.default_rule_arn().to_string()
}

async fn until_over(world: &World, status: ServiceDeploymentStatus) {
    let is_over = |tables: &Tables| {
        let newest = service(tables).service_deployment.unwrap();
        tables.service_deployments.iter().any(|row| row.id == newest && row.status == status)
    };
    world.until("the deployment is over", is_over).await;
}

#[tokio::test]
async fn a_pair_of_groups_takes_turns() {
    let (world, groups) = world(2).await;
    let advanced = json!({
        "alternateTargetGroupArn": groups[1], "productionListenerRule": rule(&world, 80),
        "testListenerRule": rule(&world, 81), "roleArn": "arn:aws:iam::000000000000:role/r",
    });
    let mut load_balancers = behind(&groups[..1]);
    load_balancers[0]["advancedConfiguration"] = advanced;
    let subnet = model::network::Vpc::default_of(&world.scope()).subnets[0].id.clone();
    let request = json!({
        "serviceName": "web", "taskDefinition": "web", "desiredCount": 1, "launchType": "FARGATE",
        "networkConfiguration": {"awsvpcConfiguration": {"subnets": [subnet]}}, "loadBalancers": load_balancers,
        "deploymentConfiguration": {"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 5},
    });
    let created = world.call("CreateService", request).await["service"].clone();
    assert_eq!(created["loadBalancers"], load_balancers);
    world.until("blue is registered", |tables| registered(tables) == 1).await;
    assert_eq!(weights(&world.view(), 80), [(groups[0].clone(), 1)], "as it was made");
    say_of_all(&world, &groups[0], TargetState::Healthy);
    until_over(&world, ServiceDeploymentStatus::Successful).await;
    let all_to = |group: usize| [(groups[0].clone(), [100, 0][group]), (groups[1].clone(), [0, 100][group])];
    assert_eq!(weights(&world.view(), 80), all_to(0));

    for (kind, status, left) in
        [("stop", ServiceDeploymentStatus::RollbackSuccessful, 0), ("", ServiceDeploymentStatus::Successful, 1)]
    {
        world.call("UpdateService", json!({"service": "web", "forceNewDeployment": true})).await;
        world.until("green is registered", |tables| registered(tables) == 2).await;
        assert_eq!(weights(&world.view(), 80), all_to(0));
        say_of_all(&world, &groups[1], TargetState::Healthy);
        world.until("green gets all", |tables| weights(tables, 80) == all_to(1)).await;
        assert_eq!(weights(&world.view(), 81), all_to(1));
        if kind == "stop" {
            let arn = world.call("DescribeServices", json!({"services": ["web"]})).await["services"][0]
                ["currentServiceDeployment"]
                .clone();
            world.call("StopServiceDeployment", json!({"serviceDeploymentArn": arn})).await;
        } else {
            world.clock.advance(Duration::from_secs(300));
        }
        until_over(&world, status).await;
        assert_eq!(
            (weights(&world.view(), 80), weights(&world.view(), 81)),
            (all_to(left).into(), all_to(left).into())
        );
        world.until("the others drain", |tables| registered(tables) == 1).await;
        groups.iter().for_each(|group| say_of_all(&world, group, TargetState::Draining));
        world.until("they are gone", |tables| tables.targets.len() == 1).await;
    }
    let shown = world.call("DescribeServices", json!({"services": ["web"]})).await["services"][0].clone();
    let revisions = json!({"serviceRevisionArns": [shown["currentServiceRevisions"][0]["arn"]]});
    let revision = world.call("DescribeServiceRevisions", revisions).await["serviceRevisions"][0].clone();
    assert_eq!(
        revision["resolvedConfiguration"]["loadBalancers"],
        json!([{"targetGroupArn": groups[1], "productionListenerRule": rule(&world, 80)}])
    );
}

#[tokio::test]
async fn what_cannot_be_is_refused() {
    let (world, groups) = world(1).await;
    let vpc = model::network::Vpc::default_of(&world.scope());
    let unused = json!({"Name": "unused", "Protocol": "HTTP", "Port": 80, "VpcId": vpc.id, "TargetType": "ip"});
    let unused = world.balance("CreateTargetGroup", unused).await["TargetGroups"][0]["TargetGroupArn"].clone();
    let unused = unused.as_str().unwrap();
    let other = format!("{}0", &groups[0][..groups[0].len() - 1]);
    let with = |change: Value| {
        let mut row = behind(&groups)[0].clone();
        for (field, value) in change.as_object().unwrap() {
            row[field] = value.clone();
        }
        json!([row])
    };
    let check = async |load_balancers: Value, expected: &str| {
        let request = json!({
            "serviceName": "web", "taskDefinition": "web", "desiredCount": 1, "launchType": "FARGATE",
            "networkConfiguration": {"awsvpcConfiguration": {"subnets": [vpc.subnets[0].id]}},
            "loadBalancers": load_balancers,
        });
        let refused = world.try_call("CreateService", request).await.unwrap_err();
        assert_eq!(refused, expected);
    };
    let invalid = |text: String| format!("InvalidParameterException: {text}");
    check(
        with(json!({"containerName": "other"})),
        &invalid("The container other does not exist in the task definition.".to_owned()),
    )
    .await;
    check(
        with(json!({"containerPort": 81})),
        &invalid("The container app did not have a container port 81 defined.".to_owned()),
    )
    .await;
    check(
        with(json!({"targetGroupArn": other})),
        &invalid(format!("The target group with targetGroupArn {other} does not exist.")),
    )
    .await;
    check(
        with(json!({"targetGroupArn": unused})),
        &invalid(format!("The target group with targetGroupArn {unused} does not have an associated load balancer.")),
    )
    .await;
    let twice = json!([behind(&groups)[0], behind(&groups)[0]]);
    check(twice, &invalid(format!("Duplicate targetGroupArn found: {}", groups[0]))).await;
    let strictly = "All loadBalancers must be strictly either ELBv1 (defining loadBalancerName) or ELBv2 (defining \
                    targetGroupArn)";
    check(with(json!({"loadBalancerName": "old"})), &invalid(strictly.to_owned())).await;
    check(with(json!({"targetGroupArn": null})), &invalid(strictly.to_owned())).await;
    check(
        with(json!({"targetGroupArn": null, "loadBalancerName": "old"})),
        "ClientException: Classic Load Balancers ('loadBalancerName') are not supported by Gantry. Target groups are.",
    )
    .await;
    check(
        with(json!({"advancedConfiguration": {"alternateTargetGroupArn": unused, "productionListenerRule": "x"}})),
        &invalid(
            "productionListenerRule has an invalid ARN format. Must be RuleArn for ALB or ListenerArn for NLB. Got: x"
                .to_owned(),
        ),
    )
    .await;
    let advanced = |production: &str, test: &str| {
        json!({
            "alternateTargetGroupArn": unused, "productionListenerRule": production, "testListenerRule": test,
            "roleArn": "arn:aws:iam::000000000000:role/balancing",
        })
    };
    let rule = "arn:aws:elasticloadbalancing:us-east-1:000000000000:listener-rule/app/front/1/2/3";
    let one = with(json!({"advancedConfiguration": advanced(rule, rule)}));
    let twofold = format!("The following rules cannot be used as both production and test listener rules: {rule}");
    check(one.clone(), &invalid(twofold)).await;
    let some = json!([one[0], with(json!({"targetGroupArn": unused}))[0]]);
    let all = "Either all or none of the provided loadBalancers must have advancedConfiguration defined";
    check(some, &invalid(all.to_owned())).await;
    let old = with(json!({
        "targetGroupArn": null, "loadBalancerName": "old", "advancedConfiguration": advanced(rule, "x"),
    }));
    check(old, &invalid("advancedConfiguration field is not allowed with ELBv1 loadBalancers".to_owned())).await;
}
