//! The order of what one end says: between the pieces of a message only control
//! frames may stand (RFC 6455, section 5.4).

use super::Event;

/// Puts messages of our own behind a message that is under way in pieces.
#[derive(Debug, Default)]
pub struct Order {
    /// Whether a message is under way.
    within: bool,
    later: Vec<Event>,
}

impl Order {
    /// Hands `event` on, and what waited for its end; or keeps it for later.
    pub fn put(&mut self, event: &Event, mut say: impl FnMut(&Event)) {
        match event {
            Event::Text(_) | Event::Binary(_) if self.within => {
                return self.later.push(event.clone());
            }
            Event::Piece(piece) => self.within = !piece.last,
            _ => {}
        }
        say(event);
        if !self.within {
            self.later.drain(..).for_each(|event| say(&event));
        }
    }

    /// Whether anything waits for the end of a message.
    pub fn keeps_any(&self) -> bool {
        !self.later.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::Piece;
    use super::*;

    #[test]
    fn nothing_but_control_stands_between_pieces() {
        let piece = |first, last| {
            Event::Piece(Piece {
                text: true,
                bytes: Bytes::from_static(b"x"),
                first,
                last,
            })
        };
        let text = |text: &'static str| Event::Text(Bytes::from_static(text.as_bytes()));
        let ping = Event::Ping(Bytes::new());
        let mut order = Order::default();
        let mut said = Vec::new();
        for event in [
            &text("before"),
            &piece(true, false),
            &text("one"),
            &ping,
            &piece(false, false),
            &text("two"),
            &piece(false, true),
            &text("after"),
        ] {
            order.put(event, |event| said.push(event.clone()));
        }
        let expected = [
            text("before"),
            piece(true, false),
            ping,
            piece(false, false),
            piece(false, true),
            text("one"),
            text("two"),
            text("after"),
        ];
        assert_eq!(said, expected);
    }
}
