use std::time::Duration;

use model::{ContainerInstance, ContainerInstanceId, InstanceStatus, NodeId, TaskStatus};
use serde_json::{Value, json};

use crate::task_definition::put_task;
use crate::world::World;

const ARN: &str = "arn:aws:ecs:us-east-1:000000000000:cluster/web";

fn put_instance(world: &mut World, cluster: &str, status: InstanceStatus) -> ContainerInstanceId {
    let id = ContainerInstanceId(7);
    world.txn.put(ContainerInstance {
        id,
        scope: world.scope(),
        cluster: cluster.to_owned(),
        node: NodeId(1),
        ec2_instance_id: "i-00000000000000007".to_owned(),
        status,
        status_reason: None,
        custom_attributes: vec![],
        tags: vec![],
        registered_at: world.now,
        inactive_at: None,
        version: 1,
    });
    id
}

#[test]
fn a_cluster_is_created_with_what_aws_shows() {
    let mut world = World::new();
    let answer = world.call("CreateCluster", json!({"clusterName": "web", "tags": [{"key": "team", "value": "a"}]}));
    assert_eq!(
        answer["cluster"],
        json!({
            "clusterArn": ARN,
            "clusterName": "web",
            "status": "ACTIVE",
            "registeredContainerInstancesCount": 0,
            "runningTasksCount": 0,
            "pendingTasksCount": 0,
            "activeServicesCount": 0,
            "statistics": answer["cluster"]["statistics"],
            "tags": [{"key": "team", "value": "a"}],
            "settings": [{"name": "containerInsights", "value": "disabled"}],
            "capacityProviders": [],
            "defaultCapacityProviderStrategy": [],
        })
    );
    let again = world.call("CreateCluster", json!({"clusterName": "web", "tags": [{"key": "other", "value": "b"}]}));
    assert_eq!(again, answer, "an ACTIVE cluster is answered as it is");
    let nameless = world.call("CreateCluster", json!({}));
    assert_eq!(nameless["cluster"]["clusterName"], "default");
}

#[test]
fn what_cannot_be_a_cluster_is_refused() {
    let unbuilt =
        |field: &str| format!("ClientException: The field '{field}' of the cluster is not supported by Gantry yet.");
    let name = "InvalidParameterException: Invalid cluster name. It must have 1 to 255 letters, digits, underscores or hyphens.";
    let mut world = World::new();
    world.check_refusals(
        "CreateCluster",
        &[
            (json!({"clusterName": "a b"}), name),
            (json!({"clusterName": "a".repeat(256)}), name),
            (
                json!({"serviceConnectDefaults": {"namespace": "arn:aws:servicediscovery:us-east-1:000000000000:namespace/ns-1"}}),
                "NamespaceNotFoundException: The specified namespace was not found: \
                 arn:aws:servicediscovery:us-east-1:000000000000:namespace/ns-1",
            ),
            (
                json!({"configuration": {"executeCommandConfiguration": {"logging": "DEFAULT"}}}),
                &unbuilt("configuration.executeCommandConfiguration"),
            ),
            (
                json!({"configuration": {"managedStorageConfiguration": {"kmsKeyId": "k"}}}),
                &unbuilt("configuration.managedStorageConfiguration"),
            ),
            (
                json!({"settings": [{"name": "containerInsights", "value": "enhanced"}]}),
                "ClientException: The value 'enhanced' of the setting 'containerInsights' is not supported by Gantry yet.",
            ),
            (
                json!({"settings": [{"name": "containerInsights", "value": "yes"}]}),
                "InvalidParameterException: Invalid value 'yes' for the setting 'containerInsights'. It should be one of \
                 [enabled,disabled,enhanced].",
            ),
            (
                json!({"settings": [{"name": "colour", "value": "blue"}]}),
                "InvalidParameterException: cluster setting name should be one of [containerInsights]",
            ),
        ],
    );
    assert_eq!(world.call("ListClusters", json!({}))["clusterArns"], json!([]));
    world.call("CreateCluster", json!({"settings": [{"name": "containerInsights", "value": "disabled"}]}));
}

