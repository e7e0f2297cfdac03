//! Route tables: Create, Delete, Describe, and which of them leads which subnet.

use std::sync::Arc;

use model::route_table::{RouteTable, RouteTableAssociation};
use model::{Subnet, Vpc};
use wire::ec2::{
    self, AssociateRouteTableRequest, AssociateRouteTableResult, CreateRouteTableRequest, CreateRouteTableResult,
    DeleteRouteTableRequest, DescribeRouteTablesRequest, DescribeRouteTablesResult, DisassociateRouteTableRequest,
    Error, ReplaceRouteTableAssociationRequest, ReplaceRouteTableAssociationResult, ResourceType,
    RouteTableAssociationState, RouteTableAssociationStateCode,
};

use super::select::{Noun, Selection, one, refuse_dry_run, select};
use super::vpc::changeable;
use super::{in_use, refuse, resource, route, subnet, tag, unbuilt, vpc};
use crate::Cx;

/// Of one VPC, as AWS has it.
const TABLES_MAX: usize = 200;

const NOUN: Noun<ec2::RouteTable> = Noun {
    label: "routeTable ID",
    not_found: "InvalidRouteTableID.NotFound",
    id: |table| table.route_table_id.as_deref().unwrap_or_default(),
    tags: |table| table.tags.as_ref(),
    filters: &[
        "association.gateway-id",
        "association.main",
        "association.route-table-association-id",
        "association.route-table-id",
        "association.subnet-id",
        "owner-id",
        "route-table-id",
        "route.destination-cidr-block",
        "route.destination-prefix-list-id",
        "route.gateway-id",
        "route.nat-gateway-id",
        "route.origin",
        "route.state",
        "vpc-id",
    ],
    values,
};

/// A table and the VPC that it is of.
///
/// # Errors
/// `InvalidRouteTableID.NotFound`
pub(super) fn locate(cx: &Cx<'_>, id: &str) -> Result<(Arc<Vpc>, RouteTable), Error> {
    let mut all = vpc::all(cx.txn, cx.scope()).into_iter();
    let found = all.find_map(|vpc| vpc.route_table(id).cloned().map(|table| (vpc, table)));
    found.ok_or_else(|| refuse(NOUN.not_found, format!("The routeTable ID '{id}' does not exist")))
}

pub(super) fn create_route_table(
    cx: &mut Cx<'_>,
    request: CreateRouteTableRequest,
) -> Result<CreateRouteTableResult, Error> {
    let tags = tag::from_specifications(request.tag_specifications, &ResourceType::RouteTable)?;
    let mut vpc = changeable(&vpc::locate(cx, &request.vpc_id)?)?;
    if vpc.route_tables.len() >= TABLES_MAX {
        return Err(refuse("RouteTableLimitExceeded", "The maximum number of route tables has been reached."));
    }
    refuse_dry_run(request.dry_run)?;
    let table = RouteTable { id: resource::new_id(cx, "rtb"), routes: Vec::new() };
    tag::set(cx, &table.id, tags);
    vpc.route_tables.push(table.clone());
    let shown = show(cx, &vpc, &table);
    cx.txn.put(vpc);
    Ok(CreateRouteTableResult { client_token: request.client_token, route_table: Some(shown) })
}

/// Refused for the main one, and as long as it leads a subnet.
pub(super) fn delete_route_table(cx: &mut Cx<'_>, request: &DeleteRouteTableRequest) -> Result<(), Error> {
    let (vpc, table) = locate(cx, &request.route_table_id)?;
    let mut vpc = changeable(&vpc)?;
    if associations(&vpc).any(|(association, _)| association.route_table_id == table.id) {
        return Err(in_use("routeTable", &table.id));
    }
    refuse_dry_run(request.dry_run)?;
    vpc.route_tables.retain(|other| other.id != table.id);
    tag::remove(cx, &table.id);
    cx.txn.put(vpc);
    Ok(())
}

/// The VPC's, with the subnet of those that have one: the main one has none.
fn associations(vpc: &Vpc) -> impl Iterator<Item = (&RouteTableAssociation, Option<&Subnet>)> {
    let of_subnets = vpc.subnets.iter().filter_map(|subnet| Some((subnet.route_table.as_ref()?, Some(subnet))));
    [(&vpc.main_route_table, None)].into_iter().chain(of_subnets)
}

