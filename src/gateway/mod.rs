//! pingora, and pingora only here: carries out what [`crate::decision`] returns.
//!
//! The way of a request, file by file:
//!
//! | file | phase |
//! |---|---|
//! | `proxy` | pingora's hooks: when which of what follows has its turn |
//! | `exchange` | what is known of one request and its answer |
//! | `admit` | ambiguous targets, hosts, duplicated headers are refused |
//! | `endpoints` | our own addresses: login return, `continue`, key set, page |
//! | `read` | a request body is read as a whole where something depends on it |
//! | `find` | the route that a request belongs to |
//! | `request` | route → body → signature → proof → interaction → verdict |
//! | `facts` | what a request says: its interaction, whose that is, who the customer is |
//! | `interactions` | what it leaves on its interaction |
//! | `side_call` | the backend is told of a login first |
//! | `records` | the company's records have their say on who proved something |
//! | `signed` | signatures of what comes are checked, of what leaves made |
//! | `webhook` | the judgement on a request of the backend's to the client |
//! | `inject` | managed headers and members off, verified ones on |
//! | `outgoing` | the head of a request as it goes on |
//! | `body` | managed members and form fields off a body, verified ones in |
//! | `suspect` | text that streams by: what could be a managed member to a lenient reader |
//! | `peer` | how upstreams are reached |
//! | `head` | what becomes of an answer, decided on its head |
//! | `hold` | an answer that may be flagged is held back, head and all |
//! | `verdict` | the judgement on a held answer, carried out |
//! | `unflag` | what is taken off an answer that goes on |
//! | `items` | the judgement on the elements of an answer with many messages |
//! | `stream` | the judgement on the messages of a streamed answer |
//! | `linking` | a platform says whose login it was |
//! | `link` | a login link of the backend's own becomes ours |
//! | `challenge` | the login URL in place of a withheld answer |
//! | `kept` | what waits for the login |
//! | `resume` | after the login: replay, notice |
//! | `notice` | after the login, or in place of it: how it ended, in the chat |
//! | `release` | after the login: withheld messages go to the client |
//! | `handover` | the same in an answer, a stream or on a socket: arrived, kept or reported |
//! | `resend` | requests of these two, sent as all requests are |
//! | `socket` | WebSockets: a relay that judges message by message |
//! | `failure` | errors of pingora's, without what a peer sent |
//! | `patience` | how long clients are waited for |
//! | `respond` | every answer that chatgate makes itself |
//! | `cork` | head and body leave for the backend together |
//! | `busy` | what has to end before the process does |
//! | `server` | listeners, start and end |
//! | `certificate` | a listener's certificate, which a reload reads again |
//! | `keeper` | reload, what has run out, the end of a drain |
//! | `settle` | the system clock is followed, and nothing lasts longer for it |
//! | `admin` | the private listener |
//! | `explain` | the way of a request that is only told of |

mod admin;
mod admit;
mod body;
mod busy;
mod certificate;
mod challenge;
mod cork;
mod endpoints;
mod exchange;
pub mod explain;
mod facts;
mod failure;
mod find;
mod handover;
mod head;
mod hold;
mod inject;
mod interactions;
mod items;
mod keeper;
mod kept;
mod link;
mod linking;
mod notice;
mod outgoing;
mod patience;
mod peer;
mod proxy;
mod read;
mod records;
mod release;
mod request;
mod resend;
mod respond;
mod resume;
mod server;
mod settle;
mod side_call;
mod signed;
mod socket;
mod stream;
mod suspect;
mod unflag;
mod verdict;
mod webhook;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use arc_swap::ArcSwap;
use tokio::sync::watch;

pub use server::{Options, Stop, serve};

use crate::config::Config;
use crate::identity::Caches;
use crate::interaction::Store;
use crate::login::form::throttle::Throttle;
use crate::login::oidc::Providers;
use crate::outbound::Outbound;
use crate::telemetry::Metrics;
use crate::time::{Clock, Time};

/// What lives as long as the process and outlives every reload.
#[derive(Debug)]
struct State {
    /// The configuration that new requests get.
    config: ArcSwap<Config>,
    /// Interactions.
    store: Store,
    /// What verifiers remember.
    caches: Caches,
    /// Who tries too often to log in.
    throttle: Throttle,
    /// What OpenID providers announce.
    providers: Providers,
    /// Held by whoever looks for the interactions of a customer.
    logouts: tokio::sync::Mutex<()>,
    /// The client for our own calls.
    outbound: Arc<Outbound>,
    /// How upstreams are reached.
    peers: peer::Peers,
    /// Sends requests there that no client waits behind.
    resend: resend::Resend,
    /// Time.
    clock: Clock,
    /// When the process began.
    started: Time,
    /// Metrics.
    metrics: Metrics,
    /// Withheld messages on their way to the client.
    releases: release::Releases,
    /// Requests under way, open sockets and releases among them.
    in_flight: AtomicUsize,
    /// Whether the process was told to end.
    draining: watch::Sender<bool>,
}
