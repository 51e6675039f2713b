//! What passed of a stream and is not known to be written. pingora asks for a few chunks
//! before it writes any of them, and writes none where the last of them ends the stream;
//! what it has written it counts.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use pingora::proxy::Session;

use crate::gateway::handover::Handovers;

#[derive(Default)]
pub(super) struct Unsent {
    /// The length of all that was written.
    written: usize,
    /// The chunks behind it, each with the messages in it that the store has no more.
    chunks: VecDeque<(Bytes, Handovers)>,
}

impl Unsent {
    /// Adds what passes next.
    pub(super) fn add(&mut self, chunk: Bytes, handovers: Handovers) {
        self.chunks.push_back((chunk, handovers));
    }

    /// Looks how much of it is written by now.
    pub(super) fn look(&mut self, session: &Session) {
        let sent = session.body_bytes_sent();
        while let Some((chunk, handovers)) = self.chunks.front_mut()
            && self.written + chunk.len() <= sent
        {
            self.written += chunk.len();
            handovers.arrived();
            self.chunks.pop_front();
        }
    }

    /// All of it.
    pub(super) fn bytes(&self) -> Bytes {
        let mut bytes = BytesMut::new();
        for (chunk, _) in &self.chunks {
            bytes.extend_from_slice(chunk);
        }
        bytes.freeze()
    }

    /// No more of it is written.
    pub(super) async fn settle(mut self, session: &Session) {
        self.look(session);
        // The newest first: what is put back stands before all that waits.
        while let Some((_, mut handovers)) = self.chunks.pop_back() {
            handovers.put_back().await;
        }
    }
}
