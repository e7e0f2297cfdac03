//! TagResource, UntagResource, ListTagsForResource: of namespaces and services.

use model::{Tag, tag};
use wire::servicediscovery::{
    self, Error, ListTagsForResourceRequest, ListTagsForResourceResponse, TagResourceRequest, TagResourceResponse,
    UntagResourceRequest, UntagResourceResponse,
};

use super::identifier::{self, Tagged};
use super::invalid;
use crate::Cx;

/// # Errors
/// `TooManyTagsException`, `InvalidInput` for reserved and repeated keys.
pub fn from_wire(given: Option<Vec<servicediscovery::Tag>>) -> Result<Vec<Tag>, Error> {
    let given = given.unwrap_or_default().into_iter();
    let tags: Vec<Tag> = given.map(|tag| Tag { key: tag.key, value: tag.value }).collect();
    let is_twice = |(index, tag): (usize, &Tag)| tags[..index].iter().any(|other| other.key == tag.key);
    if tags.iter().enumerate().any(is_twice) {
        return Err(invalid("Tag keys must be unique."));
    }
    check(&tags)?;
    Ok(tags)
}

fn check(tags: &[Tag]) -> Result<(), Error> {
    if tags.len() > tag::TAGS_MAX {
        return Err(Error::too_many_tags(format!("A resource can have at most {} tags.", tag::TAGS_MAX)));
    }
    if tags.iter().any(|tag| tag.key.to_ascii_lowercase().starts_with("aws:")) {
        return Err(invalid("Tag keys that begin with 'aws:' are reserved."));
    }
    Ok(())
}

pub fn tag_resource(cx: &mut Cx<'_>, request: TagResourceRequest) -> Result<TagResourceResponse, Error> {
    let new = from_wire(Some(request.tags))?;
    change(cx, &request.resource_arn, |tags| {
        tag::put(tags, &new);
        check(tags)
    })?;
    Ok(TagResourceResponse::default())
}

pub fn untag_resource(cx: &mut Cx<'_>, request: UntagResourceRequest) -> Result<UntagResourceResponse, Error> {
    change(cx, &request.resource_arn, |tags| {
        tag::remove(tags, &request.tag_keys);
        Ok(())
    })?;
    Ok(UntagResourceResponse::default())
}

fn change(cx: &mut Cx<'_>, arn: &str, change: impl FnOnce(&mut Vec<Tag>) -> Result<(), Error>) -> Result<(), Error> {
    match identifier::tagged(cx.txn, &cx.caller.scope, arn)? {
        Tagged::Namespace(row) => {
            let mut row = row.as_ref().clone();
            change(&mut row.tags)?;
            cx.txn.put(row);
        }
        Tagged::Service(row) => {
            let mut row = row.as_ref().clone();
            change(&mut row.tags)?;
            cx.txn.put(row);
        }
    }
    Ok(())
}

pub fn list_tags_for_resource(
    cx: &mut Cx<'_>,
    request: ListTagsForResourceRequest,
) -> Result<ListTagsForResourceResponse, Error> {
    let tags = match identifier::tagged(cx.txn, cx.scope(), &request.resource_arn)? {
        Tagged::Namespace(row) => row.tags.clone(),
        Tagged::Service(row) => row.tags.clone(),
    };
    let tags = tags.into_iter().map(|tag| servicediscovery::Tag { key: tag.key, value: tag.value });
    Ok(ListTagsForResourceResponse { tags: Some(tags.collect()) })
}
