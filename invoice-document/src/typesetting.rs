//! typst with nothing around it: one template, one file of data, perhaps a logo; no files, no packages, no clock.

use crate::{DocumentError, Logo};
use std::sync::LazyLock;
use typst::diag::{FileError, FileResult, SourceDiagnostic};
use typst::foundations::{Bytes, Datetime, Smart};
use typst::layout::PagedDocument;
use typst::syntax::{FileId, Source, VirtualPath};
use typst::text::{Font, FontBook};
use typst::utils::LazyHash;
use typst::{Library, LibraryExt, World};

/// The page.
const TEMPLATE: &str = include_str!("template.typ");
/// What it reads.
const DATA: &str = "invoice.json";

/// What does not change from one invoice to the next: reading the fonts takes longer than setting a page.
struct Shared {
    library: LazyHash<Library>,
    book: LazyHash<FontBook>,
    fonts: Vec<Font>,
    template: Source,
}

static SHARED: LazyLock<Shared> = LazyLock::new(|| {
    let fonts: Vec<Font> = typst_assets::fonts().flat_map(|file| Font::iter(Bytes::new(file))).collect();
    Shared {
        library: LazyHash::new(Library::default()),
        book: LazyHash::new(FontBook::from_fonts(&fonts)),
        fonts,
        template: Source::new(FileId::new(None, VirtualPath::new("template.typ")), TEMPLATE.to_owned()),
    }
});

struct Desk {
    data: Bytes,
    logo: Option<(&'static str, Bytes)>,
}

impl World for Desk {
    fn library(&self) -> &LazyHash<Library> {
        &SHARED.library
    }

    fn book(&self) -> &LazyHash<FontBook> {
        &SHARED.book
    }

    fn main(&self) -> FileId {
        SHARED.template.id()
    }

    fn source(&self, id: FileId) -> FileResult<Source> {
        if id == SHARED.template.id() { Ok(SHARED.template.clone()) } else { Err(missing(id)) }
    }

    fn file(&self, id: FileId) -> FileResult<Bytes> {
        let path = id.vpath().as_rootless_path();
        if path.as_os_str() == DATA {
            return Ok(self.data.clone());
        }
        match &self.logo {
            Some((name, bytes)) if path.as_os_str() == *name => Ok(bytes.clone()),
            _ => Err(missing(id)),
        }
    }

    fn font(&self, index: usize) -> Option<Font> {
        SHARED.fonts.get(index).cloned()
    }

    fn today(&self, _offset: Option<i64>) -> Option<Datetime> {
        None
    }
}

fn missing(id: FileId) -> FileError {
    FileError::NotFound(id.vpath().as_rootless_path().to_owned())
}

/// The name under which a logo is read, by what its first bytes say it is; absent: it is none of the kinds that can be shown.
pub(crate) fn logo_name(logo: &Logo) -> Option<&'static str> {
    let bytes = logo.bytes.as_slice();
    if bytes.starts_with(&[0x89, b'P', b'N', b'G']) {
        Some("logo.png")
    } else if bytes.starts_with(&[0xff, 0xd8, 0xff]) {
        Some("logo.jpg")
    } else if bytes.trim_ascii_start().starts_with(b"<svg") || bytes.trim_ascii_start().starts_with(b"<?xml") {
        Some("logo.svg")
    } else {
        None
    }
}

/// Sets the page of `data`, JSON as the template reads it.
pub(crate) fn pdf(data: Vec<u8>, logo: Option<&Logo>, number: &str) -> Result<Vec<u8>, DocumentError> {
    let logo = logo.and_then(|logo| Some((logo_name(logo)?, Bytes::new(logo.bytes.clone()))));
    let desk = Desk { data: Bytes::new(data), logo };
    let document: PagedDocument = typst::compile(&desk).output.map_err(|faults| first(&faults))?;
    let options = typst_pdf::PdfOptions { ident: Smart::Custom(number), ..typst_pdf::PdfOptions::default() };
    let pdf = typst_pdf::pdf(&document, &options).map_err(|faults| first(&faults))?;
    // What was remembered of earlier pages would grow with their number.
    typst::comemo::evict(10);
    Ok(pdf)
}

fn first(faults: &[SourceDiagnostic]) -> DocumentError {
    DocumentError::Typesetting(faults.first().map(|fault| fault.message.to_string()).unwrap_or_default())
}
