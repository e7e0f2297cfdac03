//! Writes `crates/agent/src/runtime/api/` from the containerd protos beside this package. Run in this directory:
//! `cargo run`. The result is committed, so that building Gantry needs no protoc and none of these libraries.

use std::path::Path;

const ROOT: &str = "github.com/containerd/containerd/api";
const FILES: [&str; 10] = [
    "events/task.proto",
    "services/containers/v1/containers.proto",
    "services/content/v1/content.proto",
    "services/diff/v1/diff.proto",
    "services/events/v1/events.proto",
    "services/images/v1/images.proto",
    "services/leases/v1/leases.proto",
    "services/snapshots/v1/snapshots.proto",
    "services/tasks/v1/tasks.proto",
    "services/version/v1/version.proto",
];

fn main() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let protos = package.join("..");
    let out = package.join("../../src/runtime/api");
    std::fs::create_dir_all(&out).expect("the output directory");
    let files = FILES.map(|file| format!("{ROOT}/{file}"));
    let descriptors = protox::compile(files, [&protos]).expect("the protos parse");
    tonic_prost_build::configure()
        .build_server(false)
        .out_dir(&out)
        .include_file("mod.rs")
        .disable_comments(["."])
        .compile_fds(descriptors)
        .expect("the code is written");
}
