//! The sockets: questions in, answers out.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use arc_swap::ArcSwap;
use ipnet::IpNet;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use super::answer::{Transport, Verdict, answer, fail};
use super::forward::Forwarder;
use super::limits::{
    ACCEPT_PAUSE, BATCH, CONNECTION_LIMIT, CONNECTIONS_MAX, FORWARDS_MAX, LISTEN_PAUSE, QUERY_BYTES_MAX,
};
use super::names::Names;
use super::{Bound, Config};

/// Connections that a socket queues in the kernel.
const BACKLOG: u32 = 128;

/// What all sockets share.
struct Service {
    names: Arc<ArcSwap<Names>>,
    clients: Vec<IpNet>,
    forwarder: Forwarder,
    forwards: Arc<Semaphore>,
    connections: Arc<Semaphore>,
}

/// Serves until `stopped` is told or dropped.
pub async fn run(
    config: Config,
    names: Arc<ArcSwap<Names>>,
    bound: watch::Sender<Bound>,
    stopped: oneshot::Receiver<()>,
) {
    let service = Arc::new(Service {
        names,
        clients: config.clients,
        forwarder: Forwarder::new(config.upstreams),
        forwards: Arc::new(Semaphore::new(FORWARDS_MAX)),
        connections: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
    });
    let bound = Arc::new(bound);
    let mut sockets = JoinSet::new();
    for address in config.listen {
        sockets.spawn(serve(service.clone(), address, bound.clone()));
    }
    // An error means that its owner is gone.
    let _ = stopped.await;
}

async fn serve(service: Arc<Service>, address: SocketAddr, bound: Arc<watch::Sender<Bound>>) {
    let (udp, tcp) = listen(address).await;
    let local = udp.local_addr().unwrap_or(address);
    info!(address = %local, "names are served");
    bound.send_modify(|bound| bound.push((address, local)));
    tokio::join!(serve_udp(&service, Arc::new(udp)), serve_tcp(&service, tcp));
}

/// Tries until it can be: the address may come to the machine later, and its last user may yet go.
async fn listen(address: SocketAddr) -> (UdpSocket, TcpListener) {
    let mut told = None;
    loop {
        match try_listen(address) {
            Ok(sockets) => return sockets,
            Err(error) if told == Some(error.kind()) => {}
            Err(error) => {
                warn!(%address, %error, "the name server's address cannot be listened on");
                told = Some(error.kind());
            }
        }
        sleep(LISTEN_PAUSE).await;
    }
}

/// The same port for both.
fn try_listen(address: SocketAddr) -> std::io::Result<(UdpSocket, TcpListener)> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    let tcp = socket.listen(BACKLOG)?;
    let udp = std::net::UdpSocket::bind(tcp.local_addr()?)?;
    udp.set_nonblocking(true)?;
    Ok((UdpSocket::from_std(udp)?, tcp))
}

impl Service {
    fn may_ask(&self, client: IpAddr) -> bool {
        self.clients.iter().any(|network| network.contains(&client))
    }

    /// What to answer to a question that is none of ours.
    async fn forward(&self, question: &[u8], transport: Transport) -> Option<Vec<u8>> {
        if let Some(answer) = self.forwarder.ask(question, transport).await {
            return Some(answer);
        }
        failure(question, transport)
    }
}

fn failure(question: &[u8], transport: Transport) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    (fail(question, transport, &mut out) == Verdict::Answered).then_some(out)
}

async fn serve_udp(service: &Arc<Service>, socket: Arc<UdpSocket>) {
    let mut random = SmallRng::from_os_rng();
    let mut buffer = [0; QUERY_BYTES_MAX];
    let mut out = Vec::with_capacity(QUERY_BYTES_MAX);
    loop {
        if let Err(error) = socket.readable().await {
            warn!(%error, "the name server's socket failed");
            sleep(ACCEPT_PAUSE).await;
        }
        let names = service.names.load();
        for _ in 0..BATCH {
            // What fails is one client's port that is closed, or there is nothing more.
            let Ok((length, client)) = socket.try_recv_from(&mut buffer) else { break };
            if !service.may_ask(client.ip()) {
                continue;
            }
            let question = &buffer[..length];
            match answer(question, &names, Transport::Udp, &mut random, &mut out) {
                // A full socket loses answers, as UDP may: clients ask again.
                Verdict::Answered => drop(socket.try_send_to(&out, client)),
                Verdict::Forward => forward_udp(service, &socket, question.to_vec(), client),
                Verdict::Ignore => {}
            }
        }
        drop(names);
        tokio::task::yield_now().await;
    }
}

fn forward_udp(service: &Arc<Service>, socket: &Arc<UdpSocket>, question: Vec<u8>, client: SocketAddr) {
    let Ok(permit) = service.forwards.clone().try_acquire_owned() else {
        debug!("too many questions wait for the machine's resolvers");
        if let Some(answer) = failure(&question, Transport::Udp) {
            let _ = socket.try_send_to(&answer, client);
        }
        return;
    };
    let (service, socket) = (service.clone(), socket.clone());
    tokio::spawn(async move {
        if let Some(answer) = service.forward(&question, Transport::Udp).await {
            let _ = socket.try_send_to(&answer, client);
        }
        drop(permit);
    });
}

async fn serve_tcp(service: &Arc<Service>, listener: TcpListener) {
    loop {
        let Ok(permit) = service.connections.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, client)) if service.may_ask(client.ip()) => {
                tokio::spawn(attend(service.clone(), stream, permit));
            }
            Ok(_) => {}
            Err(error) => {
                debug!(%error, "no connection was accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// One question after the other, until the client goes or takes too long.
async fn attend(service: Arc<Service>, mut stream: TcpStream, permit: OwnedSemaphorePermit) {
    let mut random = SmallRng::from_os_rng();
    while let Ok(Ok(Some(question))) = timeout(CONNECTION_LIMIT, read(&mut stream)).await {
        let mut out = vec![0; 2];
        let mut body = Vec::new();
        let verdict = answer(&question, &service.names.load(), Transport::Tcp, &mut random, &mut body);
        let body = match verdict {
            Verdict::Answered => Some(body),
            Verdict::Forward => forward_tcp(&service, &question).await,
            Verdict::Ignore => None,
        };
        let Some(body) = body else { break };
        let Ok(length) = u16::try_from(body.len()) else { break };
        out.copy_from_slice(&length.to_be_bytes());
        out.extend(body);
        if !matches!(timeout(CONNECTION_LIMIT, stream.write_all(&out)).await, Ok(Ok(()))) {
            break;
        }
    }
    drop(permit);
}

async fn forward_tcp(service: &Service, question: &[u8]) -> Option<Vec<u8>> {
    match service.forwards.try_acquire() {
        Ok(_permit) => service.forward(question, Transport::Tcp).await,
        Err(_) => failure(question, Transport::Tcp),
    }
}

/// `None` for a question that is longer than any.
async fn read(stream: &mut TcpStream) -> std::io::Result<Option<Vec<u8>>> {
    let length = usize::from(stream.read_u16().await?);
    if length > QUERY_BYTES_MAX {
        return Ok(None);
    }
    let mut question = vec![0; length];
    stream.read_exact(&mut question).await?;
    Ok(Some(question))
}