pub(super) fn associate_route_table(
    cx: &mut Cx<'_>,
    request: AssociateRouteTableRequest,
) -> Result<AssociateRouteTableResult, Error> {
    if request.gateway_id.is_some() || request.public_ipv4_pool.is_some() {
        return Err(unbuilt("Route tables of gateways are"));
    }
    let (vpc, table) = locate(cx, &request.route_table_id)?;
    let subnet_id = request.subnet_id.filter(|id| !id.is_empty());
    let subnet_id =
        subnet_id.ok_or_else(|| refuse("MissingParameter", "The request must contain the parameter subnetId"))?;
    let (of_subnet, subnet) = subnet::locate(cx, &subnet_id)?;
    if of_subnet.id != vpc.id {
        let text = format!("Route table {} and subnet {subnet_id} belong to different networks", table.id);
        return Err(refuse("InvalidParameterValue", text));
    }
    if subnet.route_table.is_some() {
        let text =
            format!("the specified association for route table {} conflicts with an existing association", table.id);
        return Err(refuse("Resource.AlreadyAssociated", text));
    }
    let vpc = changeable(&vpc)?;
    refuse_dry_run(request.dry_run)?;
    let association = RouteTableAssociation { id: resource::new_id(cx, "rtbassoc"), route_table_id: table.id };
    let id = association.id.clone();
    lead(cx, vpc, &subnet_id, Some(association));
    Ok(AssociateRouteTableResult { association_id: Some(id), association_state: Some(associated()) })
}

fn lead(cx: &mut Cx<'_>, mut vpc: Vpc, subnet_id: &str, association: Option<RouteTableAssociation>) {
    let subnet = vpc.subnets.iter_mut().find(|subnet| subnet.id == subnet_id);
    subnet.expect("it was found in this VPC").route_table = association;
    cx.txn.put(vpc);
}

/// The VPC of an association, and the subnet of one that is not the main one.
fn locate_association(cx: &Cx<'_>, id: &str) -> Result<(Arc<Vpc>, Option<String>), Error> {
    let of_vpc = |vpc: Arc<Vpc>| {
        let subnet = associations(&vpc).find(|(association, _)| association.id == id)?.1;
        let subnet = subnet.map(|subnet| subnet.id.clone());
        Some((vpc, subnet))
    };
    let unknown = || refuse("InvalidAssociationID.NotFound", format!("The association ID '{id}' does not exist"));
    vpc::all(cx.txn, cx.scope()).into_iter().find_map(of_vpc).ok_or_else(unknown)
}

/// The main table leads the subnet from now on.
pub(super) fn disassociate_route_table(cx: &mut Cx<'_>, request: &DisassociateRouteTableRequest) -> Result<(), Error> {
    let (vpc, subnet) = locate_association(cx, &request.association_id)?;
    let Some(subnet) = subnet else {
        let text = format!("cannot disassociate the main route table association {}", request.association_id);
        return Err(refuse("InvalidParameterValue", text));
    };
    let vpc = changeable(&vpc)?;
    refuse_dry_run(request.dry_run)?;
    lead(cx, vpc, &subnet, None);
    Ok(())
}

/// Another table in the place of one: for a subnet, or as the VPC's main one.
pub(super) fn replace_route_table_association(
    cx: &mut Cx<'_>,
    request: &ReplaceRouteTableAssociationRequest,
) -> Result<ReplaceRouteTableAssociationResult, Error> {
    let (vpc, subnet) = locate_association(cx, &request.association_id)?;
    let (of_table, table) = locate(cx, &request.route_table_id)?;
    if of_table.id != vpc.id {
        let text =
            format!("route table {} and association {} belong to different networks", table.id, request.association_id);
        return Err(refuse("InvalidParameterValue", text));
    }
    let mut vpc = changeable(&vpc)?;
    refuse_dry_run(request.dry_run)?;
    let association = RouteTableAssociation { id: resource::new_id(cx, "rtbassoc"), route_table_id: table.id };
    let id = association.id.clone();
    match subnet {
        Some(subnet) => lead(cx, vpc, &subnet, Some(association)),
        None => {
            vpc.main_route_table = association;
            cx.txn.put(vpc);
        }
    }
    Ok(ReplaceRouteTableAssociationResult { association_state: Some(associated()), new_association_id: Some(id) })
}

