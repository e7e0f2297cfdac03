//! An HTTP/1 client that sends what it is told, right or wrong.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::LIMIT;

pub struct Client {
    pub stream: TcpStream,
    /// Read, and not yet taken.
    buffer: Vec<u8>,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Lines, names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(found, _)| found == name).map(|(_, value)| value.as_str()).collect()
    }
}

impl Client {
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = timeout(LIMIT, TcpStream::connect(address)).await.expect("in time").expect("it listens");
        Self { stream, buffer: Vec::new() }
    }

    pub async fn send(&mut self, text: impl AsRef<[u8]>) {
        self.stream.write_all(text.as_ref()).await.expect("written");
    }

    /// Sends what the other end perhaps does not take any more.
    pub async fn try_send(&mut self, text: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(text.as_ref()).await.is_ok()
    }

    pub async fn get(&mut self, path: &str) -> Answer {
        self.get_with(path, &[]).await
    }

    pub async fn get_with(&mut self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut text = format!("GET {path} HTTP/1.1\r\nhost: a.example.com\r\n");
        for (name, value) in headers {
            text += &format!("{name}: {value}\r\n");
        }
        self.send(text + "\r\n").await;
        self.answer().await
    }

    pub async fn answer(&mut self) -> Answer {
        self.answer_to("GET").await
    }

    /// A whole answer to a request of that method.
    pub async fn answer_to(&mut self, method: &str) -> Answer {
        let mut answer = self.head().await;
        if method == "HEAD" || answer.status == 101 || answer.status == 204 || answer.status == 304 {
            return answer;
        }
        if answer.header("transfer-encoding") == Some("chunked") {
            answer.body = self.chunks().await;
        } else if let Some(length) = answer.header("content-length") {
            let length = length.parse().expect("a length");
            answer.body = self.exactly(length).await;
        } else {
            answer.body = self.rest().await;
        }
        answer
    }

    pub async fn head(&mut self) -> Answer {
        let text = self.through("\r\n\r\n").await;
        let mut lines = text.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
        let headers = lines.filter_map(|line| line.split_once(':'));
        let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
        Answer { status: status.unwrap_or_else(|| panic!("no status in {text:?}")), headers, body: String::new() }
    }

    pub async fn chunks(&mut self) -> String {
        let mut body = String::new();
        loop {
            let chunk = self.chunk().await;
            if chunk.is_empty() {
                return body;
            }
            body += &chunk;
        }
    }

    /// One chunk; empty for the last one, without trailers.
    pub async fn chunk(&mut self) -> String {
        let line = self.through("\r\n").await;
        let length = usize::from_str_radix(line.trim(), 16).expect("a length");
        let chunk = self.exactly(length).await;
        self.exactly(2).await;
        chunk
    }

    pub async fn exactly(&mut self, length: usize) -> String {
        while self.buffer.len() < length {
            assert!(self.more().await, "closed early after {:?}", String::from_utf8_lossy(&self.buffer));
        }
        String::from_utf8(self.buffer.drain(..length).collect()).expect("text")
    }

    async fn through(&mut self, end: &str) -> String {
        loop {
            let found = self.buffer.windows(end.len()).position(|window| window == end.as_bytes());
            if let Some(at) = found {
                return String::from_utf8(self.buffer.drain(..at + end.len()).collect()).expect("text");
            }
            assert!(self.more().await, "closed early after {:?}", String::from_utf8_lossy(&self.buffer));
        }
    }

    /// All until the connection is closed.
    pub async fn rest(&mut self) -> String {
        while self.more().await {}
        String::from_utf8(std::mem::take(&mut self.buffer)).expect("text")
    }

    /// Reads HTTP/2 frames until one of that kind comes whose payload fits, or no more come.
    pub async fn receives_frame(&mut self, kind: u8, fits: impl Fn(&[u8]) -> bool) -> bool {
        const HEAD: usize = 9;
        loop {
            if let Some(head) = self.buffer.first_chunk::<HEAD>() {
                let end = HEAD + u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
                if let Some(payload) = self.buffer.get(HEAD..end) {
                    if head[3] == kind && fits(payload) {
                        return true;
                    }
                    self.buffer.drain(..end);
                    continue;
                }
            }
            if !self.more().await {
                return false;
            }
        }
    }

    /// Whether more came; an error of the connection is its end.
    async fn more(&mut self) -> bool {
        let reading = timeout(LIMIT, self.stream.read_buf(&mut self.buffer));
        matches!(reading.await.expect("in time"), Ok(1..))
    }
}
