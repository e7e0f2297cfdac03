//! The load balancer that services may be behind: a listener and a pair of target groups for each.

use std::collections::BTreeMap;
use std::time::Duration;

use model::network::Vpc;
use tokio::time::sleep;
use wire::ecs;
use wire::elbv2::{self, Request, Response};

use super::{Client, RETRY_PAUSE};
use crate::order::{Balance, Kind, Order};
use crate::plane::{Answer, scope};
use crate::script::SERVICES;

/// How long a target that is taken out may go on with its requests.
pub const DELAY: Duration = Duration::from_secs(30);

/// What there is for each service.
pub type Front = BTreeMap<usize, Place>;

pub struct Place {
    /// ARNs.
    groups: [String; 2],
    rule: String,
}

impl Client {
    pub(super) async fn set_up_front(&self) -> Front {
        let vpc = Vpc::default_of(&scope());
        let subnets = vpc.subnets.iter().take(2).map(|subnet| subnet.id.clone()).collect();
        let request =
            elbv2::CreateLoadBalancerInput { name: "front".to_owned(), subnets: Some(subnets), ..Default::default() };
        let made = self.set_up_one(Request::CreateLoadBalancer(request)).await;
        let Response::CreateLoadBalancer(made) = made else { unreachable!("each request has its own answer") };
        let load_balancer = first(made.load_balancers).load_balancer_arn.expect("it has an ARN");
        let mut front = Front::new();
        for slot in 0..SERVICES {
            let groups = [self.set_up_group(&vpc, slot, "blue").await, self.set_up_group(&vpc, slot, "green").await];
            let rule = self.set_up_rule(&load_balancer, slot, &groups).await;
            front.insert(slot, Place { groups, rule });
        }
        front
    }

    async fn set_up_group(&self, vpc: &Vpc, slot: usize, colour: &str) -> String {
        let request = elbv2::CreateTargetGroupInput {
            name: format!("{colour}-{slot}"),
            port: Some(80),
            protocol: Some(elbv2::ProtocolEnum::Http),
            target_type: Some(elbv2::TargetTypeEnum::Ip),
            vpc_id: Some(vpc.id.clone()),
            ..Default::default()
        };
        let made = self.set_up_one(Request::CreateTargetGroup(request)).await;
        let Response::CreateTargetGroup(made) = made else { unreachable!("each request has its own answer") };
        let arn = first(made.target_groups).target_group_arn.expect("it has an ARN");
        let delay = elbv2::TargetGroupAttribute {
            key: Some("deregistration_delay.timeout_seconds".to_owned()),
            value: Some(DELAY.as_secs().to_string()),
        };
        let request =
            elbv2::ModifyTargetGroupAttributesInput { target_group_arn: arn.clone(), attributes: vec![delay] };
        self.set_up_one(Request::ModifyTargetGroupAttributes(request)).await;
        arn
    }

    /// All requests go to the first group, until a deployment shifts them.
    async fn set_up_rule(&self, load_balancer: &str, slot: usize, groups: &[String; 2]) -> String {
        let weighted = |(group, weight): (&String, i32)| elbv2::TargetGroupTuple {
            target_group_arn: Some(group.clone()),
            weight: Some(weight),
        };
        let forward = elbv2::ForwardActionConfig {
            target_groups: Some(groups.iter().zip([1, 0]).map(weighted).collect()),
            target_group_stickiness_config: None,
        };
        let action = elbv2::Action {
            r#type: elbv2::ActionTypeEnum::Forward,
            forward_config: Some(forward),
            ..Default::default()
        };
        let request = elbv2::CreateListenerInput {
            load_balancer_arn: load_balancer.to_owned(),
            port: Some(8000 + i32::try_from(slot).expect("few")),
            protocol: Some(elbv2::ProtocolEnum::Http),
            default_actions: vec![action.clone()],
            ..Default::default()
        };
        let made = self.set_up_one(Request::CreateListener(request)).await;
        let Response::CreateListener(made) = made else { unreachable!("each request has its own answer") };
        let request = elbv2::CreateRuleInput {
            listener_arn: first(made.listeners).listener_arn.expect("it has an ARN"),
            priority: 1,
            actions: vec![action],
            conditions: vec![elbv2::RuleCondition {
                field: Some("path-pattern".to_owned()),
                values: Some(vec!["/*".to_owned()]),
                ..Default::default()
            }],
            ..Default::default()
        };
        let made = self.set_up_one(Request::CreateRule(request)).await;
        let Response::CreateRule(made) = made else { unreachable!("each request has its own answer") };
        first(made.rules).rule_arn.expect("it has an ARN")
    }

    /// Nothing goes wrong yet.
    async fn set_up_one(&self, request: Request) -> Response {
        loop {
            match self.plane.balance(request.clone()).await {
                Answer::Done(response) => return *response,
                Answer::Refused(text) => panic!("{} is refused: {text}", request.operation()),
                Answer::NotNow | Answer::Unknown => sleep(RETRY_PAUSE).await,
            }
        }
    }

    /// Of a service that is created.
    pub(super) fn load_balancers(&self, slot: usize, order: Order) -> Option<Vec<ecs::LoadBalancer>> {
        let state = self.state();
        let Place { groups, rule } = state.front.get(&slot).expect("each service has its place");
        let in_group = |group: &String| ecs::LoadBalancer {
            container_name: Some("main".to_owned()),
            container_port: Some(80),
            target_group_arn: Some(group.clone()),
            ..Default::default()
        };
        let shifting = || ecs::AdvancedConfiguration {
            alternate_target_group_arn: Some(groups[1].clone()),
            production_listener_rule: Some(rule.clone()),
            role_arn: Some("arn:aws:iam::000000000000:role/load-balancing".to_owned()),
            test_listener_rule: None,
        };
        match (order.balance, order.kind) {
            (Balance::None, _) => None,
            (_, Kind::Staged(_)) => {
                let pair = ecs::LoadBalancer { advanced_configuration: Some(shifting()), ..in_group(&groups[0]) };
                Some(vec![pair])
            }
            (Balance::One, _) => Some(vec![in_group(&groups[0])]),
            (Balance::Both, _) => Some(groups.iter().map(in_group).collect()),
        }
    }
}

fn first<T>(made: Option<Vec<T>>) -> T {
    made.unwrap_or_default().into_iter().next().expect("one was made")
}
