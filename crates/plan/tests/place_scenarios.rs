//! Placement scenarios: `tests/scenarios/place-*.txt` are scripts with their recorded output (lines that begin with
//! `|`). `UPDATE=1 cargo test -p plan` writes the output anew; the reviewer reads the difference.
//!
//! ```text
//! node NAME cpu N memory N [zone Z] [gpus N] [port N]… [attr NAME[=VALUE]]… [group NAME=COUNT]… [cluster NAME]
//!           [provider NAME] [fargate] [disconnected] [draining] [version V] [running N]
//! place COUNT [cpu N] [memory N] [port N]… [gpus N] [group NAME] [requires NAME[=VALUE]]… [subnet ZONE=FREE]…
//!           [distinctInstance] [memberOf 'EXPRESSION']… [spread FIELD]… [binpack cpu|memory]… [random] [fargate]
//!           [provider NAME] [seed N]
//! check NAME …               as place, for one node
//! free                       what each node has left
//! remove NAME
//! ```

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use model::{Attribute, CpuUnits, InstanceStatus, MemoryMib, NodeId, Port, Protocol, Resources, Timestamp};
use plan::place::{Constraint, Node, Placement, Pool, Request, Strategy, Subnet, Target};

#[test]
fn scenarios_place_as_recorded() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut ran = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("place-")) {
            check(&path);
            ran += 1;
        }
    }
    assert!(ran > 0, "no scenario was found");
}

fn check(path: &Path) {
    let recorded = std::fs::read_to_string(path).unwrap();
    let actual = run(&recorded);
    if std::env::var_os("UPDATE").is_some() {
        return std::fs::write(path, actual).unwrap();
    }
    assert_eq!(actual, recorded, "{} differs: run with UPDATE=1 and read the difference", path.display());
}

#[derive(Default)]
struct World {
    pool: Pool,
    names: BTreeMap<NodeId, String>,
}

fn run(script: &str) -> String {
    let mut world = World::default();
    let mut output = String::new();
    for line in script.lines().filter(|line| !line.starts_with('|')) {
        writeln!(output, "{line}").unwrap();
        let words = words(line);
        let Some((command, arguments)) = words.split_first().filter(|(command, _)| !command.starts_with('#')) else {
            continue;
        };
        for told in world.execute(command, arguments) {
            writeln!(output, "| {told}").unwrap();
        }
    }
    output
}

impl World {
    fn execute(&mut self, command: &str, arguments: &[String]) -> Vec<String> {
        match command {
            "node" => {
                let id = NodeId(self.names.len() as u128 + 1);
                self.names.insert(id, arguments[0].clone());
                self.pool.put(node(id, &arguments[1..]));
                vec![]
            }
            "remove" => {
                self.pool.remove(self.id(&arguments[0]));
                vec![]
            }
            "place" => {
                let placement = self.pool.place(&request(arguments[0].parse().unwrap(), &arguments[1..]));
                self.tell(&placement)
            }
            "check" => match self.pool.check(self.id(&arguments[0]), &request(1, &arguments[1..])) {
                Ok(()) => vec!["fits".to_owned()],
                Err(refusal) => vec![format!("{}: {}", refusal.reason.as_str(), refusal.detail)],
            },
            "free" => self.names.keys().filter_map(|id| self.tell_free(*id)).collect(),
            unknown => panic!("unknown command {unknown}"),
        }
    }

    fn id(&self, name: &str) -> NodeId {
        *self.names.iter().find(|(_, known)| *known == name).unwrap_or_else(|| panic!("no node {name}")).0
    }

    fn tell(&self, placement: &Placement) -> Vec<String> {
        let mut lines = Vec::new();
        for assignment in &placement.assigned {
            let mut line = format!("on {}", self.names[&assignment.node]);
            if let Some(subnet) = assignment.subnet {
                write!(line, ", subnet {subnet}").unwrap();
            }
            if !assignment.gpus.is_empty() {
                write!(line, ", gpus {:?}", assignment.gpus).unwrap();
            }
            lines.push(line);
        }
        if placement.unplaced > 0 {
            lines.push(format!("unplaced: {}", placement.unplaced));
        }
        for refusal in &placement.refused {
            let name = &self.names[&refusal.node];
            lines.push(format!("{name} refuses, {}: {}", refusal.reason.as_str(), refusal.detail));
        }
        lines
    }

    fn tell_free(&self, id: NodeId) -> Option<String> {
        let node = self.pool.get(id)?;
        let free = &node.free;
        Some(format!(
            "{}: cpu {}, memory {}, groups {:?}",
            self.names[&id], free.cpu.0, free.memory.0, node.task_groups
        ))
    }
}

/// Splits at spaces; text between single quotes is one word.
fn words(line: &str) -> Vec<String> {
    let pieces = line.split('\'').enumerate();
    pieces
        .flat_map(|(index, piece)| match index % 2 {
            0 => piece.split_whitespace().map(str::to_owned).collect(),
            _ => vec![piece.to_owned()],
        })
        .collect()
}

