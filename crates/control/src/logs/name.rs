//! Finding groups and streams by what callers name them with.

use std::sync::Arc;

use model::logs::{LogGroup, LogStream};
use model::{Arn, Scope};
use store::Tables;
use wire::logs::Error;

/// The group by its name or by its ARN, of which exactly one is given.
pub fn chosen<'a>(name: Option<&'a str>, identifier: Option<&'a str>, scope: &Scope) -> Result<String, Error> {
    match (name, identifier) {
        (Some(name), None) => Ok(name.to_owned()),
        (None, Some(identifier)) => of_identifier(identifier, scope),
        _ => Err(Error::invalid_parameter("Exactly one of logGroupName and logGroupIdentifier must be specified.")),
    }
}

/// A group's name, or its ARN with or without the final `:*`.
pub fn of_identifier(identifier: &str, scope: &Scope) -> Result<String, Error> {
    let Some(arn) = Arn::parse(identifier) else { return Ok(identifier.to_owned()) };
    let name = arn.resource.strip_prefix("log-group:").map(|name| name.strip_suffix(":*").unwrap_or(name));
    match name {
        Some(name) if arn.service == "logs" && arn.belongs_to(scope) => Ok(name.to_owned()),
        Some(_) => Err(no_group()),
        None => Err(Error::invalid_parameter(format!("'{identifier}' is not the ARN of a log group."))),
    }
}

pub fn group<'a>(tables: &'a Tables, scope: &Scope, name: &str) -> Result<&'a Arc<LogGroup>, Error> {
    tables.log_groups.get(&(scope.clone(), name.to_owned())).ok_or_else(no_group)
}

pub fn stream<'a>(tables: &'a Tables, scope: &Scope, group: &str, name: &str) -> Result<&'a Arc<LogStream>, Error> {
    self::group(tables, scope, group)?;
    let key = (scope.clone(), group.to_owned(), name.to_owned());
    tables.log_streams.get(&key).ok_or_else(|| Error::resource_not_found("The specified log stream does not exist."))
}

pub fn no_group() -> Error {
    Error::resource_not_found("The specified log group does not exist.")
}

/// AWS's `arn`, with `:*` behind it; `logGroupArn` is without.
pub fn group_arn(group: &LogGroup) -> String {
    Arn::log_group(&group.scope, &group.name).to_string()
}

pub fn stream_arn(stream: &LogStream) -> String {
    format!("{}:log-stream:{}", Arn::log_group(&stream.scope, &stream.group), stream.name)
}
