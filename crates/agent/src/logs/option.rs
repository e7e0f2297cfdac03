//! The `awslogs` options of a container (ecs-semantics §2.7): where its lines go and how they are cut into events.

use model::Scope;
use model::link::TaskSpec;
use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

use super::datetime;

/// What may wait on the node in blocking mode. A task is never blocked for its logs; beyond this, lines are lost.
const WAITING_BYTES_MAX: u64 = 256 << 20;
/// `max-buffer-size` when it is not given.
const BUFFER_BYTES_DEFAULT: u64 = 10 << 20;
/// Compiled size of a tenant's pattern.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// Kept beside the container's output, so that lines are shipped after the agent or the task is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// The task's account, the region of `awslogs-region`.
    pub scope: Scope,
    pub group: String,
    pub stream: String,
    pub create_group: bool,
    /// A line that matches begins an event; `None`: every line is one.
    pub pattern: Option<String>,
    /// How much may wait on the node before lines are lost.
    pub waiting_bytes_max: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("log driver '{0}' is not known")]
    Driver(String),
    #[error("must specify a value for log opt '{0}'")]
    Missing(&'static str),
    #[error("you cannot configure log opt 'awslogs-datetime-format' and 'awslogs-multiline-pattern' at the same time")]
    TwoPatterns,
    #[error("awslogs could not parse multiline pattern key \"{0}\"")]
    Pattern(String),
    #[error("awslogs could not parse datetime format \"{0}\": {1} is not known")]
    Datetime(String, String),
    #[error("invalid size '{0}' for log opt 'max-buffer-size'")]
    Size(String),
    #[error("logger: invalid log mode '{0}', must be one of blocking or non-blocking")]
    Mode(String),
}

impl Options {
    /// Of the spec's n-th container; `None` when it has no log configuration. `runtime_id` names the stream when
    /// there is no prefix.
    pub fn of(spec: &TaskSpec, container: usize, runtime_id: &str) -> Result<Option<Self>, Error> {
        let definition = &spec.containers[container].definition;
        let Some(configuration) = &definition.log_configuration else { return Ok(None) };
        if configuration.driver != "awslogs" {
            return Err(Error::Driver(configuration.driver.clone()));
        }
        let option = |name| configuration.option(name).filter(|value| !value.is_empty());
        let stream = match option("awslogs-stream-prefix") {
            Some(prefix) => format!("{prefix}/{}/{}", definition.name, spec.id),
            None => runtime_id.to_owned(),
        };
        let pattern = pattern(option("awslogs-multiline-pattern"), option("awslogs-datetime-format"))?;
        Ok(Some(Self {
            scope: Scope::new(&spec.scope.account, option("awslogs-region").unwrap_or(&spec.scope.region)),
            group: option("awslogs-group").ok_or(Error::Missing("awslogs-group"))?.to_owned(),
            stream,
            create_group: option("awslogs-create-group") == Some("true"),
            pattern,
            waiting_bytes_max: waiting_bytes_max(option("mode"), option("max-buffer-size"))?,
        }))
    }

    /// # Panics
    /// Never for options of [`Options::of`], which tried it.
    pub fn regex(&self) -> Option<Regex> {
        self.pattern.as_deref().map(|pattern| compile(pattern).expect("compiled before"))
    }
}

fn pattern(multiline: Option<&str>, datetime: Option<&str>) -> Result<Option<String>, Error> {
    match (multiline, datetime) {
        (Some(_), Some(_)) => Err(Error::TwoPatterns),
        (None, None) => Ok(None),
        (Some(pattern), None) => {
            compile(pattern).map_err(|_| Error::Pattern(pattern.to_owned()))?;
            Ok(Some(pattern.to_owned()))
        }
        (None, Some(format)) => {
            let pattern = datetime::pattern(format).map_err(|part| Error::Datetime(format.to_owned(), part))?;
            compile(&pattern).map_err(|_| Error::Datetime(format.to_owned(), pattern.clone()))?;
            Ok(Some(pattern))
        }
    }
}

fn compile(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern).size_limit(PATTERN_BYTES_MAX).build()
}

