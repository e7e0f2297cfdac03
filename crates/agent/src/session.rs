//! The agent's end of the link to the control plane ([`model::link`]).
//!
//! ```text
//! connect ──Hello──→ (wait) ──Welcome──→ serve: Desired → node → Applied; outbox → Report; log batches ⇄ LogsTaken
//!    ↑                                     │
//!    └──── backoff, jittered ←── broken ───┘          fatal Bye: over
//! ```
//! A session that is away changes nothing on the node: containers go on, reports wait in the outbox. Each session
//! begins with the report of every task.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use model::link::{FromAgent, FromControl, Hello, LogBatch, ProtectionOutcome, ProtectionQuestion, Welcome};
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{self, Message as Frame};

use crate::drive::Message;
use crate::link::{Dial, DialError};
use crate::logs::{Shipment, Verdict};
use crate::metadata::task_protection::Question;
use crate::outbox::Outbox;

const BACKOFF_MIN: Duration = Duration::from_millis(250);
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// To be welcomed, to have one frame taken.
const STEP_TIMEOUT: Duration = Duration::from_secs(10);
const PING_INTERVAL: Duration = Duration::from_secs(10);
/// Without a frame from the other side for so long, it is gone.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// Reports in one frame.
const REPORTS_MAX: usize = 1000;
/// Log batches sent and not answered.
const BATCHES_MAX: usize = 32;
/// Questions of tasks sent and not answered.
const QUESTIONS_MAX: usize = 32;

#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    #[error("no link")]
    Dial(#[from] DialError),
    #[error("the link failed")]
    WebSocket(#[from] tungstenite::Error),
    #[error("nothing heard for too long")]
    Silence,
    #[error("a message that is not understood")]
    Decode(#[source] serde_json::Error),
    #[error("closed by the control plane: {reason}")]
    Bye { reason: String, fatal: bool },
    #[error("the desired set could not be taken over")]
    Refused,
    #[error("the node has stopped")]
    NodeGone,
}

impl From<tokio::time::error::Elapsed> for SessionError {
    fn from(_: tokio::time::error::Elapsed) -> Self {
        Self::Silence
    }
}

/// What a session is made of; lives over all of the agent's connections.
pub struct Session<D> {
    pub dial: D,
    pub hello: Hello,
    pub outbox: Arc<Outbox>,
    pub messages: mpsc::Sender<Message>,
    /// Log batches to send. What is under way when a session breaks is dropped, and its sender ships it again.
    pub shipments: mpsc::Receiver<Shipment>,
    /// Questions of tasks to send. What is under way when a session breaks is dropped, and its task is told so.
    pub questions: mpsc::Receiver<Question>,
    /// Who welcomed the node; `None` while it is not connected.
    pub welcomed: watch::Sender<Option<Welcome>>,
}

impl<D: Dial> Session<D> {
    /// Runs until `stop` turns true, or the control plane will have no more of this node.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => {}
            () = self.connect_forever() => {}
        }
    }

    async fn connect_forever(&mut self) {
        // Another one for each node, which is all that the jitter needs.
        let mut random = SmallRng::seed_from_u64(self.hello.node.0 as u64);
        let mut attempts = 0;
        loop {
            let ended = self.connect_once(&mut attempts).await;
            self.welcomed.send_replace(None);
            match ended {
                Err(SessionError::NodeGone) => return,
                Err(SessionError::Bye { reason, fatal: true }) => {
                    tracing::error!(reason, "the control plane refuses this node");
                    return;
                }
                Err(error) => tracing::warn!(error = crate::describe(&error), "the session ended; connecting again"),
                Ok(()) => tracing::info!("the control plane closed the session; connecting again"),
            }
            tokio::time::sleep(backoff(attempts, &mut random)).await;
            attempts = attempts.saturating_add(1);
        }
    }

    /// One session from its connection to its end. `attempts` starts anew once the node is welcome.
    async fn connect_once(&mut self, attempts: &mut u32) -> Result<(), SessionError> {
        let mut link = self.dial.dial().await?;
        send(&mut link, &FromAgent::Hello(Box::new(self.hello.clone()))).await?;
        let welcome = timeout(STEP_TIMEOUT, receive_welcome(&mut link)).await??;
        *attempts = 0;
        tracing::info!(cluster = welcome.cluster, zone = welcome.zone, "connected to the control plane");
        let (done, is_done) = oneshot::channel();
        self.tell(Message::Connected { control_id: welcome.control_id.clone(), done }).await?;
        is_done.await.map_err(|_| SessionError::NodeGone)?;
        self.welcomed.send_replace(Some(welcome));
        self.serve(link).await
    }

    async fn serve(&mut self, mut link: WebSocketStream<D::Stream>) -> Result<(), SessionError> {
        let mut heard_at = Instant::now();
        let mut under_way = UnderWay::default();
        let mut ping = tokio::time::interval(PING_INTERVAL);
        loop {
            tokio::select! {
                // The control plane says little: one desired set at a time, and an answer to each message.
                biased;
                frame = link.next() => {
                    heard_at = Instant::now();
                    match frame {
                        None | Some(Ok(Frame::Close(_))) => return Ok(()),
                        Some(Ok(Frame::Text(text))) => self.take(&mut link, &mut under_way, &text).await?,
                        Some(Ok(_)) => {}
                        Some(Err(error)) => return Err(error.into()),
                    }
                }
                tasks = self.outbox.take(REPORTS_MAX) => send(&mut link, &FromAgent::Report { tasks }).await?,
                Some(shipment) = self.shipments.recv(), if under_way.logs.len() < BATCHES_MAX => {
                    let batch = under_way.logs.add(shipment.answer);
                    send(&mut link, &FromAgent::PutLogs(LogBatch { batch, ..shipment.batch })).await?;
                }
                Some(question) = self.questions.recv(), if under_way.questions.len() < QUESTIONS_MAX => {
                    let Question { task, change, answer } = question;
                    // A task that was told that it has no answer must not be protected later.
                    if !answer.is_closed() {
                        let number = under_way.questions.add(answer);
                        send(&mut link, &FromAgent::TaskProtection(ProtectionQuestion { number, task, change })).await?;
                    }
                }
                _ = ping.tick() => {
                    if heard_at.elapsed() > SILENCE_MAX {
                        return Err(SessionError::Silence);
                    }
                    timeout(STEP_TIMEOUT, link.send(Frame::Ping(Default::default()))).await??;
                }
            }
        }
    }

    async fn take(
        &self,
        link: &mut WebSocketStream<D::Stream>,
        under_way: &mut UnderWay,
        text: &str,
    ) -> Result<(), SessionError> {
        match decode(text)? {
            FromControl::Desired { generation, tasks, firewall } => {
                let (done, is_done) = oneshot::channel();
                self.tell(Message::Desired { generation, tasks, firewall, done }).await?;
                if !is_done.await.map_err(|_| SessionError::NodeGone)? {
                    return Err(SessionError::Refused);
                }
                send(link, &FromAgent::Applied { generation }).await
            }
            FromControl::Bye { reason, fatal } => Err(SessionError::Bye { reason, fatal }),
            // Reports are kept by the node until the task leaves the desired set, whatever was taken in.
            FromControl::ReportTaken { .. } => Ok(()),
            FromControl::LogsTaken { batch, refused } => {
                under_way.logs.answer(batch, refused.map_or(Verdict::Taken, Verdict::Refused));
                Ok(())
            }
            FromControl::TaskProtection { question, outcome } => {
                under_way.questions.answer(question, outcome);
                Ok(())
            }
            FromControl::Welcome(_) => Ok(()),
        }
    }

    async fn tell(&self, message: Message) -> Result<(), SessionError> {
        self.messages.send(message).await.map_err(|_| SessionError::NodeGone)
    }
}

