//! `gantry image`: bringing images onto this machine and listing them, directly in the containerd that gantry uses.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use agent::driver::Runtime;
use agent::runtime::keyring::Keyring;
use agent::runtime::{Containerd, Progress, Settings};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use tokio::sync::watch;

use crate::args::{self, DEFAULT_INSTANCE, Output};
use crate::failure::{Advice, Context, Failure};
use crate::home::{Home, Running};
use crate::output;

pub async fn run(home: &Home, command: &args::Image, format: Output) -> Result<(), Failure> {
    let running = home.require_running()?;
    match command {
        args::Image::Import { file } => import(home, &running, file, format).await,
        args::Image::Ls => list(home, &running, format).await,
        args::Image::Pull { image } => pull(home, &running, image, format).await,
    }
}

/// How this data directory's gantry uses a containerd. `instance` keeps several on one machine apart.
pub fn settings(home: &Home, socket: PathBuf, instance: &str) -> Settings {
    let settings = Settings { keyring: keyring(), ..Settings::new(socket, home.path("scratch")) };
    match instance {
        DEFAULT_INSTANCE => settings,
        _ => Settings {
            namespace: format!("gantry-{instance}"),
            cgroup_parent: format!("gantry-{instance}"),
            ..settings
        },
    }
}

/// The credentials for registries that `docker login` keeps, for the user that gantry runs as.
fn keyring() -> Keyring {
    let directory = std::env::var_os("DOCKER_CONFIG").map(PathBuf::from);
    let of_home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".docker"));
    let Some(file) = directory.or_else(of_home).map(|directory| directory.join("config.json")) else {
        return Keyring::default();
    };
    let Ok(bytes) = std::fs::read(&file) else { return Keyring::default() };
    Keyring::from_docker(&bytes).unwrap_or_else(|error| {
        tracing::warn!(file = %file.display(), %error, "the credentials for registries are not used");
        Keyring::default()
    })
}

pub async fn import_file(home: &Home, running: &Running, file: &Path) -> Result<Vec<agent::driver::Image>, Failure> {
    let containerd = connect(home, running).await?;
    containerd
        .import(file, None)
        .await
        .context(|| format!("{} could not be imported", file.display()))
        .advice("It must be an OCI layout or a `docker save` archive, as a tar.")
}

async fn connect(home: &Home, running: &Running) -> Result<Containerd, Failure> {
    let Some(containerd) = &running.containerd else {
        return Err(Failure::new("this gantry simulates its nodes; it has no images"));
    };
    Containerd::connect(settings(home, containerd.socket.clone(), &containerd.instance))
        .await
        .context(|| format!("containerd at {} could not be used", containerd.socket.display()))
}

async fn import(home: &Home, running: &Running, file: &Path, format: Output) -> Result<(), Failure> {
    let images = import_file(home, running, file).await?;
    let listed: Vec<_> = images.iter().map(|image| json!({"image": image.reference, "digest": image.digest})).collect();
    output::print(format, &listed, || {
        images.iter().map(|image| format!("imported {} {}\n", image.reference, output::dim(&image.digest))).collect()
    });
    Ok(())
}

async fn pull(home: &Home, running: &Running, image: &str, format: Output) -> Result<(), Failure> {
    let containerd = connect(home, running).await?;
    let shown = tokio::spawn(show(containerd.pulls()));
    let pulled = containerd.ensure_image(image).await;
    shown.abort();
    let pulled = pulled.context(|| format!("{image} could not be pulled"))?;
    let answer = json!({"image": pulled.reference, "digest": pulled.digest, "pulled": pulled.pulled});
    output::print(format, &answer, || match pulled.pulled {
        true => format!("pulled {} {}", pulled.reference, output::dim(&pulled.digest)),
        false => format!("{} is here already {}", pulled.reference, output::dim(&pulled.digest)),
    });
    Ok(())
}

/// A bar of the bytes that have come, until it is aborted. Drawn on a terminal only.
async fn show(mut pulls: watch::Receiver<BTreeMap<String, Progress>>) {
    let bar = ProgressBar::new(0);
    let template = "{bar:40} {bytes} of {total_bytes} {bytes_per_sec}";
    bar.set_style(ProgressStyle::with_template(template).expect("a constant template"));
    while pulls.changed().await.is_ok() {
        let sum = |(done, total), pull: &Progress| (done + pull.done, total + pull.total);
        let (done, total) = pulls.borrow().values().fold((0, 0), sum);
        bar.set_length(total);
        bar.set_position(done);
    }
}

async fn list(home: &Home, running: &Running, format: Output) -> Result<(), Failure> {
    let images =
        connect(home, running).await?.list_images().await.context(|| "the images could not be listed".to_owned())?;
    let listed: Vec<_> = images
        .iter()
        .map(|image| json!({"image": image.reference, "digest": image.digest, "sizeBytes": image.size, "createdAt": image.created_at.to_string()}))
        .collect();
    output::print(format, &listed, || {
        let rows = images.iter().map(|image| {
            let size = format!("{:.1} MiB", image.size as f64 / f64::from(1 << 20));
            vec![image.reference.clone(), short(&image.digest), size, image.created_at.to_string()]
        });
        output::table(&["IMAGE", "DIGEST", "SIZE", "CREATED"], rows)
    });
    Ok(())
}

/// `sha256:` and twelve digits, as docker shows it.
fn short(digest: &str) -> String {
    digest.chars().take("sha256:".len() + 12).collect()
}
