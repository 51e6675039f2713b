//! What an operator configured for one messaging interface, ready to be asked.

pub mod call;
pub mod flag;
pub mod form;
pub mod inject;
pub mod link;
pub mod linking;
pub mod outcome;
pub mod owner;
pub mod route;
pub mod routes;
pub mod signature;
pub mod socket;
pub mod template;
pub mod upstream;

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

pub use call::Call;
pub use flag::Flag;
pub use form::LoginForm;
pub use inject::Injection;
pub use link::Link;
pub use linking::Linking;
pub use outcome::{Ended, Outcomes};
pub use owner::Owner;
pub use route::{Enforcement, Kind, Route};
pub use routes::Routes;
pub use signature::{Signature, Signatures};
pub use socket::Socket;
pub use template::ChallengeTemplate;
pub use upstream::Upstream;

use crate::identity::Verifier;
use crate::identity::jwt::PinnedKey;
use crate::identity::records::Match;
use crate::interaction::{Bounds, Clocks};
use crate::login::oidc::Provider;
use crate::login::{LoginPage, SecurityKeys};
use crate::message::{MemberPath, Selector};

/// One configured messaging interface.
#[derive(Debug)]
pub struct Channel {
    /// Its name: `[a-z0-9_-]`.
    pub name: Arc<str>,
    /// Its clocks.
    pub clocks: Clocks,
    /// How customers prove who they are, asked in order.
    pub verifiers: Vec<Verifier>,
    /// What the company's records have to say of whoever proved something, in order.
    pub matches: Vec<Arc<Match>>,
    /// What ties a request to the interaction's owner; `None` trusts the id alone.
    pub owner: Option<Owner>,
    /// What the backend is told of a verified customer.
    pub inject: Injection,
    /// What makes an answer require authentication.
    pub flags: Vec<Flag>,
    /// How answers are inspected.
    pub inspection: Inspection,
    /// Where answers have many messages; `None` judges each answer as a whole.
    pub items: Option<Items>,
    /// How streamed answers are judged.
    pub streaming: Streaming,
    /// Login links of the backend's own, which become ours.
    pub link: Option<Link>,
    /// Mid-chat login; `None` blocks flagged answers.
    pub login: Option<Login>,
    /// What a logout from the operator's server is signed with, where that is not the
    /// key of the login page.
    pub logout_key: Option<SecurityKeys>,
    /// A call that tells the backend of the identity before a message passes with it.
    pub side_call: Option<Call>,
    /// CORS headers on chatgate's own answers.
    pub cors: Option<Cors>,
    /// WebSockets on `message` routes; `None` lets nothing upgrade there.
    pub socket: Option<Socket>,
}

/// How far the time in a signed message may be from ours, where nobody says.
pub const TOLERANCE: Duration = Duration::from_secs(5 * 60);

impl Channel {
    /// A channel of which nothing is configured yet: whatever it carries passes.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            clocks: Clocks::default(),
            verifiers: Vec::new(),
            matches: Vec::new(),
            owner: None,
            inject: Injection::default(),
            flags: Vec::new(),
            inspection: Inspection::default(),
            items: None,
            streaming: Streaming::default(),
            link: None,
            login: None,
            logout_key: None,
            side_call: None,
            cors: None,
            socket: None,
        }
    }

    /// Whether its interactions are worth remembering.
    pub fn keeps_state(&self) -> bool {
        self.login.is_some() || !self.verifiers.is_empty()
    }

    /// What a logout from the operator's server is verified with, and how far its time
    /// may be from ours; `None` where the channel takes none.
    pub fn logout_keys(&self) -> Option<(&SecurityKeys, Duration)> {
        let page = self.login.as_ref().and_then(Login::page);
        let own = self.logout_key.as_ref().map(|keys| (keys, TOLERANCE));
        own.or(page.map(|page| (&page.keys, page.tolerance)))
    }

    /// Longest message of a stream that is read, in bytes.
    pub fn max_event(&self) -> usize {
        self.streaming.max_event.unwrap_or(self.inspection.max_body)
    }
}

