//! JSON documents whose strings are templates.

use std::sync::Arc;

use minijinja::Environment;
use serde_json::{Map, Value};

use super::engine::{context, describe, environment};
use super::{Escape, Template, TemplateError, check, line_start};
use crate::message::Json;

/// A JSON document whose strings (values, not names) are templates.
#[derive(Clone, Debug)]
pub struct JsonTemplate {
    root: Node,
}

impl JsonTemplate {
    /// Parses the JSON, compiles its strings.
    pub fn parse(text: &str, names: &[&str]) -> Result<Self, TemplateError> {
        let document: Value = serde_json::from_str(text).map_err(|error| {
            let line = line_start(text, error.line().saturating_sub(1));
            let offset = (line + error.column().saturating_sub(1)).min(text.len());
            let message = error.to_string();
            let message = message.split(" at line ").next().unwrap_or_default();
            TemplateError::at(Some(offset), format!("not JSON: {message}"))
        })?;
        let readings = Json::parse(text.as_bytes()).map_err(|e| TemplateError::at(None, e.0))?;
        if readings.views().len() > 1 {
            return Err(TemplateError::at(None, "a member is given twice"));
        }
        let root = Node::compile(document, text, names)?;
        Ok(Self { root })
    }

    /// Renders the document.
    pub fn render(&self, values: &Map<String, Value>) -> Result<Value, String> {
        self.root.render(values)
    }
}

/// A value of a JSON template.
#[derive(Clone, Debug)]
enum Node {
    Fixed(Value),
    Text(Template),
    Expression(Expression),
    Array(Vec<Node>),
    Object(Vec<(String, Node)>),
}

impl Node {
    fn compile(value: Value, text: &str, names: &[&str]) -> Result<Self, TemplateError> {
        Ok(match value {
            Value::String(string) => {
                Self::string(&string, names).map_err(|error| within(&string, text, error))?
            }
            Value::Array(values) => {
                let nodes = values.into_iter().map(|v| Self::compile(v, text, names));
                Self::Array(nodes.collect::<Result<_, _>>()?)
            }
            Value::Object(members) => {
                let nodes = members.into_iter().map(|(name, value)| {
                    if has_tag(&name) {
                        let error = TemplateError::at(Some(0), "member names are no templates");
                        return Err(within(&name, text, error));
                    }
                    Ok((name, Self::compile(value, text, names)?))
                });
                Self::Object(nodes.collect::<Result<_, _>>()?)
            }
            fixed => Self::Fixed(fixed),
        })
    }

    fn string(string: &str, names: &[&str]) -> Result<Self, TemplateError> {
        if !has_tag(string) {
            return Ok(Self::Fixed(string.into()));
        }
        if let Some(expression) = Expression::parse(string, names)? {
            return Ok(Self::Expression(expression));
        }
        Template::parse(string, Escape::None, names).map(Self::Text)
    }

    fn render(&self, values: &Map<String, Value>) -> Result<Value, String> {
        Ok(match self {
            Self::Fixed(value) => value.clone(),
            Self::Text(template) => Value::String(template.render(values)?),
            Self::Expression(expression) => expression.eval(values)?,
            Self::Array(nodes) => {
                let values = nodes.iter().map(|node| node.render(values));
                Value::Array(values.collect::<Result<_, _>>()?)
            }
            Self::Object(nodes) => {
                let members = nodes
                    .iter()
                    .map(|(name, node)| Ok((name.clone(), node.render(values)?)));
                Value::Object(members.collect::<Result<_, String>>()?)
            }
        })
    }
}

/// A string that is one expression and nothing else.
#[derive(Clone, Debug)]
struct Expression {
    environment: Arc<Environment<'static>>,
    source: Box<str>,
}

impl Expression {
    /// `None` when the string is more than an expression.
    fn parse(string: &str, names: &[&str]) -> Result<Option<Self>, TemplateError> {
        let Some(source) = string.strip_prefix("{{").and_then(|s| s.strip_suffix("}}")) else {
            return Ok(None);
        };
        if source.contains("}}") || has_tag(source) {
            return Ok(None);
        }
        let source = source.strip_prefix(['-', '+']).unwrap_or(source);
        let source = source.strip_suffix(['-', '+']).unwrap_or(source);
        let environment = environment(Escape::None);
        let compiled = environment
            .compile_expression_owned(source.to_owned())
            .map_err(|error| TemplateError::new(&error, string))?;
        let used = |nested| compiled.undeclared_variables(nested);
        check::variables(string, used(false), used(true), &environment, names)?;
        let trial = compiled.eval(context(&check::trial_values(names)));
        trial
            .map(drop)
            .or_else(|error| check::unknown(&error, string))?;
        drop(compiled);
        Ok(Some(Self {
            source: source.into(),
            environment: Arc::new(environment),
        }))
    }

