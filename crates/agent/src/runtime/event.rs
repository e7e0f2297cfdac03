//! containerd's event stream: exits of containers, as long as somebody listens.
//!
//! ```text
//! connecting --probe seen--> established (Gap sent) --stream broken--> connecting
//! ```
//! containerd does not say when a subscription has begun, so a probe of our own is published until it comes back; only
//! then the listener is told to look at what is (`Gap`), and from then on no exit is missed.

use std::time::Duration;

use prost::Message as _;
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;

use super::Containerd;
use super::api::containerd::events::TaskExit;
use super::api::containerd::services::events::v1::{PublishRequest, SubscribeRequest};
use super::api::containerd::types::Envelope;
use super::client::{Client, Failure, RECORD_LIMIT, Result};
use crate::driver::{Exit, RuntimeEvent};

/// Exits that wait for the listener. containerd keeps the rest.
pub const QUEUE: usize = 1024;
const EXIT_TOPIC: &str = "/tasks/exit";
/// From the subscription to the first probe that comes back. A containerd that is just starting may take a subscription
/// and never serve it: then another attempt is better than patience.
const BEGIN_LIMIT: Duration = Duration::from_secs(3);
/// Between two probes while a subscription begins.
const PROBE_PAUSE: Duration = Duration::from_millis(20);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Runs until the listener is gone.
pub async fn forward(runtime: Containerd, listener: mpsc::Sender<RuntimeEvent>) {
    let mut pause = FIRST_PAUSE;
    loop {
        let established = tokio::select! {
            outcome = listen(&runtime, &listener) => outcome,
            () = listener.closed() => return,
        };
        match established {
            Ok(()) => return,
            Err(Broken { established, failure }) => {
                tracing::warn!(%failure, "the event stream of containerd broke");
                pause = if established { FIRST_PAUSE } else { LONGEST_PAUSE.min(pause * 2) };
            }
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = listener.closed() => return,
        }
    }
}

struct Broken {
    /// Whether the stream had begun.
    established: bool,
    failure: Failure,
}

/// Ok when the listener is gone.
async fn listen(runtime: &Containerd, listener: &mpsc::Sender<RuntimeEvent>) -> std::result::Result<(), Broken> {
    let client = runtime.client();
    let mut established = false;
    let probe = format!("/gantry/probe/p{}", super::unique());
    let broken = |established, failure| Broken { established, failure };
    let namespace = client.namespace();
    let filters = [EXIT_TOPIC, &probe].map(|topic| format!("namespace==\"{namespace}\",topic==\"{topic}\"")).to_vec();
    // Answers only with the first event, hence together with the probe.
    let subscribe = async {
        let stream = client.events().subscribe(SubscribeRequest { filters }).await;
        stream.map_err(|status| client.failure("events.Subscribe", status))
    };
    let begun = tokio::time::timeout(BEGIN_LIMIT, until_first(subscribe, publish(client, &probe))).await;
    let late = Failure::Late { call: "events.Subscribe", limit: BEGIN_LIMIT };
    let begun = begun.unwrap_or(Err(late)).map_err(|failure| broken(false, failure))?;
    let mut stream = begun.into_inner();
    while let Some(envelope) = stream.next().await {
        let envelope = envelope.map_err(|status| broken(established, client.failure("events.Subscribe", status)))?;
        if !established {
            established = true;
            if listener.send(RuntimeEvent::Gap).await.is_err() {
                return Ok(());
            }
        }
        let Some(exit) = read(&envelope) else { continue };
        let event = RuntimeEvent::Exited(runtime.complete(exit).await);
        if listener.send(event).await.is_err() {
            return Ok(());
        }
    }
    Err(broken(established, Failure::Invalid("containerd ended the stream".to_owned())))
}

/// The subscription's answer, publishing meanwhile.
async fn until_first<T>(
    subscribe: impl Future<Output = Result<T>>,
    publish: impl Future<Output = Failure>,
) -> Result<T> {
    tokio::select! {
        answer = subscribe => answer,
        failure = publish => Err(failure),
    }
}

async fn publish(client: &Client, topic: &str) -> Failure {
    loop {
        let event = prost_types::Any { type_url: "gantry.Probe".to_owned(), value: Vec::new() };
        let request = PublishRequest { topic: topic.to_owned(), event: Some(event) };
        let published = client.call("events.Publish", RECORD_LIMIT, client.events().publish(request)).await;
        if let Err(failure) = published {
            return failure;
        }
        tokio::time::sleep(PROBE_PAUSE).await;
    }
}

/// The exit of a container's first process; of others nobody here needs to know.
fn read(envelope: &Envelope) -> Option<Exit> {
    if envelope.topic != EXIT_TOPIC {
        return None;
    }
    let exit = TaskExit::decode(envelope.event.as_ref()?.value.as_slice()).ok()?;
    if exit.id != exit.container_id {
        return None;
    }
    let at = super::timestamp(exit.exited_at.as_ref());
    let exit_code = i32::try_from(exit.exit_status).unwrap_or(i32::MAX);
    Some(Exit { id: exit.container_id, exit_code, at, out_of_memory: false })
}
