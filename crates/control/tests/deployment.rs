//! Service deployments kept by the loop, with a node that obeys and a clock that stands still until it is moved.

mod support;

use std::time::Duration;

use model::service_deployment::{ServiceDeploymentStatus as Status, Stage};
use model::{NodeId, ServiceDeployment, TaskStatus};
use plan::service::PROVING;
use serde_json::{Value, json};
use store::Tables;
use support::World;
use support::node::Link;
use support::obedient::{BROKEN, Registry, serve};

const NODE: NodeId = NodeId(7);

async fn world() -> (World, Registry) {
    let world = World::new().await;
    let registry = Registry::default();
    let (link, desired) = Link::join(&world, NODE).await;
    serve(link, desired, &registry);
    register(&world, json!({"name": "app", "image": "one"})).await;
    (world, registry)
}

async fn register(world: &World, container: Value) {
    let definition = json!({
        "family": "web", "networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"], "cpu": "256", "memory": "512",
        "containerDefinitions": [container],
    });
    world.call("RegisterTaskDefinition", definition).await;
}

async fn create(world: &World, configuration: Value) {
    let subnet = model::network::Vpc::default_of(&world.scope()).subnets[0].id.clone();
    let request = json!({
        "serviceName": "web", "taskDefinition": "web", "desiredCount": 2, "launchType": "FARGATE",
        "networkConfiguration": {"awsvpcConfiguration": {"subnets": [subnet]}},
        "deploymentConfiguration": configuration,
    });
    world.call("CreateService", request).await;
}

async fn update(world: &World, mut changes: Value) -> String {
    changes["service"] = json!("web");
    let answer = world.call("UpdateService", changes).await;
    answer["service"]["currentServiceDeployment"].as_str().expect("a deployment").to_owned()
}

fn newest(tables: &Tables) -> ServiceDeployment {
    let service = tables.services.iter().next().expect("a service");
    let (scope, cluster, name) = service.key();
    let id = service.service_deployment.clone().expect("a deployment");
    ServiceDeployment::clone(tables.service_deployments.get(&(scope, cluster, name, id)).expect("its row"))
}

async fn until_status(world: &World, status: Status) {
    world.until(status.as_str(), |tables| newest(tables).status == status).await;
}

async fn until_stage(world: &World, stage: Stage) {
    let is_there = |tables: &Tables| newest(tables).progress.is_some_and(|progress| progress.stage == stage);
    world.until(stage.as_str(), is_there).await;
}

async fn until_running(world: &World, count: usize) {
    world.until("they run", |tables| running(tables) == count).await;
}

fn running(tables: &Tables) -> usize {
    tables.tasks.iter().filter(|task| task.last_status == TaskStatus::Running).count()
}

async fn described(world: &World, arn: &str) -> Value {
    let answer = world.call("DescribeServiceDeployments", json!({"serviceDeploymentArns": [arn]})).await;
    answer["serviceDeployments"][0].clone()
}

/// A service whose first deployment is over.
async fn steady(configuration: Value) -> (World, Registry) {
    let (world, registry) = world().await;
    create(&world, configuration).await;
    until_running(&world, 2).await;
    world.clock.advance(PROVING);
    until_status(&world, Status::Successful).await;
    (world, registry)
}

fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(minutes * 60)
}

#[tokio::test]
async fn a_rolling_deployment_is_recorded_to_its_end() {
    let (world, _) = steady(json!({})).await;
    let arn = update(&world, json!({"forceNewDeployment": true})).await;
    until_running(&world, 4).await;
    let begun = described(&world, &arn).await;
    assert_eq!((&begun["status"], &begun["finishedAt"]), (&json!("IN_PROGRESS"), &Value::Null));
    assert_eq!(begun["targetServiceRevision"]["runningTaskCount"], 2);
    assert_eq!(begun["sourceServiceRevisions"][0]["runningTaskCount"], 2);
    world.clock.advance(PROVING);
    until_status(&world, Status::Successful).await;
    let done = described(&world, &arn).await;
    assert_eq!(done["lifecycleStage"], Value::Null);
    assert_ne!(done["finishedAt"], Value::Null);
    assert_eq!(done["targetServiceRevision"]["requestedTaskCount"], 2);
    assert_eq!(done["sourceServiceRevisions"][0]["requestedTaskCount"], 0);
}

