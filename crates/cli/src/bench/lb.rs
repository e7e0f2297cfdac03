//! Requests a second through a load balancer to two targets over 64 keep-alive connections, against nginx and HAProxy as
//! reverse proxies with as many workers, the same client and the same targets; and over TLS against nginx with the same
//! certificate. Sides are measured in turn, so that all
//! suffer alike from what else the machine does.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use edge::{Config, CookieKey, Edge};
use model::certificate::PrivateKey;
use model::edge::{
    Action, Algorithm, AnswerAttributes, CertificateSpec, CheckProtocol, Condition, ConnectionAttributes, Forward,
    HealthCheckSpec, ListenerProtocol, ListenerSpec, LoadBalancerAttributes, LoadBalancerSpec, Matcher, Pattern,
    ProtocolVersion, RuleSpec, Snapshot, TargetGroupSpec, TargetProtocol, TargetSpec, TargetState, TlsSpec,
};
use model::ssl_policy;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::figure::{Figure, Goal, Peer, Sorted};
use super::load::{self, Load, Prepared, Server, TLS_HOST};
use super::process::{Daemon, POLL_INTERVAL, free_address};
use crate::failure::{Advice, Context, Failure};

const LOAD: Load = Load { connections: 64, warm_up: Duration::from_millis(500), time: Duration::from_secs(4) };
/// The median of these counts.
const ROUNDS: usize = 5;
const MANY_RULES: usize = 1000;
const READY_LIMIT: Duration = Duration::from_secs(20);
const GROUP: &str = "group";
const BODY: &str = "hello from a target, in a body that is not large";

/// Where one way to the targets begins, and what was measured on it.
#[derive(Clone)]
struct Side {
    name: &'static str,
    server: Server,
    path: &'static str,
    rates: Vec<f64>,
    p99s: Vec<f64>,
}

impl Side {
    fn new(name: &'static str, address: SocketAddr) -> Self {
        Self::of(name, Server::plain(address))
    }

    fn of(name: &'static str, server: Server) -> Self {
        Self { name, server, path: "/", rates: Vec::new(), p99s: Vec::new() }
    }

    async fn measure(&mut self) -> Result<(), Failure> {
        let outcome = load::run(self.server.clone(), Prepared::get(self.path), LOAD).await?;
        self.rates.push(outcome.per_second);
        self.p99s.push(outcome.latencies.percentile(99.0));
        Ok(())
    }

    fn rate(&self) -> f64 {
        Sorted::new(self.rates.clone()).percentile(50.0)
    }

    fn p99(&self) -> f64 {
        Sorted::new(self.p99s.clone()).percentile(50.0)
    }
}

pub async fn measure() -> Result<Vec<Figure>, Failure> {
    let directory = tempfile::Builder::new().prefix("gantry-bench-lb-").tempdir();
    let directory = directory.context(|| "no temporary directory could be made".to_owned())?;
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let targets = [free_address()?, free_address()?];
    let _targets = start_nginx(directory.path(), "targets", &targets_config(&targets)).await?;
    let certificate = Certificate::make(directory.path())?;
    let [nginx, nginx_tls] = [free_address()?, free_address()?];
    let config = proxy_config(nginx, nginx_tls, &certificate, &targets, workers);
    let _nginx = start_nginx(directory.path(), "proxy", &config).await?;
    for address in [targets[0], targets[1], nginx, nginx_tls] {
        until_listening(address).await?;
    }
    let haproxy = free_address()?;
    let haproxy_daemon = start_haproxy(directory.path(), haproxy, &targets, workers).await;
    let edge = start_edge(workers, snapshot(&targets, &certificate)?, targets.len()).await?;
    let [one_rule, many_rules, secured] = ["one", "many", "secured"].map(|arn| bound(&edge, arn));
    let mut sides = vec![
        Side::new("gantry", one_rule.await?),
        Side::new("nginx", nginx),
        Side { path: "/service-999/", ..Side::new("1,000 rules", many_rules.await?) },
        Side::of("gantry", Server::secured(secured.await?, certificate.client()?)),
        Side::of("nginx", Server::secured(nginx_tls, certificate.client()?)),
    ];
    sides.extend(haproxy_daemon.is_ok().then(|| Side::new("haproxy", haproxy)));
    for _ in 0..ROUNDS {
        for side in &mut sides {
            side.measure().await?;
        }
    }
    edge.shutdown().await;
    Ok(figures(&sides))
}

