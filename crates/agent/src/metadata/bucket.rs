//! A bucket of tokens: so many per second, so many at once. Pure.

use model::Timestamp;

#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    per_second: u32,
    most: u32,
    /// In thousandths.
    tokens: u64,
    filled_at: Timestamp,
}

impl Bucket {
    /// Full at the start.
    pub fn new(per_second: u32, most: u32, now: Timestamp) -> Self {
        Self { per_second, most, tokens: u64::from(most) * 1000, filled_at: now }
    }

    /// Takes one token if there is one.
    pub fn take(&mut self, now: Timestamp) -> bool {
        let millis = u64::try_from(now.since(self.filled_at).as_millis()).unwrap_or(u64::MAX);
        let fresh = millis.saturating_mul(u64::from(self.per_second));
        self.tokens = self.tokens.saturating_add(fresh).min(u64::from(self.most) * 1000);
        self.filled_at = self.filled_at.max(now);
        let taken = self.tokens >= 1000;
        if taken {
            self.tokens -= 1000;
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_at_once_and_so_many_per_second() {
        let mut bucket = Bucket::new(40, 60, Timestamp(0));
        let taken = |bucket: &mut Bucket, at: i64| (0..1000).filter(|_| bucket.take(Timestamp(at))).count();
        assert_eq!(taken(&mut bucket, 0), 60);
        assert_eq!(taken(&mut bucket, 24), 0);
        assert_eq!(taken(&mut bucket, 25), 1);
        assert_eq!(taken(&mut bucket, 1025), 40);
        // A clock that goes back gives nothing, and never full again means no more than the most.
        assert_eq!(taken(&mut bucket, 0), 0);
        assert_eq!(taken(&mut bucket, 1_000_000), 60);
    }
}
