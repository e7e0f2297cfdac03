//! Image archives made from what a machine has: a program with the libraries that it needs, and some files.
//!
//! For images where no registry is at hand: the demo's and the tests'. Not a builder: one layer, no commands.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::runtime::manifest::digest;

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

    /// A program of this machine and the shared libraries that `ldd` names.
    pub fn program(mut self, path: &str, host: &Path) -> io::Result<Self> {
        self = self.file(path, fs::read(host)?, 0o755);
        for library in libraries(host)? {
            let bytes = fs::read(&library)?;
            let inside = library.strip_prefix("/").unwrap_or(&library).to_string_lossy().into_owned();
            self = self.file(&inside, bytes, 0o755);
        }
        Ok(self)
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
    with_busybox(Assembly::new(name, config).directory("tmp", 0o1777))
}

/// Debian's nginx with a page, logging to its output as nginx's own image does, with busybox beside it.
/// Writes to /var/cache/nginx and /run only.
///
/// # Errors
/// When /usr/sbin/nginx or /bin/busybox are not there (packages nginx-light, busybox-static).
pub fn nginx(name: &str) -> io::Result<Assembly> {
    let config = json!({
        "Entrypoint": ["/usr/sbin/nginx"],
        "Cmd": ["-g", "daemon off;"],
        "ExposedPorts": { "80/tcp": {} },
        "StopSignal": "SIGQUIT",
    });
    let assembly = Assembly::new(name, config)
        .directory("tmp", 0o1777)
        .directory("run", 0o755)
        .directory("var/cache/nginx", 0o755)
        .directory("var/lib/nginx", 0o755)
        .link("var/log/nginx/access.log", "/dev/stdout")
        .link("var/log/nginx/error.log", "/dev/stderr")
        .file("etc/nginx/nginx.conf", NGINX_CONFIGURATION, 0o644)
        .file("etc/nginx/mime.types", "types { text/html html; text/plain txt; }\n", 0o644)
        .file("usr/share/nginx/html/index.html", "<h1>Welcome to nginx on Gantry</h1>\n", 0o644)
        .program("usr/sbin/nginx", Path::new("/usr/sbin/nginx"))?;
    with_busybox(assembly)
}

const NGINX_CONFIGURATION: &str = "\
user www-data;
worker_processes 1;
pid /run/nginx.pid;
error_log /var/log/nginx/error.log notice;
events { worker_connections 256; }
http {
    include /etc/nginx/mime.types;
    access_log /var/log/nginx/access.log;
    client_body_temp_path /var/cache/nginx/client;
    proxy_temp_path /var/cache/nginx/proxy;
    fastcgi_temp_path /var/cache/nginx/fastcgi;
    uwsgi_temp_path /var/cache/nginx/uwsgi;
    scgi_temp_path /var/cache/nginx/scgi;
    server {
        listen 80 default_server;
        root /usr/share/nginx/html;
    }
}
";

const COMMANDS: [&str; 39] = [
    "ash", "cat", "chmod", "chown", "cp", "cut", "date", "dd", "df", "echo", "env", "false", "grep", "head",
    "hostname", "httpd", "id", "ip", "kill", "ln", "ls", "mkdir", "mount", "nc", "nslookup", "ping", "printf", "ps",
    "pwd", "rm", "sh", "sleep", "stat", "tail", "tee", "touch", "true", "wc", "wget",
];

fn with_busybox(assembly: Assembly) -> io::Result<Assembly> {
    let assembly = assembly
        .program("bin/busybox", Path::new("/bin/busybox"))?
        .directory("root", 0o700)
        .file(
            "etc/passwd",
            "root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33::/var/www:/bin/false\nweb:x:1000:1000::/srv:/bin/sh\n",
            0o644,
        )
        .file("etc/group", "root:x:0:\nadm:x:4:web\nwww-data:x:33:\nweb:x:1000:\n", 0o644);
    let linked =
        COMMANDS.iter().fold(assembly, |assembly, command| assembly.link(&format!("bin/{command}"), "busybox"));
    Ok(linked)
}

/// Absolute paths of what the dynamic linker would load; none for a static program.
fn libraries(program: &Path) -> io::Result<Vec<PathBuf>> {
    let output = Command::new("ldd").arg(program).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let missing = text.lines().find(|line| line.contains("not found"));
    if let Some(line) = missing {
        return Err(io::Error::other(format!("{}: {}", program.display(), line.trim())));
    }
    let path = |line: &str| {
        let line = line.trim();
        let path = line.split_once("=>").map_or(line, |(_, path)| path).trim();
        path.starts_with('/').then(|| PathBuf::from(path.split_whitespace().next().unwrap_or_default()))
    };
    Ok(text.lines().filter_map(path).collect())
}

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

fn hex_of(bytes: &[u8]) -> String {
    digest(bytes).trim_start_matches("sha256:").to_owned()
}
