//! From a question's bytes to an answer's, or to the word that somebody else has to answer.

use hickory_proto::op::{
    Edns, Header, Message, MessageType, Metadata, OpCode, Query, ResponseCode, emit_message_parts,
};
use hickory_proto::rr::{DNSClass, Record, RecordType};
use hickory_proto::serialize::binary::BinEncoder;
use model::dns::{MULTIVALUE_ANSWERS, Routing};
use rand::Rng;

use super::limits::{TCP_ANSWER_MAX, UDP_PAYLOAD_MAX, UDP_PAYLOAD_MIN};
use super::names::{Found, Names, Set};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Udp,
    Tcp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The answer is written.
    Answered,
    /// The name is none of ours.
    Forward,
    /// It is no question. Answering what is none could go round in circles.
    Ignore,
}

/// An id and the flags.
const HEAD_BYTES: usize = 12;

/// Answers `question` into `out`, which is emptied first.
pub fn answer(
    question: &[u8],
    names: &Names,
    transport: Transport,
    random: &mut impl Rng,
    out: &mut Vec<u8>,
) -> Verdict {
    let Some(head) = head(question) else { return Verdict::Ignore };
    let Ok(message) = Message::from_vec(question) else {
        return refuse_unread(head, ResponseCode::FormErr, out);
    };
    let reply = Reply { message: &message, transport };
    let query = match check(&message) {
        Ok(query) => query,
        Err(code) => return reply.write(code, &[], &[], out),
    };
    match names.find(&query.name, query.query_type) {
        Found::Foreign if message.metadata.recursion_desired => Verdict::Forward,
        Found::Foreign => reply.write(ResponseCode::Refused, &[], &[], out),
        Found::NoName(soa) => reply.write(ResponseCode::NXDomain, &[], &[soa], out),
        Found::Sets { sets, soa } => {
            let mut answers = pick(sets, query.query_type, random);
            if matches!(query.query_type, RecordType::SOA | RecordType::ANY) && soa.name == query.name {
                answers.push(soa);
            }
            let authority: &[&Record] = if answers.is_empty() { &[soa] } else { &[] };
            reply.write(ResponseCode::NoError, &answers, authority, out)
        }
        Found::Address(record) => reply.write(ResponseCode::NoError, &[&record], &[], out),
        Found::NoAddress { exists: true, soa } => reply.write(ResponseCode::NoError, &[], &[&soa], out),
        Found::NoAddress { exists: false, soa } => reply.write(ResponseCode::NXDomain, &[], &[&soa], out),
    }
}

/// Says that nobody could be asked.
pub fn fail(question: &[u8], transport: Transport, out: &mut Vec<u8>) -> Verdict {
    let Some(head) = head(question) else { return Verdict::Ignore };
    match Message::from_vec(question) {
        Ok(message) => Reply { message: &message, transport }.write(ResponseCode::ServFail, &[], &[], out),
        Err(_) => refuse_unread(head, ResponseCode::ServFail, out),
    }
}

/// The one question, when it is one that has an answer.
fn check(message: &Message) -> Result<&Query, ResponseCode> {
    if message.metadata.op_code != OpCode::Query {
        return Err(ResponseCode::NotImp);
    }
    let [query] = message.queries.as_slice() else { return Err(ResponseCode::FormErr) };
    if message.version() > 0 {
        return Err(ResponseCode::BADVERS);
    }
    let is_transfer = matches!(query.query_type, RecordType::AXFR | RecordType::IXFR);
    if is_transfer || query.query_class != DNSClass::IN { Err(ResponseCode::Refused) } else { Ok(query) }
}

/// Which records of a name go into the answer.
fn pick<'a>(sets: &'a [Set], kind: RecordType, random: &mut impl Rng) -> Vec<&'a Record> {
    let wanted = sets.iter().filter(|set| set.kind == kind || kind == RecordType::ANY);
    let mut picked = Vec::new();
    for set in wanted {
        let many = set.records.len();
        let few = match set.routing {
            Routing::Simple => many,
            Routing::Multivalue => many.min(MULTIVALUE_ANSWERS),
            Routing::Weighted => many.min(1),
        };
        if few == many && many > 0 {
            // All of them, beginning anywhere: clients take the first.
            let first = random.random_range(0..many);
            picked.extend(set.records[first..].iter().chain(&set.records[..first]));
        } else {
            picked.extend(rand::seq::index::sample(random, many, few).into_iter().map(|index| &set.records[index]));
        }
    }
    picked
}

struct Reply<'a> {
    message: &'a Message,
    transport: Transport,
}

impl Reply<'_> {
    fn write(&self, code: ResponseCode, answers: &[&Record], authority: &[&Record], out: &mut Vec<u8>) -> Verdict {
        let mut metadata = Metadata::response_from_request(&self.message.metadata);
        metadata.response_code = code;
        metadata.recursion_available = true;
        metadata.authoritative = matches!(code, ResponseCode::NoError | ResponseCode::NXDomain);
        match self.emit(&metadata, answers, authority, out) {
            Some(header) if !header.metadata.truncation => Verdict::Answered,
            // A part of an answer is of no use to a client that has to ask again by TCP.
            _ => {
                metadata.truncation = true;
                self.emit(&metadata, &[], &[], out).map_or(Verdict::Ignore, |_| Verdict::Answered)
            }
        }
    }

    fn emit(
        &self,
        metadata: &Metadata,
        answers: &[&Record],
        authority: &[&Record],
        out: &mut Vec<u8>,
    ) -> Option<Header> {
        out.clear();
        let edns = self.message.edns.as_ref().map(|_| {
            let mut edns = Edns::new();
            edns.set_max_payload(UDP_PAYLOAD_MAX);
            edns
        });
        let mut encoder = BinEncoder::new(out);
        encoder.set_max_size(self.limit());
        let nothing: [&Record; 0] = [];
        let emitted = emit_message_parts(
            metadata,
            &mut self.message.queries.iter().take(1),
            &mut answers.iter().copied(),
            &mut authority.iter().copied(),
            &mut nothing.into_iter(),
            edns.as_ref(),
            None,
            &mut encoder,
        );
        emitted.ok()
    }

    fn limit(&self) -> u16 {
        match self.transport {
            Transport::Udp => self.message.max_payload().clamp(UDP_PAYLOAD_MIN, UDP_PAYLOAD_MAX),
            Transport::Tcp => TCP_ANSWER_MAX,
        }
    }
}

#[derive(Clone, Copy)]
struct Head {
    id: u16,
    op_code: u8,
}

/// `None` for what is no question.
fn head(question: &[u8]) -> Option<Head> {
    let is_answer = question.get(2)? & 0x80 != 0;
    if is_answer || question.len() < HEAD_BYTES {
        return None;
    }
    Some(Head { id: u16::from_be_bytes([question[0], question[1]]), op_code: (question[2] >> 3) & 0xf })
}

/// Refuses what does not decode, by the little that is known of it.
fn refuse_unread(head: Head, code: ResponseCode, out: &mut Vec<u8>) -> Verdict {
    let mut message = Message::new(head.id, MessageType::Response, OpCode::from_u8(head.op_code));
    message.metadata.response_code = code;
    match message.to_vec() {
        Ok(bytes) => {
            *out = bytes;
            Verdict::Answered
        }
        Err(_) => Verdict::Ignore,
    }
}
