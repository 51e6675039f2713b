//! Account linking: the platform that the chat is on says by a signed request whose
//! login it was. How a login goes out to it, and how its word is read.

use http::Uri;

use super::call::Call;
use super::template::Template;
use crate::message::target::{check_path, encode, pairs};
use crate::message::{RequestView, Selector};
use crate::reason::Reason;

/// Longest way back that is taken from a platform, in bytes.
const MAX_PLACE: usize = 2 << 10;

/// The linking of a channel.
#[derive(Debug)]
pub struct Linking {
    /// A URL of the platform's site.
    pub site: Box<str>,
    /// How the browser that logged in gets to the platform.
    pub way: Way,
    /// Where the body of a request of the platform's names the ticket.
    pub confirm: Selector,
    /// What such a request says when the platform did not link.
    pub refused: Option<Condition>,
    /// What a request says by which the platform takes a link away.
    pub unlinked: Option<Condition>,
}

/// How a browser gets to the platform with the ticket.
#[derive(Debug)]
pub enum Way {
    /// To a configured URL.
    Url {
        /// A template with [`URL_NAMES`].
        url: Template,
        /// What is asked of the platform just before.
        fetch: Option<Box<Fetch>>,
    },
    /// To where the platform said when it opened the login URL.
    Back(Back),
}

/// The variables of [`Way::Url`].
pub const URL_NAMES: &[&str] = &["ticket", "interaction", "channel", "fetched"];
/// The variables of [`Fetch::call`].
pub const FETCH_NAMES: &[&str] = &["interaction", "channel"];

/// A call to the platform for something that is good for one customer.
#[derive(Debug)]
pub struct Fetch {
    /// The call, a template with [`FETCH_NAMES`].
    pub call: Call,
    /// Where its answer has the value.
    pub value: Selector,
}

/// A value that a request has.
#[derive(Clone, Debug)]
pub struct Condition {
    /// Where in its body.
    pub at: Selector,
    /// What it is.
    pub equals: Box<str>,
}

/// What a platform says of a customer's login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// The login with this ticket is that of the customer who the request is from.
    Linked(String),
    /// It is not.
    Refused(String),
    /// The customer's link is gone.
    Unlinked,
}

impl Linking {
    /// What a request says. [`Reason::AmbiguousValue`] where it says two things of a
    /// login; but a link that may be gone is.
    pub fn word(&self, request: &RequestView<'_>) -> Result<Option<Word>, Reason> {
        let unlinked = self.unlinked.as_ref();
        if unlinked.is_some_and(|gone| gone.holds(request).unwrap_or(true)) {
            return Ok(Some(Word::Unlinked));
        }
        let Some(ticket) = self.confirm.request(request)? else {
            return Ok(None);
        };
        let refused = self.refused.as_ref().map(|refused| refused.holds(request));
        Ok(Some(match refused.unwrap_or(Ok(false))? {
            true => Word::Refused(ticket),
            false => Word::Linked(ticket),
        }))
    }

    /// The way back, where that is how a browser gets to the platform.
    pub fn back(&self) -> Option<&Back> {
        match &self.way {
            Way::Back(back) => Some(back),
            Way::Url { .. } => None,
        }
    }
}

impl Condition {
    fn holds(&self, request: &RequestView<'_>) -> Result<bool, Reason> {
        let found = self.at.request(request)?;
        Ok(found.as_deref() == Some(&*self.equals))
    }
}

/// The way back that a platform names when it opens the login URL. It comes by the
/// customer's browser, so it is believed only where it leads to the platform for sure.
#[derive(Clone, Debug)]
pub struct Back {
    /// The parameter that names it.
    pub parameter: Box<str>,
    /// How it begins: scheme, host and the begin of the path, as the platform writes it.
    pub prefix: Box<str>,
    /// The parameter that carries the ticket.
    pub code: Box<str>,
}

impl Back {
    /// The way back in the query that the login URL was opened with.
    /// [`Reason::ReturnDuplicate`] where it is named twice, [`Reason::LinkTarget`] where
    /// it is not, or leads elsewhere.
    pub fn place(&self, query: &str) -> Result<Box<str>, Reason> {
        let named = pairs(query).into_iter();
        let mut named = named.filter(|(name, _)| **name == *self.parameter);
        match (named.next(), named.next()) {
            (Some((_, place)), None) => self.checked(&place).map(Box::from),
            (None, _) => Err(Reason::LinkTarget),
            (Some(_), Some(_)) => Err(Reason::ReturnDuplicate),
        }
    }

    /// The place itself, which a browser goes to without a login.
    ///
    /// # Errors
    /// [`Reason::LinkTarget`] when it is not the platform's.
    pub fn checked<'p>(&self, place: &'p str) -> Result<&'p str, Reason> {
        match self.leads_to_platform(place) {
            true => Ok(place),
            false => Err(Reason::LinkTarget),
        }
    }

    /// The place with the ticket.
    ///
    /// # Errors
    /// [`Reason::LinkTarget`] when it is not the platform's.
    pub fn with_ticket(&self, place: &str, ticket: &str) -> Result<String, Reason> {
        let place = self.checked(place)?;
        let joint = match place.split_once('?') {
            None => "?",
            Some((_, "")) => "",
            Some((_, query)) if query.ends_with('&') => "",
            Some(_) => "&",
        };
        let (code, ticket) = (encode(&self.code), encode(ticket));
        Ok(format!("{place}{joint}{code}={ticket}"))
    }

    /// Byte for byte below the prefix, with one reading, and without a code yet.
    fn leads_to_platform(&self, place: &str) -> bool {
        // What browsers rewrite, or take for something else than it says.
        let plain = |b: u8| b.is_ascii_graphic() && !b"\"'<>\\^`{|}#".contains(&b);
        let Some(rest) = place.strip_prefix(&*self.prefix) else {
            return false;
        };
        let bounded = rest.is_empty() || rest.starts_with(['/', '?']) || self.prefix.ends_with('/');
        let (before, query) = place.split_once('?').unwrap_or((place, ""));
        let authority = before.split_once("://").map_or("", |(_, rest)| rest);
        let path = authority.find('/').and_then(|at| authority.get(at..));
        bounded
            && place.len() <= MAX_PLACE
            && place.bytes().all(plain)
            && place.parse::<Uri>().is_ok()
            && path.is_none_or(|path| check_path(path).is_ok())
            && self.is_without_code(query)
    }

    /// Whether no reader can find the code in this query, nor a name twice.
    fn is_without_code(&self, query: &str) -> bool {
        let mut names: Vec<String> = pairs(&query.replace(';', "&"))
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        let code = |name: &String| {
            let name = name.split('[').next().unwrap_or_default().trim();
            name.eq_ignore_ascii_case(&self.code)
        };
        names.len() == count && !names.iter().any(code)
    }
}

#[cfg(test)]
mod tests;
