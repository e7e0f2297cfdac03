//! Routes of a route table: Create, Replace, Delete. They lead to internet gateways and NAT gateways.

use model::nat_gateway::NatGatewayState;
use model::route_table::{Destination, Route, RouteTable, RouteTarget};
use model::{NatGateway, PrefixList, Vpc};
use plan::route::Ways;
use store::Tables;
use wire::ec2::{
    self, CreateRouteRequest, CreateRouteResult, DeleteRouteRequest, Error, ReplaceRouteRequest, RouteOrigin,
    RouteState,
};

use super::select::refuse_dry_run;
use super::vpc::changeable;
use super::{convert, internet_gateway, nat_gateway, prefix_list, refuse, route_table, unbuilt};
use crate::Cx;

/// Of one table, as AWS has it at most.
const ROUTES_MAX: usize = 1000;

pub(super) fn create_route(cx: &mut Cx<'_>, request: &CreateRouteRequest) -> Result<CreateRouteResult, Error> {
    let others = [
        &request.carrier_gateway_id,
        &request.core_network_arn,
        &request.destination_ipv6_cidr_block,
        &request.egress_only_internet_gateway_id,
        &request.instance_id,
        &request.local_gateway_id,
        &request.network_interface_id,
        &request.odb_network_arn,
        &request.transit_gateway_id,
        &request.vpc_endpoint_id,
        &request.vpc_peering_connection_id,
    ];
    refuse_others(&others)?;
    let (vpc, table) = route_table::locate(cx, &request.route_table_id)?;
    let destination = destination(cx, &vpc, &request.destination_cidr_block, &request.destination_prefix_list_id)?;
    let target = target(cx, &vpc, &table, &request.gateway_id, &request.nat_gateway_id)?;
    if table.routes.iter().any(|route| route.destination == destination) {
        let text = format!("The route identified by {} already exists.", name(&destination));
        return Err(refuse("RouteAlreadyExists", text));
    }
    if table.routes.len() >= ROUTES_MAX {
        return Err(refuse("RouteLimitExceeded", "The maximum number of routes has been reached."));
    }
    let mut vpc = changeable(&vpc)?;
    refuse_dry_run(request.dry_run)?;
    routes_of(&mut vpc, &table.id).push(Route { destination, target });
    cx.txn.put(vpc);
    Ok(CreateRouteResult { r#return: Some(true) })
}

pub(super) fn replace_route(cx: &mut Cx<'_>, request: &ReplaceRouteRequest) -> Result<(), Error> {
    let others = [
        &request.carrier_gateway_id,
        &request.core_network_arn,
        &request.destination_ipv6_cidr_block,
        &request.egress_only_internet_gateway_id,
        &request.instance_id,
        &request.local_gateway_id,
        &request.network_interface_id,
        &request.odb_network_arn,
        &request.transit_gateway_id,
        &request.vpc_endpoint_id,
        &request.vpc_peering_connection_id,
    ];
    refuse_others(&others)?;
    if request.local_target == Some(true) {
        return Err(unbuilt("Other targets for the local route are"));
    }
    let (vpc, table) = route_table::locate(cx, &request.route_table_id)?;
    let destination = destination(cx, &vpc, &request.destination_cidr_block, &request.destination_prefix_list_id)?;
    let target = target(cx, &vpc, &table, &request.gateway_id, &request.nat_gateway_id)?;
    let place = place(&table, &destination)?;
    let mut vpc = changeable(&vpc)?;
    refuse_dry_run(request.dry_run)?;
    routes_of(&mut vpc, &table.id)[place].target = target;
    cx.txn.put(vpc);
    Ok(())
}

pub(super) fn delete_route(cx: &mut Cx<'_>, request: &DeleteRouteRequest) -> Result<(), Error> {
    refuse_others(&[&request.destination_ipv6_cidr_block])?;
    let (vpc, table) = route_table::locate(cx, &request.route_table_id)?;
    let destination = read_destination(&request.destination_cidr_block, &request.destination_prefix_list_id)?;
    if destination == Destination::Cidr(vpc.range) {
        let text = format!("cannot remove local route {} in route table {}", vpc.range, table.id);
        return Err(refuse("InvalidParameterValue", text));
    }
    let place = place(&table, &destination)?;
    let mut vpc = changeable(&vpc)?;
    refuse_dry_run(request.dry_run)?;
    routes_of(&mut vpc, &table.id).remove(place);
    cx.txn.put(vpc);
    Ok(())
}

fn refuse_others(others: &[&Option<String>]) -> Result<(), Error> {
    if others.iter().any(|given| given.as_ref().is_some_and(|given| !given.is_empty())) {
        return Err(unbuilt("Routes of IPv6, and routes to anything but internet gateways and NAT gateways are"));
    }
    Ok(())
}

fn read_destination(cidr: &Option<String>, prefix_list: &Option<String>) -> Result<Destination, Error> {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    match (given(cidr), given(prefix_list)) {
        (Some(text), None) => {
            let malformed = |_| {
                let text = format!(
                    "Value ({text}) for parameter destinationCidrBlock is invalid. This is not a valid CIDR block."
                );
                refuse("InvalidParameterValue", text)
            };
            convert::cidr(&text).map(Destination::Cidr).map_err(malformed)
        }
        (None, Some(id)) => Ok(Destination::PrefixList(id)),
        (Some(_), Some(_)) => {
            let text = "Only one of destinationCidrBlock and destinationPrefixListId can be specified";
            Err(refuse("InvalidParameterCombination", text))
        }
        (None, None) => {
            let text = "The request must contain the parameter destinationCidrBlock or destinationPrefixListId";
            Err(refuse("MissingParameter", text))
        }
    }
}

/// Of a route that is to be there.
fn destination(
    cx: &Cx<'_>,
    vpc: &Vpc,
    cidr: &Option<String>,
    prefix_list: &Option<String>,
) -> Result<Destination, Error> {
    let destination = read_destination(cidr, prefix_list)?;
    match &destination {
        Destination::Cidr(net) if vpc.range.contains(net) => {
            let text = format!(
                "The destination CIDR block {net} is equal to or more specific than one of this VPC's CIDR blocks. \
                 This route can target only an interface or an instance."
            );
            Err(refuse("InvalidParameterValue", text))
        }
        Destination::Cidr(_) => Ok(destination),
        Destination::PrefixList(id) => prefix_list::locate(cx, id).map(|_| destination),
    }
}

/// A gateway of the table's VPC.
fn target(
    cx: &Cx<'_>,
    vpc: &Vpc,
    table: &RouteTable,
    gateway: &Option<String>,
    nat: &Option<String>,
) -> Result<RouteTarget, Error> {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    match (given(gateway), given(nat)) {
        (Some(id), None) if id.starts_with("nat-") => nat_target(cx, vpc, table, id),
        (Some(id), None) if id.starts_with("igw-") => internet_target(cx, vpc, table, id),
        (Some(id), None) => {
            refuse_others(&[&Some(id)])?;
            unreachable!("an id is not empty")
        }
        (None, Some(id)) => nat_target(cx, vpc, table, id),
        (Some(_), Some(_)) => {
            let text = "The request can contain only one target of a route";
            Err(refuse("InvalidParameterCombination", text))
        }
        (None, None) => {
            let text = "The request must contain exactly one of gatewayId, natGatewayId, networkInterfaceId, \
                        vpcPeeringConnectionId, egressOnlyInternetGatewayId, transitGatewayId, localGatewayId, \
                        carrierGatewayId, vpcEndpointId, instanceId, coreNetworkArn";
            Err(refuse("MissingParameter", text))
        }
    }
}

fn internet_target(cx: &Cx<'_>, vpc: &Vpc, table: &RouteTable, id: String) -> Result<RouteTarget, Error> {
    let gateway = internet_gateway::locate(cx, &id)?;
    if gateway.vpc_id.as_ref() != Some(&vpc.id) {
        let text = format!("route table {} and network gateway {id} belong to different networks", table.id);
        return Err(refuse("InvalidParameterValue", text));
    }
    Ok(RouteTarget::InternetGateway(id))
}

fn nat_target(cx: &Cx<'_>, vpc: &Vpc, table: &RouteTable, id: String) -> Result<RouteTarget, Error> {
    let gateway = nat_gateway::locate(cx, &id)?;
    if gateway.state == NatGatewayState::Deleted {
        return Err(nat_gateway::unknown(&id));
    }
    if gateway.vpc_id != vpc.id {
        let text = format!("route table {} and network gateway {id} belong to different networks", table.id);
        return Err(refuse("InvalidParameterValue", text));
    }
    Ok(RouteTarget::NatGateway(id))
}

fn place(table: &RouteTable, destination: &Destination) -> Result<usize, Error> {
    let absent = || {
        let kind = match destination {
            Destination::Cidr(_) => "destination-cidr-block",
            Destination::PrefixList(_) => "destination-prefix-list-id",
        };
        let text = format!("no route with {kind} {} in route table {}", name(destination), table.id);
        refuse("InvalidRoute.NotFound", text)
    };
    table.routes.iter().position(|route| route.destination == *destination).ok_or_else(absent)
}

fn name(destination: &Destination) -> String {
    match destination {
        Destination::Cidr(net) => net.to_string(),
        Destination::PrefixList(id) => id.clone(),
    }
}

fn routes_of<'a>(vpc: &'a mut Vpc, table: &str) -> &'a mut Vec<Route> {
    let table = vpc.route_tables.iter_mut().find(|other| other.id == table);
    &mut table.expect("it was found in this VPC").routes
}

