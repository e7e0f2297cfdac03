//! Blobs in containerd's content store: read bounded, written with their digest verified by containerd.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;

use super::api::containerd::services::content::v1::{
    AbortRequest, Info, InfoRequest, ReadContentRequest, UpdateRequest, WriteAction, WriteContentRequest,
};
use super::client::{Client, Failure, RECORD_LIMIT, Result};
use super::manifest::{DOCUMENT_LIMIT, Descriptor};

/// Most that one message carries; containerd takes 16 MiB.
pub const CHUNK: usize = 1 << 20;
/// Chunks on their way to containerd.
const CHUNKS_IN_FLIGHT: usize = 4;
/// containerd hashes and syncs the blob at commit: long for a layer of gigabytes on a slow disk.
const COMMIT_LIMIT: Duration = Duration::from_secs(10 * 60);

/// Whether the store has the blob.
pub async fn has(client: &Client, digest: &str) -> Result<bool> {
    let request = InfoRequest { digest: digest.to_owned() };
    match client.call("content.Info", RECORD_LIMIT, client.content().info(request)).await {
        Ok(_) => Ok(true),
        Err(failure) if failure.is_not_found() => Ok(false),
        Err(failure) => Err(failure),
    }
}

/// A whole document: manifest, index or configuration.
pub async fn read(client: &Client, digest: &str) -> Result<Vec<u8>> {
    let request = ReadContentRequest { digest: digest.to_owned(), offset: 0, size: 0 };
    let mut stream = client.call("content.Read", RECORD_LIMIT, client.content().read(request)).await?;
    let mut bytes = Vec::new();
    let reading = async {
        while let Some(message) = stream.next().await {
            let message = message.map_err(|status| client.failure("content.Read", status))?;
            if bytes.len() + message.data.len() > DOCUMENT_LIMIT as usize {
                return Err(Failure::Invalid(format!("{digest} is longer than {DOCUMENT_LIMIT} bytes")));
            }
            bytes.extend_from_slice(&message.data);
        }
        Ok(())
    };
    let late = Failure::Late { call: "content.Read", limit: RECORD_LIMIT };
    tokio::time::timeout(RECORD_LIMIT, reading).await.map_err(|_| late)??;
    Ok(bytes)
}

/// Sets labels beside those that the blob has.
pub async fn label(client: &Client, digest: &str, labels: HashMap<String, String>) -> Result<()> {
    let paths = labels.keys().map(|key| format!("labels.{key}")).collect();
    let info = Info { digest: digest.to_owned(), labels, ..Info::default() };
    let request = UpdateRequest { info: Some(info), update_mask: Some(prost_types::FieldMask { paths }) };
    client.call("content.Update", RECORD_LIMIT, client.content().update(request)).await?;
    Ok(())
}

/// Labels that keep `children` as long as their parent is kept.
pub fn child_labels<'a>(children: impl IntoIterator<Item = &'a Descriptor>) -> HashMap<String, String> {
    let numbered = children.into_iter().enumerate();
    numbered.map(|(n, child)| (format!("containerd.io/gc.ref.content.{n}"), child.digest.clone())).collect()
}

/// Writes a small blob whole. No error when it is there already.
pub async fn write(
    client: &Client,
    descriptor: &Descriptor,
    bytes: Vec<u8>,
    labels: HashMap<String, String>,
) -> Result<()> {
    let mut writer = Writer::open(client, descriptor, labels).await?;
    for chunk in Bytes::from(bytes).chunks(CHUNK) {
        writer.send(chunk.to_vec()).await?;
    }
    writer.commit().await
}

/// A blob on its way into the store. Nothing of it is visible before [`commit`](Self::commit); dropped before that,
/// containerd throws it away.
#[derive(Debug)]
pub struct Writer {
    client: Client,
    reference: String,
    digest: String,
    size: i64,
    sent: i64,
    labels: HashMap<String, String>,
    chunks: Option<mpsc::Sender<WriteContentRequest>>,
    answer: tokio::task::JoinHandle<Result<()>>,
}

