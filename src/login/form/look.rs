//! What our own pages look like: the operator's title, logo and colour, and the page
//! around everything. No script, nothing from elsewhere but the logo.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use minijinja::HtmlEscape;
use sha2::{Digest, Sha256};

use super::texts::{Language, Texts};

/// What an operator's pages look like.
#[derive(Clone, Debug)]
pub struct Look {
    /// Whose page it is.
    pub title: Option<Box<str>>,
    /// A picture above the page.
    pub logo: Option<Logo>,
    /// Of buttons and links.
    pub colour: Colour,
    /// What the pages say.
    pub texts: Texts,
}

impl Default for Look {
    fn default() -> Self {
        Self {
            title: None,
            logo: None,
            colour: Colour([0x1f, 0x5f, 0xa8]),
            texts: Texts::built_in(),
        }
    }
}

/// A picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logo {
    /// Its URL, `https:` or `data:`.
    pub url: Box<str>,
    /// Where a policy has to let it come from: an origin, or `data:`.
    pub source: Box<str>,
}

impl Logo {
    /// A picture by its URL: `https://…`, or `data:image/…;base64,…`.
    pub fn parse(url: &str) -> Result<Self, &'static str> {
        let legal = |b: u8| b.is_ascii_graphic() && !b"\"'<>\\;, ".contains(&b);
        if let Some(data) = url.strip_prefix("data:image/") {
            let kind = data.split_once(";base64,");
            let (kind, data) = kind.ok_or("write it like \"data:image/png;base64,…\"")?;
            if !kind
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
            {
                return Err("this is not a type of pictures");
            }
            if STANDARD.decode(data).is_err() {
                return Err("this is not Base64");
            }
            return Ok(Self {
                url: url.into(),
                source: "data:".into(),
            });
        }
        let rest = url.strip_prefix("https://");
        let rest = rest.ok_or("a logo is at https://…, or in a data: URL")?;
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if host.is_empty() || host.contains('@') || !url.bytes().all(legal) {
            return Err("this is not a URL that a page can name");
        }
        Ok(Self {
            url: url.into(),
            source: format!("https://{host}").into(),
        })
    }
}

/// Red, green, blue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Colour(pub [u8; 3]);

impl Colour {
    /// `#rrggbb`.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6)?;
        let mut parts = [0; 3];
        hex::decode_to_slice(digits, &mut parts).ok()?;
        Some(Self(parts))
    }

    /// White or black, whichever can be read on it (WCAG 2.2, relative luminance).
    fn text(self) -> &'static str {
        let linear = |part: u8| {
            let part = f64::from(part) / 255.0;
            match part <= 0.04045 {
                true => part / 12.92,
                false => ((part + 0.055) / 1.055).powf(2.4),
            }
        };
        let [red, green, blue] = self.0.map(linear);
        let luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue;
        match luminance > 0.179 {
            true => "#000",
            false => "#fff",
        }
    }
}

/// A page: its HTML, and the policy that lets a browser show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// HTML.
    pub html: String,
    /// `Content-Security-Policy`.
    pub policy: String,
}

