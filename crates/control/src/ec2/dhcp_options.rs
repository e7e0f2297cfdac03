//! DescribeDhcpOptions: what the built-in VPC tells its interfaces: its resolver, and the domain of their names.

use model::network::{VPC_NETWORK, Vpc, private_dns_name};
use wire::ec2::{
    self, AttributeValue, DescribeDhcpOptionsRequest, DescribeDhcpOptionsResult, DhcpConfiguration, Error,
};

use super::select::{Noun, Selection, one, select};
use super::tag;
use crate::Cx;

const NOUN: Noun<ec2::DhcpOptions> = Noun {
    label: "dhcpOption ID",
    not_found: "InvalidDhcpOptionID.NotFound",
    id: |options| options.dhcp_options_id.as_deref().unwrap_or_default(),
    tags: |options| options.tags.as_ref(),
    filters: &["dhcp-options-id", "key", "owner-id", "value"],
    values,
};

pub(super) fn describe_dhcp_options(
    cx: &Cx<'_>,
    request: &DescribeDhcpOptionsRequest,
) -> Result<DescribeDhcpOptionsResult, Error> {
    let selection = Selection {
        dry_run: request.dry_run,
        ids: request.dhcp_options_ids.as_deref(),
        filters: request.filters.as_deref(),
        max_results: request.max_results,
        next_token: request.next_token.as_deref(),
    };
    let (dhcp_options, next_token) = select(&NOUN, &selection, vec![show(cx, &Vpc::default_of(cx.scope()))])?;
    Ok(DescribeDhcpOptionsResult { dhcp_options: Some(dhcp_options), next_token })
}

fn show(cx: &Cx<'_>, vpc: &Vpc) -> ec2::DhcpOptions {
    let configuration = |key: &str, value: String| DhcpConfiguration {
        key: Some(key.to_owned()),
        values: Some(vec![AttributeValue { value: Some(value) }]),
    };
    let any_name = private_dns_name(VPC_NETWORK, &vpc.scope.region);
    let domain = any_name.split_once('.').map_or("", |(_, domain)| domain);
    ec2::DhcpOptions {
        dhcp_configurations: Some(vec![
            configuration("domain-name", domain.to_owned()),
            configuration("domain-name-servers", "AmazonProvidedDNS".to_owned()),
        ]),
        dhcp_options_id: Some(vpc.dhcp_options_id.clone()),
        owner_id: Some(vpc.scope.account.to_string()),
        tags: Some(tag::of(cx.txn, &vpc.scope, &vpc.dhcp_options_id)),
    }
}

fn values(options: &ec2::DhcpOptions, filter: &str) -> Vec<String> {
    let configurations = || options.dhcp_configurations.iter().flatten();
    match filter {
        "dhcp-options-id" => one(options.dhcp_options_id.as_deref()),
        "key" => configurations().filter_map(|configuration| configuration.key.clone()).collect(),
        "owner-id" => one(options.owner_id.as_deref()),
        "value" => configurations()
            .flat_map(|configuration| configuration.values.iter().flatten())
            .filter_map(|value| value.value.clone())
            .collect(),
        _ => Vec::new(),
    }
}
