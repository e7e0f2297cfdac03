//! Certificates, the listeners that use them, and what the data path is told of both.

mod support;

use control::Caller;
use model::edge::ListenerProtocol;
use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256};
use support::World;
use wire::acm::{self, ImportCertificateRequest, ListCertificatesRequest};
use wire::elbv2::{
    self, Action, ActionTypeEnum, AddListenerCertificatesInput, Certificate, CreateListenerInput,
    CreateLoadBalancerInput, DescribeListenerCertificatesInput, FixedResponseActionConfig, ModifyListenerInput,
    ProtocolEnum, RemoveListenerCertificatesInput,
};
use wire::error::Failure;
use wire::value::Blob;

fn text(failure: Failure) -> String {
    format!("{}: {}", failure.code, failure.message)
}

async fn acm(world: &World, request: acm::Request) -> Result<acm::Response, String> {
    let caller = Caller::root(world.scope(), "AKIA");
    world.control.call_acm(&caller, request).await.map_err(|error| text(error.into()))
}

async fn elbv2(world: &World, request: elbv2::Request) -> Result<elbv2::Response, String> {
    let caller = Caller::root(world.scope(), "AKIA");
    world.control.call_elbv2(&caller, request).await.map_err(|error| text(error.into()))
}

fn import(host: &str) -> ImportCertificateRequest {
    let key = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
    let made = CertificateParams::new(vec![host.to_owned()]).unwrap().self_signed(&key).unwrap();
    ImportCertificateRequest {
        certificate: Blob(made.pem().into_bytes()),
        private_key: Blob(key.serialize_pem().into_bytes()),
        ..ImportCertificateRequest::default()
    }
}

async fn imported(world: &World, request: ImportCertificateRequest) -> String {
    match acm(world, acm::Request::ImportCertificate(request)).await {
        Ok(acm::Response::ImportCertificate(answer)) => answer.certificate_arn.unwrap(),
        other => panic!("{other:?}"),
    }
}

async fn load_balancer(world: &World) -> String {
    let vpc = model::network::Vpc::default_of(&world.scope());
    let subnets = vpc.subnets.iter().map(|subnet| subnet.id.clone()).collect();
    let request =
        CreateLoadBalancerInput { name: "a".to_owned(), subnets: Some(subnets), ..CreateLoadBalancerInput::default() };
    match elbv2(world, elbv2::Request::CreateLoadBalancer(request)).await {
        Ok(elbv2::Response::CreateLoadBalancer(answer)) => {
            answer.load_balancers.unwrap()[0].load_balancer_arn.clone().unwrap()
        }
        other => panic!("{other:?}"),
    }
}

fn certificates(arns: &[&str]) -> Vec<Certificate> {
    arns.iter().map(|arn| Certificate { certificate_arn: Some((*arn).to_owned()), is_default: None }).collect()
}

fn https(load_balancer: &str, certificate: &str) -> CreateListenerInput {
    CreateListenerInput {
        load_balancer_arn: load_balancer.to_owned(),
        protocol: Some(ProtocolEnum::Https),
        port: Some(443),
        certificates: Some(certificates(&[certificate])),
        default_actions: vec![Action {
            r#type: ActionTypeEnum::FixedResponse,
            fixed_response_config: Some(FixedResponseActionConfig {
                status_code: "200".to_owned(),
                ..FixedResponseActionConfig::default()
            }),
            ..Action::default()
        }],
        ..CreateListenerInput::default()
    }
}

