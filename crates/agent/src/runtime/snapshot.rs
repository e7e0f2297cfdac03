//! Snapshots: the file systems of images (committed, named by chain id) and of containers (active, named by container).

use std::collections::HashMap;
use std::io;
use std::path::Path;

use super::api::containerd::services::diff::v1::ApplyRequest;
use super::api::containerd::services::snapshots::v1::{
    CommitSnapshotRequest, MountsRequest, PrepareSnapshotRequest, RemoveSnapshotRequest, StatSnapshotRequest,
    ViewSnapshotRequest,
};
use super::api::containerd::types::{Descriptor as ApiDescriptor, Mount};
use super::client::{Client, Failure, RECORD_LIMIT, Result, UNPACK_LIMIT};
use super::manifest::{Configuration, Descriptor, Manifest, chain_ids, check_pairs};
use super::view;

/// Shares the files of images among containers.
const OVERLAY: &str = "overlayfs";
/// Copies whole directories; works where overlay mounts do not.
const NATIVE: &str = "native";

/// The better snapshotter of those that this containerd has and this kernel takes. `point`: an empty directory.
pub async fn choose(client: &Client, point: &Path) -> Result<&'static str> {
    if is_loaded(client, OVERLAY).await? && takes_overlay(client, point).await? {
        return Ok(OVERLAY);
    }
    if is_loaded(client, NATIVE).await? {
        return Ok(NATIVE);
    }
    Err(Failure::Invalid(format!("containerd has no usable snapshotter: neither {OVERLAY} nor {NATIVE}")))
}

async fn is_loaded(client: &Client, snapshotter: &str) -> Result<bool> {
    match exists(client, snapshotter, "none").await {
        Ok(_) => Ok(true),
        Err(failure) if failure.is_invalid_argument() => Ok(false),
        Err(failure) => Err(failure),
    }
}

/// containerd loads the plug-in also where the mount will fail later, so a mount is tried.
async fn takes_overlay(client: &Client, point: &Path) -> Result<bool> {
    let key = format!("probe-{}", super::unique());
    let mounts = prepare(client, OVERLAY, &key, "").await?;
    let point = point.to_owned();
    let tried = tokio::task::spawn_blocking(move || view::takes_overlay(&mounts, &point)).await;
    remove(client, OVERLAY, &key).await?;
    let tried = tried.unwrap_or_else(|error| Err(io::Error::other(error)));
    tried.map_err(|error| Failure::io("trying an overlay mount", error))
}

pub async fn exists(client: &Client, snapshotter: &str, key: &str) -> Result<bool> {
    let request = StatSnapshotRequest { snapshotter: snapshotter.to_owned(), key: key.to_owned() };
    match client.call("snapshots.Stat", RECORD_LIMIT, client.snapshots().stat(request)).await {
        Ok(_) => Ok(true),
        Err(failure) if failure.is_not_found() => Ok(false),
        Err(failure) => Err(failure),
    }
}

/// Makes a writable snapshot over `parent` and answers how to mount it. One that is there already is taken over.
pub async fn prepare(client: &Client, snapshotter: &str, key: &str, parent: &str) -> Result<Vec<Mount>> {
    let request = PrepareSnapshotRequest {
        snapshotter: snapshotter.to_owned(),
        key: key.to_owned(),
        parent: parent.to_owned(),
        labels: HashMap::new(),
    };
    let prepared = client.call("snapshots.Prepare", RECORD_LIMIT, client.snapshots().prepare(request)).await;
    match prepared {
        Ok(response) => Ok(response.mounts),
        Err(failure) if failure.is_already_there() => mounts(client, snapshotter, key).await,
        Err(failure) => Err(failure),
    }
}

async fn mounts(client: &Client, snapshotter: &str, key: &str) -> Result<Vec<Mount>> {
    let request = MountsRequest { snapshotter: snapshotter.to_owned(), key: key.to_owned() };
    Ok(client.call("snapshots.Mounts", RECORD_LIMIT, client.snapshots().mounts(request)).await?.mounts)
}

