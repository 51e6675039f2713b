//! Templates. A JSON template is parsed as JSON first, and only its strings are
//! templates: whatever a value contains, it cannot leave its string. A string
//! that is one expression and nothing else (`"{{ claims }}"`) keeps the value's type.
//!
//! Every value that a template prints is escaped for its format, and nothing in
//! the template's language switches that off: what macros, `set` blocks and the
//! `safe` filter yield is escaped like the rest. `none` prints as nothing, what is
//! no string as JSON.

mod check;
mod engine;
mod json;

use std::fmt;
use std::sync::Arc;

use http::{HeaderName, HeaderValue, StatusCode};
use minijinja::Environment;
use serde_json::{Map, Value};

pub use json::JsonTemplate;

use crate::message::Selector;
use crate::message::header::exact_value;
use engine::{Bounded, MAX_OUTPUT, context, describe, environment};

/// A compiled text template (minijinja).
#[derive(Clone)]
pub struct Template {
    environment: Arc<Environment<'static>>,
    escape: Escape,
}

/// How values are escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escape {
    /// Not at all: plain text.
    None,
    /// For HTML and XML: text, and attributes in quotes.
    Html,
    /// For a URL: percent-encoded.
    Url,
    /// For a value in an LDAP filter (RFC 4515, section 3).
    Ldap,
}

impl Template {
    /// Compiles. `names` are the variables that exist; the use of another one is an
    /// error that names the nearest. Where `names` has dotted names (`capture.thread`),
    /// these are all that the variable has. The error carries a byte offset into
    /// `text` where it can.
    pub fn parse(text: &str, escape: Escape, names: &[&str]) -> Result<Self, TemplateError> {
        if escape == Escape::Html {
            check::html(text)?;
        }
        let mut environment = environment(escape);
        environment
            .add_template_owned(NAME, text.to_owned())
            .map_err(|error| TemplateError::new(&error, text))?;
        let template = Self {
            environment: Arc::new(environment),
            escape,
        };
        template.check(text, names)?;
        Ok(template)
    }

    /// Renders. In a URL no value can become a `.` or `..` segment of the path.
    ///
    /// # Errors
    /// When a value would, when the text gets too long, and what else a value makes
    /// impossible.
    pub fn render(&self, values: &Map<String, Value>) -> Result<String, String> {
        let text = self.print(values).map_err(|error| describe(&error))?;
        let path = text.split(['?', '#']).next().unwrap_or_default();
        if self.escape == Escape::Url && path.split('/').any(|part| matches!(part, "." | "..")) {
            return Err("a value would change the path of the URL".into());
        }
        Ok(text)
    }

    /// Renders for a header. A text that would not arrive as it is (a control
    /// character in it, a blank at an end) is an error: cleaned, it could be
    /// somebody else's name.
    pub fn render_header(&self, values: &Map<String, Value>) -> Result<HeaderValue, String> {
        exact_value(&self.render(values)?)
            .ok_or_else(|| "a header cannot carry this text".to_owned())
    }

    fn print(&self, values: &Map<String, Value>) -> Result<String, minijinja::Error> {
        let mut output = Bounded::default();
        self.environment
            .get_template(NAME)?
            .render_captured_to(context(values), &mut output)?;
        Ok(String::from_utf8_lossy(&output.0).into_owned())
    }

    /// Finds unknown variables, and by a trial unknown filters, tests and functions.
    fn check(&self, text: &str, names: &[&str]) -> Result<(), TemplateError> {
        let template = self.environment.get_template(NAME);
        let template = template.map_err(|error| TemplateError::new(&error, text))?;
        let used = |nested| template.undeclared_variables(nested);
        check::variables(text, used(false), used(true), &self.environment, names)?;
        let trial = self.print(&check::trial_values(names));
        trial
            .map(drop)
            .or_else(|error| check::unknown(&error, text))
    }
}

/// The name of the only template in an environment.
const NAME: &str = "template";

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Template({:?})", self.escape)
    }
}

/// What is wrong with a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    /// Byte offset in the template's text.
    pub offset: Option<usize>,
    /// What and, where known, what it should be.
    pub message: String,
}

impl TemplateError {
    fn at(offset: Option<usize>, message: impl Into<String>) -> Self {
        Self {
            offset,
            message: message.into(),
        }
    }

    /// The engine's error; it knows the line only.
    fn new(error: &minijinja::Error, text: &str) -> Self {
        let line = error.line().unwrap_or(1).saturating_sub(1);
        Self::at(Some(line_start(text, line)), describe(error))
    }
}

/// A body template.
#[derive(Clone, Debug)]
pub enum BodyTemplate {
    /// JSON whose strings are templates.
    Json(JsonTemplate),
    /// Text with a content type.
    Text(Template),
}

