//! What a command says when it cannot do its work: what happened, why, and what to do.

use std::error::Error;
use std::fmt;

#[derive(Debug)]
pub struct Failure {
    what: String,
    why: Option<Box<dyn Error + Send + Sync>>,
    advice: Option<String>,
}

impl Failure {
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), why: None, advice: None }
    }

    #[must_use]
    pub fn because(mut self, why: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.why = Some(why.into());
        self
    }

    #[must_use]
    pub fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.what)?;
        let mut why = self.why.as_deref().map(|error| error as &dyn Error);
        while let Some(error) = why {
            write!(f, ": {error}")?;
            why = error.source();
        }
        match &self.advice {
            Some(advice) => write!(f, "\n{advice}"),
            None => Ok(()),
        }
    }
}

/// `result.context(|| "what happened")?`, and `.advice("what to do")`.
pub trait Context<T> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T, Failure>;
}

impl<T, E: Into<Box<dyn Error + Send + Sync>>> Context<T> for Result<T, E> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|why| Failure::new(what()).because(why))
    }
}

pub trait Advice<T> {
    fn advice(self, advice: &str) -> Result<T, Failure>;
}

impl<T> Advice<T> for Result<T, Failure> {
    fn advice(self, advice: &str) -> Result<T, Failure> {
        self.map_err(|failure| failure.advise(advice))
    }
}