#[tokio::test]
async fn a_broken_revision_is_rolled_back_and_says_so() {
    let (world, _) = steady(json!({"deploymentCircuitBreaker": {"enable": true, "rollback": true}})).await;
    let good = newest(&world.view()).target;
    register(&world, json!({"name": "app", "image": BROKEN})).await;
    let arn = update(&world, json!({"taskDefinition": "web"})).await;
    world.until("two failures", |tables| newest(tables).breaker.failures == 2).await;
    world.clock.advance(Duration::from_secs(1));
    until_status(&world, Status::RollbackSuccessful).await;
    let shown = described(&world, &arn).await;
    let reason = "Service deployment rolled back because the circuit breaker threshold was exceeded.";
    assert_eq!(shown["statusReason"], reason);
    assert_eq!(shown["rollback"]["reason"], reason);
    assert!(shown["rollback"]["serviceRevisionArn"].as_str().unwrap().ends_with(&good), "{shown}");
    assert_eq!(shown["deploymentCircuitBreaker"]["status"], "TRIGGERED");
    let service = world.call("DescribeServices", json!({"services": ["web"]})).await["services"][0].clone();
    assert_eq!(service["currentServiceRevisions"][0]["arn"], shown["rollback"]["serviceRevisionArn"]);
}

#[tokio::test]
async fn a_first_deployment_that_fails_has_nothing_to_go_back_to() {
    let (world, _) = world().await;
    register(&world, json!({"name": "app", "image": BROKEN})).await;
    create(&world, json!({"deploymentCircuitBreaker": {"enable": true, "rollback": true}})).await;
    world.until("two failures", |tables| newest(tables).breaker.failures == 2).await;
    world.clock.advance(Duration::from_secs(1));
    until_status(&world, Status::RollbackFailed).await;
    let reason = newest(&world.view()).status_reason;
    assert_eq!(reason.as_deref(), Some("No rollback candidate was found to run the rollback."));
}