fn figures(sides: &[Side]) -> Vec<Figure> {
    let [ours, nginx, many_rules, ours_tls, nginx_tls, others @ ..] = sides else {
        unreachable!("five sides at least")
    };
    let rate = |name: &str, side: &Side, peer: &Side, goal| {
        let peer = Peer { name: peer.name, value: peer.rate() };
        Figure::new(name, "requests/s", side.rate(), Some(peer), goal)
    };
    let p99 = |name: &str, side: &Side, peer: &Side, goal| {
        let peer = Peer { name: peer.name, value: peer.p99() };
        Figure::new(name, "ms", side.p99(), Some(peer), goal)
    };
    let mut figures = vec![
        rate("Load balancer, HTTP/1.1", ours, nginx, Goal::RatioAtLeast(1.0)),
        p99("Load balancer, HTTP/1.1, p99", ours, nginx, Goal::RatioAtMost(1.0)),
        rate("Load balancer, TLS", ours_tls, nginx_tls, Goal::RatioAtLeast(1.0)),
        p99("Load balancer, TLS, p99", ours_tls, nginx_tls, Goal::RatioAtMost(1.0)),
        rate(
            "Load balancer, the last of 1,000 rules",
            many_rules,
            &Side { name: "one rule", ..ours.clone() },
            Goal::RatioAtLeast(0.9),
        ),
    ];
    for other in others {
        figures.push(rate("Load balancer, HTTP/1.1", ours, other, Goal::None));
        figures.push(p99("Load balancer, HTTP/1.1, p99", ours, other, Goal::None));
    }
    figures
}

async fn start_edge(workers: usize, snapshot: Snapshot, targets: usize) -> Result<Edge, Failure> {
    let edge = Edge::start(&Config { workers, cookie_key: CookieKey([0; 32]), namespaces: None });
    let edge = edge.context(|| "the load balancer could not be started".to_owned())?;
    edge.apply(snapshot).await.context(|| "the load balancer ended at once".to_owned())?;
    let healthy = async {
        let mut healthy = 0;
        while healthy < targets {
            let changes = edge.health_changes().await;
            healthy += changes.iter().filter(|health| health.state == TargetState::Healthy).count();
        }
    };
    timeout(READY_LIMIT, healthy).await.context(|| "the load balancer's targets do not become healthy".to_owned())?;
    Ok(edge)
}

async fn bound(edge: &Edge, arn: &str) -> Result<SocketAddr, Failure> {
    let what = || "the load balancer does not listen".to_owned();
    let mut bound = edge.bound();
    let bound = bound.wait_for(|bound| bound.get(arn).is_some_and(|addresses| !addresses.is_empty()));
    let bound = timeout(READY_LIMIT, bound).await.context(what)?.context(what)?;
    Ok(*bound[arn].values().next().expect("waited for"))
}

