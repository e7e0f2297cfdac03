//! Which rule a request falls under: the first in order of priority whose conditions all hold.
//!
//! Rules are found by an index, so that a thousand of them cost about what one does. A rule stands in one of three
//! places, by what its conditions demand first; a request looks only into those that it could be in:
//!
//! ```text
//! by host   rules whose hosts are all without wildcards     the request's host
//! by path   rules whose paths all fix the first segment      the request's first segment
//! rest      all others                                       always
//! ```

use std::collections::HashMap;
use std::net::IpAddr;

use http::{HeaderMap, HeaderName};
use ipnet::IpNet;
use model::edge::{Condition, Pattern};

use crate::pattern::{Case, Matcher, Wildcard};

/// What conditions look at.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// In lower case, without the port.
    pub host: &'a str,
    pub path: &'a str,
    pub query: &'a str,
    pub method: &'a str,
    pub headers: &'a HeaderMap,
    pub source: IpAddr,
}

#[derive(Debug, Default)]
pub struct Rules {
    /// In order of priority.
    conditions: Vec<Vec<Compiled>>,
    by_host: HashMap<String, Vec<usize>>,
    by_segment: HashMap<String, Vec<usize>>,
    rest: Vec<usize>,
}

impl Rules {
    pub fn new<'a>(rules: impl IntoIterator<Item = &'a [Condition]>) -> Self {
        let mut made = Self::default();
        for (index, conditions) in rules.into_iter().enumerate() {
            made.conditions.push(conditions.iter().map(Compiled::new).collect());
            made.file(index, conditions);
        }
        made
    }

    fn file(&mut self, index: usize, conditions: &[Condition]) {
        let (map, keys) = if let Some(hosts) = conditions.iter().find_map(literal_hosts) {
            (&mut self.by_host, hosts)
        } else if let Some(segments) = conditions.iter().find_map(first_segments) {
            (&mut self.by_segment, segments)
        } else {
            return self.rest.push(index);
        };
        for key in keys {
            let listed = map.entry(key).or_default();
            // Two values of one rule can have the same key.
            if listed.last() != Some(&index) {
                listed.push(index);
            }
        }
    }

    /// The index of the first rule that holds.
    pub fn find(&self, subject: &Subject) -> Option<usize> {
        let none: &[usize] = &[];
        let by_host = self.by_host.get(subject.host).map_or(none, Vec::as_slice);
        let by_segment = segment_of(subject.path).and_then(|segment| self.by_segment.get(segment));
        let by_segment = by_segment.map_or(none, Vec::as_slice);
        let holds = |list: &[usize]| list.iter().copied().find(|index| self.holds(*index, subject));
        [by_host, by_segment, &self.rest].into_iter().filter_map(holds).min()
    }

    fn holds(&self, index: usize, subject: &Subject) -> bool {
        self.conditions[index].iter().all(|condition| condition.holds(subject))
    }
}

/// The hosts of a condition that has no wildcards.
fn literal_hosts(condition: &Condition) -> Option<Vec<String>> {
    let Condition::HostHeader(patterns) = condition else { return None };
    let literal = |pattern: &Pattern| {
        let Pattern::Wildcard(text) = pattern else { return None };
        let wildcard = Wildcard::new(text, Case::Insensitive);
        let text = wildcard.is_literal().then(|| wildcard.literal_start())?;
        String::from_utf8(text).ok()
    };
    patterns.iter().map(literal).collect()
}

/// The first segments of a condition whose patterns all fix them.
fn first_segments(condition: &Condition) -> Option<Vec<String>> {
    let Condition::PathPattern(patterns) = condition else { return None };
    let segment = |pattern: &Pattern| {
        let Pattern::Wildcard(text) = pattern else { return None };
        let wildcard = Wildcard::new(text, Case::Sensitive);
        let start = String::from_utf8(wildcard.literal_start()).ok()?;
        // `/api*` also stands for `/apis`: what comes before a wildcard is a segment only when a slash ends it.
        let is_whole = wildcard.is_literal() || start.get(1..)?.contains('/');
        is_whole.then(|| segment_of(&start).map(str::to_owned)).flatten()
    };
    patterns.iter().map(segment).collect()
}

