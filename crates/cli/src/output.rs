//! Printing answers: a table for people, JSON for machines.

use std::io::{IsTerminal, Write as _};

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use crate::args::Output;

/// Prints `value` as JSON, or `text()` for people.
pub fn print<T: Serialize>(output: Output, value: &T, text: impl FnOnce() -> String) {
    match output {
        Output::Json => say(&serde_json::to_string_pretty(value).expect("answers are plain data")),
        Output::Text => say(text().trim_end()),
    }
}

/// On a line of its own. A reader that has gone, such as `head`, has read what it wanted.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

pub fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(header.iter().map(|title| bold(title)));
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.to_string()
}

pub fn bold(text: &str) -> String {
    styled("1", text)
}

pub fn green(text: &str) -> String {
    styled("32", text)
}

pub fn red(text: &str) -> String {
    styled("31", text)
}

pub fn yellow(text: &str) -> String {
    styled("33", text)
}

pub fn dim(text: &str) -> String {
    styled("2", text)
}

fn styled(code: &str, text: &str) -> String {
    if !std::io::stdout().is_terminal() || std::env::var_os("NO_COLOR").is_some() {
        return text.to_owned();
    }
    format!("\x1b[{code}m{text}\x1b[0m")
}
