//! DescribeRouteTables: the built-in VPC's main table, by which all of its subnets reach one another and the outside.

use model::network::Vpc;
use wire::ec2::{
    self, DescribeRouteTablesRequest, DescribeRouteTablesResult, Error, Route, RouteOrigin, RouteState,
    RouteTableAssociation, RouteTableAssociationState, RouteTableAssociationStateCode,
};

use super::select::{Noun, Selection, flag, one, select};
use super::tag;
use crate::Cx;

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
        "route.gateway-id",
        "route.nat-gateway-id",
        "route.origin",
        "route.state",
        "vpc-id",
    ],
    values,
};

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
    let (route_tables, next_token) = select(&NOUN, &selection, vec![show(cx, &Vpc::default_of(cx.scope()))])?;
    Ok(DescribeRouteTablesResult { route_tables: Some(route_tables), next_token })
}

fn show(cx: &Cx<'_>, vpc: &Vpc) -> ec2::RouteTable {
    let route = |destination: String, gateway: &str, origin| Route {
        destination_cidr_block: Some(destination),
        gateway_id: Some(gateway.to_owned()),
        origin: Some(origin),
        state: Some(RouteState::Active),
        ..Route::default()
    };
    ec2::RouteTable {
        associations: Some(vec![RouteTableAssociation {
            association_state: Some(RouteTableAssociationState {
                state: Some(RouteTableAssociationStateCode::Associated),
                ..RouteTableAssociationState::default()
            }),
            main: Some(true),
            route_table_association_id: Some(vpc.route_table_association_id.clone()),
            route_table_id: Some(vpc.route_table_id.clone()),
            ..RouteTableAssociation::default()
        }]),
        owner_id: Some(vpc.scope.account.to_string()),
        propagating_vgws: Some(Vec::new()),
        route_table_id: Some(vpc.route_table_id.clone()),
        routes: Some(vec![
            route(vpc.cidr(), "local", RouteOrigin::CreateRouteTable),
            route("0.0.0.0/0".to_owned(), &vpc.internet_gateway_id, RouteOrigin::CreateRoute),
        ]),
        tags: Some(tag::of(cx.txn, &vpc.scope, &vpc.route_table_id)),
        vpc_id: Some(vpc.id.clone()),
    }
}

fn values(table: &ec2::RouteTable, filter: &str) -> Vec<String> {
    let routes = || table.routes.iter().flatten();
    let associations = || table.associations.iter().flatten();
    match filter {
        "association.main" => flag(Some(true)),
        "association.route-table-association-id" => {
            associations().filter_map(|association| association.route_table_association_id.clone()).collect()
        }
        "association.route-table-id" | "route-table-id" => one(table.route_table_id.as_deref()),
        "owner-id" => one(table.owner_id.as_deref()),
        "route.destination-cidr-block" => routes().filter_map(|route| route.destination_cidr_block.clone()).collect(),
        "route.gateway-id" => routes().filter_map(|route| route.gateway_id.clone()).collect(),
        "route.origin" => {
            routes().filter_map(|route| route.origin.as_ref()).map(|origin| origin.as_str().to_owned()).collect()
        }
        "route.state" => one(Some("active")),
        "vpc-id" => one(table.vpc_id.as_deref()),
        _ => Vec::new(),
    }
}
