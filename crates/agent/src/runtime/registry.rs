//! A registry's side of a pull: manifests and blobs by the OCI distribution protocol, with anonymous, basic and bearer
//! authorization.
//!
//! Sends credentials only to the registry and the token service that it names, and over the network only by TLS
//! (registries on this machine are spoken to in the clear). Does not verify: what comes out is checked by its digest.

use std::sync::Mutex;
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue, RANGE, WWW_AUTHENTICATE};
use reqwest::{Client, Response, StatusCode};
use serde::Deserialize;

use super::keyring::Credentials;
use super::manifest::DOCUMENT_LIMIT;
use super::reference::Reference;

const CONNECT_LIMIT: Duration = Duration::from_secs(15);
/// Without a byte from the registry (ecs-semantics §5.7: ECS_IMAGE_PULL_INACTIVITY_TIMEOUT).
const INACTIVITY_LIMIT: Duration = Duration::from_secs(60);
/// Of a token service's answer and of error texts.
const ANSWER_LIMIT: u64 = 64 << 10;
const REDIRECT_LIMIT: usize = 5;
const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, \
                         application/vnd.docker.distribution.manifest.list.v2+json, \
                         application/vnd.oci.image.manifest.v1+json, \
                         application/vnd.docker.distribution.manifest.v2+json, */*;q=0.1";

#[derive(Clone, Debug, thiserror::Error)]
pub enum RegistryError {
    #[error("not found")]
    NotFound,
    #[error("pull access denied, repository does not exist or may require authorization: {0}")]
    Denied(String),
    #[error("unexpected status from GET request to {url}: {status}{detail}")]
    Status { url: String, status: StatusCode, detail: String },
    #[error("failed to do request: {0}")]
    Transport(String),
    #[error("the registry sends more than {0} bytes")]
    TooLong(u64),
    #[error("the registry's challenge is not understood: {0:?}")]
    Challenge(String),
}

impl RegistryError {
    /// Whether another attempt may go better.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Transport(_) => true,
            Self::Status { status, .. } => {
                status.is_server_error()
                    || matches!(*status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
            }
            _ => false,
        }
    }
}

type Result<T> = std::result::Result<T, RegistryError>;

/// Makes the clients, once: reading the system's certificates takes a while.
pub fn client(plain_http: bool) -> Result<Client> {
    let builder = Client::builder()
        .connect_timeout(CONNECT_LIMIT)
        .read_timeout(INACTIVITY_LIMIT)
        .redirect(reqwest::redirect::Policy::limited(REDIRECT_LIMIT))
        .user_agent(concat!("gantry/", env!("CARGO_PKG_VERSION")));
    let builder = if plain_http { builder.no_proxy() } else { builder };
    builder.build().map_err(transport)
}

/// One repository of one registry.
pub struct Registry {
    client: Client,
    /// `https://registry-1.docker.io/v2/library/nginx`
    base: String,
    repository: String,
    credentials: Option<Credentials>,
    plain_http: bool,
    /// What the registry took last.
    authorization: Mutex<Option<HeaderValue>>,
}

impl Registry {
    pub fn new(client: Client, reference: &Reference, credentials: Option<Credentials>) -> Self {
        let host = if reference.registry == "docker.io" { "registry-1.docker.io" } else { &reference.registry };
        let plain_http = reference.is_plain_http();
        let scheme = if plain_http { "http" } else { "https" };
        let base = format!("{scheme}://{host}/v2/{}", reference.repository);
        let repository = reference.repository.clone();
        Self { client, base, repository, credentials, plain_http, authorization: Mutex::default() }
    }

    /// `name`: a tag or a digest. Answers the bytes and their media type.
    pub async fn manifest(&self, name: &str) -> Result<(Vec<u8>, String)> {
        let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(MANIFESTS))]);
        let response = self.get(&format!("{}/manifests/{name}", self.base), headers).await?;
        let kind = response.headers().get(reqwest::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let kind = kind.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_owned();
        Ok((body(response, DOCUMENT_LIMIT).await?, kind))
    }

    /// A small blob whole.
    pub async fn document(&self, digest: &str) -> Result<Vec<u8>> {
        let response = self.get(&format!("{}/blobs/{digest}", self.base), HeaderMap::new()).await?;
        body(response, DOCUMENT_LIMIT).await
    }

    /// A blob's bytes from `offset`. The registry may answer from the start all the same: then the second is 0.
    pub async fn blob(&self, digest: &str, offset: u64) -> Result<(Response, u64)> {
        let mut headers = HeaderMap::new();
        if offset > 0 {
            let range = HeaderValue::from_str(&format!("bytes={offset}-")).expect("a number");
            headers.insert(RANGE, range);
        }
        let response = self.get(&format!("{}/blobs/{digest}", self.base), headers).await?;
        let start = if response.status() == StatusCode::PARTIAL_CONTENT { offset } else { 0 };
        Ok((response, start))
    }

    /// Asks, proves itself when the registry wants that, and asks again.
    async fn get(&self, url: &str, headers: HeaderMap) -> Result<Response> {
        let response = self.send(url, headers.clone()).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return accept(response).await;
        }
        let challenges = response.headers().get_all(WWW_AUTHENTICATE);
        let challenges: Vec<String> =
            challenges.iter().filter_map(|value| value.to_str().ok()).map(Into::into).collect();
        self.authorize(&challenges).await?;
        accept(self.send(url, headers).await?).await
    }

    async fn send(&self, url: &str, mut headers: HeaderMap) -> Result<Response> {
        let known = self.authorization.lock().expect("no panic while held").clone();
        if let Some(authorization) = known {
            headers.insert(AUTHORIZATION, authorization);
        }
        self.client.get(url).headers(headers).send().await.map_err(transport)
    }

    async fn authorize(&self, challenges: &[String]) -> Result<()> {
        let known = challenges.iter().find_map(|text| Challenge::parse(text));
        let challenge = known.ok_or_else(|| RegistryError::Challenge(challenges.join(", ")))?;
        let denied = |reason: &str| RegistryError::Denied(reason.to_owned());
        let value = match (challenge, &self.credentials) {
            (Challenge::Bearer { .. }, Some(Credentials::Bearer(token))) => format!("Bearer {token}"),
            (Challenge::Bearer { realm, service }, _) => format!("Bearer {}", self.token(&realm, &service).await?),
            (Challenge::Basic, Some(Credentials::Basic { user, password })) => basic(user, password),
            (Challenge::Basic, _) => return Err(denied("no basic auth credentials")),
        };
        let mut value =
            HeaderValue::from_str(&value).map_err(|_| denied("the credentials cannot be put in a header"))?;
        value.set_sensitive(true);
        *self.authorization.lock().expect("no panic while held") = Some(value);
        Ok(())
    }

    async fn token(&self, realm: &str, service: &str) -> Result<String> {
        let mut url = reqwest::Url::parse(realm).map_err(|_| RegistryError::Challenge(realm.to_owned()))?;
        // Credentials never leave this machine in the clear, wherever the registry points.
        if url.scheme() != "https" && !(self.plain_http && is_loopback(&url)) {
            return Err(RegistryError::Challenge(realm.to_owned()));
        }
        if !service.is_empty() {
            url.query_pairs_mut().append_pair("service", service);
        }
        url.query_pairs_mut().append_pair("scope", &format!("repository:{}:pull", self.repository));
        let mut request = self.client.get(url);
        if let Some(Credentials::Basic { user, password }) = &self.credentials {
            request = request.basic_auth(user, Some(password));
        }
        let response = request.send().await.map_err(transport)?;
        let bytes = body(accept(response).await?, ANSWER_LIMIT).await?;
        let answer: Token = serde_json::from_slice(&bytes)
            .map_err(|_| RegistryError::Denied("the token service's answer is not valid".to_owned()))?;
        let token = answer.token.or(answer.access_token);
        token.ok_or_else(|| RegistryError::Denied("the token service gives no token".to_owned()))
    }
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

fn basic(user: &str, password: &str) -> String {
    use base64::Engine as _;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}")))
}

fn is_loopback(url: &reqwest::Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// How a registry wants to be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Challenge {
    Basic,
    Bearer { realm: String, service: String },
}

impl Challenge {
    /// `Bearer realm="https://…",service="…",scope="…"`.
    fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let parameters = parameters(rest);
        let find = |name: &str| parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        Some(Self::Bearer { realm: find("realm")?, service: find("service").unwrap_or_default() })
    }
}

/// `a="b, c", d=e`: quoted values may hold commas.
fn parameters(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((key, after)) = rest.split_once('=') {
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_once(',').map_or((after, ""), |(value, _)| (value, &after[value.len()..])),
        };
        found.push((key.trim_matches([' ', ',']).to_ascii_lowercase(), value.trim().to_owned()));
        rest = next;
    }
    found
}

async fn accept(response: Response) -> Result<Response> {
    let status = response.status();
    match status {
        status if status.is_success() => Ok(response),
        StatusCode::NOT_FOUND => Err(RegistryError::NotFound),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Err(RegistryError::Denied(format!("server message: {}", reason(response).await)))
        }
        status => {
            let url = response.url().to_string();
            let reason = reason(response).await;
            let detail = if reason.is_empty() { reason } else { format!(": {reason}") };
            Err(RegistryError::Status { url, status, detail })
        }
    }
}

/// The registry's own words for a refusal, at most a line.
async fn reason(response: Response) -> String {
    const SHOWN: usize = 200;
    let Ok(bytes) = body(response, ANSWER_LIMIT).await else { return String::new() };
    let value: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let error = &value["errors"][0];
    let text = error["message"].as_str().or(error["code"].as_str()).or(value["details"].as_str()).unwrap_or_default();
    text.chars().filter(|c| !c.is_control()).take(SHOWN).collect()
}

async fn body(mut response: Response, limit: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(transport)? {
        if (bytes.len() + chunk.len()) as u64 > limit {
            return Err(RegistryError::TooLong(limit));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

pub fn transport(error: reqwest::Error) -> RegistryError {
    RegistryError::Transport(crate::describe(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<Challenge>) {
        assert_eq!(Challenge::parse(text), expected, "{text}");
    }

    #[test]
    fn challenges_are_read() {
        let bearer =
            |realm: &str, service: &str| Some(Challenge::Bearer { realm: realm.into(), service: service.into() });
        check("Basic realm=\"x\"", Some(Challenge::Basic));
        check("basic", Some(Challenge::Basic));
        check(
            "Bearer realm=\"https://auth.docker.io/token\",service=\"registry.docker.io\",scope=\"a,b\"",
            bearer("https://auth.docker.io/token", "registry.docker.io"),
        );
        check("bearer scope=\"a,b\", Realm=\"https://t/?a=b\"", bearer("https://t/?a=b", ""));
        check("Bearer realm=https://t, service=s", bearer("https://t", "s"));
        check("Bearer service=\"s\"", None);
        check("Digest realm=\"x\"", None);
        check("Bearer realm=\"unclosed", bearer("unclosed", ""));
        check("", None);
    }

    #[test]
    fn passing_faults_are_told_from_lasting_ones() {
        let status = |status| RegistryError::Status { url: String::new(), status, detail: String::new() };
        assert!(status(StatusCode::BAD_GATEWAY).is_passing());
        assert!(status(StatusCode::TOO_MANY_REQUESTS).is_passing());
        assert!(RegistryError::Transport(String::new()).is_passing());
        assert!(!status(StatusCode::BAD_REQUEST).is_passing());
        assert!(!RegistryError::NotFound.is_passing());
        assert!(!RegistryError::Denied(String::new()).is_passing());
    }
}
