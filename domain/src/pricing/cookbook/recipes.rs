//! The recipes of `docs/pricing-cookbook.md`: a charge, usage, and the fees that it comes to, each a fenced block of JSON.
//!
//! A recipe ends with its `fee` (or `fees`) block; a `metric` block before the charge replaces the metric that recipes use by default.
//! Read here alone, so that the test of the prices and the one over HTTP see the same recipes.

use serde_json::{Map, Value};

/// One recipe.
#[derive(Debug, Default)]
pub struct Recipe {
    /// Line of the page at which its charge begins, for messages.
    pub line: usize,
    /// What differs of the metric; absent: a sum of the property `n`.
    pub metric: Option<Value>,
    /// The charge as it is sent in a plan, without its metric.
    pub charge: Value,
    /// Members of each event, in the order of time.
    pub events: Vec<Map<String, Value>>,
    /// What each fee must be, in order: only the members to compare.
    pub fees: Vec<Value>,
}

/// A fenced block: its words, the line it begins at, its text.
type Block = (Vec<String>, usize, String);

/// All recipes of a page.
///
/// # Panics
/// When the page has a block that is no JSON, or a recipe without a charge or usage.
pub fn recipes(page: &str) -> Vec<Recipe> {
    let (mut found, mut next, mut has_usage) = (Vec::new(), Recipe::default(), false);
    for (words, line, text) in blocks(page) {
        let Some(kind) = words.get(1).filter(|_| words[0] == "json") else { continue };
        let value: Value = serde_json::from_str(&text).unwrap_or_else(|fault| panic!("line {line}: {fault}"));
        match kind.as_str() {
            "metric" => next.metric = Some(value),
            "charge" => (next.charge, next.line) = (value, line),
            "usage" => (next.events, has_usage) = (events(&value, line), true),
            "fee" | "fees" => {
                next.fees = value.as_array().cloned().unwrap_or_else(|| vec![value]);
                let recipe = std::mem::take(&mut next);
                assert!(recipe.charge.is_object() && has_usage, "line {line}: a fee without charge or usage");
                has_usage = false;
                found.push(recipe);
            }
            other => panic!("line {line}: nobody reads blocks of '{other}'"),
        }
    }
    found
}

/// `{"units": "3"}`: one event; `{"events": […]}`: values of `n`, or whole members.
fn events(usage: &Value, line: usize) -> Vec<Map<String, Value>> {
    let of = |value: &Value| match value {
        Value::Object(members) => members.clone(),
        value => Map::from_iter([("n".to_owned(), value.clone())]),
    };
    match (usage.get("units"), usage["events"].as_array()) {
        (Some(units), None) => vec![of(units)],
        (None, Some(events)) => events.iter().map(of).collect(),
        _ => panic!("line {line}: usage is either units or events"),
    }
}

fn blocks(page: &str) -> Vec<Block> {
    let mut found: Vec<Block> = Vec::new();
    let mut is_open = false;
    for (number, line) in (1..).zip(page.lines()) {
        match line.strip_prefix("```") {
            Some(_) if is_open => is_open = false,
            Some(words) => {
                is_open = true;
                found.push((words.split(',').map(str::to_owned).collect(), number, String::new()));
            }
            None => {
                if let Some((_, _, text)) = found.last_mut().filter(|_| is_open) {
                    text.push_str(line);
                    text.push('\n');
                }
            }
        }
    }
    found
}
