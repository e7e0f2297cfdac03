//! Actions, conditions and health checks between wire and model. What is not built is refused by name.

use ipnet::IpNet;
use model::Scope;
use model::edge::{Action, Condition, Forward, Matcher, Pattern, Redirect};
use store::Tables;
use wire::elbv2::{self, ActionTypeEnum, Error, RedirectActionStatusCodeEnum};

use super::identifier;
use super::{invalid, unbuilt};

/// Target groups of one action.
pub(super) const FORWARD_GROUPS_MAX: usize = 5;
const WEIGHT_MAX: i32 = 999;
const STICKINESS_SECONDS_MAX: i32 = 604_800;
/// Values of all conditions of a rule; and how long one is.
pub(super) const VALUES_MAX: usize = 5;
const VALUE_LENGTH_MAX: usize = 128;
const FIXED_BODY_LENGTH_MAX: usize = 1024;
const CONTENT_TYPES: [&str; 5] = ["text/plain", "text/css", "text/html", "application/javascript", "application/json"];

/// The one action of a rule.
///
/// # Errors
/// `InvalidLoadBalancerAction`, `TargetGroupNotFound`, `ValidationError`; `UnsupportedFeature` for what is not built.
pub fn action(tables: &Tables, scope: &Scope, given: Vec<elbv2::Action>) -> Result<Action, Error> {
    let one = <[elbv2::Action; 1]>::try_from(given);
    let [given] = one.map_err(|_| unbuilt("A rule with any but one action is"))?;
    match given.r#type {
        ActionTypeEnum::Forward => forward(tables, scope, given).map(Action::Forward),
        ActionTypeEnum::Redirect => redirect(given.redirect_config).map(Action::Redirect),
        ActionTypeEnum::FixedResponse => fixed_response(given.fixed_response_config),
        other => Err(unbuilt(&format!("Actions of type '{}' are", other.as_str()))),
    }
}

fn forward(tables: &Tables, scope: &Scope, given: elbv2::Action) -> Result<Forward, Error> {
    let config = given.forward_config.unwrap_or_default();
    let tuples = config.target_groups.unwrap_or_default();
    let mut groups = Vec::new();
    for tuple in tuples {
        let weight = tuple.weight.unwrap_or(1);
        if !(0..=WEIGHT_MAX).contains(&weight) {
            return Err(invalid(format!("A target group's weight must be between 0 and {WEIGHT_MAX}")));
        }
        groups.push((tuple.target_group_arn.unwrap_or_default(), weight.unsigned_abs()));
    }
    if groups.is_empty() {
        groups.extend(given.target_group_arn.map(|arn| (arn, 1)));
    }
    if groups.is_empty() || groups.len() > FORWARD_GROUPS_MAX {
        let text = format!("A forward action must name 1 to {FORWARD_GROUPS_MAX} target groups");
        return Err(Error::invalid_load_balancer_action(text));
    }
    for (arn, _) in &groups {
        identifier::target_group(tables, scope, arn)?;
    }
    let stickiness = config.target_group_stickiness_config.filter(|config| config.enabled == Some(true));
    let seconds = stickiness.map(|config| config.duration_seconds.unwrap_or(0));
    if seconds.is_some_and(|seconds| !(1..=STICKINESS_SECONDS_MAX).contains(&seconds)) {
        return Err(invalid(format!("Stickiness must last between 1 and {STICKINESS_SECONDS_MAX} seconds")));
    }
    Ok(Forward { groups, stickiness_seconds: seconds.map(i32::unsigned_abs) })
}

fn redirect(given: Option<elbv2::RedirectActionConfig>) -> Result<Redirect, Error> {
    let Some(given) = given else {
        return Err(Error::invalid_load_balancer_action("A redirect action must have a configuration"));
    };
    let default = Redirect::default();
    let redirect = Redirect {
        protocol: given.protocol.unwrap_or(default.protocol),
        host: given.host.unwrap_or(default.host),
        port: given.port.unwrap_or(default.port),
        path: given.path.unwrap_or(default.path),
        query: given.query.unwrap_or(default.query),
        status: match given.status_code {
            RedirectActionStatusCodeEnum::Http301 => 301,
            RedirectActionStatusCodeEnum::Http302 => 302,
            RedirectActionStatusCodeEnum::Unknown(_) => {
                return Err(Error::invalid_load_balancer_action("A redirect's status code is HTTP_301 or HTTP_302"));
            }
        },
    };
    if !redirect.path.starts_with('/') {
        return Err(Error::invalid_load_balancer_action("A redirect's path must begin with '/'"));
    }
    let is_same = Redirect { status: redirect.status, ..Redirect::default() } == redirect;
    if is_same {
        let text = "A redirect must change at least one of protocol, host, port, path and query: it would never end";
        return Err(Error::invalid_load_balancer_action(text));
    }
    Ok(redirect)
}

