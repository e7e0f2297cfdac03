//! `clientToken`: same request same answer, another request a conflict, forgotten after 24 hours.

mod support;

use model::Timestamp;
use store::client_token::{self, CLIENT_TOKEN_LIFETIME, TokenUse};
use store::{ClientToken, Tables, Txn};
use support::scope;

fn used_at(token: &str, millis: i64) -> ClientToken {
    ClientToken {
        scope: scope(),
        operation: "RunTask".to_owned(),
        token: token.to_owned(),
        request_hash: "hash".to_owned(),
        answer: vec!["task".to_owned()],
        used_at: Timestamp(millis),
    }
}

#[test]
fn a_token_is_found_by_operation_and_request_until_its_time_is_over() {
    let mut txn = Txn::on(&Tables::default());
    txn.put(used_at("t", 1000));
    let check = |operation: &str, token: &str, hash: &str, now: Timestamp, expected: TokenUse| {
        assert_eq!(client_token::find(&txn, &scope(), operation, token, hash, now), expected);
    };
    let (start, end) = (Timestamp(1000), Timestamp(1000).plus(CLIENT_TOKEN_LIFETIME));
    check("RunTask", "t", "hash", start, TokenUse::Same(vec!["task".to_owned()]));
    check("RunTask", "t", "hash", Timestamp(end.0 - 1), TokenUse::Same(vec!["task".to_owned()]));
    check("RunTask", "t", "hash", end, TokenUse::New);
    check("RunTask", "t", "other", start, TokenUse::Conflict);
    check("RunTask", "u", "hash", start, TokenUse::New);
    check("CreateService", "t", "hash", start, TokenUse::New);
}

#[test]
fn pruning_forgets_exactly_what_find_no_longer_finds_oldest_first() {
    let mut txn = Txn::on(&Tables::default());
    for (token, millis) in [("c", 3), ("a", 1), ("b", 2), ("d", 4)] {
        txn.put(used_at(token, millis));
    }
    let now = Timestamp(3).plus(CLIENT_TOKEN_LIFETIME);
    let left = |txn: &Txn| txn.client_tokens.iter().map(|row| row.token.clone()).collect::<String>();
    assert_eq!((client_token::prune(&mut txn, now, 1), left(&txn)), (1, "bcd".to_owned()));
    assert_eq!((client_token::prune(&mut txn, now, 10), left(&txn)), (2, "d".to_owned()));
    assert_eq!((client_token::prune(&mut txn, now, 10), left(&txn)), (0, "d".to_owned()));
}
