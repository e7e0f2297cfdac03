//! The documents of an image: index, manifest, configuration, as OCI and docker spell them. Pure.
//!
//! Read leniently (what we do not need may be missing or odd), checked where it matters: digests are digests, sizes
//! are not negative, layers and their digests pair up.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::reference::is_digest;

/// A registry refuses manifests above 4 MiB; so do we, for all three documents.
pub const DOCUMENT_LIMIT: u64 = 4 << 20;
/// overlayfs takes about 500 lower directories, docker allows 127 layers.
pub const LAYER_LIMIT: usize = 500;

pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
pub const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidImage {
    #[error("{document} is not valid: {reason}")]
    Document { document: &'static str, reason: String },
    #[error("{document} names {digest:?}, which is not a sha256 digest")]
    Digest { document: &'static str, digest: String },
    #[error("the image has {0} layers; at most {LAYER_LIMIT} are supported")]
    Layers(usize),
    #[error("the manifest has {layers} layers, the configuration {diff_ids}")]
    Unpaired { layers: usize, diff_ids: usize },
    #[error("no match for platform in manifest: the image has {have}, this node is {want}")]
    Platform { want: String, have: String },
    #[error("image operating system \"{0}\" cannot be used on this platform")]
    OperatingSystem(String),
}

/// A blob by digest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    #[serde(default)]
    pub media_type: String,
    pub digest: String,
    pub size: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    pub architecture: String,
    pub os: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl Platform {
    /// Of this machine, in OCI's words.
    pub fn here() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        Self { architecture: architecture.to_owned(), os: "linux".to_owned(), variant: None }
    }

    fn matches(&self, other: &Self) -> bool {
        self.architecture == other.architecture && self.os == other.os
    }
}

impl std::fmt::Display for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    pub schema_version: u32,
    #[serde(default)]
    pub media_type: String,
    pub config: Descriptor,
    pub layers: Vec<Descriptor>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Index {
    manifests: Vec<Descriptor>,
}

/// The configuration: what to run when the container's definition does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Configuration {
    #[serde(default)]
    pub architecture: String,
    #[serde(default)]
    pub os: String,
    #[serde(default)]
    config: Option<Process>,
    rootfs: RootFilesystem,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Process {
    #[serde(default)]
    pub user: Option<String>,
    #[serde(default)]
    pub env: Option<Vec<String>>,
    #[serde(default)]
    pub entrypoint: Option<Vec<String>>,
    #[serde(default)]
    pub cmd: Option<Vec<String>>,
    #[serde(default)]
    pub working_dir: Option<String>,
    #[serde(default)]
    pub stop_signal: Option<String>,
    /// Paths that docker gives a volume of their own.
    #[serde(default)]
    pub volumes: Option<HashMap<String, serde_json::Value>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
struct RootFilesystem {
    #[serde(default)]
    diff_ids: Vec<String>,
}

impl Configuration {
    pub fn parse(bytes: &[u8]) -> Result<Self, InvalidImage> {
        let configuration: Self = parse("the image configuration", bytes)?;
        for digest in &configuration.rootfs.diff_ids {
            check_digest("the image configuration", digest)?;
        }
        if !matches!(configuration.os.as_str(), "" | "linux") {
            return Err(InvalidImage::OperatingSystem(configuration.os));
        }
        Ok(configuration)
    }

    pub fn process(&self) -> Process {
        self.config.clone().unwrap_or_default()
    }

    /// Digests of the layers, uncompressed, lowest first.
    pub fn diff_ids(&self) -> &[String] {
        &self.rootfs.diff_ids
    }
}

/// What a manifest's bytes hold: one image, or one per platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Document {
    Manifest(Manifest),
    Index(Vec<Descriptor>),
}

impl Document {
    /// Tells the two apart by what they hold, since media types are often missing.
    pub fn parse(bytes: &[u8]) -> Result<Self, InvalidImage> {
        let value: serde_json::Value = parse("the manifest", bytes)?;
        if value.get("manifests").is_some() {
            let index: Index = from_value("the image index", value)?;
            index.manifests.iter().try_for_each(|d| check_descriptor("the image index", d))?;
            return Ok(Self::Index(index.manifests));
        }
        let manifest: Manifest = from_value("the manifest", value)?;
        check_manifest(&manifest)?;
        Ok(Self::Manifest(manifest))
    }
}

/// The entry for this machine. An entry without a platform is taken when there is no better.
pub fn choose<'a>(entries: &'a [Descriptor], want: &Platform) -> Result<&'a Descriptor, InvalidImage> {
    let matching = entries.iter().find(|entry| entry.platform.as_ref().is_some_and(|have| have.matches(want)));
    let unnamed = || entries.iter().find(|entry| entry.platform.is_none());
    matching.or_else(unnamed).ok_or_else(|| {
        let have: Vec<String> = entries.iter().flat_map(|e| &e.platform).map(Platform::to_string).collect();
        let have = if have.is_empty() { "none".to_owned() } else { have.join(", ") };
        InvalidImage::Platform { want: want.to_string(), have }
    })
}

