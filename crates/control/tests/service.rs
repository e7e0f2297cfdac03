//! Services kept by the loop, with a node moved by hand and a clock that stands still until it is moved.

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use model::link::ReportedStatus;
use model::service::{Rollout, ServiceStatus};
use model::{DesiredStatus, NodeId, Service, StopCode, Task, TaskStatus};
use plan::service::PROVING;
use serde_json::{Value, json};
use store::Tables;
use support::World;
use support::node::{Link, report};
use support::obedient::{Registry, join, serve};

const NODE: NodeId = NodeId(7);

async fn register(world: &World, image: &str) {
    let definition = json!({
        "family": "web", "networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"], "cpu": "256", "memory": "512",
        "containerDefinitions": [{"name": "app", "image": image}],
    });
    world.call("RegisterTaskDefinition", definition).await;
}

async fn world() -> World {
    let world = World::new().await;
    join(&world, NODE).await;
    register(&world, "one").await;
    world
}

fn subnets(world: &World) -> Value {
    let subnet = model::network::Vpc::default_of(&world.scope()).subnets[0].id.clone();
    json!({"awsvpcConfiguration": {"subnets": [subnet]}})
}

async fn create(world: &World, desired: u32, configuration: Value) -> Value {
    let request = json!({
        "serviceName": "web", "taskDefinition": "web", "desiredCount": desired, "launchType": "FARGATE",
        "networkConfiguration": subnets(world), "deploymentConfiguration": configuration,
    });
    world.call("CreateService", request).await["service"].clone()
}

fn service(tables: &Tables) -> Service {
    Service::clone(tables.services.iter().next().expect("the service is there"))
}

fn running(tables: &Tables, revision: u32) -> usize {
    tables.tasks.iter().filter(|task| task.last_status == TaskStatus::Running && task.revision == revision).count()
}

/// The service's messages, oldest first.
fn events(world: &World) -> Vec<String> {
    world.view().service_events.iter().map(|event| event.message.clone()).collect()
}

/// Waits until this many tasks of the revision run, lets them prove themselves, and waits until it is steady.
async fn steady(world: &World, revision: u32, count: usize) {
    world.until("all run", |tables| running(tables, revision) == count).await;
    world.clock.advance(PROVING);
    let is_steady = |tables: &Tables| {
        let row = service(tables);
        row.steady_at.is_some() && row.deployments[0].rollout == Rollout::Completed && row.deployments.len() == 1
    };
    world.until("it is steady", is_steady).await;
    world
        .until("the old ones are gone", |tables| {
            tables
                .tasks
                .iter()
                .all(|task| task.last_status >= TaskStatus::Stopped || task.desired_status == DesiredStatus::Running)
        })
        .await;
    world.check_ledger();
}

async fn described(world: &World) -> Value {
    world.call("DescribeServices", json!({"services": ["web"]})).await["services"][0].clone()
}

#[tokio::test]
async fn a_service_reaches_its_count_and_follows_it() {
    let world = world().await;
    let created = create(&world, 2, json!({})).await;
    let deployment = created["deployments"][0]["id"].as_str().unwrap().to_owned();
    steady(&world, 1, 2).await;
    let shown = described(&world).await;
    assert_eq!((&shown["runningCount"], &shown["pendingCount"]), (&json!(2), &json!(0)));
    assert_eq!(shown["deployments"].as_array().unwrap().len(), 1);
    assert_eq!(shown["deployments"][0]["rolloutState"], "COMPLETED");
    let messages: Vec<_> = shown["events"].as_array().unwrap().iter().map(|event| event["message"].clone()).collect();
    assert_eq!(messages[0], "(service web) has reached a steady state.");
    assert_eq!(messages[1], format!("(service web) (deployment {deployment}) deployment completed."));
    assert!(messages[2].as_str().unwrap().starts_with("(service web) has started 2 tasks: (task "));

    let listed = world.call("ListTasks", json!({"serviceName": "web"})).await;
    assert_eq!(listed["taskArns"].as_array().unwrap().len(), 2);
    for task in world.view().tasks.iter() {
        assert_eq!((task.group.as_str(), task.started_by.as_deref()), ("service:web", Some(deployment.as_str())));
    }

    world.call("UpdateService", json!({"service": "web", "desiredCount": 4})).await;
    steady(&world, 1, 4).await;
    world.call("UpdateService", json!({"service": "web", "desiredCount": 1})).await;
    steady(&world, 1, 1).await;
    let reason = format!("Scaling activity initiated by (deployment {deployment})");
    let view = world.view();
    let stopped: Vec<&Task> = view.tasks.iter().filter(|task| task.stopped_at.is_some()).map(AsRef::as_ref).collect();
    assert_eq!(stopped.len(), 3);
    for task in stopped {
        assert_eq!(
            (task.stop_code, task.stopped_reason.as_deref()),
            (Some(StopCode::ServiceSchedulerInitiated), Some(&*reason))
        );
    }
}

