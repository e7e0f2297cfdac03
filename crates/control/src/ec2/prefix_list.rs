//! Managed prefix lists: Create, Modify, Delete, Describe, and their entries.

use std::sync::Arc;

use ipnet::Ipv4Net;
use model::prefix_list::PrefixListEntry;
use model::route_table::Destination;
use model::security_group::Peer;
use model::{PrefixList, Scope};
use store::Tables;
use wire::ec2::{
    self, AddPrefixListEntry, CreateManagedPrefixListRequest, CreateManagedPrefixListResult,
    DeleteManagedPrefixListRequest, DeleteManagedPrefixListResult, DescribeManagedPrefixListsRequest,
    DescribeManagedPrefixListsResult, Error, GetManagedPrefixListEntriesRequest, GetManagedPrefixListEntriesResult,
    ManagedPrefixList, ModifyManagedPrefixListRequest, ModifyManagedPrefixListResult, PrefixListState, ResourceType,
};

use super::select::{Noun, Selection, one, refuse_dry_run, select};
use super::{convert, in_use, refuse, resource, security_group, tag, unbuilt, vpc};
use crate::Cx;

/// In an account and region.
const LISTS_MAX: usize = 100;
/// Of one list, as AWS has it.
const ENTRIES_MAX: usize = 1000;
const NAME_LENGTH_MAX: usize = 255;

const NOUN: Noun<ManagedPrefixList> = Noun {
    label: "prefix list ID",
    not_found: "InvalidPrefixListID.NotFound",
    id: |list| list.prefix_list_id.as_deref().unwrap_or_default(),
    tags: |list| list.tags.as_ref(),
    filters: &["owner-id", "prefix-list-id", "prefix-list-name"],
    values,
};

/// By its network: an entry has no id.
const ENTRY: Noun<ec2::PrefixListEntry> = Noun {
    label: "prefix list entry",
    not_found: "InvalidPrefixListID.NotFound",
    id: |entry| entry.cidr.as_deref().unwrap_or_default(),
    tags: |_| None,
    filters: &[],
    values: |_, _| Vec::new(),
};

/// # Errors
/// `InvalidPrefixListID.NotFound`
pub(super) fn locate(cx: &Cx<'_>, id: &str) -> Result<Arc<PrefixList>, Error> {
    let found = cx.txn.prefix_lists.get(&(cx.scope().clone(), id.to_owned())).cloned();
    found.ok_or_else(|| refuse(NOUN.not_found, format!("The prefix list ID '{id}' does not exist")))
}

pub(super) fn create_managed_prefix_list(
    cx: &mut Cx<'_>,
    request: CreateManagedPrefixListRequest,
) -> Result<CreateManagedPrefixListResult, Error> {
    match request.address_family.as_str() {
        "IPv4" => {}
        "IPv6" => return Err(unbuilt("Prefix lists of IPv6 are")),
        other => {
            let text = format!("Value ({other}) for parameter AddressFamily is invalid. Expecting IPv4 or IPv6.");
            return Err(refuse("InvalidParameterValue", text));
        }
    }
    check_name(&request.prefix_list_name)?;
    let tags = tag::from_specifications(request.tag_specifications, &ResourceType::PrefixList)?;
    let max_entries = max_entries(request.max_entries)?;
    let mut entries = Vec::new();
    add(&mut entries, request.entries.unwrap_or_default())?;
    check_count(&entries, max_entries)?;
    if cx.txn.prefix_lists_in_scope(cx.scope()).count() >= LISTS_MAX {
        return Err(refuse("PrefixListLimitExceeded", "The maximum number of prefix lists has been reached."));
    }
    refuse_dry_run(request.dry_run)?;
    let row = PrefixList {
        scope: cx.scope().clone(),
        id: resource::new_id(cx, "pl"),
        name: request.prefix_list_name,
        max_entries,
        version: 1,
        entries,
        is_modified: false,
    };
    tag::set(cx, &row.id, tags);
    let shown = ManagedPrefixList { state: Some(PrefixListState::CreateInProgress), ..show(cx.txn, &row) };
    cx.txn.put(row);
    Ok(CreateManagedPrefixListResult { prefix_list: Some(shown) })
}

