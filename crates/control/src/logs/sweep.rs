//! Removing events: those of streams that are gone, and those older than their group's retention.

use std::collections::HashSet;

use wire::logs::Error;

use super::event::failed;
use crate::Control;

const DAY_MILLIS: i64 = 24 * 3_600_000;

/// Removes the events of streams whose rows are gone for good.
pub async fn remove_events(control: &Control, streams: &[u64]) -> Result<(), Error> {
    for uid in streams {
        control.logs.delete(*uid).await.map_err(failed)?;
    }
    Ok(())
}

/// One round: what a crash left between a row's removal and its events', and what retention no longer keeps.
pub async fn sweep(control: &Control) {
    // The events' streams before the rows: a stream that is made meanwhile is in the rows, or has no events here.
    let stored = control.logs.stream_uids();
    let tables = control.store.view();
    let alive: HashSet<u64> = tables.log_streams.iter().map(|stream| stream.uid).collect();
    let orphans: Vec<u64> = stored.into_iter().filter(|uid| !alive.contains(uid)).collect();
    if remove_events(control, &orphans).await.is_err() {
        return;
    }
    let now = control.now();
    for group in tables.log_groups.iter() {
        let Some(days) = group.retention_days else { continue };
        let before = now.0 - i64::from(days) * DAY_MILLIS;
        for stream in tables.log_streams_of(&group.scope, &group.name) {
            let has_expired = control.logs.summary(stream.uid).first_event.is_some_and(|first| first < before);
            if has_expired && control.logs.trim(stream.uid, before).await.map_err(failed).is_err() {
                return;
            }
        }
    }
}
