//! How the data path is fed when it is a process of its own: orders one way, reports the other, over a socket of this
//! machine that nobody but the machine's administrator reaches.
//!
//! ```text
//! feeder                                    data path
//!   Begin ─────────────────────────────────▶  starts, or goes on as it is
//!   ◀───────────────────────────── Begun, or Refused: it was begun otherwise, and has ended
//!   Traffic, Names: always whole ──────────▶  serves by it
//!   ◀──── Serving, Answering, Health: all that is known first, then what changes
//!   End ───────────────────────────────────▶  ends
//! ```
//! Invariants
//! - The feeder has one `Traffic` under way at a time, so nothing queues up behind a slow data path.
//! - A feeder that goes away changes nothing: what it told last is served on.

use std::io;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use model::edge::{Snapshot, TargetHealth};
use model::mesh::MeshCount;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite, ReadHalf, WriteHalf};
use tokio_util::codec::{FramedRead, FramedWrite, LengthDelimitedCodec};

use crate::{Config, dns};

/// A hundred thousand targets take some 20 MB.
const FRAME_BYTES_MAX: usize = 256 << 20;

#[derive(Debug, Serialize, Deserialize)]
pub enum Order {
    /// The first one.
    Begin(Box<Begin>),
    Traffic(Box<Snapshot>),
    Names(Box<model::dns::Snapshot>),
    End,
}

/// How it is set up. That never changes: another set-up takes another process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begin {
    /// Which program the feeder is: the data path is to be the same.
    pub build: String,
    pub traffic: Config,
    /// `None`: names are not answered.
    pub names: Option<dns::Config>,
}

#[derive(Debug, Serialize, Deserialize)]
pub enum Report {
    Begun,
    Refused,
    /// The last `Traffic` is served.
    Serving,
    /// Names are answered at every address that they were to be answered at.
    Answering,
    Health(Vec<TargetHealth>),
    /// All that was counted of Service Connect.
    Counts(Vec<MeshCount>),
}

#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    #[error("the other end is gone")]
    Gone,
    #[error("the link broke: {0}")]
    Io(#[from] io::Error),
    #[error("what the other end said is not understood: {0}")]
    Said(#[from] serde_json::Error),
}

/// What may be a link.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for T {}

/// One end of a link: what it says and what it hears.
pub fn ends<S: Stream>(stream: S) -> (Mouth<S>, Ear<S>) {
    let (read, write) = tokio::io::split(stream);
    (Mouth(FramedWrite::new(write, codec())), Ear(FramedRead::new(read, codec())))
}

fn codec() -> LengthDelimitedCodec {
    LengthDelimitedCodec::builder().max_frame_length(FRAME_BYTES_MAX).new_codec()
}

pub struct Mouth<S>(FramedWrite<WriteHalf<S>, LengthDelimitedCodec>);

impl<S: Stream> Mouth<S> {
    pub async fn say(&mut self, what: &impl Serialize) -> Result<(), LinkError> {
        Ok(self.0.send(Bytes::from(serde_json::to_vec(what)?)).await?)
    }
}

pub struct Ear<S>(FramedRead<ReadHalf<S>, LengthDelimitedCodec>);

impl<S: Stream> Ear<S> {
    /// Nothing is lost when the caller gives up waiting.
    pub async fn hear<T: DeserializeOwned>(&mut self) -> Result<T, LinkError> {
        let frame = self.0.next().await.ok_or(LinkError::Gone)??;
        Ok(serde_json::from_slice(&frame)?)
    }
}
