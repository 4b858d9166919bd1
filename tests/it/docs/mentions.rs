//! Routes, commands and flags that the book names exist.

use super::markdown::{code, split};
use super::{Page, pages};
use crate::harness::{output, told, tollgate};
use std::collections::{BTreeMap, BTreeSet};

/// A path without the names of its parameters, its query and its final slash.
pub(super) fn shape(path: &str) -> String {
    let path = path.split('?').next().unwrap_or_default().trim_end_matches('/');
    path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part }).collect::<Vec<_>>().join("/")
}

/// `METHOD /path` in prose, such as `POST /v1/events/batch`; `GET|PUT /path` counts twice.
fn routes(text: &str) -> Vec<(String, String)> {
    let Some((methods, path)) = text.split_once(' ').filter(|(_, path)| path.starts_with('/')) else {
        return Vec::new();
    };
    let path = path.split_whitespace().next().unwrap_or_default();
    let is_method = |word: &&str| matches!(*word, "GET" | "POST" | "PUT" | "PATCH" | "DELETE");
    methods.split('|').filter(is_method).map(|method| (method.to_owned(), shape(path))).collect()
}

/// The pages that a reader goes by; the others are for those who work on the project.
fn of_the_reader() -> Vec<Page> {
    let mut kept = pages();
    kept.retain(|page| page.name.starts_with("docs/") || page.name == "README.md");
    kept
}

/// Every route that pages name in prose, with where.
pub(super) fn named_routes() -> Vec<((String, String), String)> {
    let mut found = Vec::new();
    for page in of_the_reader() {
        let (_, prose) = split(&page.text);
        // Code may run over the end of a line.
        let text = prose.join(" ");
        for code in code(&text) {
            found.extend(routes(code).into_iter().map(|route| (route, page.name.clone())));
        }
    }
    found
}

/// `tollgate COMMAND [SUBCOMMAND] … --flag …` of a line of a shell block or of code in prose.
fn commands(text: &str) -> Vec<(Vec<String>, BTreeSet<String>)> {
    let mut found = Vec::new();
    for statement in text.replace("\\\n", " ").split(['\n', ';', '|', '&']) {
        let words: Vec<&str> = statement.split_whitespace().collect();
        let Some(at) = words.iter().position(|word| *word == "tollgate" || word.ends_with("/tollgate")) else {
            continue;
        };
        let rest = words[at + 1..].iter();
        let names =
            rest.clone().take_while(|word| word.chars().all(|letter| letter.is_ascii_lowercase() || letter == '-'));
        let names: Vec<String> = names.filter(|word| !word.starts_with('-')).take(2).map(ToString::to_string).collect();
        let flags = rest.filter(|word| word.starts_with("--"));
        let flags = flags.map(|flag| flag.split('=').next().unwrap_or_default().to_owned()).collect();
        found.push((names, flags));
    }
    found
}

#[test]
fn every_command_and_flag_that_the_documentation_names_exists() {
    let mut used: BTreeMap<Vec<String>, BTreeSet<String>> = BTreeMap::new();
    for page in of_the_reader() {
        let (blocks, prose) = split(&page.text);
        let shell = blocks.iter().filter(|block| block.words[0] == "sh").map(|block| block.text.clone());
        let prose = prose.join(" ");
        for text in shell.chain(code(&prose).map(str::to_owned)) {
            for (names, flags) in commands(&text) {
                used.entry(names).or_default().extend(flags);
            }
        }
    }
    let mut unknown = Vec::new();
    for (names, flags) in used.iter().filter(|(names, _)| !names.is_empty()) {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let help = output(&mut tollgate(&[&names[..], &["--help"]].concat()));
        // A second word may be an argument, as in `tollgate import usage`.
        let help = match help.status.success() {
            true => help,
            false => output(&mut tollgate(&[names[0], "--help"])),
        };
        let text = told(&help);
        if !help.status.success() {
            unknown.push(format!("tollgate {}", names.join(" ")));
        }
        let words: BTreeSet<&str> =
            text.split(|letter: char| letter.is_whitespace() || ",=[".contains(letter)).collect();
        let missing = flags.iter().filter(|flag| !words.contains(flag.as_str()));
        unknown.extend(missing.map(|flag| format!("tollgate {} {flag}", names.join(" "))));
    }
    assert!(unknown.is_empty(), "{}", unknown.join("\n"));
}

#[test]
fn routes_and_commands_are_found_where_they_stand() {
    let both = ["GET", "PUT"].map(|method| (method.to_owned(), "/v1/x/{}".to_owned()));
    assert_eq!(routes("GET|PUT /v1/x/{id}?a=1"), both);
    assert!(routes("GET it").is_empty());
    let (names, flags) = commands("x | tollgate topic grow --partitions 24 \\\n  --kafka-brokers a").remove(0);
    assert_eq!((names.join(" "), flags.len()), ("topic grow".to_owned(), 2));
}
