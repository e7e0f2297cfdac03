//! A listener as requests see it: rules ready to be asked, and what each of them does.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use model::edge::{
    Action, AnswerAttributes, Forward, ListenerProtocol, ListenerSpec, LoadBalancerAttributes, LoadBalancerSpec,
    Redirect, RuleSpec, TargetGroupSpec,
};
use tokio_rustls::TlsAcceptor;

use crate::cookie::CookieKey;
use crate::dial::Source;
use crate::group::Group;
use crate::header::AnswerHeaders;
use crate::meter::Meter;
use crate::rule::Rules;
use crate::{balance, random, tls};

/// Stays the same while its rules change, so that connections need not be opened anew.
#[derive(Debug)]
pub struct Listener {
    served: ArcSwap<Served>,
    /// It is gone: connections close once they are answered.
    is_closing: AtomicBool,
}

pub struct Served {
    pub spec: ListenerSpec,
    pub attributes: LoadBalancerAttributes,
    /// Of the addresses whose connections stay in their zone.
    pub zones: BTreeMap<IpAddr, String>,
    pub headers: AnswerHeaders,
    /// Of a secured one.
    pub tls: Option<TlsAcceptor>,
    pub rules: Rules,
    /// As many as rules.
    pub routes: Vec<Route>,
    /// What is different when tasks call by Service Connect.
    pub call: Option<Call>,
}

/// A listener of Service Connect: requests go on as they came, failing targets are avoided, and it is counted.
#[derive(Clone, Debug)]
pub struct Call {
    /// From a request's end to its answer's.
    pub request_limit: Option<Duration>,
    pub meter: Arc<Meter>,
}

#[derive(Debug)]
pub enum Route {
    Forward(Forwarding),
    Redirect(Redirect),
    FixedResponse { status: u16, content_type: Option<String>, body: String },
}

#[derive(Debug)]
pub struct Forwarding {
    pub choices: Vec<Choice>,
    pub stickiness_seconds: Option<u32>,
}

/// One of the groups that a rule forwards to.
#[derive(Debug)]
pub struct Choice {
    pub group: Arc<Group>,
    pub weight: u32,
    /// What a cookie that leads to it holds.
    pub tag: String,
}

impl Listener {
    pub fn new(served: Served) -> Arc<Self> {
        Arc::new(Self { served: ArcSwap::from_pointee(served), is_closing: AtomicBool::new(false) })
    }

    pub fn served(&self) -> Arc<Served> {
        self.served.load_full()
    }

    pub fn set(&self, served: Served) {
        self.served.store(Arc::new(served));
    }

    pub fn close(&self) {
        self.is_closing.store(true, Ordering::Relaxed);
    }

    pub fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::Relaxed)
    }
}

/// As before when it can be, so that clients can resume what they have agreed on.
fn tls_of(spec: &ListenerSpec, before: Option<&Served>) -> Option<TlsAcceptor> {
    match before.filter(|before| before.spec.tls == spec.tls) {
        Some(before) => before.tls.clone(),
        None => spec.tls.as_ref().map(tls::acceptor),
    }
}

impl std::fmt::Debug for Served {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Served").field("spec", &self.spec).field("routes", &self.routes).finish_non_exhaustive()
    }
}

impl Served {
    pub fn new(
        spec: &ListenerSpec,
        load_balancer: &LoadBalancerSpec,
        groups: &BTreeMap<String, Arc<Group>>,
        key: &CookieKey,
        before: Option<&Self>,
    ) -> Self {
        Self {
            zones: load_balancer.zones.iter().map(|(ip, zone)| (IpAddr::V4(*ip), zone.clone())).collect(),
            headers: AnswerHeaders::new(&spec.answers),
            tls: tls_of(spec, before),
            rules: Rules::new(spec.rules.iter().map(|rule| rule.conditions.as_slice())),
            routes: spec.rules.iter().map(|rule| Route::new(&rule.arn, &rule.action, groups, key)).collect(),
            attributes: load_balancer.attributes.clone(),
            spec: spec.clone(),
            call: None,
        }
    }

