//! Image archives: an OCI layout in a tar, or what `docker save` writes.
//!
//! The tar is indexed where it lies and never extracted: no name in it ever becomes a path of this machine. Names that
//! climb out of the archive, sizes beyond its end, and sparse entries are refused.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::manifest::{
    Configuration, DOCUMENT_LIMIT, Descriptor, Document, InvalidImage, Manifest, OCI_CONFIG, OCI_LAYER, OCI_LAYER_GZIP,
    OCI_MANIFEST, digest,
};
use super::reference::{Reference, is_digest};

const BLOCK: u64 = 512;
const ENTRY_LIMIT: usize = 100_000;
/// Long names and pax records; the longest path that Linux takes has 4 KiB.
const EXTENSION_LIMIT: u64 = 64 << 10;
/// What a compressed archive may grow to.
const INFLATED_LIMIT: u64 = 64 << 30;
const LINK_LIMIT: usize = 8;
const COPY_BUFFER: usize = 1 << 20;

#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error("cannot read the archive: {0}")]
    Io(#[from] io::Error),
    #[error("not an image archive: {0}")]
    NotAnArchive(String),
    #[error("the archive is truncated: {0:?} goes beyond its end")]
    Truncated(String),
    #[error("refusing the archive: {0}")]
    Hostile(String),
    #[error("the archive lacks {0}")]
    Missing(String),
    #[error("{name} has digest {got}, its name says {want}")]
    Corrupt { name: String, want: String, got: String },
    #[error(transparent)]
    Image(#[from] InvalidImage),
    #[error("the archive does not say what its image is called; give a name")]
    Unnamed,
}

type Result<T> = std::result::Result<T, ArchiveError>;

/// A stretch of the archive's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    pub offset: u64,
    pub size: u64,
}

/// An image in an archive under one of its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    pub name: String,
    pub descriptor: Descriptor,
}

#[derive(Debug)]
pub struct Archive {
    file: Arc<File>,
    /// Blobs by digest.
    blobs: HashMap<String, Extent>,
    /// Manifests that we wrote for images that came without.
    documents: HashMap<String, Vec<u8>>,
    pub images: Vec<Named>,
}

impl Archive {
    /// Blocking. `scratch` is where a compressed archive is inflated, in a file without a name.
    pub fn open(path: &Path, scratch: &Path, name: Option<&str>) -> Result<Self> {
        let file = inflate(File::open(path)?, scratch)?;
        let entries = Entries::scan(&file)?;
        let mut archive =
            Self { file: Arc::new(file), blobs: HashMap::new(), documents: HashMap::new(), images: Vec::new() };
        if entries.contains("oci-layout") || entries.contains("index.json") {
            archive.read_layout(&entries, name)?;
        } else if entries.contains("manifest.json") {
            archive.read_saved(&entries, name)?;
        } else {
            return Err(ArchiveError::NotAnArchive("it has neither index.json nor manifest.json".to_owned()));
        }
        Ok(archive)
    }

    /// A manifest, index or configuration. Verified.
    pub fn document(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        if let Some(bytes) = self.documents.get(&descriptor.digest) {
            return Ok(bytes.clone());
        }
        let bytes = read_document(&self.file, &descriptor.digest, self.extent(&descriptor.digest)?)?;
        let got = digest(&bytes);
        if got != descriptor.digest {
            return Err(ArchiveError::Corrupt { name: "a blob".to_owned(), want: descriptor.digest.clone(), got });
        }
        Ok(bytes)
    }

    pub fn extent(&self, digest: &str) -> Result<Extent> {
        self.blobs.get(digest).copied().ok_or_else(|| ArchiveError::Missing(digest.to_owned()))
    }

    pub fn file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    fn read_layout(&mut self, entries: &Entries, name: Option<&str>) -> Result<()> {
        for (path, extent) in &entries.files {
            let Some(hex) = path.strip_prefix("blobs/sha256/") else { continue };
            let digest = format!("sha256:{hex}");
            if is_digest(&digest) {
                self.blobs.insert(digest, *extent);
            }
        }
        let index = read_document(&self.file, "index.json", entries.file("index.json")?)?;
        let Document::Index(manifests) = Document::parse(&index)? else {
            return Err(ArchiveError::NotAnArchive("index.json is not an index".to_owned()));
        };
        for descriptor in manifests {
            let name = match name {
                Some(name) => name.to_owned(),
                None => layout_name(&descriptor).ok_or(ArchiveError::Unnamed)?,
            };
            self.images.push(Named { name, descriptor });
        }
        self.check_names()
    }

