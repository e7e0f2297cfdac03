//! Tags, in the order in which the caller gave them (ecs-semantics §0.2).

use serde::{Deserialize, Serialize};

use crate::Scope;

pub const TAGS_MAX: usize = 50;
pub const TAG_KEY_LENGTH_MAX: usize = 128;
pub const TAG_VALUE_LENGTH_MAX: usize = 256;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tag {
    pub key: String,
    pub value: String,
}

/// The tags of a thing of EC2's, which may be a built-in one that has no row of its own. Gone with the thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceTags {
    pub scope: Scope,
    /// Its id, which says its kind.
    pub resource: String,
    pub tags: Vec<Tag>,
}

/// Sets each of `new` on `tags`: a key that is there takes the new value, any other is appended.
pub fn put(tags: &mut Vec<Tag>, new: &[Tag]) {
    for tag in new {
        match tags.iter_mut().find(|old| old.key == tag.key) {
            Some(old) => old.value.clone_from(&tag.value),
            None => tags.push(tag.clone()),
        }
    }
}

pub fn remove(tags: &mut Vec<Tag>, keys: &[String]) {
    tags.retain(|tag| !keys.contains(&tag.key));
}
