use std::sync::Arc;

use serde_json::{Value, json};

use crate::world::World;

const ROOT: &str = "arn:aws:iam::000000000000:root";
const USER: &str = "arn:aws:iam::000000000000:user/ada";

fn setting(name: &str, value: &str, principal: &str) -> Value {
    json!({"name": name, "value": value, "principalArn": principal, "type": "user"})
}

#[test]
fn an_own_value_beats_the_accounts_which_beats_the_built_in_one() {
    let name = "defaultLogDriverMode";
    let mut world = World::new();
    let effective = |world: &mut World| {
        let request = json!({"name": name, "effectiveSettings": true, "principalArn": USER});
        world.call("ListAccountSettings", request)["settings"].clone()
    };
    assert_eq!(effective(&mut world), json!([setting(name, "non-blocking", ROOT)]));

    let answer = world.call("PutAccountSettingDefault", json!({"name": name, "value": "blocking"}));
    assert_eq!(answer["setting"], setting(name, "blocking", ROOT));
    assert_eq!(effective(&mut world), json!([setting(name, "blocking", ROOT)]));

    let request = json!({"name": name, "value": "non-blocking", "principalArn": USER});
    assert_eq!(world.call("PutAccountSetting", request)["setting"], setting(name, "non-blocking", USER));
    assert_eq!(effective(&mut world), json!([setting(name, "non-blocking", USER)]));

    let answer = world.call("DeleteAccountSetting", json!({"name": name, "principalArn": USER}));
    assert_eq!(answer["setting"], setting(name, "blocking", USER), "the account's holds again");
    assert_eq!(effective(&mut world), json!([setting(name, "blocking", ROOT)]));
}

#[test]
fn the_root_stands_for_the_account() {
    let name = "fargateTaskRetirementWaitPeriod";
    let mut world = World::new();
    world.call("PutAccountSetting", json!({"name": name, "value": "14"}));
    let own = world.call("ListAccountSettings", json!({}));
    assert_eq!(own["settings"], json!([setting(name, "14", ROOT)]));

    world.caller.principal_arn = Arc::from(USER);
    assert_eq!(world.call("ListAccountSettings", json!({}))["settings"], json!([]), "the user has none of its own");
    let effective = world.call("ListAccountSettings", json!({"name": name, "effectiveSettings": true}));
    assert_eq!(effective["settings"], json!([setting(name, "14", ROOT)]));
    world.call("PutAccountSetting", json!({"name": name, "value": "0"}));
    let own = world.call("ListAccountSettings", json!({}));
    assert_eq!(own["settings"], json!([setting(name, "0", USER)]), "without a principal it is the caller's own");
}

#[test]
fn every_setting_is_listed_in_pages_with_the_value_that_holds() {
    let mut world = World::new();
    let first = world.call("ListAccountSettings", json!({"effectiveSettings": true}));
    assert_eq!(first["settings"].as_array().unwrap().len(), 10);
    let request = json!({"effectiveSettings": true, "nextToken": first["nextToken"]});
    let second = world.call("ListAccountSettings", request);
    assert_eq!(second["nextToken"], Value::Null);
    let all: Vec<&Value> =
        first["settings"].as_array().unwrap().iter().chain(second["settings"].as_array().unwrap()).collect();
    let pairs: Vec<(&str, &str)> =
        all.iter().map(|entry| (entry["name"].as_str().unwrap(), entry["value"].as_str().unwrap())).collect();
    assert_eq!(
        pairs,
        [
            ("awsvpcTrunking", "disabled"),
            ("containerInsights", "disabled"),
            ("containerInstanceLongArnFormat", "enabled"),
            ("defaultLogDriverMode", "non-blocking"),
            ("dualStackIPv6", "disabled"),
            ("fargateEventWindows", "disabled"),
            ("fargateFIPSMode", "disabled"),
            ("fargateTaskRetirementWaitPeriod", "7"),
            ("guardDutyActivate", "off"),
            ("serviceLongArnFormat", "enabled"),
            ("tagResourceAuthorization", "off"),
            ("taskLongArnFormat", "enabled"),
        ]
    );
    let guard_duty = all.iter().find(|entry| entry["name"] == "guardDutyActivate").unwrap();
    assert_eq!(guard_duty["type"], "aws_managed");
    let off = world.call("ListAccountSettings", json!({"effectiveSettings": true, "value": "off"}));
    assert_eq!(off["settings"].as_array().unwrap().len(), 2);
}

#[test]
fn settings_that_cannot_be_are_refused() {
    let names = "[awsvpcTrunking,containerInsights,containerInstanceLongArnFormat,defaultLogDriverMode,dualStackIPv6,\
                 fargateEventWindows,fargateFIPSMode,fargateTaskRetirementWaitPeriod,guardDutyActivate,\
                 serviceLongArnFormat,tagResourceAuthorization,taskLongArnFormat]";
    let unknown = format!("InvalidParameterException: account setting name should be one of {names}");
    let principal =
        "InvalidParameterException: principalArn should be the ARN of a user, a role or the root of this account.";
    let mut world = World::new();
    let cases: Vec<(Value, &str)> = vec![
        (json!({"name": "colour", "value": "blue"}), &unknown),
        (
            json!({"name": "awsvpcTrunking", "value": "enabled"}),
            "ClientException: The value 'enabled' of the account setting 'awsvpcTrunking' is not supported by Gantry yet.",
        ),
        (
            json!({"name": "taskLongArnFormat", "value": "disabled"}),
            "ClientException: The value 'disabled' of the account setting 'taskLongArnFormat' is not supported by Gantry \
             yet.",
        ),
        (
            json!({"name": "fargateTaskRetirementWaitPeriod", "value": "1"}),
            "InvalidParameterException: Invalid value '1' for the account setting 'fargateTaskRetirementWaitPeriod'. It \
             should be one of [0,7,14].",
        ),
        (
            json!({"name": "guardDutyActivate", "value": "on"}),
            "InvalidParameterException: The account setting 'guardDutyActivate' is managed by AWS.",
        ),
    ];
    world.check_refusals("PutAccountSetting", &cases);
    world.check_refusals("PutAccountSettingDefault", &cases);
    for arn in [
        "arn:aws:iam::111111111111:root",
        "ada",
        "arn:aws:iam::000000000000:user/",
        "arn:aws:iam::000000000000:group/a",
    ] {
        let request = json!({"name": "containerInsights", "value": "disabled", "principalArn": arn});
        assert_eq!(world.refused("PutAccountSetting", request.clone()), principal, "{arn}");
        assert_eq!(world.refused("DeleteAccountSetting", request.clone()), principal, "{arn}");
        assert_eq!(world.refused("ListAccountSettings", request), principal, "{arn}");
    }
    world.check_refusals(
        "ListAccountSettings",
        &[
            (json!({"maxResults": 11}), "InvalidParameterException: maxResults must be between 1 and 10."),
            (json!({"name": "colour"}), &unknown),
        ],
    );
    assert_eq!(world.call("ListAccountSettings", json!({}))["settings"], json!([]));
}