/// No error when it is gone.
pub async fn remove(client: &Client, snapshotter: &str, key: &str) -> Result<()> {
    let request = RemoveSnapshotRequest { snapshotter: snapshotter.to_owned(), key: key.to_owned() };
    match client.call("snapshots.Remove", RECORD_LIMIT, client.snapshots().remove(request)).await {
        Ok(()) => Ok(()),
        Err(failure) if failure.is_not_found() => Ok(()),
        Err(failure) => Err(failure),
    }
}

/// Unpacks the layers that have no snapshot yet and answers the chain id of them all.
pub async fn unpack(
    client: &Client,
    snapshotter: &str,
    manifest: &Manifest,
    configuration: &Configuration,
) -> Result<String> {
    check_pairs(manifest, configuration).map_err(|error| Failure::Invalid(error.to_string()))?;
    let chain = chain_ids(configuration.diff_ids());
    let Some(top) = chain.last() else {
        return Err(Failure::Invalid("the image has no layers".to_owned()));
    };
    // From the top: an image that is there costs one call.
    let mut first_missing = chain.len();
    while first_missing > 0 && !exists(client, snapshotter, &chain[first_missing - 1]).await? {
        first_missing -= 1;
    }
    for n in first_missing..chain.len() {
        let parent = if n == 0 { "" } else { chain[n - 1].as_str() };
        let layer = Layer { descriptor: &manifest.layers[n], diff_id: &configuration.diff_ids()[n], chain: &chain[n] };
        unpack_layer(client, snapshotter, &layer, parent).await?;
    }
    Ok(top.clone())
}

struct Layer<'a> {
    descriptor: &'a Descriptor,
    diff_id: &'a str,
    chain: &'a str,
}

async fn unpack_layer(client: &Client, snapshotter: &str, layer: &Layer<'_>, parent: &str) -> Result<()> {
    let key = format!("extract-{} {}", super::unique(), layer.chain);
    let mounts = prepare(client, snapshotter, &key, parent).await?;
    let result = apply_and_commit(client, snapshotter, layer, &key, mounts).await;
    if result.is_err() {
        remove(client, snapshotter, &key).await?;
    }
    result
}

async fn apply_and_commit(
    client: &Client,
    snapshotter: &str,
    layer: &Layer<'_>,
    key: &str,
    mounts: Vec<Mount>,
) -> Result<()> {
    let diff = ApiDescriptor {
        media_type: layer.descriptor.media_type.clone(),
        digest: layer.descriptor.digest.clone(),
        size: layer.descriptor.size,
        annotations: HashMap::new(),
    };
    let request = ApplyRequest { diff: Some(diff), mounts, payloads: HashMap::new(), sync_fs: false };
    let applied = client.call("diff.Apply", UNPACK_LIMIT, client.diff().apply(request)).await?;
    let got = applied.applied.map(|descriptor| descriptor.digest).unwrap_or_default();
    if got != layer.diff_id {
        let (digest, want) = (&layer.descriptor.digest, layer.diff_id);
        return Err(Failure::Invalid(format!("layer {digest} unpacks to {got}, the image says {want}")));
    }
    let request = CommitSnapshotRequest {
        snapshotter: snapshotter.to_owned(),
        name: layer.chain.to_owned(),
        key: key.to_owned(),
        labels: HashMap::new(),
    };
    match client.call("snapshots.Commit", RECORD_LIMIT, client.snapshots().commit(request)).await {
        Ok(()) => Ok(()),
        // Another pull was faster with a layer that both have.
        Err(failure) if failure.is_already_there() => remove(client, snapshotter, key).await,
        Err(failure) => Err(failure),
    }
}

/// How to mount a committed snapshot for reading. Leaves nothing behind.
pub async fn layers(client: &Client, snapshotter: &str, chain_id: &str) -> Result<Vec<Mount>> {
    let key = format!("view-{}", super::unique());
    let request = ViewSnapshotRequest {
        snapshotter: snapshotter.to_owned(),
        key: key.clone(),
        parent: chain_id.to_owned(),
        labels: HashMap::new(),
    };
    let viewed = client.call("snapshots.View", RECORD_LIMIT, client.snapshots().view(request)).await;
    // The layers' directories are the image's and stay; only the name of this look goes.
    remove(client, snapshotter, &key).await?;
    Ok(viewed?.mounts)
}
