//! What is answered from memory.

use edge::dns::answer::{Transport, Verdict};
use hickory_proto::op::{Message, OpCode, ResponseCode};
use hickory_proto::rr::{DNSClass, RecordType};

use super::support::{ask, question, with_payload};

/// `code; answers; authority`, each record without its class. Answers in order of their text: chance decides otherwise.
fn shown(answer: &Message) -> String {
    let record = |record: &hickory_proto::rr::Record| {
        format!("{} {} {} {}", record.name, record.ttl, record.record_type(), record.data)
    };
    let mut answers: Vec<String> = answer.answers.iter().map(record).collect();
    answers.sort();
    let authority: Vec<String> = answer.authorities.iter().map(record).collect();
    format!("{:?}; {}; {}", answer.metadata.response_code, answers.join(", "), authority.join(", "))
}

#[track_caller]
fn check(name: &str, kind: RecordType, expected: &str) {
    let (verdict, answer) = ask(&question(name, kind), Transport::Udp);
    assert_eq!(verdict, Verdict::Answered, "{name}");
    assert_eq!(shown(&answer.unwrap()), expected, "{name} {kind}");
}

const SOA: &str = "corp.local. 15 SOA ns.corp.local. hostmaster.corp.local. 1 7200 900 1209600 15";

#[test]
fn names_of_a_zone_have_their_records() {
    check(
        "web.corp.local.",
        RecordType::A,
        "NoError; web.corp.local. 10 A 10.0.0.1, web.corp.local. 10 A 10.0.0.2, web.corp.local. 10 A 10.0.0.3; ",
    );
    check("WEB.corp.LOCAL.", RecordType::A, &{
        let (_, answer) = ask(&question("web.corp.local.", RecordType::A), Transport::Udp);
        shown(&answer.unwrap())
    });
    check("six.corp.local.", RecordType::AAAA, "NoError; six.corp.local. 10 AAAA fd00::1; ");
    check("api.corp.local.", RecordType::SRV, "NoError; api.corp.local. 10 SRV 1 1 8080 one.api.corp.local.; ");
    check("one.api.corp.local.", RecordType::A, "NoError; one.api.corp.local. 10 A 10.0.0.1; ");
    check("x.sub.corp.local.", RecordType::A, "NoError; x.sub.corp.local. 10 A 10.0.0.1; ");
    check("corp.local.", RecordType::SOA, &format!("NoError; {SOA}; "));
}

#[test]
fn what_is_not_there_is_said_with_how_long_that_may_be_remembered() {
    check("none.corp.local.", RecordType::A, &format!("NXDomain; ; {SOA}"));
    check("web.corp.local.", RecordType::AAAA, &format!("NoError; ; {SOA}"));
    check("corp.local.", RecordType::A, &format!("NoError; ; {SOA}"));
    // A name between two that are there is there, without records.
    check("deep.corp.local.", RecordType::A, &format!("NoError; ; {SOA}"));
    check(
        "none.sub.corp.local.",
        RecordType::A,
        "NXDomain; ; sub.corp.local. 60 SOA ns.sub.corp.local. hostmaster.sub.corp.local. 1 7200 900 1209600 60",
    );
}

#[test]
fn addresses_of_the_network_have_names_of_their_own() {
    check("ip-172-31-0-5.ec2.internal.", RecordType::A, "NoError; ip-172-31-0-5.ec2.internal. 60 A 172.31.0.5; ");
    check(
        "ip-172-31-0-5.eu-west-1.compute.internal.",
        RecordType::A,
        "NoError; ip-172-31-0-5.eu-west-1.compute.internal. 60 A 172.31.0.5; ",
    );
    check(
        "5.0.31.172.in-addr.arpa.",
        RecordType::PTR,
        "NoError; 5.0.31.172.in-addr.arpa. 60 PTR ip-172-31-0-5.eu-west-1.compute.internal.; ",
    );
    let soa = "ec2.internal. 60 SOA ns.ec2.internal. hostmaster.ec2.internal. 1 7200 900 1209600 60";
    check("ip-172-31-0-5.ec2.internal.", RecordType::AAAA, &format!("NoError; ; {soa}"));
    check("ec2.internal.", RecordType::A, &format!("NoError; ; {soa}"));
    for name in ["ip-10-0-0-5.ec2.internal.", "ip-172-31-0.ec2.internal.", "web.ec2.internal.", "a.b.ec2.internal."] {
        check(name, RecordType::A, &format!("NXDomain; ; {soa}"));
    }
}

