//! Log batches of one session on their way to the log store, beside its other work and in their order.

use std::sync::Arc;
use std::time::Duration;

use model::Scope;
use model::link::{FromControl, LogBatch};
use tokio::sync::mpsc;

use crate::Control;
use crate::logs::{IngestError, ingest};

/// Batches that wait for the log store; a node that sends more is not read from until there is room.
pub(super) const BATCHES_WAITING_MAX: usize = 64;
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);

pub(super) struct Batches {
    pub waiting: mpsc::Sender<LogBatch>,
    pub answers: mpsc::Receiver<FromControl>,
}

/// Starts the storing; it ends when the session drops this.
pub(super) fn start(control: Arc<Control>, scope: Scope) -> Batches {
    let (waiting, batches) = mpsc::channel(BATCHES_WAITING_MAX);
    let (answers, answered) = mpsc::channel(BATCHES_WAITING_MAX);
    tokio::spawn(store_all(control, scope, batches, answers));
    Batches { waiting, answers: answered }
}

async fn store_all(
    control: Arc<Control>,
    scope: Scope,
    mut batches: mpsc::Receiver<LogBatch>,
    answers: mpsc::Sender<FromControl>,
) {
    while let Some(batch) = batches.recv().await {
        let number = batch.batch;
        let stored = tokio::select! {
            biased;
            stored = store(&control, &scope, batch) => stored,
            () = answers.closed() => return,
        };
        let answer = FromControl::LogsTaken { batch: number, refused: stored.err() };
        if answers.send(answer).await.is_err() {
            return;
        }
    }
}

/// Until it is durable, or can never be: then says why. The node keeps what is unanswered.
async fn store(control: &Control, scope: &Scope, batch: LogBatch) -> Result<(), String> {
    if batch.scope != *scope {
        return Err("AccessDeniedException: the lines are of another account or region than the node".to_owned());
    }
    let mut pause = RETRY_FIRST;
    loop {
        match ingest(control, batch.clone()).await {
            Ok(()) => return Ok(()),
            Err(IngestError::Refused(reason)) => return Err(reason),
            Err(IngestError::Later(reason)) => tracing::warn!(%reason, "log lines wait"),
        }
        tokio::time::sleep(pause).await;
        pause = RETRY_MAX.min(pause * 2);
    }
}
