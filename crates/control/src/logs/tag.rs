//! Tags of log groups: the old operations by name, the new ones by ARN.

use std::collections::BTreeMap;

use model::Tag;
use model::logs::LogGroup;
use model::tag;
use wire::logs::{self, Error};

use super::name;
use crate::Cx;

/// The rules of ecs-semantics §0.2, which are those of all services.
pub fn check(tags: &[Tag]) -> Result<(), Error> {
    if tags.len() > tag::TAGS_MAX {
        return Err(Error::invalid_parameter(format!("A log group can have at most {} tags.", tag::TAGS_MAX)));
    }
    if tags.iter().any(|tag| tag.key.to_ascii_lowercase().starts_with("aws:")) {
        return Err(Error::invalid_parameter("Tag keys that begin with 'aws:' are reserved."));
    }
    Ok(())
}

fn put(cx: &mut Cx<'_>, group: String, new: BTreeMap<String, String>) -> Result<(), Error> {
    let key = (cx.scope().clone(), group);
    let new: Vec<Tag> = new.into_iter().map(|(key, value)| Tag { key, value }).collect();
    let checked = cx.txn.update::<LogGroup, _>(&key, |group| {
        tag::put(&mut group.tags, &new);
        check(&group.tags)
    });
    checked.ok_or_else(name::no_group)?
}

fn remove(cx: &mut Cx<'_>, group: String, keys: &[String]) -> Result<(), Error> {
    let key = (cx.scope().clone(), group);
    cx.txn.update::<LogGroup, _>(&key, |group| tag::remove(&mut group.tags, keys)).ok_or_else(name::no_group)
}

fn list(cx: &Cx<'_>, group: &str) -> Result<BTreeMap<String, String>, Error> {
    let group = name::group(cx.txn, cx.scope(), group)?;
    Ok(group.tags.iter().map(|tag| (tag.key.clone(), tag.value.clone())).collect())
}

pub fn tag_group(cx: &mut Cx<'_>, request: logs::TagLogGroupRequest) -> Result<logs::TagLogGroupResponse, Error> {
    put(cx, request.log_group_name, request.tags)?;
    Ok(logs::TagLogGroupResponse::default())
}

pub fn untag_group(cx: &mut Cx<'_>, request: logs::UntagLogGroupRequest) -> Result<logs::UntagLogGroupResponse, Error> {
    remove(cx, request.log_group_name, &request.tags)?;
    Ok(logs::UntagLogGroupResponse::default())
}

pub fn list_group(
    cx: &mut Cx<'_>,
    request: logs::ListTagsLogGroupRequest,
) -> Result<logs::ListTagsLogGroupResponse, Error> {
    Ok(logs::ListTagsLogGroupResponse { tags: Some(list(cx, &request.log_group_name)?) })
}

pub fn tag_resource(cx: &mut Cx<'_>, request: logs::TagResourceRequest) -> Result<logs::TagResourceResponse, Error> {
    let group = name::of_identifier(&request.resource_arn, cx.scope())?;
    put(cx, group, request.tags)?;
    Ok(logs::TagResourceResponse::default())
}

pub fn untag_resource(
    cx: &mut Cx<'_>,
    request: logs::UntagResourceRequest,
) -> Result<logs::UntagResourceResponse, Error> {
    let group = name::of_identifier(&request.resource_arn, cx.scope())?;
    remove(cx, group, &request.tag_keys)?;
    Ok(logs::UntagResourceResponse::default())
}

pub fn list_resource(
    cx: &mut Cx<'_>,
    request: logs::ListTagsForResourceRequest,
) -> Result<logs::ListTagsForResourceResponse, Error> {
    let group = name::of_identifier(&request.resource_arn, cx.scope())?;
    Ok(logs::ListTagsForResourceResponse { tags: Some(list(cx, &group)?) })
}
