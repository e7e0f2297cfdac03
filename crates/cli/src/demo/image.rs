//! The demo's image, assembled from what the machine has: this program and the shared libraries that it runs with.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::failure::{Context, Failure};

pub const REFERENCE: &str = "gantry/demo:latest";

/// Where programs of this machine's architecture expect their loader.
const LOADERS: [&str; 2] = ["/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1"];

/// Writes a `docker save` tar of the image.
pub fn write(path: &Path) -> Result<(), Failure> {
    let layer = path.with_extension("layer");
    let process = serde_json::json!({"Entrypoint": ["/gantry"], "Cmd": ["page"], "Env": ["PATH=/"]});
    let result = write_layer(&layer).and_then(|()| write_archive(path, &layer, REFERENCE, &process));
    let _ = std::fs::remove_file(&layer);
    result.context(|| "the demo's image could not be assembled".to_owned())
}

fn write_layer(path: &Path) -> io::Result<()> {
    let mut layer = tar::Builder::new(File::create(path)?);
    add_directories(&mut layer)?;
    add_file(&mut layer, &std::env::current_exe()?, Path::new("gantry"))?;
    for library in libraries()? {
        add_file(&mut layer, &library, library.strip_prefix("/").unwrap_or(&library))?;
    }
    for loader in LOADERS.map(Path::new) {
        if loader.exists() {
            add_file(&mut layer, loader, loader.strip_prefix("/").unwrap_or(loader))?;
        }
    }
    layer.finish()
}

/// The shared libraries of this process, the loader among them. None for a static build.
fn libraries() -> io::Result<BTreeSet<PathBuf>> {
    let maps = std::fs::read_to_string("/proc/self/maps")?;
    let paths = maps.lines().filter_map(|line| line.split_whitespace().nth(5));
    Ok(paths.filter(|path| path.starts_with('/') && path.contains(".so")).map(PathBuf::from).collect())
}

/// Those that every container expects.
pub fn add_directories(layer: &mut tar::Builder<File>) -> io::Result<()> {
    for directory in ["proc", "sys", "dev", "tmp", "etc"] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_mode(if directory == "tmp" { 0o1777 } else { 0o755 });
        header.set_size(0);
        layer.append_data(&mut header, directory, io::empty())?;
    }
    Ok(())
}

pub fn add_file(layer: &mut tar::Builder<File>, from: &Path, to: &Path) -> io::Result<()> {
    let file = File::open(from)?;
    let mut header = tar::Header::new_gnu();
    header.set_size(file.metadata()?.len());
    header.set_mode(0o755);
    layer.append_data(&mut header, to, file)
}

/// A `docker save` tar of one layer. `process`: the image's entry point, command and environment.
pub fn write_archive(path: &Path, layer: &Path, reference: &str, process: &serde_json::Value) -> io::Result<()> {
    let layer_digest = digest_of(layer)?;
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let config = serde_json::json!({
        "architecture": architecture,
        "os": "linux",
        "config": process,
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{layer_digest}")]},
    });
    let manifest = serde_json::json!([{"Config": "config.json", "RepoTags": [reference], "Layers": ["layer.tar"]}]);
    let mut archive = tar::Builder::new(File::create(path)?);
    add_bytes(&mut archive, "manifest.json", manifest.to_string().as_bytes())?;
    add_bytes(&mut archive, "config.json", config.to_string().as_bytes())?;
    add_file(&mut archive, layer, Path::new("layer.tar"))?;
    archive.finish()
}

fn add_bytes(archive: &mut tar::Builder<File>, name: &str, bytes: &[u8]) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    archive.append_data(&mut header, name, bytes)
}

fn digest_of(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex::encode(digest.finalize())),
            n => digest.update(&buffer[..n]),
        }
    }
}