impl Look {
    /// A page. `heading` is text, `body` HTML; `forms` says where a form may lead on to
    /// beside this site, `None` that there is no form.
    pub fn page(
        &self,
        language: &Language,
        heading: &str,
        body: &str,
        forms: Option<&str>,
    ) -> Page {
        let style = self.style();
        let logo = self.logo.as_ref().map_or(String::new(), |logo| {
            let name = self.title.as_deref().unwrap_or_default();
            let (url, name) = (HtmlEscape(&logo.url), HtmlEscape(name));
            format!("<img src=\"{url}\" alt=\"{name}\">")
        });
        let title = match &self.title {
            Some(title) => format!("{heading} – {title}"),
            None => heading.to_owned(),
        };
        let name = match (&self.title, &self.logo) {
            (Some(title), None) => format!("<p class=\"name\">{}</p>", HtmlEscape(title)),
            _ => String::new(),
        };
        let html = format!(
            "<!doctype html><html lang=\"{}\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
             <title>{}</title><style>{style}</style></head>\
             <body><main>{logo}{name}<h1>{}</h1>{body}</main></body></html>",
            HtmlEscape(&language.tag),
            HtmlEscape(&title),
            HtmlEscape(heading),
        );
        let hash = STANDARD.encode(Sha256::digest(&style));
        let pictures = self
            .logo
            .as_ref()
            .map_or(String::new(), |logo| format!("img-src {}; ", logo.source));
        let forms = match forms {
            None => "'none'".to_owned(),
            Some(place) => format!("'self' {place}"),
        };
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{hash}'; {pictures}base-uri 'none'; \
             form-action {}; frame-ancestors 'none'",
            forms.trim_end()
        );
        Page { html, policy }
    }

    fn style(&self) -> String {
        let [red, green, blue] = self.colour.0;
        let text = self.colour.text();
        format!(
            ":root{{color-scheme:light dark}}\
             body{{font:1.1rem/1.5 system-ui,sans-serif;max-width:26rem;margin:12vh auto;padding:0 1rem}}\
             h1{{font-size:1.6rem}}img{{max-width:100%;max-height:5rem}}\
             label{{display:block;margin:1rem 0 .25rem}}\
             input{{font:inherit;width:100%;box-sizing:border-box;padding:.5rem}}\
             button{{font:inherit;padding:.5rem 1rem;margin:1.5rem .5rem 0 0}}\
             button.main{{background:#{red:02x}{green:02x}{blue:02x};color:{text};border:0;border-radius:.25rem}}\
             .name{{font-weight:bold}}\
             [role=alert]{{border-left:.25rem solid #b00020;padding-left:.75rem}}\
             output{{display:block;font:2rem monospace;letter-spacing:.2em;margin:1rem 0}}"
        )
    }

    /// The login form, the body of a page. `seal` ties it to its browser; `name` is what
    /// the customer wrote before, `notice` the name of the text that says what was wrong
    /// with it.
    pub fn form(language: &Language, seal: &str, name: &str, notice: Option<&str>) -> String {
        let say = |text: &str| HtmlEscape(language.say(text)).to_string();
        let (alert, described) = match notice {
            Some(notice) => (
                format!("<p role=\"alert\" id=\"notice\">{}</p>", say(notice)),
                " aria-describedby=\"notice\"",
            ),
            None => (String::new(), ""),
        };
        format!(
            "{alert}<form method=\"post\">\
             <input type=\"hidden\" name=\"seal\" value=\"{seal}\">\
             <label for=\"username\">{user}</label>\
             <input id=\"username\" name=\"username\" value=\"{name}\" autocomplete=\"username\" \
             autocapitalize=\"none\" spellcheck=\"false\" maxlength=\"{most}\" required{described}>\
             <label for=\"password\">{password}</label>\
             <input id=\"password\" name=\"password\" type=\"password\" \
             autocomplete=\"current-password\" maxlength=\"{longest}\" required>\
             <button class=\"main\">{submit}</button>\
             <button name=\"cancel\" value=\"yes\" formnovalidate>{cancel}</button></form>",
            seal = HtmlEscape(seal),
            user = say("user-name"),
            name = HtmlEscape(name),
            most = super::MAX_NAME,
            password = say("password"),
            longest = super::MAX_PASSWORD,
            submit = say("log-in"),
            cancel = say("cancel"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "\"><script>alert(1)</script>&'";

    #[test]
    fn nothing_leaves_its_place() {
        let look = Look {
            title: Some(HOSTILE.into()),
            logo: Some(Logo::parse("https://cdn.example.com/a.png?x=1&y=2").unwrap()),
            ..Look::default()
        };
        let body = Look::form(&Language::default(), HOSTILE, HOSTILE, Some("wrong"));
        let page = look.page(&Language::default(), HOSTILE, &body, Some(""));
        assert!(!page.html.contains("<script") && page.html.contains("&lt;script"));
        assert!(page.html.contains("role=\"alert\""));
        assert!(page.policy.contains("img-src https://cdn.example.com; "));
        assert!(
            page.policy.contains("form-action 'self';")
                && page.policy.starts_with("default-src 'none'; ")
        );
    }

    #[test]
    fn the_policy_allows_this_style_and_no_other() {
        let page = Look::default().page(&Language::default(), "x", "", None);
        let (_, rest) = page.html.split_once("<style>").unwrap();
        let (style, _) = rest.split_once("</style>").unwrap();
        let hash = STANDARD.encode(Sha256::digest(style));
        assert!(page.policy.contains(&format!("style-src 'sha256-{hash}'")));
        assert!(page.policy.contains("form-action 'none'") && !page.policy.contains("img-src"));
    }

    #[test]
    fn a_logo_cannot_change_the_policy() {
        for url in [
            "http://a/x.png",
            "https://a b/x",
            "https://a;script-src/x",
            "https://a/x;y",
            "https://",
            "https://u@a/x",
            "https://a'b/x",
            "https://a/\"x",
            "javascript:alert(1)",
            "data:text/html;base64,AAAA",
            "data:image/png,AAAA",
            "data:image/png;base64,A\"",
            "data:image/p ng;base64,AAAA",
        ] {
            assert!(Logo::parse(url).is_err(), "{url}");
        }
        let data = Logo::parse("data:image/svg+xml;base64,AAAA").unwrap();
        assert_eq!(&*data.source, "data:");
    }

    #[test]
    fn a_colour_can_be_written_on() {
        for (text, on) in [
            ("#ffffff", "#000"),
            ("#000000", "#fff"),
            ("#1F5fa8", "#fff"),
            ("#ffd500", "#000"),
        ] {
            assert_eq!(Colour::parse(text).unwrap().text(), on, "{text}");
        }
        for text in ["", "#fff", "ffffff", "#gggggg", "#ffffff;", "red"] {
            assert_eq!(Colour::parse(text), None, "{text}");
        }
    }
}
