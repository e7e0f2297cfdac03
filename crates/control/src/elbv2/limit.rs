//! What there can be: DescribeAccountLimits; and the capacity that nobody has to reserve here.

use wire::elbv2::{
    DescribeAccountLimitsInput, DescribeAccountLimitsOutput, DescribeCapacityReservationInput,
    DescribeCapacityReservationOutput, Error, Limit,
};

use super::{certificate, identifier, listener, load_balancer, rule, target, target_group};
use crate::{Cx, page};

/// By AWS's names, in their order.
const LIMITS: [(&str, usize); 13] = [
    ("application-load-balancers", load_balancer::LOAD_BALANCERS_MAX),
    ("certificates-per-application-load-balancer", certificate::CERTIFICATES_MAX),
    ("certificates-per-network-load-balancer", certificate::CERTIFICATES_MAX),
    ("condition-values-per-alb-rule", super::convert::VALUES_MAX),
    ("listeners-per-application-load-balancer", listener::LISTENERS_MAX),
    ("listeners-per-network-load-balancer", listener::LISTENERS_MAX),
    ("network-load-balancers", load_balancer::LOAD_BALANCERS_MAX),
    ("rules-per-application-load-balancer", rule::RULES_MAX),
    ("target-groups", target_group::TARGET_GROUPS_MAX),
    ("target-groups-per-action-on-application-load-balancer", super::convert::FORWARD_GROUPS_MAX),
    ("target-groups-per-action-on-network-load-balancer", super::convert::FORWARD_GROUPS_MAX),
    ("targets-per-application-load-balancer", target::TARGETS_MAX),
    ("targets-per-network-load-balancer", target::TARGETS_MAX),
];

/// # Errors
/// `ValidationError` for a page that there is not.
pub fn describe_account_limits(request: DescribeAccountLimitsInput) -> Result<DescribeAccountLimitsOutput, Error> {
    let (limit, after) = identifier::page(request.page_size, request.marker.as_deref())?;
    let rest = LIMITS.into_iter().filter(|(name, _)| after.as_deref().is_none_or(|after| *name > after));
    let (shown, next_marker) = page::cut(rest, limit, |(name, _)| (*name).to_owned());
    let show = |(name, most): (&str, usize)| Limit { name: Some(name.to_owned()), max: Some(most.to_string()) };
    Ok(DescribeAccountLimitsOutput { limits: Some(shown.into_iter().map(show).collect()), next_marker })
}

/// DescribeCapacityReservation: none is reserved, and none can be.
pub fn describe_capacity_reservation(
    cx: &mut Cx<'_>,
    request: DescribeCapacityReservationInput,
) -> Result<DescribeCapacityReservationOutput, Error> {
    identifier::load_balancer(cx.txn, cx.scope(), &request.load_balancer_arn)?;
    Ok(DescribeCapacityReservationOutput {
        capacity_reservation_state: Some(Vec::new()),
        ..DescribeCapacityReservationOutput::default()
    })
}
