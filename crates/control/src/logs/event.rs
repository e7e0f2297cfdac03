//! Log events: put, get, filter. Limits and texts are PutLogEvents', GetLogEvents' and FilterLogEvents'.

use model::Timestamp;
use telemetry::log::{EVENT_OVERHEAD_BYTES, FilterQuery};
use telemetry::{Event, LogError, Pattern, Position, ReadQuery};
use wire::logs::{self, Error};

use super::{name, unavailable};
use crate::{Caller, Control};

const BATCH_BYTES_MAX: usize = 1_048_576;
const BATCH_EVENTS_MAX: usize = 10_000;
const BATCH_SPAN_MILLIS_MAX: i64 = 24 * 3_600_000;
const EVENT_BYTES_MAX: usize = 1_048_576;
const FUTURE_MILLIS_MAX: i64 = 2 * 3_600_000;
const DAY_MILLIS: i64 = 24 * 3_600_000;
const PAST_DAYS_MAX: i64 = 14;
const PAGE_EVENTS_MAX: usize = 10_000;
const PAGE_BYTES_MAX: usize = 1_048_576;
const STREAM_NAMES_MAX: usize = 100;

pub async fn put(
    control: &Control,
    caller: &Caller,
    request: logs::PutLogEventsRequest,
) -> Result<logs::PutLogEventsResponse, Error> {
    let tables = control.store.view();
    let stream = name::stream(&tables, &caller.scope, &request.log_group_name, &request.log_stream_name)?;
    let group = name::group(&tables, &caller.scope, &request.log_group_name)?;
    check_batch(&request.log_events)?;
    let now = control.now();
    let kept = sort_out(&request.log_events, group.retention_days, now);
    let events = request.log_events.into_iter().skip(kept.from).take(kept.to.saturating_sub(kept.from));
    let events: Vec<_> = events.map(|event| (event.timestamp, event.message)).collect();
    if !events.is_empty() {
        control.logs.append(stream.uid, events, now).await.map_err(failed)?;
    }
    Ok(logs::PutLogEventsResponse {
        next_sequence_token: Some(sequence_token(control.logs.summary(stream.uid).next_sequence)),
        rejected_log_events_info: kept.rejected,
        ..Default::default()
    })
}

fn check_batch(events: &[logs::InputLogEvent]) -> Result<(), Error> {
    if events.len() > BATCH_EVENTS_MAX {
        return Err(Error::invalid_parameter(format!(
            "Log events in a single PutLogEvents request cannot exceed {BATCH_EVENTS_MAX}."
        )));
    }
    let sizes = || events.iter().map(|event| event.message.len() + EVENT_OVERHEAD_BYTES);
    if let Some(size) = sizes().find(|size| *size > EVENT_BYTES_MAX) {
        return Err(Error::invalid_parameter(format!(
            "Log event too large: {size} bytes exceeds limit of {EVENT_BYTES_MAX}"
        )));
    }
    let total: usize = sizes().sum();
    if total > BATCH_BYTES_MAX {
        return Err(Error::invalid_parameter(format!(
            "Upload too large: {total} bytes exceeds limit of {BATCH_BYTES_MAX}"
        )));
    }
    if events.iter().any(|event| event.timestamp < 0) {
        return Err(Error::invalid_parameter("Log event timestamps must not be negative."));
    }
    if events.windows(2).any(|pair| pair[0].timestamp > pair[1].timestamp) {
        return Err(Error::invalid_parameter(
            "Log events in a single PutLogEvents request must be in chronological order.",
        ));
    }
    match (events.first(), events.last()) {
        (Some(first), Some(last)) if last.timestamp - first.timestamp > BATCH_SPAN_MILLIS_MAX => {
            Err(Error::invalid_parameter(
                "The batch of log events in a single PutLogEvents request cannot span more than 24 hours.",
            ))
        }
        _ => Ok(()),
    }
}

