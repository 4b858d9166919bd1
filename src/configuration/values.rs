//! Texts to values, with errors that say what was wanted.

use super::layers::Layers;
use std::time::Duration;

/// Reads settings one by one and collects what does not parse.
pub(super) struct Reader<'a> {
    layers: &'a Layers,
    problems: &'a mut Vec<String>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(layers: &'a Layers, problems: &'a mut Vec<String>) -> Self {
        Self { layers, problems }
    }

    /// The text, when it is not empty.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        Some(self.layers.get(name).text.clone()).filter(|text| !text.is_empty())
    }

    /// Parses the text with `parse`; a failure is reported as "…: 'text' is not {wanted}".
    pub(super) fn parsed<T>(&mut self, name: &str, wanted: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        let given = self.layers.get(name);
        let value = parse(given.text.trim());
        if value.is_none() {
            self.problems.push(format!("{}: '{}' is not {wanted}", self.layers.place(name), given.text));
        }
        value
    }

    /// Reports a setting that was read elsewhere.
    pub(super) fn refuse(&mut self, name: &str, reason: &str) {
        self.problems.push(format!("{}: {reason}", self.layers.place(name)));
    }

    pub(super) fn boolean(&mut self, name: &str) -> Option<bool> {
        self.parsed(name, "true or false", |text| match text {
            "true" | "1" | "on" | "yes" => Some(true),
            "false" | "0" | "off" | "no" => Some(false),
            _ => None,
        })
    }

    /// Whole seconds, at least one, at most a day.
    pub(super) fn seconds(&mut self, name: &str) -> Option<Duration> {
        self.parsed(name, "a whole number of seconds from 1 to 86400", |text| {
            text.parse().ok().filter(|seconds| (1..=86_400).contains(seconds)).map(Duration::from_secs)
        })
    }

    /// A count of bytes, at least `least`.
    pub(super) fn bytes(&mut self, name: &str, least: usize) -> Option<usize> {
        self.parsed(name, &format!("a number of bytes, at least {least}"), |text| {
            text.parse().ok().filter(|bytes| *bytes >= least)
        })
    }

    /// An `http://` or `https://` address, or nothing.
    pub(super) fn http_url(&mut self, name: &str) -> Option<Option<String>> {
        let Some(text) = self.text(name) else { return Some(None) };
        let url = self.parsed(name, "an address such as 'http://localhost:8123'", |candidate| {
            let parsed = reqwest::Url::parse(candidate).ok()?;
            (matches!(parsed.scheme(), "http" | "https") && parsed.has_host()).then_some(())
        });
        url.map(|()| Some(text.trim_end_matches('/').to_string()))
    }
}
