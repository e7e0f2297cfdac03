//! DescribeSSLPolicies.

use model::ssl_policy::{self, SslPolicy};
use wire::elbv2::{self, Cipher, DescribeSSLPoliciesInput, DescribeSSLPoliciesOutput, Error};

use super::identifier;
use crate::page;

/// Those that are named, or all that are served.
pub fn describe_ssl_policies(request: DescribeSSLPoliciesInput) -> Result<DescribeSSLPoliciesOutput, Error> {
    let names = request.names.unwrap_or_default();
    if let Some(name) = names.iter().find(|name| ssl_policy::find(name).is_none()) {
        return Err(Error::ssl_policy_not_found(format!("SSL policy '{name}' not found")));
    }
    let (limit, after) = identifier::page(request.page_size, request.marker.as_deref())?;
    let is_named = |policy: &&SslPolicy| names.is_empty() || names.iter().any(|name| name == policy.name);
    let policies = ssl_policy::SERVED.iter().filter(is_named);
    let is_before = |policy: &&SslPolicy| after.as_deref().is_some_and(|after| after != policy.name);
    let rest = policies.skip_while(is_before).skip(usize::from(after.is_some()));
    let (shown, next_marker) = page::cut(rest, limit, |policy| policy.name.to_owned());
    Ok(DescribeSSLPoliciesOutput { ssl_policies: Some(shown.into_iter().map(show).collect()), next_marker })
}

fn show(policy: &SslPolicy) -> elbv2::SslPolicy {
    let cipher = |(priority, name): (i32, &str)| Cipher { name: Some(name.to_owned()), priority: Some(priority) };
    elbv2::SslPolicy {
        ciphers: Some((1..).zip(policy.ciphers()).map(cipher).collect()),
        name: Some(policy.name.to_owned()),
        ssl_protocols: Some(policy.protocols().map(str::to_owned).collect()),
        supported_load_balancer_types: Some(vec!["application".to_owned(), "network".to_owned()]),
    }
}
