//! Every member of RegisterTaskDefinition's model is either built, and comes back, or refused by name.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use wire::schema::{Kind, Schema};

use crate::task_definition::{with, with_container};
use crate::world::World;

/// Every member that is built, with a value that says something.
fn full() -> Value {
    serde_json::from_str(include_str!("definition_members.json")).unwrap()
}

/// Every member that is not built, with a request that gives it. Nothing below one of these is looked at.
fn unbuilt() -> Vec<(&'static str, Value)> {
    let of_container = |member: &str, value: Value| with_container(json!({member: value}));
    let of_linux = |member: &str| with_container(json!({"linuxParameters": {member: 1}}));
    let of_volume = |member: &str, value: Value| with(json!({"volumes": [{"name": "v", member: value}]}));
    let fsx = json!({
        "fileSystemId": "f", "rootDirectory": "/", "authorizationConfig": {"credentialsParameter": "c", "domain": "d"},
    });
    let logs = json!({
        "logDriver": "awslogs",
        "options": {"awslogs-group": "g", "awslogs-region": "r"},
        "secretOptions": [{"name": "n", "valueFrom": "v"}],
    });
    let shared_gpu = json!([{"type": "GPU", "value": "1", "sharingStrategy": {"nvidiaMps": {"memory": 1}}}]);
    vec![
        ("taskRoleArn", with(json!({"taskRoleArn": "arn:aws:iam::000000000000:role/task"}))),
        ("pidMode", with(json!({"pidMode": "task"}))),
        ("ipcMode", with(json!({"ipcMode": "task"}))),
        ("proxyConfiguration", with(json!({"proxyConfiguration": {"containerName": "web"}}))),
        ("inferenceAccelerators", with(json!({"inferenceAccelerators": [{"deviceName": "d", "deviceType": "t"}]}))),
        ("enableFaultInjection", with(json!({"enableFaultInjection": true}))),
        ("trustedExecutionConfiguration", with(json!({"trustedExecutionConfiguration": {"isolationMode": "SHARED"}}))),
        ("containerDefinitions[].credentialSpecs", of_container("credentialSpecs", json!(["credentialspec:x"]))),
        ("containerDefinitions[].disableNetworking", of_container("disableNetworking", json!(true))),
        (
            "containerDefinitions[].dockerSecurityOptions",
            of_container("dockerSecurityOptions", json!(["no-new-privileges"])),
        ),
        (
            "containerDefinitions[].environmentFiles",
            of_container("environmentFiles", json!([{"type": "s3", "value": "arn:aws:s3:::b/a.env"}])),
        ),
        (
            "containerDefinitions[].firelensConfiguration",
            of_container("firelensConfiguration", json!({"type": "fluentbit"})),
        ),
        ("containerDefinitions[].interactive", of_container("interactive", json!(true))),
        ("containerDefinitions[].links", of_container("links", json!(["db"]))),
        ("containerDefinitions[].linuxParameters.maxSwap", of_linux("maxSwap")),
        ("containerDefinitions[].linuxParameters.swappiness", of_linux("swappiness")),
        ("containerDefinitions[].logConfiguration.secretOptions", of_container("logConfiguration", logs)),
        (
            "containerDefinitions[].portMappings[].containerPortRange",
            of_container("portMappings", json!([{"containerPortRange": "80-90"}])),
        ),
        ("containerDefinitions[].pseudoTerminal", of_container("pseudoTerminal", json!(true))),
        (
            "containerDefinitions[].repositoryCredentials",
            of_container("repositoryCredentials", json!({"credentialsParameter": "p"})),
        ),
        (
            "containerDefinitions[].resourceRequirements[].sharingStrategy",
            of_container("resourceRequirements", shared_gpu),
        ),
        ("containerDefinitions[].restartPolicy", of_container("restartPolicy", json!({"enabled": true}))),
        ("containerDefinitions[].secrets", of_container("secrets", json!([{"name": "n", "valueFrom": "v"}]))),
        ("volumes[].configuredAtLaunch", of_volume("configuredAtLaunch", json!(true))),
        ("volumes[].dockerVolumeConfiguration", of_volume("dockerVolumeConfiguration", json!({"scope": "task"}))),
        ("volumes[].efsVolumeConfiguration", of_volume("efsVolumeConfiguration", json!({"fileSystemId": "fs-1"}))),
        (
            "volumes[].fsxWindowsFileServerVolumeConfiguration",
            of_volume("fsxWindowsFileServerVolumeConfiguration", fsx),
        ),
        (
            "volumes[].s3filesVolumeConfiguration",
            of_volume("s3filesVolumeConfiguration", json!({"fileSystemArn": "a"})),
        ),
    ]
}

