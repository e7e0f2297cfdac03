//! Internet gateways: Create, Attach, Detach, Delete, Describe. Through one a VPC reaches the outside, which is this
//! machine's uplink.

use std::sync::Arc;

use model::{InternetGateway, Scope, Vpc};
use store::Tables;
use wire::ec2::{
    self, AttachInternetGatewayRequest, AttachmentStatus, CreateInternetGatewayRequest, CreateInternetGatewayResult,
    DeleteInternetGatewayRequest, DescribeInternetGatewaysRequest, DescribeInternetGatewaysResult,
    DetachInternetGatewayRequest, Error, InternetGatewayAttachment, ResourceType,
};

use super::select::{Noun, Selection, one, refuse_dry_run, select};
use super::{in_use, nat_gateway, refuse, resource, tag, unbuilt, vpc};
use crate::Cx;

/// In an account and region: one for each VPC.
const GATEWAYS_MAX: usize = 100;

const NOUN: Noun<ec2::InternetGateway> = Noun {
    label: "internetGateway ID",
    not_found: "InvalidInternetGatewayID.NotFound",
    id: |gateway| gateway.internet_gateway_id.as_deref().unwrap_or_default(),
    tags: |gateway| gateway.tags.as_ref(),
    filters: &["attachment.state", "attachment.vpc-id", "internet-gateway-id", "owner-id"],
    values,
};

/// All of them, the built-in VPC's first.
fn all(tables: &Tables, scope: &Scope) -> Vec<Arc<InternetGateway>> {
    let built_in = Vpc::default_of(scope);
    let id = built_in.built_in_internet_gateway.expect("the built-in VPC has one");
    let built_in = InternetGateway { scope: scope.clone(), id, vpc_id: Some(built_in.id) };
    [Arc::new(built_in)].into_iter().chain(tables.internet_gateways_in_scope(scope).cloned()).collect()
}

/// The id of the gateway that is attached to the VPC.
pub(super) fn of_vpc(tables: &Tables, vpc: &Vpc) -> Option<String> {
    let gateway = all(tables, &vpc.scope).into_iter().find(|gateway| gateway.vpc_id.as_ref() == Some(&vpc.id));
    gateway.map(|gateway| gateway.id.clone())
}

/// # Errors
/// `InvalidInternetGatewayID.NotFound`
pub(super) fn locate(cx: &Cx<'_>, id: &str) -> Result<Arc<InternetGateway>, Error> {
    let found = all(cx.txn, cx.scope()).into_iter().find(|gateway| gateway.id == id);
    found.ok_or_else(|| refuse(NOUN.not_found, format!("The internetGateway ID '{id}' does not exist")))
}

pub(super) fn create_internet_gateway(
    cx: &mut Cx<'_>,
    request: CreateInternetGatewayRequest,
) -> Result<CreateInternetGatewayResult, Error> {
    let tags = tag::from_specifications(request.tag_specifications, &ResourceType::InternetGateway)?;
    if cx.txn.internet_gateways_in_scope(cx.scope()).count() >= GATEWAYS_MAX {
        let text = "The maximum number of internet gateways has been reached.";
        return Err(refuse("InternetGatewayLimitExceeded", text));
    }
    refuse_dry_run(request.dry_run)?;
    let row = InternetGateway { scope: cx.scope().clone(), id: resource::new_id(cx, "igw"), vpc_id: None };
    tag::set(cx, &row.id, tags);
    let shown = show(cx, &row);
    cx.txn.put(row);
    Ok(CreateInternetGatewayResult { internet_gateway: Some(shown) })
}

/// One gateway for one VPC.
pub(super) fn attach_internet_gateway(cx: &mut Cx<'_>, request: &AttachInternetGatewayRequest) -> Result<(), Error> {
    let gateway = locate(cx, &request.internet_gateway_id)?;
    let vpc = vpc::locate(cx, &request.vpc_id)?;
    if let Some(other) = &gateway.vpc_id {
        let text = format!("resource {} is already attached to network {other}", gateway.id);
        return Err(refuse("Resource.AlreadyAssociated", text));
    }
    if of_vpc(cx.txn, &vpc).is_some() {
        let text = format!("Network {} already has an internet gateway attached", vpc.id);
        return Err(refuse("InvalidParameterValue", text));
    }
    refuse_dry_run(request.dry_run)?;
    cx.txn.put(InternetGateway { vpc_id: Some(vpc.id.clone()), ..InternetGateway::clone(&gateway) });
    Ok(())
}

