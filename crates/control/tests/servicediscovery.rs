//! Cloud Map: what its operations answer and refuse, and which names follow from it.

use std::sync::Arc;

use control::{Caller, Clock, Config, Control};
use model::dns::{Records, Routing};
use model::network::Vpc;
use model::{Scope, Timestamp};
use serde_json::{Value, json};
use store::log::memory::MemoryDisk;
use wire::error::Failure;
use wire::servicediscovery::Request;

struct World {
    control: Arc<Control>,
    caller: Caller,
    _directory: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = Config { seed: Some(1), ..Config::new(directory.path()) };
        let clock = Clock::manual(Timestamp(1_795_251_600_000));
        let control = Control::open_with(config, MemoryDisk::new().log(), clock).await.unwrap();
        let caller = Caller::root(Scope::new("000000000000", "us-east-1"), "AKIA");
        Self { control, caller, _directory: directory }
    }

    /// # Errors
    /// The operation's exception and text, as `Exception: text`.
    async fn try_call(&self, operation: &str, request: Value) -> Result<Value, String> {
        let mut parsed = Request::empty(operation).expect("an operation of the model");
        wire::json::read(request.to_string().as_bytes(), parsed.structure_mut()).expect("JSON that fits the model");
        let violations = wire::constraint::check(parsed.structure());
        assert!(violations.is_empty(), "{violations:?}");
        let answer = self.control.call_servicediscovery(&self.caller, parsed).await;
        match answer {
            Ok(response) => {
                let mut out = Vec::new();
                wire::json::write(response.structure(), &mut out);
                Ok(serde_json::from_slice(&out).unwrap())
            }
            Err(error) => {
                let failure = Failure::from(error);
                Err(format!("{}: {}", failure.code, failure.message))
            }
        }
    }

    #[track_caller]
    fn call(&self, operation: &str, request: Value) -> impl Future<Output = Value> {
        let place = std::panic::Location::caller();
        let operation = operation.to_owned();
        async move {
            let answer = self.try_call(&operation, request).await;
            answer.unwrap_or_else(|refusal| panic!("{operation} at {place}: {refusal}"))
        }
    }

    async fn check(&self, operation: &str, request: Value, expected: &str) {
        let refusal = self.try_call(operation, request.clone()).await;
        assert_eq!(refusal, Err(expected.to_owned()), "{operation} {request}");
    }

    fn vpc(&self) -> String {
        Vpc::default_of(&self.caller.scope).id
    }

    /// The namespace's id.
    async fn namespace(&self, name: &str) -> String {
        let request = json!({"Name": name, "Vpc": self.vpc(), "CreatorRequestId": name});
        let operation = self.call("CreatePrivateDnsNamespace", request).await;
        let operation = self.call("GetOperation", json!({"OperationId": operation["OperationId"]})).await;
        operation["Operation"]["Targets"]["NAMESPACE"].as_str().unwrap().to_owned()
    }

    /// The service's id.
    async fn service(&self, namespace: &str, name: &str, more: Value) -> String {
        let mut request = json!({"Name": name, "NamespaceId": namespace});
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.call("CreateService", request).await["Service"]["Id"].as_str().unwrap().to_owned()
    }

    async fn register(&self, service: &str, id: &str, attributes: Value) {
        let request = json!({"ServiceId": service, "InstanceId": id, "Attributes": attributes});
        self.call("RegisterInstance", request).await;
    }

    async fn discover(&self, more: Value) -> Vec<String> {
        let mut request = json!({"NamespaceName": "corp.local", "ServiceName": "web"});
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let answer = self.call("DiscoverInstances", request).await;
        let instances = answer["Instances"].as_array().unwrap().iter();
        instances
            .map(|row| format!("{} {}", row["InstanceId"].as_str().unwrap(), row["HealthStatus"].as_str().unwrap()))
            .collect()
    }

    async fn revision(&self) -> i64 {
        let request = json!({"NamespaceName": "corp.local", "ServiceName": "web"});
        self.call("DiscoverInstancesRevision", request).await["InstancesRevision"].as_i64().unwrap()
    }

    /// The names below a zone: `name routing records`, in order.
    fn names(&self, zone: &str) -> Vec<String> {
        let snapshot = control::dns::snapshot(&self.control.store.view());
        let zone = snapshot.zones.into_iter().find(|found| found.name == zone).expect("the zone");
        let shown = zone.records.iter().map(|set| match &set.records {
            Records::Srv(services) => {
                let targets: Vec<String> = services.iter().map(|srv| format!("{}:{}", srv.target, srv.port)).collect();
                format!("{} {:?} SRV {targets:?}", set.name, set.routing)
            }
            records => format!("{} {:?} {records:?}", set.name, set.routing),
        });
        let mut shown: Vec<String> = shown.collect();
        shown.sort();
        shown
    }
}

