//! A real file that cannot grow: writes fail, reads go on, and with room again everything works. Alone in its process,
//! because the limit on the size of files is the process's.

mod support;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigHandler, Signal, signal};
use store::log::redb::RedbLog;
use store::{Store, WriteError};
use support::{names, put_cluster};

/// No file may be longer than this: a new store fits, a thousand clusters more do not.
const LIMIT_BYTES: u64 = 1_200_000;
const ATTEMPTS_MAX: u32 = 100_000;

fn limit(bytes: u64) {
    let (_, hard) = getrlimit(Resource::RLIMIT_FSIZE).unwrap();
    setrlimit(Resource::RLIMIT_FSIZE, bytes.min(hard), hard).unwrap();
}

#[tokio::test]
async fn a_file_that_cannot_grow_loses_nothing() {
    // The default action of the signal would end the process; ignored, the write itself fails.
    // Safety: ignoring a signal runs no code in its handler.
    unsafe { signal(Signal::SIGXFSZ, SigHandler::SigIgn) }.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.redb");
    let store = Store::open(RedbLog::open(&path).unwrap()).await.unwrap();
    limit(LIMIT_BYTES);
    let mut acknowledged = Vec::new();
    let error = loop {
        assert!(acknowledged.len() < ATTEMPTS_MAX as usize, "the file grew beyond its limit");
        let name = format!("{:06}", acknowledged.len()) + &"x".repeat(1000);
        match put_cluster(&store, &name).await {
            Ok(_) => acknowledged.push(name),
            Err(WriteError::Log(error)) => break error,
        }
    };
    assert!(error.to_string().starts_with("the store cannot be read or written"), "{error}");
    assert!(put_cluster(&store, &"y".repeat(100_000)).await.is_err(), "still no room");
    assert_eq!(names(&store.view()), acknowledged, "reads go on");

    limit(u64::MAX);
    put_cluster(&store, "z").await.expect("room again");
    acknowledged.push("z".to_owned());
    assert_eq!(names(&store.view()), acknowledged);
    store.close().await;
    let store = Store::open(RedbLog::open(&path).unwrap()).await.unwrap();
    assert_eq!(names(&store.view()), acknowledged);
}
