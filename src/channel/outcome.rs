//! What the chat is told of how a login ended.

use http::HeaderValue;

use super::template::BodyTemplate;
use crate::reason::Reason;

/// How a login ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The customer logged in.
    Success,
    /// The customer could not log in, or not as the conversation needs it.
    Failure,
    /// The customer did not want to.
    Cancel,
    /// Nobody came back in time.
    Timeout,
}

impl Ended {
    /// The name that operators write.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Cancel => "cancel",
            Self::Timeout => "timeout",
        }
    }

    /// How a login ended whose verdict is this; `None` where it is not over, or where
    /// it is not about the login.
    pub fn of(reason: Reason) -> Option<Self> {
        match reason {
            Reason::LoginSucceeded => Some(Self::Success),
            Reason::LoginCancelled => Some(Self::Cancel),
            Reason::TokenExpired => Some(Self::Timeout),
            Reason::LoginFailed
            | Reason::LoginFailures
            | Reason::LoginLevel
            | Reason::LevelTooLow
            | Reason::RecordMissing
            | Reason::RecordAmbiguous
            | Reason::RecordMismatch
            | Reason::LinkRefused
            | Reason::LinkForeign
            | Reason::SubjectChanged => Some(Self::Failure),
            _ => None,
        }
    }
}

/// A message of ours in the channel's own format.
#[derive(Debug)]
pub struct Notice {
    /// What it says.
    pub body: BodyTemplate,
    /// The type of its body, where it is sent with one.
    pub content_type: HeaderValue,
}

/// The message for each end that the chat is told of.
#[derive(Debug, Default)]
pub struct Outcomes {
    /// After a success.
    pub success: Option<Notice>,
    /// After a failure.
    pub failure: Option<Notice>,
    /// After the customer cancelled.
    pub cancel: Option<Notice>,
    /// When nobody came back in time.
    pub timeout: Option<Notice>,
}

impl Outcomes {
    /// The message for this end.
    pub fn notice(&self, ended: Ended) -> Option<&Notice> {
        match ended {
            Ended::Success => self.success.as_ref(),
            Ended::Failure => self.failure.as_ref(),
            Ended::Cancel => self.cancel.as_ref(),
            Ended::Timeout => self.timeout.as_ref(),
        }
    }
}