/// The events of a batch that are taken, `from..to`, and what AWS says of the others.
struct Kept {
    from: usize,
    to: usize,
    rejected: Option<logs::RejectedLogEventsInfo>,
}

fn sort_out(events: &[logs::InputLogEvent], retention_days: Option<u32>, now: Timestamp) -> Kept {
    let count_before = |time: i64| events.partition_point(|event| event.timestamp < time);
    let too_old = count_before(now.0 - PAST_DAYS_MAX * DAY_MILLIS);
    let expired = retention_days.map_or(0, |days| count_before(now.0 - i64::from(days) * DAY_MILLIS));
    let to = count_before(now.0 + FUTURE_MILLIS_MAX + 1);
    let index = |at: usize, given: bool| given.then(|| i32::try_from(at).unwrap_or(i32::MAX));
    let info = logs::RejectedLogEventsInfo {
        too_old_log_event_end_index: index(too_old, too_old > 0),
        expired_log_event_end_index: index(expired, expired > too_old),
        too_new_log_event_start_index: index(to, to < events.len()),
    };
    let rejected = (info != logs::RejectedLogEventsInfo::default()).then_some(info);
    Kept { from: too_old.max(expired), to, rejected }
}

/// 56 digits, as AWS's are.
pub fn sequence_token(next: u64) -> String {
    format!("49{next:054}")
}

pub async fn get(
    control: &Control,
    caller: &Caller,
    request: logs::GetLogEventsRequest,
) -> Result<logs::GetLogEventsResponse, Error> {
    let tables = control.store.view();
    let group =
        name::chosen(request.log_group_name.as_deref(), request.log_group_identifier.as_deref(), &caller.scope)?;
    let stream = name::stream(&tables, &caller.scope, &group, &request.log_stream_name)?.uid;
    let token = request.next_token.as_deref().map(|token| StreamToken::parse(token).ok_or_else(invalid_token));
    let token = token.transpose()?;
    let (after, before, from_head) = match token {
        Some(StreamToken::Forward(position)) => (Some(position), None, true),
        Some(StreamToken::Backward(position)) => (None, Some(position), false),
        None => (None, None, request.start_from_head.unwrap_or(false)),
    };
    let query = ReadQuery {
        start: request.start_time,
        end: request.end_time,
        after,
        before,
        from_head,
        events_max: page_events(request.limit),
        bytes_max: PAGE_BYTES_MAX,
    };
    let events = control.logs.read(stream, query).await.map_err(failed)?;
    let (backward, forward) = tokens_around(&events, token, &query);
    Ok(logs::GetLogEventsResponse {
        events: Some(events.into_iter().map(output).collect()),
        next_backward_token: Some(StreamToken::Backward(backward).to_string()),
        next_forward_token: Some(StreamToken::Forward(forward).to_string()),
    })
}

/// Positions before the page and after it. An empty page answers the caller's own token again, which is how callers
/// know the end; without a token, it stands at the end from which the reading began.
fn tokens_around(events: &[Event], token: Option<StreamToken>, query: &ReadQuery) -> (Position, Position) {
    if let (Some(first), Some(last)) = (events.first(), events.last()) {
        return (first.position, last.position);
    }
    match token {
        Some(StreamToken::Forward(position) | StreamToken::Backward(position)) => (position, position),
        None => {
            let start = Position { time: query.start.unwrap_or(0), sequence: 0 };
            (start, start)
        }
    }
}

fn output(event: Event) -> logs::OutputLogEvent {
    logs::OutputLogEvent {
        ingestion_time: Some(event.ingested_at.0),
        message: Some(event.message),
        timestamp: Some(event.position.time),
    }
}

/// `f/` or `b/`, 56 digits of time and sequence, `/s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StreamToken {
    Forward(Position),
    Backward(Position),
}

const TOKEN_TIME_DIGITS: usize = 36;
const TOKEN_SEQUENCE_DIGITS: usize = 20;

