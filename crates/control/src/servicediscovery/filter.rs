//! The filters of listings.

use wire::servicediscovery::{Error, FilterCondition};

use super::invalid;

/// One filter, whatever it is a filter of.
pub struct Filter {
    pub name: String,
    pub values: Vec<String>,
    condition: FilterCondition,
}

impl Filter {
    /// # Errors
    /// `InvalidInput` for a name that is none of `known`, a condition that its name does not have, and another number of
    /// values than the condition takes.
    pub fn new(
        name: &str,
        condition: Option<FilterCondition>,
        values: Vec<String>,
        known: &[(&str, &[FilterCondition])],
    ) -> Result<Self, Error> {
        let condition = condition.unwrap_or(FilterCondition::Eq);
        let Some((_, conditions)) = known.iter().find(|(known, _)| *known == name) else {
            return Err(invalid(format!("Filter name {name} is not valid.")));
        };
        if !conditions.contains(&condition) {
            return Err(invalid(format!("Filter condition {} is not valid for {name}.", condition.as_str())));
        }
        let fits = match condition {
            FilterCondition::In => !values.is_empty(),
            FilterCondition::Between => values.len() == 2,
            _ => values.len() == 1,
        };
        if !fits {
            let text = format!("Filter condition {} takes another number of values.", condition.as_str());
            return Err(invalid(text));
        }
        Ok(Self { name: name.to_owned(), values, condition })
    }

    pub fn holds(&self, actual: &str) -> bool {
        match self.condition {
            FilterCondition::BeginsWith => actual.starts_with(&self.values[0]),
            _ => self.values.iter().any(|value| value == actual),
        }
    }

    /// Of a time in milliseconds: both ends count.
    ///
    /// # Errors
    /// `InvalidInput` for a value that is no number.
    pub fn holds_time(&self, actual: i64) -> Result<bool, Error> {
        let number = |text: &String| text.parse::<i64>().map_err(|_| invalid(format!("{text} is not a time.")));
        let [from, to] = self.values.as_slice() else { return Err(invalid("A time range has two ends.")) };
        Ok((number(from)?..=number(to)?).contains(&actual))
    }
}
