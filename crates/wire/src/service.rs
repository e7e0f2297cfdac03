//! The services that one endpoint answers for, and what is particular to each.
//!
//! Built ones carry their operations; the others are known by name, so that a call to one of them is told that it is
//! not built instead of that it does not exist.

use crate::protocol::Protocol;
use crate::schema::Operation;
use crate::value::Structure;
use crate::{acm, ec2, ecs, elbv2, logs, servicediscovery, sts};

/// One AWS service.
#[derive(Debug)]
pub struct Service {
    /// As in `aws <name>`.
    pub name: &'static str,
    /// The service in a credential scope.
    pub signing_name: &'static str,
    pub api_version: &'static str,
    /// What stands before the dot in `X-Amz-Target`.
    pub target_prefix: Option<&'static str>,
    pub xml_namespace: Option<&'static str>,
    /// What its clients may speak, of the protocols that are built.
    pub protocols: &'static [Protocol],
    /// Operations with generated shapes, by name.
    pub operations: &'static [Operation],
    /// Names of its other operations; empty when the service is not built at all.
    pub other_operations: &'static [&'static str],
    /// JSON answers carry the Query protocol's error code as well.
    pub query_compatible: bool,
    pub words: Words,
}

/// How a service says what every service has to say.
#[derive(Debug, Clone, Copy)]
pub struct Words {
    /// The code for a violated constraint.
    pub invalid: &'static str,
    /// The code for a missing required member.
    pub missing: &'static str,
    /// Its operations refuse empty strings and lists in words of their own, so a missing one is left to them.
    pub missing_reads_as_empty: bool,
    /// Status and code when too much is asked.
    pub throttled: (u16, &'static str),
    /// The code of a fault of ours; the status is 500.
    pub internal: &'static str,
}

const JSON_WORDS: Words = Words {
    invalid: "ValidationException",
    missing: "ValidationException",
    missing_reads_as_empty: false,
    throttled: (400, "ThrottlingException"),
    internal: "InternalFailure",
};

const QUERY_WORDS: Words = Words {
    invalid: "ValidationError",
    missing: "ValidationError",
    missing_reads_as_empty: false,
    throttled: (400, "Throttling"),
    internal: "InternalFailure",
};

const EC2_WORDS: Words = Words {
    invalid: "InvalidParameterValue",
    missing: "MissingParameter",
    missing_reads_as_empty: false,
    throttled: (503, "RequestLimitExceeded"),
    internal: "InternalError",
};

const ECS_WORDS: Words = Words {
    invalid: "InvalidParameterException",
    missing: "InvalidParameterException",
    missing_reads_as_empty: true,
    internal: "ServerException",
    ..JSON_WORDS
};

const LOGS_WORDS: Words = Words {
    invalid: "InvalidParameterException",
    missing: "InvalidParameterException",
    internal: "ServiceUnavailableException",
    ..JSON_WORDS
};

const SERVICEDISCOVERY_WORDS: Words =
    Words { invalid: "InvalidInput", missing: "InvalidInput", throttled: (400, "RequestLimitExceeded"), ..JSON_WORDS };

const JSON: &[Protocol] = &[Protocol::Json11, Protocol::Json10];
const QUERY: &[Protocol] = &[Protocol::Query];

pub static ECS: Service = Service {
    operations: ecs::schema::OPERATIONS,
    other_operations: ecs::schema::OTHER_OPERATIONS,
    words: ECS_WORDS,
    ..json("ecs", "ecs", "2014-11-13", "AmazonEC2ContainerServiceV20141113")
};

pub static LOGS: Service = Service {
    operations: logs::schema::OPERATIONS,
    other_operations: logs::schema::OTHER_OPERATIONS,
    words: LOGS_WORDS,
    ..json("logs", "logs", "2014-03-28", "Logs_20140328")
};

pub static STS: Service = Service {
    operations: sts::schema::OPERATIONS,
    other_operations: sts::schema::OTHER_OPERATIONS,
    xml_namespace: Some("https://sts.amazonaws.com/doc/2011-06-15/"),
    ..query("sts", "sts", "2011-06-15")
};

pub static EC2: Service = Service {
    operations: ec2::schema::OPERATIONS,
    other_operations: ec2::schema::OTHER_OPERATIONS,
    xml_namespace: Some("http://ec2.amazonaws.com/doc/2016-11-15/"),
    protocols: &[Protocol::Ec2],
    words: EC2_WORDS,
    ..query("ec2", "ec2", "2016-11-15")
};

pub static ELBV2: Service = Service {
    operations: elbv2::schema::OPERATIONS,
    other_operations: elbv2::schema::OTHER_OPERATIONS,
    xml_namespace: Some("http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/"),
    ..query("elbv2", "elasticloadbalancing", "2015-12-01")
};

pub static ACM: Service = Service {
    operations: acm::schema::OPERATIONS,
    other_operations: acm::schema::OTHER_OPERATIONS,
    ..json("acm", "acm", "2015-12-08", "CertificateManager")
};

pub static SERVICEDISCOVERY: Service = Service {
    operations: servicediscovery::schema::OPERATIONS,
    other_operations: servicediscovery::schema::OTHER_OPERATIONS,
    words: SERVICEDISCOVERY_WORDS,
    protocols: &[Protocol::Json11, Protocol::Json10, Protocol::RpcV2Cbor],
    ..json("servicediscovery", "servicediscovery", "2017-03-14", "Route53AutoNaming_v20170314")
};

/// Services that are known but not built.
static LATER: [Service; 20] = [
    json("application-autoscaling", "application-autoscaling", "2016-02-06", "AnyScaleFrontendService"),
    json("ecr", "ecr", "2015-09-21", "AmazonEC2ContainerRegistry_V20150921"),
    json("secretsmanager", "secretsmanager", "2017-10-17", "secretsmanager"),
    json("cloudwatch", "monitoring", "2010-08-01", "GraniteServiceVersion20100801"),
    json("events", "events", "2015-10-07", "AWSEvents"),
    query("iam", "iam", "2010-05-08"),
    json("ssm", "ssm", "2014-11-06", "AmazonSSM"),
    query("autoscaling", "autoscaling", "2011-01-01"),
    query("sns", "sns", "2010-03-31"),
    json("sqs", "sqs", "2012-11-05", "AmazonSQS"),
    json("stepfunctions", "states", "2016-11-23", "AWSStepFunctions"),
    rest("efs", "elasticfilesystem", "2015-02-01", Protocol::Json11),
    rest("batch", "batch", "2016-08-10", Protocol::Json11),
    json("codedeploy", "codedeploy", "2014-10-06", "CodeDeploy_20141006"),
    rest("s3", "s3", "2006-03-01", Protocol::Query),
    json("kms", "kms", "2014-11-01", "TrentService"),
    query("cloudformation", "cloudformation", "2010-05-15"),
    rest("scheduler", "scheduler", "2021-06-30", Protocol::Json11),
    json("resourcegroupstaggingapi", "tagging", "2017-01-26", "ResourceGroupsTaggingAPI_20170126"),
    rest("route53", "route53", "2013-04-01", Protocol::Query),
];

/// The services with operations.
pub static BUILT: [&Service; 7] = [&ECS, &LOGS, &STS, &EC2, &ELBV2, &ACM, &SERVICEDISCOVERY];

/// Every service that is known, built ones first.
pub fn all() -> impl Iterator<Item = &'static Service> {
    BUILT.into_iter().chain(LATER.iter())
}