fn check_name(name: &str) -> Result<(), Error> {
    if name.is_empty() || name.len() > NAME_LENGTH_MAX || name.starts_with("com.amazonaws") {
        let text = format!("Value ({name}) for parameter PrefixListName is invalid.");
        return Err(refuse("InvalidParameterValue", text));
    }
    Ok(())
}

fn max_entries(given: i32) -> Result<usize, Error> {
    let invalid = || {
        let text =
            format!("Value ({given}) for parameter MaxEntries is invalid. Expecting a value from 1 to {ENTRIES_MAX}.");
        refuse("InvalidParameterValue", text)
    };
    usize::try_from(given).ok().filter(|count| (1..=ENTRIES_MAX).contains(count)).ok_or_else(invalid)
}

fn add(entries: &mut Vec<PrefixListEntry>, given: Vec<AddPrefixListEntry>) -> Result<(), Error> {
    for AddPrefixListEntry { cidr, description } in given {
        let network = network(&cidr)?;
        if entries.iter().any(|entry| entry.network == network) {
            let text = format!("The prefix list entry {network} already exists.");
            return Err(refuse("InvalidParameterValue", text));
        }
        let description = convert::checked_description(description)?;
        entries.push(PrefixListEntry { network, description });
    }
    Ok(())
}

fn network(cidr: &str) -> Result<Ipv4Net, Error> {
    let malformed = |_| {
        let text = format!("Value ({cidr}) for parameter Cidr is invalid. This is not a valid CIDR block.");
        refuse("InvalidParameterValue", text)
    };
    convert::cidr(cidr).map_err(malformed)
}

fn check_count(entries: &[PrefixListEntry], max: usize) -> Result<(), Error> {
    if entries.len() > max {
        let text = format!("The prefix list can have at most {max} entries.");
        return Err(refuse("PrefixListMaxEntriesExceeded", text));
    }
    Ok(())
}

/// Another version, when the entries change: whoever knows only an older one is refused.
pub(super) fn modify_managed_prefix_list(
    cx: &mut Cx<'_>,
    request: ModifyManagedPrefixListRequest,
) -> Result<ModifyManagedPrefixListResult, Error> {
    if request.ipam_prefix_list_resolver_sync_enabled == Some(true) {
        return Err(unbuilt("IPAM pools are"));
    }
    let mut row = PrefixList::clone(&*locate(cx, &request.prefix_list_id)?);
    let added = request.add_entries.unwrap_or_default();
    let removed = request.remove_entries.unwrap_or_default();
    let changes_entries = !added.is_empty() || !removed.is_empty();
    if changes_entries && request.current_version.is_none() {
        let text = "The request must contain the parameter CurrentVersion";
        return Err(refuse("MissingParameter", text));
    }
    if request.current_version.is_some_and(|version| version != row.version) {
        let text = format!("The prefix list has the incorrect version number; the current version is {}.", row.version);
        return Err(refuse("PrefixListVersionMismatch", text));
    }
    for entry in removed {
        let network = network(&entry.cidr)?;
        let place = row.entries.iter().position(|entry| entry.network == network);
        let absent = || refuse("InvalidParameterValue", format!("The prefix list has no entry {network}."));
        row.entries.remove(place.ok_or_else(absent)?);
    }
    add(&mut row.entries, added)?;
    if let Some(name) = request.prefix_list_name {
        check_name(&name)?;
        row.name = name;
    }
    if let Some(given) = request.max_entries {
        row.max_entries = max_entries(given)?;
    }
    check_count(&row.entries, row.max_entries)?;
    refuse_dry_run(request.dry_run)?;
    row.version += i64::from(changes_entries);
    row.is_modified = true;
    let shown = ManagedPrefixList { state: Some(PrefixListState::ModifyInProgress), ..show(cx.txn, &row) };
    cx.txn.put(row);
    Ok(ModifyManagedPrefixListResult { prefix_list: Some(shown) })
}

/// Refused as long as a rule or a route names it.
pub(super) fn delete_managed_prefix_list(
    cx: &mut Cx<'_>,
    request: &DeleteManagedPrefixListRequest,
) -> Result<DeleteManagedPrefixListResult, Error> {
    let row = locate(cx, &request.prefix_list_id)?;
    if is_named(cx, &row.id) {
        return Err(in_use("prefixList", &row.id));
    }
    refuse_dry_run(request.dry_run)?;
    let shown = ManagedPrefixList { state: Some(PrefixListState::DeleteInProgress), ..show(cx.txn, &row) };
    tag::remove(cx, &row.id);
    cx.txn.remove::<PrefixList>(&(row.scope.clone(), row.id.clone()));
    Ok(DeleteManagedPrefixListResult { prefix_list: Some(shown) })
}

