//! The container definitions of a node's tasks, each kept once: a service's tasks are all of one revision, and its
//! definitions are the largest part of a spec.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use model::ContainerDefinition;
use model::link::TaskSpec;

/// Family, revision and the container's place.
type Key = (String, u32, usize);

/// The newest one of each container of each revision. Overrides make others, which are kept by their tasks alone.
#[derive(Default)]
pub struct Definitions {
    newest: HashMap<Key, Weak<ContainerDefinition>>,
}

impl Definitions {
    /// Has the spec share its definitions with the tasks before it, where they are the same.
    pub fn share(&mut self, spec: &mut TaskSpec) {
        for (place, container) in spec.containers.iter_mut().enumerate() {
            let key = (spec.family.clone(), spec.revision, place);
            match self.newest.get(&key).and_then(Weak::upgrade) {
                Some(known) if known == container.definition => container.definition = known,
                _ => self.put(key, &container.definition),
            }
        }
    }

    fn put(&mut self, key: Key, definition: &Arc<ContainerDefinition>) {
        if !self.newest.contains_key(&key) {
            self.newest.retain(|_, known| known.strong_count() > 0);
        }
        self.newest.insert(key, Arc::downgrade(definition));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::tests::{container, spec};

    #[test]
    fn tasks_with_the_same_definition_share_it_and_what_no_task_has_is_forgotten() {
        let mut definitions = Definitions::default();
        let mut made = |name: &str, revision: u32| {
            let mut spec = TaskSpec { revision, ..spec(vec![container(name)]) };
            definitions.share(&mut spec);
            spec.containers.remove(0).definition
        };
        let (first, same, other) = (made("a", 1), made("a", 1), made("b", 1));
        assert!(Arc::ptr_eq(&first, &same));
        assert_eq!((first.name.as_str(), other.name.as_str()), ("a", "b"));
        drop((first, same, other));
        let next = made("a", 2);
        assert_eq!(definitions.newest.len(), 1);
        assert_eq!(next.name, "a");
    }
}
