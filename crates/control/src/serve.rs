//! The control plane's front: what comes in over the network, bounded before anything looks at it.

pub mod http;
mod own;

use std::future::Future;
use std::sync::Arc;

use tokio::net::TcpListener;

use crate::Control;

impl Control {
    /// Serves the API, health and the nodes' link on `listener` until `shutdown`, then lets the requests that are under
    /// way finish.
    pub async fn serve(self: &Arc<Self>, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        http::serve(self.clone(), listener, shutdown).await;
    }
}
