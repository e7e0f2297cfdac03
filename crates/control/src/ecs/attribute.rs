//! Attributes of container instances: PutAttributes, DeleteAttributes, ListAttributes (ecs-semantics §0.2). A node's own
//! attributes are listed with the rest, and are not the caller's to set or delete.

use model::network::Vpc;
use model::{Attribute, ContainerInstance, ContainerInstanceId, InstanceStatus, Node};
use store::Tables;
use wire::ecs;
use wire::ecs::Error;

use super::convert::container_instance::arn;
use super::{cluster, container_instance, listing};
use crate::{Cx, page};

/// Of one call, and of one container instance beside the node's own (ecs-semantics §0.2).
const ATTRIBUTES_MAX: usize = 10;
const NAME_LENGTH_MAX: usize = 128;
const VALUE_LENGTH_MAX: usize = 128;
/// Between the parts of a page's key; no attribute's name has it.
const KEY_SEPARATOR: char = ' ';

/// All attributes that a node shows: what its agent says of it, where it stands, and what was put on its container
/// instance. No name is there twice; the node's own come first.
pub fn attributes_of(node: &Node, instance: Option<&ContainerInstance>) -> Vec<Attribute> {
    let mut attributes = own_attributes(node);
    let custom = instance.into_iter().flat_map(|instance| &instance.custom_attributes);
    let custom: Vec<_> = custom.filter(|row| !attributes.iter().any(|own| own.name == row.name)).cloned().collect();
    attributes.extend(custom);
    attributes
}

fn own_attributes(node: &Node) -> Vec<Attribute> {
    let mut attributes = node.attributes.to_vec();
    let mut add = |name: &str, value: &str| {
        if !attributes.iter().any(|attribute| attribute.name == name) {
            attributes.push(Attribute { name: name.to_owned(), value: Some(value.to_owned()) });
        }
    };
    let vpc = Vpc::default_of(&node.scope);
    add("ecs.availability-zone", &node.zone);
    add("ecs.vpc-id", &vpc.id);
    if let Some(subnet) = vpc.subnets.iter().find(|subnet| subnet.zone == node.zone) {
        add("ecs.subnet-id", &subnet.id);
    }
    attributes
}

/// PutAttributes: one that is there takes the new value. All of them or none.
pub fn put_attributes(
    cx: &mut Cx<'_>,
    request: ecs::PutAttributesRequest,
) -> Result<ecs::PutAttributesResponse, Error> {
    let cluster = cluster::find_active(cx.txn, cx.scope(), request.cluster.as_deref())?;
    check_count(&request.attributes)?;
    let mut shown = Vec::with_capacity(request.attributes.len());
    for given in request.attributes {
        let mut instance = target(cx, &cluster.name, &given)?;
        check_text(&given.name, given.value.as_deref())?;
        check_is_not_own(cx.txn, &instance, &given.name)?;
        let attribute = Attribute { name: given.name, value: given.value.filter(|value| !value.is_empty()) };
        let custom = &mut instance.custom_attributes;
        match custom.iter_mut().find(|row| row.name == attribute.name) {
            Some(row) => *row = attribute.clone(),
            None => custom.push(attribute.clone()),
        }
        if custom.len() > ATTRIBUTES_MAX {
            return Err(Error::attribute_limit_exceeded(format!(
                "A container instance can have at most {ATTRIBUTES_MAX} custom attributes."
            )));
        }
        shown.push(to_wire(&instance, attribute));
        put(cx, instance);
    }
    Ok(ecs::PutAttributesResponse { attributes: Some(shown) })
}

/// DeleteAttributes: by name, and by value where one is given. One that is not there is none to delete.
pub fn delete_attributes(
    cx: &mut Cx<'_>,
    request: ecs::DeleteAttributesRequest,
) -> Result<ecs::DeleteAttributesResponse, Error> {
    let cluster = cluster::find_active(cx.txn, cx.scope(), request.cluster.as_deref())?;
    check_count(&request.attributes)?;
    let mut deleted = Vec::new();
    for given in request.attributes {
        let mut instance = target(cx, &cluster.name, &given)?;
        check_text(&given.name, given.value.as_deref())?;
        check_is_not_own(cx.txn, &instance, &given.name)?;
        let is_meant = |row: &mut Attribute| {
            row.name == given.name && (given.value.is_none() || row.value.as_deref() == given.value.as_deref())
        };
        let gone: Vec<_> = instance.custom_attributes.extract_if(.., is_meant).collect();
        deleted.extend(gone.into_iter().map(|attribute| to_wire(&instance, attribute)));
        put(cx, instance);
    }
    Ok(ecs::DeleteAttributesResponse { attributes: Some(deleted) })
}

/// A change of what an instance shows is a new version of it.
fn put(cx: &mut Cx<'_>, instance: ContainerInstance) {
    let before = cx.txn.container_instances.get(&instance.id);
    let changed = before.is_none_or(|before| before.custom_attributes != instance.custom_attributes);
    let version = instance.version + u64::from(changed);
    cx.txn.put(ContainerInstance { version, ..instance });
}

