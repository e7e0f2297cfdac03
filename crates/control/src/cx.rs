//! What an operation works with: a transaction that sees its own writes, and everything else that it may not take from
//! the world itself.

use model::{Scope, Timestamp};
use rand::rngs::StdRng;
use store::Txn;

use crate::traffic::Traffic;
use crate::{Caller, Config, Ledger};

/// One call's view of the world. Dropped without a commit, it leaves no trace.
pub struct Cx<'a> {
    pub txn: &'a mut Txn,
    pub caller: &'a Caller,
    /// The same for the whole call.
    pub now: Timestamp,
    /// Seeded per call; the only source of ids.
    pub random: &'a mut StdRng,
    pub config: &'a Config,
    /// Where tasks can be placed.
    pub ledger: &'a Ledger,
    /// What the data path tells of its targets.
    pub traffic: &'a Traffic,
}

impl Cx<'_> {
    pub fn scope(&self) -> &Scope {
        &self.caller.scope
    }
}
