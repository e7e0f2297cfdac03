//! Cloud Map: private DNS and HTTP namespaces, their services, and the services' instances.
//!
//! The operations only write rows; [`dns`](crate::dns) makes of them what the name server answers. Every operation that
//! AWS does in the background is done when it is answered: what it answers with succeeded already.
//!
//! Not built: public DNS namespaces with their health checks, CNAME and alias records, instances by their EC2 id. What
//! asks for them is refused.

mod convert;
mod discover;
mod filter;
mod identifier;
pub(crate) mod instance;
pub(crate) mod namespace;
pub(crate) mod operation;
pub(crate) mod service;
mod tag;

use rand::Rng;
use rand::rngs::StdRng;
use wire::servicediscovery::{Error, Request, Response};

use crate::{Cx, not_built};

/// Items of a listing when its caller does not say.
const PAGE_MAX: usize = 100;
const ID_LENGTH: usize = 16;
const ID_LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz234567";

/// Runs one operation.
///
/// # Errors
/// Cloud Map's exceptions.
pub fn dispatch(cx: &mut Cx<'_>, request: Request) -> Result<Response, Error> {
    match request {
        Request::CreateHttpNamespace(request) => {
            namespace::create_http_namespace(cx, request).map(Response::CreateHttpNamespace)
        }
        Request::CreatePrivateDnsNamespace(request) => {
            namespace::create_private_dns_namespace(cx, request).map(Response::CreatePrivateDnsNamespace)
        }
        Request::CreatePublicDnsNamespace(_) => Err(no_public("CreatePublicDnsNamespace")),
        Request::CreateService(request) => service::create_service(cx, request).map(Response::CreateService),
        Request::DeleteNamespace(request) => namespace::delete_namespace(cx, request).map(Response::DeleteNamespace),
        Request::DeleteService(request) => service::delete_service(cx, request).map(Response::DeleteService),
        Request::DeleteServiceAttributes(request) => {
            service::delete_service_attributes(cx, request).map(Response::DeleteServiceAttributes)
        }
        Request::DeregisterInstance(request) => {
            instance::deregister_instance(cx, request).map(Response::DeregisterInstance)
        }
        Request::DiscoverInstances(request) => {
            discover::discover_instances(cx, request).map(Response::DiscoverInstances)
        }
        Request::DiscoverInstancesRevision(request) => {
            discover::discover_instances_revision(cx, request).map(Response::DiscoverInstancesRevision)
        }
        Request::GetInstance(request) => instance::get_instance(cx, request).map(Response::GetInstance),
        Request::GetInstancesHealthStatus(request) => {
            instance::get_instances_health_status(cx, request).map(Response::GetInstancesHealthStatus)
        }
        Request::GetNamespace(request) => namespace::get_namespace(cx, request).map(Response::GetNamespace),
        Request::GetOperation(request) => operation::get_operation(cx, request).map(Response::GetOperation),
        Request::GetService(request) => service::get_service(cx, request).map(Response::GetService),
        Request::GetServiceAttributes(request) => {
            service::get_service_attributes(cx, request).map(Response::GetServiceAttributes)
        }
        Request::ListInstances(request) => instance::list_instances(cx, request).map(Response::ListInstances),
        Request::ListNamespaces(request) => namespace::list_namespaces(cx, request).map(Response::ListNamespaces),
        Request::ListOperations(request) => operation::list_operations(cx, request).map(Response::ListOperations),
        Request::ListServices(request) => service::list_services(cx, request).map(Response::ListServices),
        Request::ListTagsForResource(request) => {
            tag::list_tags_for_resource(cx, request).map(Response::ListTagsForResource)
        }
        Request::RegisterInstance(request) => instance::register_instance(cx, request).map(Response::RegisterInstance),
        Request::TagResource(request) => tag::tag_resource(cx, request).map(Response::TagResource),
        Request::UntagResource(request) => tag::untag_resource(cx, request).map(Response::UntagResource),
        Request::UpdateHttpNamespace(request) => {
            namespace::update_http_namespace(cx, request).map(Response::UpdateHttpNamespace)
        }
        Request::UpdateInstanceCustomHealthStatus(request) => {
            instance::update_instance_custom_health_status(cx, request).map(Response::UpdateInstanceCustomHealthStatus)
        }
        Request::UpdatePrivateDnsNamespace(request) => {
            namespace::update_private_dns_namespace(cx, request).map(Response::UpdatePrivateDnsNamespace)
        }
        Request::UpdatePublicDnsNamespace(_) => Err(no_public("UpdatePublicDnsNamespace")),
        Request::UpdateService(request) => service::update_service(cx, request).map(Response::UpdateService),
        Request::UpdateServiceAttributes(request) => {
            service::update_service_attributes(cx, request).map(Response::UpdateServiceAttributes)
        }
    }
}

/// Public namespaces would need a domain that the world asks this machine for.
fn no_public(operation: &str) -> Error {
    Error::Other(not_built::refuse("servicediscovery", operation))
}

fn invalid(message: impl Into<String>) -> Error {
    Error::invalid_input(message)
}

/// What AWS has and Gantry does not.
fn unbuilt(what: &str) -> Error {
    invalid(format!("{what} not supported by Gantry yet."))
}

/// `<prefix>-` and 16 letters and digits.
fn new_id(random: &mut StdRng, prefix: &str) -> String {
    format!("{prefix}-{}", letters(random, ID_LENGTH))
}

fn letters(random: &mut StdRng, count: usize) -> String {
    (0..count).map(|_| char::from(ID_LETTERS[random.random_range(0..ID_LETTERS.len())])).collect()
}

/// What the caller calls its request, or a name made up as its SDK would.
fn request_id(cx: &mut Cx<'_>, given: Option<String>) -> String {
    given.filter(|id| !id.is_empty()).unwrap_or_else(|| model::id::uuid(cx.random.random()))
}

/// `MaxResults` and the key after which the page begins.
fn page(max_results: Option<i32>, token: Option<&str>) -> Result<(usize, Option<String>), Error> {
    let limit = max_results.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(PAGE_MAX);
    let after = crate::page::start(token).map_err(|_| invalid("The specified NextToken is not valid."))?;
    Ok((limit, after))
}
