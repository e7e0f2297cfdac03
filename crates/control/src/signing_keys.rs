//! Derived signing keys, kept so that a request costs one HMAC for its signature and none for its key.
//!
//! Only keys that have verified a request are kept: a stranger cannot push others out.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use wire::sigv4::{CredentialScope, SigningKey};

/// A key is for one day, region and service; beyond this many all are dropped and derived anew.
const KEYS_MAX: usize = 1024;

/// Of one access key.
#[derive(Default)]
pub struct SigningKeys {
    keys: RwLock<HashMap<CredentialScope, SigningKey>>,
}

impl SigningKeys {
    pub fn get(&self, scope: &CredentialScope) -> Option<SigningKey> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).get(scope).cloned()
    }

    pub fn keep(&self, scope: CredentialScope, key: SigningKey) {
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        if keys.len() >= KEYS_MAX {
            keys.clear();
        }
        keys.insert(scope, key);
    }
}
