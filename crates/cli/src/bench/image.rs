//! The one image of the benches: busybox, from this machine's package.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::instance::{Ground, Instance};
use crate::demo::image::{add_directories, add_file, write_archive};
use crate::failure::{Advice, Context, Failure};

pub const REFERENCE: &str = "bench/busybox:latest";
/// As containerd names it.
pub const CANONICAL_REFERENCE: &str = "docker.io/bench/busybox:latest";
const BUSYBOX: &str = "/bin/busybox";

/// The image as a `docker save` tar, which gantry has by then.
pub async fn prepare(ground: &Ground, instance: &Instance) -> Result<PathBuf, Failure> {
    let archive = ground.path("busybox.tar");
    write(&archive)?;
    crate::image::import_file(&instance.home, &instance.running, &archive).await?;
    Ok(archive)
}

/// Writes a `docker save` tar, which docker, ctr and gantry all take.
fn write(path: &Path) -> Result<(), Failure> {
    try_write(path)
        .context(|| format!("the image of {BUSYBOX} could not be assembled"))
        .advice("Install busybox-static, or run scripts/need bench.")
}

fn try_write(path: &Path) -> io::Result<()> {
    let layer_path = path.with_extension("layer");
    let mut layer = tar::Builder::new(File::create(&layer_path)?);
    add_directories(&mut layer)?;
    // A static program: it needs nothing else, and goes by the name that it is called by.
    for name in ["bin/busybox", "bin/sleep"] {
        add_file(&mut layer, Path::new(BUSYBOX), Path::new(name))?;
    }
    layer.finish()?;
    write_archive(path, &layer_path, REFERENCE, &json!({"Cmd": ["sleep", "3600"], "Env": ["PATH=/bin"]}))?;
    std::fs::remove_file(layer_path)
}