fn records(kinds: &[&str]) -> Value {
    let records: Vec<Value> = kinds.iter().map(|kind| json!({"Type": kind, "TTL": 10})).collect();
    json!({"DnsConfig": {"DnsRecords": records}})
}

#[tokio::test]
async fn a_namespace_lives_with_its_services() {
    let world = World::new().await;
    let id = world.namespace("corp.local").await;
    let service = world.service(&id, "web", records(&["A"])).await;
    let shown = world.call("GetNamespace", json!({"Id": id})).await["Namespace"].clone();
    assert_eq!(
        (
            shown["Type"].clone(),
            shown["ServiceCount"].clone(),
            shown["Properties"]["DnsProperties"]["SOA"]["TTL"].clone()
        ),
        (json!("DNS_PRIVATE"), json!(1), json!(15))
    );
    let by_arn = world.call("GetNamespace", json!({"Id": shown["Arn"]})).await;
    assert_eq!(by_arn["Namespace"]["Id"], json!(id));
    world
        .check(
            "DeleteNamespace",
            json!({"Id": id}),
            &format!("ResourceInUse: Namespace {id} has associated services. Delete all of its services first."),
        )
        .await;
    world.call("DeleteService", json!({"Id": service})).await;
    world.call("DeleteNamespace", json!({"Id": id})).await;
    world.check("GetNamespace", json!({"Id": id}), &format!("NamespaceNotFound: Namespace not found: {id}")).await;
}

#[tokio::test]
async fn the_same_request_twice_is_done_once_and_the_same_name_refused() {
    let world = World::new().await;
    let id = world.namespace("corp.local").await;
    assert_eq!(world.namespace("corp.local").await, id);
    let other = json!({"Name": "CORP.local", "CreatorRequestId": "other"});
    world.check("CreateHttpNamespace", other, "NamespaceAlreadyExists: Namespace corp.local already exists.").await;
    let again = || json!({"Name": "web", "NamespaceId": id, "CreatorRequestId": "r"});
    let first = world.call("CreateService", again()).await;
    assert_eq!(world.call("CreateService", again()).await["Service"]["Id"], first["Service"]["Id"]);
    let other = json!({"Name": "web", "NamespaceId": id, "CreatorRequestId": "s"});
    world.check("CreateService", other, "ServiceAlreadyExists: Service web already exists.").await;
}

