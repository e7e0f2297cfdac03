//! Packets that are no questions, or hardly.

use edge::dns::Dns;
use edge::dns::answer::{Transport, Verdict, answer};
use edge::dns::names::Names;
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RecordType;
use rand::rngs::SmallRng;
use rand::{Rng, RngCore, SeedableRng};

use super::support::{SOON, ask_by_udp, config, question, snapshot};

fn judge(bytes: &[u8]) -> (Verdict, Vec<u8>) {
    let names = Names::new(&snapshot(), &config());
    let mut out = Vec::new();
    let verdict = answer(bytes, &names, Transport::Udp, &mut SmallRng::seed_from_u64(1), &mut out);
    (verdict, out)
}

#[test]
fn answers_and_scraps_are_never_answered() {
    let mut response = question("web.corp.local.", RecordType::A).to_vec().unwrap();
    response[2] |= 0x80;
    assert_eq!(judge(&response).0, Verdict::Ignore);
    for length in 0..12 {
        assert_eq!(judge(&vec![0; length]).0, Verdict::Ignore, "{length} bytes");
    }
}

#[test]
fn what_does_not_decode_is_told_so_under_its_id() {
    let whole = question("web.corp.local.", RecordType::A).to_vec().unwrap();
    for length in 12..whole.len() {
        let (verdict, out) = judge(&whole[..length]);
        assert_eq!(verdict, Verdict::Answered);
        let answer = Message::from_vec(&out).unwrap();
        assert_eq!((answer.metadata.response_code, answer.metadata.id), (ResponseCode::FormErr, 7), "{length} bytes");
    }
}

/// A name that points at itself, one that points ahead, and one of too many labels.
#[test]
fn names_that_go_round_in_circles_end() {
    let head = [0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    let endless: Vec<u8> = [1, b'a'].repeat(300);
    for name in [&[0xc0, 12][..], &[0xc0, 40], &[0x40, 1], &endless] {
        let (verdict, out) = judge(&[&head, name, &[0, 1, 0, 1]].concat());
        assert_eq!(verdict, Verdict::Answered, "{name:?}");
        assert_eq!(Message::from_vec(&out).unwrap().metadata.response_code, ResponseCode::FormErr, "{name:?}");
    }
}

#[test]
fn every_answer_to_a_damaged_question_is_an_answer_and_short() {
    let mut random = SmallRng::seed_from_u64(20_261_125);
    let whole = question("many.corp.local.", RecordType::A).to_vec().unwrap();
    for _ in 0..20_000 {
        let mut bytes = whole.clone();
        for _ in 0..random.random_range(1..4) {
            let at = random.random_range(0..bytes.len());
            bytes[at] = random.random();
        }
        let (verdict, out) = judge(&bytes);
        if verdict == Verdict::Answered {
            assert!(out.len() <= 1232 && out[2] & 0x80 != 0, "{bytes:?}");
            assert_eq!(out[..2], bytes[..2], "{bytes:?}");
        }
    }
}

#[tokio::test]
async fn a_flood_of_noise_leaves_the_server_answering() {
    let dns = Dns::start(config(), &snapshot()).unwrap();
    let mut bound = dns.bound();
    let server = bound.wait_for(|bound| !bound.is_empty()).await.unwrap()[0].1;
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut random = SmallRng::seed_from_u64(3);
    for _ in 0..5_000 {
        let mut bytes = vec![0; random.random_range(0..1500)];
        random.fill_bytes(&mut bytes);
        let _ = socket.send_to(&bytes, server).await;
    }
    // The noise may have filled the socket: then a question is lost, and asked again.
    let message = question("web.corp.local.", RecordType::A);
    let asking = async {
        loop {
            let once = tokio::time::timeout(SOON / 20, ask_by_udp(server, &message)).await;
            if let Ok(answer) = once {
                return answer;
            }
        }
    };
    let answer = tokio::time::timeout(SOON, asking).await.expect("it still answers");
    assert_eq!(answer.answers.len(), 3);
}
