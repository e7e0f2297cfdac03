//! What happens in a run, and when: made from the seed alone, before anything runs.

use std::time::Duration;

use model::service_deployment::Stage;
use rand::Rng as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;

use crate::order::{Balance, Breaker, Hook, Kind, Order, Providers, Stages, Strategy};
use crate::random;
use crate::shape::{Image, Network, Shape};
use crate::step::{Ask, Fault, Step};

/// What holds in every run: room for every service and task at once, with all nodes there.
pub const NODES: usize = 4;
pub const SERVICES: usize = 3;
const DESIRED_MAX: i32 = 4;
/// Of a service that takes a fixed port of each host.
const DESIRED_MAX_WITH_PORT: i32 = 2;
/// Of one that may have up to three revisions, or task sets, beside each other.
const DESIRED_MAX_BESIDE: i32 = 2;
const DESIRED_MAX_BESIDE_WITH_PORT: i32 = 1;
const SETS_MAX: usize = 3;
/// Tasks beside the services' that last.
const TASKS_MAX: i32 = 10;
const STEPS: std::ops::RangeInclusive<usize> = 15..=45;
const LASTS: Duration = Duration::from_secs(180);

#[derive(Clone, Debug, PartialEq)]
pub struct Script {
    pub seed: u64,
    /// How many milliseconds each node's clock is ahead, or behind.
    pub skews: [i64; NODES],
    /// By time.
    pub steps: Vec<(Duration, Step)>,
}

impl Script {
    pub fn of(seed: u64) -> Self {
        let mut writer = Writer::new(seed);
        let count = writer.random.random_range(STEPS);
        let skews = writer.skews();
        let fault_share = writer.choose(&[0.0, 0.2, 0.4, 0.6]);
        let mut times: Vec<u64> = (0..count).map(|_| writer.random.random_range(0..LASTS.as_millis() as u64)).collect();
        times.sort_unstable();
        let mut steps = Vec::with_capacity(count);
        for time in times {
            let time = Duration::from_millis(time);
            if writer.random.random_bool(fault_share) {
                steps.push((time, Step::Fault(writer.fault())));
                continue;
            }
            let ask = writer.ask();
            if fault_share > 0.0 && has_token(&ask) && writer.random.random_bool(0.5) {
                steps.push((time, Step::Fault(writer.answer_lost())));
            }
            steps.push((time, Step::Ask(ask)));
        }
        Self { seed, skews, steps }
    }
}

struct Writer {
    random: StdRng,
    /// The services that were created and not deleted.
    services: [Option<Place>; SERVICES],
    tasks_left: i32,
}

/// What a writer keeps in mind of a service.
#[derive(Clone, Copy)]
struct Place {
    network: Network,
    kind: Kind,
    /// Task sets that were added, and those of them that were deleted.
    sets: usize,
    dropped: usize,
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

    fn choose<T: Copy>(&mut self, choices: &[T]) -> T {
        *choices.choose(&mut self.random).expect("there are some")
    }

    /// Mostly the clocks agree.
    fn skews(&mut self) -> [i64; NODES] {
        let most = self.choose(&[0, 0, 0, 300_000]);
        std::array::from_fn(|_| self.random.random_range(-most..=most))
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
        Ask::Run { shape, providers: self.providers(network), count, has_token: self.random.random_bool(0.5) }
    }

    fn providers(&mut self, network: Network) -> Providers {
        match network {
            _ if self.random.random_bool(0.6) => Providers::LaunchType,
            Network::Fargate => Providers::Fargate {
                base: self.random.random_range(0..3),
                weight: self.random.random_range(0..3),
                spot: self.random.random_range(1..3),
            },
            _ => Providers::Pool,
        }
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
        let Some(place) = self.services[slot] else { return self.create(slot) };
        let dice = self.random.random_range(0..20);
        if dice == 0 {
            self.services[slot] = None;
            return Ask::Delete { slot };
        }
        if dice == 1 {
            let pick = self.random.random_range(0..DESIRED_MAX as usize);
            return Ask::Protect { slot, pick, minutes: self.random.random_range(1..5) };
        }
        match place.kind {
            Kind::External => self.task_set(slot, place),
            Kind::Staged(_) if dice < 6 => self.stage(slot),
            Kind::Rolling | Kind::Staged(_) if dice < 11 => self.scale(slot, place),
            _ if dice < 18 => Ask::Deploy { slot, image: self.image() },
            _ => Ask::Renew { slot },
        }
    }

    fn scale(&mut self, slot: usize, place: Place) -> Ask {
        Ask::Scale { slot, desired: self.random.random_range(0..=desired_max(place.network, place.kind)) }
    }

    /// What a person does to a deployment that goes on.
    fn stage(&mut self, slot: usize) -> Ask {
        match self.random.random_range(0..4) {
            0 => Ask::StopDeployment { slot, goes_back: self.random.random() },
            _ => Ask::Answer { slot, goes_on: self.random.random_bool(0.8) },
        }
    }

