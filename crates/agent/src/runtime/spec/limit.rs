//! Resource limits of a container's processes (`ulimits`).

use model::task_definition::Ulimit;

use super::document::Rlimit;
use crate::runtime::host::{Host, LIMITS};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("invalid ulimit type: {0}")]
    Unknown(String),
    #[error("ulimit {name}: soft limit must be less than or equal to hard limit: {soft} > {hard}")]
    Order { name: String, soft: i64, hard: i64 },
    #[error(
        "ulimit {name}: the hard limit {wanted} is above this node's own {allowed}, which it may not raise \
         (CAP_SYS_RESOURCE is missing)"
    )]
    Above { name: String, wanted: i64, allowed: u64 },
}

/// -1 means without limit.
pub fn rlimits(ulimits: &[Ulimit], host: &Host) -> Result<Vec<Rlimit>, Refused> {
    ulimits.iter().map(|ulimit| rlimit(ulimit, host)).collect()
}

fn rlimit(ulimit: &Ulimit, host: &Host) -> Result<Rlimit, Refused> {
    let Some((_, kind, _)) = LIMITS.iter().find(|(name, ..)| *name == ulimit.name) else {
        return Err(Refused::Unknown(ulimit.name.clone()));
    };
    let value = |limit: i64| u64::try_from(limit).unwrap_or(u64::MAX);
    let (soft, hard) = (value(ulimit.soft_limit), value(ulimit.hard_limit));
    if soft > hard {
        let (soft, hard) = (ulimit.soft_limit, ulimit.hard_limit);
        return Err(Refused::Order { name: ulimit.name.clone(), soft, hard });
    }
    let allowed = host.hard_limits.get(kind).copied().unwrap_or(u64::MAX);
    if hard > allowed && !host.may_raise_limits() {
        return Err(Refused::Above { name: ulimit.name.clone(), wanted: ulimit.hard_limit, allowed });
    }
    Ok(Rlimit { kind: (*kind).to_owned(), soft, hard })
}
