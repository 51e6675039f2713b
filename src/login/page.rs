//! The channel's login page, and the URL that leads there.

use crate::login::{LoginToken, SecurityKeys};
use crate::message::target::{encode, pairs};
use crate::time::Time;

/// The names of the parameters that chatgate adds to the authentication URL.
/// A parameter without a name is left out; `token` or `callback` must have one.
/// Names are letters, digits and `-._~`, and no two are the same; the
/// configuration sees to it.
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

impl Parameters {
    fn contains(&self, name: &str) -> bool {
        [
            &self.token,
            &self.callback,
            &self.channel,
            &self.interaction,
            &self.time,
            &self.level,
        ]
        .into_iter()
        .flatten()
        .chain([&self.signature])
        .any(|known| **known == *name)
    }
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
    /// A login page at `url`, absolute and without fragment.
    ///
    /// # Errors
    /// The URL's own query is signed as it is written here. So it must not contain
    /// what a browser writes in another way, nor a parameter that is added.
    pub fn new(url: &str, parameters: Parameters, label: Label) -> Result<Self, String> {
        let changed = |c: char| !c.is_ascii_graphic() || "\"'<>\\^`{|}#".contains(c);
        if let Some(odd) = url.chars().find(|c| changed(*c)) {
            let encoded = encode(odd.encode_utf8(&mut [0; 4]));
            return Err(format!(
                "{odd:?} has to be written {encoded}: browsers do, and the signature covers what they send"
            ));
        }
        let query = url.split_once('?').map_or("", |(_, query)| query);
        let own = pairs(query);
        if let Some((name, _)) = own.iter().find(|(name, _)| parameters.contains(name)) {
            return Err(format!("the parameter `{name}` is added by chatgate"));
        }
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

#[cfg(test)]
mod tests;
