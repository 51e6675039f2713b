//! The two ends of an open socket. Each reads and writes at the same time within
//! one task; a turn that is given up loses nothing.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::{Buf, BytesMut};
use pingora::protocols::Stream;
use pingora::protocols::http::HttpTask;
use pingora::protocols::http::v1::client;
use pingora::proxy::Session;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

use crate::message::websocket::{Decoder, Event, Order, Side};
use crate::secret;

/// What is read at once, in bytes.
const CHUNK: usize = 16 << 10;

/// What came of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// There is something to decode.
    Read,
    /// Something that was said is on its way, and more of it waits.
    Moving,
    /// All that was said is on its way.
    Written,
    /// The connection has ended, in whatever way.
    Gone,
}

/// The customer's end: pingora's session, which cannot be taken apart into halves.
pub(super) struct Customer<'s> {
    pub(super) session: &'s mut Session,
    pub(super) decoder: Decoder,
    /// Nothing more comes from there.
    pub(super) silent: bool,
    gone: bool,
    order: Order,
    out: BytesMut,
}

impl<'s> Customer<'s> {
    /// The end of a session that was answered with 101.
    pub(super) fn new(session: &'s mut Session, cap: usize) -> Self {
        // A customer who says nothing is no slow one.
        let downstream = session.as_downstream_mut();
        downstream.set_read_timeout(None);
        downstream.set_write_timeout(None);
        Self {
            session,
            decoder: Decoder::new(Side::Client, cap),
            silent: false,
            gone: false,
            order: Order::default(),
            out: BytesMut::new(),
        }
    }

    /// Says something: it goes out with the next turns.
    pub(super) fn say(&mut self, event: &Event) {
        if !self.gone {
            let out = &mut self.out;
            self.order.put(event, |event| event.encode(None, out));
        }
    }

    /// Whether something waits to go out.
    pub(super) fn is_full(&self) -> bool {
        let downstream = self.session.as_downstream();
        !self.gone && (!self.out.is_empty() || downstream.has_pending_downstream_proxy_tasks())
    }

    /// Whether something that was said is not on its way.
    pub(super) fn owes(&self) -> bool {
        self.is_full() || self.order.keeps_any()
    }

    /// The connection is of no use any more.
    pub(super) fn give_up(&mut self) {
        (self.silent, self.gone) = (true, true);
        self.out = BytesMut::new();
    }

    /// Writes what was said, and reads where `reads`, until one of the two has news.
    pub(super) async fn turn(&mut self, reads: bool) -> Turn {
        if self.gone {
            return std::future::pending().await;
        }
        let downstream = self.session.as_downstream_mut();
        if !self.out.is_empty() && !downstream.has_pending_downstream_proxy_tasks() {
            // A part at a time, so that a slow customer is told from one who is gone.
            let said = match self.out.len() {
                ..=CHUNK => std::mem::take(&mut self.out),
                _ => self.out.split_to(CHUNK),
            };
            let task = HttpTask::UpgradedBody(Some(said.freeze()), false);
            downstream.send_downstream_proxy_task(task);
        }
        let written = match self.out.is_empty() {
            true => Turn::Written,
            false => Turn::Moving,
        };
        let decoder = &mut self.decoder;
        let reads = reads && !self.silent;
        poll_fn(|context| {
            if downstream.has_pending_downstream_proxy_tasks() {
                match pin!(downstream.write_downstream_proxy_tasks()).poll(context) {
                    Poll::Ready(Ok(_)) => return Poll::Ready(written),
                    Poll::Ready(Err(_)) => return Poll::Ready(Turn::Gone),
                    Poll::Pending => {}
                }
            }
            if !reads {
                return Poll::Pending;
            }
            let read = pin!(downstream.read_request_body()).poll(context);
            read.map(|read| match read {
                Ok(Some(bytes)) => {
                    decoder.feed(&bytes);
                    Turn::Read
                }
                Ok(None) | Err(_) => Turn::Gone,
            })
        })
        .await
    }
}

