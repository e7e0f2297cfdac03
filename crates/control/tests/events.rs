//! The events of what happens: their envelopes and details, and what a reader gets of them.

mod support;

use std::sync::Arc;
use std::time::Duration;

use control::event::{EVENTS_KEPT, Event, Kind, Next, READERS_MAX, Reader};
use model::link::ReportedStatus;
use model::{NodeId, TaskId, TaskStatus};
use plan::service::PROVING;
use serde_json::{Value, json};
use support::node::{Link, report};
use support::{LIMIT, World};

const NODE: NodeId = NodeId(7);

/// Reads until an event is `wanted`, and answers all that were read.
async fn read_until(reader: &mut Reader, what: &str, wanted: impl Fn(&Event) -> bool) -> Vec<Arc<Event>> {
    let mut read = Vec::new();
    let reading = async {
        loop {
            match reader.next().await {
                Next::Event(event) => {
                    read.push(event.clone());
                    if wanted(&event) {
                        return;
                    }
                }
                other => panic!("{other:?} instead of: {what}"),
            }
        }
    };
    let done = tokio::time::timeout(LIMIT, reading).await;
    assert!(done.is_ok(), "never: {what}, only {:?}", read.iter().map(|event| event.to_json()).collect::<Vec<_>>());
    read
}

async fn register(world: &World) {
    let definition = json!({
        "family": "web", "networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"], "cpu": "256", "memory": "512",
        "containerDefinitions": [{"name": "app", "image": "one"}],
    });
    world.call("RegisterTaskDefinition", definition).await;
}

fn network(world: &World) -> Value {
    let subnet = model::network::Vpc::default_of(&world.scope()).subnets[0].id.clone();
    json!({"awsvpcConfiguration": {"subnets": [subnet]}})
}

fn is_task_in(event: &Event, status: &str) -> bool {
    event.kind == Kind::Task && event.detail["lastStatus"] == status
}

#[tokio::test]
async fn a_task_is_told_of_from_its_beginning_to_its_end() {
    let world = World::new().await;
    let (mut link, _) = Link::join(&world, NODE).await;
    register(&world).await;
    let mut reader = world.control.events.read().unwrap();
    let request = json!({"taskDefinition": "web", "launchType": "FARGATE", "networkConfiguration": network(&world)});
    let answer = world.call("RunTask", request).await;
    let arn = answer["tasks"][0]["taskArn"].as_str().unwrap().to_owned();
    let id: TaskId = arn.rsplit('/').next().unwrap().parse().unwrap();
    let desired = link.desired().await;
    link.applied(&desired).await;
    link.report(vec![report(id, 1, ReportedStatus::Running)]).await;
    let mut read = read_until(&mut reader, "that it runs", |event| is_task_in(event, "RUNNING")).await;
    world.clock.advance(Duration::from_millis(1500));
    world.call("StopTask", json!({"task": arn})).await;
    link.report(vec![report(id, 2, ReportedStatus::Stopped)]).await;

    read.extend(read_until(&mut reader, "the task's end", |event| is_task_in(event, "STOPPED")).await);
    let tasks: Vec<_> = read.iter().filter(|event| event.kind == Kind::Task).collect();
    let statuses: Vec<_> = tasks.iter().map(|event| (&event.detail["lastStatus"], &event.detail["version"])).collect();
    assert_eq!(
        statuses,
        [
            (&json!("PROVISIONING"), &json!(1)),
            (&json!("RUNNING"), &json!(2)),
            (&json!("STOPPING"), &json!(3)),
            (&json!("STOPPED"), &json!(4)),
        ]
    );
    let mut whole = tasks[1].to_json();
    assert_eq!(whole["id"].as_str().unwrap().len(), 36);
    let detail = whole["detail"].take();
    assert_eq!(
        whole,
        json!({
            "version": "0", "id": whole["id"], "detail-type": "ECS Task State Change", "source": "aws.ecs",
            "account": "000000000000", "time": "2026-11-21T09:00:00Z", "region": "us-east-1", "resources": [arn],
            "detail": null,
        })
    );
    assert_eq!((&detail["taskArn"], &detail["desiredStatus"]), (&json!(arn), &json!("RUNNING")));
    assert_eq!(
        (&detail["createdAt"], &detail["updatedAt"]),
        (&json!("2026-11-21T09:00:00Z"), &json!("2026-11-21T09:00:00Z"))
    );
    assert_eq!(
        (&detail["attachments"][0]["type"], &detail["attachments"][0]["status"]),
        (&json!("eni"), &json!("ATTACHED"))
    );
    assert_eq!(detail["containers"][0]["lastStatus"], "RUNNING");
    assert_eq!(detail["tags"], Value::Null);
    let last = tasks[3].to_json();
    assert_eq!(
        (&last["time"], &last["detail"]["stoppedAt"]),
        (&json!("2026-11-21T09:00:01Z"), &json!("2026-11-21T09:00:01.5Z"))
    );
    let ids: std::collections::BTreeSet<_> = read.iter().map(|event| &event.id).collect();
    assert_eq!(ids.len(), read.len(), "no two events have one id");
}

