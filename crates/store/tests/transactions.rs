//! What writers and readers may count on, on a log in memory with faults.

mod support;

use std::sync::Arc;
use std::time::Duration;

use model::{Cluster, NodeId, Task, TaskId, TaskStatus, Timestamp};
use store::log::memory::{MemoryDisk, MemoryLog};
use store::{LogError, Next, Store, WriteError};
use support::{cluster, names, put_cluster, scope, task};

const LIMIT: Duration = Duration::from_secs(60);

async fn open(disk: &MemoryDisk) -> Arc<Store> {
    Store::open(disk.log()).await.expect("opens")
}

/// Lets every task that can run do so until `predicate` holds.
async fn until(what: &str, predicate: impl Fn() -> bool) {
    let wait = async {
        while !predicate() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, wait).await.unwrap_or_else(|_| panic!("never: {what}"));
}

#[tokio::test]
async fn a_transaction_sees_its_own_writes_and_readers_see_them_after() {
    let store = Store::open(MemoryLog::new()).await.unwrap();
    let seen = store.write::<_, ()>(|txn| {
        txn.put(cluster("a"));
        txn.update(&cluster("a").key_of(), |row: &mut Cluster| row.settings.push(("x".into(), "y".into())));
        Ok(txn.clusters.get(&cluster("a").key_of()).unwrap().settings.len())
    });
    assert_eq!(seen.await.unwrap(), (1, 1));
    let view = store.view();
    assert_eq!((names(&view), view.revision()), (vec!["a".to_owned()], 1));
}

trait KeyOf {
    fn key_of(&self) -> (model::Scope, String);
}

impl KeyOf for Cluster {
    fn key_of(&self) -> (model::Scope, String) {
        store::Row::key(self)
    }
}

#[tokio::test]
async fn an_error_rolls_back() {
    let store = Store::open(MemoryLog::new()).await.unwrap();
    let refused = store.write::<(), _>(|txn| {
        txn.put(cluster("a"));
        Err("no")
    });
    assert!(matches!(refused.await, Err(WriteError::Refused("no"))));
    put_cluster(&store, "b").await.unwrap();
    assert_eq!(names(&store.view()), ["b"]);
}

#[tokio::test]
async fn a_panic_rolls_back_and_the_next_write_works() {
    let store = Store::open(MemoryLog::new()).await.unwrap();
    let other = store.clone();
    let panicking = tokio::spawn(async move {
        let written = other.write::<(), ()>(|txn| {
            txn.put(cluster("a"));
            panic!("a bug in an operation")
        });
        let _ = written.await;
    });
    assert!(panicking.await.unwrap_err().is_panic());
    put_cluster(&store, "b").await.unwrap();
    assert_eq!(names(&store.view()), ["b"]);
}

#[tokio::test]
async fn changes_fold_and_what_comes_out_even_is_no_commit() {
    let disk = MemoryDisk::new();
    let store = open(&disk).await;
    put_cluster(&store, "a").await.unwrap();
    let even = store.write::<_, ()>(|txn| {
        txn.put(cluster("a"));
        txn.put(cluster("b"));
        txn.remove::<Cluster>(&cluster("b").key_of());
        let removed = txn.remove::<Cluster>(&cluster("a").key_of()).unwrap();
        txn.put(Cluster::clone(&removed));
        Ok(txn.changes().is_empty())
    });
    assert_eq!(even.await.unwrap(), (true, 1));
    assert_eq!(disk.commits(), 1);
}

#[tokio::test]
async fn nothing_shows_before_it_is_durable() {
    let disk = MemoryDisk::new();
    let store = open(&disk).await;
    disk.hold();
    let writer = tokio::spawn({
        let store = store.clone();
        async move { put_cluster(&store, "a").await }
    });
    let reader = tokio::spawn({
        let store = store.clone();
        async move { store.write::<_, ()>(|txn| Ok(names(txn))).await }
    });
    // The reading writer saw the other one's change, so it must wait with it.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(names(&store.view()).is_empty() && !writer.is_finished() && !reader.is_finished());
    disk.release();
    writer.await.unwrap().unwrap();
    assert_eq!(reader.await.unwrap().unwrap(), (vec!["a".to_owned()], 1));
    assert_eq!(names(&store.view()), ["a"]);
}

