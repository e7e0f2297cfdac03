//! The public API, as any AWS client calls it: AWS JSON, or Query for load balancers and networks, over HTTP, signed with
//! SigV4. For the demo, `status`, `down` and the benches.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use hyper::header::{HeaderMap, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use wire::sigv4;

use crate::failure::{Context, Failure};
use crate::home::{Home, Running};
use crate::http;

/// The service that calls of gantry's own paths are signed for.
const OWN_SERVICE: &str = "gantry";
const ECS_SERVICE: &str = "ecs";
const ECS_TARGET: &str = "AmazonEC2ContainerServiceV20141113";
/// Everything but what may stand in a form as it is.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// DescribeTasks and DescribeContainerInstances take no more.
const DESCRIBED_PER_CALL: usize = 100;

/// An API that speaks Query.
pub struct Query {
    service: &'static str,
    version: &'static str,
}

pub const BALANCING: Query = Query { service: "elasticloadbalancing", version: "2015-12-01" };
pub const EC2: Query = Query { service: "ec2", version: "2016-11-15" };

pub struct Client {
    address: SocketAddr,
    region: String,
    access_key_id: String,
    secret_access_key: String,
}

impl Client {
    /// Speaks to whatever takes any credentials.
    pub fn anonymous(address: SocketAddr, region: &str) -> Self {
        let text = |text: &str| text.to_owned();
        Self { address, region: text(region), access_key_id: text("any"), secret_access_key: text("any") }
    }

    /// Speaks to the gantry that runs on `home`, with its root key.
    pub fn new(home: &Home, running: &Running) -> Result<Self, Failure> {
        let key = crate::env::root_key(home)?;
        Ok(Self {
            address: running.address,
            region: running.region.clone(),
            access_key_id: key.access_key_id,
            secret_access_key: key.secret_access_key,
        })
    }

    /// Calls ECS.
    pub async fn call(&self, operation: &str, input: &Value) -> Result<Value, Failure> {
        let request = self.sign(operation, input.to_string().into_bytes());
        self.send(operation, request).await
    }

    /// Calls an API with a form's names and values. Answers XML, of which [`value_of`] takes what is wanted.
    pub async fn query(&self, api: Query, operation: &str, input: Vec<(String, String)>) -> Result<String, Failure> {
        let what = || format!("{operation} failed");
        let mut form = format!("Action={operation}&Version={}", api.version);
        for (name, value) in input {
            form += &format!("&{}={}", utf8_percent_encode(&name, ESCAPED), utf8_percent_encode(&value, ESCAPED));
        }
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("application/x-www-form-urlencoded"));
        let request = self.sign_for(api.service, "/", headers, form.into_bytes()).context(what)?;
        let answer = http::send(&self.address.to_string(), request).await?;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        if answer.status == 200 {
            return Ok(text);
        }
        let why = value_of(&text, "Message").unwrap_or(text);
        Err(Failure::new(format!("{operation} was refused")).because(why))
    }

    /// Calls one of gantry's own paths.
    pub async fn call_own(&self, path: &str) -> Result<Value, Failure> {
        let request = self.sign_for(OWN_SERVICE, path, HeaderMap::new(), Vec::new());
        self.send(path, request).await
    }

    /// As [`call_own`](Self::call_own), of a path that answers with lines as they come.
    pub async fn stream_own(&self, path: &str, input: &Value) -> Result<http::Lines, Failure> {
        let request = self.sign_for(OWN_SERVICE, path, HeaderMap::new(), input.to_string().into_bytes());
        http::lines(&self.address.to_string(), request.context(|| format!("{path} failed"))?).await
    }

    async fn send(
        &self,
        operation: &str,
        request: hyper::http::Result<Request<Full<Bytes>>>,
    ) -> Result<Value, Failure> {
        let what = || format!("{operation} failed");
        let request = request.context(what)?;
        let answer = http::send(&self.address.to_string(), request).await?;
        let output: Value = serde_json::from_slice(&answer.body).context(what)?;
        if answer.status == 200 {
            return Ok(output);
        }
        let text = |name: &str| output.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        Err(Failure::new(format!("{operation} was refused")).because(format!(
            "{}: {}",
            text("__type"),
            text("message")
        )))
    }

    /// All that a List operation of ECS answers under `member`, page by page.
    pub async fn list(&self, operation: &str, mut input: Value, member: &str) -> Result<Vec<Value>, Failure> {
        let mut found = Vec::new();
        loop {
            let mut page = self.call(operation, &input).await?;
            if let Value::Array(entries) = page[member].take() {
                found.extend(entries);
            }
            match page["nextToken"].take() {
                Value::Null => return Ok(found),
                next => input["nextToken"] = next,
            }
        }
    }

    /// What a Describe operation of ECS answers under `member` for the ARNs, which it takes under the same name.
    pub async fn describe(
        &self,
        operation: &str,
        cluster: &Value,
        arns: &[Value],
        member: &str,
    ) -> Result<Vec<Value>, Failure> {
        let mut found = Vec::with_capacity(arns.len());
        for some in arns.chunks(DESCRIBED_PER_CALL) {
            let mut input = json!({"cluster": cluster});
            input[member] = some.into();
            let mut answer = self.call(operation, &input).await?;
            if let Value::Array(entries) = answer[member].take() {
                found.extend(entries);
            }
        }
        Ok(found)
    }

    /// A signed request to ECS, ready to send.
    pub fn sign(&self, operation: &str, body: Vec<u8>) -> hyper::http::Result<Request<Full<Bytes>>> {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("application/x-amz-json-1.1"));
        headers.insert("x-amz-target", format!("{ECS_TARGET}.{operation}").parse()?);
        self.sign_for(ECS_SERVICE, "/", headers, body)
    }

    fn sign_for(
        &self,
        service: &str,
        path: &str,
        headers: HeaderMap,
        body: Vec<u8>,
    ) -> hyper::http::Result<Request<Full<Bytes>>> {
        let timestamp = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
        let mut request = Request::post(path).body(())?;
        request.headers_mut().extend(headers);
        request.headers_mut().insert("host", self.address.to_string().parse()?);
        request.headers_mut().insert("x-amz-date", timestamp.parse()?);
        let authorization = {
            let unsigned = sigv4::Request {
                method: "POST",
                path,
                query: "",
                headers: request.headers(),
                body_sha256: &sigv4::hash_body(&body),
            };
            let credentials =
                sigv4::Credentials { access_key_id: &self.access_key_id, secret: &self.secret_access_key };
            sigv4::sign(&unsigned, credentials, &timestamp, &self.region, service)
        };
        request.headers_mut().insert("authorization", authorization.parse()?);
        Ok(request.map(|()| Full::new(Bytes::from(body))))
    }
}

/// The text of the first element of this name in an answer of gantry's own. For ARNs and names, which XML writes as they
/// are.
pub fn value_of(xml: &str, name: &str) -> Result<String, Failure> {
    let from = xml.split_once(&format!("<{name}>")).and_then(|(_, rest)| rest.split_once("</"));
    from.map(|(text, _)| text.to_owned()).ok_or_else(|| Failure::new(format!("the answer has no {name}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_and_their_answers() {
        assert_eq!(utf8_percent_encode("arn:aws:a/b c-1_~.", ESCAPED).to_string(), "arn%3Aaws%3Aa%2Fb%20c-1_~.");
        let xml = "<A><member><Arn>arn:1</Arn><Arn>arn:2</Arn></member></A>";
        assert_eq!(value_of(xml, "Arn").ok().as_deref(), Some("arn:1"));
        assert!(value_of(xml, "Name").is_err());
    }
}
