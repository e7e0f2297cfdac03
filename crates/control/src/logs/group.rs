//! Log groups.

use model::Tag;
use model::logs::LogGroup;
use telemetry::LogStore;
use wire::logs::{self, Error, LogGroupClass};

use super::{name, sweep, write};
use crate::{Caller, Control, Cx, page};

const PAGE_GROUPS_MAX: usize = 50;
/// The days that PutRetentionPolicy takes.
const RETENTION_DAYS: [i32; 23] =
    [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653, 3654];

pub fn create(cx: &mut Cx<'_>, request: logs::CreateLogGroupRequest) -> Result<logs::CreateLogGroupResponse, Error> {
    if request.kms_key_id.is_some() {
        return Err(Error::invalid_parameter("kmsKeyId is not supported: Gantry does not encrypt log groups yet."));
    }
    if request.deletion_protection_enabled == Some(true) {
        return Err(Error::invalid_parameter("deletionProtectionEnabled is not supported by Gantry yet."));
    }
    let key = (cx.scope().clone(), request.log_group_name.clone());
    if cx.txn.log_groups.contains(&key) {
        return Err(Error::resource_already_exists("The specified log group already exists"));
    }
    let class = request.log_group_class.unwrap_or(LogGroupClass::Standard);
    if matches!(class, LogGroupClass::Unknown(_)) {
        return Err(Error::invalid_parameter("logGroupClass must be STANDARD, INFREQUENT_ACCESS or DELIVERY."));
    }
    let mut group = new(cx, &request.log_group_name);
    group.class = class.as_str().to_owned();
    group.tags = request.tags.into_iter().flatten().map(|(key, value)| Tag { key, value }).collect();
    super::tag::check(&group.tags)?;
    cx.txn.put(group);
    Ok(logs::CreateLogGroupResponse::default())
}

pub fn new(cx: &Cx<'_>, name: &str) -> LogGroup {
    LogGroup {
        scope: cx.scope().clone(),
        name: name.to_owned(),
        created_at: cx.now,
        retention_days: None,
        class: LogGroupClass::Standard.as_str().to_owned(),
        tags: Vec::new(),
    }
}

pub async fn delete(
    control: &Control,
    caller: &Caller,
    request: logs::DeleteLogGroupRequest,
) -> Result<logs::DeleteLogGroupResponse, Error> {
    let removed = write(control, caller, |cx| remove(cx, &request.log_group_name)).await?;
    sweep::remove_events(control, &removed).await?;
    Ok(logs::DeleteLogGroupResponse::default())
}

/// Removes the rows of a group and its streams; answers the streams' numbers.
fn remove(cx: &mut Cx<'_>, name: &str) -> Result<Vec<u64>, Error> {
    let scope = cx.scope().clone();
    name::group(cx.txn, &scope, name)?;
    let streams: Vec<_> = cx.txn.log_streams_of(&scope, name).map(|stream| (stream.name.clone(), stream.uid)).collect();
    for (stream, _) in &streams {
        cx.txn.remove::<model::logs::LogStream>(&(scope.clone(), name.to_owned(), stream.clone()));
    }
    cx.txn.remove::<LogGroup>(&(scope, name.to_owned()));
    Ok(streams.into_iter().map(|(_, uid)| uid).collect())
}

pub fn describe(
    cx: &mut Cx<'_>,
    events: &LogStore,
    request: logs::DescribeLogGroupsRequest,
) -> Result<logs::DescribeLogGroupsResponse, Error> {
    if request.log_group_name_prefix.is_some() && request.log_group_name_pattern.is_some() {
        return Err(Error::invalid_parameter(
            "LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.",
        ));
    }
    let after = page::start(request.next_token.as_deref()).map_err(|_| invalid_token())?;
    let prefix = request.log_group_name_prefix.unwrap_or_default();
    let pattern = request.log_group_name_pattern.unwrap_or_default().to_lowercase();
    let scope = cx.scope();
    let wanted = request.log_group_identifiers.filter(|identifiers| !identifiers.is_empty());
    let wanted: Option<Vec<String>> =
        wanted.map(|list| list.iter().map(|one| name::of_identifier(one, scope)).collect()).transpose()?;
    let matching = cx.txn.log_groups_in_scope(scope).filter(|group| {
        group.name.starts_with(&prefix)
            && group.name.to_lowercase().contains(&pattern)
            && wanted.as_ref().is_none_or(|names| names.contains(&group.name))
            && request.log_group_class.as_ref().is_none_or(|class| class.as_str() == group.class)
            && after.as_ref().is_none_or(|after| group.name > *after)
    });
    let (groups, next_token) = page::cut(matching, limit(request.limit), |group| group.name.clone());
    let describe = |group: &LogGroup| {
        let streams = cx.txn.log_streams_of(&group.scope, &group.name);
        let stored: u64 = streams.map(|stream| events.summary(stream.uid).stored_bytes).sum();
        to_wire(group, stored)
    };
    let log_groups = Some(groups.into_iter().map(|group| describe(group)).collect());
    Ok(logs::DescribeLogGroupsResponse { log_groups, next_token })
}

fn to_wire(group: &LogGroup, stored_bytes: u64) -> logs::LogGroup {
    let arn = name::group_arn(group);
    logs::LogGroup {
        arn: Some(format!("{arn}:*")),
        log_group_arn: Some(arn),
        creation_time: Some(group.created_at.0),
        log_group_class: Some(group.class.as_str().into()),
        log_group_name: Some(group.name.clone()),
        metric_filter_count: Some(0),
        retention_in_days: group.retention_days.and_then(|days| days.try_into().ok()),
        stored_bytes: Some(stored_bytes.try_into().unwrap_or(i64::MAX)),
        ..Default::default()
    }
}

pub fn put_retention(
    cx: &mut Cx<'_>,
    request: logs::PutRetentionPolicyRequest,
) -> Result<logs::PutRetentionPolicyResponse, Error> {
    let days = request.retention_in_days;
    if !RETENTION_DAYS.contains(&days) {
        let valid: Vec<String> = RETENTION_DAYS.iter().map(i32::to_string).collect();
        return Err(Error::invalid_parameter(format!(
            "{days} is not a valid retention: it must be one of {}.",
            valid.join(", ")
        )));
    }
    set_retention(cx, &request.log_group_name, days.try_into().ok())?;
    Ok(logs::PutRetentionPolicyResponse::default())
}

pub fn delete_retention(
    cx: &mut Cx<'_>,
    request: logs::DeleteRetentionPolicyRequest,
) -> Result<logs::DeleteRetentionPolicyResponse, Error> {
    set_retention(cx, &request.log_group_name, None)?;
    Ok(logs::DeleteRetentionPolicyResponse::default())
}

fn set_retention(cx: &mut Cx<'_>, name: &str, days: Option<u32>) -> Result<(), Error> {
    let key = (cx.scope().clone(), name.to_owned());
    cx.txn.update::<LogGroup, _>(&key, |group| group.retention_days = days).ok_or_else(name::no_group)
}

pub fn limit(asked: Option<i32>) -> usize {
    asked.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(PAGE_GROUPS_MAX).clamp(1, PAGE_GROUPS_MAX)
}

pub fn invalid_token() -> Error {
    Error::invalid_parameter("The specified nextToken is invalid.")
}