/// `/api/v1` → `api`
fn segment_of(path: &str) -> Option<&str> {
    path.strip_prefix('/').map(|rest| rest.split_once('/').map_or(rest, |(segment, _)| segment))
}

#[derive(Debug)]
enum Compiled {
    Host(Vec<Matcher>),
    Path(Vec<Matcher>),
    Header(Option<HeaderName>, Vec<Matcher>),
    Method(Vec<String>),
    Query(Vec<(Option<Wildcard>, Wildcard)>),
    Source(Vec<IpNet>),
}

impl Compiled {
    fn new(condition: &Condition) -> Self {
        let matchers =
            |patterns: &[Pattern], case| patterns.iter().map(|pattern| Matcher::new(pattern, case)).collect();
        match condition {
            Condition::HostHeader(patterns) => Self::Host(matchers(patterns, Case::Insensitive)),
            Condition::PathPattern(patterns) => Self::Path(matchers(patterns, Case::Sensitive)),
            Condition::HttpHeader { name, values } => {
                Self::Header(name.parse().ok(), matchers(values, Case::Insensitive))
            }
            Condition::HttpRequestMethod(methods) => Self::Method(methods.clone()),
            Condition::QueryString(pairs) => {
                let wildcard = |text: &String| Wildcard::new(text, Case::Insensitive);
                Self::Query(pairs.iter().map(|(key, value)| (key.as_ref().map(wildcard), wildcard(value))).collect())
            }
            Condition::SourceIp(networks) => Self::Source(networks.clone()),
        }
    }

    fn holds(&self, subject: &Subject) -> bool {
        let any = |matchers: &[Matcher], text: &str| matchers.iter().any(|matcher| matcher.matches(text));
        match self {
            Self::Host(matchers) => any(matchers, subject.host),
            Self::Path(matchers) => any(matchers, subject.path),
            Self::Header(name, matchers) => name.as_ref().is_some_and(|name| {
                let values = subject.headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
                values.into_iter().any(|value| any(matchers, value))
            }),
            Self::Method(methods) => methods.iter().any(|method| method == subject.method),
            Self::Query(pairs) => subject.query.split('&').any(|item| pairs.iter().any(|pair| query_fits(pair, item))),
            Self::Source(networks) => networks.iter().any(|network| network.contains(&subject.source)),
        }
    }
}

