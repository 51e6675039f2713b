//! UTF-8 that comes in parts.

/// Knows whether the parts so far can be the beginning of a text.
#[derive(Debug, Default)]
pub(super) struct Utf8 {
    /// The beginning of a character that was cut.
    cut: [u8; 4],
    length: usize,
}

impl Utf8 {
    /// Takes a part; `false` when no text has it there.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> bool {
        while self.length > 0 {
            let Some((byte, rest)) = bytes.split_first() else {
                return true;
            };
            let Some(place) = self.cut.get_mut(self.length) else {
                return false;
            };
            *place = *byte;
            self.length += 1;
            bytes = rest;
            match std::str::from_utf8(self.cut.get(..self.length).unwrap_or_default()) {
                Ok(_) => self.length = 0,
                Err(error) if error.error_len().is_some() => return false,
                Err(_) => {}
            }
        }
        let Err(error) = std::str::from_utf8(bytes) else {
            return true;
        };
        let cut = bytes.get(error.valid_up_to()..).unwrap_or_default();
        let Some(place) = self.cut.get_mut(..cut.len()) else {
            return false;
        };
        if error.error_len().is_some() {
            return false;
        }
        place.copy_from_slice(cut);
        self.length = cut.len();
        true
    }

    /// Whether the text may end here.
    pub(super) fn is_whole(&self) -> bool {
        self.length == 0
    }
}
