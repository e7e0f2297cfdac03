//! Task definitions (ecs-semantics §2.1).
//!
//! ```text
//! Register ─▶ ACTIVE ─Deregister─▶ INACTIVE ─Delete─▶ DELETE_IN_PROGRESS ─no task uses it (sweep)─▶ gone
//! ```
//! Invariants
//! - A revision is never given out twice: the family's row outlives its revisions.
//! - A row's family, revision and contents never change; its status only goes rightwards.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::task_definition::{TaskDefinition, TaskDefinitionStatus as Status};
use model::{Arn, Scope, TaskStatus};
use store::{Family, Tables, Txn};
use wire::ecs;
use wire::ecs::Error;

use super::convert::tag;
use super::convert::task_definition::{Registration, from_wire, refused, to_wire};
use super::identifier::{is_arn, named_by_arn};
use super::listing;
use crate::{Cx, page};

/// Bytes of a registration as JSON (ecs-semantics §2.1).
const DEFINITION_BYTES_MAX: usize = 65_536;
/// Revisions of a family (ecs-semantics §4.4).
const REVISIONS_MAX: u32 = 1_000_000;
/// Definitions in one DeleteTaskDefinitions call.
const DELETE_MAX: usize = 10;

/// What `family`, `family:revision` or the ARN of either names.
struct Reference {
    family: String,
    /// `None`: the latest ACTIVE one.
    revision: Option<u32>,
}

/// # Errors
/// `InvalidParameterException` for an ARN of somebody or something else, and for a revision that is no number.
fn parse(scope: &Scope, text: &str) -> Result<Reference, Error> {
    let name = if is_arn(text) { named_by_arn(scope, "task-definition", text)? } else { text };
    let Some((family, revision)) = name.rsplit_once(':') else {
        return Ok(Reference { family: name.to_owned(), revision: None });
    };
    match revision.parse() {
        Ok(revision) => Ok(Reference { family: family.to_owned(), revision: Some(revision) }),
        Err(_) => Err(Error::invalid_parameter(format!("Invalid revision number. Number: {revision}"))),
    }
}

/// The definition that `text` names: a family (its latest ACTIVE revision), `family:revision` in whatever status, or
/// an ARN. `None` when there is none.
///
/// # Errors
/// `InvalidParameterException` for what cannot be the name of one.
pub fn find(tables: &Tables, scope: &Scope, text: &str) -> Result<Option<Arc<TaskDefinition>>, Error> {
    let reference = parse(scope, text)?;
    Ok(match reference.revision {
        Some(revision) => get(tables, scope, &reference.family, revision).cloned(),
        None => latest_active(tables, scope, &reference.family).cloned(),
    })
}

/// The definition that RunTask and StartTask are to use, with the exact texts of ecs-semantics §4.1.
///
/// # Errors
/// `ClientException` when there is none or it is not ACTIVE; as [`find`].
pub fn find_active(tables: &Tables, scope: &Scope, text: &str) -> Result<Arc<TaskDefinition>, Error> {
    let definition = find(tables, scope, text)?.ok_or_else(|| Error::client("TaskDefinition not found."))?;
    match definition.status {
        Status::Active => Ok(definition),
        Status::Inactive | Status::DeleteInProgress => Err(Error::client("TaskDefinition is inactive")),
    }
}

fn get<'a>(tables: &'a Tables, scope: &Scope, family: &str, revision: u32) -> Option<&'a Arc<TaskDefinition>> {
    tables.task_definitions.get(&(scope.clone(), family.to_owned(), revision))
}

/// From the newest down: most often the newest is ACTIVE.
fn latest_active<'a>(tables: &'a Tables, scope: &Scope, family: &str) -> Option<&'a Arc<TaskDefinition>> {
    let revisions = (1..=last_revision(tables, scope, family)).rev();
    let mut rows = revisions.filter_map(|revision| get(tables, scope, family, revision));
    rows.find(|row| row.status == Status::Active)
}

fn last_revision(tables: &Tables, scope: &Scope, family: &str) -> u32 {
    tables.families.get(&(scope.clone(), family.to_owned())).map_or(0, |family| family.last_revision)
}