    fn read_saved(&mut self, entries: &Entries, name: Option<&str>) -> Result<()> {
        let bytes = read_document(&self.file, "manifest.json", entries.file("manifest.json")?)?;
        let saved: Vec<Saved> =
            serde_json::from_slice(&bytes).map_err(|error| ArchiveError::NotAnArchive(error.to_string()))?;
        for image in saved {
            let descriptor = self.read_saved_image(entries, &image)?;
            let mut names = image.repo_tags.unwrap_or_default();
            if let Some(name) = name {
                names = vec![name.to_owned()];
            }
            if names.is_empty() {
                return Err(ArchiveError::Unnamed);
            }
            self.images.extend(names.into_iter().map(|name| Named { name, descriptor: descriptor.clone() }));
        }
        self.check_names()
    }

    /// Writes the manifest that `docker save` leaves out.
    fn read_saved_image(&mut self, entries: &Entries, image: &Saved) -> Result<Descriptor> {
        let config_extent = entries.file(&image.config)?;
        let config_bytes = read_document(&self.file, &image.config, config_extent)?;
        let configuration = Configuration::parse(&config_bytes)?;
        let config = Descriptor {
            media_type: OCI_CONFIG.to_owned(),
            digest: digest(&config_bytes),
            size: config_bytes.len() as i64,
            ..Descriptor::default()
        };
        self.blobs.insert(config.digest.clone(), config_extent);
        let mut layers = Vec::with_capacity(image.layers.len());
        for path in &image.layers {
            let extent = entries.file(path)?;
            let layer = describe_layer(&self.file, extent)?;
            self.blobs.insert(layer.digest.clone(), extent);
            layers.push(layer);
        }
        if layers.len() != configuration.diff_ids().len() {
            let (layers, diff_ids) = (layers.len(), configuration.diff_ids().len());
            return Err(InvalidImage::Unpaired { layers, diff_ids }.into());
        }
        let manifest = Manifest { schema_version: 2, media_type: OCI_MANIFEST.to_owned(), config, layers };
        let bytes = serde_json::to_vec(&manifest).expect("a manifest is JSON");
        let descriptor = Descriptor {
            media_type: OCI_MANIFEST.to_owned(),
            digest: digest(&bytes),
            size: bytes.len() as i64,
            ..Descriptor::default()
        };
        self.documents.insert(descriptor.digest.clone(), bytes);
        Ok(descriptor)
    }

