//! Tags of EC2's things: CreateTags, DeleteTags, DescribeTags, and those that are given when a thing is made.

use model::tag::{self, ResourceTags};
use model::{Scope, Tag};
use store::Tables;
use wire::ec2::{
    self, CreateTagsRequest, DeleteTagsRequest, DescribeTagsRequest, DescribeTagsResult, Error, ResourceType,
    TagDescription, TagSpecification,
};

use super::select::{Noun, Selection, one, refuse_dry_run, select};
use super::{refuse, resource};
use crate::Cx;

/// Resources that one call names.
const RESOURCES_MAX: usize = 1000;

const NOUN: Noun<TagDescription> = Noun {
    label: "tag",
    not_found: "InvalidID",
    id: |tag| tag.resource_id.as_deref().unwrap_or_default(),
    tags: |_| None,
    filters: &["key", "resource-id", "resource-type", "value"],
    values,
};

/// The tags of a thing, by its id.
pub(super) fn of(tables: &Tables, scope: &Scope, resource: &str) -> Vec<ec2::Tag> {
    let row = tables.resource_tags.get(&(scope.clone(), resource.to_owned()));
    row.into_iter().flat_map(|row| &row.tags).map(to_wire).collect()
}

fn to_wire(tag: &Tag) -> ec2::Tag {
    ec2::Tag { key: Some(tag.key.clone()), value: Some(tag.value.clone()) }
}

/// Those that the caller wants on a new thing of this kind.
pub(super) fn from_specifications(
    given: Option<Vec<TagSpecification>>,
    kind: &ResourceType,
) -> Result<Vec<Tag>, Error> {
    let mut tags = Vec::new();
    for specification in given.unwrap_or_default() {
        if specification.resource_type.as_ref() != Some(kind) {
            let name = specification.resource_type.as_ref().map_or("null", ResourceType::as_str);
            let text = format!("'{name}' is not a valid taggable resource type for this operation.");
            return Err(refuse("InvalidParameterValue", text));
        }
        tags.extend(specification.tags.unwrap_or_default().into_iter().map(from_wire));
    }
    check(&tags)?;
    Ok(tags)
}

fn from_wire(tag: ec2::Tag) -> Tag {
    Tag { key: tag.key.unwrap_or_default(), value: tag.value.unwrap_or_default() }
}

fn check(tags: &[Tag]) -> Result<(), Error> {
    let is_twice = |(index, tag): &(usize, &Tag)| tags[..*index].iter().any(|other| other.key == tag.key);
    if let Some((_, tag)) = tags.iter().enumerate().find(is_twice) {
        return Err(refuse("InvalidParameterValue", format!("Duplicate tag key '{}' specified.", tag.key)));
    }
    for tag in tags {
        let lengths = (tag.key.chars().count(), tag.value.chars().count());
        if tag.key.is_empty() {
            return Err(refuse("InvalidParameterValue", "Tag key cannot be null or empty."));
        }
        if lengths.0 > tag::TAG_KEY_LENGTH_MAX {
            return Err(refuse("InvalidParameterValue", "Tag key exceeds the maximum length of 128 characters"));
        }
        if lengths.1 > tag::TAG_VALUE_LENGTH_MAX {
            return Err(refuse("InvalidParameterValue", "Tag value exceeds the maximum length of 256 characters"));
        }
        if tag.key.to_ascii_lowercase().starts_with("aws:") {
            return Err(refuse("InvalidParameterValue", "Tag keys starting with 'aws:' are reserved for internal use"));
        }
    }
    check_count(tags)
}

fn check_count(tags: &[Tag]) -> Result<(), Error> {
    if tags.len() > tag::TAGS_MAX {
        let text = "The maximum number of Tags for a resource has been reached.";
        return Err(refuse("TagLimitExceeded", text));
    }
    Ok(())
}

/// Gives a thing exactly these tags.
pub(super) fn set(cx: &mut Cx<'_>, resource: &str, tags: Vec<Tag>) {
    if tags.is_empty() {
        return remove(cx, resource);
    }
    cx.txn.put(ResourceTags { scope: cx.scope().clone(), resource: resource.to_owned(), tags });
}

/// The thing is gone.
pub(super) fn remove(cx: &mut Cx<'_>, resource: &str) {
    let key = (cx.scope().clone(), resource.to_owned());
    cx.txn.remove::<ResourceTags>(&key);
}

fn present(cx: &Cx<'_>, resource: &str) -> Vec<Tag> {
    let row = cx.txn.resource_tags.get(&(cx.scope().clone(), resource.to_owned()));
    row.map(|row| row.tags.clone()).unwrap_or_default()
}

pub(super) fn create_tags(cx: &mut Cx<'_>, request: CreateTagsRequest) -> Result<(), Error> {
    refuse_dry_run(request.dry_run)?;
    let new: Vec<Tag> = request.tags.into_iter().map(from_wire).collect();
    check(&new)?;
    check_resources(cx, &request.resources)?;
    for resource in &request.resources {
        let mut tags = present(cx, resource);
        tag::put(&mut tags, &new);
        check_count(&tags)?;
        set(cx, resource, tags);
    }
    Ok(())
}

/// Without tags, all of them; a tag without a value whatever its value, one with a value only when that is its value.
pub(super) fn delete_tags(cx: &mut Cx<'_>, request: DeleteTagsRequest) -> Result<(), Error> {
    refuse_dry_run(request.dry_run)?;
    check_resources(cx, &request.resources)?;
    let given = request.tags.unwrap_or_default();
    let is_meant = |tag: &Tag| {
        let names = |given: &ec2::Tag| {
            given.key.as_ref() == Some(&tag.key) && given.value.as_ref().is_none_or(|value| *value == tag.value)
        };
        given.is_empty() || given.iter().any(names)
    };
    for resource in &request.resources {
        let mut tags = present(cx, resource);
        tags.retain(|tag| !is_meant(tag));
        set(cx, resource, tags);
    }
    Ok(())
}

fn check_resources(cx: &Cx<'_>, resources: &[String]) -> Result<(), Error> {
    if resources.len() > RESOURCES_MAX {
        let text = format!("The maximum number of resources in one call is {RESOURCES_MAX}");
        return Err(refuse("InvalidParameterValue", text));
    }
    resources.iter().try_for_each(|id| resource::kind_of(cx, id).map(drop))
}

pub(super) fn describe_tags(cx: &Cx<'_>, request: &DescribeTagsRequest) -> Result<DescribeTagsResult, Error> {
    let describe = |row: &ResourceTags, tag: &Tag| TagDescription {
        key: Some(tag.key.clone()),
        resource_id: Some(row.resource.clone()),
        resource_type: resource::kind_by_id(&row.resource),
        value: Some(tag.value.clone()),
    };
    let rows = cx.txn.resource_tags_in_scope(cx.scope());
    let shown = rows.flat_map(|row| row.tags.iter().map(|tag| describe(row, tag))).collect();
    let selection = Selection {
        dry_run: request.dry_run,
        ids: None,
        filters: request.filters.as_deref(),
        max_results: request.max_results,
        next_token: request.next_token.as_deref(),
    };
    let (tags, next_token) = select(&NOUN, &selection, shown)?;
    Ok(DescribeTagsResult { next_token, tags: Some(tags) })
}

fn values(tag: &TagDescription, filter: &str) -> Vec<String> {
    match filter {
        "key" => one(tag.key.as_deref()),
        "resource-id" => one(tag.resource_id.as_deref()),
        "resource-type" => one(tag.resource_type.as_ref().map(ResourceType::as_str)),
        "value" => one(tag.value.as_deref()),
        _ => Vec::new(),
    }
}
