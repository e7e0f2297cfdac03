//! How the agent reaches the control plane: something that opens links, one after the other. The real one is TCP with
//! the WebSocket handshake; simulations have pipes.

use std::future::Future;
use std::io;
use std::time::Duration;

use model::link::{LINK_FRAME_BYTES_MAX, LINK_PATH};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, protocol};

/// Held all the time, and cleared before each read. A frame that is larger gets a buffer of its own.
const READ_BUFFER_BYTES: usize = 4 << 10;
/// To connect, and to be let in.
const STEP_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum DialError {
    #[error("cannot reach the control plane")]
    Connect(#[source] io::Error),
    #[error("the control plane did not let the node in")]
    Handshake(#[source] Box<tungstenite::Error>),
    #[error("the control plane does not answer")]
    Silence,
    #[error("the node key cannot be sent in a header")]
    NodeKey,
}

/// Opens links to the control plane. Bounded in time: it answers an error rather than hanging.
pub trait Dial: Send + Sync + 'static {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// One new link, past its handshake.
    fn dial(&self) -> impl Future<Output = Result<WebSocketStream<Self::Stream>, DialError>> + Send;
}

/// The control plane's listener.
#[derive(Clone, Debug)]
pub struct Tcp {
    /// `host:port`.
    pub control: String,
    pub node_key: String,
}

impl Dial for Tcp {
    type Stream = TcpStream;

    async fn dial(&self) -> Result<WebSocketStream<TcpStream>, DialError> {
        let handshake_failed = |error| DialError::Handshake(Box::new(error));
        let mut request =
            format!("ws://{}{LINK_PATH}", self.control).into_client_request().map_err(handshake_failed)?;
        let mut authorization =
            HeaderValue::from_str(&format!("Bearer {}", self.node_key)).map_err(|_| DialError::NodeKey)?;
        authorization.set_sensitive(true);
        request.headers_mut().insert("authorization", authorization);
        let connecting = timeout(STEP_TIMEOUT, TcpStream::connect(&self.control)).await;
        let stream = connecting.map_err(|_| DialError::Silence)?.map_err(DialError::Connect)?;
        stream.set_nodelay(true).map_err(DialError::Connect)?;
        let handshake = tokio_tungstenite::client_async_with_config(request, stream, Some(limits()));
        let shaken = timeout(STEP_TIMEOUT, handshake).await.map_err(|_| DialError::Silence)?;
        Ok(shaken.map_err(handshake_failed)?.0)
    }
}

/// The node's end of a link over a stream that needs no handshake.
pub async fn over<S: AsyncRead + AsyncWrite + Unpin>(stream: S) -> WebSocketStream<S> {
    WebSocketStream::from_raw_socket(stream, protocol::Role::Client, Some(limits())).await
}

fn limits() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .max_message_size(Some(LINK_FRAME_BYTES_MAX))
        .max_frame_size(Some(LINK_FRAME_BYTES_MAX))
}
