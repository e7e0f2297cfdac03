//! Images of the node: what is there, what to run when the definition does not say, and how a new one gets in.
//!
//! ```text
//! source (archive | registry) -> blobs in the content store -> layers unpacked -> image record
//! ```
//! All under a lease, so that a collection in the middle takes nothing away; the record comes last, so an image that
//! has a name is whole. A killed import leaves a lease that containerd expires.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::sync::OnceCell;

use super::account::Accounts;
use super::api::containerd::services::images::v1::{
    CreateImageRequest, GetImageRequest, Image as Record, ListImagesRequest, UpdateImageRequest,
};
use super::api::containerd::services::leases::v1::{CreateRequest, DeleteRequest};
use super::api::containerd::types::Descriptor as ApiDescriptor;
use super::archive::Archive;
use super::client::{Client, Failure, RECORD_LIMIT, Result};
use super::content::{self, Writer};
use super::manifest::{self, Configuration, Descriptor, Document, Manifest, OCI_INDEX, OCI_MANIFEST, Platform};
use super::reference::Reference;
use super::snapshot;
use crate::driver::Image;

/// Layers that are copied at once, as docker does.
const LAYERS_AT_ONCE: usize = 3;
/// After this containerd may collect what a killed import left.
const LEASE_TIME: Duration = Duration::from_secs(24 * 60 * 60);
/// Configurations kept in memory.
const FACTS_LIMIT: usize = 256;

/// Where an image comes from.
pub trait Source: Sync {
    /// A manifest or index; its digest is verified.
    fn manifest(&self, descriptor: &Descriptor) -> impl Future<Output = Result<Vec<u8>>> + Send;
    /// An image's configuration; its digest is verified.
    fn configuration(&self, descriptor: &Descriptor) -> impl Future<Output = Result<Vec<u8>>> + Send;
    /// Told once, before they are copied, which layers the node lacks.
    fn expect(&self, layers: &[Descriptor]);
    /// Sends all bytes of a layer; containerd verifies them.
    fn layer(&self, descriptor: &Descriptor, writer: &mut Writer) -> impl Future<Output = Result<()>> + Send;
}

/// What a container needs to know of its image.
#[derive(Debug)]
pub struct Facts {
    pub configuration: Configuration,
    /// Snapshot that holds its files.
    pub chain_id: String,
    /// Its /etc/passwd and /etc/group, read when first needed.
    pub accounts: OnceCell<Accounts>,
}

/// An image as `gantry image ls` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub reference: String,
    pub digest: String,
    /// Bytes of its blobs on this node, compressed as they came.
    pub size: u64,
    pub created_at: model::Timestamp,
}

#[derive(Debug)]
pub struct Images {
    client: Client,
    snapshotter: &'static str,
    facts: Mutex<HashMap<String, Arc<Facts>>>,
}

impl Images {
    pub fn new(client: Client, snapshotter: &'static str) -> Self {
        Self { client, snapshotter, facts: Mutex::default() }
    }

    /// The image of that name, if the node has it. One with a digest is also found under any other name: it is what the
    /// digest says, whatever it is called.
    pub async fn find(&self, reference: &Reference) -> Result<Option<Image>> {
        let name = reference.to_string();
        let request = GetImageRequest { name: name.clone() };
        let answer = self.client.call("images.Get", RECORD_LIMIT, self.client.images().get(request)).await;
        let record = match answer {
            Ok(response) => response.image,
            Err(failure) if failure.is_not_found() => self.find_digest(reference).await?,
            Err(failure) => return Err(failure),
        };
        let target = record.and_then(|record| record.target);
        Ok(target.map(|target| Image { reference: name, digest: target.digest, pulled: false }))
    }

    async fn find_digest(&self, reference: &Reference) -> Result<Option<Record>> {
        let Some(digest) = &reference.digest else { return Ok(None) };
        let request = ListImagesRequest { filters: vec![format!("target.digest=={digest}")] };
        let answer = self.client.call("images.List", RECORD_LIMIT, self.client.images().list(request)).await?;
        Ok(answer.images.into_iter().next())
    }

    /// What to know of the image whose manifest or index has this digest. Unpacks it when its snapshot is gone.
    pub async fn facts(&self, digest: &str) -> Result<Arc<Facts>> {
        if let Some(facts) = self.facts.lock().expect("no panic while held").get(digest) {
            return Ok(Arc::clone(facts));
        }
        let (manifest, configuration) = self.documents(digest).await?;
        let chain_id = snapshot::unpack(&self.client, self.snapshotter, &manifest, &configuration).await?;
        let facts = Arc::new(Facts { configuration, chain_id, accounts: OnceCell::new() });
        let mut known = self.facts.lock().expect("no panic while held");
        if known.len() >= FACTS_LIMIT {
            known.clear();
        }
        known.insert(digest.to_owned(), Arc::clone(&facts));
        Ok(facts)
    }