    fn check_names(&mut self) -> Result<()> {
        for image in &mut self.images {
            let reference = Reference::parse(&image.name);
            image.name = reference.map_err(|error| ArchiveError::NotAnArchive(error.to_string()))?.to_string();
        }
        if self.images.is_empty() { Err(ArchiveError::Missing("any image".to_owned())) } else { Ok(()) }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// A bare tag (`latest`) is no name: it does not say of what.
fn layout_name(descriptor: &Descriptor) -> Option<String> {
    let annotations = descriptor.annotations.as_ref()?;
    if let Some(name) = annotations.get("io.containerd.image.name") {
        return Some(name.clone());
    }
    let name = annotations.get("org.opencontainers.image.ref.name")?;
    name.contains([':', '/']).then(|| name.clone())
}

fn describe_layer(file: &File, extent: Extent) -> Result<Descriptor> {
    let mut hash = Sha256::new();
    let mut magic = [0; 4];
    let mut buffer = vec![0; COPY_BUFFER];
    let mut done = 0;
    while done < extent.size {
        let length = buffer.len().min((extent.size - done) as usize);
        file.read_exact_at(&mut buffer[..length], extent.offset + done)?;
        if done == 0 {
            let known = length.min(4);
            magic[..known].copy_from_slice(&buffer[..known]);
        }
        hash.update(&buffer[..length]);
        done += length as u64;
    }
    let media_type = match magic {
        [0x1f, 0x8b, ..] => OCI_LAYER_GZIP.to_owned(),
        [0x28, 0xb5, 0x2f, 0xfd] => format!("{OCI_LAYER}+zstd"),
        _ => OCI_LAYER.to_owned(),
    };
    let digest = format!("sha256:{}", hex::encode(hash.finalize()));
    Ok(Descriptor { media_type, digest, size: extent.size as i64, ..Descriptor::default() })
}

fn read_document(file: &File, name: &str, extent: Extent) -> Result<Vec<u8>> {
    if extent.size > DOCUMENT_LIMIT {
        return Err(ArchiveError::Hostile(format!("{name:?} has {} bytes, at most {DOCUMENT_LIMIT}", extent.size)));
    }
    let mut bytes = vec![0; extent.size as usize];
    file.read_exact_at(&mut bytes, extent.offset)?;
    Ok(bytes)
}

/// The file itself, or its content when it is gzip, in a file without a name that ends with its last user.
fn inflate(file: File, scratch: &Path) -> Result<File> {
    let mut magic = [0; 2];
    let is_gzip = file.read_exact_at(&mut magic, 0).is_ok() && magic == [0x1f, 0x8b];
    if !is_gzip {
        return Ok(file);
    }
    let mut options = File::options();
    let mut target = options.read(true).write(true).custom_flags(nix::libc::O_TMPFILE).mode(0o600).open(scratch)?;
    let mut source = flate2::read::MultiGzDecoder::new(file).take(INFLATED_LIMIT + 1);
    let mut buffer = vec![0; COPY_BUFFER];
    let mut total = 0;
    loop {
        let length = match source.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(ArchiveError::Truncated("the gzip stream".to_owned()));
            }
            Err(error) => return Err(error.into()),
        };
        target.write_all(&buffer[..length])?;
        total += length as u64;
    }
    if total > INFLATED_LIMIT {
        return Err(ArchiveError::Hostile(format!("it inflates to more than {INFLATED_LIMIT} bytes")));
    }
    Ok(target)
}

/// Where each file lies in the tar.
#[derive(Debug, Default)]
struct Entries {
    files: HashMap<String, Extent>,
    /// Symbolic and hard links, by where they point in the archive: older docker writes shared layers so.
    links: HashMap<String, String>,
}

/// What extension entries say about the entry that follows them.
#[derive(Default)]
struct Extension {
    path: Option<String>,
    link: Option<String>,
    size: Option<u64>,
}

impl Entries {
    fn contains(&self, name: &str) -> bool {
        self.files.contains_key(name)
    }

    fn file(&self, name: &str) -> Result<Extent> {
        let mut name = clean(name)?;
        for _ in 0..LINK_LIMIT {
            if let Some(extent) = self.files.get(&name) {
                return Ok(*extent);
            }
            match self.links.get(&name) {
                Some(target) => name = target.clone(),
                None => break,
            }
        }
        Err(ArchiveError::Missing(format!("{name:?}")))
    }

    fn scan(file: &File) -> Result<Self> {
        let length = file.metadata()?.len();
        let mut entries = Self::default();
        let mut extension = Extension::default();
        let mut offset = 0;
        let mut count = 0;
        while offset + BLOCK <= length {
            let mut block = [0; BLOCK as usize];
            file.read_exact_at(&mut block, offset)?;
            if block.iter().all(|byte| *byte == 0) {
                return Ok(entries);
            }
            count += 1;
            if count > ENTRY_LIMIT {
                return Err(ArchiveError::Hostile(format!("it has more than {ENTRY_LIMIT} entries")));
            }
            let header = tar::Header::from_byte_slice(&block);
            check_sum(header, offset)?;
            let kind = header.entry_type();
            let is_extension = kind.is_gnu_longname() || kind.is_gnu_longlink() || kind.is_pax_local_extensions();
            let size = match extension.size {
                Some(size) if !is_extension => size,
                _ => header.entry_size().map_err(|error| ArchiveError::NotAnArchive(error.to_string()))?,
            };
            let extent = Extent { offset: offset + BLOCK, size };
            let end = extent.offset.checked_add(size).filter(|end| *end <= length);
            let Some(end) = end else {
                return Err(ArchiveError::Truncated(shown(header)));
            };
            if is_extension {
                extension.read(file, kind, extent)?;
            } else {
                entries.add(header, extent, std::mem::take(&mut extension))?;
            }
            offset = end.div_ceil(BLOCK) * BLOCK;
        }
        // Two empty blocks end a tar; many writers leave them out, so a clean end of file will do.
        if offset != length || entries.files.is_empty() {
            return Err(ArchiveError::Truncated("the last header".to_owned()));
        }
        Ok(entries)
    }

