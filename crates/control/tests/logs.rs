//! CloudWatch Logs in process: every operation, its refusals, its tokens.

use std::collections::BTreeMap;
use std::sync::Arc;

use control::logs::{self as service, ingest, sweep};
use control::{Caller, Clock, Config, Control};
use model::link::LogBatch;
use model::{Scope, Timestamp};
use wire::logs::{self, Error, Request, Response};

const DAY_MILLIS: i64 = 24 * 3_600_000;

struct World {
    control: Arc<Control>,
    caller: Caller,
    _directory: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = Config::new(directory.path());
        let control = Control::open_with(config, store::log::memory::MemoryLog::new(), Clock::System).await.unwrap();
        let caller = Caller::root(Scope::new("000000000000", "us-east-1"), "AKIA");
        Self { control, caller, _directory: directory }
    }

    async fn call(&self, request: Request) -> Result<Response, Error> {
        service::call(&self.control, &self.caller, request).await
    }

    async fn refused(&self, request: Request) -> String {
        let error = self.call(request).await.expect_err("should be refused");
        let failure = wire::error::Failure::from(error);
        format!("{}: {}", failure.code, failure.message)
    }

    async fn group(&self, name: &str) {
        let request = logs::CreateLogGroupRequest { log_group_name: name.to_owned(), ..Default::default() };
        self.call(Request::CreateLogGroup(request)).await.unwrap();
    }

    async fn stream(&self, group: &str, name: &str) {
        self.group_if_missing(group).await;
        self.call(Request::CreateLogStream(create_stream(group, name))).await.unwrap();
    }

    async fn group_if_missing(&self, name: &str) {
        let request = logs::CreateLogGroupRequest { log_group_name: name.to_owned(), ..Default::default() };
        let _ = self.call(Request::CreateLogGroup(request)).await;
    }

    async fn put(&self, group: &str, stream: &str, events: &[(i64, &str)]) -> logs::PutLogEventsResponse {
        match self.call(Request::PutLogEvents(put_events(group, stream, events))).await.unwrap() {
            Response::PutLogEvents(response) => response,
            _ => unreachable!(),
        }
    }

    async fn get(&self, request: logs::GetLogEventsRequest) -> logs::GetLogEventsResponse {
        match self.call(Request::GetLogEvents(request)).await.unwrap() {
            Response::GetLogEvents(response) => response,
            _ => unreachable!(),
        }
    }

    async fn filter(&self, request: logs::FilterLogEventsRequest) -> logs::FilterLogEventsResponse {
        match self.call(Request::FilterLogEvents(request)).await.unwrap() {
            Response::FilterLogEvents(response) => response,
            _ => unreachable!(),
        }
    }

    fn now(&self) -> i64 {
        self.control.now().0
    }
}

fn create_stream(group: &str, name: &str) -> logs::CreateLogStreamRequest {
    logs::CreateLogStreamRequest { log_group_name: group.to_owned(), log_stream_name: name.to_owned() }
}

fn put_events(group: &str, stream: &str, events: &[(i64, &str)]) -> logs::PutLogEventsRequest {
    let events = events
        .iter()
        .map(|(timestamp, message)| logs::InputLogEvent { timestamp: *timestamp, message: (*message).to_owned() });
    logs::PutLogEventsRequest {
        log_group_name: group.to_owned(),
        log_stream_name: stream.to_owned(),
        log_events: events.collect(),
        ..Default::default()
    }
}

fn get_events(group: &str, stream: &str) -> logs::GetLogEventsRequest {
    logs::GetLogEventsRequest {
        log_group_name: Some(group.to_owned()),
        log_stream_name: stream.to_owned(),
        ..Default::default()
    }
}

fn messages(response: &logs::GetLogEventsResponse) -> Vec<String> {
    response.events.iter().flatten().filter_map(|event| event.message.clone()).collect()
}