impl Service {
    pub fn operation(&self, name: &str) -> Option<&'static Operation> {
        let index = self.operations.binary_search_by(|operation| operation.name.cmp(name)).ok()?;
        Some(&self.operations[index])
    }

    /// Whether AWS's service has the operation; unknown for services that are not built.
    pub fn knows(&self, operation: &str) -> bool {
        self.operation(operation).is_some() || self.other_operations.contains(&operation)
    }

    pub fn is_built(&self) -> bool {
        !self.operations.is_empty()
    }
}

const fn json(name: &'static str, signing: &'static str, version: &'static str, target: &'static str) -> Service {
    Service { target_prefix: Some(target), ..service(name, signing, version, JSON, JSON_WORDS) }
}

const fn query(name: &'static str, signing: &'static str, version: &'static str) -> Service {
    service(name, signing, version, QUERY, QUERY_WORDS)
}

/// A REST service, which is refused in the built protocol whose errors its clients can best read.
const fn rest(name: &'static str, signing: &'static str, version: &'static str, refused_in: Protocol) -> Service {
    let protocols = match refused_in {
        Protocol::Json10 | Protocol::Json11 | Protocol::RpcV2Cbor => JSON,
        Protocol::Query | Protocol::Ec2 => QUERY,
    };
    service(name, signing, version, protocols, JSON_WORDS)
}

const fn service(
    name: &'static str,
    signing_name: &'static str,
    api_version: &'static str,
    protocols: &'static [Protocol],
    words: Words,
) -> Service {
    Service {
        name,
        signing_name,
        api_version,
        target_prefix: None,
        xml_namespace: None,
        protocols,
        operations: &[],
        other_operations: &[],
        query_compatible: false,
        words,
    }
}

/// A decoded request to any built service.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::large_enum_variant)]
pub enum Request {
    Ecs(ecs::Request),
    Logs(logs::Request),
    Sts(sts::Request),
    Ec2(ec2::Request),
    Elbv2(elbv2::Request),
    Acm(acm::Request),
    Servicediscovery(servicediscovery::Request),
}

impl Request {
    /// An empty request for an operation that has shapes.
    pub fn empty(service: &Service, operation: &str) -> Option<Request> {
        match service.name {
            "ecs" => ecs::Request::empty(operation).map(Request::Ecs),
            "logs" => logs::Request::empty(operation).map(Request::Logs),
            "sts" => sts::Request::empty(operation).map(Request::Sts),
            "ec2" => ec2::Request::empty(operation).map(Request::Ec2),
            "elbv2" => elbv2::Request::empty(operation).map(Request::Elbv2),
            "acm" => acm::Request::empty(operation).map(Request::Acm),
            "servicediscovery" => servicediscovery::Request::empty(operation).map(Request::Servicediscovery),
            _ => None,
        }
    }

    pub fn structure(&self) -> &dyn Structure {
        match self {
            Request::Ecs(request) => request.structure(),
            Request::Logs(request) => request.structure(),
            Request::Sts(request) => request.structure(),
            Request::Ec2(request) => request.structure(),
            Request::Elbv2(request) => request.structure(),
            Request::Acm(request) => request.structure(),
            Request::Servicediscovery(request) => request.structure(),
        }
    }

    pub fn structure_mut(&mut self) -> &mut dyn Structure {
        match self {
            Request::Ecs(request) => request.structure_mut(),
            Request::Logs(request) => request.structure_mut(),
            Request::Sts(request) => request.structure_mut(),
            Request::Ec2(request) => request.structure_mut(),
            Request::Elbv2(request) => request.structure_mut(),
            Request::Acm(request) => request.structure_mut(),
            Request::Servicediscovery(request) => request.structure_mut(),
        }
    }
}