/// The mid-chat login of a channel.
#[derive(Debug)]
pub struct Login {
    /// Where customers log in.
    pub place: LoginPlace,
    /// The answer that the customer gets instead.
    pub challenge: ChallengeTemplate,
    /// What happens after a successful login.
    pub resume: Resume,
    /// Whose chat a login is for.
    pub binding: Binding,
    /// How the platform is told of a login, and tells of it: with [`Binding::Linked`].
    pub linking: Option<Box<Linking>>,
    /// What the chat is told of how a login ended.
    pub outcomes: Option<Outcomes>,
    /// How many failed logins close a login URL; `None`: the first.
    pub max_failures: Option<u32>,
    /// The place in the chat that the browser goes to after a return; `None` shows a page.
    pub return_to: Option<Box<str>>,
}

/// Where customers log in.
#[derive(Debug)]
pub enum LoginPlace {
    /// A page of the operator's, which signs what it returns.
    Page(Box<SigningPage>),
    /// An OpenID provider, or an OAuth server.
    Provider(Box<Provider>),
    /// A page of our own, for customers who live in a directory.
    Form(Box<LoginForm>),
}

/// A login page of the operator's, and how its returns are verified.
#[derive(Debug)]
pub struct SigningPage {
    /// The page.
    pub page: LoginPage,
    /// What chatgate and the page share.
    pub keys: SecurityKeys,
    /// The site's asymmetric keys, for returns by the browser.
    pub return_keys: Vec<PinnedKey>,
    /// How far a return's time may be from ours.
    pub tolerance: Duration,
}

impl Login {
    /// The operator's page, where customers log in there.
    pub fn page(&self) -> Option<&SigningPage> {
        match &self.place {
            LoginPlace::Page(page) => Some(page),
            LoginPlace::Provider(_) | LoginPlace::Form(_) => None,
        }
    }

    /// The OpenID provider or OAuth server, where customers log in there.
    pub fn provider(&self) -> Option<&Provider> {
        match &self.place {
            LoginPlace::Provider(provider) => Some(provider),
            LoginPlace::Page(_) | LoginPlace::Form(_) => None,
        }
    }

    /// Our own page, where customers log in there.
    pub fn form(&self) -> Option<&LoginForm> {
        match &self.place {
            LoginPlace::Form(form) => Some(form),
            LoginPlace::Page(_) | LoginPlace::Provider(_) => None,
        }
    }

    /// How withheld messages are kept and delivered, where that is what happens
    /// after the login.
    pub fn release(&self) -> Option<&Release> {
        match &self.resume {
            Resume::Release(release) => Some(release),
            Resume::None | Resume::Replay { .. } | Resume::Notify(_) => None,
        }
    }
}

/// Whose chat a login is for: a login URL can be forwarded, and whoever logs in with
/// it must not authenticate somebody else's chat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Binding {
    /// That of whoever had the URL made.
    #[default]
    Off,
    /// That of the browser that logs in: it has to bring the owner's evidence.
    SameBrowser,
    /// That of the customer who says so, on a page that shows what is bound.
    Confirm,
    /// That of the customer whom the platform names, in a signed request.
    Linked,
}

/// What happens to the original request after a successful login.
#[derive(Debug)]
pub enum Resume {
    /// Nothing.
    None,
    /// The held request is sent again; its answer waits at the `continue` URL.
    Replay {
        /// Largest request that is held, in bytes of body.
        max_body: usize,
    },
    /// The backend is told.
    Notify(Box<Call>),
    /// The withheld messages themselves go to the customer.
    Release(Release),
}

/// How withheld messages are kept and delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Release {
    /// How much one interaction may withhold.
    pub bounds: Bounds,
    /// How often a message is sent to a client that does not take it.
    pub attempts: u32,
    /// The pause after the first attempt that failed; it doubles each time.
    pub pause: Duration,
    /// How long one attempt may take.
    pub timeout: Duration,
}