#[tokio::test]
async fn groups_and_streams_come_and_go() {
    let world = World::new().await;
    world.group("/app/a").await;
    world.stream("/app/b", "s1").await;
    let again = logs::CreateLogGroupRequest { log_group_name: "/app/a".to_owned(), ..Default::default() };
    assert_eq!(
        world.refused(Request::CreateLogGroup(again)).await,
        "ResourceAlreadyExistsException: The specified log group already exists"
    );
    assert_eq!(
        world.refused(Request::CreateLogStream(create_stream("/app/b", "s1"))).await,
        "ResourceAlreadyExistsException: The specified log stream already exists"
    );
    assert_eq!(
        world.refused(Request::CreateLogStream(create_stream("/none", "s1"))).await,
        "ResourceNotFoundException: The specified log group does not exist."
    );
    let describe =
        logs::DescribeLogGroupsRequest { log_group_name_prefix: Some("/app/".to_owned()), ..Default::default() };
    let Ok(Response::DescribeLogGroups(found)) = world.call(Request::DescribeLogGroups(describe)).await else {
        panic!()
    };
    let groups = found.log_groups.unwrap();
    assert_eq!(groups.len(), 2);
    assert_eq!(groups[0].arn.as_deref(), Some("arn:aws:logs:us-east-1:000000000000:log-group:/app/a:*"));

    world.put("/app/b", "s1", &[(world.now(), "gone soon")]).await;
    let delete = logs::DeleteLogGroupRequest { log_group_name: "/app/b".to_owned() };
    world.call(Request::DeleteLogGroup(delete)).await.unwrap();
    assert_eq!(
        world.refused(Request::GetLogEvents(get_events("/app/b", "s1"))).await,
        "ResourceNotFoundException: The specified log group does not exist."
    );
    world.stream("/app/b", "s1").await;
    assert_eq!(messages(&world.get(get_events("/app/b", "s1")).await), Vec::<String>::new());
}

#[tokio::test]
async fn reading_walks_both_ways_and_the_end_answers_the_same_token() {
    let world = World::new().await;
    world.stream("g", "s").await;
    let start = world.now() - 10_000;
    let texts: Vec<String> = (0..5).map(|n| format!("line {n}")).collect();
    let events: Vec<(i64, &str)> =
        texts.iter().enumerate().map(|(n, text)| (start + n as i64, text.as_str())).collect();
    world.put("g", "s", &events).await;

    let page = |token: Option<String>, from_head| logs::GetLogEventsRequest {
        limit: Some(2),
        next_token: token,
        start_from_head: Some(from_head),
        ..get_events("g", "s")
    };
    let first = world.get(page(None, true)).await;
    assert_eq!(messages(&first), ["line 0", "line 1"]);
    let second = world.get(page(first.next_forward_token, true)).await;
    assert_eq!(messages(&second), ["line 2", "line 3"]);
    let back = world.get(page(second.next_backward_token.clone(), true)).await;
    assert_eq!(messages(&back), ["line 0", "line 1"]);
    let third = world.get(page(second.next_forward_token, true)).await;
    assert_eq!(messages(&third), ["line 4"]);
    let end = world.get(page(third.next_forward_token.clone(), true)).await;
    assert_eq!(messages(&end), Vec::<String>::new());
    assert_eq!(end.next_forward_token, third.next_forward_token);
    let tail = world.get(page(None, false)).await;
    assert_eq!(messages(&tail), ["line 3", "line 4"]);
    let invalid = world.refused(Request::GetLogEvents(page(Some("f/nonsense".to_owned()), true))).await;
    assert_eq!(invalid, "InvalidParameterException: The specified nextToken is invalid.");
}

#[tokio::test]
async fn filtering_spans_streams_and_refuses_bad_patterns() {
    let world = World::new().await;
    let now = world.now();
    for stream in ["web/1", "web/2", "db/1"] {
        world.stream("g", stream).await;
        world.put("g", stream, &[(now - 2, "ERROR one"), (now - 1, "info two")]).await;
    }
    let base = || logs::FilterLogEventsRequest { log_group_name: Some("g".to_owned()), ..Default::default() };
    let errors = world
        .filter(logs::FilterLogEventsRequest {
            filter_pattern: Some("ERROR".to_owned()),
            log_stream_name_prefix: Some("web/".to_owned()),
            ..base()
        })
        .await;
    let events = errors.events.unwrap();
    assert_eq!(events.len(), 2);
    assert!(events.iter().all(|event| event.message.as_deref() == Some("ERROR one")));
    assert_ne!(events[0].event_id, events[1].event_id);

    let mut token = None;
    let mut seen = 0;
    loop {
        let request = logs::FilterLogEventsRequest { limit: Some(4), next_token: token, ..base() };
        let page = world.filter(request).await;
        seen += page.events.unwrap().len();
        token = page.next_token;
        if token.is_none() {
            break;
        }
    }
    assert_eq!(seen, 6);
    let bad = logs::FilterLogEventsRequest { filter_pattern: Some("{ $.a".to_owned()), ..base() };
    let text = world.refused(Request::FilterLogEvents(bad)).await;
    assert!(text.starts_with("InvalidParameterException: Invalid filter pattern"), "{text}");
    let missing = logs::FilterLogEventsRequest { log_stream_names: Some(vec!["none".to_owned()]), ..base() };
    assert_eq!(
        world.refused(Request::FilterLogEvents(missing)).await,
        "ResourceNotFoundException: The specified log stream does not exist."
    );
}