#[tokio::test]
async fn a_container_instance_is_told_of_when_it_shows_something_else() {
    let world = World::new().await;
    let mut reader = world.control.events.read().unwrap();
    let (link, _) = Link::join(&world, NODE).await;
    let connected = |wanted: bool| {
        move |event: &Event| event.kind == Kind::ContainerInstance && event.detail["agentConnected"] == wanted
    };
    let read = read_until(&mut reader, "its registration", connected(true)).await;
    let first = read.last().unwrap().to_json();
    assert_eq!(first["resources"][0], first["detail"]["containerInstanceArn"]);
    assert_eq!(
        (&first["detail"]["status"], &first["detail"]["clusterArn"]),
        (&json!("ACTIVE"), &json!("arn:aws:ecs:us-east-1:000000000000:cluster/default"),)
    );
    assert!(first["detail"]["remainingResources"].as_array().is_some_and(|list| !list.is_empty()));

    register(&world).await;
    let request = json!({"taskDefinition": "web", "launchType": "FARGATE", "networkConfiguration": network(&world)});
    world.call("RunTask", request).await;
    let read = read_until(&mut reader, "what the task takes", |event| event.kind == Kind::ContainerInstance).await;
    let cpu = |event: &Event, list: &str| event.detail[list][0]["integerValue"].as_i64().unwrap();
    let taken = read.last().unwrap();
    assert_eq!(cpu(taken, "registeredResources") - cpu(taken, "remainingResources"), 256);
    drop(link);
    read_until(&mut reader, "that its agent is away", connected(false)).await;
}