#[tokio::test]
async fn a_task_that_is_stopped_is_replaced() {
    let world = world().await;
    create(&world, 2, json!({})).await;
    steady(&world, 1, 2).await;
    let victim = world.view().tasks.iter().next().unwrap().id;
    world.call("StopTask", json!({"task": victim.to_string()})).await;
    world.until("it is replaced", |tables| running(tables, 1) == 2 && tables.tasks.len() == 3).await;
    steady(&world, 1, 2).await;
    assert!(world.task(victim).counted);
}

#[tokio::test]
async fn a_rolling_update_never_runs_fewer() {
    let world = world().await;
    create(&world, 2, json!({})).await;
    steady(&world, 1, 2).await;
    register(&world, "two").await;
    let updated = world.call("UpdateService", json!({"service": "web", "taskDefinition": "web"})).await;
    let statuses = updated["service"]["deployments"].as_array().unwrap().iter().map(|row| row["status"].clone());
    assert_eq!(statuses.collect::<Vec<_>>(), ["PRIMARY", "ACTIVE"]);
    world.until("both revisions run", |tables| running(tables, 2) == 2).await;
    assert_eq!(running(&world.view(), 1), 2, "the new ones have not proven themselves");
    steady(&world, 2, 2).await;
    assert_eq!(running(&world.view(), 1), 0);

    let deployment = described(&world).await["deployments"][0]["id"].clone();
    world.call("UpdateService", json!({"service": "web", "taskDefinition": "web:2"})).await;
    assert_eq!(described(&world).await["deployments"][0]["id"], deployment, "nothing new");
    world.call("UpdateService", json!({"service": "web", "forceNewDeployment": true})).await;
    assert_ne!(described(&world).await["deployments"][0]["id"], deployment);
    world.until("the forced ones run", |tables| running(tables, 2) == 4).await;
    steady(&world, 2, 4).await;
    world.until("the old ones are gone", |tables| running(tables, 2) == 2).await;
}

#[tokio::test]
async fn a_broken_revision_is_rolled_back() {
    let world = world().await;
    let breaker = json!({"deploymentCircuitBreaker": {"enable": true, "rollback": true}});
    create(&world, 2, breaker).await;
    steady(&world, 1, 2).await;
    let good = service(&world.view()).deployments[0].id.clone();
    register(&world, "broken").await;
    world.call("UpdateService", json!({"service": "web", "taskDefinition": "web:2"})).await;
    let bad = service(&world.view()).deployments[0].id.clone();
    world.until("a failure", |tables| service(tables).deployments[0].failed_tasks == 2).await;
    world.clock.advance(Duration::from_secs(1));
    world
        .until("it is rolled back", |tables| {
            let row = service(tables);
            row.deployments.len() == 1 && row.deployments[0].id == good
        })
        .await;
    let events = events(&world);
    for text in [
        format!("(service web) (deployment {bad}) deployment failed: tasks failed to start."),
        format!("(service web) rolling back to deployment {good}."),
    ] {
        assert!(events.contains(&text), "{text}: {events:?}");
    }
    assert_eq!(running(&world.view(), 1), 2);
    world.check_ledger();
}

#[tokio::test]
async fn a_service_without_room_waits_for_it() {
    let world = World::new().await;
    register(&world, "one").await;
    world.call("CreateCluster", json!({})).await;
    create(&world, 1, json!({})).await;
    world.until("it says so", |tables| !tables.service_events.is_empty()).await;
    assert_eq!(
        events(&world),
        ["(service web) was unable to place a task. Reason: Capacity is unavailable at this time. Please try again \
          later or in a different availability zone."]
    );
    let (link, desired) = Link::join(&world, NODE).await;
    serve(link, desired, &Registry::default());
    steady(&world, 1, 1).await;
}

