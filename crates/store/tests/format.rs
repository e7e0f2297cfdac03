//! The file's format: yesterday's file opens today, tomorrow's is refused, and two processes never share one.
//!
//! `fixtures/v1.redb` was written by [`write_fixture`] with the first format; it is never written again. A later
//! format adds its own fixture.

mod support;

use std::path::{Path, PathBuf};

use model::Cluster;
use model::deployment_configuration::DeploymentStrategy;
use model::resources::Resources;
use redb::{Database, TableDefinition};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::log::redb::RedbLog;
use store::{ClientToken, Family, LogError, Meta, Row, Store, decode, encode};
use support::{cluster, put_cluster, scope, task};

const FACTS: TableDefinition<&str, u64> = TableDefinition::new("gantry");
const CLUSTERS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("clusters");

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v1.redb")
}

async fn open(path: &Path) -> Result<std::sync::Arc<Store>, LogError> {
    Store::open(RedbLog::open(path)?).await
}

async fn write_fixture(path: &Path) {
    let store = open(path).await.unwrap();
    let written = store.write::<_, ()>(|txn| {
        txn.put(cluster("production"));
        txn.put(model::Task {
            reservation: Resources { gpu_count: 1, ..Resources::default() },
            ..task(0xabc, "production", 1)
        });
        txn.put(Family { scope: scope(), name: "web".to_owned(), last_revision: 7 });
        txn.put(Meta { name: "control_id".to_owned(), value: "c-1".to_owned() });
        txn.put(ClientToken {
            scope: scope(),
            operation: "RunTask".to_owned(),
            token: "t".to_owned(),
            request_hash: "h".to_owned(),
            answer: vec!["abc".to_owned()],
            used_at: model::Timestamp(5),
        });
        Ok(())
    });
    written.await.unwrap();
    store.close().await;
}

#[tokio::test]
async fn the_first_format_opens() {
    if std::env::var_os("WRITE_FIXTURE").is_some() {
        write_fixture(&fixture()).await;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.redb");
    std::fs::copy(fixture(), &path).unwrap();
    let store = open(&path).await.unwrap();
    let view = store.view();
    assert_eq!(view.revision(), 1);
    assert_eq!(**view.clusters.get(&cluster("production").key()).unwrap(), cluster("production"));
    let task = view.tasks_in_cluster(&scope(), "production").next().unwrap();
    assert_eq!((task.id.0, task.reservation.gpu_count), (0xabc, 1));
    assert_eq!(view.families_in_scope(&scope()).next().unwrap().last_revision, 7);
    assert_eq!(view.meta_value("control_id"), Some("c-1"));
    assert_eq!(view.client_tokens.iter().next().unwrap().answer, ["abc"]);
    put_cluster(&store, "new").await.unwrap();
}

#[tokio::test]
async fn only_one_process_opens_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.redb");
    let store = open(&path).await.unwrap();
    let second = open(&path).await.err().expect("refused");
    assert!(matches!(second, LogError::InUse(_)), "{second}");
    store.close().await;
    open(&path).await.expect("free again");
}

/// Makes a store's file and lets `change` put something of the future into it.
async fn refusal(change: impl FnOnce(&redb::WriteTransaction)) -> String {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.redb");
    let store = open(&path).await.unwrap();
    put_cluster(&store, "a").await.unwrap();
    store.close().await;
    {
        let database = Database::open(&path).unwrap();
        let txn = database.begin_write().unwrap();
        change(&txn);
        txn.commit().unwrap();
    }
    open(&path).await.err().expect("refused").to_string()
}

#[tokio::test]
async fn a_file_of_the_future_is_refused() {
    let newer_file = refusal(|txn| {
        txn.open_table(FACTS).unwrap().insert("format", 2).unwrap();
    });
    assert_eq!(
        newer_file.await,
        "the store has its file in version 2, this gantry knows versions up to 1: a newer gantry wrote it"
    );
    let newer_row = refusal(|txn| {
        let mut value = encode(&cluster("a"));
        value[1] = 9;
        txn.open_table(CLUSTERS).unwrap().insert(store::Key::bytes(&cluster("a").key()).as_slice(), &*value).unwrap();
    });
    assert_eq!(
        newer_row.await,
        "the store has table clusters in version 9, this gantry knows versions up to 1: a newer gantry wrote it"
    );
    let newer_table = refusal(|txn| {
        let mysteries: TableDefinition<&[u8], &[u8]> = TableDefinition::new("mysteries");
        txn.open_table(mysteries).unwrap().insert(&[1][..], &[0, 1][..]).unwrap();
    });
    assert_eq!(
        newer_table.await,
        "the store has a table mysteries that this gantry does not know: a newer gantry wrote it"
    );
}

