//! The shape of the workspace: which crate may use which, and what the pure ones must never touch. Both fail here, so
//! that neither can erode one convenient line at a time.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Each crate under `crates/`, and those of ours that it may use, in tests too.
const MAY_USE: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("wire", &[]),
    ("plan", &["model"]),
    ("store", &["model"]),
    ("telemetry", &["model"]),
    ("agent", &["model", "wire"]),
    ("edge", &["model", "wire"]),
    ("control", &["model", "plan", "wire", "store", "telemetry"]),
    ("sim", &["model", "plan", "wire", "store", "agent", "control"]),
    ("gantry", &["model", "plan", "wire", "store", "telemetry", "agent", "control", "edge"]),
];

/// Crates that get time, identity and randomness passed in, and give the same answer to the same question everywhere.
const PURE: &[&str] = &["model", "plan", "wire"];

/// Packages that bring the world with them.
const WORLDLY_PACKAGES: &[&str] = &[
    "fjall",
    "getrandom",
    "hyper",
    "hyper-util",
    "netlink-sys",
    "nix",
    "rand",
    "redb",
    "reqwest",
    "tempfile",
    "tokio",
    "tokio-stream",
    "tonic",
    "tracing",
];

/// Names in source that reach the world, or an order that differs from run to run.
const WORLDLY_NAMES: &[&str] = &[
    "tokio",
    "hyper",
    "tracing",
    "std::fs",
    "fs::",
    "std::env",
    "env::",
    "std::net::Tcp",
    "std::net::Udp",
    "std::process",
    "std::thread",
    "::now(",
    "SystemTime",
    "OsRng",
    "os_rng",
    "thread_rng",
    "rand::rng",
    "getrandom",
    "RandomState",
    "HashMap",
    "HashSet",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace is above").to_owned()
}

/// The packages under `crates/` as cargo understands them.
fn packages() -> Vec<Value> {
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(metadata.status.success(), "{}", String::from_utf8_lossy(&metadata.stderr));
    let mut metadata: Value = serde_json::from_slice(&metadata.stdout).expect("cargo speaks JSON");
    let crates = root().join("crates");
    let Value::Array(mut packages) = metadata["packages"].take() else { panic!("a list of packages") };
    packages.retain(|package| Path::new(text(&package["manifest_path"])).starts_with(&crates));
    packages
}

fn text(value: &Value) -> &str {
    value.as_str().expect("text")
}

/// What a package depends on; in tests and build scripts too when `always` is false.
fn dependencies(package: &Value, always: bool) -> BTreeSet<&str> {
    let listed = package["dependencies"].as_array().expect("a list");
    let chosen = listed.iter().filter(|dependency| !always || dependency["kind"].is_null());
    chosen.map(|dependency| text(&dependency["name"])).collect()
}

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory of sources") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The worldly names in one line, its comment left out. A name counts only where no longer word surrounds it.
fn worldly_names(line: &str) -> Vec<&'static str> {
    let code = line.split_once("//").map_or(line, |(code, _)| code);
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let stands = |name: &&&str| {
        code.match_indices(**name).any(|(at, _)| {
            let before = code[..at].chars().next_back();
            let after = code[at + name.len()..].chars().next();
            let begins = !name.starts_with(is_word) || !before.is_some_and(is_word);
            let ends = !name.ends_with(is_word)
                || name.ends_with("Tcp")
                || name.ends_with("Udp")
                || !after.is_some_and(is_word);
            begins && ends
        })
    };
    WORLDLY_NAMES.iter().filter(stands).copied().collect()
}

#[test]
fn crates_use_only_what_the_table_allows() {
    let packages = packages();
    let names: BTreeSet<&str> = packages.iter().map(|package| text(&package["name"])).collect();
    let listed: BTreeSet<&str> = MAY_USE.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, listed, "the table lists the crates that there are");
    for package in &packages {
        let name = text(&package["name"]);
        let (_, allowed) = MAY_USE.iter().find(|(listed, _)| *listed == name).expect("listed");
        let ours: BTreeSet<&str> = dependencies(package, false).intersection(&names).copied().collect();
        let beyond: Vec<&&str> = ours.iter().filter(|used| !allowed.contains(used)).collect();
        assert!(beyond.is_empty(), "{name} must not use {beyond:?}");
    }
}

#[test]
fn pure_crates_depend_on_nothing_of_the_world() {
    for package in packages().iter().filter(|package| PURE.contains(&text(&package["name"]))) {
        let used = dependencies(package, true);
        let worldly: Vec<&&str> = WORLDLY_PACKAGES.iter().filter(|name| used.contains(**name)).collect();
        assert!(worldly.is_empty(), "{} is pure and must not use {worldly:?}", package["name"]);
    }
}

#[test]
fn pure_crates_name_nothing_of_the_world() {
    let mut broken = Vec::new();
    for name in PURE {
        let mut files = Vec::new();
        sources(&root().join("crates").join(name).join("src"), &mut files);
        assert!(!files.is_empty(), "{name} has sources");
        for file in files {
            let source = fs::read_to_string(&file).expect("readable");
            let found = source
                .lines()
                .enumerate()
                .flat_map(|(number, line)| worldly_names(line).into_iter().map(move |worldly| (number + 1, worldly)));
            broken.extend(found.map(|(line, worldly)| format!("{}:{line}: {worldly}", file.display())));
        }
    }
    assert!(broken.is_empty(), "pure crates get the world passed in:\n{}", broken.join("\n"));
}

#[test]
fn worldly_names_are_found_and_others_are_not() {
    let check = |line: &str, expected: &[&str]| assert_eq!(worldly_names(line), expected, "{line}");
    check("use std::collections::HashMap;", &["HashMap"]);
    check("    let at = jiff::Timestamp::now();", &["::now("]);
    check("let text = fs::read(path)?;", &["fs::"]);
    check("use std::net::TcpStream;", &["std::net::Tcp"]);
    check("pub struct HashMapping; // not a HashMap", &[]);
    check("offs::et(now)", &[]);
    check("use std::net::Ipv4Addr;", &[]);
}
