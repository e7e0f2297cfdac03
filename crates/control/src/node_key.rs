//! The key that nodes show when they open their link. Made at first start; the agent of the same machine reads the same
//! file. It opens nothing but the link.

use std::path::Path;

use rand::RngCore;
use subtle::ConstantTimeEq;

use crate::private_file::{self, PrivateFileError};

/// Name of the file in the data directory.
pub const FILE_NAME: &str = "node-key";
const KEY_BYTES: usize = 32;

#[derive(Debug, thiserror::Error)]
pub enum NodeKeyError {
    #[error(transparent)]
    File(#[from] PrivateFileError),
    #[error("{0} holds no node key; restore it, or remove it to have a new one made")]
    Unreadable(std::path::PathBuf),
}

/// 64 hex digits.
#[derive(Clone)]
pub struct NodeKey(String);

impl std::fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NodeKey")
    }
}

impl NodeKey {
    /// The key of a data directory, made when there is none yet.
    ///
    /// # Errors
    /// When the file cannot be used or trusted.
    pub fn load_or_create(data_dir: &Path, random: &mut impl RngCore) -> Result<Self, NodeKeyError> {
        let path = data_dir.join(FILE_NAME);
        match private_file::read(&path) {
            Ok(content) => Self::parse(&content).ok_or(NodeKeyError::Unreadable(path)),
            Err(error) if error.is_missing() => {
                let mut bytes = [0; KEY_BYTES];
                random.fill_bytes(&mut bytes);
                let key = Self(hex::encode(bytes));
                private_file::write(&path, key.0.as_bytes())?;
                Ok(key)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn parse(content: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(content).ok()?.trim_ascii();
        let is_key = text.len() == KEY_BYTES * 2 && hex::decode(text).is_ok();
        is_key.then(|| Self(text.to_owned()))
    }

    /// For the agent that runs in the same process.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether an `Authorization` header carries this key, in a time that does not depend on how much of it is right.
    pub fn opens(&self, authorization: Option<&[u8]>) -> bool {
        let Some(shown) = authorization.and_then(|value| value.strip_prefix(b"Bearer ")) else { return false };
        shown.ct_eq(self.0.as_bytes()).into()
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
    fn a_key_is_made_once_kept_private_and_opens_with_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let mut random = StdRng::seed_from_u64(1);
        let key = NodeKey::load_or_create(dir.path(), &mut random).unwrap();
        let path = dir.path().join(FILE_NAME);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(NodeKey::load_or_create(dir.path(), &mut random).unwrap().0, key.0);
        assert!(!format!("{key:?}").contains(&key.0));

        let right = format!("Bearer {}", key.reveal());
        let check = |header: Option<&str>, expected: bool| {
            assert_eq!(key.opens(header.map(str::as_bytes)), expected, "{header:?}");
        };
        check(Some(&right), true);
        check(None, false);
        check(Some(""), false);
        check(Some("Bearer "), false);
        check(Some(key.reveal()), false);
        check(Some(&right[..right.len() - 1]), false);
        check(Some(&format!("{right}0")), false);
        check(Some(&format!("Basic {}", key.reveal())), false);
    }

    #[test]
    fn a_file_that_is_no_key_or_not_private_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE_NAME);
        private_file::write(&path, b"short").unwrap();
        let mut random = StdRng::seed_from_u64(1);
        assert!(matches!(NodeKey::load_or_create(dir.path(), &mut random), Err(NodeKeyError::Unreadable(_))));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(
            NodeKey::load_or_create(dir.path(), &mut random),
            Err(NodeKeyError::File(PrivateFileError::Exposed { mode: 0o640, .. }))
        ));
    }
}
