//! What a caller names things by: an id or a name, or an ARN.

use model::Scope;
use wire::ecs::Error;

/// What an identifier may name, with the words of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Task,
    ContainerInstance,
}

impl Kind {
    /// The first part of the ARN's resource.
    pub const fn resource(self) -> &'static str {
        match self {
            Self::Task => "task",
            Self::ContainerInstance => "container-instance",
        }
    }

    const fn id_name(self) -> &'static str {
        match self {
            Self::Task => "taskId",
            Self::ContainerInstance => "containerInstanceId",
        }
    }
}

/// The id in `text`: `None` when it names something in another cluster, or could be nothing's id.
///
/// # Errors
/// `InvalidParameterException` for the ARN of somebody or something else, and for what is no identifier.
pub fn parse<T: std::str::FromStr>(scope: &Scope, cluster: &str, kind: Kind, text: &str) -> Result<Option<T>, Error> {
    if !is_arn(text) {
        return match text.len() {
            32 | 36 => Ok(text.parse().ok()),
            _ => Err(Error::invalid_parameter(format!("{} length should be one of [32,36]", kind.id_name()))),
        };
    }
    let named = named_by_arn(scope, kind.resource(), text)?;
    let (its_cluster, id) = named.split_once('/').unwrap_or((cluster, named));
    Ok(if its_cluster == cluster { id.parse().ok() } else { None })
}

pub fn is_arn(text: &str) -> bool {
    text.starts_with("arn:")
}

/// What follows `<resource>/` in an ARN of ECS in the caller's own account and region.
///
/// # Errors
/// `InvalidParameterException` for the ARN of somebody or something else.
pub fn named_by_arn<'a>(scope: &Scope, resource: &str, arn: &'a str) -> Result<&'a str, Error> {
    let invalid = || Error::invalid_parameter(format!("Invalid identifier: it is not the ARN of a {resource}."));
    let mut parts = arn.splitn(6, ':').skip(2);
    let mut next = || parts.next().ok_or_else(invalid);
    let (service, region, account, rest) = (next()?, next()?, next()?, next()?);
    let named = rest.strip_prefix(resource).and_then(|rest| rest.strip_prefix('/'));
    let Some(named) = named.filter(|_| service == "ecs") else { return Err(invalid()) };
    if *account != *scope.account {
        return Err(Error::invalid_parameter("AccountIDs mismatch"));
    }
    if *region != *scope.region {
        return Err(Error::invalid_parameter("Region mismatch"));
    }
    Ok(named)
}

#[cfg(test)]
mod tests {
    use model::TaskId;

    use super::*;

    #[test]
    fn ids_and_arns_are_told_apart() {
        let scope = Scope::new("000000000000", "us-east-1");
        let check = |text: &str, expected: Result<Option<u128>, &str>| {
            let parsed = parse::<TaskId>(&scope, "default", Kind::Task, text).map(|id| id.map(|id| id.0));
            let parsed = parsed.map_err(|error| wire::error::Failure::from(error).message);
            assert_eq!(parsed, expected.map_err(str::to_owned), "{text}");
        };
        let id = "0000000000000000000000000000001f";
        let arn = "arn:aws:ecs:us-east-1:000000000000:";
        check(id, Ok(Some(31)));
        check(&format!("{arn}task/default/{id}"), Ok(Some(31)));
        check(&format!("{arn}task/{id}"), Ok(Some(31)));
        check(&format!("{arn}task/other/{id}"), Ok(None));
        check(&format!("{arn}task/default/x"), Ok(None));
        check("0000000000000000000000000000001G", Ok(None));
        check("", Err("taskId length should be one of [32,36]"));
        check("short", Err("taskId length should be one of [32,36]"));
        check(&format!("{arn}service/default/{id}"), Err("Invalid identifier: it is not the ARN of a task."));
        check("arn:aws:ecs", Err("Invalid identifier: it is not the ARN of a task."));
        check(&format!("arn:aws:ecs:us-east-1:111111111111:task/default/{id}"), Err("AccountIDs mismatch"));
        check(&format!("arn:aws:ecs:eu-west-1:000000000000:task/default/{id}"), Err("Region mismatch"));
    }
}
