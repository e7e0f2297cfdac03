//! Whole requests and whole answers, as the HTTP front sees them.

use http::{HeaderMap, HeaderName, HeaderValue};
use wire::error::Failure;
use wire::protocol::{Answer, Call, Protocol, Routed, route};
use wire::service::{self, Request};
use wire::{ec2, ecs, logs, sts};

const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";
const ECS: &str = "AmazonEC2ContainerServiceV20141113";

#[derive(Default)]
struct Given {
    scope: Option<&'static str>,
    target: Option<String>,
    content_type: Option<&'static str>,
    header: Option<(&'static str, &'static str)>,
    path: Option<&'static str>,
    query: &'static str,
    body: &'static str,
}

impl Given {
    fn json(service: &'static str, target: &str, body: &'static str) -> Given {
        let content_type = Some("application/x-amz-json-1.1");
        Given { scope: Some(service), target: Some(target.to_owned()), content_type, body, ..Default::default() }
    }

    fn form(service: &'static str, body: &'static str) -> Given {
        Given { scope: Some(service), content_type: Some(FORM), body, ..Default::default() }
    }

    fn rpc(protocol: &'static str, path: &'static str) -> Given {
        Given { header: Some(("smithy-protocol", protocol)), path: Some(path), ..Default::default() }
    }

