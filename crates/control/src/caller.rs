//! Who calls: the identity behind an access key and the region that it signed for.

use std::sync::Arc;

use model::Scope;

/// An authenticated caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The account of the key and the region of the signature.
    pub scope: Scope,
    /// `arn:aws:iam::<account>:root` for the root key.
    pub principal_arn: Arc<str>,
    pub access_key_id: Arc<str>,
    /// What GetCallerIdentity answers as `UserId`; the account's id for its root.
    pub user_id: Arc<str>,
}

impl Caller {
    pub fn root(scope: Scope, access_key_id: &str) -> Self {
        Self {
            principal_arn: format!("arn:aws:iam::{}:root", scope.account).into(),
            access_key_id: access_key_id.into(),
            user_id: scope.account.clone(),
            scope,
        }
    }
}
