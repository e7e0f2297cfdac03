//! One thing that a client asks, or that goes wrong. Plain data, so that a script can be read, and shortened.

use std::fmt;
use std::time::Duration;

use crate::order::{Order, Providers};
use crate::shape::{Image, Shape};

#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Ask(Ask),
    Fault(Fault),
}

/// Who carries a step out. Steps of one subject come one after the other, others beside them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    Tasks,
    Service(usize),
    Instances,
    Machine(usize),
    Line(usize),
    Plane,
    Disk,
    Edge,
}

/// Of a client. What is there is picked by number, so that a step still means something when others are left out.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    Run {
        shape: Shape,
        providers: Providers,
        count: i32,
        has_token: bool,
    },
    Start {
        shape: Shape,
        node: usize,
    },
    /// Of the tasks that were run, the one with this number.
    Stop {
        pick: usize,
    },
    Create {
        slot: usize,
        order: Order,
    },
    /// A new revision, on the same network.
    Deploy {
        slot: usize,
        image: Image,
    },
    Renew {
        slot: usize,
    },
    Scale {
        slot: usize,
        desired: i32,
    },
    /// A task of the service, by its number.
    Protect {
        slot: usize,
        pick: usize,
        minutes: i32,
    },
    /// The hook that waits, if one does.
    Answer {
        slot: usize,
        goes_on: bool,
    },
    StopDeployment {
        slot: usize,
        goes_back: bool,
    },
    Delete {
        slot: usize,
    },
    AddSet {
        slot: usize,
        image: Image,
        percent: i32,
    },
    /// Of the task sets that were added, the one with this number.
    ScaleSet {
        slot: usize,
        pick: usize,
        percent: i32,
    },
    PromoteSet {
        slot: usize,
        pick: usize,
    },
    DropSet {
        slot: usize,
        pick: usize,
    },
    Drain {
        node: usize,
    },
    Activate {
        node: usize,
    },
    Deregister {
        node: usize,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// At rest, or at the call to a driver with this number, which is then carried out or not.
    KillAgent {
        node: usize,
        at_call: Option<(usize, bool)>,
        away: Duration,
    },
    /// The machine loses power.
    Crash {
        node: usize,
        away: Duration,
    },
    KillContainer {
        node: usize,
        pick: usize,
        code: i32,
    },
    LoseEvents {
        node: usize,
    },
    Cut {
        node: usize,
    },
    Freeze {
        node: usize,
        to_control: bool,
        to_agent: bool,
        lasts: Duration,
    },
    SlowLine {
        node: usize,
        delay: Duration,
        lasts: Duration,
    },
    /// At rest, or at the commit with this number, which is then durable or not; either way nobody is told of it.
    KillControl {
        at_commit: Option<(usize, bool)>,
        away: Duration,
    },
    SlowDisk {
        slowest: Duration,
        lasts: Duration,
    },
    FailDisk {
        commits: u32,
        is_written: bool,
    },
    /// The data path finds no target healthy.
    FailTargets {
        lasts: Duration,
    },
    /// It tells nothing.
    SilenceEdge {
        lasts: Duration,
    },
}

impl Step {
    pub fn subject(&self) -> Subject {
        match self {
            Self::Ask(ask) => ask.subject(),
            Self::Fault(fault) => fault.subject(),
        }
    }
}

impl Ask {
    fn subject(&self) -> Subject {
        match *self {
            Self::Run { .. } | Self::Start { .. } | Self::Stop { .. } => Subject::Tasks,
            Self::Create { slot, .. }
            | Self::Deploy { slot, .. }
            | Self::Renew { slot }
            | Self::Scale { slot, .. }
            | Self::Protect { slot, .. }
            | Self::Answer { slot, .. }
            | Self::StopDeployment { slot, .. }
            | Self::Delete { slot }
            | Self::AddSet { slot, .. }
            | Self::ScaleSet { slot, .. }
            | Self::PromoteSet { slot, .. }
            | Self::DropSet { slot, .. } => Subject::Service(slot),
            Self::Drain { .. } | Self::Activate { .. } | Self::Deregister { .. } => Subject::Instances,
        }
    }
}