#[tokio::test]
async fn usual_mistakes_are_refused_in_cloud_maps_codes() {
    let world = World::new().await;
    let id = world.namespace("corp.local").await;
    let http = world.call("CreateHttpNamespace", json!({"Name": "calls"})).await["OperationId"].clone();
    let http =
        world.call("GetOperation", json!({"OperationId": http})).await["Operation"]["Targets"]["NAMESPACE"].clone();
    let both = world.service(&id, "both", records(&["A", "AAAA"])).await;
    let srv = world.service(&id, "srv", records(&["SRV"])).await;
    let cases = [
        (
            "CreatePrivateDnsNamespace",
            json!({"Name": "x", "Vpc": "vpc-1"}),
            "InvalidInput: The VPC ID 'vpc-1' is not found.",
        ),
        (
            "CreatePrivateDnsNamespace",
            json!({"Name": "a..b", "Vpc": world.vpc()}),
            "InvalidInput: The name 'a..b' is not a valid DNS name.",
        ),
        (
            "CreateHttpNamespace",
            json!({"Name": "arn:x"}),
            "InvalidInput: The name of a namespace must not begin with 'arn:'.",
        ),
        ("CreateService", json!({"Name": "x"}), "InvalidInput: NamespaceId is required."),
        ("CreateService", json!({"Name": "x", "NamespaceId": "ns-1"}), "NamespaceNotFound: Namespace not found: ns-1"),
        (
            "CreateService",
            json!({"Name": "x", "NamespaceId": http, "DnsConfig": {"DnsRecords": [{"Type": "A", "TTL": 1}]}}),
            "InvalidInput: DnsConfig is not valid for a service that is discovered by calls only.",
        ),
        (
            "CreateService",
            json!({"Name": "x", "NamespaceId": id, "DnsConfig": {"DnsRecords": [{"Type": "A", "TTL": 1}, {"Type": "SRV", "TTL": 1}]}}),
            "InvalidInput: An SRV record cannot be combined with others.",
        ),
        (
            "CreateService",
            json!({"Name": "x", "NamespaceId": id, "DnsConfig": {"DnsRecords": [{"Type": "CNAME", "TTL": 1}]}}),
            "InvalidInput: CNAME records are not supported by Gantry yet.",
        ),
        (
            "CreateService",
            json!({"Name": "x", "NamespaceId": id, "HealthCheckConfig": {"Type": "TCP"}}),
            "InvalidInput: HealthCheckConfig is for services of public DNS namespaces only.",
        ),
        (
            "RegisterInstance",
            json!({"ServiceId": both, "InstanceId": "i", "Attributes": {"AWS_INSTANCE_IPV4": "10.0.0.1"}}),
            "InvalidInput: AWS_INSTANCE_IPV6 is required: the service has a record of type AAAA.",
        ),
        (
            "RegisterInstance",
            json!({"ServiceId": srv, "InstanceId": "i", "Attributes": {"AWS_INSTANCE_IPV4": "10.0.0.1"}}),
            "InvalidInput: AWS_INSTANCE_PORT is required: the service has a record of type SRV.",
        ),
        (
            "RegisterInstance",
            json!({"ServiceId": srv, "InstanceId": "i", "Attributes": {"AWS_INSTANCE_PORT": "70000"}}),
            "InvalidInput: The value of AWS_INSTANCE_PORT is not valid.",
        ),
        (
            "RegisterInstance",
            json!({"ServiceId": "srv-1", "InstanceId": "i", "Attributes": {}}),
            "ServiceNotFound: Service not found: srv-1",
        ),
        ("DeregisterInstance", json!({"ServiceId": srv, "InstanceId": "i"}), "InstanceNotFound: Instance not found: i"),
        ("GetOperation", json!({"OperationId": "o"}), "OperationNotFound: Operation not found: o"),
        (
            "DiscoverInstances",
            json!({"NamespaceName": "corp.local", "ServiceName": "none"}),
            "ServiceNotFound: Service not found",
        ),
        (
            "ListNamespaces",
            json!({"Filters": [{"Name": "TYPE", "Values": ["HTTP"], "Condition": "BETWEEN"}]}),
            "InvalidInput: Filter condition BETWEEN is not valid for TYPE.",
        ),
        (
            "TagResource",
            json!({"ResourceARN": "arn:aws:servicediscovery:us-east-1:000000000000:service/srv-1", "Tags": []}),
            "ResourceNotFoundException: Resource not found: arn:aws:servicediscovery:us-east-1:000000000000:service/srv-1",
        ),
    ];
    for (operation, request, expected) in cases {
        world.check(operation, request, expected).await;
    }
}

#[tokio::test]
async fn instances_are_discovered_by_attributes_and_health() {
    let world = World::new().await;
    let id = world.namespace("corp.local").await;
    let custom = json!({"HealthCheckCustomConfig": {"FailureThreshold": 1}});
    let service = world.service(&id, "web", custom).await;
    world.register(&service, "a", json!({"color": "red"})).await;
    world.register(&service, "b", json!({"color": "blue", "AWS_INIT_HEALTH_STATUS": "UNHEALTHY"})).await;
    assert_eq!(world.discover(json!({})).await, ["a HEALTHY"]);
    assert_eq!(world.discover(json!({"HealthStatus": "ALL"})).await, ["a HEALTHY", "b UNHEALTHY"]);
    assert_eq!(world.discover(json!({"HealthStatus": "UNHEALTHY"})).await, ["b UNHEALTHY"]);
    assert_eq!(world.discover(json!({"QueryParameters": {"color": "red"}})).await, ["a HEALTHY"]);
    assert_eq!(world.discover(json!({"QueryParameters": {"color": "green"}})).await, [""; 0]);
    let all = json!({"HealthStatus": "ALL", "OptionalParameters": {"color": "blue"}});
    assert_eq!(world.discover(all).await, ["b UNHEALTHY"]);
    let none = json!({"HealthStatus": "ALL", "OptionalParameters": {"color": "green"}});
    assert_eq!(world.discover(none).await, ["a HEALTHY", "b UNHEALTHY"]);
    let sick = json!({"ServiceId": service, "InstanceId": "a", "Status": "UNHEALTHY"});
    world.call("UpdateInstanceCustomHealthStatus", sick).await;
    assert_eq!(world.discover(json!({})).await, ["a UNHEALTHY", "b UNHEALTHY"]);
    assert_eq!(world.discover(json!({"HealthStatus": "HEALTHY"})).await, [""; 0]);
    let health = world.call("GetInstancesHealthStatus", json!({"ServiceId": service, "MaxResults": 1})).await;
    assert_eq!(health["Status"], json!({"a": "UNHEALTHY"}));
    assert!(health["NextToken"].is_string());
}

