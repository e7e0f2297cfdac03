//! Builds the container init, a program without a C library, for `runtime` to embed.

use std::env;
use std::path::PathBuf;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=init/init.rs");
    println!("cargo::rerun-if-changed=build.rs");
    let variable = |name: &str| env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"));
    let output = PathBuf::from(variable("OUT_DIR")).join("init");
    let mut command = Command::new(variable("RUSTC"));
    command.args(["init/init.rs", "--crate-name", "init", "--crate-type", "bin", "--edition", "2024"]);
    command.arg("--target").arg(variable("TARGET")).arg("-o").arg(&output);
    let options = [
        "opt-level=s",
        "panic=abort",
        "relocation-model=static",
        "target-feature=+crt-static",
        "strip=symbols",
        "link-arg=-nostartfiles",
        "link-arg=-nostdlib",
        "link-arg=-static",
    ];
    for option in options {
        command.args(["-C", option]);
    }
    if let Ok(linker) = env::var("RUSTC_LINKER") {
        command.arg("-C").arg(format!("linker={linker}"));
    }
    let status = command.status().expect("rustc runs");
    assert!(status.success(), "the container init does not build: {status}");
}
