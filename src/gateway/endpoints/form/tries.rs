//! One try of a name and a password, and what it takes of the tries there are.

use std::time::Duration;

use crate::channel::{Channel, LoginForm};
use crate::directory::{Fault, Ldap, Record};
use crate::gateway::State;
use crate::interaction::{Identity, Level};
use crate::login::form::throttle::{Limit, Throttle, Who};
use crate::reason::Reason;
use crate::secret::{self, Secret};
use crate::telemetry::Id;
use crate::time::Time;

/// One try in the directory.
pub(super) struct Try<'t> {
    pub state: &'t State,
    /// The request that it comes with.
    pub id: Id,
    pub form: &'t LoginForm,
    pub ldap: &'t Ldap,
    pub channel: &'t Channel,
}

impl Try<'_> {
    /// Who it is, if the password is right.
    pub(super) async fn run(
        &self,
        name: &str,
        password: Secret,
        demanded: Level,
        taken: &mut Taken<'_>,
    ) -> Result<Identity, Failed> {
        let mut found = self.find(name).await.map_err(Failed::before_or_after)?;
        if found.denied.is_none() {
            // Directories know more spellings of a name than we do, and more names of a
            // customer. That these are one is told to nobody.
            let entry = Who::Entry((*self.channel.name).into(), found.record.name.clone());
            if taken.take(entry, self.form.per_name).is_err() {
                found = Found::nobody(self.form, Reason::LoginCredentials);
            }
        }
        let right = self.password(&found, password).await;
        right.map_err(Failed::at_the_password)?;
        let identity = self.identify(name, &found.record, demanded).await;
        identity.map_err(Failed::before_or_after)
    }

    /// Whose name this is.
    async fn find(&self, name: &str) -> Result<Found, Reason> {
        let form = self.form;
        let found = match form.filter(name) {
            Ok(filter) => self.search(&form.base, filter, form.attributes()).await,
            Err(fault) => Err(fault),
        };
        match found {
            Ok(Some(record)) => Ok(Found {
                record,
                denied: None,
            }),
            Ok(None) => Ok(Found::nobody(form, Reason::LoginCredentials)),
            Err(Fault::Ambiguous) => {
                self.note(&Fault::Ambiguous);
                Ok(Found::nobody(form, Reason::DirectoryAmbiguous))
            }
            Err(fault) => Err(self.failed(&fault)),
        }
    }

    /// Tries the password.
    async fn password(&self, found: &Found, password: Secret) -> Result<(), Reason> {
        let outbound = &self.state.outbound;
        let bound = self.ldap.bind(outbound, &found.record.name, password).await;
        let bound = bound.map_err(|fault| self.failed(&fault))?;
        match found.denied {
            Some(reason) => Err(reason),
            None if !bound => Err(Reason::LoginCredentials),
            None => Ok(()),
        }
    }

    /// Who it is, whose password was right.
    async fn identify(
        &self,
        name: &str,
        record: &Record,
        demanded: Level,
    ) -> Result<Identity, Reason> {
        let form = self.form;
        if let Some(group) = &form.group {
            let member = match group.filter(name, &record.name) {
                Ok(filter) => self.search(&group.base, filter, Vec::new()).await,
                Err(fault) => Err(fault),
            };
            match member {
                // In two groups is in one.
                Ok(Some(_)) | Err(Fault::Ambiguous) => {}
                Ok(None) => return Err(Reason::LoginGroup),
                Err(fault) => return Err(self.failed(&fault)),
            }
        }
        let identity = form.identity(record, demanded);
        let identity = identity.map_err(|fault| self.failed(&fault))?;
        match identity.level < demanded {
            true => Err(Reason::LoginLevel),
            false => Ok(identity),
        }
    }

    async fn search(
        &self,
        base: &str,
        filter: String,
        attributes: Vec<Box<str>>,
    ) -> Result<Option<Record>, Fault> {
        let outbound = &self.state.outbound;
        self.ldap.find(outbound, base, filter, attributes).await
    }

    fn failed(&self, fault: &Fault) -> Reason {
        self.note(fault);
        match fault {
            Fault::Unavailable(_) => Reason::DirectoryUnavailable,
            Fault::Refused(_) => Reason::DirectoryError,
            Fault::Ambiguous => Reason::DirectoryAmbiguous,
        }
    }

    fn note(&self, fault: &Fault) {
        let (channel, directory) = (&self.channel.name, &self.form.directory.name);
        tracing::warn!(
            request_id = %self.id, %channel, %directory, %fault,
            "a login could not be looked up"
        );
    }
}

/// Why a try failed.
pub(super) struct Failed {
    pub reason: Reason,
    /// Whether it is nobody's fault but ours.
    pub ours: bool,
}

impl Failed {
    /// Before the password was tried, or once it was right.
    fn before_or_after(reason: Reason) -> Self {
        let away = [Reason::DirectoryUnavailable, Reason::DirectoryError];
        Self {
            reason,
            ours: away.contains(&reason),
        }
    }

    /// Where the directory does not say whether a password is right, it may have been
    /// wrong: whoever makes it slow has no more tries than others.
    fn at_the_password(reason: Reason) -> Self {
        Self {
            reason,
            ours: false,
        }
    }
}

/// The tries that one try has taken. They stay taken, unless it says what became of it.
pub(super) struct Taken<'t> {
    throttle: &'t Throttle,
    now: Time,
    by: Vec<(Who, Limit)>,
}

impl<'t> Taken<'t> {
    /// None yet.
    pub(super) fn new(throttle: &'t Throttle, now: Time) -> Self {
        Self {
            throttle,
            now,
            by: Vec::new(),
        }
    }

    /// Takes one more; how long to wait when there is none.
    pub(super) fn take(&mut self, who: Who, limit: Limit) -> Result<(), Duration> {
        self.throttle.take(&who, limit, self.now)?;
        self.by.push((who, limit));
        Ok(())
    }

    /// It came to nothing.
    pub(super) fn give_back(self) {
        for (who, limit) in &self.by {
            self.throttle.give_back(who, *limit);
        }
    }

    /// The password was right; `unread` where the customer's record could not be read.
    pub(super) fn succeeded(self, unread: bool) {
        for (who, limit) in &self.by {
            match who {
                // A record that cannot be read may be this customer's own: who logs in
                // again and again has no more tries for that than others.
                Who::Address(_) if unread => {}
                Who::Address(_) | Who::Ticket(_) => self.throttle.give_back(who, *limit),
                Who::Name(..) | Who::Entry(..) => self.throttle.forget(who),
            }
        }
    }
}

/// Whose password is tried.
struct Found {
    record: Record,
    /// Why it does not matter whether it is right.
    denied: Option<Reason>,
}

impl Found {
    /// A name that nobody has.
    fn nobody(form: &LoginForm, reason: Reason) -> Self {
        let name = hex::encode(secret::random::<8>());
        Self {
            record: Record {
                name: format!("cn={name},{}", form.base).into(),
                ..Record::default()
            },
            denied: Some(reason),
        }
    }
}