fn fixed_response(given: Option<elbv2::FixedResponseActionConfig>) -> Result<Action, Error> {
    let given = given.unwrap_or_default();
    let status = given.status_code.parse::<u16>().ok().filter(|status| matches!(status / 100, 2 | 4 | 5));
    let status = status.ok_or_else(|| Error::invalid_load_balancer_action("A fixed response has a 2XX, 4XX or 5XX"))?;
    let body = given.message_body.unwrap_or_default();
    if body.len() > FIXED_BODY_LENGTH_MAX {
        let text = format!("A fixed response has at most {FIXED_BODY_LENGTH_MAX} bytes");
        return Err(Error::invalid_load_balancer_action(text));
    }
    let content_type = given.content_type.filter(|text| !text.is_empty());
    if content_type.as_deref().is_some_and(|text| !CONTENT_TYPES.contains(&text)) {
        let text = format!("A fixed response's content type is one of {}", CONTENT_TYPES.join(", "));
        return Err(Error::invalid_load_balancer_action(text));
    }
    Ok(Action::FixedResponse { status, content_type, body })
}

pub fn action_to_wire(action: &Action) -> elbv2::Action {
    match action {
        Action::Forward(forward) => forward_to_wire(forward),
        Action::Redirect(redirect) => elbv2::Action {
            r#type: ActionTypeEnum::Redirect,
            redirect_config: Some(elbv2::RedirectActionConfig {
                protocol: Some(redirect.protocol.clone()),
                host: Some(redirect.host.clone()),
                port: Some(redirect.port.clone()),
                path: Some(redirect.path.clone()),
                query: Some(redirect.query.clone()),
                status_code: match redirect.status {
                    301 => RedirectActionStatusCodeEnum::Http301,
                    _ => RedirectActionStatusCodeEnum::Http302,
                },
            }),
            ..elbv2::Action::default()
        },
        Action::FixedResponse { status, content_type, body } => elbv2::Action {
            r#type: ActionTypeEnum::FixedResponse,
            fixed_response_config: Some(elbv2::FixedResponseActionConfig {
                content_type: content_type.clone(),
                message_body: Some(body.clone()),
                status_code: status.to_string(),
            }),
            ..elbv2::Action::default()
        },
    }
}

fn forward_to_wire(forward: &Forward) -> elbv2::Action {
    let tuple = |(arn, weight): &(String, u32)| elbv2::TargetGroupTuple {
        target_group_arn: Some(arn.clone()),
        weight: i32::try_from(*weight).ok(),
    };
    elbv2::Action {
        r#type: ActionTypeEnum::Forward,
        target_group_arn: match forward.groups.as_slice() {
            [(arn, _)] => Some(arn.clone()),
            _ => None,
        },
        forward_config: Some(elbv2::ForwardActionConfig {
            target_groups: Some(forward.groups.iter().map(tuple).collect()),
            target_group_stickiness_config: Some(elbv2::TargetGroupStickinessConfig {
                enabled: Some(forward.stickiness_seconds.is_some()),
                duration_seconds: forward.stickiness_seconds.and_then(|seconds| i32::try_from(seconds).ok()),
            }),
        }),
        ..elbv2::Action::default()
    }
}

/// The conditions of a rule.
///
/// # Errors
/// `ValidationError` for what AWS refuses.
pub fn conditions(given: Vec<elbv2::RuleCondition>) -> Result<Vec<Condition>, Error> {
    if given.is_empty() {
        return Err(invalid("A rule must have a condition"));
    }
    let conditions = given.into_iter().map(condition).collect::<Result<Vec<_>, _>>()?;
    if conditions.iter().map(count).sum::<usize>() > VALUES_MAX {
        return Err(invalid(format!("A rule can have at most {VALUES_MAX} condition values")));
    }
    Ok(conditions)
}

