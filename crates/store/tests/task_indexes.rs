//! What the task table keeps beside its rows: listings, counts per node, and what changed since an older state.

mod support;

use std::collections::BTreeMap;

use model::{DesiredStatus, NodeId, Task, TaskId, TaskStatus};
use store::{Tables, TaskListing, Txn};
use support::{scope, task};

fn listed(tables: &Tables, status: DesiredStatus, listing: TaskListing, after: Option<u128>) -> Vec<u128> {
    let tasks = tables.tasks_listed(&scope(), "a", status, listing, after.map(TaskId));
    tasks.map(|task| task.id.0).collect()
}

#[test]
fn listings_follow_the_tasks() {
    let mut txn = Txn::on(&Tables::default());
    for id in 1..=4 {
        txn.put(Task { started_by: (id == 2).then(|| "me".to_owned()), ..task(id, "a", 1) });
    }
    txn.put(task(9, "b", 1));
    let running = DesiredStatus::Running;
    assert_eq!(listed(&txn, running, TaskListing::All, None), [1, 2, 3, 4]);
    assert_eq!(listed(&txn, running, TaskListing::All, Some(2)), [3, 4]);
    assert_eq!(listed(&txn, running, TaskListing::StartedBy("me".to_owned()), None), [2]);
    assert_eq!(listed(&txn, running, TaskListing::Family("web".to_owned()), Some(1)), [2, 3, 4]);

    txn.update::<Task, _>(&TaskId(3), |task| task.desired_status = DesiredStatus::Stopped);
    txn.remove::<Task>(&TaskId(4));
    assert_eq!(listed(&txn, running, TaskListing::Family("web".to_owned()), None), [1, 2]);
    assert_eq!(listed(&txn, DesiredStatus::Stopped, TaskListing::All, None), [3]);
}

#[test]
fn a_node_counts_its_tasks_by_phase_and_group() {
    let mut txn = Txn::on(&Tables::default());
    let counts = |txn: &Txn| {
        let tasks = txn.node_tasks(NodeId(1)).cloned().unwrap_or_default();
        let groups: BTreeMap<String, u32> = tasks.groups.iter().map(|(group, n)| (group.clone(), *n)).collect();
        (tasks.pending, tasks.running, groups.into_iter().collect::<Vec<_>>())
    };
    let pending = |id| Task { last_status: TaskStatus::Pending, ..task(id, "a", 1) };
    txn.put(pending(1));
    txn.put(Task { group: "other".to_owned(), ..pending(2) });
    assert_eq!(counts(&txn), (2, 0, vec![("family:web".to_owned(), 1), ("other".to_owned(), 1)]));
    txn.update::<Task, _>(&TaskId(1), |task| task.last_status = TaskStatus::Running);
    assert_eq!(counts(&txn).1, 1);
    txn.update::<Task, _>(&TaskId(1), |task| task.desired_status = DesiredStatus::Stopped);
    assert_eq!((counts(&txn).0, counts(&txn).1, counts(&txn).2.len()), (1, 0, 2));
    txn.update::<Task, _>(&TaskId(1), |task| task.last_status = TaskStatus::Stopped);
    txn.remove::<Task>(&TaskId(2));
    assert_eq!(txn.node_tasks(NodeId(1)), None);
}

#[test]
fn two_states_of_a_table_differ_by_what_changed() {
    let mut txn = Txn::on(&Tables::default());
    (0..1000).for_each(|id| txn.put(task(id, "a", 1)));
    let older = txn.tasks.clone();
    txn.put(task(5000, "a", 1));
    txn.remove::<Task>(&TaskId(7));
    txn.update::<Task, _>(&TaskId(500), |task| task.version += 1);
    let changes = txn.tasks.changes_since(&older);
    let ids: Vec<_> = changes.map(|(old, new)| (old.map(|task| task.id.0), new.map(|task| task.id.0))).collect();
    assert_eq!(ids, [(Some(7), None), (Some(500), Some(500)), (None, Some(5000))]);
}
