//! One session's loop.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use model::link::{FromAgent, FromControl, Hello, TaskReport, Welcome};
use store::WriteError;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;

use super::connection::{self, Heard, Incoming, Outgoing, PING_INTERVAL, SILENCE_MAX};
use super::desired::Line;
use super::logs::{self, Batches};
use super::registry::Place;
use super::{presence, registration, report, task_protection};
use crate::Control;

/// The first message must come within this time.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a node may take to close a link after the goodbye.
const BYE_TIMEOUT: Duration = Duration::from_secs(5);
/// Reports that are taken in with one commit.
const REPORTS_PER_COMMIT_MAX: usize = 2000;
/// How often it is tried to note that a node is gone.
const LEAVE_ATTEMPTS_MAX: u32 = 600;
const LEAVE_PAUSE: Duration = Duration::from_secs(1);

/// Why a session is over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ending {
    #[error("a newer session of the same node took over")]
    Superseded,
    #[error("the control plane is closing")]
    Closing,
    #[error("the node closed the link")]
    Gone,
    #[error("nothing was heard of the node for {} s", SILENCE_MAX.as_secs())]
    Silent,
    #[error("the node did not take over its desired set")]
    Stuck,
    #[error("the link is broken: {0}")]
    Broken(String),
    #[error("{reason}")]
    Refused { reason: String, fatal: bool },
    #[error("the state could not be written: {0}")]
    NotWritten(String),
}

impl Ending {
    fn is_fatal(&self) -> bool {
        matches!(self, Self::Refused { fatal: true, .. })
    }
}

/// Runs a session from its `Hello` to its end. The socket's peer has shown the node key.
pub async fn run<S>(control: Arc<Control>, socket: WebSocketStream<S>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (outgoing, mut incoming) = connection::split(socket);
    let ending = match hear_hello(&mut incoming).await {
        Ok(hello) => enter(&control, &outgoing, &mut incoming, hello).await,
        Err(ending) => ending,
    };
    if ending != Ending::Gone {
        say_bye(outgoing, incoming, &ending).await;
    }
}

/// Reads on until the node has closed its side too: closing on unread frames could cost it the goodbye.
async fn say_bye<S: AsyncRead + AsyncWrite + Unpin>(outgoing: Outgoing, mut incoming: Incoming<S>, ending: &Ending) {
    let bye = FromControl::Bye { reason: ending.to_string(), fatal: ending.is_fatal() };
    if outgoing.send(&bye).await.is_err() {
        return;
    }
    drop(outgoing);
    let closed = async { while incoming.next().await.is_ok() {} };
    // After it the link is dropped as it is.
    let _ = timeout(BYE_TIMEOUT, closed).await;
}

async fn hear_hello<S: AsyncRead + AsyncWrite + Unpin>(incoming: &mut Incoming<S>) -> Result<Box<Hello>, Ending> {
    let hello = async {
        loop {
            match incoming.next().await? {
                Heard::Sign => {}
                Heard::Message(FromAgent::Hello(hello)) => return Ok(hello),
                Heard::Message(_) => return Err(Ending::Broken("the first message is not Hello".to_owned())),
            }
        }
    };
    timeout(HELLO_TIMEOUT, hello).await.unwrap_or(Err(Ending::Silent))
}

async fn enter<S>(control: &Arc<Control>, outgoing: &Outgoing, incoming: &mut Incoming<S>, hello: Box<Hello>) -> Ending
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut place = control.sessions.enter(hello.node);
    let node = place.node;
    let ending = match register(control, &hello).await {
        Ok(welcome) => {
            tracing::info!(%node, name = hello.name, "node connected");
            let mut session = Session::new(control, outgoing, incoming, &welcome);
            match outgoing.send(&FromControl::Welcome(welcome)).await {
                Ok(()) => session.attend(&mut place).await,
                Err(ending) => ending,
            }
        }
        Err(ending) => ending,
    };
    tracing::info!(%node, reason = %ending, "node's session ended");
    leave(control, &place).await;
    ending
}

async fn register(control: &Control, hello: &Hello) -> Result<Welcome, Ending> {
    let mut random = control.fork_random();
    let registered =
        control.store.write(|txn| registration::register(txn, hello, &control.config, control.now(), &mut random));
    match registered.await {
        Ok((welcome, _)) => Ok(welcome),
        Err(WriteError::Refused(ending)) => Err(ending),
        Err(WriteError::Log(error)) => Err(Ending::NotWritten(error.to_string())),
    }
}

