//! HTTP/2: the scripted backend over it, and a client.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::HeaderMap;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::message::{Answer, Request};
use super::origin::{Log, Origin, Script};
use super::script::{Framing, Reply, Seen};
use super::{PATIENCE, tls};

impl Origin {
    /// A backend over cleartext HTTP/2, by prior knowledge.
    pub fn start_h2(script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        serve(Arc::new(script), false)
    }

    /// A backend over TLS and HTTP/2.
    pub fn start_h2_tls(script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        serve(Arc::new(script), true)
    }
}

/// An HTTP/2 client on one TLS connection.
pub struct Client {
    runtime: Runtime,
    requests: SendRequest<Bytes>,
    authority: String,
}

impl Client {
    /// Connects; the server has to agree to `h2`.
    pub fn connect(address: SocketAddr) -> Self {
        let runtime = runtime();
        let requests = runtime.block_on(async {
            let socket = TcpStream::connect(address).await.unwrap();
            socket.set_nodelay(true).unwrap();
            let name = ServerName::try_from("localhost").unwrap();
            let stream = TlsConnector::from(tls::client(&["h2"]))
                .connect(name, socket)
                .await
                .unwrap();
            let agreed = stream.get_ref().1.alpn_protocol();
            assert_eq!(agreed, Some(&b"h2"[..]), "the server speaks HTTP/2");
            let (requests, connection) = h2::client::handshake(stream).await.unwrap();
            tokio::spawn(connection);
            requests
        });
        Self {
            runtime,
            requests,
            authority: format!("localhost:{}", address.port()),
        }
    }

    /// Sends a request whose body does not come to its end, and reads its answer.
    pub fn exchange_unfinished(&mut self, request: &Request) -> Answer {
        let (mut requests, authority) = (self.requests.clone(), self.authority.clone());
        let work = async move {
            poll_fn(|context| requests.poll_ready(context)).await?;
            let uri = format!("https://{authority}{}", request.target);
            let mut head = http::Request::post(uri).version(http::Version::HTTP_2);
            for (name, value) in &request.headers {
                head = head.header(name.to_ascii_lowercase(), value);
            }
            let (response, mut body) = requests.send_request(head.body(()).unwrap(), false)?;
            body.send_data(Bytes::copy_from_slice(&request.body), false)?;
            let (head, mut stream) = response.await?.into_parts();
            let mut answer = Answer {
                version: "HTTP/2".into(),
                status: head.status.as_u16(),
                headers: fields(&head.headers),
                ..Answer::default()
            };
            while let Some(piece) = stream.data().await {
                answer.body.extend_from_slice(&piece?);
            }
            Ok::<_, h2::Error>(answer)
        };
        let work = async { tokio::time::timeout(PATIENCE, work).await };
        let answer = self.runtime.block_on(work).expect("an answer in time");
        answer.expect("an answer")
    }

    /// Sends a request and waits for the head of its answer, of which no more is read
    /// than the connection takes unasked.
    pub fn exchange_unread(mut self, request: &Request) -> impl Sized + use<> {
        let work = async {
            poll_fn(|context| self.requests.poll_ready(context)).await?;
            let uri = format!("https://{}{}", self.authority, request.target);
            let mut head = http::Request::get(uri).version(http::Version::HTTP_2);
            for (name, value) in &request.headers {
                head = head.header(name.to_ascii_lowercase(), value);
            }
            let request = head.body(()).unwrap();
            self.requests.send_request(request, true)?.0.await
        };
        let work = async { tokio::time::timeout(PATIENCE, work).await };
        let answer = self.runtime.block_on(work).expect("an answer in time");
        (answer.expect("an answer"), self)
    }

    /// Sends a request and takes no more of its answer than the connection takes unasked;
    /// the error with which that ends.
    pub fn exchange_stalled(&mut self, request: &Request) -> h2::Error {
        let (mut requests, authority) = (self.requests.clone(), self.authority.clone());
        let work = async move {
            poll_fn(|context| requests.poll_ready(context)).await?;
            let uri = format!("https://{authority}{}", request.target);
            let head = http::Request::get(uri).version(http::Version::HTTP_2);
            let (response, _) = requests.send_request(head.body(()).unwrap(), true)?;
            let mut stream = response.await?.into_body();
            while let Some(piece) = stream.data().await {
                piece?;
            }
            Ok(())
        };
        let work = async { tokio::time::timeout(PATIENCE, work).await };
        let end: Result<(), h2::Error> = self.runtime.block_on(work).expect("an end in time");
        end.expect_err("the answer does not come to its end")
    }

