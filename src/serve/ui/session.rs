//! Who is logged in at the pages: links that are good once, sessions that end.
//!
//! A cookie knows no ports: what a browser keeps for this address it shows to every server on it, and an agent on this
//! machine may be one. So the cookie of a session is kept to a path that nobody can guess (RFC 6265 §5.1.4), and a
//! session is found by both.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom as _, SystemRandom};
use subtle::ConstantTimeEq as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::model::{Digest, Reviewer, Reviewers, Timestamp};

/// How long a link waits to be followed.
const LINK: Duration = Duration::from_secs(600);

/// How long somebody stays logged in, whatever they do.
const SESSION: Duration = Duration::from_secs(8 * 3_600);

/// Links that wait, and sessions that are open, at most: the oldest makes way.
const LINKS: usize = 16;
const SESSIONS: usize = 64;

/// Pages that are kept up to date at a time. Each holds one of the door's connections.
const LIVE: usize = 24;

/// Whose a session is. A reviewer is known by the digest of the token, so that a token taken away ends what it opened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::serve) enum Who {
    /// Whoever started the sidecar, at its terminal.
    Operator,
    /// Whoever holds this token.
    Holder(Digest),
}

impl Who {
    /// Who that is by the present configuration, if by that they are still somebody.
    fn found(self, reviewers: &Reviewers) -> Option<Reviewer> {
        match self {
            Self::Operator => Some(Reviewer::operator()),
            Self::Holder(token) => reviewers.by_token(&token),
        }
    }
}

/// All that is open. It ends with the process.
#[derive(Debug)]
pub struct Sessions {
    held: Mutex<Held>,
    live: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Held {
    links: BTreeMap<Digest, (Who, Timestamp)>,
    sessions: BTreeMap<Digest, Session>,
}

#[derive(Clone, Debug)]
struct Session {
    who: Who,
    path: Digest,
    form: String,
    until: Timestamp,
}

/// What a browser is given.
#[derive(Debug)]
pub(super) struct Opened {
    /// The part of the path under which its pages lie.
    pub(super) path: String,
    /// The cookie's value.
    pub(super) cookie: String,
    /// Seconds it is good for.
    pub(super) seconds: u64,
}

/// A session as it was found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) reviewer: Reviewer,
    /// What each of its forms holds.
    pub(super) form: String,
    pub(super) until: Timestamp,
}

impl Default for Sessions {
    fn default() -> Self {
        Self { held: Mutex::default(), live: Arc::new(Semaphore::new(LIVE)) }
    }
}

impl Sessions {
    /// The secret of a link that logs somebody in once: the operator, or whoever holds this token. `None` without
    /// randomness.
    pub fn link(&self, reviewer: Option<Digest>, now: Timestamp) -> Option<String> {
        let (secret, who) = (random()?, reviewer.map_or(Who::Operator, Who::Holder));
        let mut held = self.held(now);
        make_way(&mut held.links, LINKS, |(_, until)| *until);
        held.links.insert(Digest::of(secret.as_bytes()), (who, now.after(LINK)));
        Some(secret)
    }

    /// Spends a link. What it is worth is told once.
    pub(super) fn follow(&self, secret: &str, now: Timestamp) -> Option<Who> {
        self.held(now).links.remove(&Digest::of(secret.as_bytes())).map(|(who, _)| who)
    }

    /// Logs somebody in.
    pub(super) fn open(&self, who: Who, now: Timestamp) -> Option<Opened> {
        let (path, cookie, form) = (random()?, random()?, random()?);
        let session = Session { who, path: Digest::of(path.as_bytes()), form, until: now.after(SESSION) };
        let mut held = self.held(now);
        make_way(&mut held.sessions, SESSIONS, |session| session.until);
        held.sessions.insert(Digest::of(cookie.as_bytes()), session);
        Some(Opened { path, cookie, seconds: SESSION.as_secs() })
    }

    /// The session of a cookie that is shown under this path.
    pub(super) fn find(&self, (path, cookie): (&str, &str), reviewers: &Reviewers, now: Timestamp) -> Option<Found> {
        let session = self.held(now).sessions.get(&Digest::of(cookie.as_bytes())).cloned()?;
        let here = bool::from(session.path.0.ct_eq(&Digest::of(path.as_bytes()).0));
        let reviewer = session.who.found(reviewers).filter(|_| here)?;
        Some(Found { reviewer, form: session.form, until: session.until })
    }