/// Notes that the node is gone, unless a newer session has it by the time this is written.
async fn leave(control: &Control, place: &Place) {
    control.sessions.leave(place);
    for _ in 0..LEAVE_ATTEMPTS_MAX {
        let noted = control.store.write(|txn| {
            if control.sessions.is_newest(place) {
                presence::set(txn, place.node, false, control.now());
            }
            Ok::<_, std::convert::Infallible>(())
        });
        match noted.await {
            Ok(_) => return,
            Err(WriteError::Log(error)) if matches!(*error, store::LogError::Closed) => return,
            Err(error) => tracing::warn!(node = %place.node, %error, "cannot note that the node is gone"),
        }
        sleep(LEAVE_PAUSE).await;
    }
}

struct Session<'a, S> {
    control: &'a Arc<Control>,
    outgoing: &'a Outgoing,
    incoming: &'a mut Incoming<S>,
    /// Read from the link and not yet looked at.
    heard: VecDeque<FromAgent>,
    last_heard: Instant,
    line: Line,
    logs: Batches,
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin> Session<'a, S> {
    fn new(
        control: &'a Arc<Control>,
        outgoing: &'a Outgoing,
        incoming: &'a mut Incoming<S>,
        welcome: &Welcome,
    ) -> Self {
        let now = Instant::now();
        Self {
            control,
            outgoing,
            incoming,
            heard: VecDeque::new(),
            last_heard: now,
            line: Line::new(now),
            logs: logs::start(control.clone(), welcome.scope.clone()),
        }
    }

    async fn attend(&mut self, place: &mut Place) -> Ending {
        let mut ping = interval_at(Instant::now() + PING_INTERVAL, PING_INTERVAL);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let due = self.line.due_at();
            let stepped = tokio::select! {
                biased;
                ending = &mut place.ended => return ending.unwrap_or(Ending::Superseded),
                heard = self.incoming.next() => self.take(heard, place).await,
                () = place.wake.notified() => {
                    self.line.change();
                    Ok(())
                }
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => self.tell(place).await,
                Some(answer) = self.logs.answers.recv() => self.outgoing.send(&answer).await,
                _ = ping.tick() => self.check_life().await,
            };
            if let Err(ending) = stepped {
                return ending;
            }
        }
    }

    async fn check_life(&mut self) -> Result<(), Ending> {
        if self.last_heard.elapsed() >= SILENCE_MAX {
            return Err(Ending::Silent);
        }
        if self.line.is_overdue(Instant::now()) {
            return Err(Ending::Stuck);
        }
        self.outgoing.ping().await
    }

    async fn tell(&mut self, place: &Place) -> Result<(), Ending> {
        let set = self.line.set(&self.control.store.view(), place.node, Instant::now());
        match set {
            Some(set) => self.outgoing.send(&set).await,
            None => Ok(()),
        }
    }

    async fn take(&mut self, heard: Result<Heard, Ending>, place: &Place) -> Result<(), Ending> {
        self.note(heard?);
        while let Some(message) = self.heard.pop_front() {
            match message {
                FromAgent::Hello(_) => return Err(Ending::Broken("a second Hello".to_owned())),
                FromAgent::Applied { generation } => self.line.applied(generation),
                FromAgent::PutLogs(batch) => {
                    self.logs.waiting.send(batch).await.map_err(|_| Ending::Closing)?;
                }
                FromAgent::Report { tasks } => self.take_reports(tasks, place).await?,
                FromAgent::TaskProtection(question) => {
                    let answer = task_protection::answer(self.control, place.node, question).await;
                    self.outgoing.send(&answer).await?;
                }
            }
        }
        Ok(())
    }

    fn note(&mut self, heard: Heard) {
        self.last_heard = Instant::now();
        if let Heard::Message(message) = heard {
            self.heard.push_back(message);
        }
    }

    /// Takes in this report and those right behind it with one commit, and answers once it is durable.
    async fn take_reports(&mut self, mut reports: Vec<TaskReport>, place: &Place) -> Result<(), Ending> {
        while reports.len() < REPORTS_PER_COMMIT_MAX && self.heard.is_empty() {
            let Some(heard) = self.incoming.next().now_or_never() else { break };
            self.note(heard?);
            if let Some(FromAgent::Report { tasks }) =
                self.heard.pop_front_if(|m| matches!(m, FromAgent::Report { .. }))
            {
                reports.extend(tasks);
            }
        }
        let control = self.control;
        let taken = control.store.write(|txn| {
            if !control.sessions.is_newest(place) {
                return Err(Ending::Superseded);
            }
            Ok(report::take(txn, place.node, &reports, control.now()))
        });
        let (tasks, _) = taken.await.map_err(|error| match error {
            WriteError::Refused(ending) => ending,
            WriteError::Log(error) => Ending::NotWritten(error.to_string()),
        })?;
        self.outgoing.send(&FromControl::ReportTaken { tasks }).await
    }
}