fn is_named(cx: &Cx<'_>, id: &str) -> bool {
    let by_rule = |peer: &Peer| matches!(peer, Peer::PrefixList(named) if named == id);
    let by_route = |destination: &Destination| matches!(destination, Destination::PrefixList(named) if named == id);
    let groups = security_group::all(cx.txn, cx.scope());
    let vpcs = vpc::all(cx.txn, cx.scope());
    let mut routes = vpcs.iter().flat_map(|vpc| &vpc.route_tables).flat_map(|table| &table.routes);
    groups.iter().flat_map(|group| &group.rules).any(|rule| by_rule(&rule.peer))
        || routes.any(|route| by_route(&route.destination))
}

pub(super) fn describe_managed_prefix_lists(
    cx: &Cx<'_>,
    request: &DescribeManagedPrefixListsRequest,
) -> Result<DescribeManagedPrefixListsResult, Error> {
    let selection = Selection {
        dry_run: request.dry_run,
        ids: request.prefix_list_ids.as_deref(),
        filters: request.filters.as_deref(),
        max_results: request.max_results,
        next_token: request.next_token.as_deref(),
    };
    let shown = cx.txn.prefix_lists_in_scope(cx.scope()).map(|row| show(cx.txn, row)).collect();
    let (prefix_lists, next_token) = select(&NOUN, &selection, shown)?;
    Ok(DescribeManagedPrefixListsResult { next_token, prefix_lists: Some(prefix_lists) })
}

/// GetManagedPrefixListEntries: what earlier versions had is not kept.
pub(super) fn get_managed_prefix_list_entries(
    cx: &Cx<'_>,
    request: &GetManagedPrefixListEntriesRequest,
) -> Result<GetManagedPrefixListEntriesResult, Error> {
    let row = locate(cx, &request.prefix_list_id)?;
    match request.target_version {
        Some(version) if (1..row.version).contains(&version) => {
            return Err(unbuilt("Earlier versions of prefix lists are"));
        }
        Some(version) if version != row.version => {
            let text = format!("The prefix list has no version {version}.");
            return Err(refuse("InvalidParameterValue", text));
        }
        _ => {}
    }
    let selection = Selection {
        dry_run: request.dry_run,
        ids: None,
        filters: None,
        max_results: request.max_results,
        next_token: request.next_token.as_deref(),
    };
    let entry = |entry: &PrefixListEntry| ec2::PrefixListEntry {
        cidr: Some(entry.network.to_string()),
        description: entry.description.clone(),
    };
    let (entries, next_token) = select(&ENTRY, &selection, row.entries.iter().map(entry).collect())?;
    Ok(GetManagedPrefixListEntriesResult { entries: Some(entries), next_token })
}

fn show(tables: &Tables, row: &PrefixList) -> ManagedPrefixList {
    let Scope { account, region } = &row.scope;
    let state = if row.is_modified { PrefixListState::ModifyComplete } else { PrefixListState::CreateComplete };
    ManagedPrefixList {
        address_family: Some("IPv4".to_owned()),
        max_entries: i32::try_from(row.max_entries).ok(),
        owner_id: Some(account.to_string()),
        prefix_list_arn: Some(format!("arn:aws:ec2:{region}:{account}:prefix-list/{}", row.id)),
        prefix_list_id: Some(row.id.clone()),
        prefix_list_name: Some(row.name.clone()),
        state: Some(state),
        tags: Some(tag::of(tables, &row.scope, &row.id)).filter(|tags| !tags.is_empty()),
        version: Some(row.version),
        ..ManagedPrefixList::default()
    }
}

fn values(list: &ManagedPrefixList, filter: &str) -> Vec<String> {
    match filter {
        "owner-id" => one(list.owner_id.as_deref()),
        "prefix-list-id" => one(list.prefix_list_id.as_deref()),
        "prefix-list-name" => one(list.prefix_list_name.as_deref()),
        _ => Vec::new(),
    }
}
