//! Our own pages as answers: in the customer's language, and in the operator's colours
//! where the channel has any.

use std::sync::{Arc, LazyLock};

use http::header::{
    ACCEPT_LANGUAGE, CONTENT_LANGUAGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, VARY,
};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::super::respond::Reply;
use crate::channel::Login;
use crate::config::Config;
use crate::login::form::look::{Look, Page};
use crate::login::form::texts::Language;

/// What pages look like where nobody says.
static PLAIN: LazyLock<Look> = LazyLock::new(Look::default);

/// What a customer's pages look like, and the language that they are in.
pub(super) struct Style<'c> {
    pub(super) look: &'c Look,
    pub(super) language: Arc<Language>,
    /// Where a form may lead on to, beside this site.
    place: Option<String>,
}

impl<'c> Style<'c> {
    /// The style of a channel, for a customer with these headers.
    pub(super) fn of(config: &'c Config, channel: &str, headers: &HeaderMap) -> Self {
        let login = config
            .channel(channel)
            .and_then(|channel| channel.login.as_ref());
        let look = login
            .and_then(Login::form)
            .map_or(&*PLAIN, |form| &form.look);
        let accept = headers.get(ACCEPT_LANGUAGE);
        let accept = accept.and_then(|value| value.to_str().ok());
        let place = login.and_then(|login| login.return_to.as_deref());
        let platform = login.and_then(|login| Some(&*login.linking.as_ref()?.site));
        let places = [place, platform].into_iter().flatten().filter_map(origin);
        Self {
            look,
            language: look.texts.choose(accept),
            place: places.reduce(|one, other| format!("{one} {other}")),
        }
    }

    /// A page that says something.
    pub(super) fn said(&self, status: StatusCode, heading: &str, body: &str) -> Reply {
        let page = self.look.page(&self.language, heading, body, None);
        self.reply(status, page)
    }

    /// A page that asks something. Its form is sent with its origin, which
    /// `no-referrer` would hide; nothing of the URL leaves this site.
    pub(super) fn asked(&self, status: StatusCode, heading: &str, body: &str) -> Reply {
        let place = self.place.as_deref().unwrap_or_default();
        let page = self.look.page(&self.language, heading, body, Some(place));
        let policy = HeaderValue::from_static("same-origin");
        self.reply(status, page).with(REFERRER_POLICY, policy)
    }

    fn reply(&self, status: StatusCode, page: Page) -> Reply {
        let Page { html, policy } = page;
        let html_type = HeaderValue::from_static("text/html; charset=utf-8");
        let mut reply = Reply::new(status)
            .with(CONTENT_TYPE, html_type)
            .with(VARY, HeaderValue::from_static("Accept-Language"));
        for (name, value) in [
            (CONTENT_SECURITY_POLICY, &*policy),
            (CONTENT_LANGUAGE, &*self.language.tag),
        ] {
            match HeaderValue::from_str(value) {
                Ok(value) => reply.headers.insert(name, value),
                // Without its policy no page is shown.
                Err(_) => return Reply::new(StatusCode::INTERNAL_SERVER_ERROR),
            };
        }
        reply.body = html.into();
        reply
    }
}

/// The origin of a URL as a browser writes it.
pub(super) fn origin(url: &str) -> Option<String> {
    let url: http::Uri = url.parse().ok()?;
    let (scheme, authority) = (url.scheme_str()?, url.authority()?.as_str());
    let usual = if scheme == "https" { ":443" } else { ":80" };
    let authority = authority.strip_suffix(usual).unwrap_or(authority);
    Some(format!("{scheme}://{authority}").to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::origin;

    #[test]
    fn origins_are_as_browsers_write_them() {
        for (url, wanted) in [
            ("https://chat.example.com", "https://chat.example.com"),
            ("https://Chat.example.com:443/a", "https://chat.example.com"),
            ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
            ("http://a:443", "http://a:443"),
        ] {
            assert_eq!(origin(url).as_deref(), Some(wanted));
        }
        assert_eq!(origin("/a"), None);
    }
}
