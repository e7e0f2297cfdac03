//! Conversions between wire shapes and the model, by noun. The only place that knows both.

pub mod capacity_provider;
pub mod cluster;
pub mod container_definition;
pub mod container_instance;
pub mod deployment_configuration;
pub mod load_balancer;
pub mod service;
pub mod service_connect;
pub mod service_deployment;
pub mod service_registry;
pub mod service_revision;
pub mod tag;
pub mod task;
pub mod task_definition;
pub mod task_override;
pub mod task_protection;
pub mod task_set;

use model::Timestamp;
use wire::ecs::Error;

/// Whether text was given that says something.
fn given(text: &Option<String>) -> bool {
    text.as_ref().is_some_and(|text| !text.is_empty())
}

fn non_empty(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

fn has_items<T>(list: &Option<Vec<T>>) -> bool {
    list.as_ref().is_some_and(|list| !list.is_empty())
}

fn items<T>(list: Option<Vec<T>>) -> Vec<T> {
    list.unwrap_or_default()
}

fn is_true(flag: Option<bool>) -> bool {
    flag == Some(true)
}

/// Refuses the first field that is given but not built, by name. One that only says what is so anyway (false, an empty
/// list) is not given. `owner` is what the field belongs to, empty for the request itself.
pub(super) fn refuse_unbuilt(owner: &str, fields: &[(&str, bool)]) -> Result<(), Error> {
    let Some((field, _)) = fields.iter().find(|(_, is_given)| *is_given) else { return Ok(()) };
    let of = if owner.is_empty() { String::new() } else { format!(" of {owner}") };
    Err(Error::client(format!("The field '{field}'{of} is not supported by Gantry yet.")))
}

/// A number that cannot be negative.
fn unsigned(field: &str, owner: &str, value: Option<i32>) -> Result<Option<u32>, Error> {
    let convert = |value: i32| {
        u32::try_from(value)
            .map_err(|_| Error::client(format!("Invalid '{field}' setting for {owner}. It cannot be negative.")))
    };
    value.map(convert).transpose()
}

/// The wire's numbers are 32 bits wide with a sign, so every one that is shown came from there or is as small.
fn signed(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

fn time(at: Timestamp) -> wire::value::Timestamp {
    wire::value::Timestamp(at.as_millis())
}