impl StreamToken {
    fn parse(token: &str) -> Option<Self> {
        let (direction, digits) = token.strip_suffix("/s").unwrap_or(token).split_once('/')?;
        let position = parse_position(digits)?;
        match direction {
            "f" => Some(Self::Forward(position)),
            "b" => Some(Self::Backward(position)),
            _ => None,
        }
    }
}

impl std::fmt::Display for StreamToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Forward(position) => write!(f, "f/{}/s", format_position(*position)),
            Self::Backward(position) => write!(f, "b/{}/s", format_position(*position)),
        }
    }
}

fn format_position(position: Position) -> String {
    format!("{:0TOKEN_TIME_DIGITS$}{:0TOKEN_SEQUENCE_DIGITS$}", position.time.max(0), position.sequence)
}

fn parse_position(digits: &str) -> Option<Position> {
    let is_token =
        digits.len() == TOKEN_TIME_DIGITS + TOKEN_SEQUENCE_DIGITS && digits.bytes().all(|b| b.is_ascii_digit());
    if !is_token {
        return None;
    }
    let (time, sequence) = digits.split_at(TOKEN_TIME_DIGITS);
    Some(Position { time: time.parse().ok()?, sequence: sequence.parse().ok()? })
}

pub async fn filter(
    control: &Control,
    caller: &Caller,
    request: logs::FilterLogEventsRequest,
) -> Result<logs::FilterLogEventsResponse, Error> {
    let names = request.log_stream_names.unwrap_or_default();
    if !names.is_empty() && request.log_stream_name_prefix.is_some() {
        return Err(Error::invalid_parameter(
            "LogStreamNames and LogStreamNamePrefix are mutually exclusive parameters.",
        ));
    }
    if names.len() > STREAM_NAMES_MAX {
        return Err(Error::invalid_parameter(format!("At most {STREAM_NAMES_MAX} logStreamNames can be given.")));
    }
    let tables = control.store.view();
    let scope = &caller.scope;
    let group = name::chosen(request.log_group_name.as_deref(), request.log_group_identifier.as_deref(), scope)?;
    name::group(&tables, scope, &group)?;
    let prefix = request.log_stream_name_prefix.unwrap_or_default();
    let streams: Vec<_> = match names.as_slice() {
        [] => tables.log_streams_of(scope, &group).filter(|stream| stream.name.starts_with(&prefix)).collect(),
        names => names.iter().map(|one| name::stream(&tables, scope, &group, one)).collect::<Result<_, _>>()?,
    };
    let pattern = Pattern::parse(request.filter_pattern.as_deref().unwrap_or_default());
    let query = FilterQuery {
        streams: streams.iter().map(|stream| stream.uid).collect(),
        start: request.start_time,
        end: request.end_time.map(|end| end.saturating_add(1)),
        pattern: pattern.map_err(|error| Error::invalid_parameter(format!("Invalid filter pattern: {error}")))?,
        resume: request.next_token.as_deref().map(parse_filter_token).transpose()?,
        events_max: page_events(request.limit),
        bytes_max: PAGE_BYTES_MAX,
    };
    let page = control.logs.filter(query).await.map_err(failed)?;
    let name_of = |uid: u64| streams.iter().find(|stream| stream.uid == uid).map(|stream| stream.name.clone());
    let events = page.events.into_iter().map(|event| filtered(name_of(event.stream), event)).collect();
    Ok(logs::FilterLogEventsResponse {
        events: Some(events),
        next_token: page.next.map(|(position, stream)| format!("{}{stream:020}", format_position(position))),
        // Deprecated: AWS answers an empty list.
        searched_log_streams: Some(Vec::new()),
    })
}

