//! Browsers that have signed in, and the one-time codes that sign them in. In memory only: a restart signs everybody out.

use super::token::{fresh_token, same};
use crate::problem::Problem;
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};
use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

/// Signed-in browsers at one time; the oldest is signed out by one more.
const SESSIONS: usize = 64;
/// Unused codes at one time.
const CODES: usize = 16;
/// How long a browser stays signed in.
pub(super) const SESSION_HOURS: i64 = 12;
const CODE_MINUTES: i64 = 10;

struct Held {
    /// The secret itself is not kept, only what it hashes to.
    mark: [u8; 32],
    until: Timestamp,
}

/// See the module.
#[derive(Default)]
pub(super) struct Sessions {
    sessions: Mutex<VecDeque<Held>>,
    codes: Mutex<VecDeque<Held>>,
}

fn mark(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

fn add(list: &Mutex<VecDeque<Held>>, most: usize, secret: &str, until: Timestamp) {
    let mut list = list.lock().unwrap_or_else(PoisonError::into_inner);
    if list.len() == most {
        list.pop_front();
    }
    list.push_back(Held { mark: mark(secret), until });
}

fn place(list: &VecDeque<Held>, secret: &str, now: Timestamp) -> Option<usize> {
    let sought = hex::encode(mark(secret));
    list.iter().position(|held| held.until > now && same(&hex::encode(held.mark), &sought))
}

impl Sessions {
    /// A code that signs one browser in.
    pub(super) fn new_code(&self, now: Timestamp) -> Result<String, Problem> {
        let code = fresh_token()?;
        add(&self.codes, CODES, &code, now + SignedDuration::from_mins(CODE_MINUTES));
        Ok(code)
    }
    /// Uses a code up.
    pub(super) fn redeem(&self, code: &str, now: Timestamp) -> bool {
        let mut codes = self.codes.lock().unwrap_or_else(PoisonError::into_inner);
        place(&codes, code, now).is_some_and(|at| codes.remove(at).is_some())
    }
    /// Signs a browser in: its cookie's value, and until when.
    pub(super) fn begin(&self, now: Timestamp) -> Result<(String, Timestamp), Problem> {
        let secret = fresh_token()?;
        let until = now + SignedDuration::from_hours(SESSION_HOURS);
        add(&self.sessions, SESSIONS, &secret, until);
        Ok((secret, until))
    }
    /// Whether that cookie's browser is signed in.
    pub(super) fn knows(&self, secret: &str, now: Timestamp) -> bool {
        place(&self.sessions.lock().unwrap_or_else(PoisonError::into_inner), secret, now).is_some()
    }
    /// Signs a browser out.
    pub(super) fn end(&self, secret: &str, now: Timestamp) {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = place(&sessions, secret, now) {
            sessions.remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_works_once_and_for_ten_minutes_and_a_session_ends() {
        let sessions = Sessions::default();
        let now = Timestamp::UNIX_EPOCH;
        let later = |minutes| now + SignedDuration::from_mins(minutes);
        let code = sessions.new_code(now).expect("a code");
        assert!(!sessions.redeem("something else", now));
        assert!(sessions.redeem(&code, later(9)) && !sessions.redeem(&code, later(9)), "once");
        let late = sessions.new_code(now).expect("a code");
        assert!(!sessions.redeem(&late, later(11)), "too late");
        let (secret, _) = sessions.begin(now).expect("a session");
        assert!(
            sessions.knows(&secret, later(60)) && !sessions.knows(&secret, later(60 * 13)),
            "twelve hours"
        );
        sessions.end(&secret, now);
        assert!(!sessions.knows(&secret, now), "signed out");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let sessions = Sessions::default();
        let now = Timestamp::UNIX_EPOCH;
        let (first, _) = sessions.begin(now).expect("a session");
        for _ in 0..SESSIONS {
            sessions.begin(now).expect("a session");
        }
        assert!(!sessions.knows(&first, now), "the oldest was signed out");
    }
}
