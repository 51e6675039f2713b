//! When a claim and a field of a record say the same: the forms that people and
//! systems write one and the same thing in.
//!
//! Each kind turns both sides into one form. What has no such form (nothing in it, a
//! letter in a phone number, the thirtieth of February) is like nothing, not even
//! like itself.

use serde_json::Value;
use time::{Date, Month};
use unicode_normalization::UnicodeNormalization;

/// How two values are compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Normal {
    /// Byte for byte.
    Exact,
    /// Case, blanks at the ends and the number of blanks between words do not count.
    Text,
    /// The digits, whatever stands between them.
    Digits,
    /// As phone numbers.
    Phone(Plan),
    /// As calendar dates, each side in its own form.
    Date {
        /// The claim's.
        claim: DateForm,
        /// The record's.
        field: DateForm,
    },
}

impl Normal {
    /// Whether they say the same. Strings, whole numbers and booleans can; of a field
    /// with several values one is enough. Never what is missing, `null` or empty.
    pub fn same(&self, claim: &Value, field: &Value) -> bool {
        let Some(claim) = self.of(claim, true) else {
            return false;
        };
        let like = |value: &Value| self.of(value, false).is_some_and(|field| field == claim);
        match field {
            Value::Array(values) => values.iter().any(like),
            value => like(value),
        }
    }

    fn of(&self, value: &Value, claimed: bool) -> Option<String> {
        let text = text(value)?;
        let form = match self {
            Self::Exact => Some(text),
            Self::Text => Some(folded(&text)),
            Self::Digits => digits(&text),
            Self::Phone(plan) => plan.number(&text),
            Self::Date { claim, field } => {
                let form = if claimed { claim } else { field };
                form.date(&text).map(|date| date.to_string())
            }
        };
        form.filter(|form| !form.trim().is_empty())
    }
}

/// The text of a value that can be compared. Numbers with a fraction lose digits when
/// they are read.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) if !number.is_f64() => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        _ => None,
    }
    .filter(|text| !text.trim().is_empty())
}

/// One spelling for all ways of writing letters: `é` as one character or two, `ß` and
/// `ẞ` and `SS`.
fn folded(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let text: String = words.join(" ").nfc().collect();
    // `ẞ` has no upper case but its lower case has.
    let upper = text.to_lowercase().to_uppercase();
    upper.to_lowercase().nfc().collect()
}

/// Letters and digits of other scripts are no blanks: what has them is not comparable.
fn digits(text: &str) -> Option<String> {
    let other = |c: char| c.is_alphanumeric() && !c.is_ascii_digit();
    let digits = || text.chars().filter(char::is_ascii_digit).collect();
    (!text.contains(other)).then(digits)
}

/// How phone numbers are written in a country.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The calling code of numbers without one: `49`. `None`: such a number is like
    /// another one without a code only.
    pub country: Option<Box<str>>,
    /// What stands before the area code inside the country: `0`, nothing in Italy.
    pub trunk: Box<str>,
}

impl Plan {
    /// Lengths of a number with its calling code (ITU-T E.164, section 6.2.1), and the
    /// least that tells customers apart.
    const LENGTH: std::ops::RangeInclusive<usize> = 7..=15;

    /// One form for all: `+49301234567`; without a calling code the digits as dialled.
    fn number(&self, text: &str) -> Option<String> {
        let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let (rest, coded) = self.international(&text);
        // "+49 (0)30 …": dialled inside the country only.
        let optional = format!("({})", self.trunk);
        let rest = match coded && !self.trunk.is_empty() {
            true => rest.replacen(&optional, "", 1),
            false => rest.to_owned(),
        };
        let mut digits = String::new();
        for c in rest.chars() {
            match c {
                '0'..='9' => digits.push(c),
                '-' | '.' | '/' | '(' | ')' | '\u{2010}'..='\u{2015}' | '\u{2212}' => {}
                _ => return None,
            }
        }
        let whole = match (&self.country, coded) {
            (_, true) => digits,
            (Some(country), false) => [country, self.national(&digits)?].concat(),
            (None, false) => {
                let fits = Self::LENGTH.contains(&digits.len());
                return fits.then_some(digits);
            }
        };
        let fits = Self::LENGTH.contains(&whole.len()) && !whole.starts_with('0');
        fits.then(|| format!("+{whole}"))
    }