    fn eval(&self, values: &Map<String, Value>) -> Result<Value, String> {
        let value = self
            .environment
            .compile_expression_owned(self.source.to_string())
            .and_then(|expression| expression.eval(context(values)))
            .map_err(|error| describe(&error))?;
        if value.is_undefined() {
            return Err(format!("undefined value: {}", self.source.trim()));
        }
        serde_json::to_value(&value).map_err(|_| "a value is not JSON".into())
    }
}

fn has_tag(text: &str) -> bool {
    ["{{", "{%", "{#"].iter().any(|tag| text.contains(tag))
}

/// Moves an error inside a JSON string to its place in the document.
fn within(string: &str, text: &str, error: TemplateError) -> TemplateError {
    let literal = Value::from(string).to_string();
    let offset = text
        .find(&literal)
        .map(|at| at + 1 + error.offset.unwrap_or_default());
    TemplateError::at(offset.or_else(|| text.find("{{")), error.message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const NAMES: &[&str] = &["x", "claims", "capture"];

    fn render(text: &str, x: Value) -> Result<Value, String> {
        let template = JsonTemplate::parse(text, NAMES).expect(text);
        let values = json!({"x":x,"claims":{"a":[1,2.5,null]}});
        template.render(values.as_object().unwrap())
    }

    #[test]
    fn only_strings_are_templates_and_the_rest_stays() {
        let text = r#"[{"n":1.5,"t":"a {{ x }}","b":true,"z":null,"p":"plain"}]"#;
        assert_eq!(
            render(text, json!("\"},{")).unwrap(),
            json!([{"n":1.5,"t":"a \"},{","b":true,"z":null,"p":"plain"}])
        );
    }

    #[test]
    fn a_single_expression_keeps_its_type() {
        for (x, kept) in [
            (json!({"a":[1]}), true),
            (json!(7), true),
            (json!(null), true),
        ] {
            assert_eq!(
                render(r#"{"v":"{{ x }}"}"#, x.clone()).unwrap(),
                json!({"v":x})
            );
            assert!(render(r#"{"v":" {{- x }}"}"#, x).unwrap()["v"].is_string() == kept);
        }
        assert_eq!(
            render(r#""{{ claims.a[1] }}""#, json!(0)).unwrap(),
            json!(2.5)
        );
        assert_eq!(
            render(r#""{{ claims }}""#, json!(0)).unwrap(),
            json!({"a":[1,2.5,null]})
        );
        assert_eq!(
            render(r#""{{ x }}{{ x }}""#, json!(1)).unwrap(),
            json!("11")
        );
        assert_eq!(render(r#""{{ capture.c }}""#, json!(1)).unwrap(), json!(""));
        assert_eq!(render(r#""{{ 'a' ~ x }}""#, json!(1)).unwrap(), json!("a1"));
        assert!(render(r#""{{ claims.b }}""#, json!(1)).is_err());
    }

    #[test]
    fn mistakes_have_their_place() {
        let error = |text: &str| JsonTemplate::parse(text, NAMES).expect_err(text);
        assert_eq!(error("{\n  \"a\": x }").offset, Some(9));
        let text = r#"{"a": "z", "b": "see {{ y }}"}"#;
        assert_eq!(error(text).offset, text.find("y }}"));
        let text = r#"{"b": "{{ claim }}"}"#;
        let found = error(text);
        assert_eq!(found.offset, text.find("claim"));
        assert!(
            found.message.contains("did you mean `claims`"),
            "{}",
            found.message
        );
        assert!(error(r#"{"{{ x }}": 1}"#).message.contains("names"));
        assert!(error(r#"{"a": 1, "a": 2}"#).message.contains("twice"));
        for text in [
            r#""{{ x""#,
            r#""{{ }}""#,
            r#""{{ x|nofilter }}""#,
            r#""a {{ x|nofilter }}""#,
        ] {
            error(text);
        }
    }

    proptest! {
        /// No value leaves its string: the document has the same form whatever is put in.
        #[test]
        fn no_value_leaves_its_string(x in any::<String>()) {
            let text = r#"{"one":"{{ x }}","in":["<{{ x }}>"],"after":1}"#;
            let template = JsonTemplate::parse(text, NAMES).unwrap();
            let values = json!({"x":x});
            let body = super::super::BodyTemplate::Json(template);
            let bytes = body.render(values.as_object().unwrap()).unwrap();
            let rendered: Value = serde_json::from_slice(&bytes).unwrap();
            prop_assert_eq!(rendered, json!({"one":x,"in":[format!("<{x}>")],"after":1}));
        }
    }
}