#[tokio::test]
async fn without_a_health_check_every_instance_counts() {
    let world = World::new().await;
    let id = world.namespace("corp.local").await;
    let service = world.service(&id, "web", json!({})).await;
    world.register(&service, "a", json!({})).await;
    assert_eq!(world.discover(json!({"HealthStatus": "HEALTHY"})).await, ["a UNKNOWN"]);
    let sick = json!({"ServiceId": service, "InstanceId": "a", "Status": "UNHEALTHY"});
    let expected = format!("CustomHealthNotFound: Service {service} has no custom health check.");
    world.check("UpdateInstanceCustomHealthStatus", sick, &expected).await;
}

#[tokio::test]
async fn the_revision_rises_with_every_change_and_only_then() {
    let world = World::new().await;
    let id = world.namespace("corp.local").await;
    let service = world.service(&id, "web", json!({})).await;
    let mut last = world.revision().await;
    for color in ["red", "blue"] {
        let request =
            json!({"ServiceId": service, "InstanceId": "a", "CreatorRequestId": "r", "Attributes": {"color": color}});
        world.call("RegisterInstance", request.clone()).await;
        let next = world.revision().await;
        assert!(next > last, "{color}");
        world.call("RegisterInstance", request).await;
        assert_eq!(world.revision().await, next, "nothing changed");
        last = next;
    }
    world.call("DeregisterInstance", json!({"ServiceId": service, "InstanceId": "a"})).await;
    assert!(world.revision().await > last);
}

#[tokio::test]
async fn instances_have_names() {
    let world = World::new().await;
    let id = world.namespace("corp.local").await;
    let custom = json!({"HealthCheckCustomConfig": {"FailureThreshold": 1}});
    let mut config = records(&["A"]);
    config.as_object_mut().unwrap().extend(custom.as_object().unwrap().clone());
    let web = world.service(&id, "web", config).await;
    let api = world.service(&id, "api", records(&["SRV"])).await;
    let weighted = json!({"DnsConfig": {"RoutingPolicy": "WEIGHTED", "DnsRecords": [{"Type": "AAAA", "TTL": 5}]}});
    let six = world.service(&id, "six", weighted).await;
    assert_eq!(world.names("corp.local"), [""; 0]);
    for (name, last) in [("a", 1), ("b", 2)] {
        world.register(&web, name, json!({"AWS_INSTANCE_IPV4": format!("10.0.0.{last}")})).await;
    }
    world.register(&api, "i", json!({"AWS_INSTANCE_IPV4": "10.0.0.3", "AWS_INSTANCE_PORT": "8080"})).await;
    world.register(&six, "i", json!({"AWS_INSTANCE_IPV6": "fd00::1"})).await;
    let expected = [
        r#"api.corp.local Multivalue SRV ["i.api.corp.local:8080"]"#,
        "i.api.corp.local Simple A([10.0.0.3])",
        "six.corp.local Weighted Aaaa([fd00::1])",
        "web.corp.local Multivalue A([10.0.0.1, 10.0.0.2])",
    ];
    assert_eq!(world.names("corp.local"), expected);
    // The unhealthy do not count, unless all are.
    let web_after = |ids: &'static [&'static str]| {
        let (world, web) = (&world, &web);
        async move {
            for id in ids {
                let sick = json!({"ServiceId": web, "InstanceId": id, "Status": "UNHEALTHY"});
                world.call("UpdateInstanceCustomHealthStatus", sick).await;
            }
            world.names("corp.local")[3].clone()
        }
    };
    assert_eq!(web_after(&["a"]).await, "web.corp.local Multivalue A([10.0.0.2])");
    assert_eq!(web_after(&["b"]).await, "web.corp.local Multivalue A([10.0.0.1, 10.0.0.2])");
    let snapshot = control::dns::snapshot(&world.control.store.view());
    assert!(
        snapshot
            .zones
            .iter()
            .all(|zone| zone.records.iter().all(|set| set.routing != Routing::Simple || set.ttl_seconds == 10))
    );
}