impl BodyTemplate {
    /// Renders the bytes.
    ///
    /// # Errors
    /// Those of [`Template::render`].
    pub fn render(&self, values: &Map<String, Value>) -> Result<Vec<u8>, String> {
        match self {
            Self::Json(template) => {
                let text = template.render(values)?.to_string();
                let fits = text.len() <= MAX_OUTPUT;
                fits.then(|| text.into_bytes())
                    .ok_or_else(|| "the document is too long".to_owned())
            }
            Self::Text(template) => template.render(values).map(String::into_bytes),
        }
    }
}

/// The answer that the customer gets in place of a withheld one.
#[derive(Clone, Debug)]
pub struct ChallengeTemplate {
    /// Its status.
    pub status: StatusCode,
    /// Its headers, Content-Type included.
    pub headers: Vec<(HeaderName, Template)>,
    /// Its body.
    pub body: BodyTemplate,
    /// Values taken from the request and the withheld answer, by name; missing ones are empty.
    pub captures: Vec<(Box<str>, Selector)>,
}

/// The variables that every challenge template has, beside its captures (`capture.<name>`).
pub const CHALLENGE_NAMES: &[&str] = &[
    "login_url",
    "continue_url",
    "expires_at",
    "expires_in",
    "channel",
    "interaction",
    "level",
    "code",
    "capture",
];
/// The variables that call templates have.
pub const CALL_NAMES: &[&str] = &[
    "channel",
    "interaction",
    "subject",
    "level",
    "claims",
    "login_time",
    "outcome",
];

