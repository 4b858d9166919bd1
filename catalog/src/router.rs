//! All routes of the catalog, and the list of them.

use crate::state::CatalogState;
use crate::{add_on, audit, billing_entity, customer, metric, organization, plan, subscription, tax, threshold};
use axum::Router;
use axum::http::Method;
use axum::middleware::from_fn_with_state;
use utoipa::OpenApi;
use utoipa::openapi::OpenApi as Document;

/// The routes, ready to be merged with those of other crates.
pub fn router(state: CatalogState) -> Router {
    Router::new()
        .merge(organization::api::routes())
        .merge(organization::key_api::routes())
        .merge(customer::api::routes(&state))
        .merge(metric::api::routes())
        .merge(metric::filter_api::routes())
        .merge(plan::api::routes())
        .merge(plan::commitment::routes())
        .merge(subscription::api::routes(&state))
        .merge(threshold::api::routes())
        .merge(tax::api::routes())
        .merge(add_on::api::routes())
        .merge(billing_entity::api::routes(&state))
        .merge(audit::api::routes())
        .layer(from_fn_with_state(state.auth.clone(), http_api::actor::named))
        .with_state(state)
}

/// The routes' part of the OpenAPI document.
#[must_use]
pub fn openapi() -> Document {
    let mut document = organization::api::Document::openapi();
    document.merge(organization::key_api::Document::openapi());
    document.merge(customer::api::Document::openapi());
    document.merge(metric::api::Document::openapi());
    document.merge(metric::filter_api::Document::openapi());
    document.merge(plan::api::Document::openapi());
    document.merge(plan::commitment::Document::openapi());
    document.merge(subscription::api::Document::openapi());
    document.merge(threshold::api::Document::openapi());
    document.merge(tax::api::Document::openapi());
    document.merge(add_on::api::Document::openapi());
    document.merge(billing_entity::api::Document::openapi());
    document.merge(audit::api::Document::openapi());
    document
}

/// The operations of an OpenAPI document: what [`crate::routes_not_built::not_built`] needs to know of what is routed.
#[must_use]
pub fn operations(document: &Document) -> Vec<(Method, String)> {
    let mut operations = Vec::new();
    for (path, item) in &document.paths.paths {
        let methods = [
            (Method::GET, item.get.is_some()),
            (Method::POST, item.post.is_some()),
            (Method::PUT, item.put.is_some()),
            (Method::PATCH, item.patch.is_some()),
            (Method::DELETE, item.delete.is_some()),
        ];
        operations.extend(methods.into_iter().filter(|(_, there)| *there).map(|(method, _)| (method, path.clone())));
    }
    operations
}
