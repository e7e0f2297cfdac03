//! The data path as a process of its own: it outlives the control plane that feeds it, and goes on serving what it was
//! told last.
//!
//! ```text
//!             ┌ feed: a listening stream socket ── one feeder; a newer one takes an older one's place ─▶ engine
//!  run ───────┼ connections: a datagram socket ── handed over by the API's listener ─────────────────▶ engine
//!             └ end: a signal, the feeder's word, another set-up, or nobody can reach it any more
//! ```

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use tokio::net::{UnixDatagram, UnixListener, UnixStream};
use tracing::{info, warn};

use crate::engine::{Engine, EngineError, Over};
use crate::handover;
use crate::link::{Ear, Mouth};

/// Runs until `end`, or until a feeder has it end.
///
/// # Errors
/// When the sockets fail.
pub async fn run(feed: UnixListener, connections: UnixDatagram, end: impl Future<Output = ()>) -> io::Result<()> {
    let engine = Arc::new(Engine::default());
    let link = tokio::select! {
        biased;
        () = end => None,
        link = serve(&engine, &feed) => Some(link?),
        failed = take(&engine, &connections) => return failed,
    };
    drop((feed, connections));
    if let Some(mut engine) = Arc::into_inner(engine) {
        engine.close().await;
        drop(link);
        engine.shutdown().await;
    }
    Ok(())
}

type Link = (Mouth<UnixStream>, Ear<UnixStream>);
type Obeying = Pin<Box<dyn Future<Output = Result<Over<UnixStream>, EngineError>> + Send>>;

/// Obeys one feeder after the other, until one has it end; that one's link.
async fn serve(engine: &Arc<Engine>, feed: &UnixListener) -> io::Result<Link> {
    let mut obeying: Obeying = Box::pin(std::future::pending());
    loop {
        tokio::select! {
            biased;
            accepted = feed.accept() => obeying = obey(engine.clone(), accepted?.0),
            over = &mut obeying => {
                obeying = Box::pin(std::future::pending());
                match over {
                    Ok(Over { why, link }) => {
                        info!(?why, "the data path ends");
                        return Ok(link);
                    }
                    Err(error) => warn!(%error, "nobody feeds the data path; it goes on as it is"),
                }
            }
        }
    }
}

fn obey(engine: Arc<Engine>, stream: UnixStream) -> Obeying {
    Box::pin(async move { engine.obey(stream).await })
}

/// Takes what is handed over, for as long as the socket lives.
async fn take(engine: &Engine, connections: &UnixDatagram) -> io::Result<()> {
    loop {
        let (stream, handed) = handover::next(connections).await?;
        // Before it is begun there is nobody to hand it to.
        if let Some(edge) = engine.edge() {
            edge.take(stream, handed.client, &handed.dns_name, handed.port).await;
        }
    }
}
