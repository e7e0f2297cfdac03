//! Which tasks go when a service is scaled in: those that serve nobody yet, then from the zone that has the most, the
//! newest first (ecs-semantics §8, AZ scale-in).

use std::collections::BTreeMap;

use model::Timestamp;

use super::{Life, ServiceTask};

/// `count` of the tasks, and the others.
pub(super) fn choose<'a>(
    tasks: Vec<&'a ServiceTask<'a>>,
    count: usize,
    now: Timestamp,
) -> (Vec<&'a ServiceTask<'a>>, Vec<&'a ServiceTask<'a>>) {
    if count == 0 {
        return (Vec::new(), tasks);
    }
    let mut in_zones: BTreeMap<Option<&str>, Vec<&ServiceTask<'_>>> = BTreeMap::new();
    for task in tasks {
        in_zones.entry(task.zone.as_deref()).or_default().push(task);
    }
    // The next victim of a zone is its last.
    let worthless = |task: &&ServiceTask<'_>| (class(task, now), task.created_at, task.id);
    in_zones.values_mut().for_each(|zone| zone.sort_by_key(worthless));
    let mut victims = Vec::with_capacity(count);
    while victims.len() < count {
        let fullest = in_zones.values_mut().max_by_key(|zone| (zone.last().map(|task| class(task, now)), zone.len()));
        let Some(task) = fullest.and_then(Vec::pop) else { break };
        victims.push(task);
    }
    (victims, in_zones.into_values().flatten().collect())
}

/// 0: healthy, 1: not yet, 2: not RUNNING.
fn class(task: &ServiceTask<'_>, now: Timestamp) -> u8 {
    match task.life {
        Life::Running if task.is_healthy(now) => 0,
        Life::Running => 1,
        _ => 2,
    }
}
