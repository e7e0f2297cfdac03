//! Log streams.

use model::logs::LogStream;
use rand::Rng;
use telemetry::{LogStore, StreamSummary};
use wire::logs::{self, Error, OrderBy};

use super::group::{invalid_token, limit};
use super::{name, sweep, write};
use crate::{Caller, Control, Cx, page};

pub fn create(cx: &mut Cx<'_>, request: logs::CreateLogStreamRequest) -> Result<logs::CreateLogStreamResponse, Error> {
    let scope = cx.scope().clone();
    name::group(cx.txn, &scope, &request.log_group_name)?;
    let key = (scope, request.log_group_name.clone(), request.log_stream_name.clone());
    if cx.txn.log_streams.contains(&key) {
        return Err(Error::resource_already_exists("The specified log stream already exists"));
    }
    put_new(cx, &request.log_group_name, &request.log_stream_name);
    Ok(logs::CreateLogStreamResponse::default())
}

/// Puts a new stream; answers its number, which is random so that it is never one that a deleted stream had.
pub fn put_new(cx: &mut Cx<'_>, group: &str, name: &str) -> u64 {
    let uid = cx.random.random();
    let (scope, created_at) = (cx.scope().clone(), cx.now);
    cx.txn.put(LogStream { scope, group: group.to_owned(), name: name.to_owned(), created_at, uid });
    uid
}

pub async fn delete(
    control: &Control,
    caller: &Caller,
    request: logs::DeleteLogStreamRequest,
) -> Result<logs::DeleteLogStreamResponse, Error> {
    let uid = write(control, caller, |cx| {
        let scope = cx.scope().clone();
        let uid = name::stream(cx.txn, &scope, &request.log_group_name, &request.log_stream_name)?.uid;
        cx.txn.remove::<LogStream>(&(scope, request.log_group_name, request.log_stream_name));
        Ok(uid)
    });
    let uid = uid.await?;
    sweep::remove_events(control, &[uid]).await?;
    Ok(logs::DeleteLogStreamResponse::default())
}

pub fn describe(
    cx: &mut Cx<'_>,
    events: &LogStore,
    request: logs::DescribeLogStreamsRequest,
) -> Result<logs::DescribeLogStreamsResponse, Error> {
    let scope = cx.scope().clone();
    let group = name::chosen(request.log_group_name.as_deref(), request.log_group_identifier.as_deref(), &scope)?;
    name::group(cx.txn, &scope, &group)?;
    let by_time = match request.order_by {
        None | Some(OrderBy::LogStreamName) => false,
        Some(OrderBy::LastEventTime) => true,
        Some(_) => return Err(Error::invalid_parameter("orderBy must be LogStreamName or LastEventTime.")),
    };
    if by_time && request.log_stream_name_prefix.is_some() {
        return Err(Error::invalid_parameter("Cannot order by LastEventTime with a logStreamNamePrefix."));
    }
    let after = page::start(request.next_token.as_deref()).map_err(|_| invalid_token())?;
    let prefix = request.log_stream_name_prefix.unwrap_or_default();
    let matching = cx.txn.log_streams_of(&scope, &group).filter(|stream| stream.name.starts_with(&prefix));
    let mut ordered: Vec<_> = matching
        .map(|stream| {
            let summary = events.summary(stream.uid);
            (order_key(stream, &summary, by_time), stream, summary)
        })
        .collect();
    ordered.sort_by(|a, b| a.0.cmp(&b.0));
    let descending = request.descending.unwrap_or(false);
    if descending {
        ordered.reverse();
    }
    let rest = ordered
        .into_iter()
        .filter(|(key, ..)| after.as_ref().is_none_or(|after| if descending { key < after } else { key > after }));
    let (streams, next_token) = page::cut(rest, limit(request.limit), |(key, ..)| key.clone());
    let log_streams = Some(streams.into_iter().map(|(_, stream, summary)| to_wire(stream, &summary)).collect());
    Ok(logs::DescribeLogStreamsResponse { log_streams, next_token })
}

/// Orders as text; streams without events come first by time. The name makes it unique.
fn order_key(stream: &LogStream, summary: &StreamSummary, by_time: bool) -> String {
    match by_time {
        true => format!("{:020} {}", summary.last_event.unwrap_or_default().max(0), stream.name),
        false => stream.name.clone(),
    }
}

fn to_wire(stream: &LogStream, summary: &StreamSummary) -> logs::LogStream {
    logs::LogStream {
        arn: Some(name::stream_arn(stream)),
        creation_time: Some(stream.created_at.0),
        first_event_timestamp: summary.first_event,
        last_event_timestamp: summary.last_event,
        last_ingestion_time: summary.last_ingestion.map(|time| time.0),
        log_stream_name: Some(stream.name.clone()),
        // AWS stopped counting per stream in 2019 and answers zero; the group has the sum.
        stored_bytes: Some(0),
        upload_sequence_token: Some(super::event::sequence_token(summary.next_sequence)),
    }
}
