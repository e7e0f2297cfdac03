//! The control plane's front: what comes in over the network, bounded before anything looks at it.

pub mod events;
pub mod front;
pub mod http;
mod own;

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{Either, Full};
use tokio::net::TcpListener;

use crate::Control;

/// What is answered: most often a whole body.
pub(crate) type Answer = Either<Full<Bytes>, events::Lines>;

impl Control {
    /// Serves the API, health and the nodes' link on `listener` until `shutdown`, then lets the requests that are under
    /// way finish.
    pub async fn serve(self: &Arc<Self>, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        http::serve(self.clone(), listener, shutdown).await;
    }
}
