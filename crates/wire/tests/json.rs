//! AWS JSON against generated shapes: what is read, what is refused, what is written.

use wire::constraint::{check, describe};
use wire::ecs::{LaunchType, RunTaskRequest, Task, TaskDefinition};
use wire::json;
use wire::value::Timestamp;

fn read(body: &str) -> Result<RunTaskRequest, String> {
    let mut request = RunTaskRequest::default();
    let missing = json::read(body.as_bytes(), &mut request).map_err(|error| error.to_string())?;
    match missing.first() {
        Some(missing) => Err(format!("missing {}", missing.path)),
        None => Ok(request),
    }
}

#[test]
fn a_request_is_read() {
    let request = read(
        r#"{"taskDefinition":"web:1","count":2.0,"launchType":"MARS","cluster":null,"unheardOf":{"a":[1]},
            "networkConfiguration":{"awsvpcConfiguration":{"subnets":["subnet-1"]}},
            "overrides":{"containerOverrides":[{"name":"c","environment":[{"name":"A","value":"ü"}]}]}}"#,
    )
    .unwrap();
    assert_eq!(request.task_definition, "web:1");
    assert_eq!(request.count, Some(2));
    assert_eq!(request.launch_type, Some(LaunchType::Unknown("MARS".into())));
    assert_eq!(request.cluster, None);
    let network = request.network_configuration.clone().unwrap().awsvpc_configuration.unwrap();
    assert_eq!(network.subnets, ["subnet-1"]);
    let shown = format!("{request:?}");
    assert!(shown.contains("web:1") && !shown.contains('ü'), "environments are sensitive: {shown}");
}

#[test]
fn what_does_not_fit_is_refused() {
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let many = format!(r#"{{"tags":[{}{{}}]}}"#, "{},".repeat(20_000));
    for (body, refusal) in [
        ("{}", "missing taskDefinition"),
        ("", "missing taskDefinition"),
        (r#"{"taskDefinition":null}"#, "missing taskDefinition"),
        (r#"{"taskDefinition":1}"#, "NUMBER_VALUE can not be converted to a String (at 'taskDefinition')"),
        (r#"{"count":"2"}"#, "STRING_VALUE can not be converted to an Integer (at 'count')"),
        (r#"{"count":2.5}"#, "NUMBER_VALUE can not be converted to an Integer (at 'count')"),
        (r#"{"count":4294967296}"#, "NUMBER_VALUE can not be converted to an Integer (at 'count')"),
        (r#"{"count":{}}"#, "Start of structure or map found where not expected. (at 'count')"),
        (r#"{"tags":[null]}"#, "null can not be converted to a structure (at 'tags.1.member')"),
        (r#"{"tags":[{"key":[]}]}"#, "Start of list found where not expected (at 'tags.1.member.key')"),
        (r#"[]"#, "Start of list found where not expected"),
        (r#"{"a"#, "Malformed JSON: EOF while parsing a string at line 1 column 3"),
        (r#"{"group":"\ud800"}"#, "Malformed JSON: unexpected end of hex escape at line 1 column 17"),
        (r#"{"count":1,"count":1}"#, "The member is given twice (at 'count')"),
        (r#"{} {}"#, "Malformed JSON: trailing characters at line 1 column 4"),
        ("null", "null can not be converted to a structure"),
        (&deep, "Start of list found where not expected"),
        (&many, "The request has too many elements (at 'tags.20001.member')"),
    ] {
        assert_eq!(read(body).unwrap_err(), refusal, "{body}");
    }
    let mut request = RunTaskRequest::default();
    assert!(json::read(b"{\"cluster\":\"\xff\"}", &mut request).is_err());
}

#[test]
fn constraints_are_refused_in_the_words_of_aws() {
    for (body, refusal) in [
        (r#"{"taskDefinition":"a","tags":[{"key":"k","value":"v"}]}"#, ""),
        (
            r#"{"taskDefinition":"a","tags":[{"key":"","value":"!"}]}"#,
            "2 validation errors detected: Value '' at 'tags.1.member.key' failed to satisfy constraint: Member must \
             have length greater than or equal to 1; Value '!' at 'tags.1.member.value' failed to satisfy constraint: \
             Member must satisfy regular expression pattern: ([\\p{L}\\p{Z}\\p{N}_.:/=+\\-@]*)",
        ),
        (
            r#"{"taskDefinition":"a","capacityProviderStrategy":[{"capacityProvider":"p","weight":1001}]}"#,
            "1 validation error detected: Value '1001' at 'capacityProviderStrategy.1.member.weight' failed to satisfy \
             constraint: Member must have value less than or equal to 1000",
        ),
    ] {
        let violations = check(&read(body).unwrap());
        let said = if violations.is_empty() { String::new() } else { describe(&violations) };
        assert_eq!(said, refusal, "{body}");
    }
}

#[test]
fn an_answer_is_written_without_what_is_absent() {
    let task = Task {
        task_arn: Some("arn \"1\"\n".into()),
        launch_type: Some(LaunchType::Fargate),
        created_at: Some(Timestamp(1_422_172_800_123)),
        version: Some(3),
        tags: Some(vec![]),
        ..Default::default()
    };
    let mut out = Vec::new();
    json::write(&task, &mut out);
    assert_eq!(
        String::from_utf8(out.clone()).unwrap(),
        r#"{"createdAt":1422172800.123,"launchType":"FARGATE","tags":[],"taskArn":"arn \"1\"\n","version":3}"#
    );
    let mut again = Task::default();
    json::read(&out, &mut again).unwrap();
    assert_eq!(again, task);
}

#[test]
fn an_untouched_definition_is_an_empty_object() {
    let mut out = Vec::new();
    json::write(&TaskDefinition::default(), &mut out);
    assert_eq!(out, b"{}");
}
