//! What happens in a run, and when: made from the seed alone, before anything runs.

use std::time::Duration;

use rand::Rng as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;

use crate::random;
use crate::shape::{Image, Network, Shape};
use crate::step::{Ask, Breaker, Fault, Step};

/// What holds in every run: room for every service and task at once, with all nodes there.
pub const NODES: usize = 4;
pub const SERVICES: usize = 3;
const DESIRED_MAX: i32 = 4;
/// Of a service that takes a fixed port of each host.
const DESIRED_MAX_WITH_PORT: i32 = 2;
/// Tasks beside the services' that last.
const TASKS_MAX: i32 = 10;
const STEPS: std::ops::RangeInclusive<usize> = 15..=45;
const LASTS: Duration = Duration::from_secs(180);

#[derive(Clone, Debug, PartialEq)]
pub struct Script {
    pub seed: u64,
    /// By time.
    pub steps: Vec<(Duration, Step)>,
}

impl Script {
    pub fn of(seed: u64) -> Self {
        let mut writer = Writer::new(seed);
        let count = writer.random.random_range(STEPS);
        let fault_share = *[0.0, 0.2, 0.4, 0.6].choose(&mut writer.random).expect("there are some");
        let mut times: Vec<u64> = (0..count).map(|_| writer.random.random_range(0..LASTS.as_millis() as u64)).collect();
        times.sort_unstable();
        let mut steps = Vec::with_capacity(count);
        for time in times {
            let step = match writer.random.random_bool(fault_share) {
                true => Step::Fault(writer.fault()),
                false => Step::Ask(writer.ask()),
            };
            steps.push((Duration::from_millis(time), step));
        }
        Self { seed, steps }
    }
}

struct Writer {
    random: StdRng,
    /// The network of each service that was created and not deleted.
    services: [Option<Network>; SERVICES],
    tasks_left: i32,
}

impl Writer {
    fn new(seed: u64) -> Self {
        Self { random: random::fork(seed, "script"), services: [None; SERVICES], tasks_left: TASKS_MAX }
    }

    fn ask(&mut self) -> Ask {
        match self.random.random_range(0..10) {
            0..=1 if self.tasks_left > 0 => self.run(),
            2 => Ask::Stop { pick: self.random.random_range(0..TASKS_MAX as usize) },
            3 => self.instance(),
            _ => self.service(),
        }
    }

    fn run(&mut self) -> Ask {
        let network = self.network(9000);
        let shape = Shape { image: self.image(), network };
        if shape.network != Network::Fargate && self.random.random_bool(0.2) {
            self.tasks_left -= 1;
            return Ask::Start { shape, node: self.node() };
        }
        let count = self.random.random_range(1..=self.tasks_left.min(3));
        self.tasks_left -= count;
        Ask::Run { shape, count, has_token: self.random.random_bool(0.5) }
    }

    fn instance(&mut self) -> Ask {
        let node = self.node();
        match self.random.random_range(0..5) {
            0..=1 => Ask::Drain { node },
            2..=3 => Ask::Activate { node },
            _ => Ask::Deregister { node },
        }
    }

    fn service(&mut self) -> Ask {
        let slot = self.random.random_range(0..SERVICES);
        let Some(network) = self.services[slot] else { return self.create(slot) };
        match self.random.random_range(0..10) {
            0..=3 => Ask::Scale { slot, desired: self.random.random_range(0..=desired_max(network)) },
            4..=7 => Ask::Deploy { slot, image: self.image() },
            8 => Ask::Renew { slot },
            _ => {
                self.services[slot] = None;
                Ask::Delete { slot }
            }
        }
    }

    fn create(&mut self, slot: usize) -> Ask {
        let network = self.network(8000 + slot as u16);
        self.services[slot] = Some(network);
        // With a fixed port, the old task must go before the new one comes.
        let percents: &[(i32, i32)] = match has_port(network) {
            true => &[(0, 100), (50, 100), (0, 200)],
            false => &[(100, 200), (50, 100), (0, 100), (50, 200), (100, 150)],
        };
        let breakers = [None, None, Some(Breaker { rollback: false }), Some(Breaker { rollback: true })];
        Ask::Create {
            slot,
            shape: Shape { image: self.image(), network },
            desired: self.random.random_range(0..=desired_max(network)),
            percent: *percents.choose(&mut self.random).expect("there are some"),
            breaker: *breakers.choose(&mut self.random).expect("there are some"),
        }
    }

    fn network(&mut self, port: u16) -> Network {
        match self.random.random_range(0..6) {
            0..=1 => Network::Fargate,
            2 => Network::Awsvpc,
            3 => Network::Bridge(0),
            4 => Network::Bridge(port),
            _ => Network::Host(port + 100),
        }
    }

    /// Mostly one that lasts.
    fn image(&mut self) -> Image {
        match self.random.random_bool(0.6) {
            true => *[Image::Steady, Image::Deaf, Image::Slow, Image::Checked].choose(&mut self.random).expect("some"),
            false => *Image::ALL.choose(&mut self.random).expect("some"),
        }
    }

    fn node(&mut self) -> usize {
        self.random.random_range(0..NODES)
    }

    fn seconds(&mut self, most: u64) -> Duration {
        Duration::from_millis(self.random.random_range(0..most * 1000))
    }

    fn fault(&mut self) -> Fault {
        let node = self.node();
        match self.random.random_range(0..16) {
            0..=2 => {
                let at_call =
                    self.random.random_bool(0.6).then(|| (self.random.random_range(0..12), self.random.random()));
                Fault::KillAgent { node, at_call, away: self.seconds(50) }
            }
            3..=4 => Fault::Crash { node, away: self.seconds(90) },
            5 => Fault::KillContainer {
                node,
                pick: self.random.random_range(0..8),
                code: self.random.random_range(0..3),
            },
            6 => Fault::LoseEvents { node },
            7..=8 => Fault::Cut { node },
            9..=10 => {
                let (to_control, to_agent) =
                    *[(true, true), (true, false), (false, true)].choose(&mut self.random).expect("some");
                Fault::Freeze { node, to_control, to_agent, lasts: self.seconds(80) }
            }
            11 => Fault::SlowLine { node, delay: self.seconds(5), lasts: self.seconds(60) },
            12..=13 => Fault::KillControl { away: self.seconds(40) },
            14 => Fault::SlowDisk { slowest: self.seconds(4), lasts: self.seconds(40) },
            _ => Fault::FailDisk { commits: self.random.random_range(1..4), is_written: self.random.random() },
        }
    }
}

pub fn has_port(network: Network) -> bool {
    matches!(network, Network::Bridge(1..) | Network::Host(_))
}

fn desired_max(network: Network) -> i32 {
    if has_port(network) { DESIRED_MAX_WITH_PORT } else { DESIRED_MAX }
}
