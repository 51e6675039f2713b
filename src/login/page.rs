//! The channel's login page, and the URL that leads there.

use http::Uri;

use crate::login::{LoginToken, SecurityKeys};
use crate::message::target::encode;
use crate::time::Time;

/// The names of the parameters that chatgate adds to the authentication URL.
/// A parameter without a name is left out; `token` or `callback` must have one.
#[derive(Clone, Debug)]
pub struct Parameters {
    /// The bare login token.
    pub token: Option<Box<str>>,
    /// The complete callback URL, token included.
    pub callback: Option<Box<str>>,
    /// The channel's name.
    pub channel: Option<Box<str>>,
    /// The interaction's label.
    pub interaction: Option<Box<str>>,
    /// Seconds since the Unix epoch at which the URL was made.
    pub time: Option<Box<str>>,
    /// The demanded level's name.
    pub level: Option<Box<str>>,
    /// The signature; always the last parameter.
    pub signature: Box<str>,
}

/// How an interaction is named on the login page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    /// A short keyed hash: tells two chats apart and reveals nothing.
    Hash,
    /// The interaction id itself.
    Id,
}

/// Where customers log in.
#[derive(Clone, Debug)]
pub struct LoginPage {
    /// The authentication URL, absolute, `http` or `https`, without fragment.
    pub url: Box<str>,
    /// Parameter names.
    pub parameters: Parameters,
    /// What names the interaction.
    pub label: Label,
}

/// The values in one login URL.
#[derive(Clone, Copy, Debug)]
pub struct LoginUrl<'a> {
    /// The new token.
    pub token: &'a LoginToken,
    /// The callback, without the token: `{public_url}/.chatgate/return/{channel}`.
    pub callback: &'a str,
    /// The channel's name.
    pub channel: &'a str,
    /// The interaction id.
    pub interaction: &'a str,
    /// The demanded level's name.
    pub level: &'a str,
    /// Now.
    pub now: Time,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            token: Some("token".into()),
            callback: Some("callback".into()),
            channel: Some("channel".into()),
            interaction: Some("interaction".into()),
            time: Some("time".into()),
            level: Some("level".into()),
            signature: "signature".into(),
        }
    }
}

impl LoginPage {
    /// Checks what an operator configured: the URL is one, carries no fragment and
    /// no user, names of parameters need no escape and none is there twice, be it
    /// in the URL's own query, and the token is among them.
    pub fn new(url: &str, parameters: Parameters, label: Label) -> Result<Self, String> {
        check_url(url)?;
        check_names(
            &parameters,
            url.split_once('?').map_or("", |(_, query)| query),
        )?;
        Ok(Self {
            url: url.into(),
            parameters,
            label,
        })
    }

    /// The complete, signed login URL. The signature is the last parameter:
    /// hex of HMAC-SHA256, with the security key, over `login-url:` and the raw
    /// query string before `&signature=`, the authentication URL's own query included.
    ///
    /// `callback` holds the callback URL with `?token=…` at its end.
    pub fn url(&self, keys: &SecurityKeys, values: &LoginUrl<'_>) -> String {
        let token = values.token.expose();
        let names = &self.parameters;
        let pairs = [
            (&names.token, token.to_owned()),
            (&names.callback, callback_url(values.callback, values.token)),
            (&names.channel, values.channel.to_owned()),
            (
                &names.interaction,
                self.label(keys, values.channel, values.interaction),
            ),
            (&names.time, values.now.secs().to_string()),
            (&names.level, values.level.to_owned()),
        ];

        let mut url = String::from(&*self.url);
        if !url.contains('?') {
            url.push('?');
        }
        for (name, value) in pairs {
            if let Some(name) = name {
                append(&mut url, name, &value);
            }
        }
        let query = url.split_once('?').map_or("", |(_, query)| query);
        let signature = hex::encode(keys.sign(&message(query)));
        append(&mut url, &names.signature, &signature);
        url
    }

    /// The label of an interaction.
    pub fn label(&self, keys: &SecurityKeys, channel: &str, interaction: &str) -> String {
        match self.label {
            Label::Id => interaction.to_owned(),
            // A channel's name has no slash, so no two pairs share a hash.
            Label::Hash => {
                let mac = keys.sign(format!("interaction:{channel}/{interaction}").as_bytes());
                hex::encode(&mac[..8])
            }
        }
    }
}

/// The callback URL in its complete form: what a login page posts to, and what it
/// appends `&return=…` to.
pub fn callback_url(callback: &str, token: &LoginToken) -> String {
    format!("{callback}?token={}", token.expose())
}

/// What a login page does with the URL it was called by: whether the signature in
/// the raw query holds. `chatgate` itself needs it for tests and the demo.
///
/// `parameter` is the signature's name. It has to be the last parameter: whatever
/// follows it would be unsigned.
pub fn verify_query(keys: &SecurityKeys, parameter: &str, query: &str) -> bool {
    let Some((signed, signature)) = query.rsplit_once(&format!("&{parameter}=")) else {
        return false;
    };
    let mut mac = [0; 32];
    // `hex` takes both cases; ours has one spelling.
    !signature.bytes().any(|b| b.is_ascii_uppercase())
        && hex::decode_to_slice(signature, &mut mac).is_ok()
        && keys.verify(&message(signed), &mac)
}

/// What is signed. Values are percent-encoded and names plain, so no value can
/// end its parameter and no two sets of values give one query.
fn message(query: &str) -> Vec<u8> {
    [b"login-url:", query.as_bytes()].concat()
}

fn append(url: &mut String, name: &str, value: &str) {
    if !url.ends_with(['?', '&']) {
        url.push('&');
    }
    url.push_str(name);
    url.push('=');
    url.push_str(&encode(value));
}

fn check_url(url: &str) -> Result<(), String> {
    if let Some(odd) = url
        .chars()
        .find(|c| !c.is_ascii_graphic() || "\"<>\\^`{|}#".contains(*c))
    {
        return Err(match odd {
            '#' => "a login page's URL has no fragment: parameters would be lost behind it".into(),
            odd => format!("a URL does not contain {odd:?}"),
        });
    }
    let uri: Uri = url.parse().map_err(|_| "this is not a URL".to_owned())?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err("a login page's URL starts with https:// or http://".into());
    }
    if uri
        .authority()
        .is_none_or(|host| host.as_str().contains('@'))
    {
        return Err("a login page's URL names a host and no user".into());
    }
    Ok(())
}

fn check_names(names: &Parameters, query: &str) -> Result<(), String> {
    if names.token.is_none() && names.callback.is_none() {
        return Err("`token` or `callback` needs a name: no login page can answer without".into());
    }
    // In this order: the operator's own are neither ours to judge nor to repeat.
    let own = query.split('&').filter(|pair| !pair.is_empty());
    let mut seen: Vec<&str> = own
        .map(|pair| pair.split_once('=').map_or(pair, |(name, _)| name))
        .collect();
    let added = [
        &names.token,
        &names.callback,
        &names.channel,
        &names.interaction,
        &names.time,
        &names.level,
    ];
    let added = added.into_iter().flatten().chain([&names.signature]);
    for name in added {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
        if name.is_empty() || !name.bytes().all(plain) {
            return Err(format!(
                "{name:?} is no parameter name: letters, digits and -._~ only"
            ));
        }
        if seen.contains(&&**name) {
            return Err(format!("the parameter {name:?} would be there twice"));
        }
        seen.push(name);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