impl Default for Release {
    fn default() -> Self {
        Self {
            bounds: Bounds {
                messages: 20,
                bytes: 256 << 10,
            },
            attempts: 5,
            pause: Duration::from_secs(1),
            timeout: Duration::from_secs(10),
        }
    }
}

/// How answers are inspected.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// Largest body that is read, in bytes.
    pub max_body: usize,
    /// Over it.
    pub oversize: Unreadable,
    /// In an encoding that is not decoded.
    pub undecodable: Unreadable,
    /// JSON by its type, but not by its bytes.
    pub malformed: Unreadable,
    /// Types of answers whose bodies are not judged: no messaging client reads them as JSON.
    pub pass_types: MediaTypes,
    /// Types of answers whose bodies are malformed unless they are JSON, beside those
    /// that say so themselves.
    pub json_types: MediaTypes,
}

impl Default for Inspection {
    fn default() -> Self {
        let block = Unreadable::Block;
        Self {
            max_body: 1 << 20,
            oversize: block,
            undecodable: block,
            malformed: block,
            // `text/html` is none of them: frameworks call JSON so when nobody says
            // otherwise, and browsers read it all the same.
            pass_types: MediaTypes(
                [
                    "image/*",
                    "audio/*",
                    "video/*",
                    "font/*",
                    "text/css",
                    "application/pdf",
                    "application/zip",
                ]
                .map(Box::from)
                .into(),
            ),
            json_types: MediaTypes::default(),
        }
    }
}

/// Answers with many messages, each an element of an array.
#[derive(Clone, Debug)]
pub struct Items {
    /// The array; the top of the answer when it names no member.
    pub at: MemberPath,
    /// What an element has when it comes again; `None` compares it byte for byte.
    pub id: Option<Selector>,
}

/// Media types, lower case: `text/css`, `image/*`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MediaTypes(pub Vec<Box<str>>);

impl MediaTypes {
    /// Whether this media type is one of them by its full name.
    pub fn lists(&self, kind: &str) -> bool {
        self.0.iter().any(|known| kind.eq_ignore_ascii_case(known))
    }

    /// Whether this media type, without parameters, is one of them.
    pub fn has(&self, kind: &str) -> bool {
        self.0.iter().any(|known| match known.strip_suffix('*') {
            Some(family) => {
                let start = kind.get(..family.len());
                start.is_some_and(|start| start.eq_ignore_ascii_case(family))
            }
            None => kind.eq_ignore_ascii_case(known),
        })
    }
}

/// How streamed answers are judged.
#[derive(Clone, Copy, Debug)]
pub struct Streaming {
    /// What becomes of a stream whose login ends.
    pub on_expiry: OnExpiry,
    /// Longest message that is read, in bytes, where it differs from
    /// [`Inspection::max_body`].
    pub max_event: Option<usize>,
    /// Longest pause between messages.
    pub idle_timeout: Duration,
}

impl Default for Streaming {
    fn default() -> Self {
        Self {
            on_expiry: OnExpiry::Anonymous,
            max_event: None,
            idle_timeout: Duration::from_secs(60 * 60),
        }
    }
}

/// What becomes of an open stream whose customer's login ends: it runs out, is
/// revoked, or the customer logs out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnExpiry {
    /// It goes on for an anonymous customer.
    Anonymous,
    /// It is ended.
    Close,
}

/// What becomes of an answer that cannot be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// The customer gets an error in its place.
    Block,
    /// It passes, counted and logged.
    Release,
}

/// CORS for chatgate's own answers.
#[derive(Clone, Debug)]
pub struct Cors {
    /// Allowed origins, as a browser writes them; `*` alone allows any, without credentials.
    pub origins: Vec<HeaderValue>,
    /// Whether cookies are allowed along.
    pub credentials: bool,
    /// Request headers allowed in a preflight; empty mirrors what is asked.
    pub headers: Vec<Box<str>>,
}
