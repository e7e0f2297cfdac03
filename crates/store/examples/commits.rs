//! How many small durable writes a second the store takes: 64 tasks write 2 KiB rows through redb.
//!
//! `cargo run --release -p store --example commits [DIRECTORY]` prints commits per second and commits per fsync. The
//! directory (default: the current one) should be on the disk that is meant.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use model::cluster::ClusterStatus;
use model::{Cluster, Scope, Tag, Timestamp};
use store::log::redb::RedbLog;
use store::log::{Group, TakeRow};
use store::{Log, LogError, Store};

const WRITERS: u64 = 64;
const RUN: Duration = Duration::from_secs(5);
const ROW_BYTES: usize = 2048;

/// Counts the groups that reach redb: each is one fsync.
struct Counted {
    log: RedbLog,
    groups: Arc<AtomicU64>,
}

impl Log for Counted {
    fn load(&mut self, row: &mut TakeRow) -> Result<u64, LogError> {
        self.log.load(row)
    }

    fn commit(&mut self, group: &Group) -> Result<(), LogError> {
        self.groups.fetch_add(1, Ordering::Relaxed);
        self.log.commit(group)
    }
}

fn row(writer: u64, number: u64) -> Cluster {
    Cluster {
        scope: Scope::new("000000000000", "us-east-1"),
        name: format!("cluster-{writer:02}-{number:08}"),
        status: ClusterStatus::Active,
        settings: Vec::new(),
        tags: vec![Tag { key: "filler".to_owned(), value: "x".repeat(ROW_BYTES) }],
        capacity_providers: Vec::new(),
        default_strategy: Vec::new(),
        connect_namespace: None,
        created_at: Timestamp(0),
        inactive_at: None,
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = std::env::args().nth(1).unwrap_or_else(|| ".".to_owned());
    let directory = tempfile::tempdir_in(directory)?;
    let groups = Arc::new(AtomicU64::new(0));
    let log = Counted { log: RedbLog::open(&directory.path().join("state.redb"))?, groups: groups.clone() };
    let store = Store::open(log).await?;
    let start = Instant::now();
    let writers = (0..WRITERS).map(|writer| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut slowest = Duration::ZERO;
            let mut number = 0;
            while start.elapsed() < RUN {
                let before = Instant::now();
                let row = row(writer, number);
                store
                    .write::<_, ()>(|txn| {
                        txn.put(row);
                        Ok(())
                    })
                    .await
                    .expect("written");
                slowest = slowest.max(before.elapsed());
                number += 1;
            }
            (number, slowest)
        })
    });
    let (mut commits, mut slowest) = (0, Duration::ZERO);
    for writer in writers.collect::<Vec<_>>() {
        let (count, worst) = writer.await?;
        commits += count;
        slowest = slowest.max(worst);
    }
    let seconds = start.elapsed().as_secs_f64();
    let groups = groups.load(Ordering::Relaxed);
    println!(
        "{:.0} commits/s, {:.0} fsyncs/s, {:.1} commits per fsync, slowest {:.1} ms",
        commits as f64 / seconds,
        groups as f64 / seconds,
        commits as f64 / groups as f64,
        slowest.as_secs_f64() * 1e3
    );
    store.close().await;
    Ok(())
}