#[tokio::test]
async fn waiting_writers_share_one_durable_write() {
    let disk = MemoryDisk::new();
    let store = open(&disk).await;
    disk.hold();
    let mut writers = tokio::task::JoinSet::new();
    for number in 0..64 {
        let store = store.clone();
        writers.spawn(async move { put_cluster(&store, &format!("c{number:02}")).await.unwrap() });
    }
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    disk.release();
    writers.join_all().await;
    assert_eq!(store.view().clusters.len(), 64);
    assert!(disk.commits() <= 2, "{} durable writes for 64 waiting writers", disk.commits());
}

#[tokio::test]
async fn a_failed_log_fails_its_writers_and_all_that_was_built_on_them() {
    for torn in [false, true] {
        let disk = MemoryDisk::new();
        let store = open(&disk).await;
        put_cluster(&store, "kept").await.unwrap();
        disk.hold();
        let first = tokio::spawn({
            let store = store.clone();
            async move { put_cluster(&store, "lost").await }
        });
        // The first is at the disk; the second is built on it and waits behind it.
        until("the first writer waits", || !first.is_finished()).await;
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        let second = tokio::spawn({
            let store = store.clone();
            async move {
                store
                    .write::<(), ()>(|txn| {
                        txn.put(Cluster { tags: Vec::new(), ..cluster("kept2") });
                        Ok(())
                    })
                    .await
            }
        });
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        if torn {
            disk.fail_after_write_next(1)
        } else {
            disk.fail_next(1)
        };
        disk.release();
        let error = first.await.unwrap().unwrap_err();
        let WriteError::Log(error) = error;
        assert!(torn || matches!(*error, LogError::DiskFull), "{error}");
        assert!(matches!(second.await.unwrap(), Err(WriteError::Log(_))));
        assert_eq!(names(&store.view()), ["kept"], "torn {torn}");

        put_cluster(&store, "later").await.unwrap();
        assert_eq!(names(&store.view()), ["kept", "later"]);
        store.close().await;
        let reopened = open(&disk).await;
        assert_eq!(names(&reopened.view()), ["kept", "later"], "torn {torn}: what failed is undone in the log too");
    }
}

#[tokio::test]
async fn an_undo_that_fails_is_made_later() {
    let disk = MemoryDisk::new();
    let store = open(&disk).await;
    put_cluster(&store, "a").await.unwrap();
    disk.fail_after_write_next(1);
    let removal = store.write::<_, ()>(|txn| Ok(txn.remove::<Cluster>(&cluster("a").key_of())));
    assert!(removal.await.is_err());
    disk.fail_next(1);
    assert!(put_cluster(&store, "b").await.is_err());
    put_cluster(&store, "c").await.unwrap();
    store.close().await;
    assert_eq!(names(&open(&disk).await.view()), ["a", "c"]);
}

#[tokio::test]
async fn a_closed_store_refuses_writes_and_its_disk_has_everything() {
    let disk = MemoryDisk::new();
    let store = open(&disk).await;
    put_cluster(&store, "a").await.unwrap();
    store.close().await;
    let refused = put_cluster(&store, "b").await;
    assert!(matches!(refused, Err(WriteError::Log(error)) if matches!(*error, LogError::Closed)));
    let reopened = open(&disk).await;
    assert_eq!((names(&reopened.view()), reopened.view().revision()), (vec!["a".to_owned()], 1));
}

