//! AddTags, RemoveTags, DescribeTags: of load balancers, listeners, rules and target groups.

use model::{Arn, Tag, tag};
use store::Txn;
use wire::elbv2::{
    self, AddTagsInput, AddTagsOutput, DescribeTagsInput, DescribeTagsOutput, Error, RemoveTagsInput, RemoveTagsOutput,
    TagDescription,
};

use super::identifier::{self, FoundRule};
use super::invalid;
use crate::Cx;

/// Resources that one call names.
const RESOURCES_MAX: usize = 20;

/// # Errors
/// `DuplicateTagKeys`, `TooManyTags`, `ValidationError` for reserved keys.
pub fn from_wire(given: Option<Vec<elbv2::Tag>>) -> Result<Vec<Tag>, Error> {
    let given = given.unwrap_or_default();
    let tags: Vec<Tag> =
        given.into_iter().map(|tag| Tag { key: tag.key, value: tag.value.unwrap_or_default() }).collect();
    let is_twice = |(index, tag): (usize, &Tag)| tags[..index].iter().any(|other| other.key == tag.key);
    if tags.iter().enumerate().any(is_twice) {
        return Err(Error::duplicate_tag_keys("Tag keys must be unique"));
    }
    check(&tags)?;
    Ok(tags)
}

fn check(tags: &[Tag]) -> Result<(), Error> {
    if tags.len() > tag::TAGS_MAX {
        return Err(Error::too_many_tags(format!("A resource can have at most {} tags", tag::TAGS_MAX)));
    }
    if tags.iter().any(|tag| tag.key.to_ascii_lowercase().starts_with("aws:")) {
        return Err(invalid("Tag keys that begin with 'aws:' are reserved"));
    }
    Ok(())
}

pub fn add_tags(cx: &mut Cx<'_>, request: AddTagsInput) -> Result<AddTagsOutput, Error> {
    let new = from_wire(Some(request.tags))?;
    change_each(cx, &request.resource_arns, |tags| {
        tag::put(tags, &new);
        check(tags)
    })?;
    Ok(AddTagsOutput::default())
}

pub fn remove_tags(cx: &mut Cx<'_>, request: RemoveTagsInput) -> Result<RemoveTagsOutput, Error> {
    change_each(cx, &request.resource_arns, |tags| {
        tag::remove(tags, &request.tag_keys);
        Ok(())
    })?;
    Ok(RemoveTagsOutput::default())
}

pub fn describe_tags(cx: &mut Cx<'_>, request: DescribeTagsInput) -> Result<DescribeTagsOutput, Error> {
    let mut descriptions = Vec::new();
    for arn in &request.resource_arns {
        let mut shown = Vec::new();
        change(cx, arn, |tags| {
            shown.clone_from(tags);
            Ok(())
        })?;
        let shown = shown.into_iter().map(|tag| elbv2::Tag { key: tag.key, value: Some(tag.value) });
        descriptions.push(TagDescription { resource_arn: Some(arn.clone()), tags: Some(shown.collect()) });
    }
    Ok(DescribeTagsOutput { tag_descriptions: Some(descriptions) })
}

fn change_each(
    cx: &mut Cx<'_>,
    arns: &[String],
    mut each: impl FnMut(&mut Vec<Tag>) -> Result<(), Error>,
) -> Result<(), Error> {
    if arns.len() > RESOURCES_MAX {
        return Err(invalid(format!("At most {RESOURCES_MAX} resources can be tagged at once")));
    }
    arns.iter().try_for_each(|arn| change(cx, arn, &mut each))
}

/// Hands over the tags of what the ARN names.
fn change(cx: &mut Cx<'_>, arn: &str, change: impl FnOnce(&mut Vec<Tag>) -> Result<(), Error>) -> Result<(), Error> {
    let scope = cx.scope().clone();
    let kind = Arn::parse(arn).map(|arn| arn.resource.split('/').next().unwrap_or_default().to_owned());
    let txn: &mut Txn = cx.txn;
    match kind.as_deref() {
        Some("loadbalancer") => {
            let mut row = identifier::load_balancer(txn, &scope, arn)?.as_ref().clone();
            change(&mut row.tags)?;
            txn.put(row);
        }
        Some("targetgroup") => {
            let mut row = identifier::target_group(txn, &scope, arn)?.as_ref().clone();
            change(&mut row.tags)?;
            txn.put(row);
        }
        Some("listener") => {
            let mut row = identifier::listener(txn, &scope, arn)?.as_ref().clone();
            change(&mut row.tags)?;
            txn.put(row);
        }
        Some("listener-rule") => match identifier::rule(txn, &scope, arn)? {
            FoundRule::Made(row) => {
                let mut row = row.as_ref().clone();
                change(&mut row.tags)?;
                txn.put(row);
            }
            FoundRule::Default(_) => return Err(invalid("The default rule of a listener has no tags")),
        },
        _ => return Err(invalid(format!("'{arn}' is not a valid ARN of a load balancing resource"))),
    }
    Ok(())
}