    /// Waits until the server has closed the connection.
    pub fn closed(&mut self) {
        let requests = &mut self.requests;
        let end = async {
            while poll_fn(|context| requests.poll_ready(context))
                .await
                .is_ok()
            {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        let end = async { tokio::time::timeout(PATIENCE, end).await };
        self.runtime.block_on(end).expect("closed in time");
    }

    /// Sends a request and reads its answer; a stream that was reset before the
    /// head came yields status 0.
    pub fn exchange(&mut self, request: &Request) -> Answer {
        self.exchange_hearing(request, || ())
    }

    /// The same; `heard` is told of each piece of the body.
    pub fn exchange_hearing(&mut self, request: &Request, heard: impl FnMut()) -> Answer {
        let mut answer = Answer {
            version: "HTTP/2".into(),
            ..Answer::default()
        };
        let (requests, authority) = (&mut self.requests, &self.authority);
        let work = exchange(requests, authority, request, &mut answer, heard);
        let result = self
            .runtime
            .block_on(async { tokio::time::timeout(PATIENCE, work).await });
        answer.whole = result.expect("an answer in time").is_ok();
        answer
    }
}

async fn exchange(
    requests: &mut SendRequest<Bytes>,
    authority: &str,
    request: &Request,
    answer: &mut Answer,
    mut heard: impl FnMut(),
) -> Result<(), h2::Error> {
    poll_fn(|context| requests.poll_ready(context)).await?;
    let mut head = http::Request::builder()
        .method(request.method.as_str())
        .uri(format!("https://{authority}{}", request.target))
        .version(http::Version::HTTP_2);
    for (name, value) in &request.headers {
        head = head.header(name.to_ascii_lowercase(), value);
    }
    let head = head.body(()).unwrap();
    let (data, last) = (!request.body.is_empty(), request.trailers.is_empty());
    let (response, mut body) = requests.send_request(head, !data && last)?;
    if data {
        body.send_data(Bytes::copy_from_slice(&request.body), last)?;
    }
    if !last {
        body.send_trailers(map(&request.trailers).unwrap())?;
    }
    let mut response = response;
    while let Some(interim) = poll_fn(|context| response.poll_informational(context)).await {
        let interim = interim?;
        answer.interim.push(interim.status().as_u16());
        answer
            .raw
            .extend_from_slice(render(interim.headers()).as_bytes());
    }
    let (head, mut stream) = response.await?.into_parts();
    answer.status = head.status.as_u16();
    answer.headers = fields(&head.headers);
    answer
        .raw
        .extend_from_slice(render(&head.headers).as_bytes());
    while let Some(piece) = stream.data().await {
        let piece = piece?;
        let _ = stream.flow_control().release_capacity(piece.len());
        answer.body.extend_from_slice(&piece);
        answer.raw.extend_from_slice(&piece);
        heard();
    }
    if let Some(trailers) = stream.trailers().await? {
        answer.trailers = fields(&trailers);
        answer.raw.extend_from_slice(render(&trailers).as_bytes());
    }
    Ok(())
}

fn serve(script: Script, tls: bool) -> Origin {
    let runtime = runtime();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let origin = Origin {
        address: listener.local_addr().unwrap(),
        tls,
        http2: true,
        log: Log::default(),
    };
    let log = origin.log.clone();
    thread::spawn(move || {
        runtime.block_on(async move {
            loop {
                let Ok((socket, _)) = listener.accept().await else {
                    continue;
                };
                log.connections.fetch_add(1, Ordering::SeqCst);
                let (log, script) = (log.clone(), Arc::clone(&script));
                tokio::spawn(async move {
                    let _ = socket.set_nodelay(true);
                    if !tls {
                        return converse(socket, log, script).await;
                    }
                    match TlsAcceptor::from(tls::server(&["h2"])).accept(socket).await {
                        Ok(stream) => converse(stream, log, script).await,
                        Err(error) => Err(io::Error::other(error).into()),
                    }
                });
            }
        });
    });
    origin
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    log: Log,
    script: Script,
) -> Result<(), Failure> {
    let mut connection = h2::server::handshake(stream).await?;
    while let Some(request) = connection.accept().await {
        let (request, respond) = request?;
        let (log, script) = (log.clone(), Arc::clone(&script));
        tokio::spawn(async move {
            let (head, body) = request.into_parts();
            let seen = read(head, body).await?;
            log.seen.lock().unwrap().push(seen.clone());
            write(respond, &script(&seen), seen.method == "HEAD").await
        });
    }
    Ok(())
}

async fn read(head: http::request::Parts, mut body: RecvStream) -> Result<Seen, Failure> {
    let mut seen = Seen {
        method: head.method.to_string(),
        target: head
            .uri
            .path_and_query()
            .map_or_else(|| head.uri.to_string(), ToString::to_string),
        headers: fields(&head.headers),
        ..Seen::default()
    };
    while let Some(piece) = body.data().await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
        seen.body.extend_from_slice(&piece);
    }
    let trailers = body.trailers().await?.unwrap_or_default();
    seen.trailers = fields(&trailers);
    let line = format!("{} {} HTTP/2\r\n", seen.method, seen.target);
    let parts = [line, render(&head.headers), "\r\n".into()].concat();
    seen.raw = [parts.as_bytes(), &seen.body, render(&trailers).as_bytes()].concat();
    Ok(seen)
}

async fn write(
    mut respond: SendResponse<Bytes>,
    reply: &Reply,
    head_only: bool,
) -> Result<(), Failure> {
    for (status, headers) in &reply.interim {
        respond.send_informational(head(*status, headers)?)?;
    }
    let size: usize = reply.pieces.iter().map(Vec::len).sum();
    let mut headers = reply.headers.clone();
    if reply.framing == Framing::Sized && !reply.cut {
        headers.push(("content-length".into(), size.to_string()));
    }
    let empty = head_only || reply.framing == Framing::Bare || size == 0;
    let done = empty && reply.trailers.is_empty() && !reply.cut;
    let mut stream = respond.send_response(head(reply.status, &headers)?, done)?;
    if done {
        return Ok(());
    }
    for piece in reply.pieces.iter().filter(|_| !empty) {
        tokio::time::sleep(reply.pause).await;
        let mut rest = Bytes::copy_from_slice(piece);
        while !rest.is_empty() {
            stream.reserve_capacity(rest.len());
            let room = poll_fn(|context| stream.poll_capacity(context)).await;
            let room = room.ok_or("the stream is gone")??;
            stream.send_data(rest.split_to(room.min(rest.len())), false)?;
        }
    }
    if let Some(gate) = reply.gate.clone() {
        tokio::task::spawn_blocking(move || drop(gate.lock())).await?;
    }
    if reply.cut {
        // Let what was sent go out before the reset overtakes it.
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        stream.send_reset(Reason::INTERNAL_ERROR);
    } else if reply.trailers.is_empty() {
        stream.send_data(Bytes::new(), true)?;
    } else {
        stream.send_trailers(map(&reply.trailers)?)?;
    }
    Ok(())
}

fn head(status: u16, headers: &[(String, String)]) -> Result<http::Response<()>, Failure> {
    let mut head = http::Response::builder().status(status).body(())?;
    *head.headers_mut() = map(headers)?;
    Ok(head)
}

fn map(headers: &[(String, String)]) -> Result<HeaderMap, Failure> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(
            http::HeaderName::try_from(name.as_str())?,
            http::HeaderValue::try_from(value.as_str())?,
        );
    }
    Ok(map)
}

fn fields(headers: &HeaderMap) -> Vec<(String, String)> {
    headers
        .iter()
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.to_string(), value)
        })
        .collect()
}

fn render(headers: &HeaderMap) -> String {
    fields(headers)
        .into_iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect()
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}
