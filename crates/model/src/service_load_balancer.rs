//! What a service behind load balancers asks for: `loadBalancers` (ecs-semantics §3.6, §3.13).

use serde::{Deserialize, Serialize};

/// Of one service, as AWS has it.
pub const LOAD_BALANCERS_MAX: usize = 5;

/// A target group, and the container whose port its requests go to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceLoadBalancer {
    /// ARN.
    pub target_group: String,
    pub container: String,
    pub container_port: u16,
    /// For deployments that shift traffic.
    pub advanced: Option<AdvancedConfiguration>,
    /// Of a deployment: its tasks are in the alternate target group, because the other one served when it began.
    pub is_alternate: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdvancedConfiguration {
    /// ARN.
    pub alternate_target_group: String,
    /// ARN.
    pub production_listener_rule: String,
    /// ARN.
    pub test_listener_rule: Option<String>,
    pub role_arn: Option<String>,
}

impl ServiceLoadBalancer {
    /// The target group that tasks are registered in.
    pub fn group(&self) -> &str {
        match &self.advanced {
            Some(advanced) if self.is_alternate => &advanced.alternate_target_group,
            _ => &self.target_group,
        }
    }

    /// As it was asked for.
    pub fn asked(&self) -> Self {
        Self { is_alternate: false, ..self.clone() }
    }
}
