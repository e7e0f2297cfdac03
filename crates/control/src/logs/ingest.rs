//! Lines that nodes send for `awslogs` containers. They come over the link, so no access key is involved: the node's
//! session is the proof, and the scope is that of a task which runs there.

use model::link::LogBatch;
use model::logs::LogGroup;
use store::WriteError;

use super::{group, name, stream};
use crate::{Caller, Control, Cx};

/// Why a batch was not stored.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// It can never be stored: the node drops it.
    #[error("{0}")]
    Refused(String),
    /// The node keeps it and sends it again.
    #[error("{0}")]
    Later(String),
}

/// Stores a batch; answers once it is durable. Makes the stream, and the group when the task asked for that. An empty
/// batch only does that much: it is how a node checks, before it starts a container, that its lines have a place.
pub async fn ingest(control: &Control, batch: LogBatch) -> Result<(), IngestError> {
    let uid = match find(control, &batch) {
        Some(uid) => uid,
        None => make(control, &batch).await?,
    };
    if batch.events.is_empty() {
        return Ok(());
    }
    let stored = control.logs.append(uid, batch.events, control.now()).await;
    stored.map_err(|error| IngestError::Later(error.to_string()))
}

fn find(control: &Control, batch: &LogBatch) -> Option<u64> {
    let tables = control.store.view();
    name::stream(&tables, &batch.scope, &batch.group, &batch.stream).ok().map(|stream| stream.uid)
}

async fn make(control: &Control, batch: &LogBatch) -> Result<u64, IngestError> {
    let caller = Caller::root(batch.scope.clone(), "");
    let made = control.write(&caller, |cx| make_stream(cx, batch)).await;
    made.map_err(|error| match error {
        WriteError::Refused(text) => IngestError::Refused(text),
        other => IngestError::Later(other.to_string()),
    })
}

fn make_stream(cx: &mut Cx<'_>, batch: &LogBatch) -> Result<u64, String> {
    let key = (batch.scope.clone(), batch.group.clone());
    let missing = !cx.txn.log_groups.contains(&key);
    if missing && !batch.create_group {
        return Err("ResourceNotFoundException: The specified log group does not exist.".to_owned());
    }
    if missing {
        let group: LogGroup = group::new(cx, &batch.group);
        cx.txn.put(group);
    }
    match name::stream(cx.txn, &batch.scope, &batch.group, &batch.stream) {
        Ok(found) => Ok(found.uid),
        Err(_) => Ok(stream::put_new(cx, &batch.group, &batch.stream)),
    }
}
