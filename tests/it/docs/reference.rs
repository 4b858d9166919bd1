//! The API reference of the book is the served OpenAPI document, and every route that the book names is served.

use super::mentions::{named_routes, shape};
use super::page;
use crate::harness::Server;
use crate::wire::Caller;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

const FILE: &str = "docs/api-reference.md";
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];
/// Routes of the contract that answer 501.
const NOT_BUILT: &str = include_str!("../not_built.txt");
/// What every process serves beside the API; in no document.
const OPERATIONS: [&str; 6] = ["/healthz", "/readyz", "/metrics", "/status", "/openapi.json", "/docs"];

const HEAD: &str = "# API\n\n\
    Written from `/openapi.json` by a test of the project; a running server shows the same at `/docs`. Field-level types for programs are in\n\
    `/openapi.json`.\n\n\
    - **Credentials.** `Authorization: Bearer tg_live_…` (`tg_test_…` for sandboxes) names the organization. Operators send `X-Admin-Secret`;\n  \
      with `X-Organization-Id` beside it they act for that organization.\n\
    - **Errors.** `{\"detail\": …, \"code\": …}`; of a request that is not valid, `detail` is a list with `loc` and `msg` of each fault. Every answer\n  \
      has `X-Request-Id`.\n\
    - **Lists.** `skip` (0), `limit` (1 to 1,000; 100) and `order_by=field:asc|desc`. The answer is a JSON array; `X-Total-Count` is how many there are.\n\
    - **Amounts** that end in `_cents` are in minor units. Exact decimals are JSON strings.\n\
    - **Final slashes** do not matter on collections.\n";

/// Method, path and description of every operation.
fn operations(document: &Value) -> Vec<(String, String, &Value)> {
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in METHODS {
            if let Some(operation) = item.get(method) {
                found.push((method.to_uppercase(), path.clone(), operation));
            }
        }
    }
    found
}

