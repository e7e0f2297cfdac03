//! StopTask, DescribeTasks, ListTasks.

use std::collections::BTreeSet;

use model::link::{ReportedStatus, TaskReport};
use model::task::advance;
use model::{Task, TaskStatus, TaskTarget, Timestamp};
use serde_json::{Value, json};

use crate::fleet::{id_of, in_zone_a, instance_arn, one_node, put_node, report, run};
use crate::world::World;

const UNKNOWN: &str = "0000000000000000000000000000abcd";

fn describe(world: &mut World, arn: &str) -> Value {
    world.call("DescribeTasks", json!({"tasks": [arn], "include": ["TAGS"]}))["tasks"][0].take()
}

#[test]
fn a_task_is_stopped_once() {
    let mut world = one_node();
    let arn = run(&mut world, json!({"taskDefinition": "job", "tags": [{"key": "a", "value": "1"}]}));
    let stopped = world.call("StopTask", json!({"task": arn, "reason": "enough"}));
    let task = &stopped["task"];
    let shown = (&task["desiredStatus"], &task["stopCode"], &task["stoppedReason"], &task["tags"]);
    assert_eq!(shown, (&json!("STOPPED"), &json!("UserInitiated"), &json!("enough"), &json!([])));
    assert_eq!(task["stoppingAt"], 1_700_000_000);
    let again = world.call("StopTask", json!({"task": id_of(&arn).to_string(), "reason": "other"}));
    assert_eq!(again, stopped);

    let arn = run(&mut world, json!({"taskDefinition": "job"}));
    let stopped = world.call("StopTask", json!({"task": arn, "cluster": "default"}));
    assert_eq!(stopped["task"]["stoppedReason"], "Task stopped by user");
}

#[test]
fn a_nodes_wrong_clock_puts_no_time_out_of_order_or_into_the_future() {
    const MINUTE: i64 = 60_000;
    // How far the node's clock is ahead, in minutes, and what it then says of a task that was made a minute ago.
    for (ahead, expected) in [(0, [10, 20, 30]), (5, [60, 60, 60]), (-5, [0, 0, 0])] {
        let mut world = one_node();
        let arn = run(&mut world, json!({"taskDefinition": "job"}));
        let made = world.now.as_millis();
        let said = |seconds: i64| Some(Timestamp(made + seconds * 1000 + ahead * MINUTE));
        let now = Timestamp(made + MINUTE);
        world.txn.update(&id_of(&arn), |task: &mut Task| {
            let running = TaskReport {
                started_at: said(30),
                pull_started_at: said(10),
                pull_stopped_at: said(20),
                ..empty_report(task, 1, ReportedStatus::Running)
            };
            assert!(advance(task, &running, now));
        });
        let task = world.txn.tasks.get(&id_of(&arn)).unwrap();
        let times = [task.pull_started_at, task.pull_stopped_at, task.started_at];
        let seconds = times.map(|at| (at.unwrap().as_millis() - made) / 1000);
        assert_eq!(seconds, expected, "{ahead} minutes ahead");
    }
}

fn empty_report(task: &Task, sequence: u64, status: ReportedStatus) -> TaskReport {
    TaskReport {
        task: task.id,
        sequence,
        status,
        containers: Vec::new(),
        started_at: None,
        pull_started_at: None,
        pull_stopped_at: None,
        execution_stopped_at: None,
        interface_attached: false,
        failure: None,
    }
}

/// Of a task that is to be in two target groups when it starts.
#[test]
fn a_task_that_ends_while_it_is_activated_started_before() {
    let mut world = one_node();
    let arn = run(&mut world, json!({"taskDefinition": "job"}));
    let made = world.now;
    let at = |seconds: i64| Timestamp(made.as_millis() + seconds * 1000);
    let waiting = |group: &str| TaskTarget::waiting(group, "app", 80);
    world.txn.update(&id_of(&arn), |task: &mut Task| {
        task.targets = vec![waiting("blue"), waiting("green")];
        let running = empty_report(task, 1, ReportedStatus::Running);
        assert!(advance(task, &TaskReport { started_at: Some(at(10)), ..running.clone() }, at(10)));
        assert_eq!((task.last_status, task.started_at), (TaskStatus::Activating, None));
        let ended =
            TaskReport { sequence: 2, started_at: Some(at(10)), execution_stopped_at: Some(at(20)), ..running.clone() };
        assert!(advance(task, &ended, at(21)));
        assert_eq!((task.started_at, task.execution_stopped_at), (Some(at(10)), Some(at(20))));
        // Of another container, after the first had ended.
        task.started_at = None;
        let late = TaskReport { started_at: Some(at(30)), ..empty_report(task, 3, ReportedStatus::Stopped) };
        assert!(advance(task, &late, at(31)));
        assert_eq!(task.started_at, Some(at(20)));
    });
}