#[tokio::test]
async fn retention_keeps_only_its_days() {
    let world = World::new().await;
    world.stream("g", "s").await;
    let now = world.now();
    let rejected = world.put("g", "s", &[(now - 20 * DAY_MILLIS, "too old")]).await.rejected_log_events_info;
    assert_eq!(rejected.unwrap().too_old_log_event_end_index, Some(1));
    world.put("g", "s", &[(now - 3 * DAY_MILLIS, "old")]).await;
    world.put("g", "s", &[(now, "new")]).await;
    let retain = |days| logs::PutRetentionPolicyRequest { log_group_name: "g".to_owned(), retention_in_days: days };
    let text = world.refused(Request::PutRetentionPolicy(retain(2))).await;
    assert!(text.starts_with("InvalidParameterException: 2 is not a valid retention"), "{text}");
    world.call(Request::PutRetentionPolicy(retain(1))).await.unwrap();
    sweep(&world.control).await;
    assert_eq!(messages(&world.get(get_events("g", "s")).await), ["new"]);
}

#[tokio::test]
async fn nodes_batches_find_or_make_their_place() {
    let world = World::new().await;
    let batch = |create_group, events: &[&str]| LogBatch {
        batch: 1,
        scope: world.caller.scope.clone(),
        group: "/made".to_owned(),
        stream: "p/c/t".to_owned(),
        create_group,
        events: events.iter().map(|text| (Timestamp(world.now()).0, (*text).to_owned())).collect(),
    };
    let refused = ingest(&world.control, batch(false, &["lost"])).await.expect_err("no such group");
    assert_eq!(refused.to_string(), "ResourceNotFoundException: The specified log group does not exist.");
    ingest(&world.control, batch(true, &[])).await.unwrap();
    ingest(&world.control, batch(false, &["a", "b"])).await.unwrap();
    assert_eq!(messages(&world.get(get_events("/made", "p/c/t")).await), ["a", "b"]);
}

#[tokio::test]
async fn tags_by_name_and_by_arn() {
    let world = World::new().await;
    world.group("g").await;
    let arn = "arn:aws:logs:us-east-1:000000000000:log-group:g".to_owned();
    let tags = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    };
    let tag = logs::TagResourceRequest { resource_arn: arn.clone(), tags: tags(&[("a", "1"), ("b", "2")]) };
    world.call(Request::TagResource(tag)).await.unwrap();
    let untag = logs::UntagLogGroupRequest { log_group_name: "g".to_owned(), tags: vec!["a".to_owned()] };
    world.call(Request::UntagLogGroup(untag)).await.unwrap();
    let list = logs::ListTagsForResourceRequest { resource_arn: arn.clone() };
    let Ok(Response::ListTagsForResource(found)) = world.call(Request::ListTagsForResource(list)).await else {
        panic!()
    };
    assert_eq!(found.tags, Some(tags(&[("b", "2")])));
    let reserved = logs::TagResourceRequest { resource_arn: arn, tags: tags(&[("aws:x", "1")]) };
    let text = world.refused(Request::TagResource(reserved)).await;
    assert!(text.contains("reserved"), "{text}");
}

#[tokio::test]
async fn streams_are_listed_by_name_or_by_their_newest_event() {
    let world = World::new().await;
    let now = world.now();
    for (name, age) in [("a", 1), ("b", 3), ("c", 2)] {
        world.stream("g", name).await;
        world.put("g", name, &[(now - age, "x")]).await;
    }
    let list = async |order_by: logs::OrderBy, descending, limit| {
        let mut names = Vec::new();
        let mut token = None;
        loop {
            let request = logs::DescribeLogStreamsRequest {
                log_group_name: Some("g".to_owned()),
                order_by: Some(order_by.clone()),
                descending: Some(descending),
                limit: Some(limit),
                next_token: token,
                ..Default::default()
            };
            let request = Request::DescribeLogStreams(request);
            let Ok(Response::DescribeLogStreams(page)) = world.call(request).await else { panic!() };
            names.extend(page.log_streams.unwrap().into_iter().filter_map(|stream| stream.log_stream_name));
            token = page.next_token;
            if token.is_none() {
                return names;
            }
        }
    };
    assert_eq!(list(logs::OrderBy::LogStreamName, false, 2).await, ["a", "b", "c"]);
    assert_eq!(list(logs::OrderBy::LogStreamName, true, 1).await, ["c", "b", "a"]);
    assert_eq!(list(logs::OrderBy::LastEventTime, true, 2).await, ["a", "c", "b"]);
    assert_eq!(list(logs::OrderBy::LastEventTime, false, 2).await, ["b", "c", "a"]);
}
