//! Finding, starting and ending containerd.

use std::task::Poll;

use agent::driver::{FoundStatus, Runtime};
use agent::runtime::daemon::{self, Daemon, DaemonError};

use crate::support::Fixture;

#[tokio::test(flavor = "multi_thread")]
async fn a_private_containerd_is_found_again_and_ended() {
    let fixture = Fixture::new().await;
    let directory = fixture.directory.clone();
    let address = directory.join("containerd/containerd.sock");
    let found = daemon::find_or_start_private(&directory).await.expect("found");
    assert_eq!(found, Daemon { address: address.clone(), private: true });
    let given = daemon::find_or_start(&directory, Some(&address)).await.expect("found");
    assert_eq!(given, Daemon { address, private: false });
    assert!(fixture.runtime.version().await.expect("answered").starts_with("containerd 1."));
    fixture.end().await;
    assert!(!daemon::stop_private(&directory).await.expect("nothing to end"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_socket_and_a_stranger_with_its_pid_are_not_taken_for_it() {
    let mut fixture = Fixture::new().await;
    fixture.kill_containerd().await;
    let pid_file = fixture.directory.join("containerd/containerd.pid");
    std::fs::write(&pid_file, std::process::id().to_string()).expect("written");
    assert!(!daemon::stop_private(&fixture.directory).await.expect("nothing of ours"));
    fixture.start_containerd().await;
    fixture.gap().await;
    // Also makes containerd clear up what it had not yet removed when it was killed: it looks only where something goes.
    fixture.runtime.create(&fixture.request("again", &["true"])).await.expect("connected again");
    fixture.runtime.delete("again").await.expect("deleted");
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_containerd_that_ends_is_started_again() {
    let mut fixture = Fixture::new().await;
    fixture.runtime.create(&fixture.request("stays", &["sleep", "1000"])).await.expect("created");
    fixture.runtime.start("stays").await.expect("started");
    let mut keeping = Box::pin(daemon::keep(fixture.directory.clone()));
    // It looks for what to keep first, then waits.
    let is_waiting = std::future::poll_fn(|cx| Poll::Ready(keeping.as_mut().poll(cx).is_pending())).await;
    assert!(is_waiting);
    let keeper = tokio::spawn(keeping);
    fixture.kill_containerd().await;
    fixture.gap().await;
    let found = fixture.runtime.list().await.expect("listed");
    assert!(matches!(found[0].status, FoundStatus::Running { .. }));
    keeper.abort();
    fixture.runtime.delete("stays").await.expect("deleted");
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_answer_or_start_says_so() {
    let directory = tempfile::tempdir().expect("a directory");
    let nobody = directory.path().join("nobody.sock");
    let error = daemon::find_or_start(directory.path(), Some(&nobody)).await.expect_err("nobody");
    assert!(error.to_string().starts_with("no containerd answers at"), "{error}");
    let place = directory.path().join("containerd");
    std::fs::create_dir(&place).expect("a directory");
    std::fs::write(place.join("root"), "in the way").expect("written");
    let error = daemon::find_or_start_private(directory.path()).await.expect_err("root is a file");
    assert!(matches!(&error, DaemonError::Ended { tail, .. } if tail.contains("not a directory")), "{error}");
    let long = directory.path().join("d".repeat(100));
    let error = daemon::find_or_start_private(&long).await.expect_err("a long name");
    assert!(matches!(error, DaemonError::LongName(_)), "{error}");
}
