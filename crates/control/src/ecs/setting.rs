//! Account settings: a value of one's own beats the account's default, which beats AWS's (ecs-semantics §0.2).
//!
//! The root user of an account stands for the account: what is set for it is everybody's default. A value that asks for
//! what is not built is refused; so every value that is shown holds.

use model::Scope;
use model::setting::AccountSetting;
use store::Tables;
use wire::ecs;
use wire::ecs::Error;

use super::listing;
use crate::{Caller, Cx, page};

/// Entries of a page (ecs-semantics §4.3).
const PAGE_MAX: usize = 10;

/// One setting that AWS has.
struct Rule {
    name: &'static str,
    /// Without anybody's say.
    default: &'static str,
    /// What can be set.
    built: &'static [&'static str],
    /// What AWS knows besides.
    unbuilt: &'static [&'static str],
    /// Only AWS sets it.
    is_managed: bool,
}

const fn rule(
    name: &'static str,
    default: &'static str,
    built: &'static [&'static str],
    unbuilt: &'static [&'static str],
) -> Rule {
    Rule { name, default, built, unbuilt, is_managed: false }
}

/// How containers write to a log driver that names no mode.
pub const DEFAULT_LOG_DRIVER_MODE: &str = "defaultLogDriverMode";

/// By name.
static RULES: [Rule; 12] = [
    rule("awsvpcTrunking", "disabled", &["disabled"], &["enabled"]),
    rule("containerInsights", "disabled", &["disabled"], &["enabled", "enhanced"]),
    rule("containerInstanceLongArnFormat", "enabled", &["enabled"], &["disabled"]),
    rule(DEFAULT_LOG_DRIVER_MODE, "non-blocking", &["blocking", "non-blocking"], &[]),
    rule("dualStackIPv6", "disabled", &["disabled"], &["enabled"]),
    rule("fargateEventWindows", "disabled", &["disabled"], &["enabled"]),
    rule("fargateFIPSMode", "disabled", &["disabled"], &["enabled"]),
    // Gantry retires no task by itself, so any time to wait before it does is kept.
    rule("fargateTaskRetirementWaitPeriod", "7", &["0", "7", "14"], &[]),
    Rule { is_managed: true, ..rule("guardDutyActivate", "off", &[], &["on", "off"]) },
    rule("serviceLongArnFormat", "enabled", &["enabled"], &["disabled"]),
    // Whoever can call at all may tag as well, so the extra permission that `on` asks for is always there.
    rule("tagResourceAuthorization", "off", &["on", "off"], &[]),
    rule("taskLongArnFormat", "enabled", &["enabled"], &["disabled"]),
];

/// The value that holds for a caller. `name` is one of AWS's settings.
pub fn effective(tables: &Tables, caller: &Caller, name: &str) -> String {
    let principal = principal_of(&caller.scope, &caller.principal_arn);
    match inherited(tables, &caller.scope, name, principal.as_deref()) {
        Some(row) => row.value.clone(),
        None => RULES.iter().find(|rule| rule.name == name).map_or_else(String::new, |rule| rule.default.to_owned()),
    }
}

fn get<'a>(tables: &'a Tables, scope: &Scope, name: &str, principal: Option<&str>) -> Option<&'a AccountSetting> {
    let key = (scope.clone(), name.to_owned(), principal.map(str::to_owned));
    tables.account_settings.get(&key).map(|row| &**row)
}

fn inherited<'a>(tables: &'a Tables, scope: &Scope, name: &str, principal: Option<&str>) -> Option<&'a AccountSetting> {
    get(tables, scope, name, principal).or_else(|| get(tables, scope, name, None))
}

fn root_arn(scope: &Scope) -> String {
    format!("arn:aws:iam::{}:root", scope.account)
}

/// `None` for the root, which is the account.
fn principal_of(scope: &Scope, arn: &str) -> Option<String> {
    (arn != root_arn(scope)).then(|| arn.to_owned())
}

/// PutAccountSetting: for the principal that is named, else for the caller.
pub fn put_account_setting(
    cx: &mut Cx<'_>,
    request: ecs::PutAccountSettingRequest,
) -> Result<ecs::PutAccountSettingResponse, Error> {
    let ecs::PutAccountSettingRequest { name, principal_arn, value } = request;
    let rule = find_rule(&name)?;
    let principal = named_principal(cx, principal_arn)?;
    let setting = put(cx, rule, principal, value)?;
    Ok(ecs::PutAccountSettingResponse { setting: Some(setting) })
}

/// PutAccountSettingDefault: for everybody who has no value of their own.
pub fn put_account_setting_default(
    cx: &mut Cx<'_>,
    request: ecs::PutAccountSettingDefaultRequest,
) -> Result<ecs::PutAccountSettingDefaultResponse, Error> {
    let ecs::PutAccountSettingDefaultRequest { name, value } = request;
    let setting = put(cx, find_rule(&name)?, None, value)?;
    Ok(ecs::PutAccountSettingDefaultResponse { setting: Some(setting) })
}

fn put(cx: &mut Cx<'_>, rule: &Rule, principal: Option<String>, value: String) -> Result<ecs::Setting, Error> {
    check_value(rule, &value)?;
    let row = AccountSetting { scope: cx.scope().clone(), name: rule.name.to_owned(), principal, value };
    cx.txn.put(row.clone());
    Ok(to_wire(cx.scope(), rule, &row.value, row.principal.as_deref()))
}

