//! Load balancers: Create, Describe, Delete, and their attributes.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::load_balancer::{LoadBalancer, LoadBalancerKind, LoadBalancerSubnet};
use model::network::{Subnet, Vpc};
use model::security_group::GROUPS_PER_INTERFACE_MAX;
use model::{NetworkInterface, Scope};
use rand::Rng;
use store::Tables;
use wire::elbv2::{
    self, CreateLoadBalancerInput, CreateLoadBalancerOutput, DeleteLoadBalancerInput, DeleteLoadBalancerOutput,
    DescribeLoadBalancerAttributesInput, DescribeLoadBalancerAttributesOutput, DescribeLoadBalancersInput,
    DescribeLoadBalancersOutput, Error, IpAddressType, LoadBalancerAttribute, LoadBalancerSchemeEnum,
    LoadBalancerStateEnum, LoadBalancerTypeEnum, ModifyLoadBalancerAttributesInput, ModifyLoadBalancerAttributesOutput,
};
use wire::value::Timestamp;

use super::{attachment, attribute, identifier, invalid, new_id, tag, unbuilt};
use crate::ec2::{security_group, subnet};
use crate::serve::front::DNS_SUFFIX;
use crate::{Cx, page};

const NAME_LENGTH_MAX: usize = 32;
/// Per region, as AWS has it.
pub(super) const LOAD_BALANCERS_MAX: usize = 50;
/// Clients that write DNS records ask for one; it is the zone of application load balancers in us-east-1.
const HOSTED_ZONE_ID: &str = "Z35SXDOTRQ7X7K";

/// CreateLoadBalancer. One that is there already and equal is answered as it is.
pub fn create_load_balancer(
    cx: &mut Cx<'_>,
    request: CreateLoadBalancerInput,
) -> Result<CreateLoadBalancerOutput, Error> {
    refuse_unbuilt(&request)?;
    check_name(&request.name)?;
    let vpc = Vpc::default_of(cx.scope());
    let kind = kind(request.r#type.as_ref())?;
    let subnets = subnets(cx, kind, request.subnets, request.subnet_mappings)?;
    let security_groups = match request.security_groups.unwrap_or_default() {
        // A network load balancer without groups takes everybody.
        ids if ids.is_empty() && kind == LoadBalancerKind::Network => Vec::new(),
        ids => security_groups(cx, &vpc, ids)?,
    };
    let is_internal = match request.scheme {
        None | Some(LoadBalancerSchemeEnum::InternetFacing) => false,
        Some(LoadBalancerSchemeEnum::Internal) => true,
        Some(LoadBalancerSchemeEnum::Unknown(_)) => {
            return Err(Error::invalid_scheme("The scheme must be one of 'internet-facing' and 'internal'"));
        }
    };
    let tags = tag::from_wire(request.tags)?;
    if let Some(present) = cx.txn.load_balancers.get(&(cx.scope().clone(), request.name.clone())).cloned() {
        let asked: Vec<&str> = subnets.iter().map(|subnet| subnet.id.as_str()).collect();
        let has: Vec<&str> = present.subnets.iter().map(|subnet| subnet.id.as_str()).collect();
        if asked != has
            || present.kind != kind
            || present.is_internal != is_internal
            || present.security_groups != security_groups
        {
            return Err(Error::duplicate_load_balancer_name(format!(
                "A load balancer with the same name '{}' exists, but with different settings",
                request.name
            )));
        }
        return Ok(CreateLoadBalancerOutput { load_balancers: Some(vec![show(&present)]) });
    }
    if of_scope(cx.txn, cx.scope()).count() >= LOAD_BALANCERS_MAX {
        return Err(Error::too_many_load_balancers(format!(
            "There can be at most {LOAD_BALANCERS_MAX} load balancers"
        )));
    }
    let (id, number) = (new_id(cx), cx.random.random_range(100_000_000..2_000_000_000_u32));
    let prefix = if is_internal { "internal-" } else { "" };
    let mut row = LoadBalancer {
        scope: cx.scope().clone(),
        dns_name: format!("{prefix}{}-{number}.{}{DNS_SUFFIX}", request.name, cx.scope().region).to_lowercase(),
        name: request.name,
        id,
        kind,
        is_internal,
        vpc_id: vpc.id.clone(),
        subnets: Vec::new(),
        security_groups,
        attributes: BTreeMap::new(),
        tags,
        created_at: cx.now,
    };
    for subnet in &subnets {
        attachment::attach(cx, &mut row, subnet)?;
    }
    cx.txn.put(row.clone());
    Ok(CreateLoadBalancerOutput { load_balancers: Some(vec![show(&row)]) })
}

fn refuse_unbuilt(request: &CreateLoadBalancerInput) -> Result<(), Error> {
    attachment::refuse_ipv6(request.ip_address_type.as_ref())?;
    let asks = request.customer_owned_ipv4_pool.is_some()
        || request.ipam_pools.is_some()
        || request.enable_prefix_for_ipv6_source_nat.is_some();
    if asks { Err(unbuilt("Address pools of load balancers are")) } else { Ok(()) }
}

fn kind(given: Option<&LoadBalancerTypeEnum>) -> Result<LoadBalancerKind, Error> {
    match given {
        None | Some(LoadBalancerTypeEnum::Application) => Ok(LoadBalancerKind::Application),
        Some(LoadBalancerTypeEnum::Network) => Ok(LoadBalancerKind::Network),
        Some(other) => Err(unbuilt(&format!("Load balancers of type '{}' are", other.as_str()))),
    }
}

fn check_name(name: &str) -> Result<(), Error> {
    if name.len() > NAME_LENGTH_MAX {
        let text = format!("The load balancer name '{name}' cannot be longer than '{NAME_LENGTH_MAX}' characters");
        return Err(invalid(text));
    }
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return Err(invalid(format!(
            "The load balancer name '{name}' can only contain characters that are alphanumeric characters and hyphens(-)"
        )));
    }
    if name.starts_with('-') || name.ends_with('-') {
        return Err(invalid(format!("The load balancer name '{name}' cannot begin or end with a hyphen")));
    }
    if name.starts_with("internal-") {
        return Err(invalid(format!("The load balancer name '{name}' cannot begin with 'internal-'")));
    }
    Ok(())
}

