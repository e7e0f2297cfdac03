//! Namespaces: Create, Get, List, Update, Delete.

use std::sync::Arc;

use model::discovery::{DiscoveryOperationKind, Namespace, NamespaceKind};
use model::network::Vpc;
use wire::servicediscovery::{
    CreateHttpNamespaceRequest, CreateHttpNamespaceResponse, CreatePrivateDnsNamespaceRequest,
    CreatePrivateDnsNamespaceResponse, DeleteNamespaceRequest, DeleteNamespaceResponse, Error, FilterCondition,
    GetNamespaceRequest, GetNamespaceResponse, ListNamespacesRequest, ListNamespacesResponse, NamespaceAlreadyExists,
    NamespaceSummary, UpdateHttpNamespaceRequest, UpdateHttpNamespaceResponse, UpdatePrivateDnsNamespaceRequest,
    UpdatePrivateDnsNamespaceResponse,
};

use super::filter::Filter;
use super::operation::{self, Targets};
use super::{convert, identifier, invalid, letters, new_id, page, request_id, tag, unbuilt};
use crate::Cx;
use crate::ec2::vpc as ec2_vpc;

/// Per region, as AWS has it.
const NAMESPACES_MAX: usize = 50;
/// How long it may be remembered that a name does not exist, when the caller does not say.
const SOA_TTL_SECONDS: u32 = 15;
const LABEL_LENGTH_MAX: usize = 63;
const DNS_NAME_LENGTH_MAX: usize = 253;
const HOSTED_ZONE_LETTERS: usize = 20;

pub fn create_http_namespace(
    cx: &mut Cx<'_>,
    request: CreateHttpNamespaceRequest,
) -> Result<CreateHttpNamespaceResponse, Error> {
    let CreateHttpNamespaceRequest { name, creator_request_id, description, tags } = request;
    let row = Namespace {
        scope: cx.scope().clone(),
        id: new_id(cx.random, "ns"),
        name,
        kind: NamespaceKind::Http,
        description,
        creator_request_id: request_id(cx, creator_request_id),
        tags: tag::from_wire(tags)?,
        created_at: cx.now,
    };
    Ok(CreateHttpNamespaceResponse { operation_id: create(cx, row)? })
}

/// An HTTP namespace of this name that ECS makes for somebody. There must be none yet.
///
/// # Errors
/// As [`create_http_namespace`].
pub fn make_http(cx: &mut Cx<'_>, name: &str) -> Result<Namespace, Error> {
    let row = Namespace {
        scope: cx.scope().clone(),
        id: new_id(cx.random, "ns"),
        name: name.to_owned(),
        kind: NamespaceKind::Http,
        description: None,
        creator_request_id: request_id(cx, None),
        tags: Vec::new(),
        created_at: cx.now,
    };
    create(cx, row.clone())?;
    Ok(row)
}

pub fn create_private_dns_namespace(
    cx: &mut Cx<'_>,
    request: CreatePrivateDnsNamespaceRequest,
) -> Result<CreatePrivateDnsNamespaceResponse, Error> {
    check_dns_name(&request.name)?;
    let vpc = Vpc::default_of(cx.scope());
    if request.vpc != vpc.id && ec2_vpc::find(cx.txn, cx.scope(), &request.vpc).is_some() {
        return Err(unbuilt("Namespaces of VPCs other than the built-in one are"));
    }
    if request.vpc != vpc.id {
        return Err(invalid(format!("The VPC ID '{}' is not found.", request.vpc)));
    }
    let ttl = request.properties.map(|properties| properties.dns_properties.soa.ttl);
    let row = Namespace {
        scope: cx.scope().clone(),
        id: new_id(cx.random, "ns"),
        name: request.name,
        kind: NamespaceKind::DnsPrivate {
            vpc_id: vpc.id,
            hosted_zone_id: format!("Z{}", letters(cx.random, HOSTED_ZONE_LETTERS).to_uppercase()),
            soa_ttl_seconds: ttl.and_then(|ttl| u32::try_from(ttl).ok()).unwrap_or(SOA_TTL_SECONDS),
        },
        description: request.description,
        creator_request_id: request_id(cx, request.creator_request_id),
        tags: tag::from_wire(request.tags)?,
        created_at: cx.now,
    };
    Ok(CreatePrivateDnsNamespaceResponse { operation_id: create(cx, row)? })
}

/// The operation's id. The same request once more is answered as the first one.
fn create(cx: &mut Cx<'_>, row: Namespace) -> Result<Option<String>, Error> {
    if row.name.starts_with("arn:") {
        return Err(invalid("The name of a namespace must not begin with 'arn:'."));
    }
    let scope = cx.scope().clone();
    let present = cx.txn.namespaces_in_scope(&scope).find(|other| other.name.eq_ignore_ascii_case(&row.name)).cloned();
    if let Some(present) = present {
        if present.creator_request_id == row.creator_request_id
            && let Some(operation) = operation::creation_of(cx.txn, &scope, &present.id)
        {
            return Ok(Some(operation));
        }
        return Err(already_exists(&present));
    }
    if cx.txn.namespaces_in_scope(&scope).count() >= NAMESPACES_MAX {
        return Err(Error::resource_limit_exceeded(format!("There can be at most {NAMESPACES_MAX} namespaces.")));
    }
    let targets = Targets { namespace: Some(row.id.clone()), ..Targets::default() };
    cx.txn.put(row);
    Ok(operation::note(cx, DiscoveryOperationKind::CreateNamespace, targets))
}

fn already_exists(present: &Namespace) -> Error {
    Error::NamespaceAlreadyExists(NamespaceAlreadyExists {
        creator_request_id: Some(present.creator_request_id.clone()),
        message: Some(format!("Namespace {} already exists.", present.name)),
        namespace_id: Some(present.id.clone()),
    })
}

