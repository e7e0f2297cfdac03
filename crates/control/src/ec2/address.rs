//! Elastic addresses: Allocate, Release, Describe. NAT gateways show them; nothing else can have one.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;

use model::elastic_address::POOL;
use model::{ElasticAddress, NatGateway, Scope};
use rand::Rng;
use store::Tables;
use wire::ec2::{
    self, Address, AddressAttribute, AllocateAddressRequest, AllocateAddressResult, AssociateAddressRequest,
    AssociateAddressResult, DescribeAddressesAttributeRequest, DescribeAddressesAttributeResult,
    DescribeAddressesRequest, DescribeAddressesResult, DisassociateAddressRequest, DomainType, Error,
    ReleaseAddressRequest, ResourceType,
};

use super::select::{Noun, Selection, one, refuse_dry_run, select};
use super::{refuse, resource, tag, unbuilt};
use crate::Cx;

/// In an account and region.
const ADDRESSES_MAX: usize = 100;

const NOUN: Noun<Address> = Noun {
    label: "allocation ID",
    not_found: "InvalidAllocationID.NotFound",
    id: |address| address.allocation_id.as_deref().unwrap_or_default(),
    tags: |address| address.tags.as_ref(),
    filters: &[
        "allocation-id",
        "association-id",
        "domain",
        "instance-id",
        "network-border-group",
        "network-interface-id",
        "network-interface-owner-id",
        "private-ip-address",
        "public-ip",
    ],
    values,
};

/// # Errors
/// `InvalidAllocationID.NotFound`
pub(super) fn locate(cx: &Cx<'_>, id: &str) -> Result<Arc<ElasticAddress>, Error> {
    let found = cx.txn.elastic_addresses.get(&(cx.scope().clone(), id.to_owned())).cloned();
    found.ok_or_else(|| refuse(NOUN.not_found, format!("The allocation ID '{id}' does not exist")))
}

/// One of the pool that nobody has, whatever their account and region.
pub(super) fn allocate_address(
    cx: &mut Cx<'_>,
    request: AllocateAddressRequest,
) -> Result<AllocateAddressResult, Error> {
    let asks_pool = request.address.is_some()
        || request.customer_owned_ipv4_pool.is_some()
        || request.ipam_pool_id.is_some()
        || request.public_ipv4_pool.as_ref().is_some_and(|pool| pool != "amazon");
    if asks_pool {
        return Err(unbuilt("Pools of addresses other than 'amazon' are"));
    }
    let group = &cx.scope().region;
    if request.network_border_group.as_ref().is_some_and(|given| **given != **group) {
        return Err(unbuilt("Network border groups other than the region are"));
    }
    if request.domain.as_ref().is_some_and(|domain| *domain != DomainType::Vpc) {
        return Err(unbuilt("Addresses of EC2-Classic are"));
    }
    let tags = tag::from_specifications(request.tag_specifications, &ResourceType::ElasticIp)?;
    if cx.txn.elastic_addresses_in_scope(cx.scope()).count() >= ADDRESSES_MAX {
        return Err(refuse("AddressLimitExceeded", "The maximum number of addresses has been reached."));
    }
    let address = free_address(cx);
    let address = address.ok_or_else(|| {
        refuse("InsufficientAddressCapacity", "There are not enough addresses left to fulfill the request.")
    })?;
    refuse_dry_run(request.dry_run)?;
    let row =
        ElasticAddress { scope: cx.scope().clone(), id: resource::new_id(cx, "eipalloc"), address, association: None };
    tag::set(cx, &row.id, tags);
    let answer = AllocateAddressResult {
        allocation_id: Some(row.id.clone()),
        domain: Some(DomainType::Vpc),
        network_border_group: Some(row.scope.region.to_string()),
        public_ip: Some(row.address.to_string()),
        public_ipv4_pool: Some("amazon".to_owned()),
        ..AllocateAddressResult::default()
    };
    cx.txn.put(row);
    Ok(answer)
}

