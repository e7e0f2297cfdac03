//! What every Describe operation does with its items: ids, filters, pages.

use wire::ec2::{Error, Filter, Tag};

use super::{filter, refuse};
use crate::page;

const PAGE_MIN: i32 = 5;
const PAGE_MAX: i32 = 1000;

/// What differs between the kinds of items.
pub(super) struct Noun<T> {
    /// `subnet ID`, as the refusals of unknown ids name it.
    pub label: &'static str,
    /// Code of those refusals.
    pub not_found: &'static str,
    pub id: fn(&T) -> &str,
    pub tags: fn(&T) -> Option<&Vec<Tag>>,
    /// The names of its filters, but for tags.
    pub filters: &'static [&'static str],
    /// What an item has under a filter's name.
    pub values: fn(&T, &str) -> Vec<String>,
}

/// What the caller asked for.
pub(super) struct Selection<'a> {
    pub dry_run: Option<bool>,
    pub ids: Option<&'a [String]>,
    pub filters: Option<&'a [Filter]>,
    pub max_results: Option<i32>,
    pub next_token: Option<&'a str>,
}

/// The page of `items` that was asked for, by id, and the token of the next one.
///
/// # Errors
/// EC2's, for unknown ids, bad filters, sizes and tokens, and for a dry run.
pub(super) fn select<T>(
    noun: &Noun<T>,
    selection: &Selection<'_>,
    mut items: Vec<T>,
) -> Result<(Vec<T>, Option<String>), Error> {
    refuse_dry_run(selection.dry_run)?;
    let filters = selection.filters.unwrap_or_default();
    filter::check(filters, noun.filters)?;
    if let Some(ids) = selection.ids {
        refuse_unknown(noun, ids, &items)?;
        items.retain(|item| ids.is_empty() || ids.iter().any(|id| id == (noun.id)(item)));
    }
    items.retain(|item| filter::passes(filters, |name| values_of(noun, item, name)));
    items.sort_by(|a, b| (noun.id)(a).cmp((noun.id)(b)));
    let limit = page_size(selection.max_results)?;
    let after = page::start(selection.next_token)
        .map_err(|_| refuse("InvalidNextToken", "The specified NextToken is not valid."))?;
    let rest = items.into_iter().filter(|item| after.as_deref().is_none_or(|after| (noun.id)(item) > after));
    Ok(page::cut(rest, limit, |item| (noun.id)(item).to_owned()))
}

fn values_of<T>(noun: &Noun<T>, item: &T, filter: &str) -> Vec<String> {
    let tags = || (noun.tags)(item).into_iter().flatten();
    if filter == "tag-key" {
        return tags().filter_map(|tag| tag.key.clone()).collect();
    }
    match filter.strip_prefix("tag:") {
        Some(key) => tags().filter(|tag| tag.key.as_deref() == Some(key)).filter_map(|tag| tag.value.clone()).collect(),
        None => (noun.values)(item, filter),
    }
}

pub(super) fn refuse_dry_run(dry_run: Option<bool>) -> Result<(), Error> {
    match dry_run {
        Some(true) => {
            let text = "Request would have succeeded, but DryRun flag is set.";
            Err(Error::other(412, "DryRunOperation", text))
        }
        _ => Ok(()),
    }
}

fn refuse_unknown<T>(noun: &Noun<T>, ids: &[String], items: &[T]) -> Result<(), Error> {
    let is_known = |id: &String| items.iter().any(|item| (noun.id)(item) == id);
    let unknown: Vec<&str> = ids.iter().filter(|id| !is_known(id)).map(String::as_str).collect();
    let label = noun.label;
    match unknown[..] {
        [] => Ok(()),
        [id] => Err(refuse(noun.not_found, format!("The {label} '{id}' does not exist"))),
        _ => Err(refuse(noun.not_found, format!("The {label}s '{}' do not exist", unknown.join(", ")))),
    }
}

fn page_size(max_results: Option<i32>) -> Result<usize, Error> {
    let size = max_results.unwrap_or(PAGE_MAX);
    let refused = |than: &str| {
        let text = format!("Value ( {size} ) for parameter maxResults is invalid. Expecting a value {than}.");
        Err(refuse("InvalidParameterValue", text))
    };
    match size {
        ..PAGE_MIN => refused("greater than 5"),
        PAGE_MIN..=PAGE_MAX => Ok(usize::try_from(size).expect("positive")),
        _ => refused("less than or equal to 1000"),
    }
}

/// One optional value as a filter sees it.
pub(super) fn one(value: Option<&str>) -> Vec<String> {
    value.map(str::to_owned).into_iter().collect()
}

/// A boolean as a filter sees it.
pub(super) fn flag(value: Option<bool>) -> Vec<String> {
    vec![value.unwrap_or(false).to_string()]
}
