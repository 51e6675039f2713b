//! What our own pages say, in the customer's language: a JSON file of texts by their
//! names for each language. English, German and Spanish are built in.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use serde_json::Value;

/// Every language that a page can be in.
#[derive(Clone, Debug)]
pub struct Texts {
    /// The first is that of customers whose languages are none of these.
    languages: Vec<Arc<Language>>,
}

/// What pages say in one language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Language {
    /// Its tag (RFC 5646), lower case: `de`, `pt-br`.
    pub tag: Box<str>,
    texts: BTreeMap<Box<str>, Box<str>>,
}

/// The language that has every text.
static ENGLISH: LazyLock<Arc<Language>> = LazyLock::new(|| {
    let texts = serde_json::from_str::<Value>(include_str!("texts/en.json"));
    let texts = texts.ok().as_ref().and_then(Value::as_object).cloned();
    let text = |(name, value): (String, Value)| Some((name.into(), value.as_str()?.into()));
    Arc::new(Language {
        tag: "en".into(),
        texts: texts.into_iter().flatten().filter_map(text).collect(),
    })
});

/// The built-in languages.
static BUILT_IN: LazyLock<Vec<Arc<Language>>> = LazyLock::new(|| {
    let files = [
        ("de", include_str!("texts/de.json")),
        ("es", include_str!("texts/es.json")),
    ];
    let read = |(tag, text)| Language::read(tag, text).ok().map(Arc::new);
    let others = files.into_iter().filter_map(read);
    [ENGLISH.clone()].into_iter().chain(others).collect()
});

impl Texts {
    /// The built-in languages, English first.
    pub fn built_in() -> Self {
        Self {
            languages: BUILT_IN.clone(),
        }
    }

    /// The same with more languages; one that is there already has its texts replaced.
    pub fn with(mut self, more: Vec<Language>) -> Self {
        for language in more {
            let known = self.languages.iter_mut().find(|l| l.tag == language.tag);
            match known {
                Some(known) => Arc::make_mut(known).texts.extend(language.texts),
                None => self.languages.push(Arc::new(language)),
            }
        }
        self
    }

    /// These languages alone, in this order; the tag of one that is not there is the error.
    pub fn only<'t>(self, tags: &[&'t str]) -> Result<Self, &'t str> {
        let find = |tag: &&'t str| {
            let wanted = tag.to_ascii_lowercase();
            let found = self.languages.iter().find(|l| *l.tag == *wanted);
            found.cloned().ok_or(*tag)
        };
        let languages = tags.iter().map(find).collect::<Result<_, _>>()?;
        Ok(Self { languages })
    }

    /// The tags of all languages.
    pub fn tags(&self) -> impl Iterator<Item = &str> {
        self.languages.iter().map(|language| &*language.tag)
    }

    /// The language for an `Accept-Language` (RFC 9110, section 12.5.4; matched by
    /// look-up, RFC 4647, section 3.4): of the wanted ones that are there the first,
    /// else our first.
    pub fn choose(&self, accept: Option<&str>) -> Arc<Language> {
        let mut wanted: Vec<(u16, &str)> = accept
            .unwrap_or_default()
            .split(',')
            .take(32)
            .filter_map(range)
            .collect();
        // Stable: of equals the first one written counts.
        wanted.sort_by_key(|(quality, _)| std::cmp::Reverse(*quality));
        let found = wanted.iter().find_map(|(_, tag)| self.look_up(tag));
        found
            .or_else(|| self.languages.first().cloned())
            .unwrap_or_else(|| ENGLISH.clone())
    }

    /// The language of a tag, or of a shorter and shorter beginning of it.
    fn look_up(&self, tag: &str) -> Option<Arc<Language>> {
        let mut tag = tag.to_ascii_lowercase();
        loop {
            if let Some(found) = self.languages.iter().find(|l| *l.tag == *tag) {
                return Some(found.clone());
            }
            let (shorter, _) = tag.rsplit_once('-')?;
            tag = shorter.to_owned();
        }
    }
}

