//! Listeners: Create, Describe, Modify, Delete.

use std::collections::BTreeMap;

use model::Scope;
use model::edge::{Action, ListenerProtocol};
use model::load_balancer::{Listener, ListenerKey, LoadBalancer, LoadBalancerKind, Rule};
use store::{Tables, Txn};
use wire::elbv2::{
    self, CreateListenerInput, CreateListenerOutput, DeleteListenerInput, DeleteListenerOutput,
    DescribeListenerAttributesInput, DescribeListenerAttributesOutput, DescribeListenersInput, DescribeListenersOutput,
    Error, ListenerAttribute, ModifyListenerAttributesInput, ModifyListenerAttributesOutput, ModifyListenerInput,
    ModifyListenerOutput, MutualAuthenticationAttributes, ProtocolEnum,
};

use super::{attribute, certificate, convert, identifier, invalid, new_id, tag, unbuilt};
use crate::{Cx, page};

/// Of one load balancer, as AWS has it.
pub(super) const LISTENERS_MAX: usize = 50;
const MUTUAL_OFF: &str = "off";

pub fn create_listener(cx: &mut Cx<'_>, request: CreateListenerInput) -> Result<CreateListenerOutput, Error> {
    refuse_unbuilt(request.mutual_authentication.as_ref())?;
    let load_balancer = identifier::load_balancer(cx.txn, cx.scope(), &request.load_balancer_arn)?;
    let protocol = request.protocol.ok_or_else(|| invalid("A listener protocol must be specified"))?;
    let protocol = listener_protocol(load_balancer.kind, &protocol)?;
    let given = certificate::Given {
        certificates: request.certificates,
        policy: request.ssl_policy,
        alpn_policy: request.alpn_policy,
    };
    let security = given.over(cx.txn, cx.scope(), protocol, None)?;
    let port = port(request.port)?.ok_or_else(|| invalid("A listener port must be specified"))?;
    check_port(cx.txn, &load_balancer, port, None)?;
    if cx.txn.listeners_of(&load_balancer.key()).count() >= LISTENERS_MAX {
        return Err(Error::too_many_listeners(format!("A load balancer can have at most {LISTENERS_MAX} listeners")));
    }
    let action = convert::action(cx.txn, cx.scope(), request.default_actions)?;
    check_association(cx.txn, cx.scope(), &load_balancer.key(), &action)?;
    check_protocols(cx.txn, cx.scope(), protocol, &action)?;
    let row = Listener {
        scope: cx.scope().clone(),
        load_balancer: load_balancer.name.clone(),
        load_balancer_id: load_balancer.id.clone(),
        id: new_id(cx),
        port,
        protocol,
        security,
        attributes: BTreeMap::new(),
        action,
        tags: tag::from_wire(request.tags)?,
    };
    cx.txn.put(row.clone());
    Ok(CreateListenerOutput { listeners: Some(vec![show(&load_balancer, &row)]) })
}

/// Mutual authentication may be named when it is off, as clients do that show every setting.
fn refuse_unbuilt(mutual: Option<&MutualAuthenticationAttributes>) -> Result<(), Error> {
    let mode = mutual.and_then(|mutual| mutual.mode.as_deref()).unwrap_or(MUTUAL_OFF);
    match mode == MUTUAL_OFF {
        true => Ok(()),
        false => Err(unbuilt(&format!("Mutual authentication with the mode '{mode}' is"))),
    }
}

/// What listeners of a load balancer can speak.
fn listener_protocol(kind: LoadBalancerKind, given: &ProtocolEnum) -> Result<ListenerProtocol, Error> {
    use ListenerProtocol::{Http, Https, Tcp, TcpUdp, Tls, Udp};
    let can_be: &[ListenerProtocol] = match kind {
        LoadBalancerKind::Application => &[Http, Https],
        LoadBalancerKind::Network => &[Tcp, Tls, Udp, TcpUdp],
    };
    if matches!(given, ProtocolEnum::Quic | ProtocolEnum::TcpQuic) && kind == LoadBalancerKind::Network {
        return Err(unbuilt(&format!("Listeners of protocol '{}' are", given.as_str())));
    }
    let found = can_be.iter().find(|protocol| protocol.as_str() == given.as_str());
    found.copied().ok_or_else(|| {
        let names: Vec<&str> = can_be.iter().map(|protocol| protocol.as_str()).collect();
        invalid(format!("Listener protocol must be one of '{}'", names.join(", ")))
    })
}

