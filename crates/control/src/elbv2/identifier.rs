//! ARNs of load balancers, listeners, rules and target groups, and the rows that they name.

use std::sync::Arc;

use model::load_balancer::{Listener, LoadBalancer, Rule, TargetGroup};
use model::{Arn, Scope};
use store::Tables;
use wire::elbv2::Error;

use super::invalid;
use crate::page;

/// Items of a page by default and at most.
const PAGE_MAX: usize = 400;

/// The parts of the resource after its kind, when the ARN is of that kind and scope.
fn parts(scope: &Scope, kind: &str, text: &str) -> Option<Vec<String>> {
    let arn = Arn::parse(text).filter(|arn| arn.service == "elasticloadbalancing" && arn.belongs_to(scope))?;
    let rest = arn.resource.strip_prefix(kind)?.strip_prefix('/')?;
    Some(rest.split('/').map(str::to_owned).collect())
}

/// What is found when the ARN names something of this scope; `Err` when it is no ARN of the kind at all.
fn check_form(kind: &str, noun: &str, text: &str) -> Result<(), Error> {
    let is_arn = Arn::parse(text).is_some_and(|arn| arn.resource.split('/').next() == Some(kind));
    if is_arn { Ok(()) } else { Err(invalid(format!("'{text}' is not a valid {noun} ARN"))) }
}

/// # Errors
/// `ValidationError` for what is no ARN of a load balancer, `LoadBalancerNotFound`.
pub fn load_balancer(tables: &Tables, scope: &Scope, arn: &str) -> Result<Arc<LoadBalancer>, Error> {
    check_form("loadbalancer", "load balancer", arn)?;
    let found = parts(scope, "loadbalancer", arn).and_then(|parts| {
        let [_, name, id] = <[String; 3]>::try_from(parts).ok()?;
        tables.load_balancers.get(&(scope.clone(), name)).filter(|row| row.id == id).cloned()
    });
    found.ok_or_else(|| Error::load_balancer_not_found("One or more load balancers not found"))
}

/// # Errors
/// `ValidationError` for what is no ARN of a target group, `TargetGroupNotFound`.
pub fn target_group(tables: &Tables, scope: &Scope, arn: &str) -> Result<Arc<TargetGroup>, Error> {
    check_form("targetgroup", "target group", arn)?;
    let found = parts(scope, "targetgroup", arn).and_then(|parts| {
        let [name, id] = <[String; 2]>::try_from(parts).ok()?;
        tables.target_groups.get(&(scope.clone(), name)).filter(|row| row.id == id).cloned()
    });
    found.ok_or_else(|| Error::target_group_not_found("One or more target groups not found"))
}

/// # Errors
/// `ValidationError` for what is no ARN of a listener, `ListenerNotFound`.
pub fn listener(tables: &Tables, scope: &Scope, arn: &str) -> Result<Arc<Listener>, Error> {
    check_form("listener", "listener", arn)?;
    let found = parts(scope, "listener", arn).and_then(|parts| {
        let [_, load_balancer, _, id] = <[String; 4]>::try_from(parts).ok()?;
        tables.listeners.get(&(scope.clone(), load_balancer, id)).filter(|row| row.arn().to_string() == arn).cloned()
    });
    found.ok_or_else(|| Error::listener_not_found("One or more listeners not found"))
}

/// A rule that a caller made, or the default one, which is its listener's own.
pub enum FoundRule {
    Made(Arc<Rule>),
    Default(Arc<Listener>),
}

/// # Errors
/// `ValidationError` for what is no ARN of a rule, `RuleNotFound`.
pub fn rule(tables: &Tables, scope: &Scope, arn: &str) -> Result<FoundRule, Error> {
    check_form("listener-rule", "listener rule", arn)?;
    let found = parts(scope, "listener-rule", arn).and_then(|parts| {
        let [_, load_balancer, _, listener, id] = <[String; 5]>::try_from(parts).ok()?;
        let key = (scope.clone(), load_balancer.clone(), listener.clone(), id.clone());
        if let Some(rule) = tables.rules.get(&key).filter(|rule| rule.arn().to_string() == arn) {
            return Some(FoundRule::Made(rule.clone()));
        }
        let row = tables.listeners.get(&(scope.clone(), load_balancer, listener))?;
        (row.default_rule_arn().to_string() == arn).then(|| FoundRule::Default(row.clone()))
    });
    found.ok_or_else(|| Error::rule_not_found("One or more rules not found"))
}

/// `PageSize` and the key after which the page begins.
///
/// # Errors
/// `ValidationError`.
pub fn page(page_size: Option<i32>, marker: Option<&str>) -> Result<(usize, Option<String>), Error> {
    let limit = page_size.map_or(Some(PAGE_MAX), |size| usize::try_from(size).ok());
    let limit = limit.filter(|limit| (1..=PAGE_MAX).contains(limit));
    let limit = limit.ok_or_else(|| invalid(format!("Page size must be between 1 and {PAGE_MAX}")))?;
    let after = page::start(marker).map_err(|_| invalid("Invalid marker"))?;
    Ok((limit, after))
}
