//! A connection of a network load balancer: its bytes go to one target, and that one's come back, until both ends have
//! closed, nothing happens for the idle time-out, the listener is gone, or the target is cut off.
//!
//! A target that takes no connection is passed over for another one, at most [`ATTEMPTS_MAX`] times: nothing of the
//! client's was sent to it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{sleep, timeout};
use tracing::debug;

use crate::activity::Activity;
use crate::group::{Group, Members};
use crate::limits::{ATTEMPTS_MAX, CONNECT_LIMIT, TICK};
use crate::listener::{Listener, Served};
use crate::observed::Observed;
use crate::target::{Outstanding, Target};
use crate::{clock, dial, flow, proxy_protocol, random, tls};

/// Who has connected, and where.
pub struct Caller {
    pub worker: usize,
    pub listener: Arc<Listener>,
    pub client: SocketAddr,
    pub local: SocketAddr,
    pub permit: OwnedSemaphorePermit,
}

/// Where the bytes go.
struct Chosen {
    target: Arc<Target>,
    outstanding: Outstanding,
    stream: TcpStream,
    is_secured: bool,
}

impl Caller {
    pub async fn serve(self, stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) {
        let served = self.listener.served();
        let Some(group) = served.group() else { return };
        let members = group.members();
        let zone = served.zones.get(&self.local.ip()).map(String::as_str);
        let Some(chosen) = self.choose(&served, group, &members, zone).await else { return };
        let idle_limit = served.stream_idle_limit();
        drop(members);
        drop(served);
        if !chosen.is_secured {
            let Chosen { target, outstanding, stream: far, .. } = chosen;
            return self.relay(stream, far, &target, outstanding, idle_limit).await;
        }
        match timeout(CONNECT_LIMIT, tls::connect_raw(chosen.stream)).await {
            Ok(Ok(far)) => self.relay(stream, far, &chosen.target, chosen.outstanding, idle_limit).await,
            Ok(Err(error)) => debug!(target = %chosen.target.address, %error, "a target could not be secured"),
            Err(_) => debug!(target = %chosen.target.address, "a target was not secured in time"),
        }
    }

    /// Those who call by Service Connect see the targets in turn.
    async fn choose(&self, served: &Served, group: &Group, members: &Members, zone: Option<&str>) -> Option<Chosen> {
        let flow = flow::key(self.client, self.local, members.is_sticky_by_source());
        let mut tried = Vec::new();
        for _ in 0..ATTEMPTS_MAX {
            let target = match served.call {
                Some(_) => group.choose(members, &tried, random::next(), clock::now),
                None => members.of_flow(flow, zone, &tried),
            }?;
            let outstanding = target.begin();
            match self.connect(&target, members).await {
                Ok(stream) => {
                    let is_secured = members.spec.protocol.is_secured();
                    return Some(Chosen { target, outstanding, stream, is_secured });
                }
                Err(error) => {
                    debug!(target = %target.address, %error, "no connection");
                    if served.call.is_some() {
                        target.fail(clock::now());
                    }
                }
            }
            tried.push(target);
        }
        None
    }

    async fn connect(&self, target: &Target, members: &Members) -> io::Result<TcpStream> {
        let connecting = async {
            let mut stream = dial::connect(target.address, &members.source).await?;
            if members.spec.connections.proxy_protocol_v2 {
                stream.write_all(&proxy_protocol::header(self.client, self.local)).await?;
            }
            Ok(stream)
        };
        timeout(members.source.limit(), connecting).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    async fn relay(
        self,
        near: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        mut far: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        target: &Arc<Target>,
        outstanding: Outstanding,
        idle_limit: Duration,
    ) {
        let activity = Activity::new(Some(self.permit));
        let mut near = Observed::new(near, activity.clone());
        let mut relaying = tokio::spawn(async move {
            // An error is one end's way of closing.
            let _ = copy_bidirectional(&mut near, &mut far).await;
            drop(outstanding);
        });
        target.add_task(self.worker, relaying.abort_handle());
        loop {
            tokio::select! {
                biased;
                _ = &mut relaying => return,
                () = sleep(TICK) => {}
            }
            if self.listener.is_closing() || activity.idle() >= idle_limit {
                return relaying.abort();
            }
        }
    }
}