/// A language range and its weight in thousandths; `None` for one that is not wanted.
fn range(part: &str) -> Option<(u16, &str)> {
    let mut parts = part.split(';').map(str::trim);
    let tag = parts.next()?;
    let legal = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    if tag.is_empty() || tag.len() > 35 || !tag.bytes().all(legal) {
        return None;
    }
    let weight = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
    let weight = match weight {
        Some(text) => text
            .parse::<f32>()
            .ok()
            .filter(|q| (0.0..=1.0).contains(q))?,
        None => 1.0,
    };
    // RFC 9110, section 12.4.2: three decimals.
    let thousandths = (weight * 1000.0) as u16;
    (thousandths > 0).then_some((thousandths, tag))
}

impl Language {
    /// Reads a file of texts. A name that no page asks for is an error, one that is
    /// missing is said in English.
    pub fn read(tag: &str, json: &str) -> Result<Self, String> {
        let members = match serde_json::from_str(json) {
            Ok(Value::Object(members)) => members,
            Ok(_) => return Err("it is not a JSON object".into()),
            Err(error) => return Err(format!("it is not JSON: {error}")),
        };
        let mut texts = BTreeMap::new();
        for (name, value) in members {
            if !ENGLISH.texts.contains_key(&*name) {
                return Err(format!("no page says `{name}`"));
            }
            let Value::String(text) = value else {
                return Err(format!("`{name}` is not a text"));
            };
            texts.insert(name.into(), text.into());
        }
        Ok(Self {
            tag: tag.to_ascii_lowercase().into(),
            texts,
        })
    }

    /// A text by its name.
    pub fn say(&self, name: &str) -> &str {
        let own = self.texts.get(name);
        own.or_else(|| ENGLISH.texts.get(name))
            .map_or("", |text| text)
    }
}

impl Default for Language {
    /// English without a text of its own.
    fn default() -> Self {
        Self {
            tag: "en".into(),
            texts: BTreeMap::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(accept: &str) -> String {
        Texts::built_in().choose(Some(accept)).tag.to_string()
    }

    #[test]
    fn every_language_says_everything() {
        let texts = Texts::built_in();
        assert_eq!(texts.tags().collect::<Vec<_>>(), ["en", "de", "es"]);
        let names = |l: &Arc<Language>| l.texts.keys().cloned().collect::<Vec<_>>();
        for language in &texts.languages {
            assert_eq!(
                names(language),
                names(&texts.languages[0]),
                "{}",
                language.tag
            );
            assert!(language.texts.values().all(|text| !text.trim().is_empty()));
        }
    }

    #[test]
    fn the_language_is_the_customers() {
        for (accept, tag) in [
            ("", "en"),
            ("de", "de"),
            ("de-AT, en;q=0.5", "de"),
            ("fr, es;q=0.3, de;q=0.9", "de"),
            ("en;q=0.1, es", "es"),
            ("DE-de", "de"),
            ("fr;q=1, *;q=0.5", "en"),
            ("de;q=0, es", "es"),
            ("de;q=2", "en"),
            ("de;q=x", "en"),
            ("\u{0}, d\u{e9}, ;;;,,,q=1", "en"),
            ("de;q=0.9, es;q=0.9", "de"),
        ] {
            assert_eq!(chosen(accept), tag, "{accept}");
        }
        assert_eq!(&*Texts::built_in().choose(None).tag, "en");
    }

    #[test]
    fn languages_are_added_and_chosen_from() {
        let dutch = Language::read("nl", r#"{"log-in": "Inloggen"}"#).unwrap();
        let german = Language::read("de", r#"{"log-in": "Los"}"#).unwrap();
        let texts = Texts::built_in().with(vec![dutch, german]);
        let dutch = texts.choose(Some("nl-BE"));
        assert_eq!(dutch.say("log-in"), "Inloggen");
        assert_eq!(dutch.say("password"), "Password");
        assert_eq!(texts.choose(Some("de")).say("log-in"), "Los");
        assert_eq!(texts.choose(Some("de")).say("password"), "Passwort");
        let few = texts.clone().only(&["nl", "de"]).unwrap();
        assert_eq!(&*few.choose(Some("en")).tag, "nl");
        assert_eq!(texts.only(&["nl", "fr"]).unwrap_err(), "fr");
        for broken in ["", "[]", "{\"log-in\": 1}", "{\"log_in\": \"x\"}"] {
            assert!(Language::read("nl", broken).is_err(), "{broken}");
        }
    }
}
