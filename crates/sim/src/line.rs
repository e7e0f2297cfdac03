//! The lines between nodes and the control plane: pipes that are slow, freeze, and are cut. What a TCP connection cannot
//! do they do not either: within one connection nothing is lost, doubled or overtaken. But a frozen line delivers late
//! what a newer connection has said meanwhile, and a cut one loses what was under way.

use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use agent::link::{Dial, DialError};
use control::session;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, ReadHalf, WriteHalf, duplex, split};
use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_tungstenite::WebSocketStream;

use crate::plane::Plane;

const PIPE_BYTES: usize = 64 << 10;
const CHUNK_BYTES: usize = 16 << 10;
const USUALLY: Duration = Duration::from_millis(1);
/// How long a dialler waits for a control plane that it cannot reach.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    ToControl,
    ToAgent,
}

/// One node's line. Clones are the same line.
#[derive(Clone)]
pub struct Line {
    shared: Arc<Shared>,
}

/// A `watch` would wake those who wait in an order of chance.
struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Clone, Copy)]
struct State {
    delay: Duration,
    /// Nothing passes: to the control plane, to the agent.
    frozen: (bool, bool),
    cuts: u64,
}

impl State {
    fn is_frozen(&self, way: Way) -> bool {
        match way {
            Way::ToControl => self.frozen.0,
            Way::ToAgent => self.frozen.1,
        }
    }
}

impl Line {
    pub fn new() -> Self {
        let state = State { delay: USUALLY, frozen: (false, false), cuts: 0 };
        Self { shared: Arc::new(Shared { state: Mutex::new(state), changed: Notify::new() }) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.shared.changed.notify_waiters();
    }

    /// Returns once it is so.
    async fn until(&self, is_so: impl Fn(&State) -> bool) -> State {
        loop {
            let mut changed = pin!(self.shared.changed.notified());
            changed.as_mut().enable();
            let state = *self.state();
            if is_so(&state) {
                return state;
            }
            changed.await;
        }
    }

    /// Both ends see it; what was under way is lost.
    pub fn cut(&self) {
        self.change(|state| state.cuts += 1);
    }

    /// Neither end sees it. New connections hang, too.
    pub fn freeze(&self, to_control: bool, to_agent: bool) {
        self.change(|state| state.frozen = (to_control, to_agent));
    }

    pub fn slow(&self, delay: Duration) {
        self.change(|state| state.delay = delay);
    }

    pub fn heal(&self) {
        self.change(|state| (state.delay, state.frozen) = (USUALLY, (false, false)));
    }

    async fn carry_both(&self, (left, right): (DuplexStream, DuplexStream)) {
        let cuts = self.state().cuts;
        let ((from_agent, to_agent), (from_control, to_control)) = (split(left), split(right));
        tokio::select! {
            biased;
            _ = self.until(|state| state.cuts > cuts) => {}
            _ = async {
                tokio::join!(
                    self.carry(from_agent, to_control, Way::ToControl),
                    self.carry(from_control, to_agent, Way::ToAgent),
                )
            } => {}
        }
    }

    /// Until one end is closed; then closes the other.
    async fn carry(
        &self,
        mut from: ReadHalf<DuplexStream>,
        mut to: WriteHalf<DuplexStream>,
        way: Way,
    ) -> io::Result<()> {
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let count = from.read(&mut chunk).await?;
            let state = self.until(|state| !state.is_frozen(way)).await;
            sleep(state.delay).await;
            if count == 0 {
                return to.shutdown().await;
            }
            to.write_all(&chunk[..count]).await?;
        }
    }
}

/// How a simulated node reaches the simulated control plane.
pub struct Dialler {
    pub line: Line,
    pub plane: Plane,
}

impl Dial for Dialler {
    type Stream = DuplexStream;

    async fn dial(&self) -> Result<WebSocketStream<DuplexStream>, DialError> {
        let state = *self.line.state();
        if state.is_frozen(Way::ToControl) || state.is_frozen(Way::ToAgent) {
            sleep(DIAL_TIMEOUT).await;
            return Err(DialError::Silence);
        }
        sleep(state.delay).await;
        let Some(control) = self.plane.control() else {
            return Err(DialError::Connect(io::ErrorKind::ConnectionRefused.into()));
        };
        let ((agent_end, left), (right, control_end)) = (duplex(PIPE_BYTES), duplex(PIPE_BYTES));
        let line = self.line.clone();
        tokio::spawn(async move { line.carry_both((left, right)).await });
        tokio::spawn(async move { session::run(control, session::over(control_end).await).await });
        Ok(agent::link::over(agent_end).await)
    }
}
