//! No dead links: every link of every page leads to a file and a heading that exist, every page is in the book's table of contents, and
//! every file that a page names is there.

use super::markdown::{anchors, code, links, split};
use super::{Page, book, page, pages, repository};
use std::path::Path;

/// What is wrong with a link from `page`, if anything.
fn fault(from: &Page, target: &str) -> Option<String> {
    if target.starts_with("https://") || target.starts_with("http://") {
        // Nothing outside can be asked for in a test, and the book has no such links.
        return Some("leads outside".to_owned());
    }
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let file = match file {
        "" => repository().join(&from.name),
        file => repository().join(&from.name).parent()?.join(file),
    };
    if !file.exists() {
        return Some("leads to no file".to_owned());
    }
    if anchor.is_empty() {
        return None;
    }
    let text = std::fs::read_to_string(&file).ok()?;
    let (_, prose) = split(&text);
    (!anchors(&prose).iter().any(|known| known == anchor)).then(|| format!("leads to no heading of {}", file.display()))
}

#[test]
fn every_link_of_the_documentation_leads_somewhere() {
    let mut dead = Vec::new();
    for from in pages() {
        let (_, prose) = split(&from.text);
        for (number, line) in (1..).zip(prose) {
            let faults = links(line).into_iter().filter_map(|target| Some((fault(&from, &target)?, target)));
            dead.extend(faults.map(|(fault, target)| format!("{}:{number}: {target} {fault}", from.name)));
        }
    }
    assert!(dead.is_empty(), "{}", dead.join("\n"));
}

#[test]
fn every_page_is_in_the_table_of_contents_and_no_other() {
    let summary = page("docs/SUMMARY.md");
    let mut listed: Vec<String> = summary.text.lines().flat_map(links).collect();
    listed.sort();
    let mut there: Vec<String> = book().iter().map(|file| file.display().to_string()).collect();
    there.retain(|file| file != "SUMMARY.md");
    assert_eq!(listed, there);
}

/// Whether code in a line names a file of the repository: a path below one of its folders, or a document at its root.
fn is_file_of_ours(text: &str) -> bool {
    let has_folder = text.split_once('/').is_some_and(|(folder, _)| repository().join(folder).is_dir());
    let is_route = text.starts_with('/');
    let plain = text.chars().all(|letter| letter.is_ascii_alphanumeric() || "./_-".contains(letter));
    let built = text.starts_with("target/");
    plain && !built && !is_route && Path::new(text).extension().is_some() && (has_folder || text.ends_with(".md"))
}

#[test]
fn every_file_that_the_book_names_exists() {
    let mut missing = Vec::new();
    for from in pages().iter().filter(|from| from.name.starts_with("docs/") || from.name == "README.md") {
        let (_, prose) = split(&from.text);
        for (number, line) in (1..).zip(prose) {
            let named = code(line).filter(|text| is_file_of_ours(text));
            let gone = named.filter(|text| !repository().join(text).exists());
            missing.extend(gone.map(|text| format!("{}:{number}: {text}", from.name)));
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}