/// ListAttributes, by instance and then by name: those of one name, or of one name and value, or all.
pub fn list_attributes(
    cx: &mut Cx<'_>,
    request: ecs::ListAttributesRequest,
) -> Result<ecs::ListAttributesResponse, Error> {
    let cluster = cluster::find(cx.txn, cx.scope(), request.cluster.as_deref())?;
    check_target_type(&request.target_type)?;
    let limit = listing::limit(request.max_results, listing::PAGE_MAX, listing::PAGE_MAX)?;
    let after = listing::start(request.next_token.as_deref())?.map(|key| key_of(&key)).transpose()?;
    let name = request.attribute_name.filter(|name| !name.is_empty());
    let value = request.attribute_value.filter(|value| !value.is_empty());
    if value.is_some() && name.is_none() {
        return Err(Error::invalid_parameter("attributeValue needs an attributeName beside it."));
    }
    let tables: &Tables = cx.txn;
    let instances = tables.container_instances_in_cluster(cx.scope(), &cluster.name);
    let instances = instances
        .filter(|instance| instance.status != InstanceStatus::Inactive)
        .filter(|instance| after.as_ref().is_none_or(|(id, _)| instance.id >= *id));
    let wanted = instances
        .flat_map(|instance| sorted(tables, instance).into_iter().map(move |attribute| (instance, attribute)))
        .filter(|(_, attribute)| name.as_ref().is_none_or(|name| attribute.name == *name))
        .filter(|(_, attribute)| value.is_none() || attribute.value == value)
        .filter(|(instance, attribute)| {
            after.as_ref().is_none_or(|(id, name)| (instance.id, &attribute.name) > (*id, name))
        });
    let (page, next_token) =
        page::cut(wanted, limit, |(instance, attribute)| format!("{}{KEY_SEPARATOR}{}", instance.id, attribute.name));
    let attributes = page.into_iter().map(|(instance, attribute)| to_wire(instance, attribute)).collect();
    Ok(ecs::ListAttributesResponse { attributes: Some(attributes), next_token })
}

fn sorted(tables: &Tables, instance: &ContainerInstance) -> Vec<Attribute> {
    let node = tables.nodes.get(&instance.node);
    let mut attributes =
        node.map_or_else(|| instance.custom_attributes.clone(), |node| attributes_of(node, Some(instance)));
    attributes.sort_by(|a, b| a.name.cmp(&b.name));
    attributes
}

fn key_of(key: &str) -> Result<(ContainerInstanceId, String), Error> {
    let parts = key.split_once(KEY_SEPARATOR).and_then(|(id, name)| Some((id.parse().ok()?, name.to_owned())));
    parts.ok_or_else(|| Error::invalid_parameter("Invalid token."))
}

fn check_count(attributes: &[ecs::Attribute]) -> Result<(), Error> {
    if attributes.is_empty() {
        return Err(Error::invalid_parameter("Attributes cannot be empty."));
    }
    if attributes.len() > ATTRIBUTES_MAX {
        return Err(Error::invalid_parameter(format!("attributes can have at most {ATTRIBUTES_MAX} items.")));
    }
    Ok(())
}

fn check_target_type(target_type: &ecs::TargetType) -> Result<(), Error> {
    match target_type {
        ecs::TargetType::ContainerInstance => Ok(()),
        ecs::TargetType::Unknown(_) => {
            Err(Error::invalid_parameter("targetType should be one of [container-instance]"))
        }
    }
}

/// The instance that an attribute is for. A short id needs its type beside it.
fn target(cx: &Cx<'_>, cluster: &str, attribute: &ecs::Attribute) -> Result<ContainerInstance, Error> {
    if let Some(target_type) = &attribute.target_type {
        check_target_type(target_type)?;
    }
    let id = attribute.target_id.as_deref().unwrap_or_default();
    if id.is_empty() {
        return Err(Error::invalid_parameter("targetId cannot be empty."));
    }
    if attribute.target_type.is_none() && !id.starts_with("arn:") {
        return Err(Error::invalid_parameter("targetType must be given with a targetId that is not an ARN."));
    }
    let found = container_instance::find(cx.txn, cx.scope(), cluster, id)?;
    let found = found.filter(|instance| instance.status != InstanceStatus::Inactive);
    found.cloned().ok_or_else(|| Error::target_not_found(format!("Could not find {id}")))
}

fn check_text(name: &str, value: Option<&str>) -> Result<(), Error> {
    let in_name = |c: char| c.is_ascii_alphanumeric() || "_/\\.-".contains(c);
    if name.is_empty() || name.len() > NAME_LENGTH_MAX || !name.chars().all(in_name) {
        return Err(Error::invalid_parameter(format!(
            "Invalid attribute name '{name}'. It must have 1 to {NAME_LENGTH_MAX} letters, digits or any of _/\\.-."
        )));
    }
    let Some(value) = value else { return Ok(()) };
    let in_value = |c: char| in_name(c) || "@: ".contains(c);
    if value.len() > VALUE_LENGTH_MAX || !value.chars().all(in_value) || value.trim() != value {
        return Err(Error::invalid_parameter(format!(
            "Invalid value of attribute '{name}'. It must have at most {VALUE_LENGTH_MAX} letters, digits, inner spaces \
             or any of _/\\.-@:."
        )));
    }
    Ok(())
}

fn check_is_not_own(tables: &Tables, instance: &ContainerInstance, name: &str) -> Result<(), Error> {
    let node = tables.nodes.get(&instance.node);
    let is_own = node.is_some_and(|node| own_attributes(node).iter().any(|own| own.name == name));
    let is_reserved = name.starts_with("ecs.") || name.starts_with("com.amazonaws.ecs.");
    if is_own || is_reserved {
        return Err(Error::invalid_parameter(format!("The attribute '{name}' is the container agent's own.")));
    }
    Ok(())
}

fn to_wire(instance: &ContainerInstance, attribute: Attribute) -> ecs::Attribute {
    ecs::Attribute {
        name: attribute.name,
        target_id: Some(arn(instance)),
        target_type: Some(ecs::TargetType::ContainerInstance),
        value: attribute.value,
    }
}
