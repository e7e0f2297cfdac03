//! Tags between wire and model, with the rules that hold wherever tags are given (ecs-semantics §0.2).

use std::collections::BTreeSet;

use model::tag::{TAG_KEY_LENGTH_MAX, TAG_VALUE_LENGTH_MAX, TAGS_MAX, Tag};
use wire::ecs;
use wire::ecs::Error;

const RESERVED_PREFIX: &str = "aws:";

/// # Errors
/// `InvalidParameterException` for tags that no resource can have.
pub fn from_wire(tags: Vec<ecs::Tag>) -> Result<Vec<Tag>, Error> {
    if tags.len() > TAGS_MAX {
        return Err(Error::invalid_parameter(too_many()));
    }
    let mut keys = BTreeSet::new();
    let tags: Vec<Tag> = tags.into_iter().map(tag_from_wire).collect::<Result<_, _>>()?;
    match tags.iter().find(|tag| !keys.insert(tag.key.as_str())) {
        Some(tag) => Err(Error::invalid_parameter(format!("The tag key '{}' is given more than once.", tag.key))),
        None => Ok(tags),
    }
}

/// The text for more tags than a resource can have.
pub fn too_many() -> String {
    format!("The maximum number of tags for a resource is {TAGS_MAX}.")
}

fn tag_from_wire(tag: ecs::Tag) -> Result<Tag, Error> {
    let ecs::Tag { key, value } = tag;
    let (key, value) = (key.unwrap_or_default(), value.unwrap_or_default());
    check_key(&key)?;
    if value.chars().count() > TAG_VALUE_LENGTH_MAX || !value.chars().all(is_allowed) {
        return Err(Error::invalid_parameter(format!(
            "Invalid value of tag '{key}'. It must have at most {TAG_VALUE_LENGTH_MAX} letters, digits, spaces or any \
             of _.:/=+-@."
        )));
    }
    Ok(Tag { key, value })
}

/// # Errors
/// `InvalidParameterException` for a key that no caller can set or remove.
pub fn check_key(key: &str) -> Result<(), Error> {
    if !(1..=TAG_KEY_LENGTH_MAX).contains(&key.chars().count()) || !key.chars().all(is_allowed) {
        return Err(Error::invalid_parameter(format!(
            "Invalid tag key '{key}'. It must have 1 to {TAG_KEY_LENGTH_MAX} letters, digits, spaces or any of _.:/=+-@."
        )));
    }
    let starts_reserved =
        key.get(..RESERVED_PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(RESERVED_PREFIX));
    if starts_reserved {
        return Err(Error::invalid_parameter(format!(
            "Invalid tag key '{key}'. The prefix '{RESERVED_PREFIX}' is reserved for AWS."
        )));
    }
    Ok(())
}

/// `[\p{L}\p{Z}\p{N}_.:/=+\-@]`.
fn is_allowed(c: char) -> bool {
    c.is_alphanumeric() || (c.is_whitespace() && !c.is_control()) || "_.:/=+-@".contains(c)
}

pub fn to_wire(tags: &[Tag]) -> Vec<ecs::Tag> {
    tags.iter().map(|tag| ecs::Tag { key: Some(tag.key.clone()), value: Some(tag.value.clone()) }).collect()
}
