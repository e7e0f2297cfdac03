//! What the data path is told of Service Connect, and what it tells back (see [`edge`](crate::edge) for the rules).
//!
//! ```text
//! client: a namespace of a task ── route: address and port that it calls ──▶ endpoint ── targets: tasks that answer
//! ```

use std::net::{SocketAddr, SocketAddrV4};

use serde::{Deserialize, Serialize};

use crate::network::EndpointId;
use crate::service_connect::ConnectProtocol;
use crate::{TaskId, Timestamp};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeshSpec {
    pub endpoints: Vec<MeshEndpointSpec>,
    pub clients: Vec<MeshClientSpec>,
}

/// What can be called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeshEndpointSpec {
    /// ARN of its Cloud Map service.
    pub arn: String,
    pub discovery_name: String,
    pub protocol: ConnectProtocol,
    /// Zero: never.
    pub idle_timeout_seconds: u32,
    /// Of requests, from their last byte to the last of the answer. Zero: never.
    pub request_timeout_seconds: u32,
    pub targets: Vec<MeshTargetSpec>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeshTargetSpec {
    pub task: TaskId,
    /// As the callers' namespaces reach it.
    pub address: SocketAddr,
    /// It is to stop, and was taken out at that time: it gets nothing new. Told as drained, by the endpoint's ARN, once
    /// no request is under way to it.
    pub draining_since: Option<Timestamp>,
}

/// Who calls, from one namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeshClientSpec {
    pub endpoint: EndpointId,
    /// Where its calls are taken, at [`PROXY_ADDRESS`](crate::service_connect::PROXY_ADDRESS) of the namespace.
    pub port: u16,
    pub cluster: String,
    pub service: String,
    /// What it calls, and the ARN of the endpoint that is there.
    pub routes: Vec<(SocketAddrV4, String)>,
}

/// What was counted of the calls of one service's tasks to one endpoint, since the data path began. The names are those
/// of CloudWatch's metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct MeshCount {
    pub discovery_name: String,
    /// Of those who call.
    pub cluster_name: String,
    pub service_name: String,
    pub active_connection_count: u64,
    pub new_connection_count: u64,
    pub processed_bytes: u64,
    pub request_count: u64,
    pub grpc_request_count: u64,
    #[serde(rename = "HTTPCode_Target_2XX_Count")]
    pub target_2xx_count: u64,
    #[serde(rename = "HTTPCode_Target_3XX_Count")]
    pub target_3xx_count: u64,
    #[serde(rename = "HTTPCode_Target_4XX_Count")]
    pub target_4xx_count: u64,
    #[serde(rename = "HTTPCode_Target_5XX_Count")]
    pub target_5xx_count: u64,
    /// Answers whose time was measured, and the sum of their times in microseconds.
    pub target_response_count: u64,
    pub target_response_micros: u64,
}