impl Fault {
    fn subject(&self) -> Subject {
        match *self {
            Self::KillAgent { node, .. }
            | Self::Crash { node, .. }
            | Self::KillContainer { node, .. }
            | Self::LoseEvents { node } => Subject::Machine(node),
            Self::Cut { node } | Self::Freeze { node, .. } | Self::SlowLine { node, .. } => Subject::Line(node),
            Self::KillControl { .. } => Subject::Plane,
            Self::SlowDisk { .. } | Self::FailDisk { .. } => Subject::Disk,
            Self::FailTargets { .. } | Self::SilenceEdge { .. } => Subject::Edge,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ask(ask) => ask.fmt(f),
            Self::Fault(fault) => write!(f, "FAULT {fault}"),
        }
    }
}

impl fmt::Display for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run { shape, providers, count, has_token } => {
                write!(f, "run {count} of {shape}{providers}{}", if *has_token { " with a client token" } else { "" })
            }
            Self::Start { shape, node } => write!(f, "start {shape} on node {node}"),
            Self::Stop { pick } => write!(f, "stop task number {pick}"),
            Self::Create { slot, order } => write!(f, "create service {slot}: {order}"),
            Self::Deploy { slot, image } => write!(f, "deploy {} to service {slot}", image.name()),
            Self::Renew { slot } => write!(f, "force a new deployment of service {slot}"),
            Self::Scale { slot, desired } => write!(f, "scale service {slot} to {desired}"),
            Self::Protect { slot, pick, minutes } => {
                write!(f, "protect task number {pick} of service {slot} for {minutes} min")
            }
            Self::Answer { slot, goes_on } => {
                write!(f, "let service {slot} go {}", if *goes_on { "on" } else { "back" })
            }
            Self::StopDeployment { slot, goes_back } => {
                write!(f, "{} the deployment of service {slot}", if *goes_back { "roll back" } else { "abort" })
            }
            Self::Delete { slot } => write!(f, "delete service {slot}"),
            Self::AddSet { slot, image, percent } => {
                write!(f, "add a task set of {} at {percent} % to service {slot}", image.name())
            }
            Self::ScaleSet { slot, pick, percent } => {
                write!(f, "scale task set number {pick} of service {slot} to {percent} %")
            }
            Self::PromoteSet { slot, pick } => write!(f, "make task set number {pick} of service {slot} PRIMARY"),
            Self::DropSet { slot, pick } => write!(f, "delete task set number {pick} of service {slot}"),
            Self::Drain { node } => write!(f, "drain node {node}"),
            Self::Activate { node } => write!(f, "activate node {node}"),
            Self::Deregister { node } => write!(f, "deregister node {node} by force"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KillAgent { node, at_call: None, away } => write!(f, "kill the agent of node {node} for {away:?}"),
            Self::KillAgent { node, at_call: Some((call, is_done)), away } => {
                let when = if *is_done { "after" } else { "before" };
                write!(f, "kill the agent of node {node} for {away:?}, {when} driver call {call}")
            }
            Self::Crash { node, away } => write!(f, "crash node {node} for {away:?}"),
            Self::KillContainer { node, pick, code } => {
                write!(f, "end container number {pick} of node {node} with {code}")
            }
            Self::LoseEvents { node } => write!(f, "lose the runtime's events on node {node}"),
            Self::Cut { node } => write!(f, "cut the line of node {node}"),
            Self::Freeze { node, to_control, to_agent, lasts } => {
                let ways = match (to_control, to_agent) {
                    (true, true) => "both ways",
                    (true, false) => "towards the control plane",
                    _ => "towards the agent",
                };
                write!(f, "freeze the line of node {node} {ways} for {lasts:?}")
            }
            Self::SlowLine { node, delay, lasts } => {
                write!(f, "delay the line of node {node} by {delay:?} for {lasts:?}")
            }
            Self::KillControl { at_commit: None, away } => write!(f, "kill the control plane for {away:?}"),
            Self::KillControl { at_commit: Some((commit, is_durable)), away } => {
                let when = if *is_durable { "after" } else { "before" };
                write!(f, "kill the control plane for {away:?}, {when} commit {commit} is durable")
            }
            Self::SlowDisk { slowest, lasts } => write!(f, "slow the disk to {slowest:?} for {lasts:?}"),
            Self::FailDisk { commits, is_written: true } => write!(f, "fail {commits} commits after they were written"),
            Self::FailDisk { commits, is_written: false } => write!(f, "fail {commits} commits"),
            Self::FailTargets { lasts } => write!(f, "fail all targets for {lasts:?}"),
            Self::SilenceEdge { lasts } => write!(f, "hear nothing of the data path for {lasts:?}"),
        }
    }
}