/// An item without `=` is a key without a value; a condition without a key takes it for a value.
fn query_fits((key, value): &(Option<Wildcard>, Wildcard), item: &str) -> bool {
    match (key, item.split_once('=')) {
        (None, None) => value.matches(item),
        (None, Some((_, found))) => value.matches(found),
        (Some(key), found) => {
            let (name, found) = found.unwrap_or((item, ""));
            key.matches(name) && value.matches(found)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wildcards(texts: &[&str]) -> Vec<Pattern> {
        texts.iter().map(|text| Pattern::Wildcard((*text).to_owned())).collect()
    }

    fn host(texts: &[&str]) -> Condition {
        Condition::HostHeader(wildcards(texts))
    }

    fn path(texts: &[&str]) -> Condition {
        Condition::PathPattern(wildcards(texts))
    }

    /// `method host path?query`, with one header and a source.
    fn find(rules: &[Vec<Condition>], request: &str) -> Option<usize> {
        let mut words = request.split(' ');
        let mut next = || words.next().expect("method, host and path");
        let (method, host, target) = (next(), next(), next());
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let headers = HeaderMap::from_iter([(HeaderName::from_static("x-kind"), "Blue".parse().expect("a value"))]);
        let source = "10.1.2.3".parse().expect("an address");
        Rules::new(rules.iter().map(Vec::as_slice)).find(&Subject {
            host,
            path,
            query,
            method,
            headers: &headers,
            source,
        })
    }

    #[track_caller]
    fn check(condition: Condition, holding: &[&str], others: &[&str]) {
        let rules = [vec![condition]];
        for request in holding {
            assert_eq!(find(&rules, request), Some(0), "{rules:?} holds for {request}");
        }
        for request in others {
            assert_eq!(find(&rules, request), None, "{rules:?} does not hold for {request}");
        }
    }

    #[test]
    fn each_condition() {
        check(host(&["a.example.com", "*.org"]), &["GET a.example.com /", "GET x.org /"], &["GET b.example.com /"]);
        check(host(&["A.Example.com"]), &["GET a.example.com /"], &[]);
        check(path(&["/api/*", "/exact"]), &["GET h /api/", "GET h /exact"], &["GET h /exact/", "GET h /API/x"]);
        check(path(&["/api*"]), &["GET h /apis", "GET h /api/x"], &["GET h /ap"]);
        check(
            Condition::HttpRequestMethod(vec!["GET".into(), "PURGE".into()]),
            &["PURGE h /"],
            &["get h /", "PUT h /"],
        );
        let header = |name: &str, value| Condition::HttpHeader { name: name.to_owned(), values: wildcards(&[value]) };
        check(header("X-Kind", "b*e"), &["GET h /"], &[]);
        check(header("X-Kind", "red"), &[], &["GET h /"]);
        check(header("X-None", "*"), &[], &["GET h /"]);
        check(header("no name", "*"), &[], &["GET h /"]);
        let source = |network: &str| Condition::SourceIp(vec![network.parse().expect("a network")]);
        check(source("10.1.0.0/16"), &["GET h /"], &[]);
        check(source("10.2.0.0/16"), &[], &["GET h /"]);
    }

    #[test]
    fn query_strings() {
        let pairs = |pairs: &[(Option<&str>, &str)]| {
            let owned = |(key, value): &(Option<&str>, &str)| (key.map(str::to_owned), (*value).to_owned());
            Condition::QueryString(pairs.iter().map(owned).collect())
        };
        check(
            pairs(&[(Some("version"), "v1"), (None, "*example*")]),
            &["GET h /?version=v1", "GET h /?a=b&VERSION=V1", "GET h /?q=an-example-", "GET h /?example"],
            &["GET h /", "GET h /?version=v2", "GET h /?example=1"],
        );
        check(pairs(&[(Some("k"), r"\*")]), &["GET h /?k=*"], &["GET h /?k=x"]);
        check(pairs(&[(Some("k"), "")]), &["GET h /?k", "GET h /?k="], &["GET h /?k=x"]);
    }

    #[test]
    fn the_first_rule_that_holds_wins_wherever_the_index_has_it() {
        let rules = [
            vec![host(&["a.com"]), path(&["/deep/*"])],
            vec![path(&["/api/*"])],
            vec![host(&["a.com"])],
            vec![path(&["*.png"])],
            vec![path(&["/api/*", "/img/*"])],
            vec![],
        ];
        let check = |request, expected| assert_eq!(find(&rules, request), Some(expected), "{request}");
        check("GET a.com /deep/x", 0);
        check("GET a.com /api/x", 1);
        check("GET a.com /x", 2);
        check("GET b.com /img/x.png", 3);
        check("GET b.com /img/x", 4);
        check("GET b.com /api", 5);
        check("GET b.com *", 5);
    }

    #[test]
    fn a_thousand_rules_and_one_find_the_same() {
        let rules: Vec<_> = (0..1000).map(|number| vec![path(&[&format!("/service-{number}/*")])]).collect();
        assert_eq!(find(&rules, "GET h /service-777/x"), Some(777));
        assert_eq!(find(&rules, "GET h /service-1000/x"), None);
    }
}
