//! Credentials for registries, by registry. Never logged: their `Debug` hides them.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

/// What docker calls its hub in its configuration file.
const HUB_KEYS: [&str; 4] = ["index.docker.io", "registry-1.docker.io", "registry.hub.docker.com", "docker.io"];

/// How to prove oneself to a registry.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// Sent to the registry itself, or to the token service that it names.
    Basic { user: String, password: String },
    /// A token that the registry takes as it is.
    Bearer(String),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(…)")
    }
}

#[derive(Clone, Debug, Default)]
pub struct Keyring {
    by_registry: BTreeMap<String, Credentials>,
}

#[derive(Debug, thiserror::Error)]
#[error("not a docker configuration file: {0}")]
pub struct InvalidKeyring(String);

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
}

#[derive(Default, Deserialize)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    registrytoken: Option<String>,
}

impl Keyring {
    /// The `auths` of a docker `config.json`. Entries that name a credential helper only are passed over.
    pub fn from_docker(json: &[u8]) -> Result<Self, InvalidKeyring> {
        // The parser's words could quote a secret; its position does not.
        let position = |error: serde_json::Error| {
            InvalidKeyring(format!("not valid at line {} column {}", error.line(), error.column()))
        };
        let file: File = serde_json::from_slice(json).map_err(position)?;
        let mut keyring = Self::default();
        for (key, entry) in file.auths {
            let registry = registry(&key);
            let bad = || InvalidKeyring(format!("the entry of {registry} is not base64 of user:password"));
            if let Some(credentials) = credentials(entry).map_err(|()| bad())? {
                keyring.add(&registry, credentials);
            }
        }
        Ok(keyring)
    }

    /// `registry` as image names have it: `docker.io`, `localhost:5000`.
    pub fn add(&mut self, registry: &str, credentials: Credentials) {
        self.by_registry.insert(registry.to_owned(), credentials);
    }

    pub fn find(&self, registry: &str) -> Option<&Credentials> {
        self.by_registry.get(registry)
    }
}

fn registry(key: &str) -> String {
    let bare = key.trim_start_matches("https://").trim_start_matches("http://");
    let host = bare.split('/').next().unwrap_or(bare);
    if HUB_KEYS.contains(&host) { "docker.io".to_owned() } else { host.to_owned() }
}

fn credentials(entry: Entry) -> Result<Option<Credentials>, ()> {
    if let Some(token) = entry.registrytoken.filter(|token| !token.is_empty()) {
        return Ok(Some(Credentials::Bearer(token)));
    }
    if let (Some(user), Some(password)) = (entry.username, entry.password) {
        return Ok(Some(Credentials::Basic { user, password }));
    }
    let Some(auth) = entry.auth.filter(|auth| !auth.is_empty()) else { return Ok(None) };
    let text = STANDARD.decode(auth).ok().and_then(|bytes| String::from_utf8(bytes).ok()).ok_or(())?;
    let (user, password) = text.split_once(':').ok_or(())?;
    Ok(Some(Credentials::Basic { user: user.to_owned(), password: password.trim_end_matches('\0').to_owned() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_configurations_are_read() {
        let json = br#"{"auths":{
            "https://index.docker.io/v1/":{"auth":"dTpwOnc="},
            "localhost:5000":{"username":"u","password":"x"},
            "ghcr.io":{"registrytoken":"t"},
            "helper.io":{}},"credsStore":"desktop"}"#;
        let keyring = Keyring::from_docker(json).expect("read");
        let basic = |password: &str| Credentials::Basic { user: "u".into(), password: password.into() };
        assert_eq!(keyring.find("docker.io"), Some(&basic("p:w")));
        assert_eq!(keyring.find("localhost:5000"), Some(&basic("x")));
        assert_eq!(keyring.find("ghcr.io"), Some(&Credentials::Bearer("t".into())));
        assert_eq!(keyring.find("helper.io"), None);
        assert!(!format!("{keyring:?}").contains("p:w"));
    }

    #[test]
    fn errors_do_not_tell_secrets() {
        for json in [r#"{"auths":{"a":{"auth":"secret!"}}}"#, r#"{"auths":{"a":{"auth":["secret"]}}}"#, "secret"] {
            let error = Keyring::from_docker(json.as_bytes()).expect_err(json).to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
