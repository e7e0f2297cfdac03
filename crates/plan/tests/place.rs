//! What placement must never do, whatever the nodes and the requests.

use std::collections::BTreeMap;

use model::{Attribute, CpuUnits, InstanceStatus, MemoryMib, NodeId, Port, Protocol, Resources, Timestamp};
use plan::place::{Constraint, Node, Pool, Problem, Request, Strategy, Subnet, Target, place};
use proptest::prelude::*;
use proptest::strategy::Strategy as Generator;

fn node() -> impl Generator<Value = Node> {
    let zone = prop::sample::select(vec!["a", "b", "c"]);
    let groups = prop::collection::btree_map("[gh]", 1..4u32, 0..3);
    (0..2000u32, 0..2000u32, zone, groups, 0..3usize, 0..20u8, any::<bool>()).prop_map(
        |(cpu, memory, zone, task_groups, gpus, mood, offers_fargate)| Node {
            id: NodeId(0),
            cluster: Some(if mood == 0 { "other" } else { "default" }.to_owned()),
            capacity_provider: (mood > 9).then(|| "p".to_owned()),
            status: if mood == 1 { InstanceStatus::Draining } else { InstanceStatus::Active },
            connected: mood != 2,
            offers_fargate,
            zone: zone.to_owned(),
            free: Resources {
                cpu: CpuUnits(cpu),
                memory: MemoryMib(memory),
                gpus: (0..gpus).map(|gpu| gpu.to_string()).collect(),
                ..Resources::default()
            },
            attributes: vec![Attribute { name: "zone".to_owned(), value: Some(zone.to_owned()) }],
            agent_version: "1.0.0".to_owned(),
            ec2_instance_id: String::new(),
            registered_at: Timestamp(0),
            running_tasks: 0,
            task_groups,
        },
    )
}

fn nodes() -> impl Generator<Value = Vec<Node>> {
    prop::collection::vec(node(), 0..12).prop_map(|mut nodes| {
        for (index, node) in nodes.iter_mut().enumerate() {
            node.id = NodeId(index as u128 + 1);
        }
        nodes
    })
}

fn strategy() -> impl Generator<Value = Strategy> {
    prop::sample::select(vec![
        Strategy::SpreadInstances,
        Strategy::SpreadAttribute("zone".to_owned()),
        Strategy::SpreadAttribute("gone".to_owned()),
        Strategy::BinpackCpu,
        Strategy::BinpackMemory,
        Strategy::Random,
    ])
}

fn request() -> impl Generator<Value = Request> {
    let constraint = prop::sample::select(vec![
        Constraint::DistinctInstance,
        Constraint::MemberOf("attribute:zone != b".parse().unwrap()),
        Constraint::MemberOf("task:group != h".parse().unwrap()),
    ]);
    let subnet = (prop::sample::select(vec!["a", "b"]), 0..4u32).prop_map(|(zone, free)| Subnet {
        zone: zone.to_owned(),
        tasks: 0,
        free,
    });
    let lists = (
        prop::collection::vec(constraint, 0..2),
        prop::collection::vec(strategy(), 0..4),
        prop::collection::vec(subnet, 0..3),
    );
    (0..12u32, 0..600u32, 0..600u32, 0..2u32, prop::option::of(80..83u16), "[gh]", lists, (0..3u8, any::<u64>()))
        .prop_map(|(count, cpu, memory, gpu_count, port, group, (constraints, strategies, subnets), (target, seed))| {
            Request {
                count,
                target: match target {
                    0 => Target::Fargate,
                    1 => Target::Provider { cluster: "default".to_owned(), provider: "p".to_owned() },
                    _ => Target::Cluster("default".to_owned()),
                },
                reservation: Resources {
                    cpu: CpuUnits(cpu),
                    memory: MemoryMib(memory),
                    ports: port.map(|number| Port { number, protocol: Protocol::Tcp }).into_iter().collect(),
                    gpu_count,
                    ..Resources::default()
                },
                required_attributes: Vec::new(),
                group,
                constraints,
                strategies,
                subnets,
                seed,
            }
        })
}

fn pool_of(nodes: &[Node]) -> Pool {
    let mut pool = Pool::default();
    for node in nodes {
        pool.put(node.clone());
    }
    pool
}

fn is_of(node: &Node, target: &Target) -> bool {
    match target {
        Target::Fargate => node.offers_fargate,
        Target::Cluster(name) => node.cluster.as_ref() == Some(name),
        Target::Provider { cluster, provider } => {
            node.cluster.as_ref() == Some(cluster) && node.capacity_provider.as_ref() == Some(provider)
        }
    }
}

