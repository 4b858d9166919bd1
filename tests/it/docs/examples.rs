//! The commands of the book are run, page by page, against a server of its own, and print what the page shows.
//!
//! A block `sh,run` is run by bash, all of a page in one shell; `python,run` by a Python that has the published clients. The block
//! `…,output` behind it is what it must print: `…` stands for any text in a line, a line of `…` alone for any lines.

use super::markdown::{Block, split};
use super::{Page, page};
use crate::harness::{ADMIN_SECRET, Server, TOLLGATE};
use crate::published_clients::python;
use std::fmt::Write;
use std::path::Path;
use std::process::Command;

const PAGES: [&str; 4] = ["docs/quick-start.md", "docs/sending-events.md", "docs/month-end.md", "docs/credits.md"];

/// A block that is run, and what it must print.
struct Example<'a> {
    block: &'a Block,
    output: Option<&'a Block>,
}

fn examples(blocks: &[Block]) -> Vec<Example<'_>> {
    let mut found: Vec<Example> = Vec::new();
    for block in blocks {
        match block.kind() {
            "run" => found.push(Example { block, output: None }),
            "output" => {
                let last = found.last_mut().filter(|last| last.output.is_none());
                last.unwrap_or_else(|| panic!("line {}: output of nothing", block.line)).output = Some(block);
            }
            _ => {}
        }
    }
    found
}

/// One shell for the whole page: what a block sets, the next one has. Each writes a file of its own.
fn script(examples: &[Example]) -> String {
    let mut text = String::from("set -euo pipefail\n");
    for (number, example) in examples.iter().enumerate() {
        let _ = match example.block.is("python", "run") {
            true => writeln!(text, "export KEY; python - > out.{number} <<'END'\n{}END", example.block.text),
            false => writeln!(text, "{{\n{}}} > out.{number}", example.block.text),
        };
    }
    text
}

/// Whether `printed` is what `shown` says.
fn is_as_shown(shown: &[&str], printed: &[&str]) -> bool {
    match shown.split_first() {
        None => printed.is_empty(),
        Some((&"…", rest)) => (0..=printed.len()).any(|skipped| is_as_shown(rest, &printed[skipped..])),
        Some((line, rest)) => {
            printed.first().is_some_and(|first| fits(line, first)) && is_as_shown(rest, &printed[1..])
        }
    }
}

fn fits(shown: &str, printed: &str) -> bool {
    match shown.split_once('…') {
        None => shown == printed.trim_end(),
        Some((before, after)) => printed.strip_prefix(before).is_some_and(|rest| {
            rest.char_indices().map(|(at, _)| at).chain([rest.len()]).any(|at| fits(after, &rest[at..]))
        }),
    }
}

fn run(page: &Page, server: &Server, python: &Path, directory: &Path) -> Vec<String> {
    let (blocks, _) = split(&page.text);
    let examples = examples(&blocks);
    assert!(!examples.is_empty(), "{} has no example", page.name);
    let program = Path::new(TOLLGATE).parent().unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{}:{path}", python.parent().unwrap().display(), program.display());
    let ended = Command::new("bash")
        .args(["-c", &script(&examples)])
        .current_dir(directory)
        .env("PATH", path)
        .env("URL", &server.url)
        .env("TOLLGATE_ADMIN_SECRET", ADMIN_SECRET)
        .env("TOLLGATE_DATA_DIR", server.directory_argument())
        .env("NO_PROXY", "127.0.0.1")
        .output()
        .expect("bash is there");
    let mut faults = Vec::new();
    for (number, example) in examples.iter().enumerate() {
        let place = format!("{}:{}", page.name, example.block.line);
        let Ok(printed) = std::fs::read_to_string(directory.join(format!("out.{number}"))) else {
            faults.push(format!("{place} was not run"));
            break;
        };
        let Some(shown) = example.output else { continue };
        let (shown, printed): (Vec<&str>, Vec<&str>) = (shown.text.lines().collect(), printed.lines().collect());
        if !is_as_shown(&shown, &printed) {
            faults.push(format!("{place} prints\n{}\nand not\n{}", printed.join("\n"), shown.join("\n")));
        }
    }
    if !ended.status.success() {
        faults.push(format!("{} ended with {}: {}", page.name, ended.status, String::from_utf8_lossy(&ended.stderr)));
    }
    faults
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_book_print_what_it_shows() {
    for tool in ["jq", "curl", "gzip", "zstd"] {
        let found = Command::new(tool).arg("--version").output();
        assert!(found.is_ok(), "the book's examples need {tool} (apt-get install {tool})");
    }
    let server = Server::start(&["--billing-automatic", "false"]).await;
    let faults = tokio::task::spawn_blocking(move || {
        let python = python();
        let mut faults = Vec::new();
        for name in PAGES {
            let directory = tempfile::tempdir().unwrap();
            faults.extend(run(&page(name), &server, &python, directory.path()));
        }
        faults
    });
    let faults = faults.await.unwrap();
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}

#[test]
fn an_output_that_is_not_as_shown_is_seen() {
    assert!(is_as_shown(&["a…c", "…", "z"], &["abc", "x", "y", "z"]));
    assert!(is_as_shown(&["…"], &[]) && is_as_shown(&["{…}"], &["{1}"]));
    assert!(!is_as_shown(&["a…c"], &["abd"]) && !is_as_shown(&["a"], &["a", "b"]) && !is_as_shown(&["a", "b"], &["a"]));
}
