//! Pulls: an image from its registry into containerd, again after passing faults, once for all who want it at the same
//! time.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use tokio::sync::{OnceCell, watch};

use super::client::{Failure, Result};
use super::content::{CHUNK, Writer};
use super::image::{Images, Source};
use super::keyring::Keyring;
use super::manifest::{Descriptor, digest};
use super::reference::Reference;
use super::registry::{self, Registry, RegistryError};
use crate::driver::{DriverError, Image};

/// ecs-semantics §5.7: ECS_IMAGE_PULL_TIMEOUT.
const PULL_LIMIT: Duration = Duration::from_secs(2 * 60 * 60);
/// ecs-semantics §5.7: ECS_MANIFEST_PULL_TIMEOUT.
const MANIFEST_LIMIT: Duration = Duration::from_secs(60);
const CANNOT_PULL: &str = "CannotPullContainerError";

/// How often a fetch is tried and how long to wait in between.
#[derive(Clone, Copy, Debug)]
pub struct Retry {
    pub attempts: u32,
    pub first_pause: Duration,
    pub longest_pause: Duration,
}

impl Default for Retry {
    /// As AWS's texts count them: five.
    fn default() -> Self {
        Self { attempts: 5, first_pause: Duration::from_secs(1), longest_pause: Duration::from_secs(10) }
    }
}

impl Retry {
    /// After the given attempt, from 1: doubled each time.
    fn pause(&self, attempt: u32) -> Duration {
        let doubled = self.first_pause.saturating_mul(1 << (attempt - 1).min(16));
        doubled.min(self.longest_pause)
    }

    /// Runs `attempt` until it succeeds, fails for good, or the attempts are used up.
    async fn run<T, F: Future<Output = std::result::Result<T, RegistryError>>>(
        &self,
        what: &str,
        mut attempt: impl FnMut() -> F,
    ) -> std::result::Result<T, GaveUp> {
        let mut count = 1;
        loop {
            let error = match attempt().await {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            if !error.is_passing() || count >= self.attempts {
                return Err(GaveUp { attempts: count, error });
            }
            tracing::info!(%error, what, attempt = count, "trying again");
            tokio::time::sleep(self.pause(count)).await;
            count += 1;
        }
    }
}

struct GaveUp {
    attempts: u32,
    error: RegistryError,
}

impl GaveUp {
    /// In AWS's words (ecs-semantics §1.3).
    fn describe(&self, what: &str, reference: &Reference) -> String {
        let error = match &self.error {
            RegistryError::NotFound => format!("{reference}: not found"),
            error => error.to_string(),
        };
        let text = format!("failed to resolve reference \"{reference}\": {error}");
        if self.attempts == 1 { text } else { format!("{what} has been retried {} time(s): {text}", self.attempts) }
    }
}

/// How far a pull is, in compressed bytes of layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pub done: u64,
    /// 0 until the manifest is read.
    pub total: u64,
}

type Shared = Arc<OnceCell<crate::driver::Result<Image>>>;

#[derive(Debug)]
pub struct Pulls {
    keyring: Keyring,
    retry: Retry,
    /// For registries by TLS, and for those of this machine.
    clients: [OnceCell<reqwest::Client>; 2],
    under_way: Mutex<HashMap<String, Shared>>,
    progress: watch::Sender<BTreeMap<String, Progress>>,
}

impl Pulls {
    pub fn new(keyring: Keyring, retry: Retry) -> Self {
        let (progress, _) = watch::channel(BTreeMap::new());
        Self { keyring, retry, clients: Default::default(), under_way: Mutex::default(), progress }
    }

    /// The pulls that are under way, by reference.
    pub fn progress(&self) -> watch::Receiver<BTreeMap<String, Progress>> {
        self.progress.subscribe()
    }

    /// Fetches the image. Whoever asks while it is being fetched gets the same answer.
    pub async fn pull(&self, images: &Images, reference: &Reference) -> crate::driver::Result<Image> {
        let name = reference.to_string();
        let pull = {
            let mut under_way = self.under_way.lock().expect("no panic while held");
            Arc::clone(under_way.entry(name.clone()).or_default())
        };
        let result = pull.get_or_init(|| self.fetch(images, reference)).await.clone();
        let mut under_way = self.under_way.lock().expect("no panic while held");
        if under_way.get(&name).is_some_and(|current| Arc::ptr_eq(current, &pull)) {
            under_way.remove(&name);
        }
        result
    }

