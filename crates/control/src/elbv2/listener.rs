//! Listeners: Create, Describe, Modify, Delete.

use model::Scope;
use model::edge::{Action, ListenerProtocol};
use model::load_balancer::{Listener, ListenerKey, LoadBalancer, Rule};
use store::{Tables, Txn};
use wire::elbv2::{
    self, CreateListenerInput, CreateListenerOutput, DeleteListenerInput, DeleteListenerOutput,
    DescribeListenerAttributesInput, DescribeListenerAttributesOutput, DescribeListenersInput, DescribeListenersOutput,
    Error, ModifyListenerInput, ModifyListenerOutput, MutualAuthenticationAttributes, ProtocolEnum,
};

use super::{certificate, convert, identifier, invalid, new_id, tag, unbuilt};
use crate::{Cx, page};

/// Of one load balancer, as AWS has it.
const LISTENERS_MAX: usize = 50;
const MUTUAL_OFF: &str = "off";

pub fn create_listener(cx: &mut Cx<'_>, request: CreateListenerInput) -> Result<CreateListenerOutput, Error> {
    refuse_unbuilt(request.mutual_authentication.as_ref(), request.alpn_policy.is_some())?;
    let load_balancer = identifier::load_balancer(cx.txn, cx.scope(), &request.load_balancer_arn)?;
    let protocol = request.protocol.ok_or_else(|| invalid("A listener protocol must be specified"))?;
    let protocol = listener_protocol(&protocol)?;
    let given = certificate::Given { certificates: request.certificates, policy: request.ssl_policy };
    let security = given.over(cx.txn, cx.scope(), protocol, None)?;
    let port = port(request.port)?.ok_or_else(|| invalid("A listener port must be specified"))?;
    check_port(cx.txn, &load_balancer, port, None)?;
    if cx.txn.listeners_of(&load_balancer.key()).count() >= LISTENERS_MAX {
        return Err(Error::too_many_listeners(format!("A load balancer can have at most {LISTENERS_MAX} listeners")));
    }
    let action = convert::action(cx.txn, cx.scope(), request.default_actions)?;
    check_association(cx.txn, cx.scope(), &load_balancer.key(), &action)?;
    let row = Listener {
        scope: cx.scope().clone(),
        load_balancer: load_balancer.name.clone(),
        load_balancer_id: load_balancer.id.clone(),
        id: new_id(cx),
        port,
        protocol,
        security,
        action,
        tags: tag::from_wire(request.tags)?,
    };
    cx.txn.put(row.clone());
    Ok(CreateListenerOutput { listeners: Some(vec![show(&load_balancer, &row)]) })
}

/// Mutual authentication may be named when it is off, as clients do that show every setting.
fn refuse_unbuilt(mutual: Option<&MutualAuthenticationAttributes>, alpn: bool) -> Result<(), Error> {
    let mode = mutual.and_then(|mutual| mutual.mode.as_deref()).unwrap_or(MUTUAL_OFF);
    if mode != MUTUAL_OFF {
        return Err(unbuilt(&format!("Mutual authentication with the mode '{mode}' is")));
    }
    if alpn { Err(unbuilt("ALPN policies are")) } else { Ok(()) }
}

fn listener_protocol(given: &ProtocolEnum) -> Result<ListenerProtocol, Error> {
    match given {
        ProtocolEnum::Http => Ok(ListenerProtocol::Http),
        ProtocolEnum::Https => Ok(ListenerProtocol::Https),
        _ => Err(invalid("Listener protocol must be one of 'HTTP, HTTPS'")),
    }
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
    refuse_unbuilt(request.mutual_authentication.as_ref(), request.alpn_policy.is_some())?;
    let mut row = identifier::listener(cx.txn, cx.scope(), &request.listener_arn)?.as_ref().clone();
    let load_balancer = cx.txn.load_balancers.get(&(row.scope.clone(), row.load_balancer.clone())).cloned();
    let load_balancer = load_balancer.expect("a listener has its load balancer");
    if let Some(given) = &request.protocol {
        row.protocol = listener_protocol(given)?;
    }
    let given = certificate::Given { certificates: request.certificates, policy: request.ssl_policy };
    row.security = given.over(cx.txn, cx.scope(), row.protocol, row.security)?;
    if let Some(port) = port(request.port)? {
        check_port(cx.txn, &load_balancer, port, Some(&row))?;
        row.port = port;
    }
    if let Some(actions) = request.default_actions {
        row.action = convert::action(cx.txn, cx.scope(), actions)?;
        check_association(cx.txn, cx.scope(), &load_balancer.key(), &row.action)?;
    }
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
        mutual_authentication: row
            .security
            .is_some()
            .then(|| MutualAuthenticationAttributes { mode: Some(MUTUAL_OFF.to_owned()), ..Default::default() }),
        ..Default::default()
    }
}

/// DescribeListenerAttributes: an HTTP listener has none that could be changed here.
pub fn describe_listener_attributes(
    cx: &mut Cx<'_>,
    request: DescribeListenerAttributesInput,
) -> Result<DescribeListenerAttributesOutput, Error> {
    identifier::listener(cx.txn, cx.scope(), &request.listener_arn)?;
    Ok(DescribeListenerAttributesOutput { attributes: Some(Vec::new()) })
}
