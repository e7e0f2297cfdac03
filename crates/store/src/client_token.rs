//! `clientToken` idempotency: the same token with the same request gets the same answer for 24 hours; with another
//! request it is a conflict (ecs-semantics, RunTask and CreateService).

use std::time::Duration;

use imbl::OrdSet;
use model::{Scope, Timestamp};
use serde::{Deserialize, Serialize};

use crate::row::Row;
use crate::table::{Index, replace_in};
use crate::{Tables, Txn};

/// How long a token is remembered.
pub const CLIENT_TOKEN_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// A token that was used, and what its first use answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientToken {
    pub scope: Scope,
    /// The API's name of the operation, e.g. `RunTask`.
    pub operation: String,
    pub token: String,
    /// Of the request without its token; the caller's choice of hash.
    pub request_hash: String,
    /// What the answer is made from again, e.g. task ids.
    pub answer: Vec<String>,
    pub used_at: Timestamp,
}

type TokenKey = (Scope, String, String);

impl Row for ClientToken {
    type Key = TokenKey;
    type Index = ClientTokenIndex;
    const TABLE: &'static str = "client_tokens";
    const VERSION: u16 = 1;

    fn key(&self) -> Self::Key {
        (self.scope.clone(), self.operation.clone(), self.token.clone())
    }
}

#[derive(Clone, Default)]
pub struct ClientTokenIndex {
    /// `None` only bounds ranges.
    pub(crate) by_time: OrdSet<(Timestamp, Option<TokenKey>)>,
}

impl Index<ClientToken> for ClientTokenIndex {
    fn replace(&mut self, before: Option<&ClientToken>, after: Option<&ClientToken>) {
        let time = |row: &ClientToken| (row.used_at, Some(row.key()));
        replace_in(&mut self.by_time, before.map(time), after.map(time));
    }
}

/// What is known of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenUse {
    /// Never used, or longer ago than [`CLIENT_TOKEN_LIFETIME`].
    New,
    /// Used with this very request: its answer.
    Same(Vec<String>),
    /// Used with another request.
    Conflict,
}

/// Whether a token was used before, and for this request.
pub fn find(tables: &Tables, scope: &Scope, operation: &str, token: &str, hash: &str, now: Timestamp) -> TokenUse {
    let key = (scope.clone(), operation.to_owned(), token.to_owned());
    let Some(used) = tables.client_tokens.get(&key) else { return TokenUse::New };
    if now.since(used.used_at) >= CLIENT_TOKEN_LIFETIME {
        return TokenUse::New;
    }
    if used.request_hash == hash { TokenUse::Same(used.answer.clone()) } else { TokenUse::Conflict }
}

/// Forgets up to `limit` tokens whose time is over. Answers how many.
pub fn prune(txn: &mut Txn, now: Timestamp, limit: usize) -> usize {
    let lifetime = i64::try_from(CLIENT_TOKEN_LIFETIME.as_millis()).expect("24 hours fit");
    let before = Timestamp(now.0.saturating_sub(lifetime).saturating_add(1));
    let expired: Vec<TokenKey> = txn.client_tokens_before(before).take(limit).map(|row| row.key()).collect();
    for key in &expired {
        txn.remove::<ClientToken>(key);
    }
    expired.len()
}
