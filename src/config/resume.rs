//! `resume`, `notify`, `release`: what happens after a login.

use std::time::Duration;

use super::call::call;
use super::reader::{Node, Table, Wrong};
use crate::channel::template::CALL_NAMES;
use crate::channel::{Release, Resume};
use crate::interaction::Bounds;

/// Longest body of a held request, in bytes: more cannot be read before it is forwarded.
const REPLAY: u64 = 64 << 10;
/// Most messages that one interaction may withhold, and most bytes.
const MESSAGES: u64 = 1000;
const BYTES: u64 = 16 << 20;
/// Most attempts to deliver a message: the pauses between them double.
const ATTEMPTS: u64 = 10;
const MINUTE: Duration = Duration::from_secs(60);

/// `resume` and the tables that go with it.
pub(super) fn resume(table: &Table<'_>) -> Option<Resume> {
    #[derive(Clone, Copy, PartialEq)]
    enum Way {
        None,
        Replay,
        Notify,
        Release,
    }
    let ways = [
        ("none", Way::None),
        ("replay", Way::Replay),
        ("notify", Way::Notify),
        ("release", Way::Release),
    ];
    let node = table.get("resume");
    let way = node.map_or(Some(Way::None), |node| node.choice(&ways));
    let max_body = table.get("replay_max_body");
    let notify = table.get("notify");
    if let Some(max_body) = max_body.filter(|_| way.is_some_and(|way| way != Way::Replay)) {
        max_body.error_key("`replay_max_body` goes with resume = \"replay\"");
    }
    if let Some(notify) = notify.filter(|_| way.is_some_and(|way| way != Way::Notify)) {
        notify.error_key("`notify` goes with resume = \"notify\"");
    }
    let release = table.get("release");
    if let Some(release) = release.filter(|_| way.is_some_and(|way| way != Way::Release)) {
        release.error_key("`release` goes with resume = \"release\"");
    }
    let size = max_body.and_then(|node| node.size_up_to(REPLAY));
    let call = notify.map(|node| self::call(node, CALL_NAMES));
    match way? {
        Way::None => Some(Resume::None),
        Way::Replay => {
            // Answers that come by webhooks wait at no URL.
            let routes = table.get("route");
            let called_back = routes.is_some_and(|routes| routes.any_says("kind", "webhook"));
            if !table.has("owner") && !called_back {
                node?.error(Wrong::new(
                    "without an [owner] anybody who names the interaction could fetch the replayed answer",
                    "add the table `owner` to this channel",
                ));
            }
            Some(Resume::Replay {
                max_body: size.unwrap_or(64 << 10),
            })
        }
        Way::Notify if notify.is_none() => {
            node?.error("there is no table `notify` that says how");
            None
        }
        Way::Notify => Some(Resume::Notify(Box::new(call??))),
        Way::Release => Some(Resume::Release(
            release.map_or_else(|| Some(Release::default()), self::release)?,
        )),
    }
}

/// `[channel.NAME.release]`.
fn release(node: Node<'_>) -> Option<Release> {
    let table = node.table()?;
    let count = |name, most| table.get(name).and_then(|node| node.integer(1..=most));
    let span = |name| table.get(name).and_then(|node| node.duration_up_to(MINUTE));
    let size = |name| table.get(name).and_then(|node| node.size_up_to(BYTES));
    let usual = Release::default();
    Some(Release {
        bounds: Bounds {
            messages: count("max_messages", MESSAGES)
                .map_or(usual.bounds.messages, |count| count as usize),
            bytes: size("max_bytes").unwrap_or(usual.bounds.bytes),
        },
        attempts: count("attempts", ATTEMPTS).map_or(usual.attempts, |count| count as u32),
        pause: span("pause").unwrap_or(usual.pause),
        timeout: span("timeout").unwrap_or(usual.timeout),
    })
}
