//! `crates/wire/src/generated/*.rs` from `crates/wire/models/*.json`, one file per service.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::{Outcome, emit, service_list};

/// Writes every generated file.
pub fn write(root: &Path) -> Outcome<()> {
    for (path, text) in generated(root)? {
        fs::write(root.join(path), text)?;
    }
    Ok(())
}

/// Fails when a committed file differs from what would be generated.
pub fn check(root: &Path) -> Outcome<()> {
    for (path, text) in generated(root)? {
        if fs::read_to_string(root.join(&path)).unwrap_or_default() != text {
            return Err(format!("{path} is not what its model gives: run `cargo xtask codegen`").into());
        }
    }
    Ok(())
}

fn generated(root: &Path) -> Outcome<Vec<(String, String)>> {
    let list = service_list::read(root)?;
    let mut files = Vec::new();
    for service in &list.services {
        let model = fs::read(root.join("crates/wire/models").join(format!("{}.json", service.name)))?;
        let model: Value = serde_json::from_slice(&model)?;
        let text = emit::service(&service.name, &list.botocore_version, &model)
            .map_err(|error| format!("{}: {error}", service.name))?;
        files.push((format!("crates/wire/src/generated/{}.rs", service.name), text));
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    #[test]
    fn committed_code_is_what_the_models_give() {
        super::check(&crate::root()).unwrap();
    }
}