#[test]
fn names_of_others_are_asked_elsewhere() {
    for name in [
        "example.com.",
        "local.",
        "notcorp.local.",
        "xec2.internal.",
        "compute.internal.",
        "x.compute.internal.example.",
        "5.0.0.10.in-addr.arpa.",
        "31.172.in-addr.arpa.",
        ".",
    ] {
        assert_eq!(ask(&question(name, RecordType::A), Transport::Udp).0, Verdict::Forward, "{name}");
    }
}

#[test]
fn routing_says_how_many_are_answered() {
    let count = |name| {
        let (_, answer) = ask(&question(name, RecordType::A), Transport::Tcp);
        let mut records: Vec<String> = answer.unwrap().answers.iter().map(|record| record.data.to_string()).collect();
        records.sort();
        records.dedup();
        records.len()
    };
    assert_eq!(count("many.corp.local."), 8);
    assert_eq!(count("one.corp.local."), 1);
    assert_eq!(count("all.corp.local."), 200);
}

#[test]
fn what_does_not_fit_is_left_to_tcp() {
    let message = question("all.corp.local.", RecordType::A);
    let many = question("many.corp.local.", RecordType::A);
    let check = |message: &Message, transport, expected: (bool, usize)| {
        let (_, answer) = ask(message, transport);
        let answer = answer.unwrap();
        assert_eq!((answer.metadata.truncation, answer.answers.len()), expected);
        assert!(answer.queries == message.queries, "the question is repeated");
        answer.to_vec().unwrap().len()
    };
    assert!(check(&message, Transport::Udp, (true, 0)) <= 512);
    check(&many, Transport::Udp, (false, 8));
    // More than 1232 bytes are never sent by UDP, whatever the client says.
    assert!(check(&with_payload(message.clone(), 4096), Transport::Udp, (true, 0)) <= 1232);
    check(&message, Transport::Tcp, (false, 200));
}

#[test]
fn edns_is_answered_with_edns_and_other_versions_refused() {
    let message = question("web.corp.local.", RecordType::A);
    let (_, plain) = ask(&message, Transport::Udp);
    assert!(plain.unwrap().edns.is_none());
    let (_, extended) = ask(&with_payload(message.clone(), 1400), Transport::Udp);
    assert_eq!(extended.unwrap().edns.unwrap().max_payload(), 1232);
    let mut newer = with_payload(message, 1400);
    newer.edns.as_mut().unwrap().set_version(1);
    let (_, refusal) = ask(&newer, Transport::Udp);
    // The number has two names.
    assert_eq!(u16::from(refusal.unwrap().metadata.response_code), u16::from(ResponseCode::BADVERS));
}

#[test]
fn what_is_no_plain_question_is_refused() {
    let check = |message: &Message, expected: ResponseCode| {
        let (_, answer) = ask(message, Transport::Udp);
        let answer = answer.expect("an answer");
        assert_eq!((answer.metadata.response_code, answer.metadata.id), (expected, 7));
    };
    let mut message = question("web.corp.local.", RecordType::A);
    message.metadata.op_code = OpCode::Notify;
    check(&message, ResponseCode::NotImp);
    check(&question("corp.local.", RecordType::AXFR), ResponseCode::Refused);
    let mut message = question("web.corp.local.", RecordType::A);
    message.queries[0].query_class = DNSClass::CH;
    check(&message, ResponseCode::Refused);
    let mut message = question("web.corp.local.", RecordType::A);
    message.queries.clear();
    check(&message, ResponseCode::FormErr);
    let mut message = question("example.com.", RecordType::A);
    message.metadata.recursion_desired = false;
    check(&message, ResponseCode::Refused);
}