fn check_value(rule: &Rule, value: &str) -> Result<(), Error> {
    if rule.is_managed {
        return Err(Error::invalid_parameter(format!("The account setting '{}' is managed by AWS.", rule.name)));
    }
    if rule.built.contains(&value) {
        return Ok(());
    }
    if rule.unbuilt.contains(&value) {
        return Err(Error::client(format!(
            "The value '{value}' of the account setting '{}' is not supported by Gantry yet.",
            rule.name
        )));
    }
    let all: Vec<&str> = rule.built.iter().chain(rule.unbuilt).copied().collect();
    Err(Error::invalid_parameter(format!(
        "Invalid value '{value}' for the account setting '{}'. It should be one of [{}].",
        rule.name,
        all.join(",")
    )))
}

/// DeleteAccountSetting: answers the value that holds from now on.
pub fn delete_account_setting(
    cx: &mut Cx<'_>,
    request: ecs::DeleteAccountSettingRequest,
) -> Result<ecs::DeleteAccountSettingResponse, Error> {
    let ecs::DeleteAccountSettingRequest { name, principal_arn } = request;
    let rule = find_rule(&name)?;
    if rule.is_managed {
        return Err(Error::invalid_parameter(format!("The account setting '{}' is managed by AWS.", rule.name)));
    }
    let principal = named_principal(cx, principal_arn)?;
    cx.txn.remove::<AccountSetting>(&(cx.scope().clone(), rule.name.to_owned(), principal.clone()));
    let value = inherited(cx.txn, cx.scope(), rule.name, principal.as_deref()).map_or(rule.default, |row| &row.value);
    let setting = to_wire(cx.scope(), rule, value, principal.as_deref());
    Ok(ecs::DeleteAccountSettingResponse { setting: Some(setting) })
}

/// ListAccountSettings: what was set for a principal, or with `effectiveSettings` what holds for it.
pub fn list_account_settings(
    cx: &mut Cx<'_>,
    request: ecs::ListAccountSettingsRequest,
) -> Result<ecs::ListAccountSettingsResponse, Error> {
    let ecs::ListAccountSettingsRequest { effective_settings, max_results, name, next_token, principal_arn, value } =
        request;
    let limit = listing::limit(max_results, PAGE_MAX, PAGE_MAX)?;
    let after = listing::start(next_token.as_deref())?;
    let name = name.as_ref().map(find_rule).transpose()?.map(|rule| rule.name);
    let principal = named_principal(cx, principal_arn)?;
    let is_effective = effective_settings == Some(true);
    let wanted = RULES
        .iter()
        .filter(|rule| name.is_none_or(|name| name == rule.name))
        .filter(|rule| after.as_deref().is_none_or(|after| rule.name > after));
    let settings = wanted.filter_map(|rule| {
        let setting = match is_effective {
            true => effective_to_wire(cx, rule, principal.as_deref()),
            false => own_to_wire(cx, rule, principal.as_deref())?,
        };
        let matches = value.is_none() || setting.value == value;
        matches.then_some((rule.name, setting))
    });
    let (settings, next_token) = page::cut(settings, limit, |(name, _)| (*name).to_owned());
    let settings = settings.into_iter().map(|(_, setting)| setting).collect();
    Ok(ecs::ListAccountSettingsResponse { settings: Some(settings), next_token })
}

fn effective_to_wire(cx: &Cx<'_>, rule: &Rule, principal: Option<&str>) -> ecs::Setting {
    match inherited(cx.txn, cx.scope(), rule.name, principal) {
        Some(row) => to_wire(cx.scope(), rule, &row.value, row.principal.as_deref()),
        None => to_wire(cx.scope(), rule, rule.default, None),
    }
}

fn own_to_wire(cx: &Cx<'_>, rule: &Rule, principal: Option<&str>) -> Option<ecs::Setting> {
    let row = get(cx.txn, cx.scope(), rule.name, principal)?;
    Some(to_wire(cx.scope(), rule, &row.value, principal))
}

fn to_wire(scope: &Scope, rule: &Rule, value: &str, principal: Option<&str>) -> ecs::Setting {
    let kind = if rule.is_managed { ecs::SettingType::AwsManaged } else { ecs::SettingType::User };
    ecs::Setting {
        name: Some(rule.name.into()),
        value: Some(value.to_owned()),
        principal_arn: Some(principal.map_or_else(|| root_arn(scope), str::to_owned)),
        r#type: Some(kind),
    }
}

fn find_rule(name: &ecs::SettingName) -> Result<&'static Rule, Error> {
    let rule = RULES.iter().find(|rule| rule.name == name.as_str());
    rule.ok_or_else(|| {
        let names: Vec<&str> = RULES.iter().map(|rule| rule.name).collect();
        Error::invalid_parameter(format!("account setting name should be one of [{}]", names.join(",")))
    })
}

/// The principal that a request means: the one that it names, else the caller. `None` for the account.
fn named_principal(cx: &Cx<'_>, arn: Option<String>) -> Result<Option<String>, Error> {
    let Some(arn) = arn.filter(|arn| !arn.is_empty()) else {
        return Ok(principal_of(cx.scope(), &cx.caller.principal_arn));
    };
    let prefix = format!("arn:aws:iam::{}:", cx.scope().account);
    let is_principal = |who: &str| {
        let named = ["user/", "role/"].iter().find_map(|kind| who.strip_prefix(kind));
        who == "root" || named.is_some_and(|name| !name.is_empty())
    };
    if !arn.strip_prefix(&prefix).is_some_and(is_principal) {
        return Err(Error::invalid_parameter(
            "principalArn should be the ARN of a user, a role or the root of this account.",
        ));
    }
    Ok(principal_of(cx.scope(), &arn))
}

#[cfg(test)]
mod tests {
    use super::RULES;

    #[test]
    fn the_rules_are_in_order_and_every_default_holds() {
        assert!(RULES.is_sorted_by(|a, b| a.name < b.name));
        for rule in &RULES {
            assert!(rule.is_managed || rule.built.contains(&rule.default), "{}", rule.name);
        }
    }
}
