//! Placement alone: 100,000 tasks on nodes of several sizes, zones and stacks, with spreading, binpacking and
//! constraints. In this process, on one thread; what counts is the thread's time on its core, so that a busy machine
//! says the same.

use std::collections::BTreeMap;
use std::time::Duration;

use model::{Attribute, CpuUnits, InstanceStatus, MemoryMib, NodeId, Resources, Timestamp};
use plan::place::{Constraint, Node, Pool, Request, Strategy, Target};

use super::figure::{Figure, Goal};

const TASKS: u32 = 100_000;
/// As many as RunTask takes.
const TASKS_PER_REQUEST: u32 = 10;
/// Groups that ask in turn, so that the pool keeps an order for each.
const GROUPS: u32 = 20;
const PLACEMENTS_GOAL: f64 = 50_000.0;
const GROWTH_GOAL: f64 = 1.5;

const ZONE: &str = "ecs.availability-zone";
const TYPE: &str = "ecs.instance-type";
const ZONES: [&str; 3] = ["us-east-1a", "us-east-1b", "us-east-1c"];
/// Name, CPU units and MiB.
const TYPES: [(&str, u32, u32); 4] = [
    ("c5.4xlarge", 16_384, 32_768),
    ("m5.2xlarge", 8_192, 32_768),
    ("m5.4xlarge", 16_384, 65_536),
    ("r5.2xlarge", 8_192, 65_536),
];

pub fn measure() -> Vec<Figure> {
    let [small, middle, large] = [1_000, 5_000, 10_000].map(fill);
    let micros = |name: &str, value: f64| Figure::new(name, "µs", value, None, Goal::None);
    let (rate, growth) = (1e6 / middle.each, large.each / small.each);
    vec![
        Figure::new("Placements on 5,000 nodes, one core", "placements/s", rate, None, Goal::AtLeast(PLACEMENTS_GOAL)),
        micros("One placement on 1,000 nodes", small.each),
        micros("One placement on 10,000 nodes", large.each),
        Figure::new("10,000 nodes over 1,000 nodes", "times", growth, None, Goal::AtMost(GROWTH_GOAL)),
        micros("The first request of a group on 10,000 nodes, which looks at them all", large.first),
    ]
}

/// Times on the core, in microseconds.
struct Times {
    /// Of a group's first request, whose order of preference is made then.
    first: f64,
    /// Of each of the placements that follow.
    each: f64,
}

/// Places all tasks on this many nodes.
fn fill(nodes: u32) -> Times {
    let mut pool = Pool::default();
    (0..nodes).for_each(|number| pool.put(node(number, nodes)));
    let requests: Vec<Request> = (0..GROUPS + TASKS / TASKS_PER_REQUEST).map(request).collect();
    let (first, rest) = requests.split_at(GROUPS as usize);
    let mut place = |requests: &[Request]| {
        let before = time_on_core();
        let placed: usize = requests.iter().map(|request| pool.place(request).assigned.len()).sum();
        assert_eq!(placed, requests.len() * TASKS_PER_REQUEST as usize, "there is room for all");
        (time_on_core() - before).as_secs_f64() * 1e6
    };
    Times { first: place(first) / f64::from(GROUPS), each: place(rest) / f64::from(TASKS) }
}

fn node(number: u32, nodes: u32) -> Node {
    let zone = ZONES[number as usize % ZONES.len()];
    let (name, cpu, memory) = TYPES[number as usize / ZONES.len() % TYPES.len()];
    // The fewer nodes, the larger, so that the same tasks find room on them.
    let scale = 10_000 / nodes;
    let attribute = |name: &str, value: &str| Attribute { name: name.to_owned(), value: Some(value.to_owned()) };
    Node {
        id: NodeId(u128::from(number)),
        cluster: Some("default".to_owned()),
        status: InstanceStatus::Active,
        capacity_provider: None,
        connected: true,
        offers_fargate: false,
        zone: zone.to_owned(),
        free: Resources { cpu: CpuUnits(cpu * scale), memory: MemoryMib(memory * scale), ..Resources::default() },
        attributes: vec![attribute(ZONE, zone), attribute(TYPE, name)],
        agent_version: "1.0.0".to_owned(),
        ec2_instance_id: format!("i-{number:017x}"),
        registered_at: Timestamp(0),
        running_tasks: 0,
        task_groups: BTreeMap::new(),
    }
}

fn request(number: u32) -> Request {
    let group = number % GROUPS;
    let zones = || Strategy::SpreadAttribute(ZONE.to_owned());
    let strategies = match group % 4 {
        0 => vec![zones(), Strategy::SpreadInstances],
        1 => vec![zones(), Strategy::BinpackCpu],
        2 => vec![zones(), Strategy::BinpackMemory],
        _ => vec![Strategy::BinpackMemory],
    };
    let member_of = |query: &str| Constraint::MemberOf(query.parse().expect("the query is well formed"));
    let constraints = match group % 5 {
        0 => vec![member_of("attribute:ecs.instance-type in [m5.2xlarge, m5.4xlarge, c5.4xlarge]")],
        1 => vec![member_of("attribute:ecs.availability-zone != us-east-1c")],
        2 => vec![member_of("attribute:ecs.instance-type =~ m5.*")],
        _ => Vec::new(),
    };
    let (cpu, memory) = [(256, 512), (512, 1_024), (128, 1_024), (1_024, 2_048)][group as usize % 4];
    Request {
        count: TASKS_PER_REQUEST,
        target: Target::Cluster("default".to_owned()),
        reservation: Resources { cpu: CpuUnits(cpu), memory: MemoryMib(memory), ..Resources::default() },
        required_attributes: Vec::new(),
        group: format!("service:app-{group}"),
        constraints,
        strategies,
        subnets: Vec::new(),
        seed: u64::from(number),
    }
}

/// Of this thread.
fn time_on_core() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells");
    Duration::from_nanos(text.split(' ').next().and_then(|nanos| nanos.parse().ok()).expect("a number"))
}
