//! The one answer for what AWS has and Gantry does not have yet.

use wire::error::Failure;
use wire::service;

/// A 4xx that says so: after a 5xx SDKs would try again for minutes.
///
/// # Panics
/// If there is no service of that name.
pub fn refuse(service: &str, operation: &str) -> Failure {
    let service = service::all().find(|known| known.name == service).expect("a known service");
    service.protocols[0].not_built(service, operation)
}