#[tokio::test]
async fn subscribers_get_each_commit_with_the_rows_before_and_after() {
    let store = Store::open(MemoryLog::new()).await.unwrap();
    put_cluster(&store, "before").await.unwrap();
    let mut commits = store.subscribe();
    store
        .write::<_, ()>(|txn| {
            txn.put(task(7, "a", 1));
            Ok(())
        })
        .await
        .unwrap();
    store
        .write::<_, ()>(|txn| Ok(txn.update(&TaskId(7), |row: &mut Task| row.last_status = TaskStatus::Running)))
        .await
        .unwrap();
    let mut seen = Vec::new();
    for _ in 0..2 {
        let Next::Commit(commit) = commits.next().await else { panic!("no commit") };
        let change = &commit.changes.tasks[&TaskId(7)];
        let status = |row: &Option<Arc<Task>>| row.as_ref().map(|row| row.last_status);
        seen.push((commit.revision, status(&change.before), status(&change.after)));
    }
    let (provisioning, running) = (Some(TaskStatus::Provisioning), Some(TaskStatus::Running));
    assert_eq!(seen, [(2, None, provisioning), (3, provisioning, running)]);
}

#[tokio::test]
async fn a_slow_subscriber_learns_that_it_lost_commits() {
    let store = Store::open(MemoryLog::new()).await.unwrap();
    let mut commits = store.subscribe();
    // One after the other: each is a group of its own.
    for number in 0..1100 {
        put_cluster(&store, &number.to_string()).await.unwrap();
    }
    assert!(matches!(commits.next().await, Next::Lagged));
    assert!(matches!(commits.next().await, Next::Commit(_)));
}

#[tokio::test]
async fn a_busy_moment_is_not_a_loss() {
    let disk = MemoryDisk::new();
    let store = open(&disk).await;
    let mut commits = store.subscribe();
    disk.hold();
    let write = |number: u64| {
        let store = store.clone();
        tokio::spawn(async move { put_cluster(&store, &number.to_string()).await.unwrap() })
    };
    let writers: Vec<_> = (0..3000).map(write).collect();
    tokio::task::yield_now().await;
    disk.release();
    for writer in writers {
        writer.await.unwrap();
    }
    for revision in 1..=3000 {
        let Next::Commit(commit) = commits.next().await else { panic!("lost before {revision}") };
        assert_eq!(commit.revision, revision);
    }
}

#[tokio::test]
async fn indexes_follow_their_rows() {
    let store = Store::open(MemoryLog::new()).await.unwrap();
    store
        .write::<_, ()>(|txn| {
            txn.put(task(1, "a", 1));
            txn.put(task(2, "a", 2));
            txn.put(task(3, "b", 1));
            Ok(())
        })
        .await
        .unwrap();
    let stop = |row: &mut Task| {
        row.last_status = TaskStatus::Stopped;
        row.stopped_at = Some(Timestamp(50));
    };
    store.write::<_, ()>(|txn| Ok(txn.update(&TaskId(1), stop))).await.unwrap();
    let view = store.view();
    let ids = |rows: &mut dyn Iterator<Item = &Arc<Task>>| rows.map(|row| row.id.0).collect::<Vec<_>>();
    assert_eq!(ids(&mut view.tasks_in_cluster(&scope(), "a")), [1, 2]);
    assert_eq!(ids(&mut view.tasks_on_node(NodeId(1))), [3], "a stopped task holds nothing");
    assert_eq!(ids(&mut view.tasks_stopped_before(Timestamp(50))), [0; 0]);
    assert_eq!(ids(&mut view.tasks_stopped_before(Timestamp(51))), [1]);
    store.write::<_, ()>(|txn| Ok(txn.remove::<Task>(&TaskId(1)))).await.unwrap();
    let view = store.view();
    assert_eq!(ids(&mut view.tasks_in_cluster(&scope(), "a")), [2]);
    assert_eq!(ids(&mut view.tasks_stopped_before(Timestamp(51))), [0; 0]);
}