#[tokio::test]
async fn a_deleted_service_stops_its_tasks() {
    let world = world().await;
    create(&world, 2, json!({})).await;
    steady(&world, 1, 2).await;
    let refused = world.try_call("DeleteService", json!({"service": "web"})).await;
    let text = "InvalidParameterException: The service cannot be stopped while it is scaled above 0.";
    assert_eq!(refused, Err(text.to_owned()));
    let refused = world.try_call("DeleteCluster", json!({"cluster": "default"})).await.unwrap_err();
    assert!(refused.contains("while "), "{refused}");
    let deleted = world.call("DeleteService", json!({"service": "web", "force": true})).await;
    assert_eq!(deleted["service"]["status"], "DRAINING");
    world.until("it is over", |tables| service(tables).status == ServiceStatus::Inactive).await;
    world
        .until("its tasks too", |tables| tables.tasks.iter().all(|task| task.stopped_at.is_some() && task.counted))
        .await;
    assert_eq!(described(&world).await["status"], "INACTIVE");
    assert_eq!(world.call("ListServices", json!({})).await["serviceArns"], json!([]));
    create(&world, 1, json!({})).await;
    steady(&world, 1, 1).await;
    world.clock.advance(control::ecs::service::INACTIVE_RETENTION);
    control::retention::sweep(&world.control).await.unwrap();
    assert_eq!(described(&world).await["status"], "ACTIVE");
}

#[tokio::test]
async fn a_restarted_control_plane_goes_on() {
    let mut world = world().await;
    create(&world, 2, json!({})).await;
    steady(&world, 1, 2).await;
    world.restart().await;
    let (link, desired) = Link::join(&world, NODE).await;
    assert_eq!(desired.tasks.len(), 2);
    serve(link, desired, &Registry::default());
    world.call("UpdateService", json!({"service": "web", "desiredCount": 1})).await;
    steady(&world, 1, 1).await;
}

#[tokio::test]
async fn what_shutdown_stops_is_not_replaced_until_the_next_start() {
    let mut world = world().await;
    create(&world, 2, json!({})).await;
    world.until("all run", |tables| running(tables, 1) == 2).await;

    let stopped = world.control.stop_tasks(support::LIMIT).await.unwrap();
    assert_eq!((stopped.asked, stopped.left), (2, 0));
    assert_eq!(world.view().tasks.len(), 2, "replaced");
    assert!(world.view().tasks.iter().all(|task| task.stop_code == Some(StopCode::UserInitiated)));
    assert_eq!(service(&world.view()).desired_count, 2, "the service stays what it was");
    assert_eq!(world.control.stop_tasks(support::LIMIT).await.unwrap(), Default::default());

    world.restart().await;
    let (link, desired) = Link::join(&world, NODE).await;
    serve(link, desired, &Registry::default());
    world.until("the service is taken up again", |tables| running(tables, 1) == 2).await;
}

/// Tasks of each capacity provider that are to run.
fn by_provider(tables: &Tables) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for task in tables.tasks.iter().filter(|task| task.desired_status == DesiredStatus::Running) {
        *counts.entry(task.capacity_provider.clone().unwrap_or_default()).or_default() += 1;
    }
    counts
}

fn shares(spot: usize, on_demand: usize) -> BTreeMap<String, usize> {
    let shares = [("FARGATE_SPOT", spot), ("FARGATE", on_demand)];
    shares.into_iter().filter(|(_, count)| *count > 0).map(|(name, count)| (name.to_owned(), count)).collect()
}

#[tokio::test]
async fn the_providers_keep_their_shares_out_and_in() {
    let world = world().await;
    let fargate = json!({
        "cluster": "default", "capacityProviders": ["FARGATE", "FARGATE_SPOT"], "defaultCapacityProviderStrategy": [],
    });
    world.call("PutClusterCapacityProviders", fargate).await;
    let strategy = json!([
        {"capacityProvider": "FARGATE", "base": 2, "weight": 1}, {"capacityProvider": "FARGATE_SPOT", "weight": 3},
    ]);
    let request = json!({
        "serviceName": "web", "taskDefinition": "web", "desiredCount": 10, "networkConfiguration": subnets(&world),
        "capacityProviderStrategy": strategy,
    });
    world.call("CreateService", request).await;
    steady(&world, 1, 10).await;
    assert_eq!(by_provider(&world.view()), shares(6, 4));
    for (desired, spot, on_demand) in [(6, 3, 3), (2, 0, 2), (14, 9, 5)] {
        world.call("UpdateService", json!({"service": "web", "desiredCount": desired})).await;
        steady(&world, 1, desired).await;
        assert_eq!(by_provider(&world.view()), shares(spot, on_demand), "{desired} tasks");
    }
    let back = json!({"service": "web", "capacityProviderStrategy": [], "forceNewDeployment": true, "desiredCount": 3});
    world.call("UpdateService", back).await;
    steady(&world, 1, 3).await;
    assert_eq!(by_provider(&world.view()), BTreeMap::from([(String::new(), 3)]));
}

