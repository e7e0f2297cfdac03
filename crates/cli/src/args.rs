//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub const DEFAULT_INSTANCE: &str = "gantry0";

#[derive(Debug, Parser)]
#[command(name = "gantry", version, about = "Amazon ECS on your own machines", max_term_width = 100)]
pub struct Cli {
    /// Where gantry keeps its state
    #[arg(long, global = true, env = "GANTRY_DATA_DIR", default_value = crate::home::DEFAULT_DIRECTORY, value_name = "DIR")]
    pub data_dir: PathBuf,
    /// How to print answers
    #[arg(long, global = true, value_enum, default_value_t = Output::Text)]
    pub output: Output,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Tables for people
    Text,
    /// JSON for machines
    Json,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start gantry: control plane, API and node in one process
    Up(Up),
    /// Stop gantry; containers go on running unless --tasks is given
    Down(Down),
    /// Print the `export` lines that point AWS clients at this gantry
    Env,
    /// Show whether gantry runs, its nodes and its tasks
    Status,
    /// Print what happened lately: tasks, container instances, services, deployments
    Events(Events),
    /// Say what this machine lacks to run gantry
    Doctor,
    /// Bring images onto this machine and list them
    #[command(subcommand)]
    Image(Image),
    /// Run a service behind a load balancer through the public API, and update it under load
    Demo,
    /// Measure this gantry, against docker, ctr and moto, on instances of its own
    Bench(Bench),
    /// Print a shell's completion script
    Completions { shell: clap_complete::Shell },
    /// Serve load balancers and names, as `gantry up` says over the socket that is standard input
    #[command(hide = true)]
    Edge,
    /// Serve a page that shows the task it runs in (the demo's container)
    #[command(hide = true)]
    Page {
        #[arg(long, default_value = "0.0.0.0:80")]
        listen: SocketAddr,
    },
}

#[derive(Debug, Args)]
pub struct Up {
    /// Return once gantry is ready, and leave it running
    #[arg(long)]
    pub detach: bool,
    /// Address of the API
    #[arg(long, default_value = "127.0.0.1:4566", value_name = "ADDR")]
    pub listen: SocketAddr,
    /// containerd's socket [default: the system's, else a private one under the data directory]
    #[arg(long, value_name = "ADDR")]
    pub containerd: Option<PathBuf>,
    /// The account that owns everything
    #[arg(long, default_value = "000000000000", value_name = "ID", value_parser = account_id)]
    pub account_id: String,
    /// The region whose zones this machine's are
    #[arg(long, default_value = "us-east-1", value_name = "R", value_parser = region)]
    pub region: String,
    /// Accept any credentials (loopback only)
    #[arg(long)]
    pub no_auth: bool,
    /// Refuse calls beyond AWS's documented rates
    #[arg(long)]
    pub throttle: bool,
    /// Services that a cluster may have
    #[arg(long, default_value_t = control::Quotas::default().services_per_cluster, value_name = "N")]
    pub services_per_cluster: u32,
    /// Tasks that a service may have
    #[arg(long, default_value_t = control::Quotas::default().tasks_per_service, value_name = "N")]
    pub tasks_per_service: u32,
    /// Simulate this many nodes instead of running containers; needs neither root nor containerd. Their tasks serve
    /// nothing: load balancers take their targets as healthy and answer 503
    #[arg(long, value_name = "N")]
    pub simulated_nodes: Option<u32>,
    /// Answer names to this machine too, on an address of its loopback, as to tasks: load balancers, namespaces
    #[arg(long, value_name = "ADDR", value_parser = loopback)]
    pub dns: Option<SocketAddr>,
    /// Network of bridge-mode containers, apart from any other on this machine
    #[arg(long, hide = true, value_name = "CIDR")]
    pub bridge_range: Option<ipnet::Ipv4Net>,
    /// Names this instance's bridge, firewall table, cgroup and containerd namespace, when several run on one machine
    #[arg(long, hide = true, default_value = DEFAULT_INSTANCE, value_name = "NAME", value_parser = instance)]
    pub instance: String,
}