fn count(condition: &Condition) -> usize {
    match condition {
        Condition::HostHeader(values) | Condition::PathPattern(values) | Condition::HttpHeader { values, .. } => {
            values.len()
        }
        Condition::HttpRequestMethod(values) => values.len(),
        Condition::QueryString(values) => values.len(),
        Condition::SourceIp(values) => values.len(),
    }
}

fn condition(given: elbv2::RuleCondition) -> Result<Condition, Error> {
    let (values, regexes) = (given.values.unwrap_or_default(), given.regex_values.unwrap_or_default());
    match given.field.as_deref().unwrap_or_default() {
        "host-header" => {
            let config = given.host_header_config.unwrap_or_default();
            patterns(values, regexes, config.values, config.regex_values).map(Condition::HostHeader)
        }
        "path-pattern" => {
            let config = given.path_pattern_config.unwrap_or_default();
            patterns(values, regexes, config.values, config.regex_values).map(Condition::PathPattern)
        }
        "http-header" => {
            let config = given.http_header_config.unwrap_or_default();
            let name = config.http_header_name.filter(|name| (1..=40).contains(&name.len()));
            let name = name.ok_or_else(|| invalid("An http-header condition names a header of 1 to 40 characters"))?;
            let values = patterns(Vec::new(), regexes, config.values, config.regex_values)?;
            Ok(Condition::HttpHeader { name, values })
        }
        "http-request-method" => {
            let values = given.http_request_method_config.and_then(|config| config.values).unwrap_or_default();
            some(values).map(Condition::HttpRequestMethod)
        }
        "query-string" => {
            let pairs = given.query_string_config.and_then(|config| config.values).unwrap_or_default();
            let pairs: Vec<_> = pairs.into_iter().map(|pair| (pair.key, pair.value.unwrap_or_default())).collect();
            if pairs.is_empty() { Err(no_values()) } else { Ok(Condition::QueryString(pairs)) }
        }
        "source-ip" => {
            let values = some(given.source_ip_config.and_then(|config| config.values).unwrap_or_default())?;
            let network = |text: &String| {
                text.parse::<IpNet>().map_err(|_| invalid(format!("'{text}' is not a valid CIDR block")))
            };
            values.iter().map(network).collect::<Result<_, _>>().map(Condition::SourceIp)
        }
        other => Err(invalid(format!(
            "Condition field '{other}' must be one of '[path-pattern, host-header, \
                                      http-header, http-request-method, query-string, source-ip]'"
        ))),
    }
}

/// The values of the older form of a condition, or else those of its configuration.
fn patterns(
    values: Vec<String>,
    regexes: Vec<String>,
    configured: Option<Vec<String>>,
    configured_regexes: Option<Vec<String>>,
) -> Result<Vec<Pattern>, Error> {
    let values = if values.is_empty() { configured.unwrap_or_default() } else { values };
    let regexes = if regexes.is_empty() { configured_regexes.unwrap_or_default() } else { regexes };
    if let Some(text) = regexes.iter().find(|text| regex::Regex::new(text).is_err()) {
        return Err(invalid(format!("'{text}' is not a valid regular expression")));
    }
    let all = some(values.into_iter().chain(regexes.iter().cloned()).collect())?;
    let pattern = |text: String| if regexes.contains(&text) { Pattern::Regex(text) } else { Pattern::Wildcard(text) };
    Ok(all.into_iter().map(pattern).collect())
}

fn some(values: Vec<String>) -> Result<Vec<String>, Error> {
    if values.is_empty() {
        return Err(no_values());
    }
    if values.iter().any(|value| !(1..=VALUE_LENGTH_MAX).contains(&value.chars().count())) {
        return Err(invalid(format!("A condition value must have 1 to {VALUE_LENGTH_MAX} characters")));
    }
    Ok(values)
}

fn no_values() -> Error {
    invalid("A condition value must be specified")
}

