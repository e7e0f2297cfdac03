//! The one answer for what AWS has and Gantry does not have yet.

use wire::error::Failure;

/// The code of every such answer, and of no other.
pub const CODE: &str = "UnsupportedOperation";

/// A 4xx that says so: after a 5xx SDKs would try again for minutes.
pub fn refuse(service: &str, operation: &str) -> Failure {
    Failure::new(400, CODE, format!("{service}:{operation} is not built in this version of Gantry."))
}
