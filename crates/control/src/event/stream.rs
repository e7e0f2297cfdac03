//! The stream of events, and its readers.
//!
//! One loop takes each commit in: it is kept for readers to come, and told to those that are there. A reader that is
//! slow holds nobody up: what it has not read when too much is waiting is lost to it, and it is told how much.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use model::Timestamp;
use store::{Commit, CommitStream, Tables};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Event, of_commit, weight};
use crate::Control;

/// How many events a reader may be behind before it loses some.
pub const EVENTS_KEPT: usize = 1024;
/// Readers at once.
pub const READERS_MAX: usize = 16;
/// Changed rows of the commits that are kept for a reader to come. The newest commit is, however large.
const ROWS_KEPT: usize = 512;

pub struct Events {
    state: Mutex<State>,
    places: Arc<Semaphore>,
}

struct State {
    recent: VecDeque<Entry>,
    /// Of all that is recent.
    rows: usize,
    /// `None` once it is closed.
    sender: Option<broadcast::Sender<Said>>,
}

/// A commit, what was there when it was taken in, and when that was.
#[derive(Clone)]
struct Entry {
    commit: Arc<Commit>,
    tables: Arc<Tables>,
    at: Timestamp,
}

#[derive(Clone)]
enum Said {
    Event(Arc<Event>),
    /// The loop itself was too slow for the commits.
    Gap,
}

/// The next thing that a reader reads.
#[derive(Clone, Debug)]
pub enum Next {
    Event(Arc<Event>),
    /// So many events were lost to this reader; `None`: it is not known how many.
    Lost(Option<u64>),
    Closed,
}

/// One that reads. It holds a place while it lives.
pub struct Reader {
    past: VecDeque<Arc<Event>>,
    receiver: broadcast::Receiver<Said>,
    _place: OwnedSemaphorePermit,
}

impl Default for Events {
    fn default() -> Self {
        let sender = Some(broadcast::Sender::new(EVENTS_KEPT));
        let state = State { recent: VecDeque::new(), rows: 0, sender };
        Self { state: Mutex::new(state), places: Arc::new(Semaphore::new(READERS_MAX)) }
    }
}

impl Events {
    /// Begins with the events of the commits that are kept. `None` when there are too many readers, or it is closed.
    pub fn read(&self) -> Option<Reader> {
        let place = self.places.clone().try_acquire_owned().ok()?;
        let (recent, receiver) = {
            let state = self.state();
            (state.recent.clone(), state.sender.as_ref()?.subscribe())
        };
        let past = recent.iter().flat_map(|entry| of_commit(&entry.commit, &entry.tables, entry.at)).map(Arc::new);
        Some(Reader { past: past.collect(), receiver, _place: place })
    }

    /// Ends every reader, and lets none come any more.
    pub fn close(&self) {
        self.state().sender = None;
    }

    fn take(&self, commit: Arc<Commit>, tables: Arc<Tables>, at: Timestamp) {
        let rows = weight(&commit);
        if rows == 0 {
            return;
        }
        let entry = Entry { commit, tables, at };
        let mut state = self.state();
        state.tell(&entry);
        state.rows += rows;
        state.recent.push_back(entry);
        while state.rows > ROWS_KEPT && state.recent.len() > 1 {
            let oldest = state.recent.pop_front().expect("there is more than one");
            state.rows -= weight(&oldest.commit);
        }
    }

    fn note_gap(&self) {
        let mut state = self.state();
        // What is kept would not be whole.
        state.recent.clear();
        state.rows = 0;
        state.say(Said::Gap);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn tell(&self, entry: &Entry) {
        if self.sender.as_ref().is_none_or(|sender| sender.receiver_count() == 0) {
            return;
        }
        let events = of_commit(&entry.commit, &entry.tables, entry.at);
        events.into_iter().for_each(|event| self.say(Said::Event(Arc::new(event))));
    }

    fn say(&self, said: Said) {
        if let Some(sender) = &self.sender {
            // An error means that nobody reads.
            let _ = sender.send(said);
        }
    }
}

impl Reader {
    /// The next of the events that it began with.
    pub fn past(&mut self) -> Option<Arc<Event>> {
        self.past.pop_front()
    }

    /// Waits for the next one. Losing the future loses nothing.
    pub async fn next(&mut self) -> Next {
        if let Some(event) = self.past() {
            return Next::Event(event);
        }
        match self.receiver.recv().await {
            Ok(Said::Event(event)) => Next::Event(event),
            Ok(Said::Gap) => Next::Lost(None),
            Err(RecvError::Lagged(count)) => Next::Lost(Some(count)),
            Err(RecvError::Closed) => Next::Closed,
        }
    }
}

/// Begins the loop. It ends with the control plane or its state.
pub(crate) fn start(control: &Arc<Control>) {
    tokio::spawn(run(Arc::downgrade(control), control.store.subscribe()));
}

async fn run(control: Weak<Control>, mut commits: CommitStream) {
    loop {
        let next = commits.next().await;
        let Some(control) = control.upgrade() else { return };
        match next {
            store::Next::Commit(commit) => control.events.take(commit, control.store.view(), control.now()),
            store::Next::Lagged => control.events.note_gap(),
            store::Next::Closed => return control.events.close(),
        }
    }
}
