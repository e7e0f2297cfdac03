//! Requests that come to the API's listener and are a load balancer's: those whose `Host` is a name of one. Such names
//! lead to this machine without any set-up, so a load balancer can be tried wherever the API can.

use std::error::Error;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper::header::HOST;
use hyper::{Request, Response};

/// What every load balancer's DNS name ends with.
pub const DNS_SUFFIX: &str = ".elb.localhost";

pub type BoxError = Box<dyn Error + Send + Sync>;
/// The body of an answer, passed on as it comes.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;
pub type Answering = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;
/// The data path: answers the request of a client at this address.
pub type Front = Box<dyn Fn(Request<Incoming>, SocketAddr) -> Answering + Send + Sync>;

/// Whether the request is for a load balancer.
pub fn is_load_balancers<B>(request: &Request<B>) -> bool {
    let named = request.uri().host().or_else(|| {
        let host = request.headers().get(HOST)?.to_str().ok()?;
        Some(host.rsplit_once(':').map_or(host, |(name, _)| name))
    });
    // ASCII letters are the same in both cases here, and nothing else is a name of ours.
    named.is_some_and(|name| {
        let start = name.len().checked_sub(DNS_SUFFIX.len());
        start.and_then(|start| name.get(start..)).is_some_and(|end| end.eq_ignore_ascii_case(DNS_SUFFIX))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_load_balancers() {
        let check = |host: &str, expected: bool| {
            let request = Request::builder().header(HOST, host).body(()).unwrap();
            assert_eq!(is_load_balancers(&request), expected, "{host}");
        };
        check("web-1.us-east-1.elb.localhost:4566", true);
        check("WEB-1.us-east-1.ELB.localhost", true);
        check("localhost:4566", false);
        check("elb.localhost", false);
        check("127.0.0.1:4566", false);
        check("x.elb.localhost.example.com", false);
        check("", false);
    }
}
