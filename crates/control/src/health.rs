//! Whether the control plane and its nodes are ready: for `gantry up`, which waits for it, and for a load balancer.

use bytes::Bytes;
use http::{Response, header};
use http_body_util::Full;
use serde::{Deserialize, Serialize};

use crate::Control;

pub const HEALTH_PATH: &str = "/gantry/health";

/// Says nothing that is a tenant's, since it is answered to anyone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    pub version: String,
    /// The API answers; always true in an answer.
    pub api: bool,
    /// At least one node's agent holds its session.
    pub agent: bool,
    /// At least one connected node has a container runtime that answered.
    pub runtime: bool,
    pub nodes: usize,
    pub nodes_connected: usize,
}

impl Health {
    pub fn is_ready(&self) -> bool {
        self.api && self.agent && self.runtime
    }

    pub(crate) fn answer(&self) -> Response<Full<Bytes>> {
        let body = serde_json::to_vec(self).expect("plain data");
        let mut response = Response::new(Full::new(body.into()));
        response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
        response
    }
}

impl Control {
    pub fn health(&self) -> Health {
        let view = self.store.view();
        let connected = || view.nodes.iter().filter(|node| node.connected);
        Health {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            api: true,
            agent: connected().next().is_some(),
            // An agent says hello only after its runtime has answered.
            runtime: connected().any(|node| !node.runtime_version.is_empty()),
            nodes: view.nodes.len(),
            nodes_connected: connected().count(),
        }
    }
}
