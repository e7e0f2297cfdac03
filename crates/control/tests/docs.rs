//! The documents name files and functions: each must exist. A link whose text is a file's name names just the file.

use std::fs;
use std::path::{Path, PathBuf};

/// `[text](target.rs)`: what the text names, without its backticks, and the target.
fn source_links(markdown: &str) -> Vec<(String, String)> {
    let links = markdown.split("](").zip(markdown.split("](").skip(1));
    let links = links.filter_map(|(before, after)| {
        let text = before.rsplit_once('[')?.1;
        let target = after.split_once(')')?.0;
        target.ends_with(".rs").then(|| (text.trim_matches('`').to_owned(), target.to_owned()))
    });
    links.collect()
}

fn defines(source: &str, name: &str) -> bool {
    let kinds = ["fn", "struct", "enum", "trait", "mod", "const"];
    kinds.iter().any(|kind| {
        let definition = format!("{kind} {name}");
        source.match_indices(&definition).any(|(at, found)| {
            let next = source[at + found.len()..].chars().next();
            next.is_none_or(|next| !next.is_alphanumeric() && next != '_')
        })
    })
}

#[track_caller]
fn check(document: &str, least: usize) {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let markdown = fs::read_to_string(docs.join(document)).expect("the document is there");
    let links = source_links(&markdown);
    assert!(links.len() >= least, "{document} has {} links to source", links.len());
    for (name, target) in links {
        let path: PathBuf = docs.join(&target);
        let source = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{document} names {target}: {error}"));
        let is_named = if name.ends_with(".rs") { path.ends_with(&name) } else { defines(&source, &name) };
        assert!(is_named, "{document}: {target} has no {name}");
    }
}

#[test]
fn the_life_of_a_task_is_told_of_what_there_is() {
    check("life-of-a-task.md", 25);
}

#[test]
fn the_glossary_points_at_what_there_is() {
    check("glossary.md", 30);
}

#[test]
fn a_name_that_is_only_a_part_of_another_is_not_there() {
    assert!(defines("pub fn write(x: u8)", "write"));
    assert!(defines("fn write<T>()", "write"));
    assert!(!defines("fn write_all()", "write"));
    assert!(!defines("write()", "write"));
}
