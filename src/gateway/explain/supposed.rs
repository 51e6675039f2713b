//! How the interaction is supposed to stand, where something is explained.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Map;

use super::{Case, Explanation};
use crate::channel::Channel;
use crate::config::Config;
use crate::interaction::{Identity, Level, Standing};
use crate::time::Time;

/// How the interaction is supposed to stand.
#[derive(Clone, Debug, Default)]
pub struct Supposed {
    /// The subject that is logged in.
    pub subject: Option<String>,
    /// The name of the level of that login; the highest one if absent.
    pub level: Option<String>,
    /// How long ago that login was.
    pub since: Duration,
    /// Whether the interaction belongs to another client.
    pub foreign: bool,
}

impl Case<'_> {
    /// The standing of the interaction on this channel.
    pub(super) fn standing(
        &self,
        said: &mut Explanation,
        channel: &Channel,
    ) -> Result<Standing, String> {
        let reached = match &self.supposed.level {
            Some(name) => self.config.level(name).ok_or_else(|| {
                format!(
                    "there is no level {name}; there are {}",
                    self.config.levels.join(", ")
                )
            })?,
            None => Level(u8::try_from(self.config.levels.len()).unwrap_or(u8::MAX)),
        };
        let ago = u64::try_from(self.supposed.since.as_millis()).unwrap_or(u64::MAX);
        let login = Time::from_millis(self.now.millis().saturating_sub(ago));
        let level = channel.clocks.counts(reached, login, self.now);
        let subject = self
            .supposed
            .subject
            .as_ref()
            .filter(|_| !self.supposed.foreign);
        let identity = subject
            .filter(|_| level > Level::ANONYMOUS)
            .map(|subject| Arc::new(Identity::new(subject, level, &Map::new())));
        let standing = Standing {
            login_time: identity.as_ref().map(|_| login),
            unannounced: false,
            foreign: self.supposed.foreign,
            identity,
        };
        let mut text = describe(self.config, &standing);
        if subject.is_some() && level < reached {
            let reached = self.config.level_name(reached);
            text.push_str(&format!(
                "; the login reached {reached}, whose time is over"
            ));
        }
        said.step("standing", text);
        Ok(standing)
    }
}

fn describe(config: &Config, standing: &Standing) -> String {
    match (&standing.identity, standing.foreign) {
        (_, true) => "another client's: served as anonymous".into(),
        (Some(identity), _) => {
            let subject = crate::telemetry::clean(identity.subject());
            format!(
                "authenticated as {subject}, level {}",
                config.level_name(identity.level)
            )
        }
        (None, _) => "anonymous".into(),
    }
}