    fn add(&mut self, header: &tar::Header, extent: Extent, extension: Extension) -> Result<()> {
        let kind = header.entry_type();
        if kind.is_gnu_sparse() {
            return Err(ArchiveError::Hostile(format!("{} is a sparse file", shown(header))));
        }
        let path = extension.path.unwrap_or_else(|| String::from_utf8_lossy(&header.path_bytes()).into_owned());
        let path = clean(&path)?;
        if kind.is_file() {
            self.files.insert(path, extent);
            return Ok(());
        }
        if !kind.is_symlink() && !kind.is_hard_link() {
            return Ok(());
        }
        let in_header = || header.link_name_bytes().map(|name| String::from_utf8_lossy(&name).into_owned());
        let target = extension.link.or_else(in_header).unwrap_or_default();
        let target = match path.rsplit_once('/') {
            Some((parent, _)) if kind.is_symlink() => format!("{parent}/{target}"),
            _ => target,
        };
        self.links.insert(path, clean(&target)?);
        Ok(())
    }
}

impl Extension {
    fn read(&mut self, file: &File, kind: tar::EntryType, extent: Extent) -> Result<()> {
        if extent.size > EXTENSION_LIMIT {
            return Err(ArchiveError::Hostile(format!("an extended header of {} bytes", extent.size)));
        }
        let mut bytes = vec![0; extent.size as usize];
        file.read_exact_at(&mut bytes, extent.offset)?;
        if kind.is_gnu_longname() {
            self.path = Some(text(&bytes));
            return Ok(());
        }
        if kind.is_gnu_longlink() {
            self.link = Some(text(&bytes));
            return Ok(());
        }
        for record in tar::PaxExtensions::new(&bytes) {
            let record = record?;
            let value = || String::from_utf8_lossy(record.value_bytes()).into_owned();
            match record.key() {
                Ok("path") => self.path = Some(value()),
                Ok("linkpath") => self.link = Some(value()),
                Ok("size") => {
                    let size = value().parse();
                    self.size = Some(size.map_err(|_| ArchiveError::NotAnArchive("a size in pax".to_owned()))?);
                }
                Ok(key) if key.starts_with("GNU.sparse") => {
                    return Err(ArchiveError::Hostile("it has a sparse file".to_owned()));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

fn shown(header: &tar::Header) -> String {
    String::from_utf8_lossy(&header.path_bytes()).into_owned()
}

fn check_sum(header: &tar::Header, offset: u64) -> Result<()> {
    let bytes = header.as_bytes();
    let sum: u32 = bytes[..148].iter().chain(&bytes[156..]).map(|byte| u32::from(*byte)).sum::<u32>() + 8 * 32;
    match header.cksum() {
        Ok(stored) if stored == sum => Ok(()),
        _ if offset == 0 => Err(ArchiveError::NotAnArchive("it is no tar file".to_owned())),
        _ => Err(ArchiveError::NotAnArchive(format!("the tar header at byte {offset} is damaged"))),
    }
}

/// A name inside the archive with `.` and `..` worked out; one that climbs out of it is refused.
fn clean(path: &str) -> Result<String> {
    let hostile = || ArchiveError::Hostile(format!("{path:?} points out of it"));
    if path.starts_with('/') {
        return Err(hostile());
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop().ok_or_else(hostile)?;
            }
            part => parts.push(part),
        }
    }
    Ok(parts.join("/"))
}

#[cfg(test)]
mod tests;
