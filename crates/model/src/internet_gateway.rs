//! What leads a VPC of the caller's own to the outside, which is this machine's uplink (EC2 CreateInternetGateway). The
//! built-in VPC's has no row.

use serde::{Deserialize, Serialize};

use crate::Scope;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InternetGateway {
    pub scope: Scope,
    /// `igw-` and 17 hex digits.
    pub id: String,
    /// The VPC that it is attached to. No other one is attached to that.
    pub vpc_id: Option<String>,
}