#[tokio::test]
async fn a_damaged_row_is_refused() {
    let damaged = refusal(|txn| {
        txn.open_table(CLUSTERS).unwrap().insert(&b"elsewhere"[..], &*encode(&cluster("b"))).unwrap();
    });
    let text = damaged.await;
    assert!(text.starts_with("the store's table clusters is damaged: the row"), "{text}");
}

/// A row whose schema has changed twice: version 1 had no `size`, version 2 had it as text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Crate {
    name: String,
    size: u32,
}

impl Row for Crate {
    type Key = String;
    type Index = ();
    const TABLE: &'static str = "crates";
    const VERSION: u16 = 3;

    fn key(&self) -> String {
        self.name.clone()
    }

    fn upgrade(from: u16, mut value: Value) -> Result<Value, String> {
        if from == 1 {
            value["size"] = json!("0");
        }
        let size = value["size"].as_str().ok_or("size is not text")?;
        value["size"] = json!(size.parse::<u32>().map_err(|error| error.to_string())?);
        Ok(value)
    }
}

#[test]
fn rows_of_older_versions_are_upgraded() {
    let check = |version: u16, json: Value, expected: Result<u32, &str>| {
        let mut value = version.to_be_bytes().to_vec();
        value.extend(json.to_string().bytes());
        let read = decode::<Crate>(&store::Key::bytes(&"a".to_owned()), &value);
        assert_eq!(read.map(|row| row.size).map_err(|error| error.to_string()), expected.map_err(str::to_owned));
    };
    check(1, json!({"name": "a"}), Ok(0));
    check(2, json!({"name": "a", "size": "12"}), Ok(12));
    check(3, json!({"name": "a", "size": 13}), Ok(13));
    check(2, json!({"name": "a", "size": 12}), Err("the store's table crates is damaged: size is not text"));
    check(
        4,
        json!({"name": "a", "size": 12}),
        Err("the store has table crates in version 4, this gantry knows versions up to 3: a newer gantry wrote it"),
    );
    let row = Crate { name: "a".to_owned(), size: 5 };
    assert_eq!(decode::<Crate>(&store::Key::bytes(&row.key()), &encode(&row)).unwrap(), row);
}

#[test]
fn a_row_without_an_upgrade_refuses_older_versions() {
    let mut value = encode(&cluster("a"));
    value[1] = 0;
    let error = decode::<Cluster>(&store::Key::bytes(&cluster("a").key()), &value).unwrap_err();
    assert!(error.to_string().ends_with("this version of gantry cannot read version 0"), "{error}");
}

/// As the first services were written: without revisions, strategies, capacity.
const FIRST_SERVICE: &str = r#"{
    "scope": {"account": "000000000000", "region": "us-east-1"}, "cluster": "default", "name": "web", "status": "Active",
    "launch_type": "Fargate", "desired_count": 2,
    "configuration": {
        "minimum_healthy_percent": 50, "maximum_percent": 150, "circuit_breaker": {"enable": true, "rollback": true}
    },
    "deployments": [{
        "id": "ecs-svc/1", "family": "web", "revision": 1, "network": null, "platform_version": "1.4.0",
        "rollout": "Completed", "rollout_reason": "", "failed_tasks": 0, "has_run": true, "proven_at": null,
        "failed_attempts": 0, "retry_at": null, "created_at": 1, "updated_at": 2
    }],
    "last_completed": null, "placement_constraints": [], "placement_strategies": [], "propagate_tags": "None",
    "enable_ecs_managed_tags": false, "health_check_grace_seconds": 0, "tags": [], "created_by": "root",
    "created_at": 1, "inactive_at": null, "steady_at": null, "obstacle": null, "next_event": 1
}"#;

#[test]
fn the_first_services_are_rolling_ones_without_a_record() {
    let key = (scope(), "default".to_owned(), "web".to_owned());
    let mut value = 1u16.to_be_bytes().to_vec();
    value.extend(FIRST_SERVICE.bytes());
    let row = decode::<model::Service>(&store::Key::bytes(&key), &value).expect("it is read");
    assert_eq!((row.service_deployment.as_deref(), row.configuration.hooks.len()), (None, 0));
    assert_eq!(row.configuration.strategy, DeploymentStrategy::Rolling);
    assert!(row.configuration.circuit_breaker.is_some_and(|breaker| breaker.reset_on_healthy_task));
    assert_eq!((&row.deployments[0].service_revision, row.deployments[0].traffic), (&None, None));
}