/// The paths of the members that have no members of their own; those in `ends` count as such.
fn schema_leaves(schema: &'static Schema, path: &str, ends: &BTreeSet<String>, leaves: &mut BTreeSet<String>) {
    for member in schema.members() {
        let path = if path.is_empty() { member.name.to_owned() } else { format!("{path}.{}", member.name) };
        if ends.contains(&path) {
            leaves.insert(path);
            continue;
        }
        match &member.target.kind {
            Kind::Structure(_) => schema_leaves(member.target, &path, ends, leaves),
            Kind::List(element) if matches!(element.target.kind, Kind::Structure(_)) => {
                schema_leaves(element.target, &format!("{path}[]"), ends, leaves);
            }
            _ => {
                leaves.insert(path);
            }
        }
    }
}

/// The same paths of a request. Maps have keys of the caller's own and are taken whole.
fn request_leaves(value: &Value, path: &str, leaves: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) if !path.ends_with("dockerLabels") && !path.ends_with(".options") => {
            for (name, member) in members {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                request_leaves(member, &path, leaves);
            }
        }
        Value::Array(items) if items.iter().all(Value::is_object) => {
            items.iter().for_each(|item| request_leaves(item, &format!("{path}[]"), leaves));
        }
        _ => {
            leaves.insert(path.to_owned());
        }
    }
}

#[test]
fn every_member_of_the_model_is_either_built_or_refused() {
    let refused: BTreeSet<String> = unbuilt().iter().map(|(path, _)| (*path).to_owned()).collect();
    let (mut built, mut all) = (BTreeSet::new(), BTreeSet::new());
    request_leaves(&full(), "", &mut built);
    schema_leaves(
        wire::ecs::Request::empty("RegisterTaskDefinition").unwrap().structure().schema(),
        "",
        &refused,
        &mut all,
    );

    let in_both: Vec<&String> = built.intersection(&refused).collect();
    assert!(in_both.is_empty(), "built and refused: {in_both:?}");
    let listed: BTreeSet<String> = built.union(&refused).cloned().collect();
    assert_eq!(listed, all);
}

/// All that `part` has is in `whole`; lists have the same length.
fn assert_has(whole: &Value, part: &Value, path: &str) {
    match part {
        Value::Object(members) => {
            for (name, member) in members {
                assert_has(&whole[name], member, &format!("{path}.{name}"));
            }
        }
        Value::Array(items) => {
            assert_eq!(whole.as_array().map(Vec::len), Some(items.len()), "{path}");
            for (index, item) in items.iter().enumerate() {
                assert_has(&whole[index], item, &format!("{path}[{index}]"));
            }
        }
        _ => assert_eq!(whole, part, "{path}"),
    }
}

#[test]
fn every_built_member_comes_back_as_it_went_in() {
    let mut world = World::new();
    world.call("RegisterTaskDefinition", full());
    let answer = world.call("DescribeTaskDefinition", json!({"taskDefinition": "full", "include": ["TAGS"]}));
    let mut definition = answer["taskDefinition"].clone();
    definition["tags"] = answer["tags"].clone();
    assert_has(&definition, &full(), "");
}

#[test]
fn every_unbuilt_member_is_refused_by_name() {
    let mut world = World::new();
    for (path, request) in unbuilt() {
        let member = path.rsplit('.').next().unwrap();
        let refusal = world.refused("RegisterTaskDefinition", request);
        assert!(refusal.starts_with(&format!("ClientException: The field '{member}'")), "{path}: {refusal}");
        assert!(refusal.ends_with(" is not supported by Gantry yet."), "{path}: {refusal}");
    }
    assert_eq!(world.call("ListTaskDefinitionFamilies", json!({}))["families"], json!([]));
}

#[test]
fn an_unbuilt_member_that_says_nothing_is_fine() {
    let mut world = World::new();
    let container = json!({
        "credentialSpecs": [], "disableNetworking": false, "dockerSecurityOptions": [], "environmentFiles": [],
        "interactive": false, "links": [], "pseudoTerminal": false, "restartPolicy": {"enabled": false}, "secrets": [],
        "resourceRequirements": [], "systemControls": [], "volumesFrom": [], "user": "", "command": null,
    });
    let mut request = with_container(container);
    let members = json!({
        "taskRoleArn": "", "executionRoleArn": "", "inferenceAccelerators": [], "enableFaultInjection": false,
        "volumes": [{"name": "v", "host": {}, "configuredAtLaunch": false}], "tags": [], "requiresCompatibilities": [],
    });
    request.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    let definition = world.call("RegisterTaskDefinition", request)["taskDefinition"].clone();
    let container = &definition["containerDefinitions"][0];
    assert_eq!(container["interactive"], false);
    assert_eq!(container["pseudoTerminal"], false);
    assert_eq!(container["disableNetworking"], false);
    assert_eq!(definition["volumes"], json!([{"name": "v", "host": {}}]));
    assert_eq!(definition.get("executionRoleArn"), None);
}