fn waiting_bytes_max(mode: Option<&str>, size: Option<&str>) -> Result<u64, Error> {
    let size = size.map(|text| parse_size(text).ok_or_else(|| Error::Size(text.to_owned()))).transpose()?;
    match mode {
        Some("blocking") => Ok(WAITING_BYTES_MAX),
        // Non-blocking is AWS's default since 2025.
        None | Some("non-blocking") => Ok(size.unwrap_or(BUFFER_BYTES_DEFAULT).min(WAITING_BYTES_MAX)),
        Some(other) => Err(Error::Mode(other.to_owned())),
    }
}

/// A number and a unit as docker takes them: `10m`, `512k`, `1gb`, `4096`; at least one byte.
fn parse_size(text: &str) -> Option<u64> {
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(lower.len());
    let shift = match lower[digits..].trim() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        _ => return None,
    };
    let number: u64 = lower[..digits].parse().ok()?;
    number.checked_mul(1 << shift).filter(|bytes| *bytes > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(options: &[(&str, &str)]) -> Result<Options, Error> {
        let spec = serde_json::json!({
            "id": "00000000000000000000000000000001", "arn": "", "scope": {"account": "1", "region": "us-east-1"},
            "cluster": "", "cluster_arn": "", "family": "", "revision": 1, "launch_type": "Ec2", "group": "",
            "created_at": 0, "network_mode": "bridge",
            "containers": [{"id": "", "arn": "", "definition": {
                "name": "web", "image": "", "essential": true,
                "log_configuration": {"driver": "awslogs", "options": options},
            }}],
        });
        let spec: TaskSpec = serde_json::from_value(spec).unwrap();
        Options::of(&spec, 0, "runtime-id").map(Option::unwrap)
    }

    #[test]
    fn options_name_the_stream_and_the_bounds() {
        let options = of(&[("awslogs-group", "/g"), ("awslogs-region", "eu-west-1")]).unwrap();
        assert_eq!((&options.group[..], &options.stream[..]), ("/g", "runtime-id"));
        assert_eq!(options.scope, Scope::new("1", "eu-west-1"));
        assert_eq!((options.create_group, options.waiting_bytes_max), (false, BUFFER_BYTES_DEFAULT));
        let options = of(&[
            ("awslogs-group", "g"),
            ("awslogs-stream-prefix", "p"),
            ("awslogs-create-group", "true"),
            ("mode", "non-blocking"),
            ("max-buffer-size", "25m"),
            ("awslogs-datetime-format", "%Y"),
        ]);
        let options = options.unwrap();
        assert_eq!(options.stream, "p/web/00000000000000000000000000000001");
        assert_eq!((options.create_group, options.waiting_bytes_max), (true, 25 << 20));
        assert!(options.regex().unwrap().is_match("in 2026"));
    }

    #[test]
    fn sizes_are_read_as_docker_reads_them() {
        for (text, expected) in [
            ("4096", Some(4096)),
            ("10m", Some(10 << 20)),
            ("1 GB", Some(1 << 30)),
            ("2KiB", Some(2048)),
            ("0", None),
            ("m", None),
            ("1.5m", None),
            ("-1", None),
            ("99999999999g", None),
        ] {
            assert_eq!(parse_size(text), expected, "{text}");
        }
    }

    #[test]
    fn what_cannot_work_is_refused() {
        let check = |options: &[(&str, &str)], expected: Error| {
            let options = [&[("awslogs-group", "g")], options].concat();
            assert_eq!(of(&options), Err(expected));
        };
        assert_eq!(of(&[]), Err(Error::Missing("awslogs-group")));
        check(&[("awslogs-multiline-pattern", "(")], Error::Pattern("(".into()));
        check(&[("awslogs-multiline-pattern", "(a{1000}){1000}")], Error::Pattern("(a{1000}){1000}".into()));
        check(&[("awslogs-datetime-format", "%Q")], Error::Datetime("%Q".into(), "%Q".into()));
        check(&[("awslogs-datetime-format", "%Y"), ("awslogs-multiline-pattern", "x")], Error::TwoPatterns);
        check(&[("mode", "later")], Error::Mode("later".into()));
        check(&[("max-buffer-size", "much")], Error::Size("much".into()));
    }
}
