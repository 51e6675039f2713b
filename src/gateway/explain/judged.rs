//! What `explain` says of an answer, and of a request that is judged like one.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::{Answer, Case, Explanation, Stop};
use crate::channel::{Channel, Route};
use crate::config::Config;
use crate::decision::{self, Asker, Candidate, Finding, ForAnswer};
use crate::gateway::{stream, webhook};
use crate::message::{AnswerView, Body, RequestView};
use crate::reason::Reason;

impl Case<'_> {
    /// A request of the backend's to the client: what would be judged is the request.
    pub(super) fn to_client(
        &self,
        said: &mut Explanation,
        route: &Route,
        request: &RequestView<'_>,
    ) -> Result<(), Stop> {
        let config = self.config;
        let channel = &route.channel;
        let view = AnswerView::message(request.headers, request.body);
        let mut asker = Asker::ANONYMOUS;
        let first = decision::answer(channel, &view, asker);
        let link = request
            .body
            .and_then(|body| channel.link_in(request.headers, body));
        if link.is_some() || !matches!(first, ForAnswer::Release { .. }) {
            let interaction = webhook::interaction(route, request, &first)?;
            said.interaction(interaction.as_deref());
            if interaction.is_some() {
                let standing = self.standing(said, channel)?;
                asker = Asker {
                    level: standing.level(),
                    named: true,
                    foreign: false,
                };
            }
        }
        let verdict = verdict(said, config, channel, &view, asker);
        if let ForAnswer::Release { .. } = verdict {
            linked(said, channel, &view, asker);
        }
        said.request = Some(match &verdict {
            ForAnswer::Release { reason, .. } | ForAnswer::Block(reason) => *reason,
            ForAnswer::Challenge { .. } => Reason::Flagged,
        });
        said.forwarded = !matches!(verdict, ForAnswer::Block(_));
        if let Some(signature) = route.signatures.sign.as_ref().filter(|_| said.forwarded) {
            said.step("signed", format!("by {}", signature.name));
        }
        said.answer = Some(verdict);
        Ok(())
    }

    /// The backend's answer to a request that was forwarded.
    pub(super) fn judge(
        &self,
        said: &mut Explanation,
        route: &Route,
        answer: &Answer,
        asker: Asker,
    ) -> Result<(), Stop> {
        let channel = &route.channel;
        let status = StatusCode::from_u16(answer.status)
            .map_err(|_| format!("{} is no status", answer.status))?;
        let mut headers = HeaderMap::new();
        for (name, value) in &answer.headers {
            let name = HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| format!("{name} is no header name"))?;
            let value = HeaderValue::from_bytes(value)
                .map_err(|_| format!("the header {name} has a value that cannot be sent"))?;
            headers.append(name, value);
        }
        said.step("answer", format!("{status}, {} bytes", answer.body.len()));
        let most = channel.inspection.max_body;
        let body = Body::of(&headers, Bytes::from(answer.body.clone()), most);
        let fits = answer.body.len() <= most;
        let view = AnswerView {
            status,
            headers: &headers,
            body: fits.then_some(&body),
        };
        let verdict = verdict(said, self.config, channel, &view, asker);
        if let ForAnswer::Release { .. } = verdict {
            linked(said, channel, &view, asker);
            if stream::is_watched(route) && decision::watched(&view) != Candidate::No {
                said.step("stream", "ends with the login of its customer");
            }
        }
        said.answer = Some(verdict);
        Ok(())
    }
}

fn verdict(
    said: &mut Explanation,
    config: &Config,
    channel: &Channel,
    view: &AnswerView<'_>,
    asker: Asker,
) -> ForAnswer {
    let messages = decision::messages(channel, view, asker);
    for (index, verdict) in messages.iter().enumerate() {
        let text = told(config, channel, verdict);
        said.step("message", format!("{}: {text}", index + 1));
    }
    let findings = match messages.is_empty() {
        true => decision::findings(channel, view),
        false => Vec::new(),
    };
    for (flag, finding) in channel.flags.iter().zip(findings) {
        let found = match finding {
            Finding::No => "does not match".to_owned(),
            Finding::Matches(level) => format!("matches, demands {}", config.level_name(level)),
            Finding::Unreadable(reason) => {
                format!("cannot be judged: {reason} — {}", reason.meaning())
            }
        };
        let observed = if flag.observe { " (observed only)" } else { "" };
        said.step("flag", format!("{}: {found}{observed}", flag.name));
    }
    let verdict = decision::answer(channel, view, asker);
    let text = told(config, channel, &verdict);
    said.step(
        "verdict",
        match messages.is_empty() {
            true => text,
            false => format!("judged message by message; altogether {text}"),
        },
    );
    verdict
}

fn told(config: &Config, channel: &Channel, verdict: &ForAnswer) -> String {
    match verdict {
        ForAnswer::Release { reason, strip } => {
            let strip = if strip.is_empty() {
                ""
            } else {
                ", the flag taken off"
            };
            format!("released{strip}: {reason} — {}", reason.meaning())
        }
        ForAnswer::Challenge { flag, level } => {
            let name = channel.flags.get(*flag).map_or("", |flag| &*flag.name);
            format!(
                "withheld, challenged: flag {name} demands {}",
                config.level_name(*level)
            )
        }
        ForAnswer::Block(reason) => format!(
            "withheld, answered with {}: {reason} — {}",
            reason.status(),
            reason.meaning()
        ),
    }
}

/// Where a login link of the backend's own would become ours.
fn linked(said: &mut Explanation, channel: &Channel, view: &AnswerView<'_>, asker: Asker) {
    let Some(body) = view.body else {
        return;
    };
    if channel.link_in(view.headers, body).is_none() {
        return;
    }
    said.step(
        "link",
        match decision::link(channel, view.headers, body, asker) {
            Some(_) => "the backend's login link is replaced by ours",
            None => "the backend's login link stays: nobody could log in by ours",
        },
    );
}
