//! How many placements per second one core makes: `cargo run --release -p plan --example placements [nodes [tasks]]`.
//! Ten tasks per request, twenty kinds of request in turn, with the strategies in common use.

use std::collections::BTreeMap;
use std::time::Instant;

use model::{Attribute, CpuUnits, InstanceStatus, MemoryMib, NodeId, Resources, Timestamp};
use plan::place::{Node, Pool, Request, Strategy, Target};

fn main() {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<u32>().expect("a number"));
    let nodes = arguments.next();
    let tasks = arguments.next().unwrap_or(100_000);
    let zone = || Strategy::SpreadAttribute("ecs.availability-zone".to_owned());
    let cases = [
        ("any node", vec![]),
        ("spread zones, instances", vec![zone(), Strategy::SpreadInstances]),
        ("spread instances", vec![Strategy::SpreadInstances]),
        ("binpack memory", vec![Strategy::BinpackMemory]),
        ("spread zones, binpack cpu", vec![zone(), Strategy::BinpackCpu]),
    ];
    for nodes in nodes.map_or(vec![100, 1000, 5000, 10_000], |nodes| vec![nodes]) {
        for (name, strategies) in &cases {
            let start = Instant::now();
            let placed = fill(nodes, tasks, strategies);
            let rate = f64::from(placed) / start.elapsed().as_secs_f64();
            println!("{nodes:>6} nodes  {placed:>7} tasks  {name:<26} {rate:>10.0} placements/s");
        }
    }
}

fn fill(nodes: u32, tasks: u32, strategies: &[Strategy]) -> u32 {
    let mut pool = Pool::default();
    for index in 0..nodes {
        pool.put(node(index, tasks / nodes + 2));
    }
    let requests = tasks / 10;
    let placed = (0..requests).map(|index| {
        let request = Request {
            count: 10,
            target: Target::Cluster("default".to_owned()),
            reservation: Resources { cpu: CpuUnits(256), memory: MemoryMib(512), ..Resources::default() },
            required_attributes: Vec::new(),
            group: format!("family:app-{}", index % 20),
            constraints: Vec::new(),
            strategies: strategies.to_vec(),
            subnets: Vec::new(),
            seed: u64::from(index),
        };
        pool.place(&request).assigned.len() as u32
    });
    placed.sum()
}

fn node(index: u32, room: u32) -> Node {
    let zone = ["us-east-1a", "us-east-1b", "us-east-1c"][index as usize % 3].to_owned();
    Node {
        id: NodeId(u128::from(index)),
        cluster: Some("default".to_owned()),
        capacity_provider: None,
        status: InstanceStatus::Active,
        connected: true,
        offers_fargate: false,
        attributes: vec![Attribute { name: "ecs.availability-zone".to_owned(), value: Some(zone.clone()) }],
        zone,
        free: Resources { cpu: CpuUnits(room * 256), memory: MemoryMib(room * 512), ..Resources::default() },
        agent_version: "1.0.0".to_owned(),
        ec2_instance_id: format!("i-{index:017x}"),
        registered_at: Timestamp(0),
        running_tasks: 0,
        task_groups: BTreeMap::new(),
    }
}
