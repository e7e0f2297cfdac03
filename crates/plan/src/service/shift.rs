//! What a deployment with stages does with the traffic of load balancers (ecs-semantics §3.13): which target group its
//! tasks are in, and how the listener rules share requests out among the groups.
//!
//! ```text
//!                    production rule             test rule
//! before             blue 100   green   0        blue 100   green   0
//! TEST_TRAFFIC       blue 100   green   0        blue   0   green 100
//! PRODUCTION_TRAFFIC blue  95   green   5  …     blue   0   green 100
//! back               blue 100   green   0        blue 100   green   0
//! ```
//! A pair of target groups takes turns: a new revision's tasks are in the one that does not serve. A ROLLING deployment
//! stays in the one that does, and leaves the rules alone.

use std::collections::BTreeMap;

use model::Service;
use model::deployment_configuration::{DeploymentStrategy, PerMille};
use model::service_load_balancer::AdvancedConfiguration;

use super::staged;

/// What a listener rule is to forward to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shift {
    /// ARN.
    pub rule: String,
    /// Target groups by ARN, each with its weight.
    pub groups: BTreeMap<String, u32>,
}

/// Chooses the target groups of the service's newest deployment.
pub fn choose_groups(service: &mut Service) {
    let Some(source) = staged::serving(service).map(|index| service.deployments[index].load_balancers.clone()) else {
        return;
    };
    let stays = service.configuration.strategy == DeploymentStrategy::Rolling;
    let Some(newest) = service.deployments.first_mut() else { return };
    for row in &mut newest.load_balancers {
        let Some(advanced) = &row.advanced else { continue };
        let serves = |group: &str| source.iter().any(|source| source.group() == group);
        row.is_alternate = match stays {
            true => serves(&advanced.alternate_target_group),
            false => serves(&row.target_group),
        };
    }
}

/// How the rules are to be, by what each deployment is to get. A rule that nobody is to get anything of stays as it is.
pub(super) fn of(service: &Service) -> Vec<Shift> {
    let production = shares(service, |advanced| Some(&advanced.production_listener_rule), |traffic| traffic.production);
    let test = shares(service, |advanced| advanced.test_listener_rule.as_ref(), |traffic| traffic.test);
    let rules = production.into_iter().chain(test);
    let used = rules.filter(|(_, groups)| groups.values().any(|share| *share > PerMille::NONE));
    used.map(|(rule, groups)| Shift { rule, groups: weights(groups) }).collect()
}

type Shares = BTreeMap<String, PerMille>;

fn shares(
    service: &Service,
    rule: impl Fn(&AdvancedConfiguration) -> Option<&String>,
    share: impl Fn(model::service_deployment::Traffic) -> PerMille,
) -> BTreeMap<String, Shares> {
    let mut rules: BTreeMap<String, Shares> = BTreeMap::new();
    for deployment in &service.deployments {
        for row in &deployment.load_balancers {
            let Some(advanced) = &row.advanced else { continue };
            let Some(rule) = rule(advanced) else { continue };
            let groups = rules.entry(rule.clone()).or_default();
            for group in [&row.target_group, &advanced.alternate_target_group] {
                groups.entry(group.clone()).or_default();
            }
            let part = groups.entry(row.group().to_owned()).or_default();
            part.0 += share(deployment.traffic.unwrap_or_default()).0;
        }
    }
    rules
}

/// Percent, where these are whole; a weight is at most 999.
fn weights(groups: Shares) -> BTreeMap<String, u32> {
    let unit = if groups.values().all(|share| share.0 % 10 == 0) { 10 } else { 1 };
    groups.into_iter().map(|(group, share)| (group, share.0 / unit)).collect()
}