/// From a random point of the pool on.
fn free_address(cx: &mut Cx<'_>) -> Option<Ipv4Addr> {
    let taken: BTreeSet<Ipv4Addr> = cx.txn.elastic_addresses.iter().map(|row| row.address).collect();
    let (first, last) = (u32::from(POOL.network()) + 1, u32::from(POOL.broadcast()) - 1);
    let start = cx.random.random_range(first..=last);
    (start..=last).chain(first..start).map(Ipv4Addr::from).find(|address| !taken.contains(address))
}

/// Refused as long as something shows it.
pub(super) fn release_address(cx: &mut Cx<'_>, request: &ReleaseAddressRequest) -> Result<(), Error> {
    let id = request.allocation_id.as_deref().filter(|id| !id.is_empty());
    let row = match (id, request.public_ip.as_deref().filter(|ip| !ip.is_empty())) {
        (Some(id), None) => locate(cx, id)?,
        (None, Some(ip)) => by_address(cx, ip)?,
        (Some(_), Some(_)) => {
            let text = "You may specify public IP or allocation id, but not both in the same call";
            return Err(refuse("InvalidParameterCombination", text));
        }
        (None, None) => {
            let text = "Either public IP or allocation id must be specified";
            return Err(refuse("MissingParameter", text));
        }
    };
    if row.association.is_some() {
        return Err(refuse("InvalidIPAddress.InUse", format!("Address {} is in use.", row.address)));
    }
    refuse_dry_run(request.dry_run)?;
    tag::remove(cx, &row.id);
    cx.txn.remove::<ElasticAddress>(&(row.scope.clone(), row.id.clone()));
    Ok(())
}

fn by_address(cx: &Cx<'_>, text: &str) -> Result<Arc<ElasticAddress>, Error> {
    let found = cx.txn.elastic_addresses_in_scope(cx.scope()).find(|row| row.address.to_string() == text).cloned();
    found.ok_or_else(|| refuse("InvalidAddress.NotFound", format!("Address '{text}' not found.")))
}

/// Nothing but a NAT gateway can have one, and that gets it when it is made.
pub(super) fn associate_address(
    cx: &Cx<'_>,
    request: &AssociateAddressRequest,
) -> Result<AssociateAddressResult, Error> {
    if let Some(id) = &request.allocation_id {
        locate(cx, id)?;
    }
    Err(unbuilt("Elastic addresses of network interfaces and instances are"))
}

pub(super) fn disassociate_address(cx: &Cx<'_>, request: &DisassociateAddressRequest) -> Result<(), Error> {
    let id = request.association_id.as_deref().unwrap_or_default();
    let is_it = |row: &&Arc<ElasticAddress>| row.association.as_ref().is_some_and(|association| association.id == id);
    let row = match request.public_ip.as_deref().filter(|ip| !ip.is_empty()) {
        Some(ip) => by_address(cx, ip)?,
        None => {
            let found = cx.txn.elastic_addresses_in_scope(cx.scope()).find(is_it).cloned();
            let text = || format!("The association ID '{id}' does not exist");
            found.ok_or_else(|| refuse("InvalidAssociationID.NotFound", text()))?
        }
    };
    match &row.association {
        // A NAT gateway keeps its address as long as it lives.
        Some(association) => {
            let text = format!(
                "You do not have permission to access the specified resource: {} is in use by {}.",
                row.address, association.nat_gateway_id
            );
            Err(refuse("AuthFailure", text))
        }
        None => {
            let text = format!("The address {} is not associated", row.address);
            Err(refuse("InvalidAssociationID.NotFound", text))
        }
    }
}

/// A NAT gateway is gone.
pub(super) fn release_from(cx: &mut Cx<'_>, gateway: &NatGateway) {
    let key = (gateway.scope.clone(), gateway.allocation_id.clone());
    let shown = |row: &&Arc<ElasticAddress>| {
        row.association.as_ref().is_some_and(|association| association.nat_gateway_id == gateway.id)
    };
    if let Some(row) = cx.txn.elastic_addresses.get(&key).filter(shown).cloned() {
        cx.txn.put(ElasticAddress { association: None, ..ElasticAddress::clone(&row) });
    }
}

