//! What a run found, for people and programs: [`table`] on the terminal, JSON, and one self-contained page ([`html`]).

pub mod html;
pub mod result;
pub mod svg;
pub mod table;
pub mod text;