proptest! {
    #[test]
    fn no_node_is_given_more_than_it_has(nodes in nodes(), request in request()) {
        let placement = place(&Problem { nodes: nodes.clone(), request: request.clone() });
        let mut free: BTreeMap<NodeId, Resources> = nodes.iter().map(|node| (node.id, node.free.clone())).collect();
        for assignment in &placement.assigned {
            let free = free.get_mut(&assignment.node).unwrap();
            let held = Resources { gpus: assignment.gpus.clone(), ..request.reservation.clone() };
            prop_assert_eq!(held.gpus.len(), held.gpu_count as usize);
            prop_assert!(held.gpus.is_subset(&free.gpus), "a GPU is held twice");
            prop_assert_eq!(free.fits(&held), Ok(()));
            free.take(&held);
        }
        for (index, subnet) in request.subnets.iter().enumerate() {
            let used = placement.assigned.iter().filter(|assignment| assignment.subnet == Some(index)).count();
            prop_assert!(used <= subnet.free as usize);
        }
    }

    #[test]
    fn every_task_is_placed_or_every_node_says_why_not(nodes in nodes(), request in request()) {
        let placement = place(&Problem { nodes: nodes.clone(), request: request.clone() });
        prop_assert_eq!(placement.assigned.len() as u32 + placement.unplaced, request.count);
        if placement.unplaced == 0 {
            prop_assert!(placement.refused.is_empty());
            return Ok(());
        }
        let is_asked = |node: &&Node| request.target == Target::Fargate || node.status == InstanceStatus::Active;
        let asked = nodes.iter().filter(|node| is_of(node, &request.target)).filter(is_asked);
        let asked: Vec<_> = asked.map(|node| node.id).collect();
        let refused: Vec<_> = placement.refused.iter().map(|refusal| refusal.node).collect();
        prop_assert_eq!(asked, refused);
    }

    #[test]
    fn distinct_tasks_never_share_a_node(nodes in nodes(), mut request in request()) {
        request.constraints = vec![Constraint::DistinctInstance];
        let placement = place(&Problem { nodes: nodes.clone(), request: request.clone() });
        let mut used: Vec<_> = placement.assigned.iter().map(|assignment| assignment.node).collect();
        let hosts = nodes.iter().filter(|node| node.task_groups.contains_key(&request.group));
        used.extend(hosts.map(|node| node.id));
        let count = used.len();
        used.sort();
        used.dedup();
        prop_assert_eq!(used.len(), count);
    }

    /// The first strategy is never broken for the sake of a later one.
    #[test]
    fn the_first_strategy_decides_first(nodes in nodes(), mut request in request()) {
        request.count = 1;
        request.subnets.clear();
        request.strategies.insert(0, Strategy::BinpackMemory);
        let placement = place(&Problem { nodes: nodes.clone(), request: request.clone() });
        let Some(assignment) = placement.assigned.first() else { return Ok(()) };
        let pool = pool_of(&nodes);
        let fitting = nodes.iter().filter(|node| is_of(node, &request.target));
        let least = fitting.filter(|node| pool.check(node.id, &request).is_ok()).map(|node| node.free.memory).min();
        prop_assert_eq!(Some(pool.get(assignment.node).unwrap().free.memory), least);
    }

    #[test]
    fn placing_nothing_changes_nothing(nodes in nodes(), mut request in request()) {
        request.count = 0;
        let mut pool = pool_of(&nodes);
        prop_assert_eq!(pool.place(&request), Default::default());
        for node in &nodes {
            prop_assert_eq!(pool.get(node.id), Some(node));
        }
    }

    /// A pool that has answered many requests answers as one that is made of the nodes as they are now.
    #[test]
    fn the_past_does_not_matter(
        nodes in nodes(),
        requests in prop::collection::vec(request(), 1..4),
        order in prop::collection::vec((0..4usize, 0..12usize, node(), any::<bool>()), 0..20),
    ) {
        let mut pool = pool_of(&nodes);
        let mut ids: Vec<_> = nodes.iter().map(|node| node.id).collect();
        for (which, moved, mut changed, tasks_only) in order {
            let request = &requests[which % requests.len()];
            let as_now: Vec<_> = ids.iter().filter_map(|id| pool.get(*id).cloned()).collect();
            let fresh = place(&Problem { nodes: as_now, request: request.clone() });
            prop_assert_eq!(pool.place(request), fresh);
            changed.id = NodeId(moved as u128 + 1);
            if tasks_only {
                pool.put_tasks(changed.id, changed.free, changed.running_tasks, changed.task_groups);
            } else if changed.free.cpu.0 < 300 {
                pool.remove(changed.id);
            } else {
                ids.push(changed.id);
                pool.put(changed);
            }
            ids.sort();
            ids.dedup();
        }
    }
}