/// RegisterTaskDefinition.
pub fn register_task_definition(
    cx: &mut Cx<'_>,
    request: ecs::RegisterTaskDefinitionRequest,
) -> Result<ecs::RegisterTaskDefinitionResponse, Error> {
    check_size(&request)?;
    let revision = last_revision(cx.txn, cx.scope(), &request.family) + 1;
    let registration =
        Registration { scope: cx.scope().clone(), revision, at: cx.now, by: cx.caller.principal_arn.to_string() };
    let mut definition = from_wire(request, registration)?;
    plan::task_definition::check(&definition).map_err(refused)?;
    if revision > REVISIONS_MAX {
        return Err(Error::limit_exceeded(format!("A family cannot have more than {REVISIONS_MAX} revisions.")));
    }
    definition.compatibilities = plan::task_definition::compatibilities(&definition);
    definition.requires_attributes = plan::task_definition::requires_attributes(&definition);
    let response = ecs::RegisterTaskDefinitionResponse {
        task_definition: Some(to_wire(&definition)),
        tags: (!definition.tags.is_empty()).then(|| tag::to_wire(&definition.tags)),
    };
    cx.txn.put(Family { scope: definition.scope.clone(), name: definition.family.clone(), last_revision: revision });
    cx.txn.put(definition);
    Ok(response)
}

fn check_size(request: &ecs::RegisterTaskDefinitionRequest) -> Result<(), Error> {
    let mut json = Vec::new();
    wire::json::write(request, &mut json);
    if json.len() > DEFINITION_BYTES_MAX {
        return Err(Error::client(format!(
            "Actual length: '{}'. Max allowed length is '{DEFINITION_BYTES_MAX}' bytes.",
            json.len()
        )));
    }
    Ok(())
}

/// DescribeTaskDefinition.
pub fn describe_task_definition(
    cx: &mut Cx<'_>,
    request: ecs::DescribeTaskDefinitionRequest,
) -> Result<ecs::DescribeTaskDefinitionResponse, Error> {
    let includes_tags = includes_tags(&request.include.unwrap_or_default())?;
    let Some(definition) = find(cx.txn, cx.scope(), &request.task_definition)? else {
        return Err(Error::client("Unable to describe task definition."));
    };
    Ok(ecs::DescribeTaskDefinitionResponse {
        task_definition: Some(to_wire(&definition)),
        tags: includes_tags.then(|| tag::to_wire(&definition.tags)),
    })
}

fn includes_tags(include: &[ecs::TaskDefinitionField]) -> Result<bool, Error> {
    match include.iter().find(|field| **field != ecs::TaskDefinitionField::Tags) {
        Some(other) => {
            Err(Error::invalid_parameter(format!("include should be one of [TAGS], not '{}'", other.as_str())))
        }
        None => Ok(!include.is_empty()),
    }
}

/// ListTaskDefinitions: by family, then revision. `familyPrefix` is a whole family's name.
pub fn list_task_definitions(
    cx: &mut Cx<'_>,
    request: ecs::ListTaskDefinitionsRequest,
) -> Result<ecs::ListTaskDefinitionsResponse, Error> {
    let limit = listing::limit(request.max_results, listing::PAGE_MAX, listing::PAGE_MAX)?;
    let after = listing::start(request.next_token.as_deref())?;
    let status = status_filter(request.status.as_ref())?;
    let descending = is_descending(request.sort.as_ref())?;
    let family = request.family_prefix.filter(|family| !family.is_empty());

    let rows: Box<dyn Iterator<Item = &Arc<TaskDefinition>>> = match &family {
        Some(family) => Box::new(cx.txn.task_definitions_of(cx.scope(), family)),
        None => Box::new(cx.txn.task_definitions_in_scope(&cx.caller.scope)),
    };
    let mut rows: Vec<&Arc<TaskDefinition>> = rows.filter(|row| row.status == status).collect();
    if descending {
        rows.reverse();
    }
    let after = after.as_deref().and_then(|key| key.rsplit_once(':')).and_then(|(family, revision)| {
        let revision: u32 = revision.parse().ok()?;
        Some((family.to_owned(), revision))
    });
    let comes_after = |row: &TaskDefinition| {
        after.as_ref().is_none_or(|(family, revision)| {
            let (key, after) = ((&row.family, &row.revision), (family, revision));
            if descending { key < after } else { key > after }
        })
    };
    let rest = rows.into_iter().filter(|row| comes_after(row));
    let (rows, next_token) = page::cut(rest, limit, |row| row.name());
    let arns = rows.iter().map(|row| Arn::task_definition(&row.scope, &row.family, row.revision).to_string());
    Ok(ecs::ListTaskDefinitionsResponse { task_definition_arns: Some(arns.collect()), next_token })
}