/// A listener passes on to groups that speak what it takes; a network load balancer does nothing but pass on.
pub(super) fn check_protocols(
    tables: &Tables,
    scope: &Scope,
    protocol: ListenerProtocol,
    action: &Action,
) -> Result<(), Error> {
    let Action::Forward(forward) = action else {
        return match protocol.is_http() {
            true => Ok(()),
            false => Err(Error::invalid_load_balancer_action(format!(
                "Listeners of protocol '{}' only have forward actions",
                protocol.as_str()
            ))),
        };
    };
    for (arn, _) in &forward.groups {
        let group = identifier::target_group(tables, scope, arn)?;
        if !protocol.takes(group.protocol) {
            return Err(Error::incompatible_protocols(format!(
                "Listener protocol '{}' is not supported with a target group with the protocol '{}'",
                protocol.as_str(),
                group.protocol.as_str()
            )));
        }
    }
    Ok(())
}

fn port(given: Option<i32>) -> Result<Option<u16>, Error> {
    let Some(given) = given else { return Ok(None) };
    let port = u16::try_from(given).ok().filter(|port| *port > 0);
    port.map(Some).ok_or_else(|| invalid("A port must be between 1 and 65535"))
}

fn check_port(tables: &Tables, load_balancer: &LoadBalancer, port: u16, own: Option<&Listener>) -> Result<(), Error> {
    let mut others = tables.listeners_of(&load_balancer.key());
    let is_taken = others.any(|other| other.port == port && own.is_none_or(|own| own.id != other.id));
    if is_taken {
        return Err(Error::duplicate_listener(format!(
            "A listener already exists on this port for this load balancer '{}'",
            load_balancer.arn()
        )));
    }
    Ok(())
}

/// A target group belongs to one load balancer.
pub(super) fn check_association(
    tables: &Tables,
    scope: &Scope,
    load_balancer: &(Scope, String),
    action: &Action,
) -> Result<(), Error> {
    let Action::Forward(forward) = action else { return Ok(()) };
    for (arn, _) in &forward.groups {
        let others = tables.load_balancers_of_group(scope, arn);
        if others.iter().any(|name| *name != load_balancer.1) {
            return Err(Error::target_group_association_limit(format!(
                "The following target groups cannot be associated with more than one load balancer: {arn}"
            )));
        }
    }
    Ok(())
}

pub fn modify_listener(cx: &mut Cx<'_>, request: ModifyListenerInput) -> Result<ModifyListenerOutput, Error> {
    refuse_unbuilt(request.mutual_authentication.as_ref())?;
    let mut row = identifier::listener(cx.txn, cx.scope(), &request.listener_arn)?.as_ref().clone();
    let load_balancer = cx.txn.load_balancers.get(&(row.scope.clone(), row.load_balancer.clone())).cloned();
    let load_balancer = load_balancer.expect("a listener has its load balancer");
    if let Some(given) = &request.protocol {
        row.protocol = listener_protocol(load_balancer.kind, given)?;
    }
    let given = certificate::Given {
        certificates: request.certificates,
        policy: request.ssl_policy,
        alpn_policy: request.alpn_policy,
    };
    row.security = given.over(cx.txn, cx.scope(), row.protocol, row.security)?;
    if let Some(port) = port(request.port)? {
        check_port(cx.txn, &load_balancer, port, Some(&row))?;
        row.port = port;
    }
    if let Some(actions) = request.default_actions {
        row.action = convert::action(cx.txn, cx.scope(), actions)?;
        check_association(cx.txn, cx.scope(), &load_balancer.key(), &row.action)?;
    }
    check_protocols(cx.txn, cx.scope(), row.protocol, &row.action)?;
    cx.txn.put(row.clone());
    Ok(ModifyListenerOutput { listeners: Some(vec![show(&load_balancer, &row)]) })
}

pub fn delete_listener(cx: &mut Cx<'_>, request: DeleteListenerInput) -> Result<DeleteListenerOutput, Error> {
    let row = identifier::listener(cx.txn, cx.scope(), &request.listener_arn)?;
    remove(cx.txn, &row.key());
    Ok(DeleteListenerOutput::default())
}