    /// Forgets what is known of an image, for when its snapshot turns out to be gone.
    pub fn forget(&self, digest: &str) {
        self.facts.lock().expect("no panic while held").remove(digest);
    }

    pub async fn list(&self) -> Result<Vec<Listed>> {
        let request = ListImagesRequest { filters: Vec::new() };
        let answer = self.client.call("images.List", RECORD_LIMIT, self.client.images().list(request)).await?;
        let rows = stream::iter(answer.images).map(|record| self.describe(record)).buffered(LAYERS_AT_ONCE);
        let mut rows: Vec<Listed> = rows.try_collect().await?;
        rows.sort_by(|a, b| a.reference.cmp(&b.reference));
        Ok(rows)
    }

    async fn describe(&self, record: Record) -> Result<Listed> {
        let target = record.target.unwrap_or_default();
        let size = match self.documents(&target.digest).await {
            Ok((manifest, _)) => {
                let layers = manifest.layers.iter().chain([&manifest.config]);
                layers.map(|layer| u64::try_from(layer.size).unwrap_or(0)).sum()
            }
            // An image made by another program for another platform: named, but without content here.
            Err(failure) if failure.is_not_found() => 0,
            Err(Failure::Invalid(_)) => 0,
            Err(failure) => return Err(failure),
        };
        let created_at = super::timestamp(record.created_at.as_ref());
        Ok(Listed { reference: record.name, digest: target.digest, size, created_at })
    }

    async fn documents(&self, digest: &str) -> Result<(Manifest, Configuration)> {
        let mut digest = digest.to_owned();
        let manifest = loop {
            match Document::parse(&content::read(&self.client, &digest).await?).map_err(invalid)? {
                Document::Manifest(manifest) => break manifest,
                Document::Index(entries) => {
                    let chosen = manifest::choose(&entries, &Platform::here()).map_err(invalid)?;
                    digest = chosen.digest.clone();
                }
            }
        };
        let bytes = content::read(&self.client, &manifest.config.digest).await?;
        Ok((manifest, Configuration::parse(&bytes).map_err(invalid)?))
    }

    /// All images of an archive.
    pub async fn import(&self, file: &Path, scratch: &Path, name: Option<&str>) -> Result<Vec<Image>> {
        let (path, scratch, name) = (file.to_owned(), scratch.to_owned(), name.map(str::to_owned));
        let opened = tokio::task::spawn_blocking(move || Archive::open(&path, &scratch, name.as_deref())).await;
        let archive = match opened {
            Ok(Ok(archive)) => archive,
            Ok(Err(error)) => return Err(Failure::Invalid(format!("{}: {error}", file.display()))),
            Err(error) => return Err(Failure::Invalid(error.to_string())),
        };
        let mut images = Vec::with_capacity(archive.images.len());
        for named in &archive.images {
            let image = self.add(&archive, &named.name, &named.descriptor).await?;
            tracing::info!(reference = image.reference, digest = image.digest, "imported");
            images.push(image);
        }
        Ok(images)
    }

    /// Copies an image in, unpacks it and gives it the name.
    pub async fn add<S: Source>(&self, source: &S, name: &str, target: &Descriptor) -> Result<Image> {
        let lease = self.open_lease().await?;
        let client = self.client.with_lease(&lease);
        let result = self.copy(&client, source, name, target).await;
        let request = DeleteRequest { id: lease, sync: false };
        let closed = self.client.call("leases.Delete", RECORD_LIMIT, self.client.leases().delete(request)).await;
        if let Err(failure) = closed {
            tracing::debug!(%failure, "a lease is left to expire");
        }
        result?;
        Ok(Image { reference: name.to_owned(), digest: target.digest.clone(), pulled: true })
    }

    async fn open_lease(&self) -> Result<String> {
        let id = format!("gantry-image-{}", super::unique());
        let expires = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(LEASE_TIME.as_secs() as i64);
        let labels = HashMap::from([("containerd.io/gc.expire".to_owned(), format!("{expires:.0}"))]);
        let request = CreateRequest { id: id.clone(), labels };
        self.client.call("leases.Create", RECORD_LIMIT, self.client.leases().create(request)).await?;
        Ok(id)
    }

