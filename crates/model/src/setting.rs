//! Account settings (ecs-semantics §0.2): a user's own value beats the account's default.

use serde::{Deserialize, Serialize};

use crate::Scope;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AccountSetting {
    pub scope: Scope,
    pub name: String,
    /// The user's or role's ARN; `None` for the account's default.
    pub principal: Option<String>,
    pub value: String,
}
