//! A raw HTTP/1.1 connection: what is written goes out byte for byte.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// Longer than any limit of the gateway that a test waits for.
const WAIT_S_MAX: u64 = 60;

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// A header's value; the name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }

    /// The number at the end of `Location`.
    pub(crate) fn number(&self) -> i64 {
        let location = self.header("location").expect("a Location");
        location.rsplit('/').next().and_then(|number| number.parse().ok()).expect("a number")
    }
}

/// A connection to a gateway.
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the gateway listens");
        stream.set_read_timeout(Some(Duration::from_secs(WAIT_S_MAX))).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
        Self { stream: BufReader::new(stream) }
    }

    /// A gateway that has answered already may have closed its half: that is for `read` to tell.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let _closed = self.stream.get_mut().write_all(bytes).is_err();
    }

    pub(crate) fn half_close(&mut self) {
        self.stream.get_ref().shutdown(Shutdown::Write).expect("the half closes");
    }

    pub(crate) fn send(&mut self, request: &[u8]) -> Answer {
        self.write(request);
        self.read().expect("an answer")
    }

    pub(crate) fn get(&mut self, target: &str) -> Answer {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: riposte\r\n\r\n").as_bytes())
    }

    pub(crate) fn post_json(&mut self, target: &str, body: &serde_json::Value) -> Answer {
        let body = body.to_string();
        let head = format!(
            "POST {target} HTTP/1.1\r\nHost: riposte\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        self.send(format!("{head}{body}").as_bytes())
    }

    /// The next answer; `None` when the connection ended without one.
    pub(crate) fn read(&mut self) -> Option<Answer> {
        let status = self.line().filter(|line| !line.is_empty())?;
        let status = status.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        let mut headers = Vec::new();
        while let Some(line) = self.line().filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':').expect("a header");
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut answer = Answer { status, headers, body: Vec::new() };
        if answer.header("transfer-encoding") == Some("chunked") {
            self.chunks(&mut answer.body);
        } else if let Some(length) = answer.header("content-length") {
            answer.body = vec![0; length.parse().expect("a length")];
            self.stream.read_exact(&mut answer.body).expect("the whole body");
        }
        Some(answer)
    }

    /// All that comes until the other side ends the connection.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self.stream.read_to_end(&mut bytes) {
            Err(error) if error.kind() != std::io::ErrorKind::ConnectionReset => panic!("not ended: {error}"),
            _ => bytes,
        }
    }

    fn chunks(&mut self, body: &mut Vec<u8>) {
        loop {
            let size = self.line().expect("a chunk");
            let size = usize::from_str_radix(&size, 16).expect("a size");
            let mut chunk = vec![0; size + 2];
            self.stream.read_exact(&mut chunk).expect("the whole chunk");
            body.extend_from_slice(&chunk[..size]);
            if size == 0 {
                return;
            }
        }
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.stream.read_line(&mut line).ok()?;
        (read > 0).then(|| line.trim_end().to_owned())
    }
}