#[test]
fn clusters_are_described_by_name_and_arn() {
    let mut world = World::new();
    world.call("CreateCluster", json!({"clusterName": "web", "tags": [{"key": "team", "value": "a"}]}));
    let answer = world.call("DescribeClusters", json!({"clusters": ["web", ARN, "gone"]}));
    assert_eq!(answer["clusters"].as_array().unwrap().len(), 2);
    assert_eq!(answer["clusters"][0]["tags"], json!([]), "tags are shown only when asked for");
    assert_eq!(answer["clusters"][0]["settings"], json!([]));
    assert_eq!(answer["clusters"][0]["statistics"], json!([]));
    let missing = json!([{"arn": "arn:aws:ecs:us-east-1:000000000000:cluster/gone", "reason": "MISSING"}]);
    assert_eq!(answer["failures"], missing);

    let include = json!(["TAGS", "SETTINGS", "STATISTICS", "ATTACHMENTS", "CONFIGURATIONS"]);
    let answer = world.call("DescribeClusters", json!({"clusters": ["web"], "include": include}));
    assert_eq!(answer["clusters"][0]["tags"], json!([{"key": "team", "value": "a"}]));
    assert_eq!(answer["clusters"][0]["settings"], json!([{"name": "containerInsights", "value": "disabled"}]));

    let nameless = world.call("DescribeClusters", json!({}));
    assert_eq!(nameless["failures"][0]["arn"], "arn:aws:ecs:us-east-1:000000000000:cluster/default");
    world.check_refusals(
        "DescribeClusters",
        &[
            (
                json!({"include": ["COLOURS"]}),
                "InvalidParameterException: include should be one of [ATTACHMENTS,CONFIGURATIONS,SETTINGS,STATISTICS,TAGS], \
                 not 'COLOURS'",
            ),
            (
                json!({"clusters": ["arn:aws:ecs:us-east-1:111111111111:cluster/web"]}),
                "InvalidParameterException: AccountIDs mismatch",
            ),
            (
                json!({"clusters": ["arn:aws:ecs:eu-west-1:000000000000:cluster/web"]}),
                "InvalidParameterException: Region mismatch",
            ),
            (
                json!({"clusters": vec!["web"; 101]}),
                "InvalidParameterException: Clusters cannot have more than 100 entries.",
            ),
        ],
    );
}

#[test]
fn clusters_of_another_region_are_strangers() {
    let mut world = World::new();
    world.call("CreateCluster", json!({"clusterName": "web"}));
    world.caller = control::Caller::root(model::Scope::new("000000000000", "eu-west-1"), "AKIA");
    assert_eq!(world.call("ListClusters", json!({}))["clusterArns"], json!([]));
    assert_eq!(world.call("DescribeClusters", json!({"clusters": ["web"]}))["failures"][0]["reason"], "MISSING");
}

#[test]
fn tasks_and_instances_are_counted() {
    let mut world = World::new();
    world.call("CreateCluster", json!({"clusterName": "web"}));
    world.call("CreateCluster", json!({"clusterName": "other"}));
    put_instance(&mut world, "web", InstanceStatus::Draining);
    put_task(&mut world, 1, "web", "f", 1, TaskStatus::Running);
    put_task(&mut world, 2, "web", "f", 1, TaskStatus::Provisioning);
    put_task(&mut world, 3, "web", "f", 1, TaskStatus::Stopped);
    put_task(&mut world, 4, "other", "f", 1, TaskStatus::Running);
    let answer = world.call("DescribeClusters", json!({"clusters": ["web"], "include": ["STATISTICS"]}));
    let cluster = &answer["clusters"][0];
    assert_eq!(cluster["registeredContainerInstancesCount"], 1);
    assert_eq!(cluster["runningTasksCount"], 1);
    assert_eq!(cluster["pendingTasksCount"], 1);
    let statistics = cluster["statistics"].as_array().unwrap();
    let value = |name: &str| statistics.iter().find(|entry| entry["name"] == name).map(|entry| entry["value"].clone());
    assert_eq!(value("runningFargateTasksCount"), Some(json!("1")));
    assert_eq!(value("pendingFargateTasksCount"), Some(json!("1")));
    assert_eq!(value("runningEC2TasksCount"), Some(json!("0")));
    assert_eq!(value("activeEC2ServiceCount"), Some(json!("0")));
}

#[test]
fn a_list_of_clusters_is_cut_into_pages() {
    let mut world = World::new();
    let names: Vec<String> = (0..5).map(|n| format!("c{n}")).collect();
    for name in &names {
        world.call("CreateCluster", json!({"clusterName": name}));
    }
    let mut seen: Vec<Value> = vec![];
    let mut token = Value::Null;
    loop {
        let answer = world.call("ListClusters", json!({"maxResults": 2, "nextToken": token}));
        seen.extend(answer["clusterArns"].as_array().unwrap().clone());
        token = answer["nextToken"].clone();
        if token.is_null() {
            break;
        }
    }
    let arns: Vec<Value> =
        names.iter().map(|name| json!(format!("arn:aws:ecs:us-east-1:000000000000:cluster/{name}"))).collect();
    assert_eq!(seen, arns);
    world.check_refusals(
        "ListClusters",
        &[
            (json!({"maxResults": 0}), "InvalidParameterException: maxResults must be between 1 and 100."),
            (json!({"maxResults": 101}), "InvalidParameterException: maxResults must be between 1 and 100."),
            (json!({"nextToken": "?"}), "InvalidParameterException: Invalid token."),
        ],
    );
}