fn snapshot(targets: &[SocketAddr], certificate: &Certificate) -> Result<Snapshot, Failure> {
    let forward = || Action::Forward(Forward { groups: vec![(GROUP.to_owned(), 1)], stickiness_seconds: None });
    let rule = |conditions| RuleSpec { arn: "rule".to_owned(), conditions, action: forward() };
    let path = |number| Condition::PathPattern(vec![Pattern::Wildcard(format!("/service-{number}/*"))]);
    let many = (0..MANY_RULES).map(|number| rule(vec![path(number)])).chain([rule(Vec::new())]);
    let listener = |arn: &str, rules| ListenerSpec {
        arn: arn.to_owned(),
        port: 0,
        protocol: ListenerProtocol::Http,
        tls: None,
        tcp_idle_timeout_seconds: 350,
        answers: AnswerAttributes::default(),
        rules,
    };
    let balancer = |listener| LoadBalancerSpec {
        arn: "load-balancer".to_owned(),
        dns_name: "bench.localhost".to_owned(),
        addresses: vec![Ipv4Addr::LOCALHOST],
        zones: Default::default(),
        attributes: LoadBalancerAttributes::default(),
        listeners: vec![listener],
    };
    let group = TargetGroupSpec {
        arn: GROUP.to_owned(),
        protocol: TargetProtocol::Http,
        protocol_version: ProtocolVersion::Http1,
        algorithm: Algorithm::RoundRobin,
        stickiness: None,
        slow_start_seconds: 0,
        deregistration_delay_seconds: 0,
        connections: ConnectionAttributes::default(),
        health_check: HealthCheckSpec {
            protocol: CheckProtocol::Http,
            port: None,
            path: "/".to_owned(),
            interval_seconds: 30,
            timeout_seconds: 5,
            healthy_threshold: 5,
            unhealthy_threshold: 2,
            matcher: Matcher::HttpCode(vec![(200, 200)]),
        },
        targets: targets
            .iter()
            .map(|address| TargetSpec { address: *address, zone: None, draining_since: None })
            .collect(),
    };
    let secured = ListenerSpec {
        protocol: ListenerProtocol::Https,
        tls: Some(certificate.spec()?),
        ..listener("secured", vec![rule(Vec::new())])
    };
    Ok(Snapshot {
        revision: 1,
        load_balancers: vec![
            balancer(listener("one", vec![rule(Vec::new())])),
            balancer(listener("many", many.collect())),
            balancer(secured),
        ],
        target_groups: vec![group],
        ..Snapshot::default()
    })
}

/// What both secured sides show: an RSA key, as most have.
struct Certificate {
    file: PathBuf,
    key: PathBuf,
}

impl Certificate {
    fn make(directory: &Path) -> Result<Self, Failure> {
        let (file, key) = (directory.join("certificate.pem"), directory.join("key.pem"));
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj"])
            .arg(format!("/CN={TLS_HOST}"))
            .args(["-addext", &format!("subjectAltName=DNS:{TLS_HOST}")])
            // By itself openssl makes one that is for signing others, and is no server's.
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .arg("-keyout")
            .arg(&key)
            .arg("-out")
            .arg(&file)
            .output();
        let what = || "openssl made no certificate".to_owned();
        let made = made.context(what).advice("Install openssl, or run scripts/need bench.")?;
        if !made.status.success() {
            return Err(Failure::new(what()).because(String::from_utf8_lossy(&made.stderr).into_owned()));
        }
        Ok(Self { file, key })
    }

    fn read(path: &Path) -> Result<String, Failure> {
        fs::read_to_string(path).context(|| format!("{} could not be read", path.display()))
    }

    fn spec(&self) -> Result<TlsSpec, Failure> {
        let certificate = CertificateSpec {
            names: vec![TLS_HOST.to_owned()],
            chain: Self::read(&self.file)?,
            private_key: PrivateKey(Self::read(&self.key)?),
        };
        Ok(TlsSpec {
            policy: ssl_policy::DEFAULT.to_owned(),
            protocols: vec!["http/1.1".to_owned()],
            certificates: vec![certificate],
        })
    }

    /// Of a client that trusts it and nothing else.
    fn client(&self) -> Result<TlsConnector, Failure> {
        let what = || "the certificate cannot be trusted".to_owned();
        let mut roots = RootCertStore::empty();
        let certificate = CertificateDer::from_pem_slice(Self::read(&self.file)?.as_bytes()).context(what)?;
        roots.add(certificate).context(what)?;
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
        let builder = builder.with_safe_default_protocol_versions().context(what)?;
        let config = builder.with_root_certificates(roots).with_no_client_auth();
        Ok(TlsConnector::from(Arc::new(config)))
    }
}

