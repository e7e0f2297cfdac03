//! Certificates: Import, Describe, Get, List, Delete.

use std::sync::Arc;

use model::certificate::PrivateKey;
use model::{Certificate, Scope};
use rand::Rng;
use store::Tables;
use wire::acm::{
    CertificateStatus, DeleteCertificateRequest, DeleteCertificateResponse, DescribeCertificateRequest,
    DescribeCertificateResponse, Error, Filters, GetCertificateRequest, GetCertificateResponse,
    ImportCertificateRequest, ImportCertificateResponse, KeyAlgorithm, ListCertificatesRequest,
    ListCertificatesResponse, SortBy, SortOrder,
};

use super::{convert, find, pem, tag};
use crate::{Cx, page};

/// Per account and region, as AWS has it.
const CERTIFICATES_MAX: usize = 2500;
/// Of one page of a list.
const PAGE_MAX: i32 = 1000;
/// What a list shows of whom nothing is said: AWS shows the others only when they are asked for.
const KEY_TYPES_BY_DEFAULT: [&str; 2] = ["RSA_1024", "RSA_2048"];

/// # Errors
/// `ResourceNotFoundException`
pub(super) fn named(tables: &Tables, scope: &Scope, arn: &str) -> Result<Certificate, Error> {
    let found = find(tables, scope, arn).cloned();
    found.ok_or_else(|| Error::resource_not_found(format!("Could not find certificate {arn}.")))
}

/// ImportCertificate: a new one, or a newer one in the place of one that was imported.
pub fn import_certificate(
    cx: &mut Cx<'_>,
    request: ImportCertificateRequest,
) -> Result<ImportCertificateResponse, Error> {
    let chain = request.certificate_chain.map(|chain| chain.0);
    let given =
        pem::Given { certificate: &request.certificate.0, chain: chain.as_deref(), key: &request.private_key.0 };
    let read = given.read(cx.now).map_err(Error::validation)?;
    let present = request.certificate_arn.as_deref().map(|arn| named(cx.txn, cx.scope(), arn)).transpose()?;
    if present.is_some() && request.tags.is_some() {
        return Err(Error::validation("Tagging is not permitted on re-import."));
    }
    let tags = tag::from_wire(request.tags.unwrap_or_default())?;
    if present.is_none() && of_scope(cx.txn, cx.scope()).count() >= CERTIFICATES_MAX {
        return Err(Error::limit_exceeded(format!("There can be at most {CERTIFICATES_MAX} certificates")));
    }
    let row = Certificate {
        scope: cx.scope().clone(),
        id: present.as_ref().map_or_else(|| new_id(cx), |present| present.id.clone()),
        facts: read.facts,
        body: read.certificate,
        chain: read.chain,
        private_key: PrivateKey(read.key),
        tags: present.as_ref().map_or(tags, |present| present.tags.clone()),
        created_at: present.map_or(cx.now, |present| present.created_at),
        imported_at: cx.now,
    };
    let arn = row.arn().to_string();
    cx.txn.put(row);
    Ok(ImportCertificateResponse { certificate_arn: Some(arn) })
}

