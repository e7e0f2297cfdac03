//! `xtask/services.json`: which release of the models is pinned, and which operations of which service we take.

use std::path::Path;

use serde_json::Value;

use crate::Outcome;

pub struct ServiceList {
    pub botocore_version: String,
    pub wheel_sha256: String,
    pub sdist_sha256: String,
    pub services: Vec<Service>,
    /// Names of the golden protocol files to keep.
    pub golden: Vec<String>,
}

pub struct Service {
    pub name: String,
    pub api_version: String,
    /// `None` takes every operation.
    pub operations: Option<Vec<String>>,
}

pub fn read(root: &Path) -> Outcome<ServiceList> {
    let list: Value = serde_json::from_slice(&std::fs::read(root.join("xtask/services.json"))?)?;
    let botocore = &list["botocore"];
    let services = list["services"].as_object().ok_or("services.json has no services")?;
    Ok(ServiceList {
        botocore_version: text(&botocore["version"])?,
        wheel_sha256: text(&botocore["wheel_sha256"])?,
        sdist_sha256: text(&botocore["sdist_sha256"])?,
        services: services.iter().map(|(name, entry)| service(name, entry)).collect::<Outcome<_>>()?,
        golden: texts(&list["golden"])?,
    })
}

fn service(name: &str, entry: &Value) -> Outcome<Service> {
    let operations = if entry["operations"] == "all" { None } else { Some(texts(&entry["operations"])?) };
    Ok(Service { name: name.to_owned(), api_version: text(&entry["api_version"])?, operations })
}

fn texts(value: &Value) -> Outcome<Vec<String>> {
    value.as_array().ok_or("services.json: a list is missing")?.iter().map(text).collect()
}

fn text(value: &Value) -> Outcome<String> {
    Ok(value.as_str().ok_or("services.json: a string is missing")?.to_owned())
}