fn targets_config(targets: &[SocketAddr]) -> String {
    let server = |address| format!("server {{ listen {address}; location / {{ return 200 \"{BODY}\"; }} }}");
    format!("worker_processes 1;\n{}", http(&targets.iter().map(server).collect::<Vec<_>>().join("\n")))
}

/// With connections kept open and the headers that load balancers add.
fn proxy_config(
    address: SocketAddr,
    secured: SocketAddr,
    certificate: &Certificate,
    targets: &[SocketAddr],
    workers: usize,
) -> String {
    let servers: String = targets.iter().map(|target| format!("server {target};")).collect();
    let Certificate { file, key } = certificate;
    let tls = format!(
        "ssl_certificate {}; ssl_certificate_key {}; ssl_protocols TLSv1.2 TLSv1.3;",
        file.display(),
        key.display()
    );
    let proxy = format!(
        "upstream targets {{ {servers} keepalive 128; keepalive_requests 1000000000; }}
server {{ listen {address}; listen {secured} ssl; {tls} location / {{
proxy_pass http://targets; proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_set_header Host $host;
proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Forwarded-Proto $scheme;
proxy_set_header X-Forwarded-Port $server_port; proxy_set_header X-Amzn-Trace-Id \"Root=$request_id\"; }} }}"
    );
    format!("worker_processes {workers};\n{}", http(&proxy))
}

fn http(servers: &str) -> String {
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("{kind}_temp_path {kind};"))
        .collect();
    format!(
        "daemon off; pid nginx.pid; error_log error.log; events {{ worker_connections 4096; }}
http {{ access_log off; keepalive_requests 1000000000; {temporary}
{servers} }}
"
    )
}

async fn start_nginx(directory: &Path, name: &str, config: &str) -> Result<Daemon, Failure> {
    let own = directory.join(name);
    let file = own.join("nginx.conf");
    fs::create_dir(&own).and_then(|()| fs::write(&file, config)).context(|| format!("{} failed", own.display()))?;
    let mut command = Command::new("nginx");
    command.arg("-p").arg(&own).arg("-c").arg(&file).env("PATH", path_with_sbin());
    Daemon::start(command, &own.join("log")).advice("Install nginx-light, or run scripts/need bench.")
}

async fn start_haproxy(
    directory: &Path,
    address: SocketAddr,
    targets: &[SocketAddr],
    workers: usize,
) -> Result<Daemon, Failure> {
    let servers: String =
        targets.iter().enumerate().map(|(index, target)| format!("  server s{index} {target}\n")).collect();
    let config = format!(
        "global\n  nbthread {workers}\n  maxconn 8192\ndefaults\n  mode http\n  timeout connect 5s\n  timeout client 60s\n  \
         timeout server 60s\n  option forwardfor\n  http-reuse safe\nfrontend in\n  bind {address}\n  \
         default_backend targets\nbackend targets\n  balance roundrobin\n{servers}"
    );
    let file = directory.join("haproxy.cfg");
    fs::write(&file, config).context(|| format!("{} could not be written", file.display()))?;
    let mut command = Command::new("haproxy");
    command.arg("-db").arg("-f").arg(&file).env("PATH", path_with_sbin());
    let daemon = Daemon::start(command, &directory.join("haproxy.log"))?;
    until_listening(address).await?;
    Ok(daemon)
}

/// Debian puts both into a directory that only root's PATH has.
fn path_with_sbin() -> String {
    format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default())
}

async fn until_listening(address: SocketAddr) -> Result<(), Failure> {
    let started = Instant::now();
    while TcpStream::connect(address).await.is_err() {
        if started.elapsed() > READY_LIMIT {
            return Err(Failure::new(format!("nothing listens on {address}")));
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    Ok(())
}
