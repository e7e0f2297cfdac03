//! Pulls from a registry.

use std::time::Duration;

use agent::driver::{DriverError, Image, Runtime};
use agent::runtime::keyring::Credentials;
use agent::runtime::{Progress, Retry, Settings};

use crate::assemble::{self, Form};
use crate::registry::{Authorization, Fault, Kind, PASSWORD, Registry, USER};
use crate::support::Fixture;

const CANNOT_PULL: &str = "CannotPullContainerError";

fn patient(settings: &mut Settings) {
    let pause = Duration::from_millis(5);
    settings.retry = Retry { attempts: 5, first_pause: pause, longest_pause: pause };
}

/// A registry with an image that no other test has, so that its layers are fetched.
async fn registry(fixture: &Fixture, authorization: Authorization, faults: Vec<Fault>) -> Registry {
    let archive = fixture.directory.join("pull.tar");
    let noise: Vec<u8> = (0..500_000u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let image = assemble::busybox("unused:1").expect("/bin/busybox (package busybox-static)");
    image.file("noise", noise, 0o644).write(&archive, Form::Oci).expect("written");
    Registry::start(&archive, authorization, faults).await
}

async fn pull(fixture: &Fixture, registry: &Registry) -> Result<Image, DriverError> {
    fixture.runtime.ensure_image(&registry.image()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_pulled_once_and_runs() {
    let mut fixture = Fixture::with(patient).await;
    let registry = registry(&fixture, Authorization::None, Vec::new()).await;
    let mut progress = fixture.runtime.pulls();
    let pulls = (0..4).map(|_| {
        let (runtime, image) = (fixture.runtime.clone(), registry.image());
        tokio::spawn(async move { runtime.ensure_image(&image).await.expect("pulled") })
    });
    let pulls: Vec<_> = pulls.collect();
    let shown = progress.wait_for(|pulls| pulls.values().any(|pull| pull.total > 0)).await.expect("shown").clone();
    assert_eq!(shown.keys().collect::<Vec<_>>(), [&registry.image()]);
    for pull in pulls {
        let image = pull.await.expect("no panic");
        assert_eq!((image.reference, image.digest), (registry.image(), registry.digest()));
    }
    assert_eq!(progress.borrow_and_update().clone(), std::collections::BTreeMap::<String, Progress>::new());
    assert_eq!(registry.count("/manifests/"), 1);
    assert_eq!(registry.count("/blobs/"), 2, "a configuration and a layer");
    let image = pull(&fixture, &registry).await.expect("there");
    assert!(!image.pulled);
    let pinned = format!("{}@{}", registry.image(), registry.digest());
    assert_eq!(fixture.runtime.ensure_image(&pinned).await.expect("there").digest, registry.digest());
    assert_eq!(registry.count("/"), 3, "what is there is not asked for");
    let mut request = fixture.request("pulled", &["sh", "-c", "wc -c < /noise"]);
    request.image = image;
    let (exit, output) = fixture.run(request).await;
    assert_eq!((exit.exit_code, output.as_str()), (0, "2000000\n"));
    fixture.end_with_images(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_pulled_by_its_digest() {
    let fixture = Fixture::with(patient).await;
    let registry = registry(&fixture, Authorization::None, Vec::new()).await;
    let name = format!("{}/test/image@{}", registry.address, registry.digest());
    assert_eq!(fixture.runtime.ensure_image(&name).await.expect("pulled").digest, registry.digest());
    let other = format!("{}/test/image@sha256:{}", registry.address, "00".repeat(32));
    let error = fixture.runtime.ensure_image(&other).await.expect_err("not there");
    assert!(error.message.ends_with("not found"), "{error}");
    fixture.end_with_images(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn passing_faults_are_overcome() {
    let fixture = Fixture::with(patient).await;
    let fault = |path, kind, times| Fault { path, kind, times };
    let faults = vec![
        fault("/manifests/", Kind::Status(503), 2),
        fault("/manifests/", Kind::Break(10), 1),
        fault("/blobs/", Kind::Status(429), 1),
        fault("/blobs/", Kind::Break(400_000), 3),
    ];
    let registry = registry(&fixture, Authorization::Token, faults).await;
    assert!(registry.largest_blob() > 1_600_000, "the faults are meant to hit the layer in the middle");
    let image = pull(&fixture, &registry).await.expect("pulled in the end");
    assert_eq!(image.digest, registry.digest());
    assert_eq!(registry.count("/manifests/"), 4);
    assert!(registry.count("bytes=") >= 1, "a broken transfer goes on where it broke");
    fixture.end_with_images(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_used() {
    let check = async |authorization, credentials: Option<Credentials>, expected: Result<(), &str>| {
        // The registry's port is not known before the settings are, so the fixture has a registry first.
        let fixture = Fixture::with(patient).await;
        let registry = registry(&fixture, authorization, Vec::new()).await;
        let given = fixture.again(|settings| {
            patient(settings);
            if let Some(credentials) = credentials {
                settings.keyring.add(&registry.address, credentials);
            }
        });
        let result = given.await.ensure_image(&registry.image()).await;
        match (result, expected) {
            (Ok(_), Ok(())) => {}
            (Err(error), Err(text)) => {
                assert_eq!(error.name, CANNOT_PULL);
                assert!(error.message.contains(text), "{error}");
                assert!(!error.message.contains(PASSWORD), "{error}");
            }
            (result, expected) => panic!("{authorization:?}: {result:?}, expected {expected:?}"),
        }
        fixture.end_with_images(if expected.is_ok() { 2 } else { 1 }).await;
    };
    let right = || Some(Credentials::Basic { user: USER.into(), password: PASSWORD.into() });
    let wrong = || Some(Credentials::Basic { user: USER.into(), password: "wrong".into() });
    let denied = "pull access denied, repository does not exist or may require authorization";
    check(Authorization::Basic, right(), Ok(())).await;
    check(Authorization::Basic, wrong(), Err(denied)).await;
    check(Authorization::Basic, None, Err("no basic auth credentials")).await;
    check(Authorization::TokenForUser, right(), Ok(())).await;
    check(Authorization::TokenForUser, wrong(), Err("incorrect username or password")).await;
    check(Authorization::Token, Some(Credentials::Bearer("a-token-of-the-service".into())), Ok(())).await;
    check(Authorization::Token, Some(Credentials::Bearer("stale".into())), Err(denied)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_pulled_says_why_and_leaves_nothing() {
    let fixture = Fixture::with(patient).await;
    let check = async |fault: Option<Fault>, image: Option<&str>, expected: &str| {
        let registry = registry(&fixture, Authorization::None, fault.into_iter().collect()).await;
        let name = image.map_or_else(|| registry.image(), |image| image.replace("HERE", &registry.address));
        let error = fixture.runtime.ensure_image(&name).await.expect_err(expected);
        assert_eq!(error.name, CANNOT_PULL, "{error}");
        let expected = expected.replace("HERE", &registry.address);
        assert!(error.message.contains(&expected), "{error}\nlacks {expected}");
    };
    let fault = |path, kind| Some(Fault { path, kind, times: 100 });
    check(
        None,
        Some("HERE/test/image:2"),
        "failed to resolve reference \"HERE/test/image:2\": HERE/test/image:2: not found",
    )
    .await;
    check(None, Some("Not An Image"), "invalid reference format").await;
    check(
        fault("/manifests/", Kind::Status(500)),
        None,
        "pull image manifest has been retried 5 time(s): failed to resolve reference",
    )
    .await;
    check(fault("/manifests/", Kind::Status(400)), None, "400 Bad Request").await;
    check(fault("/manifests/", Kind::Corrupt), None, "the manifest is not valid").await;
    check(fault("/blobs/", Kind::Corrupt), None, "failed to verify sha256:").await;
    let error = fixture.runtime.ensure_image("127.0.0.1:1/nothing").await.expect_err("nobody listens");
    assert!(error.message.contains("retried 5 time(s)") && error.message.contains("refused"), "{error}");
    assert_eq!(fixture.runtime.list_images().await.expect("listed").len(), 1);
    fixture.end().await;
}
