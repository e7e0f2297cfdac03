//! With what listeners secure their connections: their default certificate and policy, and the certificates besides.

use model::edge::ListenerProtocol;
use model::load_balancer::{Listener, ListenerSecurity};
use model::{Scope, ssl_policy};
use store::Tables;
use wire::elbv2::{
    AddListenerCertificatesInput, AddListenerCertificatesOutput, Certificate, DescribeListenerCertificatesInput,
    DescribeListenerCertificatesOutput, Error, RemoveListenerCertificatesInput, RemoveListenerCertificatesOutput,
};

use super::{alpn, identifier, invalid, unbuilt};
use crate::{Cx, acm, page};

/// Of one load balancer, besides the default ones.
pub(super) const CERTIFICATES_MAX: usize = 25;

/// What a request says of it; what it does not say stays as it is.
pub struct Given {
    pub certificates: Option<Vec<Certificate>>,
    pub policy: Option<String>,
    /// Of TLS listeners: a list of one.
    pub alpn_policy: Option<Vec<String>>,
}

impl Given {
    /// # Errors
    /// `CertificateNotFound`, `SSLPolicyNotFound`, `ValidationError`; `UnsupportedFeature` for what is not built.
    pub fn over(
        self,
        tables: &Tables,
        scope: &Scope,
        protocol: ListenerProtocol,
        present: Option<ListenerSecurity>,
    ) -> Result<Option<ListenerSecurity>, Error> {
        let alpn_policy = match (protocol, self.alpn_policy) {
            (ListenerProtocol::Tls, Some(given)) => Some(alpn_policy(given)?),
            (ListenerProtocol::Tls, None) => present.as_ref().and_then(|present| present.alpn_policy.clone()),
            (_, None) => None,
            (_, Some(given)) if given.is_empty() => None,
            (_, Some(_)) => {
                let text = format!("ALPN policies cannot be specified for '{}' listeners", protocol.as_str());
                return Err(Error::alpn_policy_not_supported(text));
            }
        };
        if !protocol.is_secured() {
            let is_given =
                self.certificates.is_some_and(|certificates| !certificates.is_empty()) || self.policy.is_some();
            return match is_given {
                true => Err(invalid(format!(
                    "Certificates and SSL policies cannot be specified for '{}' listeners",
                    protocol.as_str()
                ))),
                false => Ok(None),
            };
        }
        let certificate = match self.certificates {
            Some(given) => Some(only(tables, scope, given)?),
            None => present.as_ref().map(|present| present.certificate.clone()),
        };
        let certificate = certificate
            .ok_or_else(|| invalid(format!("A certificate must be specified for '{}' listeners", protocol.as_str())))?;
        let policy = match self.policy {
            Some(name) => policy(name)?,
            None => present.as_ref().map_or_else(|| ssl_policy::DEFAULT.to_owned(), |present| present.policy.clone()),
        };
        let more_certificates = present.map(|present| present.more_certificates).unwrap_or_default();
        Ok(Some(ListenerSecurity { policy, certificate, more_certificates, alpn_policy }))
    }
}

fn alpn_policy(given: Vec<String>) -> Result<String, Error> {
    let [given] = <[String; 1]>::try_from(given).map_err(|_| invalid("You must specify exactly one ALPN policy"))?;
    if !alpn::is_known(&given) {
        return Err(Error::alpn_policy_not_supported(format!("ALPN policy '{given}' is not supported")));
    }
    Ok(given)
}

/// The one certificate of a list of one.
fn only(tables: &Tables, scope: &Scope, given: Vec<Certificate>) -> Result<String, Error> {
    let [given] = <[Certificate; 1]>::try_from(given)
        .map_err(|_| invalid("You must specify exactly one certificate, the default one of the listener"))?;
    if given.is_default.is_some() {
        return Err(invalid("You cannot specify 'IsDefault' for the default certificate"));
    }
    known(tables, scope, given)
}

fn known(tables: &Tables, scope: &Scope, given: Certificate) -> Result<String, Error> {
    let arn = given.certificate_arn.unwrap_or_default();
    if arn.starts_with("arn:aws:iam:") {
        return Err(unbuilt("Server certificates of IAM are"));
    }
    match acm::find(tables, scope, &arn) {
        Some(_) => Ok(arn),
        None => Err(Error::certificate_not_found(format!("Certificate '{arn}' not found"))),
    }
}

