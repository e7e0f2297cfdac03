"""Account settings: own, default, built in."""

import pytest
from checks import pages_join_to_whole, refused

NAME = "defaultLogDriverMode"


@pytest.fixture
def user(sts):
    return f"arn:aws:iam::{sts.get_caller_identity()['Account']}:user/conformance"


@pytest.fixture
def untouched(ecs, user):
    yield
    ecs.delete_account_setting(name=NAME)
    ecs.delete_account_setting(name=NAME, principalArn=user)


def effective(ecs, user):
    (setting,) = ecs.list_account_settings(name=NAME, principalArn=user, effectiveSettings=True)["settings"]
    return setting["value"]


def test_own_beats_default_beats_built_in(ecs, endpoint, user, untouched):
    assert effective(ecs, user) == "non-blocking"
    endpoint.aws("ecs", "put-account-setting-default", "--name", NAME, "--value", "blocking")
    assert effective(ecs, user) == "blocking"
    setting = ecs.put_account_setting(name=NAME, value="non-blocking", principalArn=user)["setting"]
    assert setting == {"name": NAME, "value": "non-blocking", "principalArn": user, "type": "user"}
    assert effective(ecs, user) == "non-blocking"
    assert ecs.delete_account_setting(name=NAME, principalArn=user)["setting"]["value"] == "blocking"
    assert effective(ecs, user) == "blocking"


def test_all_settings_in_pages(ecs):
    settings = pages_join_to_whole(ecs, "list_account_settings", "settings", 5, effectiveSettings=True)
    values = {setting["name"]: setting["value"] for setting in settings}
    assert values["taskLongArnFormat"] == values["serviceLongArnFormat"] == "enabled"
    assert values["containerInsights"] == "disabled"
    assert values["fargateTaskRetirementWaitPeriod"] == "7"


def test_what_cannot_be_set(ecs):
    with refused("InvalidParameterException", "should be one of", 400):
        ecs.put_account_setting(name=NAME, value="sometimes")
    with refused("ClientException", "not supported by Gantry yet"):
        ecs.put_account_setting_default(name="awsvpcTrunking", value="enabled")
    with refused("InvalidParameterException", "managed by AWS"):
        ecs.put_account_setting(name="guardDutyActivate", value="on")
    with refused("InvalidParameterException", "account setting name should be one of"):
        ecs.put_account_setting(name="colour", value="blue")
    with refused("InvalidParameterException", "principalArn"):
        ecs.put_account_setting(name=NAME, value="blocking", principalArn="arn:aws:iam::999999999999:root")
