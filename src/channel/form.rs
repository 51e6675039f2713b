//! A login page of our own: whose customers live in a directory, which of them may log
//! in, and what is known of whoever did.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::template::Template;
use crate::directory::ldap::is_filter;
use crate::directory::{Directory, Fault, Record};
use crate::interaction::{Identity, Level};
use crate::login::form::look::Look;
use crate::login::form::throttle::Limit;

/// A login page of our own.
#[derive(Debug)]
pub struct LoginForm {
    /// Where customers are found, and their passwords tried.
    pub directory: Arc<Directory>,
    /// The entry below which customers are.
    pub base: Box<str>,
    /// Finds a customer by the name that they gave.
    pub filter: Template,
    /// The attribute that is the subject.
    pub subject: Box<str>,
    /// Claims, each with its attribute.
    pub claims: Vec<(Box<str>, Box<str>)>,
    /// Who may log in; `None` lets everybody who is found.
    pub group: Option<Group>,
    /// What a login reaches; `None` reaches what was demanded.
    pub level: Option<Level>,
    /// How many logins by one login URL may fail.
    pub max_failures: u32,
    /// How often one name may be tried.
    pub per_name: Limit,
    /// How often one client may try.
    pub per_address: Limit,
    /// What the page looks like, and says.
    pub look: Look,
}

/// A search that finds something for those who may log in.
#[derive(Debug)]
pub struct Group {
    /// The entry below which it is searched.
    pub base: Box<str>,
    /// The filter.
    pub filter: Template,
}

/// The variables of [`LoginForm::filter`].
pub const FILTER_NAMES: &[&str] = &["username"];
/// The variables of [`Group::filter`].
pub const GROUP_NAMES: &[&str] = &["username", "dn"];

impl LoginForm {
    /// The filter that finds the customer of this name.
    pub fn filter(&self, name: &str) -> Result<String, Fault> {
        render(&self.filter, &[("username", name)])
    }

    /// The attributes that are asked for.
    pub fn attributes(&self) -> Vec<Box<str>> {
        let claims = self.claims.iter().map(|(_, attribute)| attribute);
        let mut all: Vec<_> = claims.chain([&self.subject]).cloned().collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Who somebody with this record is. The error says what the record lacks.
    pub fn identity(&self, record: &Record, demanded: Level) -> Result<Identity, Fault> {
        let subject = match record.fields.get(&*self.subject) {
            Some(Value::String(subject)) if !subject.is_empty() => subject,
            found => {
                let why = if found.is_some() {
                    "several values"
                } else {
                    "no value"
                };
                let attribute = &self.subject;
                return Err(Fault::Refused(format!(
                    "a customer has {why} of `{attribute}`"
                )));
            }
        };
        let claims = self.claims.iter().filter_map(|(claim, attribute)| {
            let value = record.fields.get(&**attribute)?;
            Some((claim.to_string(), value.clone()))
        });
        let claims: Map<_, _> = claims.collect();
        Ok(Identity::new(
            subject,
            self.level.unwrap_or(demanded),
            &claims,
        ))
    }
}

impl Group {
    /// The filter that finds something if this customer may log in.
    pub fn filter(&self, name: &str, dn: &str) -> Result<String, Fault> {
        render(&self.filter, &[("username", name), ("dn", dn)])
    }
}

/// A filter, or why there is none; repeats no value.
fn render(template: &Template, values: &[(&str, &str)]) -> Result<String, Fault> {
    let values = values
        .iter()
        .map(|(name, value)| (name.to_string(), Value::from(*value)));
    let filter = template.render(&values.collect()).map_err(Fault::Refused)?;
    match is_filter(&filter) {
        true => Ok(filter),
        false => Err(Fault::Refused(
            "what comes of the template is no filter".into(),
        )),
    }
}
