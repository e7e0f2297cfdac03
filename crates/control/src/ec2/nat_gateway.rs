//! NAT gateways: Create, Delete, Describe. What goes through one leaves by this machine's uplink with its address; the
//! gateway's elastic address is only shown.

use std::sync::Arc;

use model::elastic_address::AddressAssociation;
use model::nat_gateway::NatGatewayState;
use model::tag::ResourceTags;
use model::{ElasticAddress, NatGateway, NetworkInterface, Vpc};
use store::{Tables, Txn};
use wire::ec2::{
    self, ConnectivityType, CreateNatGatewayRequest, CreateNatGatewayResult, DeleteNatGatewayRequest,
    DeleteNatGatewayResult, DescribeNatGatewaysRequest, DescribeNatGatewaysResult, Error, NatGatewayAddress,
    NatGatewayAddressStatus, ResourceType,
};
use wire::value::Timestamp;

use super::select::{Noun, Selection, one, refuse_dry_run, select};
use super::vpc::changeable;
use super::{address, internet_gateway, refuse, resource, subnet, tag, unbuilt};
use crate::Cx;
use crate::ecs::task::network::{free_addresses, new_interface};

/// In an account and region, deleted ones too.
const GATEWAYS_MAX: usize = 500;

/// How long one that is deleted or failed is shown.
const RETENTION_MILLIS: i64 = 3_600_000;

const NOUN: Noun<ec2::NatGateway> = Noun {
    label: "NAT gateway",
    not_found: "NatGatewayNotFound",
    id: |gateway| gateway.nat_gateway_id.as_deref().unwrap_or_default(),
    tags: |gateway| gateway.tags.as_ref(),
    filters: &["nat-gateway-id", "state", "subnet-id", "vpc-id"],
    values,
};

/// Deleted ones too.
///
/// # Errors
/// `NatGatewayNotFound`
pub(super) fn locate(cx: &Cx<'_>, id: &str) -> Result<Arc<NatGateway>, Error> {
    let found = cx.txn.nat_gateways.get(&(cx.scope().clone(), id.to_owned())).cloned();
    found.ok_or_else(|| unknown(id))
}

pub(super) fn unknown(id: &str) -> Error {
    refuse(NOUN.not_found, format!("NatGateway {id} was not found"))
}

/// Whether one of them shows an elastic address in the VPC.
pub(super) fn is_shown_in(tables: &Tables, vpc: &Vpc) -> bool {
    let mut all = tables.nat_gateways_in_scope(&vpc.scope);
    all.any(|row| row.vpc_id == vpc.id && row.state == NatGatewayState::Available)
}

/// In a VPC without an internet gateway it fails, as on AWS.
pub(super) fn create_nat_gateway(
    cx: &mut Cx<'_>,
    request: CreateNatGatewayRequest,
) -> Result<CreateNatGatewayResult, Error> {
    refuse_unbuilt(&request)?;
    let tags = tag::from_specifications(request.tag_specifications, &ResourceType::Natgateway)?;
    let subnet_id = given(request.subnet_id, "SubnetId")?;
    let allocation_id = given(request.allocation_id, "AllocationId")?;
    let (vpc, subnet) = subnet::locate(cx, &subnet_id)?;
    changeable(&vpc)?;
    let elastic = address::locate(cx, &allocation_id)?;
    if elastic.association.is_some() {
        let text = format!("resource {allocation_id} is already associated with another resource");
        return Err(refuse("Resource.AlreadyAssociated", text));
    }
    if cx.txn.nat_gateways_in_scope(cx.scope()).count() >= GATEWAYS_MAX {
        return Err(refuse("NatGatewayLimitExceeded", "The maximum number of NAT gateways has been reached."));
    }
    let free = free_addresses(cx.txn, cx.random, &subnet, 1).pop();
    let text = || format!("Insufficient free addresses in subnet '{subnet_id}'.");
    let free = free.ok_or_else(|| refuse("InsufficientFreeAddressesInSubnet", text()))?;
    refuse_dry_run(request.dry_run)?;
    let id = resource::new_id(cx, "nat");
    let interface = NetworkInterface { nat_gateway: Some(id.clone()), ..new_interface(cx, &subnet, free) };
    let state = match internet_gateway::of_vpc(cx.txn, &vpc) {
        Some(_) => NatGatewayState::Available,
        None => NatGatewayState::Failed {
            code: "Gateway.NotAttached".to_owned(),
            message: format!("Network {} has no Internet gateway attached", vpc.id),
        },
    };
    let row = NatGateway {
        scope: cx.scope().clone(),
        id,
        vpc_id: vpc.id.clone(),
        subnet_id,
        interface_id: interface.id.clone(),
        address: free,
        allocation_id,
        public_address: elastic.address,
        state,
        created_at: cx.now,
        deleted_at: None,
    };
    tag::set(cx, &row.id, tags);
    if row.state == NatGatewayState::Available {
        cx.txn.put(interface);
        let association = AddressAssociation { id: resource::new_id(cx, "eipassoc"), nat_gateway_id: row.id.clone() };
        cx.txn.put(ElasticAddress { association: Some(association), ..ElasticAddress::clone(&elastic) });
    }
    // AWS answers so; what became of it is told from then on.
    let shown = ec2::NatGateway {
        state: Some(ec2::NatGatewayState::Pending),
        failure_code: None,
        failure_message: None,
        ..show(cx.txn, &row)
    };
    cx.txn.put(row);
    Ok(CreateNatGatewayResult { client_token: request.client_token, nat_gateway: Some(shown) })
}

