//! A load on the demo's load balancer, and what became of each of its requests.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::Serialize;
use tokio::task::JoinSet;

use super::Answer;
use super::balancer::Balancer;
use crate::failure::Failure;

/// Clients that ask one request after the other.
const CLIENTS: usize = 4;
/// Between two requests of a client, so that the machine has time for the update.
const PAUSE: Duration = Duration::from_millis(5);

pub struct Load {
    is_over: Arc<AtomicBool>,
    clients: JoinSet<Tally>,
}

#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tally {
    pub requests: usize,
    pub failed: usize,
    pub by_version: BTreeMap<String, usize>,
    pub first_failure: Option<String>,
}

impl Load {
    pub fn begin(balancer: &Balancer) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            clients.spawn(ask(balancer.clone(), is_over.clone()));
        }
        Self { is_over, clients }
    }

    pub async fn end(self) -> Tally {
        self.is_over.store(true, Ordering::Relaxed);
        self.clients.join_all().await.into_iter().fold(Tally::default(), Tally::add)
    }
}

async fn ask(balancer: Balancer, is_over: Arc<AtomicBool>) -> Tally {
    let mut tally = Tally::default();
    while !is_over.load(Ordering::Relaxed) {
        tally.note(balancer.ask().await);
        tokio::time::sleep(PAUSE).await;
    }
    tally
}

impl Tally {
    fn note(&mut self, answer: Result<Answer, Failure>) {
        self.requests += 1;
        match answer {
            Ok(answer) => *self.by_version.entry(answer.version).or_default() += 1,
            Err(failure) => {
                self.failed += 1;
                self.first_failure.get_or_insert_with(|| failure.to_string());
            }
        }
    }

    fn add(mut self, other: Self) -> Self {
        self.requests += other.requests;
        self.failed += other.failed;
        for (version, count) in other.by_version {
            *self.by_version.entry(version).or_default() += count;
        }
        self.first_failure = self.first_failure.or(other.first_failure);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_is_counted_once() {
        let answer =
            |version: &str| Ok(Answer { task: "a".to_owned(), version: version.to_owned(), listening_since_millis: 0 });
        let (mut one, mut two) = (Tally::default(), Tally::default());
        for answer in [answer("1"), answer("2"), Err(Failure::new("no"))] {
            one.note(answer);
        }
        two.note(answer("2"));
        let both = one.add(two);
        let by_version = BTreeMap::from([("1".to_owned(), 1), ("2".to_owned(), 2)]);
        assert_eq!((both.requests, both.failed, both.by_version), (4, 1, by_version));
        assert!(both.first_failure.is_some());
    }
}
