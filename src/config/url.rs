//! Absolute URLs, origins, hosts.

use std::net::{IpAddr, Ipv6Addr};

use http::Uri;

use super::reader::{Node, Wrong};

/// An absolute `http` or `https` URL without user information and fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Url {
    pub(super) text: Box<str>,
    pub(super) https: bool,
    /// Lower case, an IPv6 address without brackets.
    pub(super) host: Box<str>,
    pub(super) port: Option<u16>,
    /// From the first slash on; empty when there is none.
    pub(super) path: Box<str>,
    pub(super) query: Option<Box<str>>,
}

impl Url {
    pub(super) fn parse(text: &str) -> Result<Self, Wrong> {
        let help = "write it like \"https://www.example.com/login\"";
        let wrong = |message: &str| Wrong::new(message, help);
        let https = match scheme(text) {
            Some((scheme, _)) if scheme.eq_ignore_ascii_case("http") => false,
            Some((scheme, _)) if scheme.eq_ignore_ascii_case("https") => true,
            _ => return Err(wrong("a URL must begin with http:// or https://")),
        };
        if text.contains('#') {
            return Err(wrong("a URL must not have a fragment here"));
        }
        let uri: Uri = text.parse().map_err(|_| wrong("this is not a URL"))?;
        let authority = uri.authority().ok_or_else(|| wrong("a URL needs a host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("a URL must not have a user or password"));
        }
        let host = host(authority.host())
            .ok_or_else(|| wrong("the host is not a host name or address"))?;
        let port = match authority.as_str().strip_prefix(authority.host()) {
            Some("") => None,
            Some(port) => {
                let port = port.strip_prefix(':').and_then(|port| port.parse().ok());
                Some(
                    port.filter(|port| *port > 0)
                        .ok_or_else(|| wrong("the port is not a number from 1 to 65535"))?,
                )
            }
            None => return Err(wrong("this is not a URL")),
        };
        let rest = scheme(text).map_or("", |(_, rest)| rest);
        let path = rest.find(['/', '?']).map_or("", |at| &rest[at..]);
        let (path, query) = match path.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (path, None),
        };
        Ok(Self {
            text: text.into(),
            https,
            host,
            port,
            path: path.into(),
            query: query.map(Into::into),
        })
    }

    /// Whether what is sent there can be read on the way.
    pub(super) fn exposed(&self) -> bool {
        !self.https && !self.loopback()
    }

    /// Whether it leads to this machine.
    pub(super) fn loopback(&self) -> bool {
        match self.host.parse::<IpAddr>() {
            Ok(address) => address.is_loopback(),
            Err(_) => *self.host == *"localhost" || self.host.ends_with(".localhost"),
        }
    }
}

impl Node<'_> {
    /// An absolute URL.
    pub(super) fn url(self) -> Option<Url> {
        self.parse(Url::parse)
    }

    /// A URL that carries something confidential; plain HTTP gets a warning.
    pub(super) fn private_url(self, what: &str) -> Option<Url> {
        let url = self.url()?;
        if url.exposed() {
            let message = format!("{what} over plain http can be read and changed on the way");
            self.warn(Wrong::new(message, "use https"));
        }
        Some(url)
    }
}

/// An origin as a browser writes it: scheme, host and port, lower case, no slash.
pub(super) fn origin(text: &str) -> Result<http::HeaderValue, Wrong> {
    let wrong = |message: &str| Wrong::new(message, "write it like \"https://www.example.com\"");
    let url = Url::parse(text)?;
    if !url.path.is_empty() || url.query.is_some() {
        return Err(wrong("an origin ends with its host or port"));
    }
    if text.chars().any(char::is_uppercase) {
        return Err(wrong("browsers write origins in lower case"));
    }
    let usual = if url.https { 443 } else { 80 };
    if url.port == Some(usual) {
        return Err(wrong("browsers leave the usual port out"));
    }
    http::HeaderValue::from_str(text).map_err(|_| wrong("this is not an origin"))
}

/// A host in lower case, an IPv6 address without brackets.
pub(super) fn host(text: &str) -> Option<Box<str>> {
    if let Some(inner) = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        let address: Ipv6Addr = inner.parse().ok()?;
        return Some(address.to_string().into());
    }
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let named = text.strip_suffix('.').unwrap_or(text);
    (text.len() <= 253 && named.split('.').all(label)).then(|| text.to_ascii_lowercase().into())
}

fn scheme(text: &str) -> Option<(&str, &str)> {
    text.split_once("://")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_urls() {
        let url = Url::parse("https://WWW.example.com:8443/a?b=c").unwrap();
        assert_eq!(
            (&*url.host, url.port, &*url.path),
            ("www.example.com", Some(8443), "/a")
        );
        assert_eq!(url.query.as_deref(), Some("b=c"));
        assert_eq!(&*Url::parse("http://[::1]:80").unwrap().host, "::1");
        assert!(Url::parse("http://[::1]/").unwrap().loopback());
        assert!(Url::parse("http://127.0.0.9").unwrap().loopback());
        assert!(Url::parse("http://example.com").unwrap().exposed());
    }

    #[test]
    fn refuses_what_is_no_url() {
        for text in [
            "",
            "example.com",
            "ftp://a",
            "http://",
            "http:///x",
            "https://a@b/",
            "https://a:b@c/",
            "https://a/#b",
            "https://a:0/",
            "https://a:99999/",
            "https://a:/",
            "https://a b/",
            "https://-a/",
            "https://a..b/",
            "https://[::zz]/",
            "javascript://a",
            "http://a\\b/",
        ] {
            assert!(Url::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn origins_are_as_browsers_write_them() {
        assert!(origin("https://www.example.com").is_ok());
        assert!(origin("http://localhost:3000").is_ok());
        for text in [
            "",
            "null",
            "https://a/",
            "https://A",
            "https://a:443",
            "www.example.com",
        ] {
            assert!(origin(text).is_err(), "{text}");
        }
    }
}
