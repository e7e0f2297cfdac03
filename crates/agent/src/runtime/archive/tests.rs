use super::*;

/// A tar in the making. Headers are written as given, however wrong.
#[derive(Default)]
struct Tar {
    bytes: Vec<u8>,
}

impl Tar {
    fn entry(mut self, path: &str, kind: tar::EntryType, link: &str, claimed: u64, content: &[u8]) -> Self {
        let mut header = tar::Header::new_gnu();
        let name = &mut header.as_gnu_mut().expect("gnu").name;
        name[..path.len()].copy_from_slice(path.as_bytes());
        let target = &mut header.as_gnu_mut().expect("gnu").linkname;
        target[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(kind);
        header.set_size(claimed);
        header.set_cksum();
        self.bytes.extend_from_slice(header.as_bytes());
        self.bytes.extend_from_slice(content);
        self.bytes.resize(self.bytes.len().div_ceil(512) * 512, 0);
        self
    }

    fn file(self, path: &str, content: &[u8]) -> Self {
        self.entry(path, tar::EntryType::Regular, "", content.len() as u64, content)
    }

    fn link(self, path: &str, target: &str) -> Self {
        self.entry(path, tar::EntryType::Symlink, target, 0, b"")
    }

    fn open(self) -> Result<Archive> {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("archive.tar");
        std::fs::write(&path, self.bytes).expect("written");
        Archive::open(&path, directory.path(), None)
    }
}

const CONFIG: &[u8] =
    br#"{"rootfs":{"diff_ids":["sha256:0000000000000000000000000000000000000000000000000000000000000000"]}}"#;

fn saved(layer: &str) -> Vec<u8> {
    format!(r#"[{{"Config":"config.json","RepoTags":["web:1"],"Layers":["{layer}"]}}]"#).into_bytes()
}

fn index(entry: &str) -> Vec<u8> {
    format!(r#"{{"manifests":[{entry}]}}"#).into_bytes()
}

fn check(tar: Tar, expected: &str) {
    let error = tar.open().expect_err(expected).to_string();
    assert!(error.contains(expected), "{error}\nlacks {expected}");
}

#[test]
fn names_that_climb_out_are_refused() {
    for path in ["../evil", "/etc/passwd", "a/../../evil", "./../evil"] {
        check(Tar::default().file(path, b"x"), "points out of it");
    }
    check(Tar::default().link("a", "/etc/passwd"), "points out of it");
    check(Tar::default().link("a/b", "../../etc/passwd"), "points out of it");
    let tar = Tar::default().file("config.json", CONFIG).file("manifest.json", &saved("../../etc/passwd"));
    check(tar, "points out of it");
}

#[test]
fn sizes_beyond_the_end_are_refused() {
    let regular = tar::EntryType::Regular;
    check(Tar::default().entry("big", regular, "", 1 << 40, b"x"), "truncated: \"big\" goes beyond");
    check(Tar::default().entry("big", regular, "", u64::MAX >> 1, b"x"), "truncated");
    check(
        Tar::default().entry("long", tar::EntryType::GNULongName, "", 1 << 20, &vec![b'a'; 1 << 20]),
        "an extended header",
    );
    check(Tar::default().entry("sparse", tar::EntryType::GNUSparse, "", 1, b"x"), "sparse");
    let record = b"30 GNU.sparse.realsize=999999\n";
    check(Tar::default().entry("pax", tar::EntryType::XHeader, "", 30, record), "sparse");
    let huge = vec![b' '; DOCUMENT_LIMIT as usize + 1];
    check(Tar::default().file("index.json", &huge), "at most");
}

#[test]
fn what_is_no_image_archive_says_so() {
    check(Tar::default().file("readme", b"x"), "neither index.json nor manifest.json");
    check(Tar::default().file("manifest.json", b"{}"), "not an image archive");
    check(Tar::default().file("manifest.json", b"[]"), "lacks any image");
    check(Tar::default().file("manifest.json", &saved("layer.tar")), "lacks \"config.json\"");
    let tar = Tar::default().file("config.json", CONFIG).file("manifest.json", &saved("layer.tar"));
    check(tar, "lacks \"layer.tar\"");
    check(Tar::default().file("index.json", b"{\"schemaVersion\":2}"), "missing field");
    let digest = format!("sha256:{}", "00".repeat(32));
    let entry = format!(r#"{{"digest":"{digest}","size":1}}"#);
    check(Tar::default().file("index.json", &index(&entry)), "give a name");
    let two = br#"{"rootfs":{"diff_ids":[]}}"#;
    let tar = Tar::default().file("config.json", two).file("layer.tar", b"").file("manifest.json", &saved("layer.tar"));
    check(tar, "1 layers, the configuration 0");
    let mut damaged = Tar::default().file("index.json", b"{}").file("second", b"");
    damaged.bytes[1024] ^= 1;
    check(damaged, "the tar header at byte 1024 is damaged");
}

#[test]
fn shared_layers_are_found_behind_their_links() {
    let tar = Tar::default()
        .file("config.json", CONFIG)
        .file("one/layer.tar", b"layer")
        .link("two/layer.tar", "../one/layer.tar")
        .file("manifest.json", &saved("two/layer.tar"));
    let archive = tar.open().expect("an archive");
    assert_eq!(archive.images[0].name, "docker.io/library/web:1");
    let extent = archive.extent(&digest(b"layer")).expect("there");
    assert_eq!(extent.size, 5);
    let looping =
        Tar::default().file("config.json", CONFIG).link("a", "b").link("b", "a").file("manifest.json", &saved("a"));
    check(looping, "lacks");
}

#[test]
fn long_names_of_both_kinds_are_read() {
    let path = format!("{}/layer.tar", "d".repeat(120));
    let record_length = path.len() + " path=\n".len() + 3;
    let record = format!("{record_length} path={path}\n");
    let gnu = format!("{path}\0");
    for (kind, content) in [(tar::EntryType::XHeader, record), (tar::EntryType::GNULongName, gnu)] {
        let tar = Tar::default()
            .file("config.json", CONFIG)
            .entry("extension", kind, "", content.len() as u64, content.as_bytes())
            .file("short", b"layer")
            .file("manifest.json", &saved(&path));
        tar.open().expect("an archive").extent(&digest(b"layer")).expect("there");
    }
}

#[test]
fn a_layout_is_named_by_its_annotations() {
    let digest = format!("sha256:{}", "00".repeat(32));
    let named = |annotations: &str| {
        let entry = format!(r#"{{"digest":"{digest}","size":1,"annotations":{{{annotations}}}}}"#);
        Tar::default().file("index.json", &index(&entry)).open().map(|archive| archive.images[0].name.clone())
    };
    let reference = |name: &str| format!(r#""org.opencontainers.image.ref.name":"{name}""#);
    assert_eq!(named(&reference("web:2")).expect("named"), "docker.io/library/web:2");
    let both = format!(r#"{},"io.containerd.image.name":"ghcr.io/a/b:3""#, reference("3"));
    assert_eq!(named(&both).expect("named"), "ghcr.io/a/b:3");
    assert!(matches!(named(&reference("latest")), Err(ArchiveError::Unnamed)));
    assert!(named(&reference("No/Name:1")).is_err());
}

fn saved_archive(layer: &[u8]) -> Tar {
    Tar::default().file("config.json", CONFIG).file("layer.tar", layer).file("manifest.json", &saved("layer.tar"))
}

fn layout_archive(layer: &[u8]) -> Tar {
    let entry = |bytes: &[u8]| format!(r#"{{"digest":"{}","size":{}}}"#, digest(bytes), bytes.len());
    let manifest =
        format!(r#"{{"schemaVersion":2,"config":{},"layers":[{}]}}"#, entry(CONFIG), entry(layer)).into_bytes();
    let named = entry(&manifest).replace('}', r#","annotations":{"io.containerd.image.name":"web"}}"#);
    let blobs = [&manifest, CONFIG, layer];
    let blob = |tar: Tar, bytes: &&[u8]| tar.file(&digest(bytes).replace("sha256:", "blobs/sha256/"), bytes);
    blobs.iter().fold(Tar::default().file("index.json", &index(&named)), blob)
}

/// Opens and looks at all that an import would.
fn open_whole(path: &Path, scratch: &Path) -> Result<()> {
    let archive = Archive::open(path, scratch, None)?;
    let Document::Manifest(manifest) = Document::parse(&archive.document(&archive.images[0].descriptor)?)? else {
        panic!("an index");
    };
    archive.document(&manifest.config)?;
    manifest.layers.iter().try_for_each(|layer| archive.extent(&layer.digest).map(drop))
}

#[test]
fn no_cut_of_an_archive_is_taken_for_whole() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("archive.tar");
    let layer = [7; 3000];
    for archive in [saved_archive(&layer), layout_archive(&layer)] {
        let whole = archive.bytes;
        std::fs::write(&path, &whole).expect("written");
        open_whole(&path, directory.path()).expect("whole");
        for length in (0..whole.len()).step_by(61) {
            std::fs::write(&path, &whole[..length]).expect("written");
            let opened = open_whole(&path, directory.path());
            assert!(opened.is_err(), "cut at {length} of {}", whole.len());
        }
    }
}