/// Labels of letters, digits, hyphens and underscores.
fn check_dns_name(name: &str) -> Result<(), Error> {
    let is_label = |label: &str| {
        let allowed = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        allowed && (1..=LABEL_LENGTH_MAX).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-')
    };
    if name.len() > DNS_NAME_LENGTH_MAX || !name.split('.').all(is_label) {
        return Err(invalid(format!("The name '{name}' is not a valid DNS name.")));
    }
    Ok(())
}

pub fn get_namespace(cx: &mut Cx<'_>, request: GetNamespaceRequest) -> Result<GetNamespaceResponse, Error> {
    let row = identifier::namespace(cx.txn, cx.scope(), &request.id)?;
    let services = cx.txn.discovery_services_of(&row.key()).count();
    Ok(GetNamespaceResponse { namespace: Some(convert::namespace(&row, services)) })
}

pub fn list_namespaces(cx: &mut Cx<'_>, request: ListNamespacesRequest) -> Result<ListNamespacesResponse, Error> {
    const KNOWN: [(&str, &[FilterCondition]); 4] = [
        ("TYPE", &[FilterCondition::Eq, FilterCondition::In]),
        ("NAME", &[FilterCondition::Eq, FilterCondition::BeginsWith]),
        ("HTTP_NAME", &[FilterCondition::Eq, FilterCondition::BeginsWith]),
        ("RESOURCE_OWNER", &[FilterCondition::Eq]),
    ];
    let filters = request.filters.unwrap_or_default().into_iter();
    let filters = filters.map(|filter| Filter::new(filter.name.as_str(), filter.condition, filter.values, &KNOWN));
    let filters: Vec<Filter> = filters.collect::<Result<_, _>>()?;
    let holds = |row: &Arc<Namespace>| {
        filters.iter().all(|filter| match filter.name.as_str() {
            "TYPE" => filter.holds(convert::namespace_type(row).as_str()),
            "RESOURCE_OWNER" => filter.holds("SELF"),
            _ => filter.holds(&row.name),
        })
    };
    let (limit, after) = page(request.max_results, request.next_token.as_deref())?;
    let scope = cx.scope().clone();
    let rows = cx.txn.namespaces_in_scope(&scope);
    let rows = rows.filter(|row| holds(row) && after.as_ref().is_none_or(|after| row.id > *after));
    let (page, next_token) = crate::page::cut(rows, limit, |row| row.id.clone());
    let summary = |row: &Arc<Namespace>| NamespaceSummary {
        arn: Some(row.arn().to_string()),
        create_date: Some(convert::timestamp(row.created_at)),
        description: row.description.clone(),
        id: Some(row.id.clone()),
        name: Some(row.name.clone()),
        properties: Some(convert::namespace_properties(row)),
        resource_owner: Some(row.scope.account.to_string()),
        service_count: Some(convert::count(cx.txn.discovery_services_of(&row.key()).count())),
        r#type: Some(convert::namespace_type(row)),
    };
    Ok(ListNamespacesResponse { namespaces: Some(page.into_iter().map(summary).collect()), next_token })
}

pub fn update_http_namespace(
    cx: &mut Cx<'_>,
    request: UpdateHttpNamespaceRequest,
) -> Result<UpdateHttpNamespaceResponse, Error> {
    let mut row = identifier::namespace(cx.txn, cx.scope(), &request.id)?.as_ref().clone();
    if row.has_names() {
        return Err(invalid(format!("Namespace {} is not an HTTP namespace.", row.id)));
    }
    row.description = Some(request.namespace.description);
    Ok(UpdateHttpNamespaceResponse { operation_id: update(cx, row) })
}

pub fn update_private_dns_namespace(
    cx: &mut Cx<'_>,
    request: UpdatePrivateDnsNamespaceRequest,
) -> Result<UpdatePrivateDnsNamespaceResponse, Error> {
    let mut row = identifier::namespace(cx.txn, cx.scope(), &request.id)?.as_ref().clone();
    let NamespaceKind::DnsPrivate { soa_ttl_seconds, .. } = &mut row.kind else {
        return Err(invalid(format!("Namespace {} is not a private DNS namespace.", row.id)));
    };
    let change = request.namespace;
    if let Some(properties) = change.properties {
        *soa_ttl_seconds = u32::try_from(properties.dns_properties.soa.ttl).unwrap_or_default();
    }
    row.description = change.description.or(row.description);
    Ok(UpdatePrivateDnsNamespaceResponse { operation_id: update(cx, row) })
}

fn update(cx: &mut Cx<'_>, row: Namespace) -> Option<String> {
    let targets = Targets { namespace: Some(row.id.clone()), ..Targets::default() };
    cx.txn.put(row);
    operation::note(cx, DiscoveryOperationKind::UpdateNamespace, targets)
}

pub fn delete_namespace(cx: &mut Cx<'_>, request: DeleteNamespaceRequest) -> Result<DeleteNamespaceResponse, Error> {
    let row = identifier::namespace(cx.txn, cx.scope(), &request.id)?;
    if cx.txn.discovery_services_of(&row.key()).next().is_some() {
        let text = format!("Namespace {} has associated services. Delete all of its services first.", row.id);
        return Err(Error::resource_in_use(text));
    }
    cx.txn.remove::<Namespace>(&row.key());
    let targets = Targets { namespace: Some(row.id.clone()), ..Targets::default() };
    Ok(DeleteNamespaceResponse { operation_id: operation::note(cx, DiscoveryOperationKind::DeleteNamespace, targets) })
}