pub fn condition_to_wire(condition: &Condition) -> elbv2::RuleCondition {
    let field = |name: &str| elbv2::RuleCondition { field: Some(name.to_owned()), ..elbv2::RuleCondition::default() };
    match condition {
        Condition::HostHeader(values) => {
            let (values, regex_values) = patterns_to_wire(values);
            elbv2::RuleCondition {
                values: values.clone(),
                host_header_config: Some(elbv2::HostHeaderConditionConfig { values, regex_values }),
                ..field("host-header")
            }
        }
        Condition::PathPattern(values) => {
            let (values, regex_values) = patterns_to_wire(values);
            elbv2::RuleCondition {
                values: values.clone(),
                path_pattern_config: Some(elbv2::PathPatternConditionConfig { values, regex_values }),
                ..field("path-pattern")
            }
        }
        Condition::HttpHeader { name, values } => {
            let (values, regex_values) = patterns_to_wire(values);
            let http_header_name = Some(name.clone());
            let config = elbv2::HttpHeaderConditionConfig { http_header_name, values, regex_values };
            elbv2::RuleCondition { http_header_config: Some(config), ..field("http-header") }
        }
        Condition::HttpRequestMethod(values) => {
            let config = elbv2::HttpRequestMethodConditionConfig { values: Some(values.clone()) };
            elbv2::RuleCondition { http_request_method_config: Some(config), ..field("http-request-method") }
        }
        Condition::QueryString(pairs) => {
            let pair = |(key, value): &(Option<String>, String)| elbv2::QueryStringKeyValuePair {
                key: key.clone(),
                value: Some(value.clone()),
            };
            let config = elbv2::QueryStringConditionConfig { values: Some(pairs.iter().map(pair).collect()) };
            elbv2::RuleCondition { query_string_config: Some(config), ..field("query-string") }
        }
        Condition::SourceIp(networks) => {
            let values = networks.iter().map(ToString::to_string).collect();
            let config = elbv2::SourceIpConditionConfig { values: Some(values), ..Default::default() };
            elbv2::RuleCondition { source_ip_config: Some(config), ..field("source-ip") }
        }
    }
}

type Texts = Option<Vec<String>>;

fn patterns_to_wire(patterns: &[Pattern]) -> (Texts, Texts) {
    let (mut values, mut regexes) = (Vec::new(), Vec::new());
    for pattern in patterns {
        match pattern {
            Pattern::Wildcard(text) => values.push(text.clone()),
            Pattern::Regex(text) => regexes.push(text.clone()),
        }
    }
    (Some(values), Some(regexes).filter(|regexes| !regexes.is_empty()))
}

/// `200`, `200,202`, `200-299`; for gRPC codes from 0.
///
/// # Errors
/// `ValidationError` for what is none of these.
pub fn matcher(given: elbv2::Matcher) -> Result<Option<Matcher>, Error> {
    match (given.http_code, given.grpc_code) {
        (Some(text), None) => ranges(&text, 200, 599).map(|ranges| Some(Matcher::HttpCode(ranges))),
        (None, Some(text)) => ranges(&text, 0, 99).map(|ranges| Some(Matcher::GrpcCode(ranges))),
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(invalid("A matcher has either HTTP codes or gRPC codes")),
    }
}

fn ranges(text: &str, least: u16, most: u16) -> Result<Vec<(u16, u16)>, Error> {
    let code = |text: &str| text.trim().parse::<u16>().ok().filter(|code| (least..=most).contains(code));
    let range = |text: &str| {
        let (from, to) = text.split_once('-').unwrap_or((text, text));
        let range = code(from).zip(code(to)).filter(|(from, to)| from <= to);
        range.ok_or_else(|| invalid(format!("Health check matcher code '{text}' must be within {least}-{most}")))
    };
    text.split(',').map(range).collect()
}

pub fn matcher_to_wire(matcher: &Matcher) -> elbv2::Matcher {
    let text = |ranges: &[(u16, u16)]| {
        let range = |(from, to): &(u16, u16)| if from == to { from.to_string() } else { format!("{from}-{to}") };
        Some(ranges.iter().map(range).collect::<Vec<_>>().join(","))
    };
    match matcher {
        Matcher::HttpCode(ranges) => elbv2::Matcher { http_code: text(ranges), grpc_code: None },
        Matcher::GrpcCode(ranges) => elbv2::Matcher { http_code: None, grpc_code: text(ranges) },
    }
}
