//! Where the tasks of a service are: the facts of their nodes, each looked up once.

use std::collections::HashMap;
use std::time::Duration;

use model::{NodeId, Service, Task};
use plan::service::{Site, spread_attribute};
use store::Tables;

use crate::ecs::attribute::attributes_of;

/// The nodes that were asked for so far.
pub(super) struct Sites<'a> {
    tables: &'a Tables,
    node_lost_after: Duration,
    /// Those that tasks know only from their nodes.
    spread_attributes: Vec<&'a str>,
    known: HashMap<NodeId, Site>,
}

impl<'a> Sites<'a> {
    pub fn of(tables: &'a Tables, service: &'a Service, node_lost_after: Duration) -> Self {
        let spread_attributes = service.placement_strategies.iter().filter_map(spread_attribute).collect();
        Self { tables, node_lost_after, spread_attributes, known: HashMap::new() }
    }

    pub fn site(&mut self, task: &Task) -> Site {
        let Some(id) = task.node else { return Site::default() };
        if let Some(site) = self.known.get(&id) {
            return site.clone();
        }
        let site = self.look_up(id);
        self.known.insert(id, site.clone());
        site
    }

    fn look_up(&self, id: NodeId) -> Site {
        let instance = self.tables.container_instance_of_node(id);
        let Some(node) = self.tables.nodes.get(&id) else { return Site { node: Some(id), ..Site::default() } };
        Site {
            node: Some(id),
            is_draining: instance.is_some_and(|instance| instance.status == model::InstanceStatus::Draining),
            lost_at: node.disconnected_at.map(|at| at.plus(self.node_lost_after)),
            free_cpu: node.free.cpu,
            free_memory: node.free.memory,
            values: self.values(node, instance.map(AsRef::as_ref)),
        }
    }

    fn values(&self, node: &model::Node, instance: Option<&model::ContainerInstance>) -> Vec<Option<String>> {
        if self.spread_attributes.is_empty() {
            return Vec::new();
        }
        let attributes = attributes_of(node, instance);
        let value = |name: &&str| {
            let attribute = attributes.iter().find(|attribute| attribute.name == *name)?;
            Some(attribute.value.clone().unwrap_or_default())
        };
        self.spread_attributes.iter().map(value).collect()
    }
}