/// By which a NAT gateway shows its address.
pub(super) fn association_of(tables: &Tables, gateway: &NatGateway) -> Option<String> {
    let row = tables.elastic_addresses.get(&(gateway.scope.clone(), gateway.allocation_id.clone()))?;
    let association = row.association.as_ref().filter(|association| association.nat_gateway_id == gateway.id)?;
    Some(association.id.clone())
}

pub(super) fn describe_addresses(
    cx: &Cx<'_>,
    request: &DescribeAddressesRequest,
) -> Result<DescribeAddressesResult, Error> {
    let wanted = request.public_ips.as_deref().unwrap_or_default();
    wanted.iter().try_for_each(|ip| by_address(cx, ip).map(drop))?;
    let selection = Selection {
        dry_run: request.dry_run,
        ids: request.allocation_ids.as_deref(),
        filters: request.filters.as_deref(),
        max_results: None,
        next_token: None,
    };
    let rows = cx.txn.elastic_addresses_in_scope(cx.scope());
    let rows = rows.filter(|row| wanted.is_empty() || wanted.contains(&row.address.to_string()));
    let shown = rows.map(|row| show(cx.txn, row)).collect();
    let (addresses, _) = select(&NOUN, &selection, shown)?;
    Ok(DescribeAddressesResult { addresses: Some(addresses) })
}

/// DescribeAddressesAttribute: no address has a name of the caller's own.
pub(super) fn describe_addresses_attribute(
    cx: &Cx<'_>,
    request: &DescribeAddressesAttributeRequest,
) -> Result<DescribeAddressesAttributeResult, Error> {
    let selection = Selection {
        dry_run: request.dry_run,
        ids: request.allocation_ids.as_deref(),
        filters: None,
        max_results: request.max_results,
        next_token: request.next_token.as_deref(),
    };
    let shown = cx.txn.elastic_addresses_in_scope(cx.scope()).map(|row| show(cx.txn, row)).collect();
    let (addresses, next_token) = select(&NOUN, &selection, shown)?;
    let attribute = |address: Address| AddressAttribute {
        allocation_id: address.allocation_id,
        public_ip: address.public_ip,
        ..AddressAttribute::default()
    };
    let addresses = addresses.into_iter().map(attribute).collect();
    Ok(DescribeAddressesAttributeResult { addresses: Some(addresses), next_token })
}

fn show(tables: &Tables, row: &ElasticAddress) -> Address {
    let Scope { account, region } = &row.scope;
    let gateway = row
        .association
        .as_ref()
        .and_then(|association| tables.nat_gateways.get(&(row.scope.clone(), association.nat_gateway_id.clone())));
    Address {
        allocation_id: Some(row.id.clone()),
        association_id: row.association.as_ref().map(|association| association.id.clone()),
        domain: Some(DomainType::Vpc),
        network_border_group: Some(region.to_string()),
        network_interface_id: gateway.map(|gateway| gateway.interface_id.clone()),
        network_interface_owner_id: gateway.map(|_| account.to_string()),
        private_ip_address: gateway.map(|gateway| gateway.address.to_string()),
        public_ip: Some(row.address.to_string()),
        public_ipv4_pool: Some("amazon".to_owned()),
        tags: Some(tag::of(tables, &row.scope, &row.id)).filter(|tags| !tags.is_empty()),
        ..Address::default()
    }
}

fn values(address: &Address, filter: &str) -> Vec<String> {
    match filter {
        "allocation-id" => one(address.allocation_id.as_deref()),
        "association-id" => one(address.association_id.as_deref()),
        "domain" => one(address.domain.as_ref().map(ec2::DomainType::as_str)),
        "network-border-group" => one(address.network_border_group.as_deref()),
        "network-interface-id" => one(address.network_interface_id.as_deref()),
        "network-interface-owner-id" => one(address.network_interface_owner_id.as_deref()),
        "private-ip-address" => one(address.private_ip_address.as_deref()),
        "public-ip" => one(address.public_ip.as_deref()),
        _ => Vec::new(),
    }
}
