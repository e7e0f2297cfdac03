//! CPU and memory, of the task and of its containers (ecs-semantics §2.2, §2.3).

use std::ops::RangeInclusive;

use model::task_definition::{ContainerDefinition, TaskDefinition};
use model::{CpuUnits, MemoryMib};

use super::{Refusal, Verdict, refuse};

/// Task-level CPU, in units of 1/1024 virtual CPU.
pub const CPU_UNITS: RangeInclusive<u32> = 128..=196_608;
/// The least hard or soft limit of a container, in MiB. The node raises what is under the runtime's own floor.
const CONTAINER_MEMORY_MIN: MemoryMib = MemoryMib(4);
const FRACTION_DIGITS_MAX: usize = 9;
const UNITS_PER_VCPU: u64 = 1024;
const MIB_PER_GB: u64 = 1024;

/// Task-level CPU as a caller spells it: units (`1024`) or virtual CPUs (`1 vCPU`, `.25 vcpu`).
///
/// # Errors
/// AWS's text for anything else and for what is out of [`CPU_UNITS`].
pub fn parse_cpu(text: &str) -> Result<CpuUnits, Refusal> {
    let units = parse_quantity(text, "vcpu", UNITS_PER_VCPU).filter(|units| CPU_UNITS.contains(units));
    units.map(CpuUnits).ok_or_else(|| invalid("cpu"))
}

/// Task-level memory as a caller spells it: MiB (`512`) or gigabytes (`1GB`, `0.5 gb`).
///
/// # Errors
/// AWS's text for anything else, and for nothing at all.
pub fn parse_memory(text: &str) -> Result<MemoryMib, Refusal> {
    let mib = parse_quantity(text, "gb", MIB_PER_GB).filter(|mib| *mib >= CONTAINER_MEMORY_MIN.0);
    mib.map(MemoryMib).ok_or_else(|| invalid("memory"))
}

fn invalid(field: &str) -> Refusal {
    Refusal(format!(
        "Invalid '{field}' setting for task. For more information, see the Troubleshooting section of the Amazon ECS \
         Developer Guide."
    ))
}

/// A whole number, or a decimal one before `suffix` (in any case) that comes to a whole number of `scale`ths.
fn parse_quantity(text: &str, suffix: &str, scale: u64) -> Option<u32> {
    let text = text.trim();
    let lower = text.to_ascii_lowercase();
    let Some(number) = lower.strip_suffix(suffix) else {
        return parse_digits(text)?.try_into().ok();
    };
    let number = number.trim_end();
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let whole = if whole.is_empty() { 0 } else { parse_digits(whole)? };
    let amount = whole.checked_mul(scale)?.checked_add(parse_fraction(fraction, scale)?)?;
    amount.try_into().ok()
}

/// `scale` times the decimal fraction of these digits; `None` unless that is whole.
fn parse_fraction(digits: &str, scale: u64) -> Option<u64> {
    if digits.is_empty() {
        return Some(0);
    }
    if digits.len() > FRACTION_DIGITS_MAX {
        return None;
    }
    let numerator = parse_digits(digits)?.checked_mul(scale)?;
    let denominator = 10u64.pow(digits.len() as u32);
    (numerator % denominator == 0).then_some(numerator / denominator)
}

/// Unlike `str::parse`, no sign.
fn parse_digits(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// The containers' limits, each by itself and against the task's.
pub(super) fn check(definition: &TaskDefinition) -> Verdict {
    for container in &definition.containers {
        check_container(container, definition.memory)?;
    }
    check_total_cpu(definition)?;
    check_total_memory(definition)
}

fn check_container(container: &ContainerDefinition, task_memory: Option<MemoryMib>) -> Verdict {
    let name = &container.name;
    let limits = [("memory", container.memory), ("memoryReservation", container.memory_reservation)];
    for (field, limit) in limits {
        let Some(limit) = limit else { continue };
        if limit < CONTAINER_MEMORY_MIN {
            let least = CONTAINER_MEMORY_MIN.0;
            return refuse(format!("Invalid setting for container '{name}'. '{field}' must be at least {least}."));
        }
        if task_memory.is_some_and(|task| limit > task) {
            return refuse(format!("The '{field}' setting for container is greater than for the task."));
        }
    }
    match (container.memory, container.memory_reservation) {
        (None, None) if task_memory.is_none() => refuse(format!(
            "Invalid setting for container '{name}'. At least one of 'memory' or 'memoryReservation' must be specified."
        )),
        (Some(hard), Some(soft)) if hard <= soft => refuse(format!(
            "Invalid setting for container '{name}'. 'memory' must be greater than 'memoryReservation'."
        )),
        _ => Ok(()),
    }
}

fn check_total_cpu(definition: &TaskDefinition) -> Verdict {
    let Some(task) = definition.cpu else { return Ok(()) };
    let total: u64 = definition.containers.iter().map(|container| u64::from(container.cpu.0)).sum();
    if total > u64::from(task.0) {
        return refuse(format!(
            "The total 'cpu' setting of the containers, {total}, is greater than for the task, {}.",
            task.0
        ));
    }
    Ok(())
}

/// What the containers reserve: the soft limit, else the hard one.
fn check_total_memory(definition: &TaskDefinition) -> Verdict {
    let Some(task) = definition.memory else { return Ok(()) };
    let reserved = definition.containers.iter().filter_map(|c| c.memory_reservation.or(c.memory));
    let total: u64 = reserved.map(|memory| u64::from(memory.0)).sum();
    if total > u64::from(task.0) {
        return refuse(format!(
            "The total 'memory' setting of the containers, {total}, is greater than for the task, {}.",
            task.0
        ));
    }
    Ok(())
}
