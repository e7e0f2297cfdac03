//! Image archives made from what the machine has: busybox and some files, in one layer.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// How the archive is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As `docker save` writes it, the layer as it is.
    Docker,
    /// An OCI layout, the layer compressed.
    Oci,
}

#[derive(Clone, Debug)]
enum Entry {
    Directory { mode: u32 },
    File { bytes: Vec<u8>, mode: u32 },
    Link { target: String },
}

/// An image on its way into an archive. Paths are the image's, without a leading slash.
#[derive(Clone, Debug)]
pub struct Assembly {
    /// With a tag: `gantry/demo:latest`.
    name: String,
    /// `config` of the image's configuration: `Cmd`, `Env`, `User`, …
    config: Value,
    entries: BTreeMap<String, Entry>,
}

impl Assembly {
    pub fn new(name: &str, config: Value) -> Self {
        Self { name: name.to_owned(), config, entries: BTreeMap::new() }
    }

    #[must_use]
    pub fn directory(mut self, path: &str, mode: u32) -> Self {
        self.add(path, Entry::Directory { mode });
        self
    }

    #[must_use]
    pub fn file(mut self, path: &str, bytes: impl Into<Vec<u8>>, mode: u32) -> Self {
        self.add(path, Entry::File { bytes: bytes.into(), mode });
        self
    }

    #[must_use]
    pub fn link(mut self, path: &str, target: &str) -> Self {
        self.add(path, Entry::Link { target: target.to_owned() });
        self
    }

    /// Parents first: the map is sorted, and a directory sorts before what is in it.
    fn add(&mut self, path: &str, entry: Entry) {
        let mut parent = Path::new(path).parent();
        while let Some(directory) = parent.filter(|directory| !directory.as_os_str().is_empty()) {
            let directory_name = directory.to_string_lossy().into_owned();
            self.entries.entry(directory_name).or_insert(Entry::Directory { mode: 0o755 });
            parent = directory.parent();
        }
        self.entries.insert(path.to_owned(), entry);
    }

    /// Writes the archive. The same assembly gives the same bytes.
    pub fn write(&self, archive: &Path, form: Form) -> io::Result<()> {
        let layer = self.layer()?;
        let diff_id = digest(&layer);
        let config = json!({
            "architecture": architecture(),
            "os": "linux",
            "config": self.config,
            "rootfs": { "type": "layers", "diff_ids": [diff_id] },
        });
        let config = serde_json::to_vec(&config)?;
        let mut tar = tar::Builder::new(File::create(archive)?);
        match form {
            Form::Docker => self.write_docker(&mut tar, &config, &layer)?,
            Form::Oci => self.write_oci(&mut tar, &config, &layer)?,
        }
        tar.into_inner()?.flush()
    }

    fn write_docker(&self, tar: &mut tar::Builder<File>, config: &[u8], layer: &[u8]) -> io::Result<()> {
        let config_name = format!("{}.json", hex_of(config));
        let manifest = json!([{ "Config": config_name, "RepoTags": [self.name], "Layers": ["layer/layer.tar"] }]);
        put_file(tar, &config_name, config, 0o644)?;
        put_file(tar, "layer/layer.tar", layer, 0o644)?;
        put_file(tar, "manifest.json", &serde_json::to_vec(&manifest)?, 0o644)
    }

    fn write_oci(&self, tar: &mut tar::Builder<File>, config: &[u8], layer: &[u8]) -> io::Result<()> {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(layer)?;
        let layer = gzip.finish()?;
        let describe = |kind: &str, bytes: &[u8]| {
            json!({
                "mediaType": format!("application/vnd.oci.image.{kind}"),
                "digest": digest(bytes),
                "size": bytes.len(),
            })
        };
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": describe("config.v1+json", config),
            "layers": [describe("layer.v1.tar+gzip", &layer)],
        });
        let manifest = serde_json::to_vec(&manifest)?;
        let mut entry = describe("manifest.v1+json", &manifest);
        entry["annotations"] = json!({ "io.containerd.image.name": self.name });
        let index = json!({ "schemaVersion": 2, "manifests": [entry] });
        put_file(tar, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#, 0o644)?;
        put_file(tar, "index.json", &serde_json::to_vec(&index)?, 0o644)?;
        for blob in [config, &layer, &manifest] {
            put_file(tar, &format!("blobs/sha256/{}", hex_of(blob)), blob, 0o644)?;
        }
        Ok(())
    }

    fn layer(&self) -> io::Result<Vec<u8>> {
        let mut tar = tar::Builder::new(Vec::new());
        for (path, entry) in &self.entries {
            match entry {
                Entry::File { bytes, mode } => put_file(&mut tar, path, bytes, *mode)?,
                Entry::Directory { mode } => {
                    let mut header = header(tar::EntryType::Directory, 0, *mode);
                    tar.append_data(&mut header, format!("{path}/"), io::empty())?;
                }
                Entry::Link { target } => {
                    let mut header = header(tar::EntryType::Symlink, 0, 0o777);
                    tar.append_link(&mut header, path, target)?;
                }
            }
        }
        tar.into_inner()
    }
}

/// Debian's static busybox with links for its usual commands, and users root and web (uid 1000).
///
/// # Errors
/// When /bin/busybox is not there (package busybox-static).
pub fn busybox(name: &str) -> io::Result<Assembly> {
    let config = json!({ "Cmd": ["sh"], "Env": ["IMAGE=busybox"] });
    let passwd = "root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1000::/srv:/bin/sh\n";
    let assembly = Assembly::new(name, config)
        .file("bin/busybox", fs::read("/bin/busybox")?, 0o755)
        .directory("tmp", 0o1777)
        .directory("root", 0o700)
        .file("etc/passwd", passwd, 0o644)
        .file("etc/group", "root:x:0:\nadm:x:4:web\nweb:x:1000:\n", 0o644);
    Ok(COMMANDS.iter().fold(assembly, |assembly, command| assembly.link(&format!("bin/{command}"), "busybox")))
}

const COMMANDS: [&str; 39] = [
    "ash", "cat", "chmod", "chown", "cp", "cut", "date", "dd", "df", "echo", "env", "false", "grep", "head",
    "hostname", "httpd", "id", "ip", "kill", "ln", "ls", "mkdir", "mount", "nc", "nslookup", "ping", "printf", "ps",
    "pwd", "rm", "sh", "sleep", "stat", "tail", "tee", "touch", "true", "wc", "wget",
];

fn put_file<W: Write>(tar: &mut tar::Builder<W>, path: &str, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut header = header(tar::EntryType::Regular, bytes.len() as u64, mode);
    tar.append_data(&mut header, path, bytes)
}

fn header(kind: tar::EntryType, size: u64, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(mode);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

fn hex_of(bytes: &[u8]) -> String {
    digest(bytes).trim_start_matches("sha256:").to_owned()
}
