//! Stickiness cookies. Their value is a keyed hash of what they stand for, compared with the hashes of the targets that
//! there are: a client that makes one up reaches nothing, and none tells an address.

use std::net::SocketAddr;

use hmac::{Hmac, Mac};
use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue};
use model::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::Sha256;

/// A client's target.
pub const TARGET: &str = "AWSALB";
/// A client's target, chosen once the application's own cookie is there.
pub const APPLICATION: &str = "AWSALBAPP-0";
/// A client's target group.
pub const GROUP: &str = "AWSALBTG";
/// The same once more for requests of other sites.
const CORS_SUFFIX: &str = "CORS";
const TAG_BYTES: usize = 16;

/// What cookies are signed with. As long as it stays, clients find their targets again, also after a restart.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CookieKey(pub [u8; 32]);

impl std::fmt::Debug for CookieKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CookieKey")
    }
}

impl CookieKey {
    pub fn tag_of_target(&self, group: &str, address: SocketAddr) -> String {
        self.tag("target", group, &address.to_string())
    }

    /// A rule's groups are its own matter: the same group has another tag under another rule.
    pub fn tag_of_group(&self, rule: &str, group: &str) -> String {
        self.tag("group", rule, group)
    }

    /// ARNs and addresses hold no line feed.
    fn tag(&self, kind: &str, of: &str, what: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
        mac.update(format!("{kind}\n{of}\n{what}").as_bytes());
        hex::encode(&mac.finalize().into_bytes()[..TAG_BYTES])
    }
}

/// The value of a cookie in a request's headers, the first one of that name.
pub fn find<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(';')).find_map(|pair| {
        let (found, value) = pair.trim().split_once('=')?;
        (found == name).then_some(value)
    })
}

/// Whether an answer sets a cookie of that name.
pub fn is_set(headers: &HeaderMap, name: &str) -> bool {
    let lines = headers.get_all(SET_COOKIE).iter().filter_map(|line| line.to_str().ok());
    lines.into_iter().any(|line| line.split_once('=').is_some_and(|(found, _)| found.trim() == name))
}

/// Sets `name` in an answer, and its double for requests of other sites.
pub fn set(headers: &mut HeaderMap, name: &str, tag: &str, seconds: u32, now: Timestamp) {
    let expires = date(now.plus(std::time::Duration::from_secs(seconds.into())));
    let plain = format!("{name}={tag}; Expires={expires}; Path=/");
    let cors = match name.split_once('-') {
        Some((name, number)) => format!("{name}{CORS_SUFFIX}-{number}"),
        None => format!("{name}{CORS_SUFFIX}"),
    };
    let cors = format!("{cors}={tag}; Expires={expires}; Path=/; SameSite=None");
    for line in [plain, cors] {
        headers.append(SET_COOKIE, HeaderValue::try_from(line).expect("names, hexadecimal digits and dates"));
    }
}

/// `Wed, 21 Oct 2026 07:28:00 GMT`
fn date(at: Timestamp) -> String {
    let at = jiff::Timestamp::from_millisecond(at.as_millis()).unwrap_or_default();
    at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_tell_things_apart() {
        let key = CookieKey([1; 32]);
        let address = |text: &str| text.parse().expect("an address");
        let tag = key.tag_of_target("g", address("10.0.0.1:80"));
        assert_eq!(tag.len(), 2 * TAG_BYTES);
        assert_eq!(tag, key.tag_of_target("g", address("10.0.0.1:80")));
        assert_ne!(tag, key.tag_of_target("g", address("10.0.0.2:80")));
        assert_ne!(tag, key.tag_of_target("h", address("10.0.0.1:80")));
        assert_ne!(tag, CookieKey([2; 32]).tag_of_target("g", address("10.0.0.1:80")));
        assert_ne!(key.tag_of_group("g", "10.0.0.1:80"), tag);
    }

    #[test]
    fn cookies_are_found_by_their_whole_name() {
        let headers = |lines: &[&str]| {
            let value = |line: &&str| (COOKIE, HeaderValue::from_str(line).expect("a value"));
            lines.iter().map(value).collect::<HeaderMap>()
        };
        let check = |lines: &[&str], expected| assert_eq!(find(&headers(lines), TARGET), expected, "{lines:?}");
        check(&[], None);
        check(&["AWSALB=x"], Some("x"));
        check(&["a=b; AWSALB=x;c=d"], Some("x"));
        check(&["a=b", "AWSALB=x"], Some("x"));
        check(&["AWSALBTG=x; XAWSALB=y"], None);
        check(&["AWSALB"], None);
        check(&["AWSALB=x; AWSALB=y"], Some("x"));
    }

    #[test]
    fn answers() {
        let lines = |name| {
            let mut headers = HeaderMap::new();
            set(&mut headers, name, "ab", 60, Timestamp(1_792_567_680_000));
            let lines = headers.get_all(SET_COOKIE).iter().map(|line| line.to_str().expect("text").to_owned());
            lines.collect::<Vec<_>>()
        };
        let expires = "Expires=Wed, 21 Oct 2026 07:29:00 GMT; Path=/";
        assert_eq!(
            lines(TARGET),
            [format!("AWSALB=ab; {expires}"), format!("AWSALBCORS=ab; {expires}; SameSite=None")]
        );
        assert!(lines(APPLICATION)[1].starts_with("AWSALBAPPCORS-0=ab"));
        let mut headers = HeaderMap::new();
        headers.append(SET_COOKIE, HeaderValue::from_static("JSESSIONID=1; Path=/"));
        assert!(is_set(&headers, "JSESSIONID"));
        assert!(!is_set(&headers, "Path"));
    }
}
