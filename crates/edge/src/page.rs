//! The load balancer's own answers, in the form that AWS gives them, since people and programs tell them by it from
//! those of targets.

use http::header::{CONNECTION, CONTENT_TYPE, LOCATION, SERVER};
use http::{HeaderValue, Response, StatusCode};

use crate::body::Body;

const SERVER_NAME: HeaderValue = HeaderValue::from_static("awselb/2.0");
const HTML: HeaderValue = HeaderValue::from_static("text/html");

/// An error, or what else has a page of its own.
pub fn page(status: StatusCode) -> Response<Body> {
    let title = title(status);
    let text = format!(
        "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n</body>\r\n</html>\r\n"
    );
    with(status, HTML, text)
}

/// A request that was refused for what it is: nothing more is read of its connection.
pub fn refusal(status: StatusCode) -> Response<Body> {
    let mut response = page(status);
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

pub fn redirect(status: u16, location: &str) -> Response<Body> {
    let Ok(location) = HeaderValue::from_str(location) else { return page(StatusCode::BAD_REQUEST) };
    let mut response = page(StatusCode::from_u16(status).unwrap_or(StatusCode::FOUND));
    response.headers_mut().insert(LOCATION, location);
    response
}

pub fn fixed(status: u16, content_type: Option<&str>, body: &str) -> Response<Body> {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let content_type = format!("{}; charset=utf-8", content_type.unwrap_or("text/plain"));
    with(status, HeaderValue::try_from(content_type).unwrap_or(HTML), body.to_owned())
}

fn with(status: StatusCode, content_type: HeaderValue, text: String) -> Response<Body> {
    let mut response = Response::new(Body::whole(text));
    *response.status_mut() = status;
    response.headers_mut().insert(SERVER, SERVER_NAME);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

/// `502 Bad Gateway`
fn title(status: StatusCode) -> String {
    let reason = match status {
        StatusCode::SERVICE_UNAVAILABLE => "Service Temporarily Unavailable",
        StatusCode::GATEWAY_TIMEOUT => "Gateway Time-out",
        _ => status.canonical_reason().unwrap_or_default(),
    };
    format!("{} {reason}", status.as_u16()).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles() {
        let check = |status, expected| assert_eq!(title(StatusCode::from_u16(status).expect("a status")), expected);
        check(502, "502 Bad Gateway");
        check(503, "503 Service Temporarily Unavailable");
        check(504, "504 Gateway Time-out");
        check(463, "463");
    }

    #[test]
    fn a_redirect_takes_no_second_line_into_its_header() {
        assert_eq!(redirect(302, "http://a/\r\nx: y").status(), StatusCode::BAD_REQUEST);
        assert_eq!(redirect(301, "http://a/").status(), StatusCode::MOVED_PERMANENTLY);
    }
}
