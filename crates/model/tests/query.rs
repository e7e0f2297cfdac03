//! The cluster query language: what each form means, what is refused and how, and that no text breaks the parser.

use std::collections::BTreeMap;

use model::query::{Comparison, Condition, EXPRESSION_LENGTH_MAX, InstanceView, NESTING_MAX, TextSubject, TextTest};
use model::{Attribute, Query, Timestamp};
use proptest::prelude::*;

fn attribute(name: &str, value: Option<&str>) -> Attribute {
    Attribute { name: name.to_owned(), value: value.map(str::to_owned) }
}

/// Asks about one fixed instance.
fn holds(expression: &str) -> bool {
    let attributes = [
        attribute("ecs.instance-type", Some("g2.xlarge")),
        attribute("ecs.availability-zone", Some("us-east-1a")),
        attribute("com.amazonaws.ecs.capability.privileged-container", None),
        attribute("note", Some("it's here")),
        attribute("path/a\\b", Some("x")),
    ];
    let task_groups = BTreeMap::from([("service:web".to_owned(), 2), ("family:job".to_owned(), 1)]);
    let instance = InstanceView {
        agent_connected: true,
        agent_version: "1.10.2",
        attributes: &attributes,
        ec2_instance_id: "i-0123456789abcdef0",
        registered_at: Timestamp(1_529_360_908_000),
        running_tasks: 3,
        task_groups: &task_groups,
    };
    expression.parse::<Query>().unwrap_or_else(|error| panic!("{expression}: {error}")).matches(&instance)
}

#[test]
fn expressions_mean_what_the_reference_says() {
    let true_ones = [
        "agentConnected == true",
        "agentConnected in [true]",
        "agentConnected =~ t.*",
        "agentConnected!=false",
        "agentVersion > 1.9",
        "agentVersion greater_than_equal 1.10.2",
        "agentVersion < 1.10.10",
        "agentVersion == '1.10.2'",
        "attribute:ecs.instance-type == g2.xlarge",
        "attribute:ecs.instance-type==g2.xlarge",
        "attribute:ecs.instance-type equals \"g2.xlarge\"",
        "attribute:ecs.instance-type =~ g2.*",
        "attribute:ecs.instance-type =~ (g2|t2)\\..*",
        "attribute:ecs.instance-type =~ [gt]2.{7}",
        "attribute:ecs.instance-type !~ 'g2'",
        "attribute:ecs.instance-type not_matches xlarge",
        "attribute:ecs.instance-type > a",
        "attribute:ecs.instance-type <= g2.xlarge",
        "attribute:ecs.availability-zone in [us-east-1a, us-east-1b]",
        "attribute:ecs.availability-zone in ['us-east-1a','x']",
        "attribute:ecs.availability-zone !in [us-east-1c]",
        "attribute:ecs.availability-zone not_in [us-east-1c, us-east-1d]",
        "attribute:com.amazonaws.ecs.capability.privileged-container exists",
        "attribute:gone !exists",
        "attribute:gone not_exists",
        "attribute:gone != anything",
        "attribute:note == \"it's here\"",
        "attribute:path/a\\b == x",
        "ec2InstanceId in [i-0123456789abcdef0]",
        "ec2InstanceId =~ i-[0-9a-f]{17}",
        "registeredAt >= 2018-06-18T22:28:28+00:00",
        "registeredAt == 2018-06-18T22:28:28Z",
        "registeredAt <= '2018-06-18T22:28:28'",
        "registeredAt > 2018-06-18",
        "registeredAt less_than 2018-06-19",
        "runningTasksCount == 3",
        "runningTasksCount less_than_equal 3",
        "runningTasksCount>2",
        "task:group == service:web",
        "task:group in [x, family:job]",
        "task:group =~ service:.*",
        "task:group != service:db",
        "not(task:group == database)",
        "!(task:group == database)",
        "not not agentConnected == true",
        "agentConnected == false or runningTasksCount == 3 and agentConnected == true",
        "agentConnected == true||runningTasksCount == 9",
        "(agentConnected == false or runningTasksCount == 3) && ! task:group in [y]",
        "agentConnected == true AND NOT agentConnected == false",
    ];
    for expression in true_ones {
        assert!(holds(expression), "{expression}");
    }
    let false_ones = [
        "agentConnected == false",
        "agentVersion >= 1.11",
        "agentVersion not_equals 1.10.2",
        "attribute:ecs.instance-type =~ g2",
        "attribute:ecs.instance-type =~ g2|xlarge",
        "attribute:gone == ''",
        "attribute:gone exists",
        "attribute:gone > a",
        "task:group != service:web",
        "task:group !in [family:job]",
        "task:group !~ service:.*",
        "runningTasksCount != 3",
        "registeredAt > 2018-06-19",
        "(agentConnected == false or runningTasksCount == 3) and agentConnected == false",
        "not agentConnected == true and agentConnected == true",
    ];
    for expression in false_ones {
        assert!(!holds(expression), "{expression}");
    }
}