#[test]
fn a_cluster_with_something_in_it_cannot_be_deleted() {
    let mut world = World::new();
    world.call("CreateCluster", json!({"clusterName": "web"}));
    let id = put_instance(&mut world, "web", InstanceStatus::Active);
    let task = put_task(&mut world, 1, "web", "f", 1, TaskStatus::Running);
    let request = json!({"cluster": "web"});
    world.check_refusals(
        "DeleteCluster",
        &[(
            request.clone(),
            "ClusterContainsContainerInstancesException: The Cluster cannot be deleted while Container Instances are active \
             or draining.",
        )],
    );
    world.txn.update(&id, |row: &mut ContainerInstance| row.status = InstanceStatus::Inactive);
    world.check_refusals(
        "DeleteCluster",
        &[(request.clone(), "ClusterContainsTasksException: The Cluster cannot be deleted while Tasks are active.")],
    );
    world.txn.update(&task, |row: &mut model::Task| row.last_status = TaskStatus::Stopped);
    assert_eq!(world.call("DeleteCluster", request)["cluster"]["status"], "INACTIVE");
}

#[test]
fn a_deleted_cluster_is_inactive_until_its_retention_is_over() {
    use control::ecs::cluster::{INACTIVE_RETENTION, sweep};
    let mut world = World::new();
    world.call("CreateCluster", json!({"clusterName": "web", "tags": [{"key": "team", "value": "a"}]}));
    world.call("DeleteCluster", json!({"cluster": ARN}));
    assert_eq!(world.call("ListClusters", json!({}))["clusterArns"], json!([]));
    assert_eq!(world.call("DescribeClusters", json!({"clusters": ["web"]}))["clusters"][0]["status"], "INACTIVE");
    let inactive = "ClusterNotFoundException: The referenced cluster was inactive.";
    world.check_refusals("DeleteCluster", &[(json!({"cluster": "web"}), inactive)]);
    world.check_refusals("UpdateCluster", &[(json!({"cluster": "web"}), inactive)]);

    world.pass(INACTIVE_RETENTION - Duration::from_secs(1));
    assert_eq!(sweep(&mut world.txn, world.now), 0);
    world.pass(Duration::from_secs(1));
    assert_eq!(sweep(&mut world.txn, world.now), 1);
    assert_eq!(world.call("DescribeClusters", json!({"clusters": ["web"]}))["failures"][0]["reason"], "MISSING");

    let answer = world.call("CreateCluster", json!({"clusterName": "web"}));
    assert_eq!(answer["cluster"]["tags"], json!([]), "nothing of the old one is left");
}

#[test]
fn an_inactive_cluster_can_be_created_anew() {
    let mut world = World::new();
    world.call("CreateCluster", json!({"clusterName": "web", "tags": [{"key": "team", "value": "a"}]}));
    world.call("DeleteCluster", json!({"cluster": "web"}));
    let answer = world.call("CreateCluster", json!({"clusterName": "web"}));
    assert_eq!(answer["cluster"]["status"], "ACTIVE");
    assert_eq!(answer["cluster"]["tags"], json!([]));
}

#[test]
fn settings_are_updated() {
    let mut world = World::new();
    world.call("CreateCluster", json!({"clusterName": "web"}));
    let disabled = json!([{"name": "containerInsights", "value": "disabled"}]);
    let enabled = json!([{"name": "containerInsights", "value": "enabled"}]);
    let refusal =
        "ClientException: The value 'enabled' of the setting 'containerInsights' is not supported by Gantry yet.";
    for operation in ["UpdateCluster", "UpdateClusterSettings"] {
        let answer = world.call(operation, json!({"cluster": "web", "settings": disabled}));
        assert_eq!(answer["cluster"]["settings"], disabled);
        world.check_refusals(
            operation,
            &[
                (json!({"cluster": "web", "settings": enabled}), refusal),
                (json!({"cluster": "gone", "settings": disabled}), "ClusterNotFoundException: Cluster not found."),
                (json!({"cluster": "", "settings": disabled}), "InvalidParameterException: Cluster can not be blank."),
            ],
        );
    }
    world.check_refusals(
        "UpdateCluster",
        &[(
            json!({"cluster": "web", "configuration": {"executeCommandConfiguration": {"logging": "DEFAULT"}}}),
            "ClientException: The field 'configuration.executeCommandConfiguration' of the cluster is not supported by \
             Gantry yet.",
        )],
    );
}
