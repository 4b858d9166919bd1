//! `/openapi.json`, made from the code of every router, and `/docs`, the same for people: one page, no script from elsewhere.

use axum::http::Method;
use axum::response::Html;
use axum::routing::get;
use axum::{Json, Router};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use utoipa::openapi::path::Operation;
use utoipa::openapi::{Info, OpenApi, RefOr};

/// The OpenAPI document of everything that is served.
pub(super) fn document() -> OpenApi {
    let mut whole = super::operations::openapi();
    for part in super::compose::documents() {
        whole.merge(part);
    }
    let mut info = Info::new("Tollgate", env!("CARGO_PKG_VERSION"));
    info.description = Some("Usage events in, correct invoices out.".to_string());
    whole.info = info;
    whole
}

/// Serves both.
pub(super) fn router(document: OpenApi) -> Router {
    let page: Arc<str> = page(&document).into();
    let document = Arc::new(document);
    Router::new()
        .route("/openapi.json", get(async move || Json(document)))
        .route("/docs", get(async move || Html(page.to_string())))
}

/// Every operation of a document: method, path, description.
pub(super) fn operations(document: &OpenApi) -> impl Iterator<Item = (Method, &str, &Operation)> {
    document.paths.paths.iter().flat_map(|(path, item)| {
        let by_method = [
            (Method::GET, &item.get),
            (Method::POST, &item.post),
            (Method::PUT, &item.put),
            (Method::PATCH, &item.patch),
            (Method::DELETE, &item.delete),
        ];
        by_method.into_iter().filter_map(|(method, there)| Some((method, path.as_str(), there.as_ref()?)))
    })
}

/// The page: routes by tag, each with what it takes and answers.
fn page(document: &OpenApi) -> String {
    let mut by_tag: BTreeMap<&str, String> = BTreeMap::new();
    for (method, path, operation) in operations(document) {
        let tag = operation.tags.iter().flatten().next().map_or("", String::as_str);
        by_tag.entry(tag).or_default().push_str(&entry(&method, path, operation));
    }
    let mut body = String::new();
    for (tag, entries) in &by_tag {
        // A String takes every write.
        let _ = write!(body, "<h2>{}</h2>{entries}", escaped(tag));
    }
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>\
         <title>Tollgate API</title><style>{STYLE}</style><h1>Tollgate API {}</h1>\
         <p>The machine's form of this page: <a href=/openapi.json>/openapi.json</a>. Send an API key as \
         <code>Authorization: Bearer tg_live_…</code>; operators send <code>X-Admin-Secret</code>.</p>{body}</html>",
        env!("CARGO_PKG_VERSION")
    )
}

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\
    details{border-bottom:1px solid #ddd;padding:.3rem 0}summary{cursor:pointer}code{font-size:.9em}\
    b{display:inline-block;width:4.5rem}table{border-collapse:collapse;margin:.5rem 0}td{padding:.1rem .8rem .1rem 0;\
    vertical-align:top}small{color:#555}@media(prefers-color-scheme:dark){body{background:#111;color:#ddd}a{color:#8cf}}";

fn entry(method: &Method, path: &str, operation: &Operation) -> String {
    let summary = operation.summary.as_deref().or(operation.description.as_deref()).unwrap_or_default();
    let mut rows = String::new();
    for parameter in operation.parameters.iter().flatten().filter_map(here) {
        let place = serde_json::to_value(&parameter.parameter_in).unwrap_or_default();
        let text = format!("{} in {}", parameter.name, place.as_str().unwrap_or("request"));
        row(&mut rows, &text, parameter.description.as_deref().unwrap_or_default());
    }
    for content in operation.request_body.iter().filter_map(here).flat_map(|body| body.content.keys()) {
        row(&mut rows, "body", content);
    }
    for (status, response) in &operation.responses.responses {
        row(&mut rows, status, here(response).map_or("", |response| response.description.as_str()));
    }
    let (path, summary) = (escaped(path), escaped(summary));
    format!(
        "<details><summary><b>{method}</b><code>{path}</code> <small>{summary}</small></summary><table>{rows}</table></details>"
    )
}

/// What is described in place; our routers refer to schemas only, never to parameters or answers.
fn here<T>(described: &RefOr<T>) -> Option<&T> {
    match described {
        RefOr::T(described) => Some(described),
        RefOr::Ref(_) => None,
    }
}

fn row(rows: &mut String, name: &str, text: &str) {
    // A String takes every write.
    let _ = write!(rows, "<tr><td><code>{}</code></td><td>{}</td></tr>", escaped(name), escaped(text));
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_of_the_document_stands_on_the_page() {
        let document = document();
        let page = page(&document);
        for path in document.paths.paths.keys() {
            assert!(page.contains(&format!("<code>{}</code>", escaped(path))), "{path}");
        }
    }

    /// A schema that stands in a query alone is not collected by itself, and generators of clients refuse what refers to nothing.
    #[test]
    fn every_schema_that_the_document_refers_to_is_in_it() {
        let document = serde_json::to_value(document()).unwrap();
        let text = document.to_string();
        let named = text.split("\"#/components/schemas/").skip(1).filter_map(|rest| rest.split('"').next());
        let missing: Vec<&str> = named.filter(|name| document["components"]["schemas"].get(name).is_none()).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}
