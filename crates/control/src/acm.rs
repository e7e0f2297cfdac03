//! AWS Certificate Manager: certificates that callers bring along, for the listeners of load balancers.
//!
//! Not built: certificates that ACM itself issues, renews, exports or searches; what asks for them is refused.
//!
//! Invariant: a private key is in no answer, no log and no event; the store's file is readable by its owner only.

mod certificate;
mod convert;
mod pem;
mod tag;

use model::{Arn, Certificate, Scope};
use store::Tables;
use wire::acm::{Error, Request, Response};

use crate::{Cx, not_built};

/// Runs one operation.
///
/// # Errors
/// ACM's exceptions and texts.
pub fn dispatch(cx: &mut Cx<'_>, request: Request) -> Result<Response, Error> {
    let operation = request.operation();
    match request {
        Request::AddTagsToCertificate(request) => {
            tag::add_tags_to_certificate(cx, request).map(Response::AddTagsToCertificate)
        }
        Request::DeleteCertificate(request) => {
            certificate::delete_certificate(cx, &request).map(Response::DeleteCertificate)
        }
        Request::DescribeCertificate(request) => {
            certificate::describe_certificate(cx, &request).map(Response::DescribeCertificate)
        }
        Request::GetCertificate(request) => certificate::get_certificate(cx, &request).map(Response::GetCertificate),
        Request::ImportCertificate(request) => {
            certificate::import_certificate(cx, request).map(Response::ImportCertificate)
        }
        Request::ListCertificates(request) => {
            certificate::list_certificates(cx, &request).map(Response::ListCertificates)
        }
        Request::ListTagsForCertificate(request) => {
            tag::list_tags_for_certificate(cx, &request).map(Response::ListTagsForCertificate)
        }
        Request::RemoveTagsFromCertificate(request) => {
            tag::remove_tags_from_certificate(cx, &request).map(Response::RemoveTagsFromCertificate)
        }
        Request::RequestCertificate(_) => Err(not_built::refuse("acm", operation).into()),
    }
}

/// The certificate of this ARN, when it is one of the scope's.
pub(crate) fn find<'a>(tables: &'a Tables, scope: &Scope, arn: &str) -> Option<&'a Certificate> {
    let arn = Arn::parse(arn).filter(|arn| arn.service == "acm" && arn.belongs_to(scope))?;
    let id = arn.resource.strip_prefix("certificate/")?;
    tables.certificates.get(&(scope.clone(), id.to_owned())).map(AsRef::as_ref)
}