    /// Answers everything with 404 and this text.
    pub fn refusing(text: &str, key: &CookieKey) -> Self {
        let action = Action::FixedResponse { status: 404, content_type: None, body: text.to_owned() };
        let rule = RuleSpec { arn: String::new(), conditions: Vec::new(), action };
        let spec = ListenerSpec {
            arn: String::new(),
            port: 0,
            protocol: ListenerProtocol::Http,
            tls: None,
            tcp_idle_timeout_seconds: 0,
            answers: AnswerAttributes::default(),
            rules: vec![rule],
        };
        let load_balancer = LoadBalancerSpec {
            arn: String::new(),
            dns_name: String::new(),
            addresses: Vec::new(),
            zones: BTreeMap::new(),
            attributes: LoadBalancerAttributes::default(),
            listeners: Vec::new(),
        };
        Self::new(&spec, &load_balancer, &BTreeMap::new(), key, None)
    }

    pub fn idle_limit(&self) -> Duration {
        Duration::from_secs(self.attributes.idle_timeout_seconds.max(1).into())
    }

    /// Of connections that are passed on as they are.
    pub fn stream_idle_limit(&self) -> Duration {
        Duration::from_secs(self.spec.tcp_idle_timeout_seconds.max(1).into())
    }

    /// Where a connection or a flow goes that begins now: no rule but the default one looks at it.
    pub fn group(&self) -> Option<&Arc<Group>> {
        let Some(Route::Forward(forwarding)) = self.routes.last() else { return None };
        let index = balance::group(forwarding.choices.iter().map(|choice| choice.weight), random::next())?;
        Some(&forwarding.choices[index].group)
    }

    pub fn age_limit(&self) -> Duration {
        Duration::from_secs(self.attributes.client_keep_alive_seconds.max(1).into())
    }
}

impl Route {
    fn new(rule: &str, action: &Action, groups: &BTreeMap<String, Arc<Group>>, key: &CookieKey) -> Self {
        match action {
            Action::Forward(forward) => Self::Forward(Forwarding::new(rule, forward, groups, key)),
            Action::Redirect(redirect) => Self::Redirect(redirect.clone()),
            Action::FixedResponse { status, content_type, body } => {
                Self::FixedResponse { status: *status, content_type: content_type.clone(), body: body.clone() }
            }
        }
    }
}

impl Forwarding {
    fn new(rule: &str, forward: &Forward, groups: &BTreeMap<String, Arc<Group>>, key: &CookieKey) -> Self {
        let choice = |(arn, weight): &(String, u32)| Choice {
            group: groups.get(arn).cloned().unwrap_or_else(|| nobody(arn)),
            weight: *weight,
            tag: key.tag_of_group(rule, arn),
        };
        Self { choices: forward.groups.iter().map(choice).collect(), stickiness_seconds: forward.stickiness_seconds }
    }
}

/// A group that the snapshot does not have: it has no targets.
fn nobody(arn: &str) -> Arc<Group> {
    let spec = TargetGroupSpec {
        arn: arn.to_owned(),
        protocol: model::edge::TargetProtocol::Http,
        protocol_version: model::edge::ProtocolVersion::Http1,
        algorithm: model::edge::Algorithm::RoundRobin,
        stickiness: None,
        slow_start_seconds: 0,
        deregistration_delay_seconds: 0,
        connections: model::edge::ConnectionAttributes::default(),
        health_check: model::edge::HealthCheckSpec {
            protocol: model::edge::CheckProtocol::Http,
            port: None,
            path: "/".to_owned(),
            interval_seconds: 30,
            timeout_seconds: 5,
            healthy_threshold: 5,
            unhealthy_threshold: 2,
            matcher: model::edge::Matcher::HttpCode(vec![(200, 200)]),
        },
        targets: Vec::new(),
    };
    Group::new(arn.to_owned(), Arc::new(spec), Source::Machine)
}