#[derive(Debug, Args)]
pub struct Down {
    /// Stop all tasks first, and remove the network and a private containerd too
    #[arg(long)]
    pub tasks: bool,
}

#[derive(Debug, Args)]
pub struct Events {
    /// Go on with what happens from now on
    #[arg(long, short)]
    pub follow: bool,
}

#[derive(Debug, Args)]
pub struct Bench {
    /// What to measure
    #[arg(value_enum, default_value_t = What::All)]
    pub what: What,
    /// moto's server, the peer of the API benches
    #[arg(long, default_value = "target/bench-venv/bin/moto_server", value_name = "PATH")]
    pub moto: PathBuf,
    /// Starts to measure for each side of `launch`
    #[arg(long, default_value_t = 30, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub samples: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// All of the others
    All,
    /// RunTask to RUNNING, against `docker run -d` (as root)
    Launch,
    /// Fifty tasks at once, against fifty `ctr run -d` (as root)
    Burst,
    /// DescribeTasks and ListTasks a second, against moto
    Reads,
    /// Durable RunTask a second on simulated nodes, against moto
    Writes,
    /// Memory at rest and time to readiness, against dockerd (as root)
    Idle,
    /// Requests a second through a load balancer to two targets, against nginx and HAProxy
    Lb,
    /// Answers a second of the name server from memory, against dnsmasq
    Dns,
    /// Placements a second on one core
    Place,
    /// A service scaled from 0 to 50,000 tasks on 5,000 simulated nodes
    Scale,
    /// A million tasks on 10,000 simulated nodes
    Million,
    /// 10,000 services at rest
    Rest,
    /// A killed task of a service until its replacement runs (as root)
    Replace,
    /// A service behind a load balancer: its start, and updates at 2,000 requests a second (as root)
    Rollout,
    /// A service of 50 tasks, against 50 replicas on docker swarm (as root)
    Swarm,
}

#[derive(Debug, Subcommand)]
pub enum Image {
    /// Import an OCI layout tar or a `docker save` tar
    Import { file: PathBuf },
    /// List the images on this machine
    Ls,
    /// Pull an image from its registry, as a task's start would
    Pull { image: String },
}

fn account_id(text: &str) -> Result<String, String> {
    if text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(text.to_owned());
    }
    Err("an account id has 12 digits".to_owned())
}

fn region(text: &str) -> Result<String, String> {
    let parts: Vec<&str> = text.split('-').collect();
    let is_word = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    if parts.len() >= 3 && text.len() <= 32 && parts.iter().all(is_word) {
        return Ok(text.to_owned());
    }
    Err("a region looks like us-east-1".to_owned())
}

fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text.parse().map_err(|_| "an address looks like 127.0.0.1:5353".to_owned())?;
    if address.ip().is_loopback() {
        return Ok(address);
    }
    Err("names are answered to this machine only: an address looks like 127.0.0.1:5353".to_owned())
}

fn instance(text: &str) -> Result<String, String> {
    let is_plain = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let begins = text.starts_with(|c: char| c.is_ascii_lowercase());
    if begins && is_plain && text.len() <= 8 {
        return Ok(text.to_owned());
    }
    Err("a name has 1 to 8 lowercase letters and digits and begins with a letter".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn values_are_checked() {
        let check = |args: &[&str], good: bool| {
            let parsed = Cli::try_parse_from([&["gantry", "up"], args].concat());
            assert_eq!(parsed.is_ok(), good, "{args:?}");
        };
        check(&[], true);
        check(&["--account-id", "123456789012", "--region", "eu-central-1"], true);
        check(&["--account-id", "12345"], false);
        check(&["--region", "Europe"], false);
        check(&["--listen", "nowhere"], false);
        check(&["--dns", "127.0.0.1:5353"], true);
        check(&["--dns", "0.0.0.0:53"], false);
        check(&["--instance", "../x"], false);
    }
}
