//! Elastic Load Balancing v2: application and network load balancers with their listeners, and target groups of addresses
//! and of instances.
//!
//! The operations only write rows; [`traffic`](crate::traffic) makes of them what the data path serves.
//!
//! Not built: gateway load balancers, mutual and other authentication, transforms. What asks for them is refused.

pub(crate) mod alpn;
mod attachment;
mod attribute;
mod certificate;
mod convert;
pub(crate) mod identifier;
mod limit;
mod listener;
mod load_balancer;
mod rule;
mod ssl_policy;
mod tag;
mod target;
mod target_group;

use rand::Rng;
use wire::elbv2::{Error, Request, Response};

use crate::{Cx, not_built};
pub(crate) use attribute::{
    LOAD_BALANCER, NETWORK_LISTENER, NETWORK_LOAD_BALANCER, all, table_of_group, table_of_listener, value,
};
pub(crate) use rule::in_order;

/// Runs one operation.
///
/// # Errors
/// ELBv2's exceptions and texts.
pub fn dispatch(cx: &mut Cx<'_>, request: Request) -> Result<Response, Error> {
    let operation = request.operation();
    match request {
        Request::AddListenerCertificates(request) => {
            certificate::add_listener_certificates(cx, request).map(Response::AddListenerCertificates)
        }
        Request::AddTags(request) => tag::add_tags(cx, request).map(Response::AddTags),
        Request::CreateListener(request) => listener::create_listener(cx, request).map(Response::CreateListener),
        Request::CreateLoadBalancer(request) => {
            load_balancer::create_load_balancer(cx, request).map(Response::CreateLoadBalancer)
        }
        Request::CreateRule(request) => rule::create_rule(cx, request).map(Response::CreateRule),
        Request::CreateTargetGroup(request) => {
            target_group::create_target_group(cx, request).map(Response::CreateTargetGroup)
        }
        Request::DeleteListener(request) => listener::delete_listener(cx, request).map(Response::DeleteListener),
        Request::DeleteLoadBalancer(request) => {
            load_balancer::delete_load_balancer(cx, request).map(Response::DeleteLoadBalancer)
        }
        Request::DeleteRule(request) => rule::delete_rule(cx, request).map(Response::DeleteRule),
        Request::DeleteTargetGroup(request) => {
            target_group::delete_target_group(cx, request).map(Response::DeleteTargetGroup)
        }
        Request::DeregisterTargets(request) => target::deregister_targets(cx, request).map(Response::DeregisterTargets),
        Request::DescribeAccountLimits(request) => {
            limit::describe_account_limits(request).map(Response::DescribeAccountLimits)
        }
        Request::DescribeCapacityReservation(request) => {
            limit::describe_capacity_reservation(cx, request).map(Response::DescribeCapacityReservation)
        }
        Request::DescribeListenerAttributes(request) => {
            listener::describe_listener_attributes(cx, request).map(Response::DescribeListenerAttributes)
        }
        Request::DescribeListenerCertificates(request) => {
            certificate::describe_listener_certificates(cx, request).map(Response::DescribeListenerCertificates)
        }
        Request::DescribeListeners(request) => {
            listener::describe_listeners(cx, request).map(Response::DescribeListeners)
        }
        Request::DescribeLoadBalancerAttributes(request) => {
            load_balancer::describe_load_balancer_attributes(cx, request).map(Response::DescribeLoadBalancerAttributes)
        }
        Request::DescribeLoadBalancers(request) => {
            load_balancer::describe_load_balancers(cx, request).map(Response::DescribeLoadBalancers)
        }
        Request::DescribeRules(request) => rule::describe_rules(cx, request).map(Response::DescribeRules),
        Request::DescribeSSLPolicies(request) => {
            ssl_policy::describe_ssl_policies(request).map(Response::DescribeSSLPolicies)
        }
        Request::DescribeTags(request) => tag::describe_tags(cx, request).map(Response::DescribeTags),
        Request::DescribeTargetGroupAttributes(request) => {
            target_group::describe_target_group_attributes(cx, request).map(Response::DescribeTargetGroupAttributes)
        }
        Request::DescribeTargetGroups(request) => {
            target_group::describe_target_groups(cx, request).map(Response::DescribeTargetGroups)
        }
        Request::DescribeTargetHealth(request) => {
            target::describe_target_health(cx, request).map(Response::DescribeTargetHealth)
        }
        Request::ModifyListener(request) => listener::modify_listener(cx, request).map(Response::ModifyListener),
        Request::ModifyListenerAttributes(request) => {
            listener::modify_listener_attributes(cx, request).map(Response::ModifyListenerAttributes)
        }
        Request::ModifyLoadBalancerAttributes(request) => {
            load_balancer::modify_load_balancer_attributes(cx, request).map(Response::ModifyLoadBalancerAttributes)
        }
        Request::ModifyRule(request) => rule::modify_rule(cx, request).map(Response::ModifyRule),
        Request::ModifyTargetGroup(request) => {
            target_group::modify_target_group(cx, request).map(Response::ModifyTargetGroup)
        }
        Request::ModifyTargetGroupAttributes(request) => {
            target_group::modify_target_group_attributes(cx, request).map(Response::ModifyTargetGroupAttributes)
        }
        Request::RegisterTargets(request) => target::register_targets(cx, request).map(Response::RegisterTargets),
        Request::RemoveListenerCertificates(request) => {
            certificate::remove_listener_certificates(cx, request).map(Response::RemoveListenerCertificates)
        }
        Request::RemoveTags(request) => tag::remove_tags(cx, request).map(Response::RemoveTags),
        Request::SetIpAddressType(request) => {
            attachment::set_ip_address_type(cx, request).map(Response::SetIpAddressType)
        }
        Request::SetRulePriorities(request) => rule::set_rule_priorities(cx, request).map(Response::SetRulePriorities),
        Request::SetSecurityGroups(request) => {
            attachment::set_security_groups(cx, request).map(Response::SetSecurityGroups)
        }
        Request::SetSubnets(request) => attachment::set_subnets(cx, request).map(Response::SetSubnets),
        Request::AddTrustStoreRevocations(_)
        | Request::CreateTrustStore(_)
        | Request::DeleteSharedTrustStoreAssociation(_)
        | Request::DeleteTrustStore(_)
        | Request::DescribeTrustStoreAssociations(_)
        | Request::DescribeTrustStoreRevocations(_)
        | Request::DescribeTrustStores(_)
        | Request::GetResourcePolicy(_)
        | Request::GetTrustStoreCaCertificatesBundle(_)
        | Request::GetTrustStoreRevocationContent(_)
        | Request::ModifyCapacityReservation(_)
        | Request::ModifyIpPools(_)
        | Request::ModifyTrustStore(_)
        | Request::RemoveTrustStoreRevocations(_) => Err(not_built::refuse("elbv2", operation).into()),
    }
}

/// What is wrong with a request, in the code that ELBv2 has for it.
fn invalid(message: impl Into<String>) -> Error {
    Error::other(400, "ValidationError", message)
}

/// What AWS has and Gantry does not.
fn unbuilt(what: &str) -> Error {
    Error::other(400, "UnsupportedFeature", format!("{what} not supported by Gantry yet."))
}

/// 16 hex digits, the last part of an ARN.
fn new_id(cx: &mut Cx<'_>) -> String {
    format!("{:016x}", cx.random.random::<u64>())
}