fn line_start(text: &str, line: usize) -> usize {
    let lengths = text.split_inclusive('\n').take(line).map(str::len);
    lengths.sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const NAMES: &[&str] = &["x", "claims", "level", "capture"];

    fn values(values: Value) -> Map<String, Value> {
        values.as_object().unwrap().clone()
    }

    fn render(text: &str, escape: Escape, x: Value) -> Result<String, String> {
        let template = Template::parse(text, escape, NAMES).expect(text);
        template.render(&values(
            json!({"x":x,"claims":{"a":1},"capture":{"c":"C","n":null}}),
        ))
    }

    fn error(text: &str, escape: Escape, names: &[&str]) -> TemplateError {
        Template::parse(text, escape, names).expect_err(text)
    }

    #[test]
    fn text_is_rendered() {
        let text = "a {{ x }}{% if claims.a == 1 %}!{% endif %}{% for i in range(2) %}{{ loop.index }}{% endfor %}";
        assert_eq!(
            render(text, Escape::None, json!("<\"'")).unwrap(),
            "a <\"'!12"
        );
        assert_eq!(
            render("{{ x }}|{{ claims }}", Escape::None, json!(7)).unwrap(),
            "7|{\"a\":1}"
        );
        assert_eq!(
            render("{{ x }}", Escape::None, json!(true)).unwrap(),
            "true"
        );
        assert_eq!(
            render("[{{ x }}]", Escape::None, json!(null)).unwrap(),
            "[]"
        );
    }

    #[test]
    fn an_unknown_variable_is_an_error_with_its_place() {
        let found = error("xx {{ levle }}", Escape::None, NAMES);
        assert_eq!(found.offset, Some(6));
        assert!(
            found.message.contains("did you mean `level`"),
            "{}",
            found.message
        );
        let found = error("{{ x }}{{ login }}", Escape::None, NAMES);
        assert!(
            found.message.contains("there are x, claims"),
            "{}",
            found.message
        );
        assert!(
            error("{{ x }}", Escape::None, &[])
                .message
                .contains("none here")
        );
        let names = ["capture", "capture.thread"];
        assert!(Template::parse("{{ capture.thread }}", Escape::None, &names).is_ok());
        let found = error("{{ capture.thraed }}", Escape::None, &names);
        assert!(
            found.message.contains("did you mean `capture.thread`"),
            "{}",
            found.message
        );
    }

    #[test]
    fn what_the_engine_does_not_know_is_an_error() {
        assert_eq!(error("a\nb {{ x", Escape::None, NAMES).offset, Some(2));
        for text in [
            "{{ x|nofilter }}",
            "{{ x is notest }}",
            "{{ x() }}{% if %}",
            "{% include 'a' %}",
        ] {
            error(text, Escape::None, NAMES);
        }
    }

    #[test]
    fn undefined_values_are_errors_and_missing_captures_empty() {
        assert!(render("{{ claims.b }}", Escape::None, json!(1)).is_err());
        assert_eq!(
            render("{{ claims.b|default('-') }}", Escape::None, json!(1)).unwrap(),
            "-"
        );
        let text = "{{ capture.c }},{{ capture.missing }},{{ capture.n }}";
        assert_eq!(render(text, Escape::None, json!(1)).unwrap(), "C,,");
        let template = Template::parse("[{{ capture.c }}]", Escape::None, NAMES).unwrap();
        assert_eq!(template.render(&Map::new()).unwrap(), "[]");
        let level = Template::parse("{{ level }}", Escape::None, NAMES).unwrap();
        assert!(level.render(&Map::new()).is_err());
    }

    #[test]
    fn nothing_switches_escaping_off() {
        for text in [
            "{{ x }}",
            "{{ x|safe }}",
            "{% autoescape false %}{{ x }}{% endautoescape %}",
            "{{ x|tojson|safe }}",
            "{% set y %}{{ x }}{% endset %}{{ y }}",
            "{% macro m(v) %}{{ v }}{% endmacro %}{{ m(x) }}",
            "{{ [x]|join('') }}",
            "{{ '' ~ x|safe }}",
            "{{ claims.b|default(x) }}",
        ] {
            let html = render(text, Escape::Html, json!("<img src=\"x\" onerror='y'>")).unwrap();
            assert!(!html.contains(['<', '>', '"', '\'']), "{text}: {html}");
        }
    }

    #[test]
    fn html_slots_are_where_escaping_holds() {
        for text in [
            "<script>var a = '{{ x }}'</script>",
            "<STYLE>{{ x }}",
            "<a href={{ x }}>",
            "<script></script><script>{{ x }}",
        ] {
            let place = text.find("{{");
            assert_eq!(error(text, Escape::Html, NAMES).offset, place, "{text}");
        }
        for text in [
            "<script></script>{{ x }}",
            "<a href=\"{{ x }}\">",
            "<p>a={{ x }}",
        ] {
            assert!(Template::parse(text, Escape::Html, NAMES).is_ok(), "{text}");
        }
    }

    #[test]
    fn a_value_stays_in_its_place_in_a_url() {
        let url = |x: &str| render("http://h/a/{{ x }}/b?c={{ x }}#d", Escape::Url, json!(x));
        assert_eq!(
            url("e/f?&=#").unwrap(),
            "http://h/a/e%2Ff%3F%26%3D%23/b?c=e%2Ff%3F%26%3D%23#d"
        );
        assert!(url("..").is_err() && url(".").is_err());
        assert!(url("...").is_ok());
    }

    #[test]
    fn a_header_is_exact_or_an_error() {
        let template = Template::parse("Bearer {{ x }}", Escape::None, NAMES).unwrap();
        let header = |x: &str| template.render_header(&values(json!({"x":x})));
        assert_eq!(header("a b").unwrap(), "Bearer a b");
        for x in ["a\r\nX: y", "a\0", "a ", ""] {
            assert!(header(x).is_err(), "{x:?}");
        }
    }

    #[test]
    fn output_is_bounded() {
        let text = "{% for i in range(100000) %}{{ x }}{% endfor %}";
        assert!(render(text, Escape::None, json!("0123456789ab")).is_err());
    }

    proptest! {
        /// Whatever the value is, the text around it stands, and between there
        /// is the value and nothing that the format gives a meaning.
        #[test]
        fn no_value_leaves_its_slot(x in any::<String>(), y in "[<>&\"'/\\\\{}%#\r\n;a-c]{0,12}") {
            for value in [x, y] {
                let html = render("<p a=\"{{ x }}\">{{ x }}</p>", Escape::Html, json!(value)).unwrap();
                let inside = html.strip_prefix("<p a=\"").and_then(|h| h.strip_suffix("</p>")).unwrap();
                let (attribute, content) = inside.split_once("\">").unwrap();
                prop_assert_eq!(attribute, content);
                prop_assert!(!content.contains(['<', '>', '"', '\'']));
                let plain = content.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"")
                    .replace("&#x27;", "'").replace("&#x2f;", "/").replace("&amp;", "&");
                prop_assert_eq!(&plain, &value);

                let url = render("http://h/?a={{ x }}&b=1", Escape::Url, json!(value)).unwrap();
                let query = url.strip_prefix("http://h/?").unwrap();
                let expected = [("a".to_owned(), value), ("b".to_owned(), "1".to_owned())];
                prop_assert_eq!(crate::message::target::pairs(query), expected);
            }
        }

        #[test]
        fn compiling_never_panics(text in "(\\{\\{|\\}\\}|\\{%|%\\}|\\{#|#\\}| |x|if|for|in|\"|é|\n|=|<script>|\\.){0,12}") {
            let _ = Template::parse(&text, Escape::Html, NAMES);
            let _ = JsonTemplate::parse(&Value::from(text).to_string(), NAMES);
        }
    }
}