/// The node that has the only running task of the service.
fn host(tables: &Tables) -> NodeId {
    let mut running = tables.tasks.iter().filter(|task| task.last_status == TaskStatus::Running);
    running.next().expect("a task runs").node.expect("it has a node")
}

#[tokio::test]
async fn a_drained_instance_is_left_once_the_replacement_works() {
    let world = World::new().await;
    let nodes = [NodeId(7), NodeId(8)];
    for node in nodes {
        join(&world, node).await;
    }
    register(&world, "one").await;
    create(&world, 1, json!({})).await;
    steady(&world, 1, 1).await;
    let old = host(&world.view());
    let instance = world.view().container_instance_of_node(old).unwrap().id.to_string();
    world.call("UpdateContainerInstancesState", json!({"containerInstances": [instance], "status": "DRAINING"})).await;
    world.until("the replacement runs beside it", |tables| running(tables, 1) == 2).await;
    steady(&world, 1, 2).await;
    world.until("it is left", |tables| running(tables, 1) == 1 && host(tables) != old).await;
    assert!(world.view().tasks_on_node(old).next().is_none());
    world.check_ledger();
}

#[tokio::test]
async fn tasks_of_a_dead_node_are_replaced_and_stopped_when_it_is_back() {
    let world = World::new().await;
    let nodes = [NodeId(7), NodeId(8)];
    let mut links = BTreeMap::new();
    for node in nodes {
        links.insert(node, join(&world, node).await);
    }
    register(&world, "one").await;
    create(&world, 1, json!({})).await;
    steady(&world, 1, 1).await;
    let (dead, lost) = (host(&world.view()), world.view().tasks.iter().next().unwrap().id);
    links[&dead].abort();
    world.until("it is gone", |tables| tables.nodes.get(&dead).is_some_and(|node| !node.connected)).await;
    world.clock.advance(control::config::NODE_LOST_AFTER);
    world.until("it is replaced", |tables| running(tables, 1) == 1 && host(tables) != dead).await;
    let row = world.task(lost);
    assert_eq!((row.last_status, row.stop_code), (TaskStatus::Stopping, Some(StopCode::TerminationNotice)));
    assert_eq!(row.stopped_reason.as_deref(), Some(&*format!("Host EC2 (instance i-{:017x}) stopped.", dead.0)));
    assert_eq!((described(&world).await["runningCount"].clone(), world.view().tasks.len()), (json!(1), 2));

    let (mut link, desired) = Link::join(&world, dead).await;
    assert_eq!(desired.statuses(), BTreeMap::from([(lost, DesiredStatus::Stopped)]), "it is told to stop the old one");
    link.report(vec![report(lost, 9, ReportedStatus::Stopped)]).await;
    world.until("it has stopped", |tables| tables.tasks.get(&lost).is_some_and(|task| task.counted)).await;
    steady(&world, 1, 1).await;
    assert_eq!(world.view().tasks.len(), 2);
}

#[tokio::test]
async fn tasks_of_a_deregistered_instance_are_replaced() {
    let world = World::new().await;
    join(&world, NodeId(7)).await;
    let job = json!({"family": "web", "containerDefinitions": [{"name": "app", "image": "one", "memory": 64}]});
    world.call("RegisterTaskDefinition", job).await;
    let request = json!({"serviceName": "web", "taskDefinition": "web", "desiredCount": 2});
    world.call("CreateService", request).await;
    steady(&world, 1, 2).await;
    join(&world, NodeId(8)).await;
    let instance = world.view().container_instance_of_node(NodeId(7)).unwrap().id.to_string();
    let request = json!({"containerInstance": instance, "force": true});
    world.call("DeregisterContainerInstance", request).await;
    world.until("both are replaced", |tables| running(tables, 1) == 2 && host(tables) == NodeId(8)).await;
    let view = world.view();
    let stopped: Vec<&Task> =
        view.tasks.iter().filter(|task| task.node == Some(NodeId(7))).map(AsRef::as_ref).collect();
    assert_eq!(stopped.len(), 2);
    for task in stopped {
        assert_eq!(task.stopped_reason.as_deref(), Some("Container instance deregistration forced by user"));
        assert_eq!(task.last_status, TaskStatus::Stopped);
    }
}