struct Arguments<'a>(std::slice::Iter<'a, String>);

impl Arguments<'_> {
    fn text(&mut self) -> String {
        self.0.next().expect("a value").clone()
    }

    fn number(&mut self) -> u32 {
        self.text().parse().expect("a number")
    }

    fn port(&mut self) -> Port {
        Port { number: self.number() as u16, protocol: Protocol::Tcp }
    }

    fn attribute(&mut self) -> Attribute {
        let text = self.text();
        match text.split_once('=') {
            Some((name, value)) => Attribute { name: name.to_owned(), value: Some(value.to_owned()) },
            None => Attribute { name: text, value: None },
        }
    }

    fn counted(&mut self) -> (String, u32) {
        let text = self.text();
        let (name, count) = text.split_once('=').expect("NAME=COUNT");
        (name.to_owned(), count.parse().expect("a number"))
    }
}

fn node(id: NodeId, arguments: &[String]) -> Node {
    let mut node = Node {
        id,
        cluster: Some("default".to_owned()),
        capacity_provider: None,
        status: InstanceStatus::Active,
        connected: true,
        offers_fargate: false,
        zone: "a".to_owned(),
        free: Resources::default(),
        attributes: Vec::new(),
        agent_version: "1.0.0".to_owned(),
        ec2_instance_id: format!("i-{id}"),
        registered_at: Timestamp(0),
        running_tasks: 0,
        task_groups: BTreeMap::new(),
    };
    let mut rest = Arguments(arguments.iter());
    while let Some(word) = rest.0.next() {
        match word.as_str() {
            "cpu" => node.free.cpu = CpuUnits(rest.number()),
            "memory" => node.free.memory = MemoryMib(rest.number()),
            "gpus" => node.free.gpus = (0..rest.number()).map(|index| format!("gpu-{index}")).collect(),
            "port" => drop(node.free.ports.insert(rest.port())),
            "zone" => node.zone = rest.text(),
            "attr" => node.attributes.push(rest.attribute()),
            "group" => node.task_groups.extend([rest.counted()]),
            "provider" => node.capacity_provider = Some(rest.text()),
            "cluster" => node.cluster = Some(rest.text()),
            "version" => node.agent_version = rest.text(),
            "running" => node.running_tasks = rest.number(),
            "fargate" => node.offers_fargate = true,
            "disconnected" => node.connected = false,
            "draining" => node.status = InstanceStatus::Draining,
            unknown => panic!("unknown word {unknown}"),
        }
    }
    let zone = Attribute { name: "ecs.availability-zone".to_owned(), value: Some(node.zone.clone()) };
    node.attributes.push(zone);
    node
}

fn request(count: u32, arguments: &[String]) -> Request {
    let mut request = Request {
        count,
        target: Target::Cluster("default".to_owned()),
        reservation: Resources::default(),
        required_attributes: Vec::new(),
        group: "family:app".to_owned(),
        constraints: Vec::new(),
        strategies: Vec::new(),
        subnets: Vec::new(),
        seed: 1,
    };
    let mut rest = Arguments(arguments.iter());
    while let Some(word) = rest.0.next() {
        match word.as_str() {
            "cpu" => request.reservation.cpu = CpuUnits(rest.number()),
            "memory" => request.reservation.memory = MemoryMib(rest.number()),
            "gpus" => request.reservation.gpu_count = rest.number(),
            "port" => drop(request.reservation.ports.insert(rest.port())),
            "group" => request.group = rest.text(),
            "requires" => request.required_attributes.push(rest.attribute()),
            "subnet" => {
                let (zone, free) = rest.counted();
                request.subnets.push(Subnet { zone, tasks: 0, free });
            }
            "distinctInstance" => request.constraints.push(Constraint::DistinctInstance),
            "memberOf" => request.constraints.push(Constraint::MemberOf(rest.text().parse().unwrap())),
            "spread" => request.strategies.push(match rest.text().as_str() {
                "instanceId" | "host" => Strategy::SpreadInstances,
                field => Strategy::SpreadAttribute(field.strip_prefix("attribute:").unwrap().to_owned()),
            }),
            "binpack" => request.strategies.push(match rest.text().as_str() {
                "cpu" => Strategy::BinpackCpu,
                "memory" => Strategy::BinpackMemory,
                unknown => panic!("unknown resource {unknown}"),
            }),
            "random" => request.strategies.push(Strategy::Random),
            "fargate" => request.target = Target::Fargate,
            "provider" => request.target = Target::Provider { cluster: "default".to_owned(), provider: rest.text() },
            "seed" => request.seed = rest.number().into(),
            unknown => panic!("unknown word {unknown}"),
        }
    }
    request
}