#[tokio::test]
async fn the_name_server_hears_of_every_change() {
    let world = World::new().await;
    let mut snapshots = world.control.dns.subscribe();
    let id = world.namespace("corp.local").await;
    let web = world.service(&id, "web", records(&["A"])).await;
    world.register(&web, "a", json!({"AWS_INSTANCE_IPV4": "10.0.0.1"})).await;
    let has = |count| {
        move |snapshot: &Option<Arc<model::dns::Snapshot>>| {
            let zones = snapshot.iter().flat_map(|snapshot| &snapshot.zones);
            zones.into_iter().any(|zone| zone.name == "corp.local" && zone.records.len() == count)
        }
    };
    let limit = std::time::Duration::from_secs(20);
    tokio::time::timeout(limit, snapshots.wait_for(has(1))).await.expect("in time").unwrap();
    world.call("DeregisterInstance", json!({"ServiceId": web, "InstanceId": "a"})).await;
    tokio::time::timeout(limit, snapshots.wait_for(has(0))).await.expect("in time").unwrap();
}

#[tokio::test]
async fn listings_page_and_filter_and_operations_are_kept() {
    let world = World::new().await;
    let id = world.namespace("corp.local").await;
    world.call("CreateHttpNamespace", json!({"Name": "calls"})).await;
    let by_type = json!({"Filters": [{"Name": "TYPE", "Values": ["HTTP"]}]});
    let listed = world.call("ListNamespaces", by_type).await;
    assert_eq!(listed["Namespaces"].as_array().unwrap().len(), 1);
    assert_eq!(listed["Namespaces"][0]["Name"], json!("calls"));
    for name in ["one", "two", "three"] {
        world.service(&id, name, json!({})).await;
    }
    let mut seen = 0;
    let mut token = Value::Null;
    loop {
        let mut request = json!({"MaxResults": 2, "Filters": [{"Name": "NAMESPACE_ID", "Values": [id]}]});
        if !token.is_null() {
            request["NextToken"] = token;
        }
        let page = world.call("ListServices", request).await;
        seen += page["Services"].as_array().unwrap().len();
        token = page["NextToken"].clone();
        if token.is_null() {
            break;
        }
    }
    assert_eq!(seen, 3);
    let created = json!({"Filters": [{"Name": "TYPE", "Values": ["CREATE_NAMESPACE"], "Condition": "EQ"}]});
    let operations = world.call("ListOperations", created).await;
    assert_eq!(operations["Operations"].as_array().unwrap().len(), 2);
    assert_eq!(operations["Operations"][0]["Status"], json!("SUCCESS"));
}

#[tokio::test]
async fn tags_and_attributes_are_kept() {
    let world = World::new().await;
    let id = world.namespace("corp.local").await;
    let service = world.service(&id, "web", json!({})).await;
    let arn = world.call("GetService", json!({"Id": service})).await["Service"]["Arn"].clone();
    world.call("TagResource", json!({"ResourceARN": arn, "Tags": [{"Key": "a", "Value": "1"}]})).await;
    let tags = world.call("ListTagsForResource", json!({"ResourceARN": arn})).await;
    assert_eq!(tags["Tags"], json!([{"Key": "a", "Value": "1"}]));
    world.call("UntagResource", json!({"ResourceARN": arn, "TagKeys": ["a"]})).await;
    assert_eq!(world.call("ListTagsForResource", json!({"ResourceARN": arn})).await["Tags"], json!([]));
    world.call("UpdateServiceAttributes", json!({"ServiceId": service, "Attributes": {"a": "1", "b": "2"}})).await;
    world.call("DeleteServiceAttributes", json!({"ServiceId": service, "Attributes": ["a"]})).await;
    let attributes = world.call("GetServiceAttributes", json!({"ServiceId": service})).await;
    assert_eq!(attributes["ServiceAttributes"]["Attributes"], json!({"b": "2"}));
    let many: serde_json::Map<String, Value> = (0..30).map(|n| (format!("k{n}"), json!("v"))).collect();
    world
        .check(
            "UpdateServiceAttributes",
            json!({"ServiceId": service, "Attributes": many}),
            "ServiceAttributesLimitExceededException: A service can have at most 30 attributes.",
        )
        .await;
}