/// The routes of a table, the one within the VPC first.
pub(super) fn show_all(tables: &Tables, vpc: &Vpc, table: &RouteTable) -> Vec<ec2::Route> {
    let gateway = internet_gateway::of_vpc(tables, vpc);
    let nat_gateways: Vec<&NatGateway> = tables.nat_gateways_in_scope(&vpc.scope).map(|row| &**row).collect();
    let prefix_lists: Vec<&PrefixList> = tables.prefix_lists_in_scope(&vpc.scope).map(|row| &**row).collect();
    let ways =
        Ways { vpc, internet_gateway: gateway.as_deref(), nat_gateways: &nat_gateways, prefix_lists: &prefix_lists };
    let local = ec2::Route {
        destination_cidr_block: Some(vpc.range.to_string()),
        gateway_id: Some("local".to_owned()),
        origin: Some(RouteOrigin::CreateRouteTable),
        state: Some(RouteState::Active),
        ..ec2::Route::default()
    };
    [local].into_iter().chain(table.routes.iter().map(|route| show(&ways, route))).collect()
}

fn show(ways: &Ways<'_>, route: &Route) -> ec2::Route {
    let state = if ways.is_active(route) { RouteState::Active } else { RouteState::Blackhole };
    let mut shown = ec2::Route { origin: Some(RouteOrigin::CreateRoute), state: Some(state), ..ec2::Route::default() };
    match &route.destination {
        Destination::Cidr(net) => shown.destination_cidr_block = Some(net.to_string()),
        Destination::PrefixList(id) => shown.destination_prefix_list_id = Some(id.clone()),
    }
    match &route.target {
        RouteTarget::InternetGateway(id) => shown.gateway_id = Some(id.clone()),
        RouteTarget::NatGateway(id) => shown.nat_gateway_id = Some(id.clone()),
    }
    shown
}