#[test]
fn what_cannot_be_stopped_is_refused() {
    let mut world = one_node();
    world.call("CreateCluster", json!({"clusterName": "other"}));
    let arn = run(&mut world, json!({"taskDefinition": "job"}));
    let not_found = "InvalidParameterException: The referenced task was not found.";
    world.check_refusals(
        "StopTask",
        &[
            (json!({"task": UNKNOWN}), not_found),
            (json!({"task": arn, "cluster": "other"}), not_found),
            (json!({"task": ""}), "InvalidParameterException: Task can not be blank."),
            (json!({"task": "x"}), "InvalidParameterException: taskId length should be one of [32,36]"),
            (json!({"task": arn, "cluster": "nowhere"}), "ClusterNotFoundException: Cluster not found."),
            (
                json!({"task": arn, "reason": "x".repeat(1025)}),
                "InvalidParameterException: reason can have at most 1024 characters.",
            ),
        ],
    );
}

#[test]
fn a_running_task_shows_its_interface_and_a_stopped_one_its_end() {
    let mut world = one_node();
    let request = json!({"taskDefinition": "web", "launchType": "FARGATE", "networkConfiguration": in_zone_a()});
    let arn = run(&mut world, request);
    report(&mut world, &arn, ReportedStatus::Running);
    let task = describe(&mut world, &arn);
    assert_eq!((&task["lastStatus"], &task["connectivity"]), (&json!("RUNNING"), &json!("CONNECTED")));
    let attachment = &task["attachments"][0];
    assert_eq!(attachment["status"], "ATTACHED");
    let details = attachment["details"].as_array().unwrap();
    let names: Vec<_> = details.iter().map(|detail| detail["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["subnetId", "networkInterfaceId", "macAddress", "privateDnsName", "privateIPv4Address"]);
    let interface = &task["containers"][0]["networkInterfaces"][0];
    let expected = json!({"attachmentId": attachment["id"], "privateIpv4Address": details[4]["value"]});
    assert_eq!(*interface, expected);

    report(&mut world, &arn, ReportedStatus::Stopped);
    let task = describe(&mut world, &arn);
    let shown = ["lastStatus", "desiredStatus", "stopCode", "stoppedReason"].map(|field| task[field].clone());
    assert_eq!(shown, ["STOPPED", "STOPPED", "EssentialContainerExited", "Essential container in task exited"]);
    assert_eq!(task["containers"][0]["exitCode"], 3);
    assert_eq!(task["containers"][0]["runtimeId"], "runtime");
}

#[test]
fn describe_answers_what_is_there_and_what_is_missing() {
    let mut world = one_node();
    let arn = run(&mut world, json!({"taskDefinition": "job", "tags": [{"key": "a", "value": "1"}]}));
    let elsewhere = arn.replace("/default/", "/other/");
    let answer = world.call("DescribeTasks", json!({"tasks": [arn, UNKNOWN, elsewhere, id_of(&arn).to_string()]}));
    let arns: Vec<_> = (0..2).map(|n| answer["tasks"][n]["taskArn"].clone()).collect();
    assert_eq!(arns, [arn.clone(), arn.clone()]);
    assert_eq!(answer["tasks"][0]["tags"], json!([]));
    let expanded = format!("arn:aws:ecs:us-east-1:000000000000:task/default/{UNKNOWN}");
    assert_eq!(
        answer["failures"],
        json!([{"arn": expanded, "reason": "MISSING"}, {"arn": elsewhere, "reason": "MISSING"}])
    );
    assert_eq!(describe(&mut world, &arn)["tags"], json!([{"key": "a", "value": "1"}]));

    world.check_refusals(
        "DescribeTasks",
        &[
            (json!({"tasks": []}), "InvalidParameterException: Tasks cannot be empty."),
            (json!({"tasks": vec![UNKNOWN; 101]}), "InvalidParameterException: tasks can have at most 100 items."),
            (json!({"tasks": [UNKNOWN], "cluster": "nowhere"}), "ClusterNotFoundException: Cluster not found."),
            (
                json!({"tasks": [UNKNOWN], "include": ["ALL"]}),
                "InvalidParameterException: include should be one of [TAGS], not 'ALL'",
            ),
            (
                json!({"tasks": ["arn:aws:ecs:us-east-1:111111111111:task/default/x"]}),
                "InvalidParameterException: AccountIDs mismatch",
            ),
        ],
    );
}

fn listed(world: &mut World, request: Value) -> BTreeSet<String> {
    let answer = world.call("ListTasks", request);
    assert_eq!(answer["nextToken"], Value::Null);
    answer["taskArns"].as_array().unwrap().iter().map(|arn| arn.as_str().unwrap().to_owned()).collect()
}

#[test]
fn list_has_every_filter() {
    let mut world = one_node();
    put_node(&mut world, 2, "us-east-1a");
    let start = |world: &mut World, instance: u128, definition: &str| {
        let request = json!({"taskDefinition": definition, "containerInstances": [instance_arn(instance)]});
        world.call("StartTask", request)["tasks"][0]["taskArn"].as_str().unwrap().to_owned()
    };
    let job = start(&mut world, 1, "job");
    let both = start(&mut world, 2, "both");
    let fargate = json!({
        "taskDefinition": "web", "launchType": "FARGATE", "networkConfiguration": in_zone_a(), "startedBy": "me",
    });
    let web = run(&mut world, fargate);
    let stopped = run(&mut world, json!({"taskDefinition": "job", "startedBy": "me"}));
    world.call("StopTask", json!({"task": stopped}));

    let mut check = |request: Value, expected: &[&String]| {
        let expected: BTreeSet<String> = expected.iter().map(|arn| (*arn).clone()).collect();
        assert_eq!(listed(&mut world, request.clone()), expected, "{request}");
    };
    check(json!({}), &[&job, &both, &web]);
    check(json!({"desiredStatus": "RUNNING"}), &[&job, &both, &web]);
    check(json!({"desiredStatus": "STOPPED"}), &[&stopped]);
    check(json!({"desiredStatus": "PENDING"}), &[]);
    check(json!({"family": "job"}), &[&job]);
    check(json!({"family": "job", "desiredStatus": "STOPPED"}), &[&stopped]);
    check(json!({"family": "gone"}), &[]);
    check(json!({"containerInstance": instance_arn(2)}), &[&both]);
    check(json!({"containerInstance": format!("{:032x}", 1), "family": "job"}), &[&job]);
    check(json!({"containerInstance": instance_arn(1), "family": "both"}), &[]);
    check(json!({"launchType": "FARGATE"}), &[&web]);
    check(json!({"launchType": "EC2"}), &[&job, &both]);
    check(json!({"launchType": "EXTERNAL"}), &[]);
    check(json!({"startedBy": "me"}), &[&web]);
    check(json!({"startedBy": "me", "desiredStatus": "STOPPED"}), &[&stopped]);

    world.check_refusals(
        "ListTasks",
        &[
            (json!({"cluster": "nowhere"}), "ClusterNotFoundException: Cluster not found."),
            (json!({"serviceName": "web"}), "ServiceNotFoundException: Service not found."),
            (
                json!({"startedBy": "me", "family": "job"}),
                "InvalidParameterException: startedBy must be the only filter.",
            ),
            (
                json!({"daemonName": "d"}),
                "InvalidParameterException: The filter 'daemonName' is not supported by Gantry yet.",
            ),
            (
                json!({"containerInstance": UNKNOWN}),
                "InvalidParameterException: The referenced container instance was not found.",
            ),
            (
                json!({"launchType": "MOON"}),
                "InvalidParameterException: launch type should be one of [EC2,FARGATE,EXTERNAL]",
            ),
            (
                json!({"desiredStatus": "GONE"}),
                "InvalidParameterException: desiredStatus should be one of [RUNNING,PENDING,STOPPED]",
            ),
            (json!({"maxResults": 0}), "InvalidParameterException: maxResults must be between 1 and 100."),
            (json!({"maxResults": 101}), "InvalidParameterException: maxResults must be between 1 and 100."),
            (json!({"nextToken": "?"}), "InvalidParameterException: Invalid token."),
            (json!({"nextToken": "YWJj"}), "InvalidParameterException: Invalid token."),
        ],
    );
}

#[test]
fn pages_join_to_the_whole_list() {
    let mut world = one_node();
    let request = json!({"taskDefinition": "job", "count": 7});
    let all: BTreeSet<_> = world.call("RunTask", request)["tasks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|task| task["taskArn"].to_string())
        .collect();
    for filter in [json!({}), json!({"family": "job"}), json!({"launchType": "EC2"})] {
        let mut seen = Vec::new();
        let mut token = Value::Null;
        loop {
            let mut request = filter.clone();
            request["maxResults"] = json!(3);
            if !token.is_null() {
                request["nextToken"] = token;
            }
            let mut answer = world.call("ListTasks", request);
            seen.extend(answer["taskArns"].as_array().unwrap().iter().map(Value::to_string));
            token = answer["nextToken"].take();
            if token.is_null() {
                break;
            }
        }
        assert_eq!(seen.len(), 7);
        assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), all);
    }
}