    fn task_set(&mut self, slot: usize, place: Place) -> Ask {
        let mut place = place;
        let pick = self.random.random_range(0..place.sets.max(1));
        let percent = self.choose(&[0, 50, 100, 100]);
        let ask = match self.random.random_range(0..10) {
            0..=3 if place.sets - place.dropped < SETS_MAX => {
                place.sets += 1;
                Ask::AddSet { slot, image: self.image(), percent }
            }
            0..=5 => Ask::ScaleSet { slot, pick, percent },
            6 => Ask::PromoteSet { slot, pick },
            7 => self.scale(slot, place),
            _ if place.dropped < place.sets => {
                // The oldest that is still there.
                place.dropped += 1;
                Ask::DropSet { slot, pick: place.dropped - 1 }
            }
            _ => self.scale(slot, place),
        };
        self.services[slot] = Some(place);
        ask
    }

    fn create(&mut self, slot: usize) -> Ask {
        let mut network = self.network(8000 + slot as u16);
        let kind = self.kind();
        if kind == Kind::Daemon && network == Network::Fargate {
            network = Network::Awsvpc;
        }
        self.services[slot] = Some(Place { network, kind, sets: 0, dropped: 0 });
        // With a fixed port, the old task must go before the new one comes.
        let percents: &[(i32, i32)] = match (kind, has_port(network)) {
            (Kind::Daemon, _) => &[(0, 100), (50, 100)],
            (Kind::Rolling, true) => &[(0, 100), (50, 100), (0, 200)],
            _ => &[(100, 200), (50, 100), (0, 100), (50, 200), (100, 150)],
        };
        let breakers = [None, None, Some(Breaker { rollback: false }), Some(Breaker { rollback: true })];
        let takes_providers = matches!(kind, Kind::Rolling | Kind::Staged(_));
        let order = Order {
            shape: Shape { image: self.image(), network },
            kind,
            desired: self.random.random_range(0..=desired_max(network, kind)),
            percent: self.choose(percents),
            breaker: self.choose(&breakers),
            providers: if takes_providers { self.providers(network) } else { Providers::LaunchType },
            balance: self.balance(network, kind),
        };
        Ask::Create { slot, order }
    }

    /// Of tasks with an address of their own.
    fn balance(&mut self, network: Network, kind: Kind) -> Balance {
        match (network, kind) {
            (Network::Bridge(_) | Network::Host(_), _) | (_, Kind::External) => Balance::None,
            (_, Kind::Staged(_)) => self.choose(&[Balance::None, Balance::One]),
            (_, Kind::Rolling | Kind::Daemon) => self.choose(&[Balance::None, Balance::One, Balance::Both]),
        }
    }

    fn kind(&mut self) -> Kind {
        match self.random.random_range(0..10) {
            0..=4 => Kind::Rolling,
            5..=7 => Kind::Staged(self.stages()),
            8 => Kind::Daemon,
            _ => Kind::External,
        }
    }

    fn stages(&mut self) -> Stages {
        let minutes = self.random.random_range(0..2);
        let strategy = match self.random.random_range(0..3) {
            0 => Strategy::BlueGreen,
            1 => Strategy::Linear { percent: self.choose(&[30, 50, 100]), minutes },
            _ => Strategy::Canary { percent: self.choose(&[5, 50]), minutes },
        };
        let asked_at = [
            Stage::ReconcileService,
            Stage::PreScaleUp,
            Stage::PostScaleUp,
            Stage::PostTestTrafficShift,
            Stage::PreProductionTrafficShift,
            Stage::PostProductionTrafficShift,
        ];
        let hook = Hook {
            stage: self.choose(&asked_at),
            minutes: self.random.random_range(1..4),
            rolls_back: self.random.random(),
        };
        let hook = self.random.random_bool(0.4).then_some(hook);
        Stages { strategy, bake_minutes: self.random.random_range(0..3), hook }
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

    /// The next commit is durable, and nobody is told: what is asked at the same time is asked again.
    fn answer_lost(&mut self) -> Fault {
        Fault::KillControl { at_commit: Some((0, true)), away: self.seconds(10) }
    }

    fn seconds(&mut self, most: u64) -> Duration {
        Duration::from_millis(self.random.random_range(0..most * 1000))
    }

    fn fault(&mut self) -> Fault {
        let node = self.node();
        match self.random.random_range(0..18) {
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
            12..=13 => {
                let at_commit =
                    self.random.random_bool(0.5).then(|| (self.random.random_range(0..6), self.random.random()));
                Fault::KillControl { at_commit, away: self.seconds(40) }
            }
            14 => Fault::FailTargets { lasts: self.seconds(30) },
            15 => Fault::SilenceEdge { lasts: self.seconds(60) },
            16 => Fault::SlowDisk { slowest: self.seconds(4), lasts: self.seconds(40) },
            _ => Fault::FailDisk { commits: self.random.random_range(1..4), is_written: self.random.random() },
        }
    }
}

/// What is repeated with it must not be done twice.
fn has_token(ask: &Ask) -> bool {
    matches!(ask, Ask::Run { has_token: true, .. } | Ask::AddSet { .. } | Ask::Create { .. })
}

fn has_port(network: Network) -> bool {
    matches!(network, Network::Bridge(1..) | Network::Host(_))
}

fn desired_max(network: Network, kind: Kind) -> i32 {
    match (kind, has_port(network)) {
        (Kind::Staged(_) | Kind::External, true) => DESIRED_MAX_BESIDE_WITH_PORT,
        (Kind::Staged(_) | Kind::External, false) => DESIRED_MAX_BESIDE,
        (Kind::Rolling | Kind::Daemon, true) => DESIRED_MAX_WITH_PORT,
        (Kind::Rolling | Kind::Daemon, false) => DESIRED_MAX,
    }
}