async fn create(world: &World, request: CreateListenerInput) -> Result<elbv2::Listener, String> {
    match elbv2(world, elbv2::Request::CreateListener(request)).await? {
        elbv2::Response::CreateListener(answer) => Ok(answer.listeners.unwrap().remove(0)),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_certificate_in_use_stays_and_is_replaced_in_its_place() {
    let world = World::new().await;
    let (load_balancer, arn) = (load_balancer(&world).await, imported(&world, import("a.com")).await);
    let listener = create(&world, https(&load_balancer, &arn)).await.unwrap();
    assert_eq!(listener.protocol, Some(ProtocolEnum::Https));
    assert_eq!(listener.ssl_policy.as_deref(), Some("ELBSecurityPolicy-TLS13-1-2-2021-06"));
    let delete = acm::DeleteCertificateRequest { certificate_arn: arn.clone() };
    let refused = acm(&world, acm::Request::DeleteCertificate(delete.clone())).await.unwrap_err();
    assert!(refused.starts_with("ResourceInUseException: "), "{refused}");

    let served = || control::traffic::snapshot(&world.view()).load_balancers[0].listeners[0].clone();
    assert_eq!(served().protocol, ListenerProtocol::Https);
    let tls = served().tls.unwrap();
    assert_eq!((tls.certificates.len(), &tls.certificates[0].names[..]), (1, &["a.com".to_owned()][..]));
    let again = ImportCertificateRequest { certificate_arn: Some(arn.clone()), ..import("b.com") };
    assert_eq!(imported(&world, again).await, arn);
    assert_eq!(served().tls.unwrap().certificates[0].names, ["b.com"]);

    let plain = ModifyListenerInput {
        listener_arn: listener.listener_arn.unwrap(),
        protocol: Some(ProtocolEnum::Http),
        ..ModifyListenerInput::default()
    };
    elbv2(&world, elbv2::Request::ModifyListener(plain)).await.unwrap();
    assert_eq!(served().tls, None);
    acm(&world, acm::Request::DeleteCertificate(delete)).await.unwrap();
}

#[tokio::test]
async fn what_listeners_refuse() {
    let world = World::new().await;
    let (load_balancer, arn) = (load_balancer(&world).await, imported(&world, import("a.com")).await);
    let check = async |change: fn(&mut CreateListenerInput), expected: &str| {
        let mut request = https(&load_balancer, &arn);
        change(&mut request);
        let refused = create(&world, request).await.expect_err(expected);
        assert!(refused.starts_with(expected), "{refused}");
    };
    check(|request| request.certificates = None, "ValidationError: A certificate must be specified").await;
    check(|request| request.protocol = Some(ProtocolEnum::Http), "ValidationError: Certificates and SSL").await;
    let twice = |request: &mut CreateListenerInput| {
        let given = request.certificates.clone().unwrap();
        request.certificates = Some([given.clone(), given].concat());
    };
    check(twice, "ValidationError: You must specify exactly one certificate").await;
    let unknown = |request: &mut CreateListenerInput| {
        request.certificates = Some(certificates(&["arn:aws:acm:us-east-1:000000000000:certificate/none"]));
    };
    check(unknown, "CertificateNotFoundException: ").await;
    let policy = |request: &mut CreateListenerInput| request.ssl_policy = Some("ELBSecurityPolicy-2016-08".to_owned());
    check(policy, "UnsupportedFeature: ").await;
    check(|request| request.ssl_policy = Some("none".to_owned()), "SSLPolicyNotFoundException: ").await;
}

#[tokio::test]
async fn certificates_besides_the_default_one() {
    let world = World::new().await;
    let (load_balancer, first) = (load_balancer(&world).await, imported(&world, import("a.com")).await);
    let second = imported(&world, import("b.com")).await;
    let listener_arn = create(&world, https(&load_balancer, &first)).await.unwrap().listener_arn.unwrap();
    let add = AddListenerCertificatesInput {
        listener_arn: listener_arn.clone(),
        certificates: certificates(&[&second, &second]),
    };
    elbv2(&world, elbv2::Request::AddListenerCertificates(add)).await.unwrap();
    let describe = DescribeListenerCertificatesInput {
        listener_arn: listener_arn.clone(),
        ..DescribeListenerCertificatesInput::default()
    };
    let described = elbv2(&world, elbv2::Request::DescribeListenerCertificates(describe)).await.unwrap();
    let elbv2::Response::DescribeListenerCertificates(described) = described else { panic!("{described:?}") };
    let shown: Vec<_> = described.certificates.unwrap().into_iter().map(|shown| shown.is_default).collect();
    assert_eq!(shown, [Some(true), Some(false)]);
    let remove = |arn: &str| {
        let request =
            RemoveListenerCertificatesInput { listener_arn: listener_arn.clone(), certificates: certificates(&[arn]) };
        elbv2(&world, elbv2::Request::RemoveListenerCertificates(request))
    };
    let refused = remove(&first).await.unwrap_err();
    assert!(refused.starts_with("OperationNotPermittedException: "), "{refused}");
    remove(&second).await.unwrap();
    acm(&world, acm::Request::DeleteCertificate(acm::DeleteCertificateRequest { certificate_arn: second }))
        .await
        .unwrap();
}

#[tokio::test]
async fn lists_come_in_pages_and_keys_are_in_no_answer() {
    let world = World::new().await;
    for host in ["a.com", "b.com", "c.com"] {
        imported(&world, import(host)).await;
    }
    let mut token = None;
    let mut pages = Vec::new();
    loop {
        let request =
            ListCertificatesRequest { max_items: Some(2), next_token: token, ..ListCertificatesRequest::default() };
        let answer = acm(&world, acm::Request::ListCertificates(request)).await.unwrap();
        assert!(!format!("{answer:?}").contains("PRIVATE"), "{answer:?}");
        let acm::Response::ListCertificates(answer) = answer else { panic!("{answer:?}") };
        pages.push(answer.certificate_summary_list.unwrap().len());
        token = answer.next_token;
        if token.is_none() {
            break;
        }
    }
    assert_eq!(pages, [2, 1]);
    let rows = format!("{:?}", world.view().certificates.iter().collect::<Vec<_>>());
    assert!(rows.contains("BEGIN CERTIFICATE") && !rows.contains("PRIVATE KEY"), "a key is printed");
}
