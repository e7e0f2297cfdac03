//! Addresses that an account holds until it releases them (EC2 AllocateAddress).

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use crate::Scope;

/// Where they come from: of the range for trying out networks (RFC 2544), which no network beyond this machine uses.
pub const POOL: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(198, 18, 0, 0), 16);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ElasticAddress {
    pub scope: Scope,
    /// `eipalloc-` and 17 hex digits.
    pub id: String,
    /// No other one has it, whatever its account and region.
    pub address: Ipv4Addr,
    pub association: Option<AddressAssociation>,
}

/// What shows the address now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressAssociation {
    /// `eipassoc-` and 17 hex digits.
    pub id: String,
    pub nat_gateway_id: String,
}