#[tokio::test]
async fn a_service_tells_by_name_what_it_says_in_words() {
    let world = World::new().await;
    let (mut link, _) = Link::join(&world, NODE).await;
    register(&world).await;
    let mut reader = world.control.events.read().unwrap();
    let request = json!({
        "serviceName": "web", "taskDefinition": "web", "desiredCount": 1, "launchType": "FARGATE",
        "networkConfiguration": network(&world),
    });
    let created = world.call("CreateService", request).await;
    let (arn, deployment) =
        (created["service"]["serviceArn"].clone(), created["service"]["deployments"][0]["id"].clone());
    world.until("the task is there", |tables| !tables.tasks.is_empty()).await;
    let id = world.view().tasks.iter().next().unwrap().id;
    let desired = link.desired().await;
    link.applied(&desired).await;
    link.report(vec![report(id, 1, ReportedStatus::Running)]).await;
    world.until("it runs", |tables| tables.tasks.iter().all(|task| task.last_status == TaskStatus::Running)).await;
    world.clock.advance(PROVING);
    let is_steady = |event: &Event| event.detail.get("eventName") == Some(&json!("SERVICE_STEADY_STATE"));
    let read = read_until(&mut reader, "that it is steady", is_steady).await;
    let named = |kind: Kind| {
        let events = read.iter().filter(|event| event.kind == kind);
        events.map(|event| event.detail["eventName"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(named(Kind::Service), ["TASKS_STARTED", "SERVICE_STEADY_STATE"]);
    assert_eq!(named(Kind::Deployment), ["SERVICE_DEPLOYMENT_IN_PROGRESS", "SERVICE_DEPLOYMENT_COMPLETED"]);
    let begun = read.iter().find(|event| event.kind == Kind::Deployment).unwrap().to_json();
    assert_eq!(
        begun["detail"],
        json!({
            "eventType": "INFO", "eventName": "SERVICE_DEPLOYMENT_IN_PROGRESS", "deploymentId": deployment,
            "updatedAt": "2026-11-21T09:00:00Z",
            "reason": format!("ECS deployment {} in progress.", deployment.as_str().unwrap()),
        })
    );
    assert_eq!((&begun["resources"], &begun["detail-type"]), (&json!([arn]), &json!("ECS Deployment State Change")));
    let steady = read.last().unwrap().to_json();
    assert_eq!(
        steady["detail"],
        json!({
            "eventType": "INFO", "eventName": "SERVICE_STEADY_STATE",
            "clusterArn": "arn:aws:ecs:us-east-1:000000000000:cluster/default", "createdAt": "2026-11-21T09:00:40Z",
        })
    );
    assert_eq!((&steady["resources"], &steady["detail-type"]), (&json!([arn]), &json!("ECS Service Action")));
}

#[tokio::test]
async fn a_service_without_room_tells_why() {
    let world = World::new().await;
    register(&world).await;
    let mut reader = world.control.events.read().unwrap();
    world.call("CreateCluster", json!({})).await;
    let job = json!({"family": "job", "containerDefinitions": [{"name": "app", "image": "one", "memory": 64}]});
    world.call("RegisterTaskDefinition", job).await;
    world.call("CreateService", json!({"serviceName": "job", "taskDefinition": "job", "desiredCount": 1})).await;
    let read = read_until(&mut reader, "the failure", |event| event.kind == Kind::Service).await;
    let detail = &read.last().unwrap().detail;
    assert_eq!(
        (&detail["eventType"], &detail["eventName"], &detail["reason"]),
        (
            &json!("ERROR"),
            &json!("SERVICE_TASK_PLACEMENT_FAILURE"),
            &json!("No Container Instances were found in your cluster."),
        )
    );
}

#[tokio::test]
async fn a_reader_begins_with_what_was_lately_and_reads_everything_once() {
    let world = World::new().await;
    let (_link, _) = Link::join(&world, NODE).await;
    let early = world.place(1, NODE).await;
    world.until("it is there", |tables| tables.tasks.get(&early).is_some()).await;
    let of = |id: TaskId| move |event: &Event| event.resource.ends_with(&id.to_string());
    // The loop takes commits in by itself, so that a reader may be there before it: the event is read all the same.
    let mut reader = world.control.events.read().unwrap();
    read_until(&mut reader, "the early task", of(early)).await;
    let mut later = world.control.events.read().unwrap();
    let late = world.place(2, NODE).await;
    for (reader, tasks) in [(&mut reader, vec![late]), (&mut later, vec![early, late])] {
        let read = read_until(reader, "the late task", of(late)).await;
        let seen = read.iter().filter(|event| event.kind == Kind::Task).map(|event| event.resource.clone());
        let expected = tasks.iter().map(|id| format!("arn:aws:ecs:us-east-1:000000000000:task/default/{id}"));
        assert_eq!(seen.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_slow_reader_is_told_how_much_it_lost() {
    let world = World::new().await;
    let (_link, _) = Link::join(&world, NODE).await;
    let mut reader = world.control.events.read().unwrap();
    while reader.past().is_some() {}
    let count = EVENTS_KEPT as u64 + 50;
    let placing = world.control.store.write::<_, ()>(|txn| {
        (1..=count).for_each(|id| support::rows::place(txn, TaskId(id.into()), NODE));
        Ok(())
    });
    placing.await.unwrap();
    // The last event of the commit is told after all others.
    let mut witness = world.control.events.read().unwrap();
    read_until(&mut witness, "the last task", |event| event.resource.ends_with(&TaskId(count.into()).to_string()))
        .await;
    world.control.events.close();
    let Next::Lost(Some(lost)) = reader.next().await else { panic!("nothing was lost") };
    let mut read = 0;
    loop {
        match reader.next().await {
            Next::Event(_) => read += 1,
            Next::Closed => break,
            other => panic!("{other:?}"),
        }
    }
    assert!(lost >= 50 && lost + read >= count, "{lost} lost, {read} read");
    assert_eq!(read, EVENTS_KEPT as u64);
}

#[tokio::test]
async fn there_are_only_so_many_readers() {
    let world = World::new().await;
    let mut readers: Vec<_> = (0..READERS_MAX).map(|_| world.control.events.read().expect("a place")).collect();
    assert!(world.control.events.read().is_none());
    readers.pop();
    assert!(world.control.events.read().is_some());
    world.control.events.close();
    assert!(world.control.events.read().is_none());
}

#[tokio::test]
async fn capacity_providers_are_steady_once_they_have_room() {
    let world = World::new().await;
    let (mut link, _) = Link::join(&world, NODE).await;
    register(&world).await;
    let providers = ["FARGATE", "FARGATE_SPOT"];
    let put = json!({"cluster": "default", "capacityProviders": providers, "defaultCapacityProviderStrategy": []});
    world.call("PutClusterCapacityProviders", put).await;
    let mut reader = world.control.events.read().unwrap();
    let strategy: Value = providers.iter().map(|name| json!({"capacityProvider": name, "weight": 1})).collect();
    let request = json!({
        "serviceName": "web", "taskDefinition": "web", "desiredCount": 2, "capacityProviderStrategy": strategy,
        "networkConfiguration": network(&world),
    });
    world.call("CreateService", request).await;
    let desired = link.desired().await;
    link.applied(&desired).await;
    let running = desired.tasks.iter().map(|task| report(task.id, 1, ReportedStatus::Running)).collect();
    link.report(running).await;
    world.until("both run", |tables| tables.tasks.iter().all(|task| task.last_status == TaskStatus::Running)).await;
    world.clock.advance(PROVING);
    let is_named = |event: &Event, name: &str| event.kind == Kind::Service && event.detail["eventName"] == name;
    let read = read_until(&mut reader, "it is steady", |event| is_named(event, "SERVICE_STEADY_STATE")).await;
    let told: Vec<_> = read.iter().filter(|event| is_named(event, "CAPACITY_PROVIDER_STEADY_STATE")).collect();
    let arns = providers.map(|name| format!("arn:aws:ecs:us-east-1:000000000000:capacity-provider/{name}"));
    assert_eq!(told.len(), 1);
    assert_eq!(
        (&told[0].detail["eventType"], &told[0].detail["capacityProviderArns"], told[0].detail.get("reason")),
        (&json!("INFO"), &json!(arns), None)
    );
    let shown = world.call("DescribeServices", json!({"services": ["web"]})).await["services"][0]["events"].clone();
    let messages: Vec<_> = shown.as_array().unwrap().iter().map(|event| event["message"].as_str().unwrap()).collect();
    assert!(
        !messages.is_empty() && messages.iter().all(|message| message.starts_with("(service web)")),
        "{messages:?}"
    );
}
