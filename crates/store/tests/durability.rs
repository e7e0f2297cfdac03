//! The redb log: random histories against a model, with reopening, full and failing disks, and power cuts.

mod support;

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use model::Cluster;
use proptest::prelude::*;
use store::log::redb::RedbLog;
use store::{LogError, Row, Store};
use support::disk::Disk;
use support::{cluster, names, put_cluster};

async fn open(disk: &Disk) -> Result<Arc<Store>, LogError> {
    let disk = disk.clone();
    Store::open(RedbLog::open_with(move || disk.open())?).await
}

async fn remove_cluster(store: &Store, name: &str) -> bool {
    let key = cluster(name).key();
    store.write::<_, ()>(move |txn| Ok(txn.remove::<Cluster>(&key))).await.is_ok()
}

#[derive(Clone, Debug)]
enum Step {
    Put(u8),
    Remove(u8),
    /// Many at once, so that groups form.
    PutAll(BTreeSet<u8>),
    /// Closes and opens in an orderly way.
    Reopen,
    /// Everything fails after this many calls, until `Heal`.
    Fail(u32, bool),
    Heal,
    /// The power is cut; the seed picks the unsynced sectors that survive.
    Crash(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..40u8).prop_map(Step::Put),
        3 => (0..40u8).prop_map(Step::Remove),
        2 => prop::collection::btree_set(0..40u8, 2..10).prop_map(Step::PutAll),
        1 => Just(Step::Reopen),
        2 => (0..12u32, any::<bool>()).prop_map(|(calls, full)| Step::Fail(calls, full)),
        2 => Just(Step::Heal),
        2 => any::<u64>().prop_map(Step::Crash),
    ]
}

/// What must be there (acknowledged), and what may differ from it: names whose last write was not acknowledged.
#[derive(Default)]
struct Model {
    acknowledged: BTreeSet<String>,
    doubtful: BTreeSet<String>,
}

impl Model {
    fn note(&mut self, name: &str, present: bool, acknowledged: bool) {
        if !acknowledged {
            self.doubtful.insert(name.to_owned());
            return;
        }
        if present {
            self.acknowledged.insert(name.to_owned());
        } else {
            self.acknowledged.remove(name);
        }
    }

    fn check_live(&self, store: &Store) {
        let expected: Vec<String> = self.acknowledged.iter().cloned().collect();
        assert_eq!(names(&store.view()), expected, "what readers see is what was acknowledged");
    }

    /// After a power cut, an unacknowledged write may turn out to be there; nothing else may differ.
    fn settle(&mut self, store: &Store) {
        let found: BTreeSet<String> = names(&store.view()).into_iter().collect();
        let differing: BTreeSet<_> = found.symmetric_difference(&self.acknowledged).cloned().collect();
        assert!(differing.is_subset(&self.doubtful), "{differing:?} differ, only {:?} may", self.doubtful);
        self.acknowledged = found;
        self.doubtful.clear();
    }
}

async fn run(steps: Vec<Step>) {
    let disk = Disk::default();
    let mut store = open(&disk).await.unwrap();
    let mut model = Model::default();
    for step in steps {
        match step {
            Step::Put(name) => {
                let name = format!("{name:02}");
                model.note(&name, true, put_cluster(&store, &name).await.is_ok());
            }
            Step::Remove(name) => {
                let name = format!("{name:02}");
                model.note(&name, false, remove_cluster(&store, &name).await);
            }
            Step::PutAll(some) => put_all(&store, some, &mut model).await,
            Step::Fail(calls, full) => {
                let kind = if full { io::ErrorKind::StorageFull } else { io::ErrorKind::Other };
                disk.fail_after(calls, kind);
            }
            Step::Heal => disk.heal(),
            Step::Reopen => {
                store.close().await;
                disk.heal();
                store = open(&disk).await.unwrap();
                model.settle(&store);
            }
            Step::Crash(seed) => {
                let mut random = Lot(seed);
                disk.crash(|| random.draw());
                store.close().await;
                store = open(&disk).await.unwrap();
                model.settle(&store);
            }
        }
        model.check_live(&store);
    }
    disk.heal();
    put_cluster(&store, "last").await.expect("a healthy disk takes writes again");
    model.note("last", true, true);
    model.check_live(&store);
    // The write after the failures has undone them: nothing is in doubt any more.
    model.doubtful.clear();
    store.close().await;
    let store = open(&disk).await.unwrap();
    model.settle(&store);
    store.close().await;
}

async fn put_all(store: &Arc<Store>, some: BTreeSet<u8>, model: &mut Model) {
    let writers = some.into_iter().map(|name| {
        let store = store.clone();
        let name = format!("{name:02}");
        tokio::spawn(async move { (put_cluster(&store, &name).await.is_ok(), name) })
    });
    for writer in writers.collect::<Vec<_>>() {
        let (acknowledged, name) = writer.await.unwrap();
        model.note(&name, true, acknowledged);
    }
}

/// A small generator for the sectors that survive.
struct Lot(u64);

impl Lot {
    fn draw(&mut self) -> bool {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        self.0 >> 63 == 1
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn acknowledged_commits_survive_everything(steps in prop::collection::vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(run(steps));
    }
}

#[tokio::test]
async fn a_full_disk_says_so_and_reads_go_on() {
    let disk = Disk::default();
    let store = open(&disk).await.unwrap();
    put_cluster(&store, "a").await.unwrap();
    disk.fail_after(0, io::ErrorKind::StorageFull);
    let error = put_cluster(&store, "b").await.unwrap_err();
    assert_eq!(error.to_string(), "the disk is full: the change was not made");
    assert_eq!(names(&store.view()), ["a"]);
    disk.heal();
    put_cluster(&store, "c").await.unwrap();
    assert_eq!(names(&store.view()), ["a", "c"]);
}