    /// Logs somebody out.
    pub(super) fn close(&self, cookie: &str, now: Timestamp) {
        self.held(now).sessions.remove(&Digest::of(cookie.as_bytes()));
    }

    /// A place among the pages that are kept up to date, for as long as it is held.
    pub(super) fn live(&self) -> Option<OwnedSemaphorePermit> {
        self.live.clone().try_acquire_owned().ok()
    }

    /// What is not over by now.
    fn held(&self, now: Timestamp) -> MutexGuard<'_, Held> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.links.retain(|_, (_, until)| *until > now);
        held.sessions.retain(|_, session| session.until > now);
        held
    }
}

/// Takes out what ends first, where there is no room for one more.
fn make_way<T>(among: &mut BTreeMap<Digest, T>, most: usize, until: impl Fn(&T) -> Timestamp) {
    while among.len() >= most {
        let Some(first) = among.iter().min_by_key(|(_, one)| until(one)).map(|(key, _)| *key) else { return };
        among.remove(&first);
    }
}

/// 256 bits that nobody can guess, as they may stand in a path.
fn random() -> Option<String> {
    let mut bytes = [0; 32];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_795_324_800_000);

    fn find(sessions: &Sessions, opened: &Opened, now: Timestamp) -> Option<Found> {
        sessions.find((&opened.path, &opened.cookie), &Reviewers::default(), now)
    }

    #[test]
    fn a_link_is_good_once_and_not_for_long() {
        let sessions = Sessions::default();
        let link = sessions.link(None, NOW).unwrap();
        assert_eq!(sessions.follow("another", NOW), None);
        assert_eq!(sessions.follow(&link, NOW), Some(Who::Operator));
        assert_eq!(sessions.follow(&link, NOW), None, "it is spent");
        let late = sessions.link(None, NOW).unwrap();
        assert_eq!(sessions.follow(&late, NOW.after(LINK)), None);
    }

    #[test]
    fn a_session_is_found_by_cookie_and_path_until_it_ends() {
        let sessions = Sessions::default();
        let (one, other) = (sessions.open(Who::Operator, NOW).unwrap(), sessions.open(Who::Operator, NOW).unwrap());
        assert_eq!(find(&sessions, &one, NOW).unwrap().reviewer, Reviewer::operator());
        assert!(sessions.find((&other.path, &one.cookie), &Reviewers::default(), NOW).is_none());
        let last = NOW.after(SESSION).before(Duration::from_millis(1));
        assert!(find(&sessions, &one, last).is_some());
        assert!(find(&sessions, &one, NOW.after(SESSION)).is_none());
        sessions.close(&other.cookie, NOW);
        assert!(find(&sessions, &other, NOW).is_none());
    }

    #[test]
    fn a_token_that_is_taken_away_ends_what_it_opened() {
        let sessions = Sessions::default();
        let token = Digest::of(b"a token");
        let opened = sessions.open(Who::Holder(token), NOW).unwrap();
        let place = (&*opened.path, &*opened.cookie);
        let known = Reviewers::new(vec![(token, Reviewer::operator())]);
        assert!(sessions.find(place, &known, NOW).is_some());
        assert!(sessions.find(place, &Reviewers::default(), NOW).is_none());
    }

    #[test]
    fn there_are_never_more_links_and_sessions_than_there_may_be() {
        let sessions = Sessions::default();
        let first = sessions.open(Who::Operator, NOW).unwrap();
        let link = sessions.link(None, NOW).unwrap();
        for later in 1..=100 {
            let now = NOW.after(Duration::from_millis(later));
            sessions.open(Who::Operator, now).unwrap();
            sessions.link(None, now).unwrap();
        }
        let held = sessions.held(NOW);
        assert_eq!((held.links.len(), held.sessions.len()), (LINKS, SESSIONS));
        drop(held);
        assert!(find(&sessions, &first, NOW).is_none());
        assert_eq!(sessions.follow(&link, NOW), None);
    }
}
