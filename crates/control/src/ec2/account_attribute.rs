//! DescribeAccountAttributes: every account has VPCs only, and a default one.

use model::network::Vpc;
use wire::ec2::{
    AccountAttribute, AccountAttributeName, AccountAttributeValue, DescribeAccountAttributesRequest,
    DescribeAccountAttributesResult, Error,
};

use super::refuse;
use super::select::refuse_dry_run;
use crate::Cx;

/// Those that are named, or all.
pub(super) fn describe_account_attributes(
    cx: &Cx<'_>,
    request: &DescribeAccountAttributesRequest,
) -> Result<DescribeAccountAttributesResult, Error> {
    refuse_dry_run(request.dry_run)?;
    let named = request.attribute_names.as_deref().unwrap_or_default();
    if let Some(AccountAttributeName::Unknown(name)) =
        named.iter().find(|name| matches!(name, AccountAttributeName::Unknown(_)))
    {
        let text = format!("Value ({name}) for parameter attributeName is invalid. Unknown attribute.");
        return Err(refuse("InvalidParameterValue", text));
    }
    let all = [
        (AccountAttributeName::SupportedPlatforms, "VPC".to_owned()),
        (AccountAttributeName::DefaultVpc, Vpc::default_of(cx.scope()).id),
    ];
    let shown = all.into_iter().filter(|(name, _)| named.is_empty() || named.contains(name));
    let attributes = shown.map(|(name, value)| AccountAttribute {
        attribute_name: Some(name.as_str().to_owned()),
        attribute_values: Some(vec![AccountAttributeValue { attribute_value: Some(value) }]),
    });
    Ok(DescribeAccountAttributesResult { account_attributes: Some(attributes.collect()) })
}
