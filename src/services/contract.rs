//! The contract's routes that are not built yet: each answers 501 with a problem body instead of 404 or, worse, another route's
//! answer (`GET /v1/plans/subscription_counts` must not be read as a plan with that id).
//!
//! So the decision falls before routing, by the most specific route of the contract and of our own together. The list below
//! only shrinks: a test derives it from `spec/api-endpoints.md` and from the routes that are built.

use axum::Router;
use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use http_api::ApiError;
use std::collections::HashMap;
use std::sync::Arc;
use utoipa::openapi::{HttpMethod, OpenApi};

mod not_built;

/// Method and path as the contract writes it.
pub(super) type Route = (&'static str, &'static str);

/// For each method, whether a path is built.
#[derive(Default)]
struct Contract {
    methods: HashMap<Method, matchit::Router<bool>>,
}

impl Contract {
    fn of(built: &OpenApi) -> Self {
        let mut contract = Self::default();
        for (method, path) in built_routes(built) {
            contract.add(&method, &path, true);
        }
        for (method, path) in not_built::NOT_BUILT {
            contract.add(method, path, false);
        }
        contract
    }

    fn add(&mut self, method: &str, path: &str, built: bool) {
        let Ok(method) = Method::from_bytes(method.as_bytes()) else { return };
        // A route that is there already was added as built: what is served is never hidden.
        if let Err(fault) = self.methods.entry(method).or_default().insert(uniform(path), built) {
            tracing::debug!(%fault, path, "this route stands in the table already");
        }
    }

    fn is_not_built(&self, method: &Method, path: &str) -> bool {
        let path = if path.len() > 1 { path.trim_end_matches('/') } else { path };
        self.methods.get(method).and_then(|routes| routes.at(path).ok()).is_some_and(|found| !*found.value)
    }
}

/// Without its final slash and with parameters named by their place: two routers may call the same segment differently.
fn uniform(path: &str) -> String {
    let segments = path.trim_end_matches('/').split('/').enumerate();
    let named =
        segments.map(|(at, segment)| if segment.starts_with('{') { format!("{{p{at}}}") } else { segment.into() });
    let joined = named.collect::<Vec<String>>().join("/");
    if joined.is_empty() { "/".into() } else { joined }
}

/// (METHOD, path) of every route in an OpenAPI document.
pub(super) fn built_routes(document: &OpenApi) -> Vec<(String, String)> {
    let mut routes = Vec::new();
    for (path, item) in &document.paths.paths {
        let operations = [
            (HttpMethod::Get, &item.get),
            (HttpMethod::Post, &item.post),
            (HttpMethod::Put, &item.put),
            (HttpMethod::Patch, &item.patch),
            (HttpMethod::Delete, &item.delete),
        ];
        let there = operations.into_iter().filter(|(_, operation)| operation.is_some());
        routes.extend(there.map(|(method, _)| (name(&method).to_string(), path.clone())));
    }
    routes
}

/// The method's name as HTTP writes it.
pub(super) fn name(method: &HttpMethod) -> &'static str {
    match method {
        HttpMethod::Get => "GET",
        HttpMethod::Post => "POST",
        HttpMethod::Put => "PUT",
        HttpMethod::Patch => "PATCH",
        HttpMethod::Delete => "DELETE",
        HttpMethod::Options => "OPTIONS",
        HttpMethod::Head => "HEAD",
        HttpMethod::Trace => "TRACE",
    }
}

/// Lets the router answer 501 for what the contract has and `built` does not.
pub(super) fn with_rest_of_contract(router: Router, built: &OpenApi) -> Router {
    let contract = Arc::new(Contract::of(built));
    // Unmatched requests pass through layers too, so this sees every request before any handler.
    router.layer(from_fn_with_state(contract, refuse_not_built))
}

async fn refuse_not_built(State(contract): State<Arc<Contract>>, request: Request, next: Next) -> Response {
    let (method, path) = (request.method(), request.uri().path());
    if contract.is_not_built(method, path) {
        return ApiError::not_built(method.as_str(), path).into_response();
    }
    next.run(request).await
}

#[cfg(test)]
mod tests;