/// One line, fit for a cell of a table.
fn line(value: &Value) -> String {
    value.as_str().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

fn linked(name: &str) -> String {
    format!("[{name}](#{})", name.to_lowercase())
}

/// What a schema is, in a few letters.
fn kind(schema: &Value) -> String {
    if let Some(reference) = schema["$ref"].as_str() {
        return linked(reference.rsplit('/').next().unwrap_or_default());
    }
    for any in ["oneOf", "anyOf", "allOf"] {
        if let Some(list) = schema[any].as_array() {
            let kinds: Vec<String> = list.iter().map(kind).filter(|kind| kind != "null").collect();
            return kinds.join(" or ");
        }
    }
    let name = match &schema["type"] {
        Value::Array(several) => {
            let texts = several.iter().filter_map(Value::as_str).filter(|text| *text != "null");
            texts.collect::<Vec<_>>().join(" or ")
        }
        name => name.as_str().unwrap_or("any").to_owned(),
    };
    match (name.as_str(), schema["format"].as_str()) {
        ("array", _) => format!("list of {}", kind(&schema["items"])),
        (_, Some(format)) => format.to_owned(),
        _ => name,
    }
}

fn content(part: &Value) -> String {
    let kinds: BTreeSet<String> =
        part["content"].as_object().into_iter().flatten().map(|(_, media)| kind(&media["schema"])).collect();
    kinds.into_iter().collect::<Vec<_>>().join(" or ")
}

fn operation_row(method: &str, path: &str, operation: &Value) -> String {
    let text = [&operation["summary"], &operation["description"]].map(line).join(" ");
    let queries: Vec<String> = operation["parameters"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|parameter| parameter["in"] == "query")
        .map(|parameter| format!("`{}`", line(&parameter["name"])))
        .collect();
    let queries = if queries.is_empty() { String::new() } else { format!("<br>query: {}", queries.join(" ")) };
    let mut answers = Vec::new();
    for (status, answer) in operation["responses"].as_object().into_iter().flatten() {
        let schema = if status.starts_with('2') { content(answer) } else { String::new() };
        answers.push(format!("{status} {schema}").trim().to_owned());
    }
    format!(
        "| `{method} {path}` | {}{queries} | {} | {} |\n",
        text.trim(),
        content(&operation["requestBody"]),
        answers.join(", ")
    )
}

fn schema_section(name: &str, schema: &Value) -> String {
    let mut text = format!("\n### {name}\n\n");
    if !line(&schema["description"]).is_empty() {
        let _ = writeln!(text, "{}\n", line(&schema["description"]));
    }
    let required: BTreeSet<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let Some(members) = schema["properties"].as_object() else {
        let values: Vec<String> =
            schema["enum"].as_array().into_iter().flatten().map(|value| format!("`{}`", line(value))).collect();
        let _ = writeln!(text, "{}", if values.is_empty() { kind(schema) } else { values.join(", ") });
        return text;
    };
    text.push_str("| member | type | required | what |\n|---|---|---|---|\n");
    for (member, schema) in members {
        let is_required = if required.contains(member.as_str()) { "yes" } else { "" };
        let _ = writeln!(text, "| `{member}` | {} | {is_required} | {} |", kind(schema), line(&schema["description"]));
    }
    text
}

/// The page, from the document.
fn reference(document: &Value) -> String {
    let mut by_tag: BTreeMap<String, String> = BTreeMap::new();
    for (method, path, operation) in operations(document) {
        let tag = line(&operation["tags"][0]);
        by_tag.entry(tag).or_default().push_str(&operation_row(&method, &path, operation));
    }
    let mut text = String::from(HEAD);
    for (tag, rows) in &by_tag {
        let _ = write!(text, "\n## {tag}\n\n| route | what | body | answers |\n|---|---|---|---|\n{rows}");
    }
    text.push_str("\n## Not built yet\n\nRoutes of the contract that answer 501:\n\n");
    for route in NOT_BUILT.lines() {
        let _ = writeln!(text, "- `{route}`");
    }
    text.push_str("\n## Schemas\n");
    for (name, schema) in document["components"]["schemas"].as_object().into_iter().flatten() {
        text.push_str(&schema_section(name, schema));
    }
    text
}

/// What a page tells: its routes, and the members of its schemas. Words may lag behind the code's; these must not.
fn told(page: &str) -> (BTreeSet<&str>, BTreeSet<(&str, &str)>) {
    let (mut routes, mut members, mut schema) = (BTreeSet::new(), BTreeSet::new(), "");
    for row in page.lines() {
        if let Some(name) = row.strip_prefix("### ") {
            schema = name;
        }
        let Some((first, _)) =
            row.strip_prefix("| `").or(row.strip_prefix("- `")).and_then(|rest| rest.split_once('`'))
        else {
            continue;
        };
        if first.contains(" /") {
            // With what stands before it: a route that was built stands in a table.
            routes.insert(&row[..first.len() + 3]);
        } else {
            members.insert((schema, first));
        }
    }
    (routes, members)
}

/// What answers, also beside the OpenAPI document.
fn served(document: &Value) -> BTreeSet<(String, String)> {
    let documented = operations(document).into_iter().map(|(method, path, _)| (method, shape(&path)));
    let beside = OPERATIONS.map(|path| ("GET".to_owned(), path.to_owned()));
    let not_built = NOT_BUILT.lines().filter_map(|route| route.split_once(' '));
    documented.chain(beside).chain(not_built.map(|(method, path)| (method.to_owned(), shape(path)))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_reference_tells_what_is_served_and_every_route_that_is_named_is_too() {
    let server = Server::start(&[]).await;
    let document = Caller::nobody(&server).get("/openapi.json").await;
    let expected = reference(&document);
    if std::env::var_os("WRITE_API_REFERENCE").is_some() {
        std::fs::write(super::repository().join(FILE), &expected).unwrap();
    }
    let served = served(&document);
    let unknown: Vec<_> = named_routes().into_iter().filter(|(route, _)| !served.contains(route)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    let (written, anew) =
        (page(FILE).text, "run this test with WRITE_API_REFERENCE=1 to write docs/api-reference.md anew");
    let ((routes, members), (served_routes, served_members)) = (told(&written), told(&expected));
    let differing: Vec<_> = routes.symmetric_difference(&served_routes).collect();
    assert!(differing.is_empty(), "{anew}: {differing:?}");
    let gone: Vec<_> = members.difference(&served_members).collect();
    assert!(gone.is_empty(), "{anew}: {gone:?}");
}
