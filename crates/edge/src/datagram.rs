//! The datagrams of a listener. Those of one client's port are a flow: they go to one target, from a port of its own, and
//! what comes back there goes to the client. A flow ends when nothing happens for a while.
//!
//! What cannot be sent at once is dropped, as datagrams may be.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::UdpSocket;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use tracing::debug;

use crate::activity::Activity;
use crate::dial::Source;
use crate::flow;
use crate::group::Members;
use crate::limits::{ACCEPT_PAUSE, DATAGRAM_BYTES_MAX, FLOW_IDLE_LIMIT, FLOWS_MAX};
use crate::listener::Listener;
use crate::target::Target;

type Flows = HashMap<SocketAddr, Arc<Flow>>;

struct Flow {
    /// Connected to the target.
    far: UdpSocket,
    activity: Arc<Activity>,
}

pub struct Datagrams {
    worker: usize,
    listener: Arc<Listener>,
    near: UdpSocket,
    flows: Mutex<Flows>,
}

impl Datagrams {
    /// # Errors
    /// When the socket is not usable.
    pub fn new(worker: usize, listener: Arc<Listener>, socket: std::net::UdpSocket) -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self { worker, listener, near: UdpSocket::from_std(socket)?, flows: Mutex::default() }))
    }

    /// Until the listener's door is closed.
    pub async fn serve(self: Arc<Self>, mut closed: oneshot::Receiver<()>) {
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
        loop {
            let received = tokio::select! {
                received = self.near.recv_from(&mut buffer) => received,
                _ = &mut closed => return,
            };
            match received {
                Ok((length, client)) => self.pass(client, &buffer[..length]),
                Err(error) => {
                    debug!(%error, "no datagram was received");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn flows(&self) -> MutexGuard<'_, Flows> {
        self.flows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pass(self: &Arc<Self>, client: SocketAddr, datagram: &[u8]) {
        let known = self.flows().get(&client).cloned();
        let Some(flow) = known else { return self.begin(client, datagram) };
        flow.activity.touch();
        // The target may be gone: then the flow's own task learns of it.
        let _ = flow.far.try_send(datagram);
    }

    fn begin(self: &Arc<Self>, client: SocketAddr, first: &[u8]) {
        if self.flows().len() >= FLOWS_MAX {
            return;
        }
        let Some((target, flow)) = self.choose(client) else { return };
        self.flows().insert(client, flow.clone());
        let task = tokio::spawn(self.clone().run(client, flow, target.clone(), first.to_vec()));
        target.add_task(self.worker, task.abort_handle());
    }

    fn choose(&self, client: SocketAddr) -> Option<(Arc<Target>, Arc<Flow>)> {
        let served = self.listener.served();
        let (members, local) = (served.group()?.members(), self.near.local_addr().ok()?);
        let zone = served.zones.get(&local.ip()).map(String::as_str);
        let target = members.of_flow(flow::key(client, local, members.is_sticky_by_source()), zone, &[])?;
        let far = match connect(&target, &members) {
            Ok(far) => far,
            Err(error) => {
                debug!(target = %target.address, %error, "no flow could be begun");
                return None;
            }
        };
        Some((target, Arc::new(Flow { far, activity: Activity::new(None) })))
    }

    /// Sends the first datagram and passes back what the target answers, until nothing happens any more or the target is
    /// gone.
    async fn run(self: Arc<Self>, client: SocketAddr, flow: Arc<Flow>, target: Arc<Target>, first: Vec<u8>) {
        let _outstanding = target.begin();
        let _known = Known { datagrams: &self, client };
        if flow.far.send(&first).await.is_err() {
            return;
        }
        drop(first);
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
        loop {
            let rest = FLOW_IDLE_LIMIT.saturating_sub(flow.activity.idle());
            match timeout(rest, flow.far.recv(&mut buffer)).await {
                Ok(Ok(length)) => {
                    flow.activity.touch();
                    let _ = self.near.send_to(&buffer[..length], client).await;
                }
                // Nobody listens there: the next datagram may find another target.
                Ok(Err(_)) => return,
                Err(_) if flow.activity.idle() >= FLOW_IDLE_LIMIT => return,
                Err(_) => {}
            }
        }
    }
}

fn connect(target: &Target, members: &Members) -> io::Result<UdpSocket> {
    let source = match members.source {
        Source::Address(address) => address,
        Source::Machine | Source::Namespace(_) => Ipv4Addr::UNSPECIFIED,
    };
    let socket = std::net::UdpSocket::bind((source, 0))?;
    socket.set_nonblocking(true)?;
    socket.connect(target.address)?;
    UdpSocket::from_std(socket)
}

/// A flow is known as long as its task is there, also when that is aborted.
struct Known<'a> {
    datagrams: &'a Datagrams,
    client: SocketAddr,
}

impl Drop for Known<'_> {
    fn drop(&mut self) {
        self.datagrams.flows().remove(&self.client);
    }
}
