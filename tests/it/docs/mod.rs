//! The book under `docs/` says what is so: its links lead somewhere, its commands are run and print what it shows, its worked numbers
//! are billed, its routes, flags and files exist.

mod cookbook;
mod examples;
mod links;
mod markdown;
mod matrix;
mod mentions;
mod reference;

use std::path::{Path, PathBuf};

/// A page of documentation.
struct Page {
    /// Relative to the repository, such as `docs/quick-start.md`.
    name: String,
    text: String,
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn page(name: &str) -> Page {
    let path = repository().join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()));
    Page { name: name.to_owned(), text }
}

/// Every page of the book, and what it includes from elsewhere.
fn pages() -> Vec<Page> {
    let mut names: Vec<String> =
        ["README.md", "ARCHITECTURE.md", "CONFIGURATION.md", "load-tests/README.md"].map(str::to_owned).into();
    names.extend(book().into_iter().map(|path| format!("docs/{}", path.display())));
    names.iter().map(|name| page(name)).collect()
}

/// The files of the book, relative to it, in order.
fn book() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(repository().join("docs")).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().file_name().into()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "md"));
    files.sort();
    files
}
