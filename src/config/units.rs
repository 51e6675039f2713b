//! Durations and sizes as operators write them.

use std::time::Duration;

use super::reader::{Node, Wrong};

const DURATION_HELP: &str = "write it like \"500ms\", \"30s\", \"10m\", \"1h30m\" or \"2d\"";
const SIZE_HELP: &str = "write it like \"512B\", \"64KiB\", \"1MiB\" or \"2GiB\"";
/// Longest duration: a hundred years.
const LONGEST: u64 = 100 * 365 * 86_400_000;

impl Node<'_> {
    /// A duration above zero.
    pub(super) fn duration(self) -> Option<Duration> {
        if self.is_integer() {
            self.show();
            let message = format!("`{}` is a duration and needs a unit", self.name);
            self.error(Wrong::new(message, DURATION_HELP));
            return None;
        }
        self.parse(duration)
    }

    /// A duration above zero and up to a bound.
    pub(super) fn duration_up_to(self, most: Duration) -> Option<Duration> {
        let duration = self.duration()?;
        if duration > most {
            let most = written(most);
            self.error(format!("`{}` must be at most {most}", self.name));
            return None;
        }
        Some(duration)
    }

    /// A size in bytes, above zero and up to a bound.
    pub(super) fn size_up_to(self, most: u64) -> Option<usize> {
        if self.is_integer() {
            self.show();
            let message = format!("`{}` is a size and needs a unit", self.name);
            self.error(Wrong::new(message, SIZE_HELP));
            return None;
        }
        let size = self.parse(size)?;
        if size > most {
            let most = written_size(most);
            self.error(format!("`{}` must be at most {most}", self.name));
            return None;
        }
        usize::try_from(size).ok()
    }
}

/// Reads a duration as operators write it; says what is wrong with one that is none.
pub fn read_duration(text: &str) -> Result<Duration, String> {
    duration(text).map_err(|wrong| wrong.message)
}

fn duration(text: &str) -> Result<Duration, Wrong> {
    let wrong = || Wrong::new("this is not a duration", DURATION_HELP);
    let units = [
        ("ms", 1),
        ("s", 1000),
        ("m", 60_000),
        ("h", 3_600_000),
        ("d", 86_400_000),
    ];
    let mut rest = text;
    let mut total: u64 = 0;
    let mut last = u64::MAX;
    while !rest.is_empty() {
        let (number, tail) = number(rest).ok_or_else(wrong)?;
        let word = tail
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(word);
        let (_, millis) = units
            .iter()
            .find(|(name, _)| *name == unit)
            .ok_or_else(wrong)?;
        // Each unit once, the larger one first.
        if *millis >= last {
            return Err(wrong());
        }
        let part = number.checked_mul(*millis).ok_or_else(wrong)?;
        total = total.checked_add(part).ok_or_else(wrong)?;
        last = *millis;
        rest = tail;
    }
    if text.is_empty() {
        return Err(wrong());
    }
    if total == 0 {
        let help = "leave the key out to have no limit, where that is allowed";
        return Err(Wrong::new("a duration of zero", help));
    }
    if total > LONGEST {
        return Err("longer than a hundred years".into());
    }
    Ok(Duration::from_millis(total))
}

fn size(text: &str) -> Result<u64, Wrong> {
    let wrong = || Wrong::new("this is not a size", SIZE_HELP);
    let (number, unit) = number(text).ok_or_else(wrong)?;
    let shift = match unit {
        "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return Err(wrong()),
    };
    let size = number.checked_mul(1 << shift).ok_or_else(wrong)?;
    if size == 0 {
        return Err("a size of zero".into());
    }
    Ok(size)
}

/// The digits in front, and the rest.
fn number(text: &str) -> Option<(u64, &str)> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, rest) = text.split_at(digits);
    Some((number.parse().ok()?, rest))
}

/// A duration as an operator would write it.
pub fn written(span: Duration) -> String {
    let mut rest = span.as_millis();
    let mut text = String::new();
    for (unit, millis) in [
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1000),
        ("ms", 1),
    ] {
        if rest >= millis {
            text.push_str(&format!("{}{unit}", rest / millis));
            rest %= millis;
        }
    }
    if text.is_empty() { "0s".into() } else { text }
}

/// A size as an operator would write it.
pub fn written_size(size: u64) -> String {
    let units = [
        ("GiB", 1 << 30),
        ("MiB", 1 << 20),
        ("KiB", 1 << 10),
        ("B", 1),
    ];
    let fits = units
        .into_iter()
        .find(|(_, unit)| size >= *unit && size.is_multiple_of(*unit));
    let (name, unit) = fits.unwrap_or(("B", 1));
    format!("{}{name}", size / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_durations() {
        for (text, millis) in [
            ("500ms", 500),
            ("30s", 30_000),
            ("1h30m", 5_400_000),
            ("2d", 172_800_000),
            ("1m500ms", 60_500),
        ] {
            assert_eq!(duration(text).unwrap().as_millis(), millis, "{text}");
            assert_eq!(written(Duration::from_millis(millis as u64)), text);
        }
    }

    #[test]
    fn refuses_what_is_no_duration() {
        for text in [
            "",
            "5",
            "s",
            "5 s",
            "5x",
            "-5s",
            "5s5s",
            "5s1m",
            "0s",
            "1.5h",
            "99999999999999999999s",
            "99999999d",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn reads_sizes() {
        assert_eq!(size("64KiB").unwrap(), 65_536);
        assert_eq!(written_size(1 << 20), "1MiB");
        assert_eq!(written_size(1500), "1500B");
        for text in ["", "64", "64KB", "KiB", "0B", "99999999999GiB"] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}