pub fn check_pairs(manifest: &Manifest, configuration: &Configuration) -> Result<(), InvalidImage> {
    let (layers, diff_ids) = (manifest.layers.len(), configuration.diff_ids().len());
    if layers == diff_ids { Ok(()) } else { Err(InvalidImage::Unpaired { layers, diff_ids }) }
}

/// Names of the snapshots of the first layer, the first two, … as the OCI image specification derives them.
pub fn chain_ids(diff_ids: &[String]) -> Vec<String> {
    let mut chain: Vec<String> = Vec::with_capacity(diff_ids.len());
    for diff_id in diff_ids {
        let id = match chain.last() {
            Some(parent) => digest(format!("{parent} {diff_id}").as_bytes()),
            None => diff_id.clone(),
        };
        chain.push(id);
    }
    chain
}

pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

fn check_manifest(manifest: &Manifest) -> Result<(), InvalidImage> {
    if manifest.schema_version != 2 {
        let reason = format!("schema version {} is not supported", manifest.schema_version);
        return Err(InvalidImage::Document { document: "the manifest", reason });
    }
    if manifest.layers.len() > LAYER_LIMIT {
        return Err(InvalidImage::Layers(manifest.layers.len()));
    }
    check_descriptor("the manifest", &manifest.config)?;
    manifest.layers.iter().try_for_each(|layer| check_descriptor("the manifest", layer))
}

fn check_descriptor(document: &'static str, descriptor: &Descriptor) -> Result<(), InvalidImage> {
    check_digest(document, &descriptor.digest)?;
    if descriptor.size < 0 {
        return Err(InvalidImage::Document { document, reason: format!("a size of {}", descriptor.size) });
    }
    Ok(())
}

fn check_digest(document: &'static str, digest: &str) -> Result<(), InvalidImage> {
    if is_digest(digest) {
        return Ok(());
    }
    Err(InvalidImage::Digest { document, digest: digest.chars().take(80).collect() })
}

fn parse<T: serde::de::DeserializeOwned>(document: &'static str, bytes: &[u8]) -> Result<T, InvalidImage> {
    serde_json::from_slice(bytes).map_err(|error| InvalidImage::Document { document, reason: error.to_string() })
}

fn from_value<T: serde::de::DeserializeOwned>(
    document: &'static str,
    value: serde_json::Value,
) -> Result<T, InvalidImage> {
    serde_json::from_value(value).map_err(|error| InvalidImage::Document { document, reason: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(byte: &str) -> String {
        format!("sha256:{}", byte.repeat(32))
    }

    #[test]
    fn chains_hash_parent_and_layer() {
        let ids = [id("aa"), id("bb")];
        let expected = digest(format!("{} {}", ids[0], ids[1]).as_bytes());
        assert_eq!(chain_ids(&ids), [ids[0].clone(), expected]);
        assert!(chain_ids(&[]).is_empty());
    }

    #[test]
    fn the_entry_of_this_platform_is_chosen() {
        let entry = |architecture: &str, digest: &str| Descriptor {
            digest: digest.to_owned(),
            platform: Some(Platform { architecture: architecture.into(), os: "linux".into(), variant: None }),
            ..Descriptor::default()
        };
        let want = Platform { architecture: "arm64".into(), os: "linux".into(), variant: None };
        let entries = [entry("amd64", "a"), entry("arm64", "b")];
        assert_eq!(choose(&entries, &want).expect("there").digest, "b");
        let refused = choose(&entries[..1], &want).expect_err("not there").to_string();
        assert_eq!(refused, "no match for platform in manifest: the image has linux/amd64, this node is linux/arm64");
        let unnamed = [Descriptor { digest: "c".into(), ..Descriptor::default() }];
        assert_eq!(choose(&unnamed, &want).expect("there").digest, "c");
    }

    #[test]
    fn bad_documents_are_refused_with_what_is_wrong() {
        let check = |text: &str, expected: &str| {
            let error = Document::parse(text.as_bytes()).expect_err(text).to_string();
            assert!(error.contains(expected), "{text}: {error}");
        };
        let good = format!(r#"{{"digest":"{}","size":1}}"#, id("00"));
        check("", "EOF");
        check("[]", "the manifest is not valid");
        check(r#"{"schemaVersion":2}"#, "missing field");
        check(&format!(r#"{{"schemaVersion":1,"config":{good},"layers":[]}}"#), "schema version 1");
        check(r#"{"schemaVersion":2,"config":{"digest":"../../x","size":1},"layers":[]}"#, "not a sha256 digest");
        check(r#"{"manifests":[{"digest":"sha256:00","size":1}]}"#, "not a sha256 digest");
        let negative = good.replace("\"size\":1", "\"size\":-1");
        check(&format!(r#"{{"schemaVersion":2,"config":{good},"layers":[{negative}]}}"#), "a size of -1");
        let layers = vec![good.as_str(); LAYER_LIMIT + 1].join(",");
        check(&format!(r#"{{"schemaVersion":2,"config":{good},"layers":[{layers}]}}"#), "501 layers");
        let deep = "[".repeat(100_000);
        check(&deep, "recursion limit");
    }
}