fn policy(name: String) -> Result<String, Error> {
    if ssl_policy::find(&name).is_some() {
        return Ok(name);
    }
    if ssl_policy::REFUSED.contains(&name.as_str()) {
        let served = ssl_policy::SERVED.iter().map(|policy| policy.name).collect::<Vec<_>>().join(", ");
        return Err(unbuilt(&format!(
            "The SSL policy '{name}' allows what no listener here speaks; served are {served}. Others are"
        )));
    }
    Err(Error::ssl_policy_not_found(format!("SSL policy '{name}' not found")))
}

/// AddListenerCertificates: chosen for the hosts that they are for.
pub fn add_listener_certificates(
    cx: &mut Cx<'_>,
    request: AddListenerCertificatesInput,
) -> Result<AddListenerCertificatesOutput, Error> {
    let (mut row, mut security) = secured(cx, &request.listener_arn)?;
    let mut added = Vec::new();
    for given in request.certificates {
        if given.is_default.is_some() {
            return Err(invalid("You cannot specify 'IsDefault' when adding certificates to a listener"));
        }
        let arn = known(cx.txn, cx.scope(), given)?;
        if !security.more_certificates.contains(&arn) {
            security.more_certificates.push(arn.clone());
        }
        added.push(show(&arn, false));
    }
    if security.more_certificates.len() > CERTIFICATES_MAX {
        let text = format!("A listener can have at most {CERTIFICATES_MAX} certificates besides its default one");
        return Err(Error::too_many_certificates(text));
    }
    row.security = Some(security);
    cx.txn.put(row);
    Ok(AddListenerCertificatesOutput { certificates: Some(added) })
}

/// RemoveListenerCertificates. One that is not there is no error, the default one stays.
pub fn remove_listener_certificates(
    cx: &mut Cx<'_>,
    request: RemoveListenerCertificatesInput,
) -> Result<RemoveListenerCertificatesOutput, Error> {
    let (mut row, mut security) = secured(cx, &request.listener_arn)?;
    for given in request.certificates {
        let arn = given.certificate_arn.unwrap_or_default();
        if arn == security.certificate && !security.more_certificates.contains(&arn) {
            return Err(Error::operation_not_permitted("The default certificate of a listener cannot be removed"));
        }
        security.more_certificates.retain(|other| *other != arn);
    }
    row.security = Some(security);
    cx.txn.put(row);
    Ok(RemoveListenerCertificatesOutput::default())
}

pub fn describe_listener_certificates(
    cx: &mut Cx<'_>,
    request: DescribeListenerCertificatesInput,
) -> Result<DescribeListenerCertificatesOutput, Error> {
    let row = identifier::listener(cx.txn, cx.scope(), &request.listener_arn)?;
    let (limit, after) = identifier::page(request.page_size, request.marker.as_deref())?;
    let certificates: Vec<&String> = row.security.iter().flat_map(ListenerSecurity::certificates).collect();
    // Positions: the default one may be among the others as well.
    let from = after.and_then(|after| after.parse::<usize>().ok()).map_or(0, |after| after + 1);
    let (shown, next_marker) =
        page::cut(certificates.into_iter().enumerate().skip(from), limit, |(index, _)| index.to_string());
    let shown = shown.into_iter().map(|(index, arn)| show(arn, index == 0)).collect();
    Ok(DescribeListenerCertificatesOutput { certificates: Some(shown), next_marker })
}

fn secured(cx: &Cx<'_>, arn: &str) -> Result<(Listener, ListenerSecurity), Error> {
    let row = identifier::listener(cx.txn, cx.scope(), arn)?.as_ref().clone();
    let security = row.security.clone();
    let protocol = row.protocol.as_str();
    let security =
        security.ok_or_else(|| invalid(format!("A listener with protocol '{protocol}' has no certificates")));
    Ok((row, security?))
}

fn show(arn: &str, is_default: bool) -> Certificate {
    Certificate { certificate_arn: Some(arn.to_owned()), is_default: Some(is_default) }
}