/// A random UUID.
fn new_id(cx: &mut Cx<'_>) -> String {
    let random: u128 = cx.random.random();
    let version = random & !(0xf << 76) | 4 << 76;
    let hex = format!("{:032x}", version & !(0b11 << 62) | 0b10 << 62);
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

pub fn describe_certificate(
    cx: &mut Cx<'_>,
    request: &DescribeCertificateRequest,
) -> Result<DescribeCertificateResponse, Error> {
    let row = named(cx.txn, cx.scope(), &request.certificate_arn)?;
    let used_by = cx.txn.load_balancers_of_certificate(cx.scope(), &request.certificate_arn);
    let used_by = used_by.into_iter().filter_map(|name| cx.txn.load_balancers.get(&(row.scope.clone(), name)));
    let used_by = used_by.map(|load_balancer| load_balancer.arn().to_string()).collect();
    Ok(DescribeCertificateResponse { certificate: Some(convert::detail(&row, used_by, cx.now)) })
}

pub fn get_certificate(cx: &mut Cx<'_>, request: &GetCertificateRequest) -> Result<GetCertificateResponse, Error> {
    let row = named(cx.txn, cx.scope(), &request.certificate_arn)?;
    Ok(GetCertificateResponse { certificate: Some(row.body), certificate_chain: row.chain })
}

/// DeleteCertificate; one that a listener uses stays.
pub fn delete_certificate(
    cx: &mut Cx<'_>,
    request: &DeleteCertificateRequest,
) -> Result<DeleteCertificateResponse, Error> {
    let arn = &request.certificate_arn;
    let row = named(cx.txn, cx.scope(), arn)?;
    if !cx.txn.load_balancers_of_certificate(cx.scope(), arn).is_empty() {
        let account = &row.scope.account;
        return Err(Error::resource_in_use(format!("Certificate {arn} in account {account} is in use.")));
    }
    cx.txn.remove::<Certificate>(&row.key());
    Ok(DeleteCertificateResponse::default())
}

fn of_scope<'a>(tables: &'a Tables, scope: &'a Scope) -> impl Iterator<Item = &'a Arc<Certificate>> {
    tables.certificates.range((scope.clone(), String::new())..).take_while(move |row| row.scope == *scope)
}

/// ListCertificates, in the order of their creation.
pub fn list_certificates(
    cx: &mut Cx<'_>,
    request: &ListCertificatesRequest,
) -> Result<ListCertificatesResponse, Error> {
    let after = page::start(request.next_token.as_deref()).map_err(|error| Error::invalid_args(error.to_string()))?;
    let is_descending = match (&request.sort_by, &request.sort_order) {
        (None | Some(SortBy::CreatedAt), None | Some(SortOrder::Ascending)) => false,
        (Some(SortBy::CreatedAt), Some(SortOrder::Descending)) => true,
        _ => return Err(Error::validation("SortOrder must be specified together with SortBy.")),
    };
    let mut rows: Vec<&Arc<Certificate>> = of_scope(cx.txn, cx.scope()).filter(|row| is_listed(row, request)).collect();
    rows.sort_by_key(|row| place(row));
    if is_descending {
        rows.reverse();
    }
    let comes_after = |row: &&Arc<Certificate>| {
        after.as_ref().is_none_or(|after| if is_descending { place(row) < *after } else { place(row) > *after })
    };
    let limit = usize::try_from(request.max_items.unwrap_or(PAGE_MAX)).unwrap_or_default();
    let (rows, next_token) = page::cut(rows.into_iter().filter(comes_after), limit, |row| place(row));
    let summaries = rows.into_iter().map(|row| {
        let is_in_use = !cx.txn.load_balancers_of_certificate(cx.scope(), &row.arn().to_string()).is_empty();
        convert::summary(row, is_in_use, cx.now)
    });
    let listed = request.certificate_statuses.as_deref();
    let has_status = |status: &Option<CertificateStatus>| {
        listed.is_none_or(|listed| status.as_ref().is_some_and(|status| listed.contains(status)))
    };
    let summaries = summaries.filter(|summary| has_status(&summary.status)).collect();
    Ok(ListCertificatesResponse { certificate_summary_list: Some(summaries), next_token })
}

/// What it is sorted by and where a page goes on.
fn place(row: &Certificate) -> String {
    format!("{:015}/{}", row.created_at.as_millis(), row.id)
}

fn is_listed(row: &Certificate, request: &ListCertificatesRequest) -> bool {
    let origins = request.certificate_key_pair_origins.as_deref();
    let none = Filters::default();
    let filters = request.includes.as_ref().unwrap_or(&none);
    let Filters { export_option, extended_key_usage, key_types, key_usage, managed_by } = filters;
    // What was imported is exported and managed by nobody.
    let has_origin = origins.is_none_or(|origins| origins.iter().any(|origin| origin.as_str() == "CUSTOMER_PROVIDED"));
    let has_key = match key_types {
        Some(kinds) => kinds.iter().any(|kind: &KeyAlgorithm| kind.as_str() == row.facts.key_algorithm),
        None => KEY_TYPES_BY_DEFAULT.contains(&row.facts.key_algorithm.as_str()),
    };
    let uses = |usages: &[String], wanted: &str| usages.iter().any(|usage| usage == wanted);
    let has_usages = key_usage.iter().flatten().all(|usage| uses(&row.facts.key_usages, usage.as_str()));
    let has_extended = extended_key_usage
        .iter()
        .flatten()
        .all(|wanted| row.facts.extended_key_usages.iter().any(|(name, _)| name == wanted.as_str()));
    has_origin && has_key && has_usages && has_extended && export_option.is_none() && managed_by.is_none()
}