fn status_filter(status: Option<&ecs::TaskDefinitionStatus>) -> Result<Status, Error> {
    match status {
        None | Some(ecs::TaskDefinitionStatus::Active) => Ok(Status::Active),
        Some(ecs::TaskDefinitionStatus::Inactive) => Ok(Status::Inactive),
        Some(ecs::TaskDefinitionStatus::DeleteInProgress) => Ok(Status::DeleteInProgress),
        Some(ecs::TaskDefinitionStatus::Unknown(_)) => {
            Err(Error::invalid_parameter("status should be one of [ACTIVE,INACTIVE,DELETE_IN_PROGRESS]"))
        }
    }
}

fn is_descending(sort: Option<&ecs::SortOrder>) -> Result<bool, Error> {
    match sort {
        None | Some(ecs::SortOrder::Asc) => Ok(false),
        Some(ecs::SortOrder::Desc) => Ok(true),
        Some(ecs::SortOrder::Unknown(_)) => Err(Error::invalid_parameter("sort should be one of [ASC,DESC]")),
    }
}

/// ListTaskDefinitionFamilies: `familyPrefix` is a true prefix here. ACTIVE: has an ACTIVE revision; INACTIVE: has only
/// INACTIVE ones. A family whose revisions are all deleted is in neither.
pub fn list_task_definition_families(
    cx: &mut Cx<'_>,
    request: ecs::ListTaskDefinitionFamiliesRequest,
) -> Result<ecs::ListTaskDefinitionFamiliesResponse, Error> {
    let limit = listing::limit(request.max_results, listing::PAGE_MAX, listing::PAGE_MAX)?;
    let after = listing::start(request.next_token.as_deref())?;
    let wanted = family_filter(request.status.as_ref())?;
    let prefix = request.family_prefix.unwrap_or_default();
    let names = cx.txn.families_in_scope(&cx.caller.scope).map(|family| &family.name);
    let matching =
        names.filter(|name| name.starts_with(&prefix) && after.as_ref().is_none_or(|after| *name > after)).filter(
            |name| family_status(cx.txn, cx.scope(), name).is_some_and(|status| wanted.is_none_or(|w| w == status)),
        );
    let (families, next_token) = page::cut(matching, limit, |name| (*name).clone());
    Ok(ecs::ListTaskDefinitionFamiliesResponse { families: Some(families.into_iter().cloned().collect()), next_token })
}

/// `None`: both kinds.
fn family_filter(status: Option<&ecs::TaskDefinitionFamilyStatus>) -> Result<Option<Status>, Error> {
    match status {
        None | Some(ecs::TaskDefinitionFamilyStatus::All) => Ok(None),
        Some(ecs::TaskDefinitionFamilyStatus::Active) => Ok(Some(Status::Active)),
        Some(ecs::TaskDefinitionFamilyStatus::Inactive) => Ok(Some(Status::Inactive)),
        Some(ecs::TaskDefinitionFamilyStatus::Unknown(_)) => {
            Err(Error::invalid_parameter("status should be one of [ACTIVE,INACTIVE,ALL]"))
        }
    }
}

fn family_status(tables: &Tables, scope: &Scope, family: &str) -> Option<Status> {
    if latest_active(tables, scope, family).is_some() {
        return Some(Status::Active);
    }
    let mut rows = tables.task_definitions_of(scope, family);
    rows.any(|row| row.status == Status::Inactive).then_some(Status::Inactive)
}