    /// What follows `+`, `00` (or `011`, dialled in countries with the code 1).
    fn international<'t>(&self, text: &'t str) -> (&'t str, bool) {
        let abroad = match self.country.as_deref() {
            Some("1") => "011",
            _ => "00",
        };
        let rest = text.strip_prefix('+').or_else(|| text.strip_prefix(abroad));
        rest.map_or((text, false), |rest| (rest, true))
    }

    /// Without the trunk prefix. A number that lacks it has no area code either, save
    /// where the code is 1: there it is often left out.
    fn national<'t>(&self, digits: &'t str) -> Option<&'t str> {
        let rest = digits.strip_prefix(&*self.trunk);
        match self.country.as_deref() {
            Some("1") if digits.len() == 10 => Some(digits),
            _ => rest,
        }
    }
}

/// The order in which a date is written. Never guessed: 01/02 is January in one
/// country and February in the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DateForm {
    /// `1970-01-31` (ISO 8601); a time of midnight after it does not count.
    #[default]
    Iso,
    /// `19700131`; a time of midnight after it does not count (RFC 4517, section 3.3.13).
    Compact,
    /// `31.01.1970`.
    Dotted,
    /// `31/01/1970`.
    DayFirst,
    /// `01/31/1970`.
    MonthFirst,
}

