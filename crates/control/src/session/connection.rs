//! One WebSocket as messages of the link. Writing has a task of its own, so that two sides that both write much do not
//! wait for each other.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use model::link::{FromAgent, FromControl, LINK_FRAME_BYTES_MAX};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::Ending;

pub const PING_INTERVAL: Duration = Duration::from_secs(10);
/// A node of which nothing was heard for this long is gone.
pub const SILENCE_MAX: Duration = Duration::from_secs(30);
/// A frame that cannot be written within this time ends the session.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// Frames that wait to be written.
const OUTGOING_MAX: usize = 64;

/// Held by each link, and cleared before each read. A frame that is larger gets a buffer of its own.
const READ_BUFFER_BYTES: usize = 4 << 10;

/// The control plane's end of a link over a stream that is past its handshake.
pub async fn over<S: AsyncRead + AsyncWrite + Unpin>(stream: S) -> WebSocketStream<S> {
    WebSocketStream::from_raw_socket(stream, Role::Server, Some(config())).await
}

fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_message_size(Some(LINK_FRAME_BYTES_MAX))
        .max_frame_size(Some(LINK_FRAME_BYTES_MAX))
}

pub(super) struct Outgoing {
    frames: mpsc::Sender<Message>,
}

pub(super) struct Incoming<S> {
    stream: SplitStream<WebSocketStream<S>>,
}

pub(super) enum Heard {
    Message(FromAgent),
    /// A ping, a pong: the other side is there.
    Sign,
}

pub(super) fn split<S>(socket: WebSocketStream<S>) -> (Outgoing, Incoming<S>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sink, stream) = socket.split();
    let (frames, waiting) = mpsc::channel(OUTGOING_MAX);
    tokio::spawn(write_frames(sink, waiting));
    (Outgoing { frames }, Incoming { stream })
}

/// Ends with its channel or its peer; what was sent before the channel's end is still written.
async fn write_frames<S>(mut sink: SplitSink<WebSocketStream<S>, Message>, mut frames: mpsc::Receiver<Message>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(frame) = frames.recv().await {
        if !matches!(tokio::time::timeout(WRITE_TIMEOUT, sink.send(frame)).await, Ok(Ok(()))) {
            return;
        }
    }
    // The other side may be gone already.
    let _ = tokio::time::timeout(WRITE_TIMEOUT, sink.close()).await;
}

impl Outgoing {
    pub async fn send(&self, message: &FromControl) -> Result<(), Ending> {
        let text = serde_json::to_string(message).expect("messages are plain data");
        self.frames.send(Message::text(text)).await.map_err(|_| Ending::Gone)
    }

    pub async fn ping(&self) -> Result<(), Ending> {
        self.frames.send(Message::Ping(Bytes::new())).await.map_err(|_| Ending::Gone)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Incoming<S> {
    /// The next frame. Losing the future loses nothing.
    pub async fn next(&mut self) -> Result<Heard, Ending> {
        match self.stream.next().await {
            None | Some(Ok(Message::Close(_))) => Err(Ending::Gone),
            Some(Err(error)) => Err(Ending::Broken(error.to_string())),
            Some(Ok(Message::Text(text))) => read(text.as_str()),
            Some(Ok(Message::Binary(_))) => Err(Ending::Broken("a binary frame".to_owned())),
            Some(Ok(_)) => Ok(Heard::Sign),
        }
    }
}

fn read(text: &str) -> Result<Heard, Ending> {
    match serde_json::from_str(text) {
        Ok(message) => Ok(Heard::Message(message)),
        Err(error) => Err(Ending::Broken(format!("an unreadable message: {error}"))),
    }
}
