//! Which crate gives what.

use super::Purpose;
use super::event_store::EventStoreServer;
use super::operations::Readiness;
use crate::configuration::Configuration;
use crate::data_directory::DataDirectory;
use crate::failure::Failure;
use axum::Router;
use http_api::Secret;
use utoipa::openapi::OpenApi;

pub(super) struct Parts {}

impl Parts {
    pub(super) async fn open(
        _configuration: &Configuration,
        _directory: &DataDirectory,
        _event_store: &EventStoreServer,
        _admin_secret: &Secret,
        _purpose: Purpose,
    ) -> Result<Self, Failure> {
        Ok(Self {})
    }

    pub(super) fn add_checks(&self, _readiness: &mut Readiness) {}

    pub(super) fn router(&self, operations: Router) -> Router {
        let document = super::documentation::document();
        let router = operations.merge(super::documentation::router(document.clone()));
        http_api::observed(super::contract::with_rest_of_contract(http_api::with_fallbacks(router), &document))
    }

    pub(super) async fn close(self) {}
}

pub(super) fn documents() -> Vec<OpenApi> {
    Vec::new()
}