fn given(text: Option<String>, name: &str) -> Result<String, Error> {
    let missing = || {
        let text =
            format!("The request must include the {name} parameter. Add the required parameter and retry the request.");
        refuse("MissingParameter", text)
    };
    text.filter(|text| !text.is_empty()).ok_or_else(missing)
}

fn refuse_unbuilt(request: &CreateNatGatewayRequest) -> Result<(), Error> {
    if request.connectivity_type.as_ref().is_some_and(|kind| *kind != ConnectivityType::Public) {
        return Err(unbuilt("Private NAT gateways are"));
    }
    let asks_more = request.availability_mode.is_some()
        || request.availability_zone_addresses.is_some()
        || request.private_ip_address.is_some()
        || request.secondary_allocation_ids.is_some()
        || request.secondary_private_ip_address_count.is_some()
        || request.secondary_private_ip_addresses.is_some()
        || request.vpc_id.is_some();
    if asks_more {
        return Err(unbuilt(
            "NAT gateways of several zones or addresses, or with an address of the caller's choice are",
        ));
    }
    Ok(())
}

/// Its address in the subnet and its elastic address are free at once; it is shown for an hour.
pub(super) fn delete_nat_gateway(
    cx: &mut Cx<'_>,
    request: &DeleteNatGatewayRequest,
) -> Result<DeleteNatGatewayResult, Error> {
    let row = locate(cx, &request.nat_gateway_id)?;
    refuse_dry_run(request.dry_run)?;
    if row.state != NatGatewayState::Deleted {
        cx.txn.remove::<NetworkInterface>(&row.interface_id);
        address::release_from(cx, &row);
        let state = NatGatewayState::Deleted;
        cx.txn.put(NatGateway { state, deleted_at: Some(cx.now), ..NatGateway::clone(&row) });
    }
    Ok(DeleteNatGatewayResult { nat_gateway_id: Some(row.id.clone()) })
}

/// Removes those that are over, an hour later. Answers how many.
pub(crate) fn sweep(txn: &mut Txn, now: model::Timestamp) -> usize {
    let is_over = |row: &NatGateway| {
        let since = match row.state {
            NatGatewayState::Available => return false,
            NatGatewayState::Failed { .. } | NatGatewayState::Deleted => row.deleted_at.unwrap_or(row.created_at),
        };
        now.as_millis() - since.as_millis() >= RETENTION_MILLIS
    };
    let over: Vec<_> = txn.nat_gateways.iter().filter(|row| is_over(row)).cloned().collect();
    for row in &over {
        let key = (row.scope.clone(), row.id.clone());
        txn.remove::<ResourceTags>(&key);
        txn.remove::<NatGateway>(&key);
    }
    over.len()
}

pub(super) fn describe_nat_gateways(
    cx: &Cx<'_>,
    request: &DescribeNatGatewaysRequest,
) -> Result<DescribeNatGatewaysResult, Error> {
    let ids = request.nat_gateway_ids.as_deref();
    ids.into_iter().flatten().try_for_each(|id| locate(cx, id).map(drop))?;
    let selection = Selection {
        dry_run: request.dry_run,
        ids,
        filters: request.filter.as_deref(),
        max_results: request.max_results,
        next_token: request.next_token.as_deref(),
    };
    let shown = cx.txn.nat_gateways_in_scope(cx.scope()).map(|row| show(cx.txn, row)).collect();
    let (nat_gateways, next_token) = select(&NOUN, &selection, shown)?;
    Ok(DescribeNatGatewaysResult { nat_gateways: Some(nat_gateways), next_token })
}

fn show(tables: &Tables, row: &NatGateway) -> ec2::NatGateway {
    let (state, failure) = match &row.state {
        NatGatewayState::Available => (ec2::NatGatewayState::Available, None),
        NatGatewayState::Deleted => (ec2::NatGatewayState::Deleted, None),
        NatGatewayState::Failed { code, message } => (ec2::NatGatewayState::Failed, Some((code, message))),
    };
    let address = NatGatewayAddress {
        allocation_id: Some(row.allocation_id.clone()),
        association_id: address::association_of(tables, row),
        is_primary: Some(true),
        network_interface_id: Some(row.interface_id.clone()),
        private_ip: Some(row.address.to_string()),
        public_ip: Some(row.public_address.to_string()),
        status: (row.state == NatGatewayState::Available).then_some(NatGatewayAddressStatus::Succeeded),
        ..NatGatewayAddress::default()
    };
    ec2::NatGateway {
        connectivity_type: Some(ConnectivityType::Public),
        create_time: Some(Timestamp(row.created_at.as_millis())),
        delete_time: row.deleted_at.map(|at| Timestamp(at.as_millis())),
        failure_code: failure.map(|(code, _)| code.clone()),
        failure_message: failure.map(|(_, message)| message.clone()),
        nat_gateway_addresses: Some(vec![address]),
        nat_gateway_id: Some(row.id.clone()),
        state: Some(state),
        subnet_id: Some(row.subnet_id.clone()),
        tags: Some(tag::of(tables, &row.scope, &row.id)).filter(|tags| !tags.is_empty()),
        vpc_id: Some(row.vpc_id.clone()),
        ..ec2::NatGateway::default()
    }
}

fn values(gateway: &ec2::NatGateway, filter: &str) -> Vec<String> {
    match filter {
        "nat-gateway-id" => one(gateway.nat_gateway_id.as_deref()),
        "state" => one(gateway.state.as_ref().map(ec2::NatGatewayState::as_str)),
        "subnet-id" => one(gateway.subnet_id.as_deref()),
        "vpc-id" => one(gateway.vpc_id.as_deref()),
        _ => Vec::new(),
    }
}
