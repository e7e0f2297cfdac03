//! Renews the committed models and golden cases from the pinned botocore release.
//!
//! Downloads through `pip`, refuses any other hash than the pinned one, keeps only the operations listed in
//! `services.json` with the shapes they reach, and drops all documentation. The names of the operations left out are
//! kept, so that a call to one of them can be told from a call to nothing.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::Outcome;
use crate::service_list::{self, Service, ServiceList};

/// Keys of operations, shapes and references that are prose or of no use to a server.
const DROPPED: [&str; 8] = [
    "documentation",
    "documentationUrl",
    "deprecated",
    "deprecatedMessage",
    "deprecatedSince",
    "auth",
    "endpoint",
    "synthetic",
];

pub fn renew(root: &Path) -> Outcome<()> {
    let list = service_list::read(root)?;
    let scratch = tempfile::tempdir()?;
    renew_models(root, &list, scratch.path())?;
    renew_golden_cases(root, &list, scratch.path())
}

fn renew_models(root: &Path, list: &ServiceList, scratch: &Path) -> Outcome<()> {
    let wheel = download(list, scratch, &["--only-binary", ":all:"], "whl", &list.wheel_sha256)?;
    let unpacked = scratch.join("wheel");
    run(Command::new("python3").args(["-m", "zipfile", "-e"]).arg(&wheel).arg(&unpacked))?;
    for service in &list.services {
        let folder = unpacked.join("botocore/data").join(&service.name).join(&service.api_version);
        let model = read_gzipped_json(&folder.join("service-2.json.gz"))?;
        let paginators: Value = serde_json::from_slice(&fs::read(folder.join("paginators-1.json"))?)?;
        let stripped = strip(service, &model, &paginators)?;
        let path = root.join("crates/wire/models").join(format!("{}.json", service.name));
        fs::write(path, line_per_entry(&stripped))?;
    }
    Ok(())
}

fn renew_golden_cases(root: &Path, list: &ServiceList, scratch: &Path) -> Outcome<()> {
    let sdist = download(list, scratch, &["--no-binary", "botocore"], "tar.gz", &list.sdist_sha256)?;
    run(Command::new("tar").arg("-xzf").arg(&sdist).arg("-C").arg(scratch))?;
    let suites = scratch.join(format!("botocore-{}/tests/unit/protocols", list.botocore_version));
    for direction in ["input", "output"] {
        let target = root.join("crates/wire/tests/golden").join(direction);
        fs::create_dir_all(&target)?;
        for name in &list.golden {
            fs::copy(suites.join(direction).join(format!("{name}.json")), target.join(format!("{name}.json")))?;
        }
    }
    Ok(())
}

fn download(list: &ServiceList, scratch: &Path, form: &[&str], ending: &str, sha256: &str) -> Outcome<PathBuf> {
    let folder = scratch.join(format!("download-{ending}"));
    run(Command::new("pip")
        .args(["download", "--quiet", "--no-deps", "--dest"])
        .arg(&folder)
        .args(form)
        .arg(format!("botocore=={}", list.botocore_version)))?;
    let file = fs::read_dir(&folder)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.to_string_lossy().ends_with(ending))
        .ok_or("pip downloaded nothing")?;
    let found = hex::encode(Sha256::digest(fs::read(&file)?));
    if found != sha256 {
        return Err(format!("{} has SHA-256 {found}, but {sha256} is pinned", file.display()).into());
    }
    Ok(file)
}

fn run(command: &mut Command) -> Outcome<()> {
    let status = command.status()?;
    if !status.success() {
        return Err(format!("{command:?} ended with {status}").into());
    }
    Ok(())
}

fn read_gzipped_json(path: &Path) -> Outcome<Value> {
    let mut text = String::new();
    flate2::read::GzDecoder::new(fs::File::open(path)?).read_to_string(&mut text)?;
    Ok(serde_json::from_str(&text)?)
}

fn strip(service: &Service, model: &Value, paginators: &Value) -> Outcome<Value> {
    let all = model["operations"].as_object().ok_or("a model without operations")?;
    let wanted: BTreeSet<&str> = match &service.operations {
        None => all.keys().map(String::as_str).collect(),
        Some(names) => names.iter().map(String::as_str).collect(),
    };
    if let Some(unknown) = wanted.iter().find(|name| !all.contains_key(**name)) {
        return Err(format!("{} has no operation {unknown}", service.name).into());
    }
    let taken: Map<String, Value> = all
        .iter()
        .filter(|(name, _)| wanted.contains(name.as_str()))
        .map(|(k, v)| (k.clone(), without_prose(v)))
        .collect();
    let left_out: Vec<&String> = all.keys().filter(|name| !wanted.contains(name.as_str())).collect();
    let pages: Map<String, Value> = paginators["pagination"]
        .as_object()
        .ok_or("paginators without pagination")?
        .iter()
        .filter(|(name, _)| wanted.contains(name.as_str()))
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    Ok(json!({
        "metadata": without_prose(&model["metadata"]),
        "operations": &taken,
        "otherOperations": left_out,
        "pagination": pages,
        "shapes": reached_shapes(&taken, &model["shapes"])?,
    }))
}

fn reached_shapes(operations: &Map<String, Value>, shapes: &Value) -> Outcome<Map<String, Value>> {
    let mut waiting: Vec<String> = operations.values().flat_map(references).collect();
    let mut reached = Map::new();
    while let Some(name) = waiting.pop() {
        if reached.contains_key(&name) {
            continue;
        }
        let shape = shapes.get(&name).ok_or_else(|| format!("no shape {name}"))?;
        let shape = without_prose(shape);
        waiting.extend(references(&shape));
        reached.insert(name, shape);
    }
    Ok(reached)
}

/// The names behind every `{"shape": …}` within.
fn references(value: &Value) -> Vec<String> {
    let Some(object) = value.as_object() else {
        return value.as_array().into_iter().flatten().flat_map(references).collect();
    };
    let mut found: Vec<String> = object.values().flat_map(references).collect();
    if let Some(Value::String(name)) = object.get("shape") {
        found.push(name.clone());
    }
    found
}

/// Drops prose; a structure's `members` are names, so none of those is dropped.
fn without_prose(value: &Value) -> Value {
    let Value::Object(object) = value else { return value.clone() };
    let kept = object.iter().filter(|(key, _)| !DROPPED.contains(&key.as_str())).map(|(key, value)| {
        let value = match (key.as_str(), value) {
            ("members", Value::Object(members)) => {
                Value::Object(members.iter().map(|(name, member)| (name.clone(), without_prose(member))).collect())
            }
            ("errors", Value::Array(errors)) => Value::Array(errors.iter().map(without_prose).collect()),
            _ => without_prose(value),
        };
        (key.clone(), value)
    });
    Value::Object(kept.collect())
}

/// Compact JSON with one line per operation and shape, so that a renewal is a readable diff.
fn line_per_entry(model: &Value) -> String {
    let sections = model.as_object().into_iter().flatten().map(|(key, section)| {
        let Value::Object(entries) = section else { return format!("\"{key}\":{section}") };
        let lines: Vec<String> = entries.iter().map(|(name, entry)| format!("\"{name}\":{entry}")).collect();
        format!("\"{key}\":{{\n{}\n}}", lines.join(",\n"))
    });
    format!("{{\n{}\n}}\n", sections.collect::<Vec<_>>().join(",\n"))
}