/// Refused as long as a NAT gateway of the VPC shows an elastic address.
pub(super) fn detach_internet_gateway(cx: &mut Cx<'_>, request: &DetachInternetGatewayRequest) -> Result<(), Error> {
    let gateway = locate(cx, &request.internet_gateway_id)?;
    let vpc = vpc::locate(cx, &request.vpc_id)?;
    if gateway.vpc_id.as_ref() != Some(&vpc.id) {
        let text = format!("resource {} is not attached to network {}", gateway.id, vpc.id);
        return Err(refuse("Gateway.NotAttached", text));
    }
    if nat_gateway::is_shown_in(cx.txn, &vpc) {
        let text = format!(
            "Network {} has some mapped public address(es). Please unmap those public address(es) before detaching \
             the gateway.",
            vpc.id
        );
        return Err(refuse("DependencyViolation", text));
    }
    refuse_built_in(&vpc)?;
    refuse_dry_run(request.dry_run)?;
    cx.txn.put(InternetGateway { vpc_id: None, ..InternetGateway::clone(&gateway) });
    Ok(())
}

fn refuse_built_in(vpc: &Vpc) -> Result<(), Error> {
    if vpc.is_default { Err(unbuilt("Changes to the built-in VPC and to what lies in it are")) } else { Ok(()) }
}

pub(super) fn delete_internet_gateway(cx: &mut Cx<'_>, request: &DeleteInternetGatewayRequest) -> Result<(), Error> {
    let gateway = locate(cx, &request.internet_gateway_id)?;
    if gateway.vpc_id.is_some() {
        return Err(in_use("internetGateway", &gateway.id));
    }
    refuse_dry_run(request.dry_run)?;
    tag::remove(cx, &gateway.id);
    cx.txn.remove::<InternetGateway>(&(gateway.scope.clone(), gateway.id.clone()));
    Ok(())
}

pub(super) fn describe_internet_gateways(
    cx: &Cx<'_>,
    request: &DescribeInternetGatewaysRequest,
) -> Result<DescribeInternetGatewaysResult, Error> {
    let selection = Selection {
        dry_run: request.dry_run,
        ids: request.internet_gateway_ids.as_deref(),
        filters: request.filters.as_deref(),
        max_results: request.max_results,
        next_token: request.next_token.as_deref(),
    };
    let shown = all(cx.txn, cx.scope()).iter().map(|gateway| show(cx, gateway)).collect();
    let (internet_gateways, next_token) = select(&NOUN, &selection, shown)?;
    Ok(DescribeInternetGatewaysResult { internet_gateways: Some(internet_gateways), next_token })
}

fn show(cx: &Cx<'_>, gateway: &InternetGateway) -> ec2::InternetGateway {
    let attachment = |vpc_id: &String| InternetGatewayAttachment {
        // AWS has this word for attached gateways, which its list of words lacks.
        state: Some(AttachmentStatus::Unknown("available".to_owned())),
        vpc_id: Some(vpc_id.clone()),
    };
    ec2::InternetGateway {
        attachments: Some(gateway.vpc_id.iter().map(attachment).collect()),
        internet_gateway_id: Some(gateway.id.clone()),
        owner_id: Some(gateway.scope.account.to_string()),
        tags: Some(tag::of(cx.txn, &gateway.scope, &gateway.id)),
    }
}

fn values(gateway: &ec2::InternetGateway, filter: &str) -> Vec<String> {
    let attachments = || gateway.attachments.iter().flatten();
    match filter {
        "attachment.state" => attachments().map(|_| "available".to_owned()).collect(),
        "attachment.vpc-id" => attachments().filter_map(|attachment| attachment.vpc_id.clone()).collect(),
        "internet-gateway-id" => one(gateway.internet_gateway_id.as_deref()),
        "owner-id" => one(gateway.owner_id.as_deref()),
        _ => Vec::new(),
    }
}
