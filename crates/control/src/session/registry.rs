//! Which nodes have a live session.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::NodeId;
use tokio::sync::{Notify, oneshot};

use super::Ending;

/// The live sessions by node.
#[derive(Default)]
pub struct Sessions {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    live: BTreeMap<NodeId, Live>,
    last_epoch: u64,
    closed: bool,
}

struct Live {
    epoch: u64,
    wake: Arc<Notify>,
    end: oneshot::Sender<Ending>,
}

/// A session's place among the live ones.
pub(super) struct Place {
    pub node: NodeId,
    pub epoch: u64,
    /// The node's tasks changed.
    pub wake: Arc<Notify>,
    /// Resolves when this session has to end.
    pub ended: oneshot::Receiver<Ending>,
}

impl Sessions {
    /// How many nodes hold a session.
    pub fn count(&self) -> usize {
        self.state().live.len()
    }

    /// Ends all sessions and admits no more.
    pub fn close(&self) {
        let live = {
            let mut state = self.state();
            state.closed = true;
            std::mem::take(&mut state.live)
        };
        for session in live.into_values() {
            let _ = session.end.send(Ending::Closing);
        }
    }

    /// Takes the node's place and ends the session that had it.
    pub(super) fn enter(&self, node: NodeId) -> Place {
        let (end, mut ended) = oneshot::channel();
        let wake = Arc::new(Notify::new());
        let mut state = self.state();
        state.last_epoch += 1;
        let epoch = state.last_epoch;
        if state.closed {
            let _ = end.send(Ending::Closing);
            return Place { node, epoch, wake, ended };
        }
        let older = state.live.insert(node, Live { epoch, wake: wake.clone(), end });
        if let Some(older) = older {
            let _ = older.end.send(Ending::Superseded);
        }
        debug_assert!(ended.try_recv().is_err());
        Place { node, epoch, wake, ended }
    }

    /// Whether no newer session has the node. True for one that left and was not followed.
    pub(super) fn is_newest(&self, place: &Place) -> bool {
        self.state().live.get(&place.node).is_none_or(|live| live.epoch == place.epoch)
    }

    pub(super) fn leave(&self, place: &Place) {
        let mut state = self.state();
        if state.live.get(&place.node).is_some_and(|live| live.epoch == place.epoch) {
            state.live.remove(&place.node);
        }
    }

    pub(super) fn wake(&self, nodes: impl IntoIterator<Item = NodeId>) {
        let state = self.state();
        for live in nodes.into_iter().filter_map(|node| state.live.get(&node)) {
            live.wake.notify_one();
        }
    }

    pub(super) fn wake_all(&self) {
        for live in self.state().live.values() {
            live.wake.notify_one();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
