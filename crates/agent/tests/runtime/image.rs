//! Image archives.

use std::path::{Path, PathBuf};

use agent::driver::Runtime;

use crate::assemble::{self, Form};
use crate::support::Fixture;

fn write(fixture: &Fixture, form: Form) -> PathBuf {
    let archive = fixture.directory.join(format!("{form:?}.tar"));
    let assembly = assemble::busybox("gantry/other:2").expect("/bin/busybox (package busybox-static)");
    assembly.file("extra", "extra", 0o644).write(&archive, form).expect("written");
    archive
}

fn gzip(archive: &Path) -> PathBuf {
    let target = archive.with_extension("tar.gz");
    let file = std::fs::File::create(&target).expect("a file");
    let mut encoder = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    std::io::copy(&mut std::fs::File::open(archive).expect("there"), &mut encoder).expect("compressed");
    encoder.finish().expect("compressed");
    target
}

#[tokio::test(flavor = "multi_thread")]
async fn archives_of_both_forms_are_taken_in() {
    let mut fixture = Fixture::new().await;
    let saved = fixture.runtime.import(&write(&fixture, Form::Docker), None).await.expect("imported");
    assert_eq!(saved[0].reference, "docker.io/gantry/other:2");
    let layout = fixture.runtime.import(&gzip(&write(&fixture, Form::Oci)), None).await.expect("imported");
    assert_eq!(layout[0].reference, "docker.io/gantry/other:2");
    let named = fixture.runtime.import(&write(&fixture, Form::Oci), Some("mine")).await.expect("imported");
    assert_eq!(named[0].reference, "docker.io/library/mine:latest");
    assert_eq!(named[0].digest, layout[0].digest);
    let found = fixture.runtime.ensure_image("gantry/other:2").await.expect("there");
    assert_eq!((found.digest, found.pulled), (layout[0].digest.clone(), false));
    let found = fixture.runtime.ensure_image(&format!("gantry/other:2@{}", layout[0].digest)).await.expect("there");
    assert_eq!((found.digest, found.pulled), (layout[0].digest.clone(), false), "by its digest");
    let listed = fixture.runtime.list_images().await.expect("listed");
    let names: Vec<&str> = listed.iter().map(|image| image.reference.as_str()).collect();
    let expected = ["docker.io/gantry/other:2", "docker.io/library/busybox:latest", "docker.io/library/mine:latest"];
    assert_eq!(names, expected);
    assert!(listed.iter().all(|image| image.size > 100_000 && image.created_at.0 > 1_600_000_000_000));
    let mut request = fixture.request("extra", &["cat", "/extra"]);
    request.image = named[0].clone();
    assert_eq!(fixture.run(request).await.1, "extra");
    fixture.end_with_images(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn archives_that_lie_are_refused() {
    let fixture = Fixture::new().await;
    let archive = write(&fixture, Form::Oci);
    let good = std::fs::read(&archive).expect("readable");
    let check = async |bytes: &[u8], expected: &str| {
        let path = fixture.directory.join("bad.tar");
        std::fs::write(&path, bytes).expect("written");
        let error = fixture.runtime.import(&path, None).await.expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}");
    };
    let changed = |find: &[u8], replace: &[u8]| {
        let at = good.windows(find.len()).position(|window| window == find).expect("there");
        let mut bytes = good.clone();
        bytes[at..at + replace.len()].copy_from_slice(replace);
        bytes
    };
    check(b"", "truncated").await;
    check(b"no tar at all, though it is long enough", "truncated").await;
    check(&[7; 2048], "it is no tar file").await;
    check(&good[..good.len() / 2], "truncated").await;
    // The configuration, then the layer: found out by us, and by containerd.
    check(&changed(b"IMAGE=busybox", b"IMAGE=busyboy"), "has digest").await;
    let gzip = changed(&[0x1f, 0x8b, 8], &[0x1f, 0x8b, 9]);
    check(&gzip, "unexpected commit digest").await;
    assert_eq!(fixture.runtime.list_images().await.expect("listed").len(), 1);
    fixture.end().await;
}
