//! Attributes of container instances: PutAttributes, DeleteAttributes, ListAttributes (ecs-semantics §0.2).

use model::network::Vpc;
use model::{Attribute, ContainerInstance, Node};

/// All attributes that a node shows: what its agent says of it, where it stands, and what was put on its container
/// instance. No name is there twice; the node's own come first.
pub fn attributes_of(node: &Node, instance: Option<&ContainerInstance>) -> Vec<Attribute> {
    let mut attributes = node.attributes.clone();
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
    let custom = instance.into_iter().flat_map(|instance| &instance.custom_attributes);
    let custom: Vec<_> = custom.filter(|own| !attributes.iter().any(|known| known.name == own.name)).cloned().collect();
    attributes.extend(custom);
    attributes
}