#[tokio::test]
async fn protected_tasks_survive_a_scale_in_until_their_protection_expires() {
    let world = world().await;
    create(&world, 3, json!({})).await;
    steady(&world, 1, 3).await;
    let protected = world.view().tasks.iter().next().unwrap().id;
    let request = json!({
        "cluster": "default", "tasks": [protected.to_string()], "protectionEnabled": true, "expiresInMinutes": 1,
    });
    world.call("UpdateTaskProtection", request).await;
    world.call("UpdateService", json!({"service": "web", "desiredCount": 0})).await;
    world.until("the others go", |tables| running(tables, 1) == 1).await;
    assert_eq!(world.task(protected).desired_status, DesiredStatus::Running);
    let held = "(reason 1 tasks under protection)";
    world.until("it says why", |tables| tables.service_events.iter().any(|row| row.message.ends_with(held))).await;
    world.clock.advance(Duration::from_secs(60));
    world.until("it goes too", |tables| running(tables, 1) == 0).await;
    steady(&world, 1, 0).await;
}

#[tokio::test]
async fn task_sets_are_kept_at_their_shares_and_go_when_they_are_deleted() {
    let world = world().await;
    let request = json!({"serviceName": "web", "desiredCount": 5, "deploymentController": {"type": "EXTERNAL"}});
    world.call("CreateService", request).await;
    let create = |scale: u32| {
        json!({
            "cluster": "default", "service": "web", "taskDefinition": "web", "launchType": "FARGATE",
            "networkConfiguration": subnets(&world), "scale": {"unit": "PERCENT", "value": scale},
        })
    };
    let blue = world.call("CreateTaskSet", create(100)).await["taskSet"].clone();
    world.until("all run", |tables| running(tables, 1) == 5).await;
    let green = world.call("CreateTaskSet", create(30)).await["taskSet"].clone();
    world.until("so do the others", |tables| running(tables, 1) == 7).await;
    let is_stable = |tables: &Tables| {
        let sets = service(tables).task_sets;
        sets.iter().all(|set| set.stability == model::task_set::Stability::SteadyState)
    };
    world.until("both are stable", is_stable).await;
    let sets = world.call("DescribeTaskSets", json!({"cluster": "default", "service": "web"})).await;
    let counts: Vec<_> = sets["taskSets"].as_array().unwrap().iter().map(|set| set["runningCount"].clone()).collect();
    assert_eq!((counts, &sets["taskSets"][1]["stabilityStatus"]), (vec![json!(5), json!(2)], &json!("STEADY_STATE")));
    let listed = world.call("ListTasks", json!({"startedBy": green["id"]})).await;
    assert_eq!(listed["taskArns"].as_array().unwrap().len(), 2);

    let primary = json!({"cluster": "default", "service": "web", "primaryTaskSet": green["id"]});
    world.call("UpdateServicePrimaryTaskSet", primary).await;
    let delete = json!({"cluster": "default", "service": "web", "taskSet": blue["id"], "force": true});
    world.call("DeleteTaskSet", delete).await;
    world.until("the old one is gone", |tables| service(tables).task_sets.len() == 1).await;
    assert_eq!(running(&world.view(), 1), 2);
    world.clock.advance(PROVING);
    let is_told = |tables: &Tables| {
        let said = format!("(service web, taskSet {}) has reached a steady state.", green["id"].as_str().unwrap());
        tables.service_events.iter().any(|event| event.message == said)
    };
    world.until("it says that it is steady", is_told).await;
    assert!(
        events(&world)[0]
            .starts_with(&format!("(service web, taskSet {}) has started 5 tasks: ", blue["id"].as_str().unwrap()))
    );
    world.check_ledger();
    world.call("DeleteService", json!({"service": "web", "force": true})).await;
    world.until("it is over", |tables| service(tables).status == ServiceStatus::Inactive).await;
    assert!(service(&world.view()).task_sets.is_empty());
}