#[tokio::test]
async fn green_takes_over_from_blue_when_it_is_let() {
    let hook = json!({"targetType": "PAUSE", "lifecycleStages": ["POST_TEST_TRAFFIC_SHIFT"]});
    let (world, _) = steady(json!({})).await;
    let configuration = json!({"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 5, "lifecycleHooks": [hook]});
    let arn = update(&world, json!({"deploymentConfiguration": configuration, "forceNewDeployment": true})).await;
    until_running(&world, 4).await;
    world.clock.advance(PROVING);
    until_stage(&world, Stage::PostTestTrafficShift).await;
    let held = described(&world, &arn).await;
    assert_eq!(held["lifecycleStage"], "POST_TEST_TRAFFIC_SHIFT");
    let weights = |revision: &Value| {
        (revision["requestedTestTrafficWeight"].clone(), revision["requestedProductionTrafficWeight"].clone())
    };
    assert_eq!(weights(&held["targetServiceRevision"]), (json!(100), json!(0)));
    assert_eq!(weights(&held["sourceServiceRevisions"][0]), (json!(0), json!(100)));
    let hook = held["lifecycleHookDetails"][0].clone();
    assert_eq!((&hook["status"], &hook["targetType"]), (&json!("AWAITING_ACTION"), &json!("PAUSE")));
    world.call("ContinueServiceDeployment", json!({"serviceDeploymentArn": arn, "hookId": hook["hookId"]})).await;
    until_stage(&world, Stage::BakeTime).await;
    let shifted = described(&world, &arn).await;
    assert_eq!(weights(&shifted["targetServiceRevision"]), (json!(100), json!(100)));
    assert_eq!(running(&world.view()), 4, "both go on for the bake time");
    world.clock.advance(minutes(5));
    until_status(&world, Status::Successful).await;
    until_running(&world, 2).await;
    assert_eq!(newest(&world.view()).progress.map(|progress| progress.stage), Some(Stage::CleanUp));
    world.check_ledger();
}

#[tokio::test]
async fn a_canary_is_stopped_and_goes() {
    let canary = json!({"strategy": "CANARY", "canaryConfiguration": {"canaryPercent": 5}, "bakeTimeInMinutes": 0});
    let (world, _) = steady(canary).await;
    let blue = newest(&world.view()).target;
    let arn = update(&world, json!({"forceNewDeployment": true})).await;
    until_running(&world, 4).await;
    world.clock.advance(PROVING);
    until_stage(&world, Stage::ProductionTrafficShift).await;
    let shown = described(&world, &arn).await;
    assert_eq!(shown["targetServiceRevision"]["requestedProductionTrafficWeight"], 5);
    assert_eq!(shown["sourceServiceRevisions"][0]["requestedProductionTrafficWeight"], 95);
    world.call("StopServiceDeployment", json!({"serviceDeploymentArn": arn})).await;
    until_status(&world, Status::RollbackSuccessful).await;
    until_running(&world, 2).await;
    let service = world.view().services.iter().next().expect("a service").clone();
    assert_eq!(service.deployments[0].service_revision.as_ref(), Some(&blue));
    assert_eq!(
        described(&world, &arn).await["statusReason"],
        "Service deployment rolled back because it was requested."
    );
    world.check_ledger();
}

#[tokio::test]
async fn a_restarted_control_plane_takes_up_a_deployment_where_it_was() {
    let linear = json!({"strategy": "LINEAR", "linearConfiguration": {"stepPercent": 50, "stepBakeTimeInMinutes": 5}});
    let (mut world, registry) = steady(linear).await;
    update(&world, json!({"forceNewDeployment": true})).await;
    until_running(&world, 4).await;
    world.clock.advance(PROVING);
    until_stage(&world, Stage::ProductionTrafficShift).await;
    world.restart().await;
    let (link, desired) = Link::join(&world, NODE).await;
    serve(link, desired, &registry);
    world.clock.advance(minutes(5));
    until_status(&world, Status::Successful).await;
    until_running(&world, 2).await;
}

#[tokio::test]
async fn tasks_of_a_revision_run_the_image_that_its_first_one_ran() {
    let (world, registry) = steady(json!({})).await;
    let digest = registry.digest();
    let revision = newest(&world.view()).target;
    let row = world.view().service_revisions.iter().find(|row| row.id == revision).expect("its row").clone();
    assert_eq!(row.images[0].digest.as_ref(), Some(&digest));
    let arn = model::Arn::service_revision(&row.scope, &row.cluster, &row.service, &row.id).to_string();
    let shown = world.call("DescribeServiceRevisions", json!({"serviceRevisionArns": [arn]})).await;
    assert_eq!(
        shown["serviceRevisions"][0]["containerImages"],
        json!([{"containerName": "app", "image": "one", "imageDigest": digest}])
    );

    registry.push();
    update(&world, json!({"desiredCount": 3})).await;
    until_running(&world, 3).await;
    assert_eq!(registry.run(), ["one".to_owned(), "one".to_owned(), format!("one@{digest}")]);
    let view = world.view();
    assert!(view.tasks.iter().all(|task| task.containers[0].image_digest.as_ref() == Some(&digest)));

    // The next revision looks at the tag anew.
    world.clock.advance(PROVING);
    update(&world, json!({"forceNewDeployment": true})).await;
    world
        .until("it knows", |tables| {
            let target = newest(tables).target;
            tables.service_revisions.iter().any(|row| row.id == target && !row.wants_digests())
        })
        .await;
    let target = newest(&world.view()).target;
    let row = world.view().service_revisions.iter().find(|row| row.id == target).expect("its row").clone();
    assert_eq!(row.images[0].digest, Some(registry.digest()));
}

#[tokio::test]
async fn without_version_consistency_the_tag_decides() {
    let (world, registry) = world().await;
    register(&world, json!({"name": "app", "image": "one", "versionConsistency": "disabled"})).await;
    create(&world, json!({})).await;
    until_running(&world, 2).await;
    registry.push();
    update(&world, json!({"desiredCount": 3})).await;
    until_running(&world, 3).await;
    assert_eq!(registry.run(), ["one", "one", "one"]);
    let row = world.view().service_revisions.iter().next().expect("a revision").clone();
    assert_eq!(row.images[0].digest, None);
}
