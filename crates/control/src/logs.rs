//! CloudWatch Logs. Groups and streams are rows of the store; events are in the log store and never pass through a
//! transaction.
//!
//! Not built: metric filters, subscriptions, queries, exports, KMS keys, deletion protection.

mod event;
mod group;
mod ingest;
mod name;
mod stream;
mod sweep;
mod tag;

pub use ingest::{IngestError, ingest};
pub use sweep::sweep;

use store::WriteError;
use wire::logs::{Error, Request, Response};

use crate::{Caller, Control, Cx};

/// Answers one request.
///
/// # Errors
/// The service's own exceptions.
pub async fn call(control: &Control, caller: &Caller, request: Request) -> Result<Response, Error> {
    match request {
        Request::CreateLogGroup(r) => {
            write(control, caller, |cx| group::create(cx, r)).await.map(Response::CreateLogGroup)
        }
        Request::DeleteLogGroup(r) => group::delete(control, caller, r).await.map(Response::DeleteLogGroup),
        Request::DescribeLogGroups(r) => {
            control.read(caller, |cx| group::describe(cx, &control.logs, r)).map(Response::DescribeLogGroups)
        }
        Request::PutRetentionPolicy(r) => {
            write(control, caller, |cx| group::put_retention(cx, r)).await.map(Response::PutRetentionPolicy)
        }
        Request::DeleteRetentionPolicy(r) => {
            write(control, caller, |cx| group::delete_retention(cx, r)).await.map(Response::DeleteRetentionPolicy)
        }
        Request::CreateLogStream(r) => {
            write(control, caller, |cx| stream::create(cx, r)).await.map(Response::CreateLogStream)
        }
        Request::DeleteLogStream(r) => stream::delete(control, caller, r).await.map(Response::DeleteLogStream),
        Request::DescribeLogStreams(r) => {
            control.read(caller, |cx| stream::describe(cx, &control.logs, r)).map(Response::DescribeLogStreams)
        }
        Request::PutLogEvents(r) => event::put(control, caller, r).await.map(Response::PutLogEvents),
        Request::GetLogEvents(r) => event::get(control, caller, r).await.map(Response::GetLogEvents),
        Request::FilterLogEvents(r) => event::filter(control, caller, r).await.map(Response::FilterLogEvents),
        Request::TagLogGroup(r) => write(control, caller, |cx| tag::tag_group(cx, r)).await.map(Response::TagLogGroup),
        Request::UntagLogGroup(r) => {
            write(control, caller, |cx| tag::untag_group(cx, r)).await.map(Response::UntagLogGroup)
        }
        Request::ListTagsLogGroup(r) => {
            control.read(caller, |cx| tag::list_group(cx, r)).map(Response::ListTagsLogGroup)
        }
        Request::TagResource(r) => {
            write(control, caller, |cx| tag::tag_resource(cx, r)).await.map(Response::TagResource)
        }
        Request::UntagResource(r) => {
            write(control, caller, |cx| tag::untag_resource(cx, r)).await.map(Response::UntagResource)
        }
        Request::ListTagsForResource(r) => {
            control.read(caller, |cx| tag::list_resource(cx, r)).map(Response::ListTagsForResource)
        }
    }
}

async fn write<T>(
    control: &Control,
    caller: &Caller,
    operation: impl FnOnce(&mut Cx<'_>) -> Result<T, Error>,
) -> Result<T, Error> {
    control.write(caller, operation).await.map_err(|error| match error {
        WriteError::Refused(error) => error,
        WriteError::Log(error) => unavailable(&error.to_string()),
    })
}

/// The store or the log store could not do its work; nothing was changed.
fn unavailable(text: &str) -> Error {
    Error::service_unavailable(text)
}
