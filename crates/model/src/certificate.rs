//! Certificates that callers have imported (AWS Certificate Manager), and what a listener needs of one.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Arn, Scope, Tag, Timestamp};

/// Scope, id.
pub type CertificateKey = (Scope, String);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Certificate {
    pub scope: Scope,
    /// Dashed UUID.
    pub id: String,
    pub facts: CertificateFacts,
    /// PEM, as it was given.
    pub body: String,
    /// PEM of its issuers, as it was given.
    pub chain: Option<String>,
    pub private_key: PrivateKey,
    pub tags: Vec<Tag>,
    pub created_at: Timestamp,
    /// The last time: what is imported again keeps its ARN.
    pub imported_at: Timestamp,
}

impl Certificate {
    pub fn key(&self) -> CertificateKey {
        (self.scope.clone(), self.id.clone())
    }

    pub fn arn(&self) -> Arn {
        Arn {
            service: "acm".to_owned(),
            region: self.scope.region.to_string(),
            account: self.scope.account.to_string(),
            resource: format!("certificate/{}", self.id),
        }
    }

    /// The certificate and its issuers, as a server sends them.
    pub fn whole_chain(&self) -> String {
        match &self.chain {
            Some(chain) => format!("{}\n{chain}", self.body),
            None => self.body.clone(),
        }
    }
}

/// What a certificate says, in ACM's words.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CertificateFacts {
    pub subject: String,
    /// The name of who has signed it.
    pub issuer: String,
    /// Hex, bytes parted by colons.
    pub serial: String,
    /// The names that it is for, the subject's own one first.
    pub names: Vec<String>,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    /// `RSA-2048`, `EC-prime256v1`.
    pub key_algorithm: String,
    /// `SHA256WITHRSA`
    pub signature_algorithm: String,
    pub key_usages: Vec<String>,
    /// Name and object identifier.
    pub extended_key_usages: Vec<(String, String)>,
}

/// A private key in PEM. It is shown nowhere.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrivateKey(pub String);

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_key_is_not_printed() {
        assert_eq!(format!("{:?}", PrivateKey("secret".to_owned())), "PrivateKey");
    }
}
