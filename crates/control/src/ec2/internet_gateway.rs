//! DescribeInternetGateways: the one by which the built-in VPC reaches the outside, which is this machine's uplink.

use model::network::Vpc;
use wire::ec2::{
    self, AttachmentStatus, DescribeInternetGatewaysRequest, DescribeInternetGatewaysResult, Error,
    InternetGatewayAttachment,
};

use super::select::{Noun, Selection, one, select};
use super::tag;
use crate::Cx;

const NOUN: Noun<ec2::InternetGateway> = Noun {
    label: "internetGateway ID",
    not_found: "InvalidInternetGatewayID.NotFound",
    id: |gateway| gateway.internet_gateway_id.as_deref().unwrap_or_default(),
    tags: |gateway| gateway.tags.as_ref(),
    filters: &["attachment.state", "attachment.vpc-id", "internet-gateway-id", "owner-id"],
    values,
};

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
    let (internet_gateways, next_token) = select(&NOUN, &selection, vec![show(cx, &Vpc::default_of(cx.scope()))])?;
    Ok(DescribeInternetGatewaysResult { internet_gateways: Some(internet_gateways), next_token })
}

fn show(cx: &Cx<'_>, vpc: &Vpc) -> ec2::InternetGateway {
    ec2::InternetGateway {
        attachments: Some(vec![InternetGatewayAttachment {
            // AWS has this word for attached gateways, which its list of words lacks.
            state: Some(AttachmentStatus::Unknown("available".to_owned())),
            vpc_id: Some(vpc.id.clone()),
        }]),
        internet_gateway_id: Some(vpc.internet_gateway_id.clone()),
        owner_id: Some(vpc.scope.account.to_string()),
        tags: Some(tag::of(cx.txn, &vpc.scope, &vpc.internet_gateway_id)),
    }
}

fn values(gateway: &ec2::InternetGateway, filter: &str) -> Vec<String> {
    match filter {
        "attachment.state" => one(Some("available")),
        "attachment.vpc-id" => {
            gateway.attachments.iter().flatten().filter_map(|attachment| attachment.vpc_id.clone()).collect()
        }
        "internet-gateway-id" => one(gateway.internet_gateway_id.as_deref()),
        "owner-id" => one(gateway.owner_id.as_deref()),
        _ => Vec::new(),
    }
}
