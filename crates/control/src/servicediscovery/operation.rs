//! The record of what was asked for: GetOperation, ListOperations.

use std::time::Duration;

use model::discovery::{DiscoveryOperation, DiscoveryOperationKey, DiscoveryOperationKind};
use model::{Scope, Timestamp};
use store::Txn;
use wire::servicediscovery::{
    Error, FilterCondition, GetOperationRequest, GetOperationResponse, ListOperationsRequest, ListOperationsResponse,
    OperationStatus, OperationSummary,
};

use super::filter::Filter;
use super::{convert, letters, page};
use crate::Cx;

/// How long an operation can be asked for.
const RETENTION: Duration = Duration::from_secs(3600);
/// Digits of the time at the head of an id, which so come in the order of their times.
const TIME_DIGITS: usize = 11;
const LETTERS: usize = 21;
/// Rows that one commit removes.
const SWEPT_MAX: usize = 1000;

/// What an operation is about.
#[derive(Default)]
pub struct Targets {
    pub namespace: Option<String>,
    pub service: Option<String>,
    pub instance: Option<String>,
}

/// Notes an operation that is done, and answers its id.
pub fn note(cx: &mut Cx<'_>, kind: DiscoveryOperationKind, targets: Targets) -> Option<String> {
    let id = format!("{:0TIME_DIGITS$x}{}", cx.now.as_millis().max(0), letters(cx.random, LETTERS));
    let Targets { namespace, service, instance } = targets;
    cx.txn.put(DiscoveryOperation {
        scope: cx.scope().clone(),
        id: id.clone(),
        kind,
        namespace,
        service,
        instance,
        created_at: cx.now,
    });
    Some(id)
}

pub fn get_operation(cx: &mut Cx<'_>, request: GetOperationRequest) -> Result<GetOperationResponse, Error> {
    let row = cx.txn.discovery_operations.get(&(cx.scope().clone(), request.operation_id.clone()));
    let row =
        row.ok_or_else(|| Error::operation_not_found(format!("Operation not found: {}", request.operation_id)))?;
    Ok(GetOperationResponse { operation: Some(convert::operation(row)) })
}

pub fn list_operations(cx: &mut Cx<'_>, request: ListOperationsRequest) -> Result<ListOperationsResponse, Error> {
    const KNOWN: [(&str, &[FilterCondition]); 5] = [
        ("NAMESPACE_ID", &[FilterCondition::Eq]),
        ("SERVICE_ID", &[FilterCondition::Eq]),
        ("STATUS", &[FilterCondition::Eq, FilterCondition::In]),
        ("TYPE", &[FilterCondition::Eq, FilterCondition::In]),
        ("UPDATE_DATE", &[FilterCondition::Between]),
    ];
    let filters = request.filters.unwrap_or_default().into_iter();
    let filters = filters.map(|filter| Filter::new(filter.name.as_str(), filter.condition, filter.values, &KNOWN));
    let filters: Vec<Filter> = filters.collect::<Result<_, _>>()?;
    let (limit, after) = page(request.max_results, request.next_token.as_deref())?;
    let scope = cx.scope().clone();
    let rows = cx.txn.discovery_operations_in_scope(&scope);
    let mut found = Vec::new();
    for row in rows.filter(|row| after.as_ref().is_none_or(|after| row.id > *after)) {
        if shown(row, &filters)? {
            found.push(row);
        }
    }
    let (page, next_token) = crate::page::cut(found.into_iter(), limit, |row| row.id.clone());
    let summary = |row: &DiscoveryOperation| OperationSummary {
        id: Some(row.id.clone()),
        status: Some(OperationStatus::Success),
    };
    Ok(ListOperationsResponse { next_token, operations: Some(page.into_iter().map(|row| summary(row)).collect()) })
}

fn shown(row: &DiscoveryOperation, filters: &[Filter]) -> Result<bool, Error> {
    for filter in filters {
        let is = |id: &Option<String>| id.as_ref().is_some_and(|id| filter.holds(id));
        let holds = match filter.name.as_str() {
            "NAMESPACE_ID" => is(&row.namespace),
            "SERVICE_ID" => is(&row.service),
            "STATUS" => filter.holds(OperationStatus::Success.as_str()),
            "TYPE" => filter.holds(convert::operation_type(row.kind).as_str()),
            _ => filter.holds_time(row.created_at.as_millis())?,
        };
        if !holds {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Removes operations that nobody can ask for any more; answers how many.
pub fn sweep(txn: &mut Txn, now: Timestamp) -> usize {
    let retention = i64::try_from(RETENTION.as_millis()).expect("an hour fits");
    let before = Timestamp(now.as_millis().saturating_sub(retention));
    let is_over = |row: &&std::sync::Arc<DiscoveryOperation>| row.created_at < before;
    let over: Vec<DiscoveryOperationKey> =
        txn.discovery_operations.iter().filter(is_over).take(SWEPT_MAX).map(|row| row.key()).collect();
    for key in &over {
        txn.remove::<DiscoveryOperation>(key);
    }
    over.len()
}

/// The operation that made a namespace, while it can be asked for.
pub fn creation_of(txn: &Txn, scope: &Scope, namespace: &str) -> Option<String> {
    let is_it = |row: &&std::sync::Arc<DiscoveryOperation>| {
        row.kind == DiscoveryOperationKind::CreateNamespace && row.namespace.as_deref() == Some(namespace)
    };
    txn.discovery_operations_in_scope(scope).find(is_it).map(|row| row.id.clone())
}