    async fn copy<S: Source>(&self, client: &Client, source: &S, name: &str, target: &Descriptor) -> Result<()> {
        let mut parents: Vec<(Descriptor, Vec<u8>, Vec<Descriptor>)> = Vec::new();
        let mut descriptor = target.clone();
        let (manifest, bytes) = loop {
            let bytes = source.manifest(&descriptor).await?;
            match Document::parse(&bytes).map_err(invalid)? {
                Document::Manifest(manifest) => break (manifest, bytes),
                Document::Index(entries) => {
                    let chosen = manifest::choose(&entries, &Platform::here()).map_err(invalid)?.clone();
                    if parents.iter().any(|(parent, ..)| parent.digest == chosen.digest) {
                        return Err(Failure::Invalid("the image index contains itself".to_owned()));
                    }
                    parents.push((descriptor, bytes, vec![chosen.clone()]));
                    descriptor = chosen;
                }
            }
        };
        let config_bytes = source.configuration(&manifest.config).await?;
        let configuration = Configuration::parse(&config_bytes).map_err(invalid)?;
        manifest::check_pairs(&manifest, &configuration).map_err(invalid)?;
        self.copy_layers(client, source, &manifest.layers).await?;
        content::write(client, &manifest.config, config_bytes, HashMap::new()).await?;
        let children = content::child_labels(manifest.layers.iter().chain([&manifest.config]));
        content::write(client, &with_size(&descriptor, &bytes), bytes, children).await?;
        for (parent, bytes, children) in parents.into_iter().rev() {
            content::write(client, &with_size(&parent, &bytes), bytes, content::child_labels(&children)).await?;
        }
        let chain_id = snapshot::unpack(client, self.snapshotter, &manifest, &configuration).await?;
        let keep = format!("containerd.io/gc.ref.snapshot.{}", self.snapshotter);
        content::label(client, &manifest.config.digest, HashMap::from([(keep, chain_id)])).await?;
        let kind = if descriptor.digest == target.digest { OCI_MANIFEST } else { OCI_INDEX };
        self.record(name, target, kind).await
    }

    async fn copy_layers<S: Source>(&self, client: &Client, source: &S, layers: &[Descriptor]) -> Result<()> {
        // The same blob twice in one image (the empty layer) is copied once.
        let mut missing: Vec<Descriptor> = Vec::new();
        for layer in layers {
            let is_new = missing.iter().all(|known| known.digest != layer.digest);
            if is_new && !content::has(client, &layer.digest).await? {
                missing.push(layer.clone());
            }
        }
        source.expect(&missing);
        let copies = stream::iter(missing).map(|layer| async move { copy_layer(client, source, &layer).await });
        copies.buffer_unordered(LAYERS_AT_ONCE).try_collect().await
    }

    /// `kind`: the media type for a target that came without one; containerd wants one.
    async fn record(&self, name: &str, target: &Descriptor, kind: &str) -> Result<()> {
        let media_type = if target.media_type.is_empty() { kind } else { &target.media_type };
        let target = ApiDescriptor {
            media_type: media_type.to_owned(),
            digest: target.digest.clone(),
            size: target.size,
            annotations: HashMap::new(),
        };
        let image = Record { name: name.to_owned(), target: Some(target), ..Record::default() };
        let request = CreateImageRequest { image: Some(image.clone()), source_date_epoch: None };
        let created = self.client.call("images.Create", RECORD_LIMIT, self.client.images().create(request)).await;
        match created {
            Ok(_) => return Ok(()),
            Err(failure) if failure.is_already_there() => {}
            Err(failure) => return Err(failure),
        }
        let update_mask = Some(prost_types::FieldMask { paths: vec!["target".to_owned()] });
        let request = UpdateImageRequest { image: Some(image), update_mask, source_date_epoch: None };
        self.client.call("images.Update", RECORD_LIMIT, self.client.images().update(request)).await?;
        Ok(())
    }
}

impl Source for Archive {
    async fn manifest(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        self.document(descriptor).map_err(|error| Failure::Invalid(error.to_string()))
    }

    async fn configuration(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        self.document(descriptor).map_err(|error| Failure::Invalid(error.to_string()))
    }

    fn expect(&self, _: &[Descriptor]) {}

    async fn layer(&self, descriptor: &Descriptor, writer: &mut Writer) -> Result<()> {
        let extent = self.extent(&descriptor.digest).map_err(|error| Failure::Invalid(error.to_string()))?;
        let mut done = 0;
        while done < extent.size {
            let file = self.file();
            let length = (content::CHUNK as u64).min(extent.size - done) as usize;
            let offset = extent.offset + done;
            let read = move || {
                let mut chunk = vec![0; length];
                file.read_exact_at(&mut chunk, offset).map(|()| chunk)
            };
            let chunk = blocking(read).await.map_err(|error| Failure::io("reading the archive", error))?;
            writer.send(chunk).await?;
            done += length as u64;
        }
        Ok(())
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

async fn copy_layer<S: Source>(client: &Client, source: &S, layer: &Descriptor) -> Result<()> {
    let mut writer = Writer::open(client, layer, HashMap::new()).await?;
    source.layer(layer, &mut writer).await?;
    writer.commit().await
}

/// Descriptors of registries' answers and archives may lack the size.
fn with_size(descriptor: &Descriptor, bytes: &[u8]) -> Descriptor {
    Descriptor { size: bytes.len() as i64, ..descriptor.clone() }
}

fn invalid(error: manifest::InvalidImage) -> Failure {
    Failure::Invalid(error.to_string())
}
