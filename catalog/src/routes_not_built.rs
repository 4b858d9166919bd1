//! Every route of the contract that nothing serves yet: answered 501 with its name, so that a client sees "not yet", not "never".
//!
//! The contract's routes stand in `contract_routes.txt`, one `METHOD path` a line; they are never removed from it. What is routed
//! is told by each crate's own list; the binary puts them together.

use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::http::Method;
use axum::routing::{MethodFilter, MethodRouter, on};
use http_api::ApiError;
use std::collections::BTreeMap;

const CONTRACT: &str = include_str!("../contract_routes.txt");

/// One route: `{…}` parts stand for parameters, whatever their names.
pub type Route = (Method, &'static str);

/// The contract's routes, in its order.
#[must_use]
pub fn contract() -> Vec<Route> {
    CONTRACT
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(method, path)| Some((method.parse().ok()?, path)))
        .collect()
}

/// The contract's routes that are not among `routed`.
#[must_use]
pub fn missing(routed: &[(Method, &str)]) -> Vec<Route> {
    let served: Vec<(&Method, String)> = routed.iter().map(|(method, path)| (method, shape(path))).collect();
    contract().into_iter().filter(|(method, path)| !served.contains(&(method, shape(path)))).collect()
}

/// A router that answers 501 on every route of the contract that is not among `routed`.
pub fn not_built(routed: &[(Method, &str)]) -> Router {
    // By shape: the router takes one spelling of each parameter only.
    let mut by_shape: BTreeMap<String, (&'static str, MethodRouter)> = BTreeMap::new();
    for (method, path) in missing(routed) {
        let Ok(filter) = MethodFilter::try_from(method) else { continue };
        let (spelling, methods) = by_shape.remove(&shape(path)).unwrap_or((path, MethodRouter::new()));
        by_shape.insert(shape(path), (spelling, methods.merge(on(filter, answer))));
    }
    let mut router = Router::new();
    for (path, methods) in by_shape.into_values() {
        // Collection roots are served with and without their final slash.
        if let Some(bare) = path.strip_suffix('/').filter(|bare| !bare.is_empty()) {
            router = router.route(bare, methods.clone());
        }
        router = router.route(path, methods);
    }
    router
}

async fn answer(request: Request) -> ApiError {
    let path = request.extensions().get::<MatchedPath>().map_or_else(String::new, |path| path.as_str().to_string());
    ApiError::not_built(request.method().as_str(), &path)
}

/// A path without the names of its parameters and without its final slash.
fn shape(path: &str) -> String {
    let parts = path.trim_end_matches('/').split('/');
    parts.map(|part| if part.starts_with('{') { "{}" } else { part }).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contract_has_269_routes_and_each_is_readable() {
        assert_eq!(contract().len(), 269);
        assert_eq!(CONTRACT.lines().count(), 269);
    }

    #[test]
    fn names_of_parameters_and_final_slashes_do_not_matter() {
        let all = contract().len();
        assert_eq!(missing(&[(Method::GET, "/v1/customers")]).len(), all - 1);
        assert_eq!(missing(&[(Method::GET, "/v1/customers/{id}")]).len(), all - 1);
        assert_eq!(missing(&[(Method::PATCH, "/v1/customers/{id}")]).len(), all);
    }
}
