//! Both ends of a WebSocket, frame by frame: nothing is answered, masked or put
//! together unless a test says so.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;

use super::message::Answer;
use super::{PATIENCE, Wire};

/// The key of RFC 6455, section 1.3, and what accepts it.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Whether the message ends with it.
    pub fin: bool,
    /// 0 continuation, 1 text, 2 binary, 8 close, 9 ping, 10 pong.
    pub opcode: u8,
    /// Its payload, unmasked.
    pub payload: Vec<u8>,
}

impl Frame {
    /// A frame that ends its message.
    pub fn new(opcode: u8, payload: impl Into<Vec<u8>>) -> Self {
        Self {
            fin: true,
            opcode,
            payload: payload.into(),
        }
    }

    /// A text message in one frame.
    pub fn text(text: &str) -> Self {
        Self::new(1, text)
    }

    /// A part of a message that another frame ends.
    pub fn open(mut self) -> Self {
        self.fin = false;
        self
    }

    /// A close frame.
    pub fn close(code: u16, reason: &str) -> Self {
        Self::new(8, [&code.to_be_bytes()[..], reason.as_bytes()].concat())
    }

    /// Its bytes.
    pub fn bytes(&self, masked: bool) -> Vec<u8> {
        let mut bytes = vec![self.opcode | if self.fin { 0x80 } else { 0 }];
        let mask = if masked { 0x80 } else { 0 };
        match self.payload.len() {
            length @ ..126 => bytes.push(mask | length as u8),
            length @ 126..0x1_0000 => {
                bytes.push(mask | 126);
                bytes.extend((length as u16).to_be_bytes());
            }
            length => {
                bytes.push(mask | 127);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        if !masked {
            bytes.extend(&self.payload);
            return bytes;
        }
        let key = [0x37, 0xfa, 0x21, 0x3d];
        bytes.extend(key);
        let masked = self.payload.iter().zip(key.iter().cycle());
        bytes.extend(masked.map(|(byte, key)| byte ^ key));
        bytes
    }

    /// The close code, of a close frame that has one.
    pub fn code(&self) -> Option<u16> {
        let code = self.payload.get(..2)?;
        (self.opcode == 8).then(|| u16::from_be_bytes([code[0], code[1]]))
    }

    /// The payload as text.
    pub fn said(&self) -> String {
        String::from_utf8_lossy(&self.payload).into_owned()
    }
}

/// One end.
pub struct WebSocket {
    /// The other end's part of the handshake.
    pub head: String,
    stream: BufReader<TcpStream>,
    masks: bool,
}

impl WebSocket {
    /// Asks for a socket as a client; `headers` come on top.
    pub fn ask(
        at: SocketAddr,
        target: &str,
        headers: &[(&str, &str)],
    ) -> Result<Self, Box<Answer>> {
        Self::ask_with(at, target, headers, b"")
    }

    /// The same, with bytes sent right behind the handshake.
    pub fn ask_with(
        at: SocketAddr,
        target: &str,
        headers: &[(&str, &str)],
        early: &[u8],
    ) -> Result<Self, Box<Answer>> {
        let mut bytes = handshake(at, target, headers).into_bytes();
        bytes.extend_from_slice(early);
        let mut stream = BufReader::new(socket(at));
        stream.get_mut().write_all(&bytes).unwrap();
        let head = head(&mut stream);
        if head.starts_with("HTTP/1.1 101 ") {
            assert!(
                head.to_lowercase().contains(&ACCEPT.to_lowercase()),
                "{head}"
            );
            return Ok(Self {
                head,
                stream,
                masks: true,
            });
        }
        // Refused: once more, to read the whole answer.
        let mut wire = Wire::connect(at);
        wire.send(handshake(at, target, headers));
        Err(Box::new(wire.answer("GET")))
    }

    /// The same end once more, to send while the other one reads.
    pub fn copy(&self) -> Self {
        Self {
            head: self.head.clone(),
            stream: BufReader::new(self.stream.get_ref().try_clone().unwrap()),
            masks: self.masks,
        }
    }

    /// Waits until something comes, and leaves most of it on the way.
    pub fn peek(&mut self) {
        assert!(!self.stream.fill_buf().unwrap().is_empty());
    }

    /// Sends bytes as they are.
    pub fn send_raw(&mut self, bytes: &[u8]) {
        let _ = self.stream.get_mut().write_all(bytes);
    }

    /// Sends a frame.
    pub fn send(&mut self, frame: &Frame) {
        let bytes = frame.bytes(self.masks);
        self.send_raw(&bytes);
    }

    /// Says a text.
    pub fn say(&mut self, text: &str) {
        self.send(&Frame::text(text));
    }

    /// Says JSON.
    pub fn say_json(&mut self, value: &Value) {
        self.say(&value.to_string());
    }

    /// The next frame; `None` when the connection has ended.
    pub fn frame(&mut self) -> Option<Frame> {
        let mut head = [0; 2];
        if let Err(error) = self.stream.read_exact(&mut head) {
            let kind = error.kind();
            assert!(kind != std::io::ErrorKind::WouldBlock, "nothing came");
            return None;
        }
        assert_eq!(head[0] & 0x70, 0, "a reserved bit");
        let masked = head[1] & 0x80 != 0;
        assert_ne!(masked, self.masks, "only clients mask");
        let length = match head[1] & 0x7f {
            126 => u64::from(u16::from_be_bytes(self.read())),
            127 => u64::from_be_bytes(self.read()),
            short => u64::from(short),
        };
        let key = if masked { self.read::<4>() } else { [0; 4] };
        let mut payload = vec![0; length as usize];
        self.stream.read_exact(&mut payload).unwrap();
        for (byte, key) in payload.iter_mut().zip(key.iter().cycle()) {
            *byte ^= key;
        }
        Some(Frame {
            fin: head[0] & 0x80 != 0,
            opcode: head[0] & 0x0f,
            payload,
        })
    }

    /// The next frame that is no ping of the gateway's; those are answered.
    ///
    /// # Panics
    /// When the connection ends.
    pub fn next(&mut self) -> Frame {
        loop {
            let frame = self.frame().expect("a frame");
            if frame.opcode != 9 || frame.payload.len() != 8 {
                return frame;
            }
            self.send(&Frame::new(10, frame.payload));
        }
    }

    /// The next message, which is text.
    pub fn hear(&mut self) -> String {
        let frame = self.next();
        assert_eq!((frame.fin, frame.opcode), (true, 1), "{frame:?}");
        frame.said()
    }

    /// The next message, which is JSON.
    pub fn hear_json(&mut self) -> Value {
        serde_json::from_str(&self.hear()).unwrap()
    }

    /// The cookie that came with the handshake, as it goes back.
    pub fn cookie(&self) -> String {
        let lines = self.head.lines();
        let set = lines.filter_map(|line| line.split_once(": "));
        let mut set = set.filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"));
        let (_, cookie) = set.next().expect("a cookie");
        cookie.split(';').next().unwrap_or_default().to_owned()
    }

    fn read<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.stream.read_exact(&mut bytes).unwrap();
        bytes
    }
}

/// A backend whose sockets a test speaks for.
pub struct SocketOrigin {
    /// Where it listens.
    pub address: SocketAddr,
    opened: Receiver<WebSocket>,
    answer: Arc<Mutex<Vec<u8>>>,
}

impl SocketOrigin {
    /// One that opens every socket it is asked for.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let answer = Arc::new(Mutex::new(accepted("")));
        let (send, opened) = channel();
        let says = answer.clone();
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                socket.set_read_timeout(Some(PATIENCE)).unwrap();
                socket.set_nodelay(true).unwrap();
                let mut stream = BufReader::new(socket);
                let head = head(&mut stream);
                let answer = says.lock().unwrap().clone();
                let _ = stream.get_mut().write_all(&answer);
                let _ = send.send(WebSocket {
                    head,
                    stream,
                    masks: false,
                });
            }
        });
        Self {
            address,
            opened,
            answer,
        }
    }

    /// Answers handshakes from now on with these bytes.
    pub fn answers(&self, bytes: impl Into<Vec<u8>>) {
        *self.answer.lock().unwrap() = bytes.into();
    }

    /// The `[upstream.bot]` table that leads to it.
    pub fn upstream(&self) -> String {
        format!("[upstream.bot]\nurl = \"http://{}\"\n", self.address)
    }

    /// The next socket that was opened.
    pub fn accept(&self) -> WebSocket {
        self.opened.recv_timeout(PATIENCE).expect("a socket")
    }
}

/// A good answer to a handshake, with more header lines.
pub fn accepted(more: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {ACCEPT}\r\n{more}\r\n"
    )
    .into_bytes()
}

/// A handshake.
pub fn handshake(at: SocketAddr, target: &str, headers: &[(&str, &str)]) -> String {
    let mut text = format!(
        "GET {target} HTTP/1.1\r\nHost: {at}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    );
    for (name, value) in [("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Key", KEY)] {
        if !headers.iter().any(|(given, _)| *given == name) {
            text += &format!("{name}: {value}\r\n");
        }
    }
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    text + "\r\n"
}

fn socket(at: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(at).unwrap();
    socket.set_nodelay(true).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// Everything up to the blank line.
fn head(stream: &mut impl BufRead) -> String {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") && stream.read_line(&mut head).is_ok_and(|read| read > 0) {}
    head
}