#[test]
fn what_is_no_expression_is_refused_and_told_where() {
    let check = |expression: &str, expected: &str| {
        let error = expression.parse::<Query>().expect_err(expression);
        assert_eq!(error.to_string(), expected, "{expression}");
    };
    check("", "expected a subject at character 1, found the end");
    check("agentConnected", "expected an operator at character 15, found the end");
    check("agentConnected = true", "expected an operator at character 16, found '='");
    check("agentConnected is true", "expected an operator at character 16, found 'is'");
    check("agentConnected ==", "expected a value at character 18, found the end");
    check("agentConnected == true x", "expected 'and', 'or' or the end at character 24, found 'x'");
    check("(agentConnected == true", "expected 'and', 'or' or ')' at character 24, found the end");
    check("agentConnected == true)", "expected 'and', 'or' or the end at character 23, found ')'");
    check("agentConnected == 'true", "expected a closing quote after the text at character 19, found ''true'");
    check("attribute:a in x", "expected '[' at character 16, found 'x'");
    check("attribute:a in []", "expected a value at character 17, found ']'");
    check("attribute:a in [x y]", "expected ',' or ']' at character 19, found 'y]'");
    check("agentConnected == true and", "expected a subject at character 27, found the end");
    check("agentConnected > true", "'>' is not an operator of 'agentConnected'");
    check("task:group exists", "'exists' is not an operator of 'task:group'");
    check("runningTasksCount in [1]", "'in' is not an operator of 'runningTasksCount'");
    check("agentVersion =~ 1.*", "'=~' is not an operator of 'agentVersion'");
    check("runningTasksCount == many", "'many' is not a whole number, which 'runningTasksCount' is compared with");
    check("agentVersion == newest", "'newest' is not a version such as 1.20.0, which 'agentVersion' is compared with");
    check(
        "registeredAt > monday",
        "'monday' is not a time such as 2018-06-18T22:28:28Z or 2018-06-18, which 'registeredAt' is compared with",
    );
    let subjects = "is not a subject; those are agentConnected, agentVersion, attribute:<name>, ec2InstanceId, \
                    registeredAt, runningTasksCount and task:group";
    check("instanceType == a", &format!("'instanceType' {subjects}"));
    check("attribute: == a", &format!("'attribute:' {subjects}"));
    let refused = "is not a regular expression that can be used here";
    check("attribute:a =~ 'a)|(b'", &format!("'a)|(b' {refused}: error: unopened group"));
    check("attribute:a =~ [", &format!("'[' {refused}: error: unclosed character class"));
    check(
        "attribute:a =~ '(?=x)'",
        &format!("'(?=x)' {refused}: error: look-around, including look-ahead and look-behind, is not supported"),
    );
    check(
        "attribute:a =~ 'a{1000}{1000}'",
        &format!("'a{{1000}}{{1000}}' {refused}: Compiled regex exceeds size limit of 262144 bytes."),
    );
    let long = "é".repeat(EXPRESSION_LENGTH_MAX + 1);
    check(&long, "the expression has 2001 characters; at most 2000 are allowed");
    let deep = format!("{}agentConnected == true", "!".repeat(NESTING_MAX + 1));
    check(&deep, "the expression is nested deeper than 64");
}

#[test]
fn printing_nests_no_deeper_than_the_text_did() {
    let negations = format!("{}agentConnected == true", "!".repeat(NESTING_MAX));
    let joined = "agentConnected == true or agentConnected == true and ";
    let groups = format!("{}agentConnected == true{}", format!("{joined}(").repeat(20), ")".repeat(20));
    for text in [negations, groups] {
        let query = text.parse::<Query>().unwrap();
        assert_eq!(query.to_string().parse(), Ok(query));
    }
}

fn comparison() -> impl Strategy<Value = Comparison> {
    prop::sample::select(vec![
        Comparison::Equal,
        Comparison::Greater,
        Comparison::GreaterOrEqual,
        Comparison::Less,
        Comparison::LessOrEqual,
    ])
}

fn condition() -> impl Strategy<Value = Query> {
    let value = "[^'\"]{0,8}|[a-z']{1,6}|[a-z\"]{1,6}";
    let text = prop_oneof![
        Just(TextTest::Exists),
        (comparison(), value).prop_map(|(comparison, value)| TextTest::Compare(comparison, value)),
        prop::collection::vec(value, 1..4).prop_map(TextTest::OneOf),
    ];
    let is_order = |test: &TextTest| matches!(test, TextTest::Compare(c, _) if *c != Comparison::Equal);
    prop_oneof![
        ("[a-z][a-z0-9_./\\\\-]{0,8}", text, any::<bool>()).prop_map(move |(name, test, negated)| {
            let negated = negated && !is_order(&test);
            Query::Is(Condition::Text { subject: TextSubject::Attribute(name), test, negated })
        }),
        (comparison(), any::<u32>())
            .prop_map(|(comparison, value)| Query::Is(Condition::RunningTasksCount { comparison, value })),
    ]
}

fn query() -> impl Strategy<Value = Query> {
    condition().prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(Query::Any),
            prop::collection::vec(inner.clone(), 2..4).prop_map(Query::All),
            inner.prop_map(|part| Query::Not(Box::new(part))),
        ]
    })
}

proptest! {
    #[test]
    fn the_parser_takes_any_text(text in "\\PC{0,200}") {
        let _ = text.parse::<Query>();
    }

    #[test]
    fn the_parser_takes_any_words_of_the_language(
        words in prop::collection::vec(
            prop::sample::select(vec![
                "(", ")", "[", "]", ",", "!", "not", "and", "or", "&&", "||", "==", "!=", "=~", "in", "exists", "'",
                "\"", "agentConnected", "attribute:a", "task:group", "registeredAt", "true", "[a", "(b", "é", " ",
            ]),
            0..40,
        )
    ) {
        if let Ok(query) = words.concat().parse::<Query>() {
            prop_assert_eq!(query.to_string().parse::<Query>(), Ok(query));
        }
    }

    #[test]
    fn what_is_printed_parses_to_the_same(query in query()) {
        let printed = query.to_string();
        prop_assume!(printed.chars().count() <= EXPRESSION_LENGTH_MAX);
        prop_assert_eq!(printed.parse::<Query>(), Ok(query));
    }
}