fn associated() -> RouteTableAssociationState {
    RouteTableAssociationState {
        state: Some(RouteTableAssociationStateCode::Associated),
        ..RouteTableAssociationState::default()
    }
}

pub(super) fn describe_route_tables(
    cx: &Cx<'_>,
    request: &DescribeRouteTablesRequest,
) -> Result<DescribeRouteTablesResult, Error> {
    let selection = Selection {
        dry_run: request.dry_run,
        ids: request.route_table_ids.as_deref(),
        filters: request.filters.as_deref(),
        max_results: request.max_results,
        next_token: request.next_token.as_deref(),
    };
    let of_vpc = |vpc: &Arc<Vpc>| -> Vec<ec2::RouteTable> {
        vpc.route_tables.iter().map(|table| show(cx, vpc, table)).collect()
    };
    let shown = vpc::all(cx.txn, cx.scope()).iter().flat_map(of_vpc).collect();
    let (route_tables, next_token) = select(&NOUN, &selection, shown)?;
    Ok(DescribeRouteTablesResult { route_tables: Some(route_tables), next_token })
}

fn show(cx: &Cx<'_>, vpc: &Vpc, table: &RouteTable) -> ec2::RouteTable {
    let association = |(association, subnet): (&RouteTableAssociation, Option<&Subnet>)| ec2::RouteTableAssociation {
        association_state: Some(associated()),
        main: Some(subnet.is_none()),
        route_table_association_id: Some(association.id.clone()),
        route_table_id: Some(association.route_table_id.clone()),
        subnet_id: subnet.map(|subnet| subnet.id.clone()),
        ..ec2::RouteTableAssociation::default()
    };
    let of_table = associations(vpc).filter(|(association, _)| association.route_table_id == table.id);
    ec2::RouteTable {
        associations: Some(of_table.map(association).collect()),
        owner_id: Some(vpc.scope.account.to_string()),
        propagating_vgws: Some(Vec::new()),
        route_table_id: Some(table.id.clone()),
        routes: Some(route::show_all(cx.txn, vpc, table)),
        tags: Some(tag::of(cx.txn, &vpc.scope, &table.id)),
        vpc_id: Some(vpc.id.clone()),
    }
}

fn values(table: &ec2::RouteTable, filter: &str) -> Vec<String> {
    let routes = || table.routes.iter().flatten();
    let associations = || table.associations.iter().flatten();
    match filter {
        "association.main" => {
            associations().filter_map(|association| association.main).map(|main| main.to_string()).collect()
        }
        "association.route-table-association-id" => {
            associations().filter_map(|association| association.route_table_association_id.clone()).collect()
        }
        "association.route-table-id" => {
            associations().filter_map(|association| association.route_table_id.clone()).collect()
        }
        "association.subnet-id" => associations().filter_map(|association| association.subnet_id.clone()).collect(),
        "owner-id" => one(table.owner_id.as_deref()),
        "route-table-id" => one(table.route_table_id.as_deref()),
        "route.destination-cidr-block" => routes().filter_map(|route| route.destination_cidr_block.clone()).collect(),
        "route.destination-prefix-list-id" => {
            routes().filter_map(|route| route.destination_prefix_list_id.clone()).collect()
        }
        "route.gateway-id" => routes().filter_map(|route| route.gateway_id.clone()).collect(),
        "route.nat-gateway-id" => routes().filter_map(|route| route.nat_gateway_id.clone()).collect(),
        "route.origin" => {
            routes().filter_map(|route| route.origin.as_ref()).map(|origin| origin.as_str().to_owned()).collect()
        }
        "route.state" => {
            routes().filter_map(|route| route.state.as_ref()).map(|state| state.as_str().to_owned()).collect()
        }
        "vpc-id" => one(table.vpc_id.as_deref()),
        _ => Vec::new(),
    }
}