/// With its rules.
pub(super) fn remove(txn: &mut Txn, key: &ListenerKey) {
    let rules: Vec<_> = txn.rules_of(key).map(|rule| rule.key()).collect();
    for rule in &rules {
        txn.remove::<Rule>(rule);
    }
    txn.remove::<Listener>(key);
}

/// DescribeListeners: those that are named, or a load balancer's by id.
pub fn describe_listeners(cx: &mut Cx<'_>, request: DescribeListenersInput) -> Result<DescribeListenersOutput, Error> {
    let arns = request.listener_arns.unwrap_or_default();
    if !arns.is_empty() {
        let mut shown = Vec::new();
        for arn in &arns {
            let row = identifier::listener(cx.txn, cx.scope(), arn)?;
            let load_balancer = cx.txn.load_balancers.get(&(row.scope.clone(), row.load_balancer.clone()));
            shown.push(show(load_balancer.expect("a listener has its load balancer"), &row));
        }
        return Ok(DescribeListenersOutput { listeners: Some(shown), next_marker: None });
    }
    let Some(arn) = request.load_balancer_arn else {
        return Err(invalid("You must specify either listener ARNs or a load balancer ARN"));
    };
    let load_balancer = identifier::load_balancer(cx.txn, cx.scope(), &arn)?;
    let (limit, after) = identifier::page(request.page_size, request.marker.as_deref())?;
    let rows = cx.txn.listeners_of(&load_balancer.key());
    let rows = rows.filter(|row| after.as_ref().is_none_or(|after| row.id > *after));
    let (rows, next_marker) = page::cut(rows, limit, |row| row.id.clone());
    let shown = rows.into_iter().map(|row| show(&load_balancer, row)).collect();
    Ok(DescribeListenersOutput { listeners: Some(shown), next_marker })
}

fn show(load_balancer: &LoadBalancer, row: &Listener) -> elbv2::Listener {
    elbv2::Listener {
        listener_arn: Some(row.arn().to_string()),
        load_balancer_arn: Some(load_balancer.arn().to_string()),
        port: Some(i32::from(row.port)),
        protocol: Some(ProtocolEnum::from(row.protocol.as_str())),
        default_actions: Some(vec![convert::action_to_wire(&row.action)]),
        ssl_policy: row.security.as_ref().map(|security| security.policy.clone()),
        certificates: row.security.as_ref().map(|security| {
            vec![elbv2::Certificate { certificate_arn: Some(security.certificate.clone()), is_default: None }]
        }),
        alpn_policy: row.security.as_ref().and_then(|security| security.alpn_policy.clone()).map(|policy| vec![policy]),
        mutual_authentication: (row.protocol == ListenerProtocol::Https)
            .then(|| MutualAuthenticationAttributes { mode: Some(MUTUAL_OFF.to_owned()), ..Default::default() }),
    }
}

pub fn describe_listener_attributes(
    cx: &mut Cx<'_>,
    request: DescribeListenerAttributesInput,
) -> Result<DescribeListenerAttributesOutput, Error> {
    let row = identifier::listener(cx.txn, cx.scope(), &request.listener_arn)?;
    Ok(DescribeListenerAttributesOutput { attributes: Some(attributes(&row)) })
}

pub fn modify_listener_attributes(
    cx: &mut Cx<'_>,
    request: ModifyListenerAttributesInput,
) -> Result<ModifyListenerAttributesOutput, Error> {
    let mut row = identifier::listener(cx.txn, cx.scope(), &request.listener_arn)?.as_ref().clone();
    if request.attributes.len() > attribute::ATTRIBUTES_MAX {
        return Err(invalid(format!("At most {} attributes can be changed at once", attribute::ATTRIBUTES_MAX)));
    }
    for given in request.attributes {
        attribute::set(attribute::table_of_listener(row.kind()), &mut row.attributes, given.key, given.value)?;
    }
    cx.txn.put(row.clone());
    Ok(ModifyListenerAttributesOutput { attributes: Some(attributes(&row)) })
}

fn attributes(row: &Listener) -> Vec<ListenerAttribute> {
    let all = attribute::all(attribute::table_of_listener(row.kind()), &row.attributes);
    all.map(|(key, value)| ListenerAttribute { key: Some(key.to_owned()), value: Some(value.to_owned()) }).collect()
}