pub(super) fn subnets(
    cx: &Cx<'_>,
    kind: LoadBalancerKind,
    ids: Option<Vec<String>>,
    mappings: Option<Vec<elbv2::SubnetMapping>>,
) -> Result<Vec<Subnet>, Error> {
    let mappings = mappings.unwrap_or_default();
    if mappings.iter().any(|mapping| mapping.allocation_id.is_some() || mapping.private_i_pv4_address.is_some()) {
        return Err(unbuilt("Addresses of the caller's choice for load balancers are"));
    }
    let mapped = mappings.into_iter().filter_map(|mapping| mapping.subnet_id);
    let mut subnets: Vec<Subnet> = Vec::new();
    for id in ids.unwrap_or_default().into_iter().chain(mapped) {
        let found = subnet::find(cx.txn, cx.scope(), &id);
        let unknown = || Error::subnet_not_found(format!("The subnet ID '{id}' does not exist"));
        let (vpc, subnet) = found.ok_or_else(unknown)?;
        if !vpc.is_default {
            return Err(unbuilt("Load balancers in VPCs other than the built-in one are"));
        }
        if subnets.iter().any(|other| other.zone == subnet.zone) {
            return Err(Error::invalid_configuration_request(
                "A load balancer cannot be attached to multiple subnets in the same Availability Zone",
            ));
        }
        subnets.push(subnet);
    }
    match kind {
        LoadBalancerKind::Application if subnets.len() < 2 => {
            Err(invalid("At least two subnets in two different Availability Zones must be specified"))
        }
        LoadBalancerKind::Network if subnets.is_empty() => Err(invalid("At least one subnet must be specified")),
        LoadBalancerKind::Application | LoadBalancerKind::Network => Ok(subnets),
    }
}

/// The VPC's default group when none is named.
pub(super) fn security_groups(cx: &Cx<'_>, vpc: &Vpc, ids: Vec<String>) -> Result<Vec<String>, Error> {
    if ids.len() > GROUPS_PER_INTERFACE_MAX {
        return Err(invalid(format!("A load balancer can have at most {GROUPS_PER_INTERFACE_MAX} security groups")));
    }
    let mut judged: Vec<String> = Vec::new();
    for id in ids {
        let group = security_group::find(cx.txn, cx.scope(), &id).filter(|group| group.vpc_id == vpc.id);
        if group.is_none() {
            return Err(Error::invalid_security_group(format!("The security group '{id}' does not exist")));
        }
        if !judged.contains(&id) {
            judged.push(id);
        }
    }
    if judged.is_empty() {
        judged.push(vpc.security_group_id.clone());
    }
    Ok(judged)
}

fn of_scope<'a>(tables: &'a Tables, scope: &'a Scope) -> impl Iterator<Item = &'a Arc<LoadBalancer>> {
    tables.load_balancers.range((scope.clone(), String::new())..).take_while(move |row| row.scope == *scope)
}

/// DescribeLoadBalancers: those that are named, or all of them by name.
pub fn describe_load_balancers(
    cx: &mut Cx<'_>,
    request: DescribeLoadBalancersInput,
) -> Result<DescribeLoadBalancersOutput, Error> {
    let (arns, names) = (request.load_balancer_arns.unwrap_or_default(), request.names.unwrap_or_default());
    if !arns.is_empty() && !names.is_empty() {
        return Err(invalid("Load balancer names and load balancer ARNs cannot be specified at the same time"));
    }
    if !arns.is_empty() || !names.is_empty() {
        let mut found = Vec::new();
        for arn in &arns {
            found.push(show(&*identifier::load_balancer(cx.txn, cx.scope(), arn)?));
        }
        for name in &names {
            let row = cx.txn.load_balancers.get(&(cx.scope().clone(), name.clone()));
            let row =
                row.ok_or_else(|| Error::load_balancer_not_found(format!("Load balancers '[{name}]' not found")))?;
            found.push(show(row));
        }
        return Ok(DescribeLoadBalancersOutput { load_balancers: Some(found), next_marker: None });
    }
    let (limit, after) = identifier::page(request.page_size, request.marker.as_deref())?;
    let rows = of_scope(cx.txn, cx.scope()).filter(|row| after.as_ref().is_none_or(|after| row.name > *after));
    let (rows, next_marker) = page::cut(rows, limit, |row| row.name.clone());
    let shown = rows.into_iter().map(|row| show(row)).collect();
    Ok(DescribeLoadBalancersOutput { load_balancers: Some(shown), next_marker })
}

