//! Tags of certificates: Add, Remove, List.

use model::{Tag, tag};
use wire::acm::{
    self, AddTagsToCertificateRequest, AddTagsToCertificateResponse, Error, ListTagsForCertificateRequest,
    ListTagsForCertificateResponse, RemoveTagsFromCertificateRequest, RemoveTagsFromCertificateResponse,
};

use super::certificate::named;
use crate::Cx;

/// # Errors
/// `InvalidTagException` for reserved keys, `TooManyTagsException`.
pub fn from_wire(given: Vec<acm::Tag>) -> Result<Vec<Tag>, Error> {
    let mut tags = Vec::new();
    for given in given {
        tag::put(&mut tags, &[Tag { key: given.key, value: given.value.unwrap_or_default() }]);
    }
    check(&tags)?;
    Ok(tags)
}

fn check(tags: &[Tag]) -> Result<(), Error> {
    if tags.len() > tag::TAGS_MAX {
        return Err(Error::too_many_tags(format!("A certificate can have at most {} tags.", tag::TAGS_MAX)));
    }
    if tags.iter().any(|tag| tag.key.to_ascii_lowercase().starts_with("aws:")) {
        return Err(Error::invalid_tag("Tag keys that begin with 'aws:' are reserved."));
    }
    Ok(())
}

pub fn add_tags_to_certificate(
    cx: &mut Cx<'_>,
    request: AddTagsToCertificateRequest,
) -> Result<AddTagsToCertificateResponse, Error> {
    let mut row = named(cx.txn, cx.scope(), &request.certificate_arn)?;
    tag::put(&mut row.tags, &from_wire(request.tags)?);
    check(&row.tags)?;
    cx.txn.put(row);
    Ok(AddTagsToCertificateResponse::default())
}

/// RemoveTagsFromCertificate: where a value is given, only a tag that has it.
pub fn remove_tags_from_certificate(
    cx: &mut Cx<'_>,
    request: &RemoveTagsFromCertificateRequest,
) -> Result<RemoveTagsFromCertificateResponse, Error> {
    let mut row = named(cx.txn, cx.scope(), &request.certificate_arn)?;
    let names = |tag: &Tag, given: &acm::Tag| {
        tag.key == given.key && given.value.as_ref().is_none_or(|value| *value == tag.value)
    };
    row.tags.retain(|tag| !request.tags.iter().any(|given| names(tag, given)));
    cx.txn.put(row);
    Ok(RemoveTagsFromCertificateResponse::default())
}

pub fn list_tags_for_certificate(
    cx: &mut Cx<'_>,
    request: &ListTagsForCertificateRequest,
) -> Result<ListTagsForCertificateResponse, Error> {
    let row = named(cx.txn, cx.scope(), &request.certificate_arn)?;
    let tags = row.tags.into_iter().map(|tag| acm::Tag { key: tag.key, value: Some(tag.value) });
    Ok(ListTagsForCertificateResponse { tags: Some(tags.collect()) })
}