    async fn fetch(&self, images: &Images, reference: &Reference) -> crate::driver::Result<Image> {
        let shown = Shown::new(&self.progress, reference.to_string());
        tracing::info!(%reference, "pulling");
        let result = match tokio::time::timeout(PULL_LIMIT, self.try_fetch(images, reference, &shown)).await {
            Ok(result) => result.map_err(|failure| DriverError::new(CANNOT_PULL, failure)),
            Err(_) => {
                let text = format!("Could not transition to pulled; timed out after waiting {}s", PULL_LIMIT.as_secs());
                Err(DriverError::new("DockerTimeoutError", text))
            }
        };
        match &result {
            Ok(image) => tracing::info!(%reference, digest = image.digest, "pulled"),
            Err(error) => tracing::warn!(%reference, %error, "cannot pull"),
        }
        result
    }

    async fn try_fetch(&self, images: &Images, reference: &Reference, shown: &Shown<'_>) -> Result<Image> {
        let plain_http = reference.is_plain_http();
        let make = || async move { registry::client(plain_http) };
        let client = self.clients[usize::from(plain_http)].get_or_try_init(make).await;
        let client = client.map_err(|error| Failure::Invalid(error.to_string()))?.clone();
        let credentials = self.keyring.find(&reference.registry).cloned();
        let registry = Registry::new(client, reference, credentials);
        let remote = Remote { registry, reference, retry: self.retry, shown, target: OnceCell::new() };
        let target = remote.resolve().await?;
        images.add(&remote, &reference.to_string(), &target).await
    }
}

/// An entry of the progress table, gone with the pull however it ends.
struct Shown<'a> {
    table: &'a watch::Sender<BTreeMap<String, Progress>>,
    name: String,
}

impl<'a> Shown<'a> {
    fn new(table: &'a watch::Sender<BTreeMap<String, Progress>>, name: String) -> Self {
        table.send_modify(|table| {
            table.insert(name.clone(), Progress::default());
        });
        Self { table, name }
    }

    fn add(&self, done: u64, total: u64) {
        self.table.send_modify(|table| {
            let progress = table.entry(self.name.clone()).or_default();
            progress.done += done;
            progress.total += total;
        });
    }
}

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        self.table.send_modify(|table| {
            table.remove(&self.name);
        });
    }
}

/// An image at its registry.
struct Remote<'a> {
    registry: Registry,
    reference: &'a Reference,
    retry: Retry,
    shown: &'a Shown<'a>,
    /// What the reference names, as fetched when it was resolved.
    target: OnceCell<(Descriptor, Vec<u8>)>,
}

impl Remote<'_> {
    /// What the reference names just now.
    async fn resolve(&self) -> Result<Descriptor> {
        let name = self.reference.digest.as_ref().or(self.reference.tag.as_ref()).expect("a reference names something");
        let (bytes, media_type) = self.manifest(name).await?;
        let got = digest(&bytes);
        if let Some(wanted) = &self.reference.digest
            && *wanted != got
        {
            return Err(mismatch(wanted, &got));
        }
        let descriptor = Descriptor { media_type, digest: got, size: bytes.len() as i64, ..Descriptor::default() };
        let kept = self.target.get_or_init(|| async { (descriptor, bytes) }).await;
        Ok(kept.0.clone())
    }

    async fn manifest(&self, name: &str) -> Result<(Vec<u8>, String)> {
        let what = "pull image manifest";
        let attempt = || async {
            let late = || RegistryError::Transport(format!("no manifest within {} s", MANIFEST_LIMIT.as_secs()));
            tokio::time::timeout(MANIFEST_LIMIT, self.registry.manifest(name)).await.map_err(|_| late())?
        };
        let fetched = self.retry.run(what, attempt).await;
        fetched.map_err(|gave_up| Failure::Invalid(gave_up.describe(what, self.reference)))
    }

    async fn blob_document(&self, digest: &str) -> Result<Vec<u8>> {
        let what = "pull image configuration";
        let fetched = self.retry.run(what, || self.registry.document(digest)).await;
        fetched.map_err(|gave_up| Failure::Invalid(gave_up.describe(what, self.reference)))
    }
}