/// What this session sent and has no answer to yet.
#[derive(Default)]
struct UnderWay {
    logs: Answers<Verdict>,
    questions: Answers<ProtectionOutcome>,
}

/// By number.
struct Answers<A> {
    last: u64,
    awaited: HashMap<u64, oneshot::Sender<A>>,
}

impl<A> Default for Answers<A> {
    fn default() -> Self {
        Self { last: 0, awaited: HashMap::new() }
    }
}

impl<A> Answers<A> {
    fn len(&self) -> usize {
        self.awaited.len()
    }

    fn add(&mut self, answer: oneshot::Sender<A>) -> u64 {
        self.last += 1;
        self.awaited.insert(self.last, answer);
        self.last
    }

    fn answer(&mut self, number: u64, answer: A) {
        let Some(awaits) = self.awaited.remove(&number) else { return };
        // Whoever asked may have given up waiting.
        let _ = awaits.send(answer);
    }
}

async fn receive_welcome<S: AsyncRead + AsyncWrite + Unpin>(
    link: &mut WebSocketStream<S>,
) -> Result<Welcome, SessionError> {
    while let Some(frame) = link.next().await {
        let Frame::Text(text) = frame? else { continue };
        match decode(&text)? {
            FromControl::Welcome(welcome) => return Ok(welcome),
            FromControl::Bye { reason, fatal } => return Err(SessionError::Bye { reason, fatal }),
            _ => {}
        }
    }
    Err(SessionError::WebSocket(tungstenite::Error::ConnectionClosed))
}

async fn send<S>(link: &mut WebSocketStream<S>, message: &FromAgent) -> Result<(), SessionError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let text = serde_json::to_string(message).map_err(SessionError::Decode)?;
    Ok(timeout(STEP_TIMEOUT, link.send(Frame::text(text))).await??)
}

fn decode(text: &str) -> Result<FromControl, SessionError> {
    serde_json::from_str(text).map_err(SessionError::Decode)
}

/// Doubles up to the maximum; a random part keeps a thousand nodes from knocking at once.
fn backoff(attempts: u32, random: &mut SmallRng) -> Duration {
    let whole = BACKOFF_MIN.saturating_mul(1 << attempts.min(10)).min(BACKOFF_MAX);
    whole.mul_f64(random.random_range(0.5..=1.0))
}
