//! STS: who am I.

use wire::sts::{Error, GetCallerIdentityResponse, Request, Response};

use crate::Caller;

/// Needs no state: the answer is the authenticated caller.
///
/// # Errors
/// None yet; callers without a valid signature do not come this far.
pub fn dispatch(caller: &Caller, request: Request) -> Result<Response, Error> {
    match request {
        Request::GetCallerIdentity(_) => Ok(Response::GetCallerIdentity(get_caller_identity(caller))),
    }
}

fn get_caller_identity(caller: &Caller) -> GetCallerIdentityResponse {
    GetCallerIdentityResponse {
        account: Some(caller.scope.account.to_string()),
        arn: Some(caller.principal_arn.to_string()),
        user_id: Some(caller.user_id.to_string()),
    }
}