    fn with<T>(&self, then: impl FnOnce(&Call<'_>) -> T) -> T {
        let mut headers = HeaderMap::new();
        let target = self.target.as_deref().map(|target| ("x-amz-target", target));
        let content_type = self.content_type.map(|content_type| ("content-type", content_type));
        for (name, value) in [target, content_type, self.header].into_iter().flatten() {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        then(&Call {
            path: self.path.unwrap_or("/"),
            query: self.query,
            headers: &headers,
            body: self.body.as_bytes(),
            scope: self.scope,
        })
    }

    /// `service:Operation protocol`, or the refusal.
    fn routed(&self) -> String {
        self.with(|call| match route(call) {
            Ok(Routed { service, operation, protocol }) => format!("{}:{} {protocol:?}", service.name, operation.name),
            Err(refused) => {
                assert!((400..500).contains(&refused.failure.status), "SDKs repeat 5xx for minutes");
                format!("{} in {:?}", refused.failure.code, refused.protocol)
            }
        })
    }

    fn decoded(&self) -> Result<Request, Failure> {
        self.with(|call| route(call).expect("routed").decode(call))
    }
}

#[test]
fn requests_are_routed() {
    let target = |target: &str| Some(target.to_owned());
    for (given, expected) in [
        (Given::json("ecs", &format!("{ECS}.RunTask"), "{}"), "ecs:RunTask Json11"),
        (Given { scope: None, ..Given::json("ecs", &format!("{ECS}.RunTask"), "{}") }, "ecs:RunTask Json11"),
        (
            Given {
                content_type: Some("application/x-amz-json-1.0"),
                ..Given::json("logs", "Logs_20140328.PutLogEvents", "")
            },
            "logs:PutLogEvents Json10",
        ),
        (Given::json("logs", "Logs_20140328.StartQuery", "{}"), "UnsupportedOperationException in Json11"),
        (Given::json("ecs", &format!("{ECS}.RunTasks"), "{}"), "UnknownOperationException in Json11"),
        (Given::json("ecs", "RunTask", "{}"), "UnknownOperationException in Json11"),
        (Given::json("ecs", "", "{}"), "UnknownOperationException in Json11"),
        // A scope for one service does not open another one.
        (Given::json("ecs", "Logs_20140328.PutLogEvents", "{}"), "UnknownOperationException in Json11"),
        (
            Given::json("ecr", "AmazonEC2ContainerRegistry_V20150921.DescribeImages", "{}"),
            "UnsupportedOperationException in Json11",
        ),
        (Given::form("sts", "Action=GetCallerIdentity&Version=2011-06-15"), "sts:GetCallerIdentity Query"),
        (
            Given { scope: None, ..Given::form("", "Action=GetCallerIdentity&Version=2011-06-15") },
            "sts:GetCallerIdentity Query",
        ),
        (
            Given { query: "Action=GetCallerIdentity&Version=2011-06-15", ..Default::default() },
            "sts:GetCallerIdentity Query",
        ),
        (Given { query: "Action=DescribeVpcs&Version=2016-11-15", ..Default::default() }, "ec2:DescribeVpcs Ec2"),
        (Given { query: "Action=DescribeVpcs", ..Default::default() }, "ec2:DescribeVpcs Ec2"),
        (Given { query: "Action=DescribeVpcs&Version=1999-01-01", ..Default::default() }, "InvalidAction in Query"),
        (Given::form("sts", "Action=AssumeRole&Version=2011-06-15"), "UnsupportedOperation in Query"),
        (Given::form("sts", "Action=Nothing&Version=2011-06-15"), "InvalidAction in Query"),
        (Given::form("ec2", "Action=RunInstances&Version=2016-11-15"), "UnsupportedOperation in Ec2"),
        (Given::form("ecs", "Action=RunTask&Version=2014-11-13"), "InvalidAction in Query"),
        (Given::form("ec2", "Version=2016-11-15"), "MissingParameter in Ec2"),
        (Given::form("sts", ""), "MissingAction in Query"),
        (Given::form("ec2", "Action=%ff"), "InvalidParameterValue in Ec2"),
        (Given { scope: Some("s3"), path: Some("/bucket"), ..Default::default() }, "UnsupportedOperation in Query"),
        (
            Given { scope: Some("elasticfilesystem"), path: Some("/2015-02-01/file-systems"), ..Default::default() },
            "UnsupportedOperationException in Json11",
        ),
        (Given { scope: Some("nowhere"), ..Default::default() }, "UnknownOperationException in Json11"),
        (Given::default(), "UnknownOperationException in Json11"),
        (
            Given {
                header: Some(("smithy-protocol", "rpc-v2-cbor")),
                path: Some("/service/GraniteServiceVersion20100801/operation/PutMetricData"),
                ..Default::default()
            },
            "UnsupportedOperationException in RpcV2Cbor",
        ),
        (
            Given::rpc("rpc-v2-cbor", "/service/Route53AutoNaming_v20170314/operation/GetService"),
            "servicediscovery:GetService RpcV2Cbor",
        ),
        (
            Given::rpc("rpc-v2-cbor", "/service/Route53AutoNaming_v20170314/operation/Get"),
            "UnknownOperationException in RpcV2Cbor",
        ),
        (
            Given::rpc("rpc-v2-json", "/service/Route53AutoNaming_v20170314/operation/GetService"),
            "UnsupportedOperationException in RpcV2Cbor",
        ),
        (
            Given::rpc("rpc-v2-cbor", "/service/AmazonEC2ContainerServiceV20141113/operation/ListClusters"),
            "UnsupportedOperationException in RpcV2Cbor",
        ),
        (Given::rpc("rpc-v2-cbor", "/service/Nobody/operation/ListClusters"), "UnknownOperationException in RpcV2Cbor"),
        (Given { target: target("\u{fc}.x"), ..Default::default() }, "UnknownOperationException in Json11"),
    ] {
        let shown = format!("{:?} {:?} {} {}", given.scope, given.target, given.query, given.body);
        assert_eq!(given.routed(), expected, "{shown}");
    }
}

#[test]
fn requests_are_decoded() {
    let run = Given::json("ecs", &format!("{ECS}.RunTask"), r#"{"taskDefinition":"web","count":2}"#);
    let Ok(Request::Ecs(ecs::Request::RunTask(request))) = run.decoded() else { panic!("not RunTask") };
    assert_eq!((request.task_definition.as_str(), request.count), ("web", Some(2)));

    let vpcs = Given::form(
        "ec2",
        "Action=DescribeVpcs&Version=2016-11-15&VpcId.2=vpc-2&VpcId.1=vpc-1&VpcId.1000000000=vpc-3\
         &Filter.1.Name=tag%3Aname&Filter.1.Value.1=a+b&DryRun=false&MaxResults=7&Other.x=1",
    );
    let Ok(Request::Ec2(ec2::Request::DescribeVpcs(request))) = vpcs.decoded() else { panic!("not DescribeVpcs") };
    assert_eq!(request.vpc_ids.unwrap(), ["vpc-1", "vpc-2", "vpc-3"]);
    let filter = &request.filters.unwrap()[0];
    assert_eq!((filter.name.as_deref(), filter.values.as_deref()), (Some("tag:name"), Some(&["a b".to_owned()][..])));
    assert_eq!((request.dry_run, request.max_results), (Some(false), Some(7)));
}

#[test]
fn what_the_model_forbids_is_refused() {
    for (given, code, message) in [
        (
            Given::json("logs", "Logs_20140328.CreateLogGroup", "{}"),
            "InvalidParameterException",
            "1 validation error detected: Value null at 'logGroupName' failed to satisfy constraint: Member must not be null",
        ),
        (
            Given::json("logs", "Logs_20140328.CreateLogGroup", r#"{"logGroupName":"a b"}"#),
            "InvalidParameterException",
            "1 validation error detected: Value 'a b' at 'logGroupName' failed to satisfy constraint: Member must \
             satisfy regular expression pattern: [\\.\\-_/#A-Za-z0-9]+",
        ),
        (
            Given::json("logs", "Logs_20140328.CreateLogGroup", r#"{"logGroupName":7}"#),
            "SerializationException",
            "NUMBER_VALUE can not be converted to a String (at 'logGroupName')",
        ),
        (
            Given::json("ecs", &format!("{ECS}.ExecuteCommand"), r#"{"command":"ls","task":"t"}"#),
            "InvalidParameterException",
            "1 validation error detected: Value null at 'interactive' failed to satisfy constraint: Member must not be null",
        ),
        (
            Given::form("ec2", "Action=DescribeVpcs&Version=2016-11-15&MaxResults=4"),
            "InvalidParameterValue",
            "1 validation error detected: Value '4' at 'MaxResults' failed to satisfy constraint: Member must have \
             value greater than or equal to 5",
        ),
        (
            Given::form("ec2", "Action=DescribeVpcs&Version=2016-11-15&MaxResults=many"),
            "InvalidParameterValue",
            "'many' is not an Integer (at 'MaxResults')",
        ),
        (
            Given::form("ec2", "Action=DescribeVpcs&Version=2016-11-15&VpcId.first=vpc-1"),
            "InvalidParameterValue",
            "'first' is not a position in a list (at 'VpcIds')",
        ),
    ] {
        let failure = given.decoded().expect_err(given.body);
        assert_eq!((failure.status, failure.code.as_str(), failure.message.as_str()), (400, code, message));
    }
    // ECS says in its own words what is wrong with an empty list or string.
    assert!(Given::json("ecs", &format!("{ECS}.DescribeTasks"), "{}").decoded().is_ok());
}

fn routed(service: &'static service::Service, operation: &str, protocol: Protocol) -> Routed {
    Routed { service, operation: service.operation(operation).unwrap(), protocol }
}

fn shown(answer: Answer) -> String {
    let headers: Vec<String> =
        answer.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
    format!("{} {}\n{}", answer.status, headers.join(", "), String::from_utf8(answer.body).unwrap())
}

#[test]
fn answers_are_spelled_by_protocol() {
    let ecs = routed(&service::ECS, "ListClusters", Protocol::Json11);
    let response = ecs::ListClustersResponse { cluster_arns: Some(vec!["a".into()]), ..Default::default() };
    assert_eq!(
        shown(ecs.answer(&response, "id-1")),
        "200 content-type: application/x-amz-json-1.1, x-amzn-requestid: id-1\n{\"clusterArns\":[\"a\"]}"
    );

    let sts = routed(&service::STS, "GetCallerIdentity", Protocol::Query);
    let response = sts::GetCallerIdentityResponse { arn: Some("a<b".into()), ..Default::default() };
    assert_eq!(
        shown(sts.answer(&response, "id-2")),
        "200 content-type: text/xml, x-amzn-requestid: id-2\n<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
         <GetCallerIdentityResult><Arn>a&lt;b</Arn></GetCallerIdentityResult>\
         <ResponseMetadata><RequestId>id-2</RequestId></ResponseMetadata></GetCallerIdentityResponse>"
    );

    let ec2 = routed(&service::EC2, "DescribeVpcs", Protocol::Ec2);
    let vpc = ec2::Vpc { vpc_id: Some("vpc-\u{1}".into()), is_default: Some(true), ..Default::default() };
    let response = ec2::DescribeVpcsResult { vpcs: Some(vec![vpc]), ..Default::default() };
    assert_eq!(
        shown(ec2.answer(&response, "id-3")),
        "200 content-type: text/xml;charset=UTF-8, x-amzn-requestid: id-3\n<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <DescribeVpcsResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\"><requestId>id-3</requestId>\
         <vpcSet><item><isDefault>true</isDefault><vpcId>vpc-\u{fffd}</vpcId></item></vpcSet></DescribeVpcsResponse>"
    );
}

#[test]
fn failures_are_spelled_by_protocol() {
    let ecs = routed(&service::ECS, "RunTask", Protocol::Json11);
    let conflict = ecs::ConflictException { message: Some("taken".into()), resource_ids: Some(vec!["arn".into()]) };
    let logs = routed(&service::LOGS, "PutLogEvents", Protocol::Json11);
    let sts = routed(&service::STS, "GetCallerIdentity", Protocol::Query);
    let ec2 = routed(&service::EC2, "DescribeVpcs", Protocol::Ec2);
    for (routed, failure, status, body) in [
        (
            ecs,
            ecs::Error::cluster_not_found("Cluster not found.").into(),
            400,
            r#"{"__type":"ClusterNotFoundException","message":"Cluster not found."}"#,
        ),
        (
            ecs,
            ecs::Error::ConflictException(conflict).into(),
            400,
            r#"{"__type":"ConflictException","message":"taken","resourceIds":["arn"]}"#,
        ),
        (ecs, ecs::Error::server("no").into(), 500, r#"{"__type":"ServerException","message":"no"}"#),
        (
            logs,
            logs::Error::resource_not_found("gone").into(),
            400,
            r#"{"__type":"ResourceNotFoundException","message":"gone"}"#,
        ),
        (logs, logs.throttled(), 400, r#"{"__type":"ThrottlingException","message":"Rate exceeded"}"#),
        (
            sts,
            sts::Error::other(403, "AccessDenied", "no & no").into(),
            403,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>\
             <Code>AccessDenied</Code><Message>no &amp; no</Message></Error><RequestId>id</RequestId></ErrorResponse>",
        ),
        (
            ec2,
            ec2::Error::other(400, "InvalidVpcID.NotFound", "The vpc ID 'vpc-1' does not exist").into(),
            400,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <Response><Errors><Error><Code>InvalidVpcID.NotFound</Code>\
             <Message>The vpc ID 'vpc-1' does not exist</Message></Error></Errors><RequestID>id</RequestID></Response>",
        ),
    ] {
        let failure: Failure = failure;
        let answer = routed.refuse(&failure, "id");
        assert_eq!((answer.status, String::from_utf8(answer.body).unwrap().as_str()), (status, body));
    }
}

#[test]
fn every_operation_is_known_and_listed_once() {
    for service in service::BUILT {
        let names: Vec<&str> = service.operations.iter().map(|operation| operation.name).collect();
        assert!(names.is_sorted(), "{}: operations are searched by name", service.name);
        for name in names {
            assert!(Request::empty(service, name).is_some(), "{name} has no request");
            assert!(!service.other_operations.contains(&name));
        }
    }
    let count = |service: &service::Service| (service.operations.len(), service.other_operations.len());
    assert_eq!(count(&service::ECS), (88, 0));
    assert_eq!(count(&service::LOGS), (17, 101));
    assert_eq!(count(&service::STS), (1, 10));
    assert_eq!(count(&service::EC2), (64, 766));
}

#[test]
fn services_are_what_their_models_say() {
    let models = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    for service in service::BUILT {
        let model = std::fs::read(models.join(format!("{}.json", service.name))).unwrap();
        let model: serde_json::Value = serde_json::from_slice(&model).unwrap();
        let metadata = &model["metadata"];
        let text = |key: &str| metadata[key].as_str();
        let trimmed = |uri: Option<&str>| uri.map(|uri| uri.trim_end_matches('/').to_owned());
        assert_eq!(text("apiVersion"), Some(service.api_version));
        assert_eq!(text("signingName").or(text("endpointPrefix")), Some(service.signing_name));
        assert_eq!(text("targetPrefix"), service.target_prefix);
        assert_eq!(trimmed(text("xmlNamespace")), trimmed(service.xml_namespace));
        let protocol = match text("protocol") {
            Some("json") => Protocol::Json11,
            Some("smithy-rpc-v2-cbor") => Protocol::RpcV2Cbor,
            Some("query") => Protocol::Query,
            Some("ec2") => Protocol::Ec2,
            other => panic!("{other:?} is not built"),
        };
        assert!(service.protocols.contains(&protocol), "{}", service.name);
    }
}