impl DateForm {
    /// All of them, by the name that an operator writes.
    pub const ALL: [(&'static str, Self); 5] = [
        ("yyyy-mm-dd", Self::Iso),
        ("yyyymmdd", Self::Compact),
        ("dd.mm.yyyy", Self::Dotted),
        ("dd/mm/yyyy", Self::DayFirst),
        ("mm/dd/yyyy", Self::MonthFirst),
    ];

    /// The date, if there is such a day.
    fn date(self, text: &str) -> Option<Date> {
        let text = text.trim();
        let (year, month, day) = match self {
            Self::Iso => {
                let (date, time) = text.split_at_checked(10)?;
                if !midnight(time, ["T00:00:00", " 00:00:00"]) {
                    return None;
                }
                let mut parts = date.split('-');
                (parts.next()?, parts.next()?, parts.next()?)
            }
            Self::Compact => {
                let (date, time) = text.split_at_checked(8)?;
                if !midnight(time, ["000000", "0000"]) {
                    return None;
                }
                (date.get(..4)?, date.get(4..6)?, date.get(6..)?)
            }
            Self::Dotted | Self::DayFirst | Self::MonthFirst => {
                let between = if self == Self::Dotted { '.' } else { '/' };
                let mut parts = text.split(between).map(str::trim);
                let (first, second) = (parts.next()?, parts.next()?);
                let year = parts.next()?;
                if parts.next().is_some() {
                    return None;
                }
                match self {
                    Self::MonthFirst => (year, first, second),
                    _ => (year, second, first),
                }
            }
        };
        let short = |text: &str| (1..=2).contains(&text.len());
        let plain = [year, month, day]
            .iter()
            .all(|part| part.bytes().all(|b| b.is_ascii_digit()));
        if !plain || year.len() != 4 || !short(month) || !short(day) {
            return None;
        }
        let month = Month::try_from(month.parse::<u8>().ok()?).ok()?;
        Date::from_calendar_date(year.parse().ok()?, month, day.parse().ok()?).ok()
    }
}

/// Whether a time is none, or midnight: of any other the day depends on the place.
fn midnight(time: &str, forms: [&str; 2]) -> bool {
    if time.is_empty() {
        return true;
    }
    let time = time.strip_suffix('Z').unwrap_or(time);
    let rest = forms.iter().find_map(|form| time.strip_prefix(form));
    rest.is_some_and(|rest| match rest.strip_prefix('.') {
        Some(fraction) => !fraction.is_empty() && fraction.bytes().all(|b| b == b'0'),
        None => rest.is_empty(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn german() -> Normal {
        Normal::Phone(Plan {
            country: Some("49".into()),
            trunk: "0".into(),
        })
    }

    fn uncoded() -> Normal {
        Normal::Phone(Plan {
            country: None,
            trunk: "0".into(),
        })
    }

    fn dates(claim: DateForm, field: DateForm) -> Normal {
        Normal::Date { claim, field }
    }

    fn all() -> Vec<Normal> {
        let mut all = vec![Normal::Exact, Normal::Text, Normal::Digits];
        all.extend([german(), uncoded()]);
        all.extend(DateForm::ALL.map(|(_, form)| dates(form, form)));
        all
    }

    #[test]
    fn nothing_is_like_nothing() {
        let nothing = [
            json!(null),
            json!(""),
            json!("  \t"),
            json!("\u{a0}"),
            json!([]),
            json!({}),
            json!([""]),
            json!([null]),
            json!(1.5),
        ];
        for normal in all() {
            for claim in &nothing {
                for field in &nothing {
                    assert!(!normal.same(claim, field), "{normal:?} {claim} {field}");
                }
            }
        }
        assert!(!Normal::Digits.same(&json!("--"), &json!("()")));
    }

    #[test]
    fn exact_is_exact() {
        assert!(Normal::Exact.same(&json!("a B"), &json!("a B")));
        assert!(Normal::Exact.same(&json!(7), &json!("7")));
        assert!(Normal::Exact.same(&json!(true), &json!("true")));
        assert!(Normal::Exact.same(&json!("b"), &json!(["a", "b"])));
        for (claim, field) in [("a", "A"), ("a", "a "), ("é", "e\u{301}"), ("1", "1.0")] {
            assert!(!Normal::Exact.same(&json!(claim), &json!(field)));
        }
        // Several values of a customer are not one of them.
        assert!(!Normal::Exact.same(&json!(["b"]), &json!("b")));
    }

    #[test]
    fn text_forgets_case_and_blanks() {
        for (claim, field) in [
            ("Alice  Example ", "alice example"),
            ("Straße", "STRASSE"),
            ("Straße", "STRAẞE"),
            ("Zoë", "ZOE\u{308}"),
            ("ΟΔΥΣΣΕΥΣ", "οδυσσευς"),
            ("a\u{a0}b", "A b"),
        ] {
            assert!(
                Normal::Text.same(&json!(claim), &json!(field)),
                "{claim} {field}"
            );
        }
        for (claim, field) in [
            ("Alice", "Alicia"),
            ("ab", "a b"),
            ("Müller", "Muller"),
            ("a", "а"),
        ] {
            assert!(
                !Normal::Text.same(&json!(claim), &json!(field)),
                "{claim} {field}"
            );
        }
    }

    #[test]
    fn digits_forget_what_stands_between() {
        assert!(Normal::Digits.same(&json!("12 34-56"), &json!(123456)));
        for (claim, field) in [("123a", "123"), ("12٣", "12"), ("012", "12")] {
            assert!(!Normal::Digits.same(&json!(claim), &json!(field)));
        }
    }

    #[test]
    fn phone_numbers_have_many_forms() {
        for text in [
            "+49 (0)30 1234-56",
            "0049 30 123456",
            "+4930123456",
            "030 / 12 34 56",
            "(030) 123456",
            "030\u{2011}123456",
            " 0049(0)30.123456",
        ] {
            assert!(german().same(&json!(text), &json!("+4930123456")), "{text}");
        }
        for text in [
            "+49 30 123457",
            "+1 30 123456",
            "30 123456",
            "+49 30 123456 x12",
            "tel:+4930123456",
            "+49",
            "+",
            "0",
            "+٤٩30123456",
            "+0930123456",
        ] {
            assert!(
                !german().same(&json!(text), &json!("+4930123456")),
                "{text}"
            );
            assert!(!uncoded().same(&json!(text), &json!("+4930123456")));
        }
        assert!(!german().same(&json!("x"), &json!("x")));
    }

    #[test]
    fn a_number_without_code_needs_the_country() {
        assert!(uncoded().same(&json!("030 123456"), &json!("030/123456")));
        assert!(uncoded().same(&json!("+49 (0)30 123456"), &json!("0049 30 123456")));
        assert!(!uncoded().same(&json!("030 123456"), &json!("+4930123456")));
        let american = Normal::Phone(Plan {
            country: Some("1".into()),
            trunk: "1".into(),
        });
        for text in [
            "(425) 555-1212",
            "1-425-555-1212",
            "+1 425 555 1212",
            "011 1 425 555 1212",
        ] {
            assert!(
                american.same(&json!(text), &json!("+14255551212")),
                "{text}"
            );
        }
        let italian = Normal::Phone(Plan {
            country: Some("39".into()),
            trunk: "".into(),
        });
        assert!(italian.same(&json!("06 1234567"), &json!("+39 06 1234567")));
        assert!(!italian.same(&json!("06 1234567"), &json!("+39 6 1234567")));
    }

    #[test]
    fn dates_have_a_stated_form() {
        use DateForm::*;
        let iso = json!("1970-01-31");
        for (form, text) in [
            (Iso, "1970-01-31T00:00:00Z"),
            (Iso, "1970-01-31 00:00:00.000"),
            (Compact, "19700131"),
            (Compact, "19700131000000Z"),
            (Dotted, "31.01.1970"),
            (Dotted, "31.1.1970"),
            (DayFirst, "31/01/1970"),
            (MonthFirst, "01/31/1970"),
        ] {
            assert!(dates(form, Iso).same(&json!(text), &iso), "{text}");
            assert!(dates(Iso, form).same(&iso, &json!(text)), "{text}");
        }
        for (form, text) in [
            (Iso, "31.01.1970"),
            (Iso, "1970-1-31"),
            (Iso, "1970-01-31T23:00:00Z"),
            (Iso, "1970-01-31x"),
            (Iso, "+970-01-31"),
            (Compact, "1970-01-31"),
            (Compact, "197001310"),
            (Dotted, "31.01.70"),
            (Dotted, "31.01.1970.1"),
            (Dotted, "+1.01.1970"),
            (DayFirst, "01/31/1970"),
            (MonthFirst, "31/01/1970"),
            (Iso, "1970-02-30"),
        ] {
            assert!(
                !dates(form, form).same(&json!(text), &json!(text)),
                "{form:?} {text}"
            );
        }
        // The same digits in another order are another day.
        assert!(!dates(DayFirst, MonthFirst).same(&json!("01/02/1970"), &json!("01/02/1970")));
    }

    /// The digits of a number with all that people put between them.
    fn spelled(digits: &str, marks: &[usize]) -> String {
        let between = ["", " ", "-", ".", "/", " - ", "\u{a0}"];
        let mut text = String::new();
        for (digit, mark) in digits.chars().zip(marks.iter().cycle()) {
            text.push(digit);
            text += between[mark % between.len()];
        }
        text
    }

    proptest! {
        #[test]
        fn every_spelling_is_one_number(
            digits in "[1-9][0-9]{7,10}",
            other in "[1-9][0-9]{7,10}",
            marks in proptest::collection::vec(0usize..7, 1..9),
        ) {
            let canonical = json!(format!("+49{digits}"));
            let body = spelled(&digits, &marks);
            for text in [
                format!("+49{body}"),
                format!("+49 (0){body}"),
                format!("0049{body}"),
                format!("0{body}"),
                format!("(0{body})"),
            ] {
                prop_assert!(german().same(&json!(text), &canonical), "{}", text);
                let foreign = json!(format!("+49{other}"));
                prop_assert_eq!(german().same(&json!(text), &foreign), digits == other);
            }
        }

        #[test]
        fn case_and_blanks_do_not_count(words in proptest::collection::vec("[\\w]{1,8}", 1..4), blanks in "[ \t\u{a0}]{1,3}") {
            // As systems store text: upper case of marks in no order is another word.
            let words: Vec<String> = words.iter().map(|word| word.nfc().collect()).collect();
            let plain = json!(words.join(" "));
            let text = words.join(&blanks);
            for variant in [text.to_uppercase(), format!("{blanks}{text}{blanks}"), text.nfd().collect()] {
                prop_assert!(Normal::Text.same(&json!(variant), &plain), "{}", variant);
            }
        }

        #[test]
        fn a_date_is_itself_in_every_form(days in 0i32..40_000, later in 0i32..400) {
            let day = |days| Date::from_julian_day(2_415_021 + days).unwrap();
            let forms = |date: Date| {
                let (y, m, d) = (date.year(), date.month() as u8, date.day());
                [
                    format!("{y:04}-{m:02}-{d:02}"), format!("{y:04}{m:02}{d:02}"),
                    format!("{d:02}.{m:02}.{y}"), format!("{d:02}/{m:02}/{y}"), format!("{m:02}/{d:02}/{y}"),
                ]
            };
            let (ours, theirs) = (forms(day(days)), forms(day(days + later)));
            for ((_, claim), ours) in DateForm::ALL.into_iter().zip(&ours) {
                for ((_, field), theirs) in DateForm::ALL.into_iter().zip(&theirs) {
                    let same = dates(claim, field).same(&json!(ours), &json!(theirs));
                    prop_assert_eq!(same, later == 0, "{} {}", ours, theirs);
                }
            }
        }

        /// Whatever comes: no panic, and the same both ways round.
        #[test]
        fn sameness_has_no_direction(a in any::<String>(), b in any::<String>()) {
            for normal in all() {
                prop_assert_eq!(normal.same(&json!(a), &json!(b)), normal.same(&json!(b), &json!(a)));
                if a.trim().is_empty() {
                    prop_assert!(!normal.same(&json!(a), &json!(a)));
                }
            }
        }
    }
}
