//! The root access key of the account: made at first start, kept in a file that only its owner can read.
//!
//! Not here: keys of users and roles, temporary credentials.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rand::{Rng, RngCore};
use serde::{Deserialize, Serialize};

use crate::private_file::{self, PrivateFileError};

/// Name of the file in the data directory.
pub const FILE_NAME: &str = "root-access-key.json";
/// Bytes of randomness in a secret, 40 characters of Base64.
const SECRET_BYTES: usize = 30;
const ID_CHARACTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

#[derive(Debug, thiserror::Error)]
pub enum AccessKeyError {
    #[error(transparent)]
    File(#[from] PrivateFileError),
    #[error("{0} holds no access key; restore it, or remove it to have a new one made")]
    Unreadable(PathBuf),
    #[error("this data directory belongs to account {is}, not {wanted}")]
    OtherAccount { is: String, wanted: String },
}

/// An access key and its secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccessKey {
    pub account_id: String,
    pub access_key_id: String,
    pub secret_access_key: String,
}

impl std::fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AccessKey({})", self.access_key_id)
    }
}

impl AccessKey {
    fn generate(account_id: &str, random: &mut impl RngCore) -> Self {
        let mut id = String::from("AKIA");
        id.extend((0..16).map(|_| char::from(ID_CHARACTERS[random.random_range(0..ID_CHARACTERS.len())])));
        let mut secret = [0; SECRET_BYTES];
        random.fill_bytes(&mut secret);
        Self { account_id: account_id.to_owned(), access_key_id: id, secret_access_key: STANDARD.encode(secret) }
    }

    /// The root key of a data directory.
    ///
    /// # Errors
    /// When there is none, or it cannot be trusted.
    pub fn load(data_dir: &Path) -> Result<Self, AccessKeyError> {
        let path = data_dir.join(FILE_NAME);
        let text = private_file::read(&path)?;
        serde_json::from_slice(&text).map_err(|_| AccessKeyError::Unreadable(path))
    }

    /// The root key of a data directory, made when there is none yet.
    ///
    /// # Errors
    /// Also when the directory belongs to another account.
    pub fn load_or_create(
        data_dir: &Path,
        account_id: &str,
        random: &mut impl RngCore,
    ) -> Result<Self, AccessKeyError> {
        match Self::load(data_dir) {
            Ok(key) if key.account_id == account_id => Ok(key),
            Ok(key) => Err(AccessKeyError::OtherAccount { is: key.account_id, wanted: account_id.to_owned() }),
            Err(AccessKeyError::File(error)) if error.is_missing() => {
                let key = Self::generate(account_id, random);
                key.save(data_dir)?;
                Ok(key)
            }
            Err(error) => Err(error),
        }
    }

    fn save(&self, data_dir: &Path) -> Result<(), AccessKeyError> {
        let text = serde_json::to_vec_pretty(self).expect("plain data");
        Ok(private_file::write(&data_dir.join(FILE_NAME), &text)?)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_kept_private() {
        let dir = tempfile::tempdir().unwrap();
        let mut random = StdRng::seed_from_u64(1);
        let made = AccessKey::load_or_create(dir.path(), "000000000000", &mut random).unwrap();
        assert_eq!(made.access_key_id.len(), 20);
        assert_eq!(made.secret_access_key.len(), 40);
        let path = dir.path().join(FILE_NAME);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(AccessKey::load_or_create(dir.path(), "000000000000", &mut random).unwrap(), made);

        let other = AccessKey::load_or_create(dir.path(), "111111111111", &mut random);
        assert!(matches!(other, Err(AccessKeyError::OtherAccount { .. })));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(
            AccessKey::load(dir.path()),
            Err(AccessKeyError::File(PrivateFileError::Exposed { mode: 0o644, .. }))
        ));
        assert!(!format!("{made:?}").contains(&made.secret_access_key));
    }

    #[test]
    fn a_broken_file_is_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE_NAME);
        fs::write(&path, "{}").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let loaded = AccessKey::load_or_create(dir.path(), "000000000000", &mut StdRng::seed_from_u64(1));
        assert!(matches!(loaded, Err(AccessKeyError::Unreadable(_))));
        assert_eq!(fs::read(&path).unwrap(), b"{}");
    }
}