/// DeregisterTaskDefinition. One that is no longer ACTIVE is answered as it is.
pub fn deregister_task_definition(
    cx: &mut Cx<'_>,
    request: ecs::DeregisterTaskDefinitionRequest,
) -> Result<ecs::DeregisterTaskDefinitionResponse, Error> {
    let reference = parse(cx.scope(), &request.task_definition)?;
    let Some(revision) = reference.revision else {
        return Err(Error::client("Revision is missing."));
    };
    let Some(definition) = get(cx.txn, cx.scope(), &reference.family, revision) else {
        return Err(Error::client("The specified task definition does not exist."));
    };
    let mut definition = TaskDefinition::clone(definition);
    if definition.status == Status::Active {
        definition.status = Status::Inactive;
        definition.deregistered_at = Some(cx.now);
        cx.txn.put(definition.clone());
    }
    Ok(ecs::DeregisterTaskDefinitionResponse { task_definition: Some(to_wire(&definition)) })
}

/// DeleteTaskDefinitions: each entry by itself, into `failures` what cannot be deleted.
pub fn delete_task_definitions(
    cx: &mut Cx<'_>,
    request: ecs::DeleteTaskDefinitionsRequest,
) -> Result<ecs::DeleteTaskDefinitionsResponse, Error> {
    match request.task_definitions.len() {
        0 => return Err(Error::invalid_parameter("size of TaskDefinition references list must be greater than 0")),
        1..=DELETE_MAX => {}
        _ => {
            return Err(Error::invalid_parameter(format!(
                "Size of TaskDefinition references list cannot exceed {DELETE_MAX}"
            )));
        }
    }
    let (mut deleted, mut failures) = (vec![], vec![]);
    for text in request.task_definitions {
        match delete(cx, &text) {
            Ok(definition) => deleted.push(to_wire(&definition)),
            Err(reason) => failures.push(ecs::Failure { arn: Some(text), reason: Some(reason), detail: None }),
        }
    }
    Ok(ecs::DeleteTaskDefinitionsResponse { task_definitions: Some(deleted), failures: Some(failures) })
}

/// Puts one definition on its way out. An error is the reason of its failure (wording not confirmed by the reference).
fn delete(cx: &mut Cx<'_>, text: &str) -> Result<TaskDefinition, String> {
    const INVALID: &str =
        "The specified task definition identifier is invalid. Specify a valid name or ARN and try again.";
    let reference = parse(cx.scope(), text).map_err(|_| INVALID)?;
    let revision = reference.revision.ok_or(INVALID)?;
    let definition = get(cx.txn, cx.scope(), &reference.family, revision);
    let mut definition = TaskDefinition::clone(definition.ok_or("TASK_DEFINITION_NOT_FOUND")?);
    match definition.status {
        Status::Active => {
            Err("The specified task definition is still in ACTIVE status. Please deregister the target and \
                               try again."
                .to_owned())
        }
        Status::Inactive => {
            definition.status = Status::DeleteInProgress;
            definition.delete_requested_at = Some(cx.now);
            cx.txn.put(definition.clone());
            Ok(definition)
        }
        Status::DeleteInProgress => Ok(definition),
    }
}

/// Removes the deleted definitions that no task and no service uses any more. Answers how many.
pub fn sweep(txn: &mut Txn) -> usize {
    let deleted = txn.task_definitions.iter().filter(|row| row.status == Status::DeleteInProgress);
    let mut keys: Vec<_> = deleted.map(|row| (row.scope.clone(), row.family.clone(), row.revision)).collect();
    if keys.is_empty() {
        return 0;
    }
    let running = txn.tasks.iter().filter(|task| task.last_status < TaskStatus::Stopped);
    let mut used: BTreeSet<_> = running.map(|task| (task.scope.clone(), task.family.clone(), task.revision)).collect();
    for service in txn.services.iter() {
        let deployments = service.deployments.iter().chain(&service.last_completed);
        used.extend(deployments.map(|row| (service.scope.clone(), row.family.clone(), row.revision)));
    }
    keys.retain(|key| !used.contains(key));
    for key in &keys {
        txn.remove::<TaskDefinition>(key);
    }
    keys.len()
}
