//! What the List operations have in common: how many entries a page has, and where it begins.

use wire::ecs::Error;

use crate::page;

/// Entries of a page by default and at most (ecs-semantics §4.3).
pub const PAGE_MAX: usize = 100;

/// Entries of one page.
///
/// # Errors
/// `InvalidParameterException` unless `max_results` is 1 to `most`.
pub fn limit(max_results: Option<i32>, default: usize, most: usize) -> Result<usize, Error> {
    let Some(max_results) = max_results else { return Ok(default) };
    let limit = usize::try_from(max_results).ok().filter(|limit| (1..=most).contains(limit));
    limit.ok_or_else(|| Error::invalid_parameter(format!("maxResults must be between 1 and {most}.")))
}

/// The key after which the page begins.
///
/// # Errors
/// `InvalidParameterException` for a token that is none of ours.
pub fn start(token: Option<&str>) -> Result<Option<String>, Error> {
    page::start(token).map_err(|error| Error::invalid_parameter(format!("{error}.")))
}
