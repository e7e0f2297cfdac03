//! What leads subnets out by the internet gateway of another one (EC2 CreateNatGateway).
//!
//! ```text
//!   CreateNatGateway ─▶ available ─ DeleteNatGateway ─▶ deleted (shown for an hour)
//!                └────▶ failed ───────────┘
//! ```

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::{Scope, Timestamp};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NatGateway {
    pub scope: Scope,
    /// `nat-` and 17 hex digits.
    pub id: String,
    pub vpc_id: String,
    pub subnet_id: String,
    /// Its interface and address in the subnet, until it is deleted or unless it failed.
    pub interface_id: String,
    pub address: Ipv4Addr,
    /// The elastic address that it shows.
    pub allocation_id: String,
    pub public_address: Ipv4Addr,
    pub state: NatGatewayState,
    pub created_at: Timestamp,
    pub deleted_at: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NatGatewayState {
    Available,
    /// AWS's code, and why.
    Failed {
        code: String,
        message: String,
    },
    Deleted,
}