fn filtered(stream: Option<String>, event: Event) -> logs::FilteredLogEvent {
    logs::FilteredLogEvent {
        // Unique in the group: where the event stands, and in which stream.
        event_id: Some(format!(
            "{:016}{:020}{:020}",
            event.position.time.max(0),
            event.stream,
            event.position.sequence
        )),
        ingestion_time: Some(event.ingested_at.0),
        log_stream_name: stream,
        message: Some(event.message),
        timestamp: Some(event.position.time),
    }
}

fn parse_filter_token(token: &str) -> Result<(Position, u64), Error> {
    let parts = token.split_at_checked(TOKEN_TIME_DIGITS + TOKEN_SEQUENCE_DIGITS).ok_or_else(invalid_token)?;
    let position = parse_position(parts.0).ok_or_else(invalid_token)?;
    Ok((position, parts.1.parse().map_err(|_| invalid_token())?))
}

fn page_events(limit: Option<i32>) -> usize {
    limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(PAGE_EVENTS_MAX).clamp(1, PAGE_EVENTS_MAX)
}

fn invalid_token() -> Error {
    Error::invalid_parameter("The specified nextToken is invalid.")
}

pub fn failed(error: LogError) -> Error {
    let text = error.to_string();
    tracing::warn!(error = &error as &dyn std::error::Error, "the log store failed");
    unavailable(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(times: &[i64]) -> Vec<logs::InputLogEvent> {
        times.iter().map(|time| logs::InputLogEvent { timestamp: *time, message: "x".to_owned() }).collect()
    }

    #[test]
    fn tokens_are_inverse_and_foreign_ones_refused() {
        let position = Position { time: 1_700_000_000_123, sequence: 42 };
        for token in [StreamToken::Forward(position), StreamToken::Backward(position)] {
            assert_eq!(StreamToken::parse(&token.to_string()), Some(token));
        }
        for token in ["", "f/", "f/12/s", "x/00000000000000000000000000000000000000000000000000000000/s", "f/é"] {
            assert_eq!(StreamToken::parse(token), None, "{token}");
        }
        assert!(parse_filter_token("é").is_err());
    }

    #[test]
    fn batches_beyond_the_limits_are_refused() {
        let text = |events: &[logs::InputLogEvent]| match check_batch(events) {
            Ok(()) => "ok".to_owned(),
            Err(Error::InvalidParameterException(error)) => error.message.unwrap_or_default(),
            Err(other) => format!("{other:?}"),
        };
        assert_eq!(text(&events(&[1, 1, 2])), "ok");
        assert!(text(&events(&[2, 1])).contains("chronological order"));
        assert!(text(&events(&[0, BATCH_SPAN_MILLIS_MAX + 1])).contains("24 hours"));
        assert!(text(&events(&vec![1; BATCH_EVENTS_MAX + 1])).contains("10000"));
        let huge = logs::InputLogEvent { timestamp: 1, message: "x".repeat(EVENT_BYTES_MAX) };
        assert!(text(&[huge]).contains("Log event too large"));
        let big = logs::InputLogEvent { timestamp: 1, message: "x".repeat(EVENT_BYTES_MAX / 2) };
        assert!(text(&[big.clone(), big]).contains("Upload too large"));
    }

    #[test]
    fn old_expired_and_future_events_are_left_out() {
        let now = Timestamp(100 * DAY_MILLIS);
        let batch = events(&[80 * DAY_MILLIS, 90 * DAY_MILLIS, 99 * DAY_MILLIS, 101 * DAY_MILLIS]);
        let kept = sort_out(&batch, Some(7), now);
        assert_eq!((kept.from, kept.to), (2, 3));
        let info = kept.rejected.unwrap();
        assert_eq!(info.too_old_log_event_end_index, Some(1));
        assert_eq!(info.expired_log_event_end_index, Some(2));
        assert_eq!(info.too_new_log_event_start_index, Some(3));
        let kept = sort_out(&events(&[99 * DAY_MILLIS]), None, now);
        assert_eq!((kept.from, kept.to, kept.rejected), (0, 1, None));
    }
}