/// The backend's end: a connection of its own.
pub(super) struct Backend {
    stream: Stream,
    pub(super) decoder: Decoder,
    /// Nothing more comes from there.
    pub(super) silent: bool,
    gone: bool,
    order: Order,
    out: BytesMut,
    /// Something is written that was not flushed.
    unflushed: bool,
}

impl Backend {
    /// The end of a session that answered with 101. What came right behind that
    /// answer waits in the decoder.
    pub(super) fn new(mut session: client::HttpSession, cap: usize) -> Self {
        let mut decoder = Decoder::new(Side::Server, cap);
        session.read_timeout = None;
        let early = {
            let read = pin!(session.read_body_bytes());
            read.poll(&mut Context::from_waker(Waker::noop()))
        };
        let mut ended = false;
        match early {
            Poll::Ready(Ok(Some(bytes))) => decoder.feed(&bytes),
            Poll::Ready(_) => ended = true,
            Poll::Pending => {}
        }
        Self {
            stream: session.into_inner(),
            decoder,
            silent: ended,
            gone: ended,
            order: Order::default(),
            out: BytesMut::new(),
            unflushed: false,
        }
    }

    /// Says something: it goes out with the next turns.
    pub(super) fn say(&mut self, event: &Event) {
        if !self.gone {
            let out = &mut self.out;
            // A fresh mask for every frame (RFC 6455, section 10.3).
            self.order
                .put(event, |event| event.encode(Some(secret::random()), out));
        }
    }

    /// Whether something waits to go out.
    pub(super) fn is_full(&self) -> bool {
        !self.gone && (!self.out.is_empty() || self.unflushed)
    }

    /// The connection is of no use any more.
    pub(super) fn give_up(&mut self) {
        (self.silent, self.gone) = (true, true);
        self.out = BytesMut::new();
    }

    /// Says that nothing follows.
    pub(super) async fn shut_down(&mut self) {
        if !self.gone {
            let _ = self.stream.shutdown().await;
        }
    }

    /// Writes what was said, and reads where `reads`, until one of the two has news.
    pub(super) async fn turn(&mut self, reads: bool) -> Turn {
        if self.gone {
            return std::future::pending().await;
        }
        poll_fn(|context| self.poll_turn(reads, context)).await
    }

    fn poll_turn(&mut self, reads: bool, context: &mut Context<'_>) -> Poll<Turn> {
        if self.is_full() {
            match self.poll_write(context) {
                Poll::Ready(Ok(turn)) => return Poll::Ready(turn),
                Poll::Ready(Err(_)) => return Poll::Ready(Turn::Gone),
                Poll::Pending => {}
            }
        }
        if !reads || self.silent {
            return Poll::Pending;
        }
        let mut chunk = [0; CHUNK];
        let mut chunk = ReadBuf::new(&mut chunk);
        let read = Pin::new(&mut self.stream).poll_read(context, &mut chunk);
        read.map(|read| match (read, chunk.filled()) {
            (Err(_), _) | (Ok(()), []) => Turn::Gone,
            (Ok(()), bytes) => {
                self.decoder.feed(bytes);
                Turn::Read
            }
        })
    }

    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<std::io::Result<Turn>> {
        let mut stream = Pin::new(&mut self.stream);
        if !self.out.is_empty() {
            let written = std::task::ready!(stream.as_mut().poll_write(context, &self.out))?;
            if written == 0 {
                return Poll::Ready(Err(std::io::ErrorKind::WriteZero.into()));
            }
            self.out.advance(written);
            self.unflushed = true;
        }
        if !self.out.is_empty() {
            return Poll::Ready(Ok(Turn::Moving));
        }
        self.out = BytesMut::new();
        std::task::ready!(stream.poll_flush(context))?;
        self.unflushed = false;
        Poll::Ready(Ok(Turn::Written))
    }
}
