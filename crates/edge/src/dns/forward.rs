//! Asks the machine's resolvers, one after the other, and passes on what they answer as it is.
//!
//! Every question goes out from a port of its own under an id of its own: an answer is taken only from the address that
//! was asked, with that id and that question.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, timeout};
use tracing::debug;

use super::answer::Transport;
use super::limits::{FORWARD_LIMIT, RESOLVERS_AGE, STRAY_MAX, UPSTREAM_LIMIT};
use super::{Upstreams, resolv_conf};
use crate::random;

const RESOLV_CONF: &str = "/etc/resolv.conf";
const HEAD_BYTES: usize = 12;
const SERVFAIL: u8 = 2;
const REFUSED: u8 = 5;

#[derive(Debug)]
pub struct Forwarder {
    upstreams: Upstreams,
    /// The machine's, and when they were read.
    read: Mutex<Option<(Instant, Vec<SocketAddr>)>>,
}

impl Forwarder {
    pub fn new(upstreams: Upstreams) -> Self {
        Self { upstreams, read: Mutex::new(None) }
    }

    /// The answer's bytes; `None` when nobody gave one in time.
    pub async fn ask(&self, question: &[u8], transport: Transport) -> Option<Vec<u8>> {
        timeout(FORWARD_LIMIT, self.ask_in_turn(question, transport)).await.ok().flatten()
    }

    /// An upstream that cannot answer is passed over; its word counts when no other has a better one.
    async fn ask_in_turn(&self, question: &[u8], transport: Transport) -> Option<Vec<u8>> {
        let mut last = None;
        for server in self.servers() {
            let asked = async {
                match transport {
                    Transport::Udp => ask_by_udp(server, question).await,
                    Transport::Tcp => ask_by_tcp(server, question).await,
                }
            };
            match timeout(UPSTREAM_LIMIT, asked).await {
                Ok(Ok(answer)) if matches!(answer[3] & 0xf, SERVFAIL | REFUSED) => last = Some(answer),
                Ok(Ok(answer)) => return Some(answer),
                Ok(Err(error)) => debug!(%server, %error, "a resolver could not be asked"),
                Err(_) => debug!(%server, "a resolver did not answer in time"),
            }
        }
        last
    }

    fn servers(&self) -> Vec<SocketAddr> {
        let except = match &self.upstreams {
            Upstreams::These(servers) => return servers.clone(),
            Upstreams::Machine { except } => except,
        };
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        match &*read {
            Some((at, servers)) if at.elapsed() < RESOLVERS_AGE => servers.clone(),
            _ => {
                let text = std::fs::read_to_string(RESOLV_CONF).unwrap_or_default();
                let servers = resolv_conf::servers(&text, except);
                *read = Some((Instant::now(), servers.clone()));
                servers
            }
        }
    }
}

async fn ask_by_udp(server: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
    let any = match server {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let socket = UdpSocket::bind(any).await?;
    // The kernel then takes packets from nobody else.
    socket.connect(server).await?;
    let asked = under_new_id(question);
    socket.send(&asked).await?;
    let mut buffer = vec![0; usize::from(u16::MAX)];
    for _ in 0..STRAY_MAX {
        let length = socket.recv(&mut buffer).await?;
        if answers(&buffer[..length], &asked) {
            buffer.truncate(length);
            return Ok(under_id_of(question, buffer));
        }
    }
    Err(io::Error::other("too many packets that do not answer"))
}

async fn ask_by_tcp(server: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    let asked = under_new_id(question);
    let length = u16::try_from(asked.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    stream.write_all(&[&length.to_be_bytes(), asked.as_slice()].concat()).await?;
    let length = stream.read_u16().await?;
    let mut answer = vec![0; usize::from(length)];
    stream.read_exact(&mut answer).await?;
    if answers(&answer, &asked) {
        Ok(under_id_of(question, answer))
    } else {
        Err(io::Error::other("an answer to another question"))
    }
}

fn under_new_id(question: &[u8]) -> Vec<u8> {
    let id: u16 = random::next();
    let mut asked = question.to_vec();
    asked[..2].copy_from_slice(&id.to_be_bytes());
    asked
}

fn under_id_of(question: &[u8], mut answer: Vec<u8>) -> Vec<u8> {
    answer[..2].copy_from_slice(&question[..2]);
    answer
}

/// Whether it is an answer, to that id and, where it repeats one, to that question.
fn answers(answer: &[u8], asked: &[u8]) -> bool {
    let has_head = answer.len() >= HEAD_BYTES && answer[..2] == asked[..2] && answer[2] & 0x80 != 0;
    if !has_head {
        return false;
    }
    let repeats = answer[4..6] == [0, 1];
    let refuses = answer[4..6] == [0, 0] && answer[3] & 0xf != 0;
    refuses || (repeats && same_question(&answer[HEAD_BYTES..], &asked[HEAD_BYTES..]))
}

/// Both begin with a name, which is not compressed in a question, a type and a class.
fn same_question(one: &[u8], other: &[u8]) -> bool {
    let Some(length) = question_length(other) else { return false };
    one.get(..length).is_some_and(|one| one.eq_ignore_ascii_case(&other[..length]))
}

fn question_length(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        match *bytes.get(at)? {
            0 => return Some(at + 5).filter(|end| *end <= bytes.len()),
            length if length < 64 => at += 1 + usize::from(length),
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(name: &[u8]) -> Vec<u8> {
        [&[0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0], name, &[0, 1, 0, 1]].concat()
    }

    fn answer(id: u8, name: &[u8]) -> Vec<u8> {
        [&[0, id, 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0], name, &[0, 1, 0, 1]].concat()
    }

    #[test]
    fn an_answer_is_taken_only_to_the_question_that_was_asked() {
        let asked = question(b"\x01a\x01b\0");
        assert!(answers(&answer(7, b"\x01a\x01b\0"), &asked));
        assert!(answers(&answer(7, b"\x01A\x01b\0"), &asked));
        assert!(!answers(&answer(8, b"\x01a\x01b\0"), &asked));
        assert!(!answers(&answer(7, b"\x01a\x01c\0"), &asked));
        assert!(!answers(&asked, &asked));
        assert!(!answers(&answer(7, b"")[..12], &asked));
        assert!(!answers(&[], &asked));
        let refusal = [0, 7, 0x81, 0x85, 0, 0, 0, 0, 0, 0, 0, 0];
        assert!(answers(&refusal, &asked));
    }
}