impl Writer {
    pub async fn open(client: &Client, descriptor: &Descriptor, labels: HashMap<String, String>) -> Result<Self> {
        let (chunks, receiver) = mpsc::channel(CHUNKS_IN_FLIGHT);
        let reference = format!("gantry-{}-{}", super::unique(), descriptor.digest);
        let requests = ReceiverStream::new(receiver);
        let answer = tokio::spawn(drain(client.clone(), requests));
        let writer = Self {
            client: client.clone(),
            reference,
            digest: descriptor.digest.clone(),
            size: descriptor.size,
            sent: 0,
            labels,
            chunks: Some(chunks),
            answer,
        };
        Ok(writer)
    }

    /// Bytes so far.
    pub fn sent(&self) -> u64 {
        self.sent.unsigned_abs()
    }

    /// At most [`CHUNK`] bytes at once. Waits while containerd is behind.
    pub async fn send(&mut self, data: Vec<u8>) -> Result<()> {
        let length = data.len() as i64;
        if self.sent + length > self.size {
            let (size, digest) = (self.size, &self.digest);
            return Err(Failure::Invalid(format!("{digest} has more than the {size} bytes that it should have")));
        }
        let request = self.request(WriteAction::Write, data);
        self.sent += length;
        self.push(request).await
    }

    /// Verifies length and digest and makes the blob visible.
    pub async fn commit(mut self) -> Result<()> {
        if self.sent != self.size {
            let (sent, size, digest) = (self.sent, self.size, &self.digest);
            return Err(Failure::Invalid(format!("{digest} ended after {sent} of {size} bytes")));
        }
        let request = WriteContentRequest {
            labels: std::mem::take(&mut self.labels),
            ..self.request(WriteAction::Commit, Vec::new())
        };
        // A refusal while writing closes the stream; the answer below then says why.
        let _ = self.push(request).await;
        self.chunks = None;
        let late = Failure::Late { call: "content.Write", limit: COMMIT_LIMIT };
        let result = match tokio::time::timeout(COMMIT_LIMIT, &mut self.answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(Failure::Invalid("the writer was cancelled".to_owned())),
            Err(_) => Err(late),
        };
        match result {
            Err(failure) if failure.is_already_there() => Ok(()),
            Err(failure) => {
                self.abort().await;
                Err(failure)
            }
            Ok(()) => Ok(()),
        }
    }

    fn request(&self, action: WriteAction, data: Vec<u8>) -> WriteContentRequest {
        WriteContentRequest {
            action: action as i32,
            r#ref: self.reference.clone(),
            total: self.size,
            expected: self.digest.clone(),
            offset: self.sent,
            data,
            labels: HashMap::new(),
        }
    }

    /// A closed stream is no error here: [`commit`](Self::commit) reports what closed it.
    async fn push(&mut self, request: WriteContentRequest) -> Result<()> {
        if let Some(chunks) = &self.chunks {
            let _ = chunks.send(request).await;
        }
        Ok(())
    }

    async fn abort(&self) {
        let request = AbortRequest { r#ref: self.reference.clone() };
        let result = self.client.call("content.Abort", RECORD_LIMIT, self.client.content().abort(request)).await;
        if let Err(failure) = result
            && !failure.is_not_found()
        {
            tracing::debug!(%failure, reference = self.reference, "an unfinished blob is left to containerd");
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.answer.abort();
    }
}

async fn drain(client: Client, requests: ReceiverStream<WriteContentRequest>) -> Result<()> {
    let refused = |status| client.failure("content.Write", status);
    let mut answers = client.content().write(requests).await.map_err(refused)?.into_inner();
    let mut committed = false;
    while let Some(answer) = answers.next().await {
        committed |= answer.map_err(refused)?.action == WriteAction::Commit as i32;
    }
    if committed { Ok(()) } else { Err(Failure::Invalid("containerd ended the write early".to_owned())) }
}
