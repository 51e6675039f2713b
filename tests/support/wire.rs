//! An HTTP/1 client that sends any bytes, over TCP or TLS, and shows what came byte for byte.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConnection, StreamOwned};

use super::message::{Answer, Request};
use super::{PATIENCE, tls};

/// One connection.
pub struct Wire {
    stream: BufReader<Box<dyn Stream>>,
    socket: TcpStream,
    host: String,
}

trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

impl Wire {
    /// Over TCP.
    pub fn connect(address: SocketAddr) -> Self {
        let socket = socket(address);
        let copy = socket.try_clone().unwrap();
        Self::new(Box::new(copy), socket, address.to_string())
    }

    /// Over TLS, HTTP/1.1 agreed.
    pub fn connect_tls(address: SocketAddr) -> Self {
        Self::connect_tls_as(address, "http/1.1")
    }

    /// Over TLS, with another protocol agreed.
    pub fn connect_tls_as(address: SocketAddr, protocol: &str) -> Self {
        let socket = socket(address);
        let copy = socket.try_clone().unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let session = ClientConnection::new(tls::client(&[protocol]), name).unwrap();
        let host = format!("localhost:{}", address.port());
        Self::new(Box::new(StreamOwned::new(session, copy)), socket, host)
    }

    fn new(stream: Box<dyn Stream>, socket: TcpStream, host: String) -> Self {
        Self {
            stream: BufReader::new(stream),
            socket,
            host,
        }
    }

    /// Sends bytes as they are. That the other side has closed shows in the reading.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let stream = self.stream.get_mut();
        let _ = stream
            .write_all(bytes.as_ref())
            .and_then(|()| stream.flush());
    }

    /// Sends a request and reads its answer.
    pub fn exchange(&mut self, request: &Request) -> Answer {
        self.exchange_as("1.1", request)
    }

    /// Sends a request in an HTTP version and reads its answer.
    pub fn exchange_as(&mut self, version: &str, request: &Request) -> Answer {
        let bytes = request.bytes(version, &self.host);
        self.send(bytes);
        self.answer(&request.method)
    }

    /// Reads the answer to a request with this method. What is missing of it
    /// because the connection ended shows in [`Answer::whole`]; a connection that
    /// ended before any byte yields status 0.
    pub fn answer(&mut self, method: &str) -> Answer {
        let mut answer = Answer::default();
        match self.read(method, &mut answer) {
            Ok(()) => answer.whole = true,
            Err(error) => assert!(
                !matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                ),
                "no answer in time; so far {:?}",
                String::from_utf8_lossy(&answer.raw)
            ),
        }
        answer
    }

    /// Everything until the other side closes.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        if let Err(error) = self.stream.read_to_end(&mut rest) {
            assert!(
                error.kind() != io::ErrorKind::WouldBlock,
                "still open after {:?}",
                String::from_utf8_lossy(&rest)
            );
        }
        rest
    }

    /// No more bytes from this side.
    pub fn finish(&mut self) {
        let _ = self.socket.shutdown(std::net::Shutdown::Write);
    }

    fn read(&mut self, method: &str, answer: &mut Answer) -> io::Result<()> {
        loop {
            let line = self.line(&mut answer.raw)?;
            let mut words = line.trim_end().splitn(3, ' ');
            answer.version = words.next().unwrap_or_default().to_owned();
            let status = words.next().and_then(|word| word.parse().ok());
            answer.status =
                status.ok_or_else(|| io::Error::other(format!("not a status line: {line}")))?;
            answer.reason = words.next().unwrap_or_default().to_owned();
            answer.headers = self.fields(&mut answer.raw)?;
            if (100..200).contains(&answer.status) && answer.status != 101 {
                answer.interim.push(answer.status);
                continue;
            }
            break;
        }
        if method == "HEAD" || matches!(answer.status, 101 | 204 | 304) {
            return Ok(());
        }
        let chunked = answer
            .header("transfer-encoding")
            .is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"));
        let length: Option<u64> = answer
            .header("content-length")
            .and_then(|value| value.parse().ok());
        match (chunked, length) {
            (true, _) => self.chunks(answer),
            (false, Some(length)) => self.take(length, answer),
            (false, None) => {
                let result = self.stream.read_to_end(&mut answer.body);
                answer.raw.extend_from_slice(&answer.body);
                result.map(drop)
            }
        }
    }

    fn chunks(&mut self, answer: &mut Answer) -> io::Result<()> {
        loop {
            let line = self.line(&mut answer.raw)?;
            let digits = line.split(';').next().unwrap_or_default().trim();
            let size = u64::from_str_radix(digits, 16).map_err(io::Error::other)?;
            if size == 0 {
                answer.trailers = self.fields(&mut answer.raw)?;
                return Ok(());
            }
            self.take(size, answer)?;
            self.line(&mut answer.raw)?;
        }
    }

    fn take(&mut self, length: u64, answer: &mut Answer) -> io::Result<()> {
        let mut part = Vec::new();
        let result = (&mut self.stream).take(length).read_to_end(&mut part);
        answer.raw.extend_from_slice(&part);
        answer.body.extend_from_slice(&part);
        result?;
        if part.len() as u64 == length {
            Ok(())
        } else {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }

    fn line(&mut self, raw: &mut Vec<u8>) -> io::Result<String> {
        let mut line = Vec::new();
        let result = self.stream.read_until(b'\n', &mut line);
        raw.extend_from_slice(&line);
        result?;
        if line.last() == Some(&b'\n') {
            Ok(String::from_utf8_lossy(&line).into_owned())
        } else {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }

    fn fields(&mut self, raw: &mut Vec<u8>) -> io::Result<Vec<(String, String)>> {
        let mut fields = Vec::new();
        loop {
            let line = self.line(raw)?;
            let line = line.trim_end();
            if line.is_empty() {
                return Ok(fields);
            }
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            fields.push((name.to_owned(), value.trim().to_owned()));
        }
    }
}

fn socket(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).unwrap();
    socket.set_nodelay(true).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}
