//! The cookie by which a browser that logs in is known again. One is enough for all the
//! logins that it has open.

use http::{HeaderMap, HeaderValue};

use crate::config::Config;
use crate::login::LoginToken;
use crate::message::header::raw_cookies;

/// The cookie's name.
pub(in crate::gateway) const fn cookie_name(secure: bool) -> &'static str {
    match secure {
        true => "__Host-chatgate-login",
        false => "chatgate-login",
    }
}

/// What the browser is known by, if it brings exactly one of ours.
pub(super) fn known(config: &Config, headers: &HeaderMap) -> Option<LoginToken> {
    let mut values = raw_cookies(headers, cookie_name(is_secure(config)));
    match (values.next(), values.next()) {
        (Some(value), None) => LoginToken::parse(std::str::from_utf8(value).ok()?),
        _ => None,
    }
}

/// `Set-Cookie`, for a browser that is known by this from now on.
pub(super) fn cookie(config: &Config, browser: &LoginToken) -> Option<HeaderValue> {
    let secure = is_secure(config);
    let (name, value) = (cookie_name(secure), browser.expose());
    let secure = if secure { "; Secure" } else { "" };
    let cookie = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax{secure}");
    let mut cookie = HeaderValue::from_str(&cookie).ok()?;
    cookie.set_sensitive(true);
    Some(cookie)
}

fn is_secure(config: &Config) -> bool {
    config.public_url.starts_with("https://")
}