impl Source for Remote<'_> {
    async fn manifest(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        if let Some((target, bytes)) = self.target.get()
            && target.digest == descriptor.digest
        {
            return Ok(bytes.clone());
        }
        let (bytes, _) = self.manifest(&descriptor.digest).await?;
        verified(&descriptor.digest, bytes)
    }

    async fn configuration(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        verified(&descriptor.digest, self.blob_document(&descriptor.digest).await?)
    }

    fn expect(&self, layers: &[Descriptor]) {
        let total = layers.iter().map(|layer| u64::try_from(layer.size).unwrap_or(0)).sum();
        self.shown.add(0, total);
    }

    /// A broken transfer goes on where it broke, if the registry can.
    async fn layer(&self, descriptor: &Descriptor, writer: &mut Writer) -> Result<()> {
        let mut transfer = Transfer { writer, buffer: BytesMut::new(), shown: self.shown };
        let mut attempt = 1;
        let mut failures = 0;
        loop {
            let before = transfer.position();
            let error = match transfer.run(&self.registry, &descriptor.digest).await? {
                Ok(()) => return transfer.flush().await,
                Err(error) => error,
            };
            // Attempts count against standing still, not against a long way.
            failures = if transfer.position() > before { 1 } else { failures + 1 };
            if !error.is_passing() || failures >= self.retry.attempts {
                let digest = &descriptor.digest;
                return Err(Failure::Invalid(format!(
                    "ref pull has been retried {attempt} time(s): failed to copy {digest}: {error}"
                )));
            }
            tracing::info!(%error, digest = descriptor.digest, attempt, "trying again");
            tokio::time::sleep(self.retry.pause(failures)).await;
            attempt += 1;
        }
    }
}

/// A layer on its way. The outer result of `run` is containerd's failure, the inner one the registry's.
struct Transfer<'a> {
    writer: &'a mut Writer,
    buffer: BytesMut,
    shown: &'a Shown<'a>,
}

impl Transfer<'_> {
    fn position(&self) -> u64 {
        self.writer.sent() + self.buffer.len() as u64
    }

    async fn run(&mut self, registry: &Registry, digest: &str) -> Result<std::result::Result<(), RegistryError>> {
        let (mut response, start) = match registry.blob(digest, self.position()).await {
            Ok(answer) => answer,
            Err(error) => return Ok(Err(error)),
        };
        let mut skip = self.position() - start;
        loop {
            let mut chunk = match response.chunk().await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => return Ok(Ok(())),
                Err(error) => return Ok(Err(registry::transport(error))),
            };
            let skipped = skip.min(chunk.len() as u64);
            chunk.advance(skipped as usize);
            skip -= skipped;
            self.buffer.extend_from_slice(&chunk);
            self.shown.add(chunk.len() as u64, 0);
            while self.buffer.len() >= CHUNK {
                let full = self.buffer.split_to(CHUNK);
                self.writer.send(full.to_vec()).await?;
            }
        }
    }

    async fn flush(&mut self) -> Result<()> {
        let rest = self.buffer.split();
        if rest.is_empty() { Ok(()) } else { self.writer.send(rest.to_vec()).await }
    }
}

fn verified(wanted: &str, bytes: Vec<u8>) -> Result<Vec<u8>> {
    let got = digest(&bytes);
    if got == wanted { Ok(bytes) } else { Err(mismatch(wanted, &got)) }
}

fn mismatch(wanted: &str, got: &str) -> Failure {
    Failure::Invalid(format!("failed to verify {wanted}: the registry sends content with digest {got}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let retry = Retry::default();
        let seconds: Vec<u64> = (1..=6).map(|attempt| retry.pause(attempt).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 10, 10]);
        assert_eq!(retry.pause(u32::MAX), retry.longest_pause);
    }
}
