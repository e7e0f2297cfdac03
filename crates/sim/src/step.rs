//! One thing that a client asks, or that goes wrong. Plain data, so that a script can be read, and shortened.

use std::fmt;
use std::time::Duration;

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
}

/// Of a client. What is there is picked by number, so that a step still means something when others are left out.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    Run {
        shape: Shape,
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
        shape: Shape,
        desired: i32,
        percent: (i32, i32),
        breaker: Option<Breaker>,
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
    Delete {
        slot: usize,
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breaker {
    pub rollback: bool,
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
    KillControl {
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
            | Self::Delete { slot } => Subject::Service(slot),
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
            Self::Run { shape, count, has_token } => {
                write!(f, "run {count} of {shape}{}", if *has_token { " with a client token" } else { "" })
            }
            Self::Start { shape, node } => write!(f, "start {shape} on node {node}"),
            Self::Stop { pick } => write!(f, "stop task number {pick}"),
            Self::Create { slot, shape, desired, percent: (lower, upper), breaker } => {
                write!(f, "create service {slot}: {desired} of {shape}, {lower} to {upper} %")?;
                match breaker {
                    Some(Breaker { rollback: true }) => f.write_str(", circuit breaker with rollback"),
                    Some(Breaker { rollback: false }) => f.write_str(", circuit breaker"),
                    None => Ok(()),
                }
            }
            Self::Deploy { slot, image } => write!(f, "deploy {} to service {slot}", image.name()),
            Self::Renew { slot } => write!(f, "force a new deployment of service {slot}"),
            Self::Scale { slot, desired } => write!(f, "scale service {slot} to {desired}"),
            Self::Delete { slot } => write!(f, "delete service {slot}"),
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
            Self::KillControl { away } => write!(f, "kill the control plane for {away:?}"),
            Self::SlowDisk { slowest, lasts } => write!(f, "slow the disk to {slowest:?} for {lasts:?}"),
            Self::FailDisk { commits, is_written: true } => write!(f, "fail {commits} commits after they were written"),
            Self::FailDisk { commits, is_written: false } => write!(f, "fail {commits} commits"),
        }
    }
}