pub(super) fn zones(row: &LoadBalancer) -> Vec<elbv2::AvailabilityZone> {
    let zone = |subnet: &LoadBalancerSubnet| elbv2::AvailabilityZone {
        zone_name: Some(subnet.zone.clone()),
        subnet_id: Some(subnet.id.clone()),
        load_balancer_addresses: Some(Vec::new()),
        ..Default::default()
    };
    row.subnets.iter().map(zone).collect()
}

fn show(row: &LoadBalancer) -> elbv2::LoadBalancer {
    elbv2::LoadBalancer {
        availability_zones: Some(zones(row)),
        canonical_hosted_zone_id: Some(HOSTED_ZONE_ID.to_owned()),
        created_time: Some(Timestamp(row.created_at.as_millis())),
        dns_name: Some(row.dns_name.clone()),
        ip_address_type: Some(IpAddressType::Ipv4),
        load_balancer_arn: Some(row.arn().to_string()),
        load_balancer_name: Some(row.name.clone()),
        scheme: Some(match row.is_internal {
            true => LoadBalancerSchemeEnum::Internal,
            false => LoadBalancerSchemeEnum::InternetFacing,
        }),
        security_groups: Some(row.security_groups.clone()).filter(|groups| !groups.is_empty()),
        state: Some(elbv2::LoadBalancerState { code: Some(LoadBalancerStateEnum::Active), reason: None }),
        r#type: Some(match row.kind {
            LoadBalancerKind::Application => LoadBalancerTypeEnum::Application,
            LoadBalancerKind::Network => LoadBalancerTypeEnum::Network,
        }),
        vpc_id: Some(row.vpc_id.clone()),
        ..Default::default()
    }
}

/// DeleteLoadBalancer, with its listeners and rules; one that is not there is no error.
pub fn delete_load_balancer(
    cx: &mut Cx<'_>,
    request: DeleteLoadBalancerInput,
) -> Result<DeleteLoadBalancerOutput, Error> {
    let arn = request.load_balancer_arn;
    let row = match identifier::load_balancer(cx.txn, cx.scope(), &arn) {
        Ok(row) => row,
        Err(Error::LoadBalancerNotFoundException(_)) => return Ok(DeleteLoadBalancerOutput::default()),
        Err(error) => return Err(error),
    };
    if attribute::value(attribute::table_of_load_balancer(row.kind), &row.attributes, "deletion_protection.enabled")
        == "true"
    {
        return Err(Error::operation_not_permitted(format!(
            "Load balancer '{arn}' cannot be deleted because deletion protection is enabled"
        )));
    }
    let listeners: Vec<_> = cx.txn.listeners_of(&row.key()).map(|listener| listener.key()).collect();
    for key in &listeners {
        super::listener::remove(cx.txn, key);
    }
    for interface in attachment::interfaces(cx, &row) {
        cx.txn.remove::<NetworkInterface>(&interface.id);
    }
    cx.txn.remove::<LoadBalancer>(&row.key());
    Ok(DeleteLoadBalancerOutput::default())
}

pub fn describe_load_balancer_attributes(
    cx: &mut Cx<'_>,
    request: DescribeLoadBalancerAttributesInput,
) -> Result<DescribeLoadBalancerAttributesOutput, Error> {
    let row = identifier::load_balancer(cx.txn, cx.scope(), &request.load_balancer_arn)?;
    Ok(DescribeLoadBalancerAttributesOutput { attributes: Some(attributes(&row)) })
}

pub fn modify_load_balancer_attributes(
    cx: &mut Cx<'_>,
    request: ModifyLoadBalancerAttributesInput,
) -> Result<ModifyLoadBalancerAttributesOutput, Error> {
    let mut row = identifier::load_balancer(cx.txn, cx.scope(), &request.load_balancer_arn)?.as_ref().clone();
    if request.attributes.len() > attribute::ATTRIBUTES_MAX {
        return Err(invalid(format!("At most {} attributes can be changed at once", attribute::ATTRIBUTES_MAX)));
    }
    for given in request.attributes {
        attribute::set(attribute::table_of_load_balancer(row.kind), &mut row.attributes, given.key, given.value)?;
    }
    cx.txn.put(row.clone());
    Ok(ModifyLoadBalancerAttributesOutput { attributes: Some(attributes(&row)) })
}

fn attributes(row: &LoadBalancer) -> Vec<LoadBalancerAttribute> {
    let all = attribute::all(attribute::table_of_load_balancer(row.kind), &row.attributes);
    all.map(|(key, value)| LoadBalancerAttribute { key: Some(key.to_owned()), value: Some(value.to_owned()) }).collect()
}
