//! The organization of a run.

use super::{Access, Wanted, client};
use crate::client::api::{Api, ApiError, Credential, Reply};
use domain::ids::OrganizationId;
use reqwest::Method;
use serde_json::json;

const ORGANIZATIONS: &str = "/v1/organizations/";
const CURRENT: &str = "/v1/organizations/current";

/// Access to an organization.
pub(super) struct Entered {
    pub(super) api: Api,
    pub(super) key: String,
    pub(super) organization: OrganizationId,
}

/// Makes an organization, or finds out which one the key belongs to.
pub(super) async fn enter(wanted: &Wanted) -> Result<Entered, ApiError> {
    let api = client(&wanted.target, &wanted.access, None, wanted.limit).map_err(|source| ApiError::Transport {
        method: Method::GET,
        path: wanted.target.url("/"),
        source,
    })?;
    match &wanted.access {
        Access::ApiKey(key) => {
            let organization = id(CURRENT, &api.read(CURRENT).await?)?;
            Ok(Entered { key: key.clone(), organization, api })
        }
        Access::AdminSecret(_) => {
            let created = api.post(ORGANIZATIONS, &json!({"name": wanted.name}), &[201]).await?;
            let key = created.text(ORGANIZATIONS, "/api_key/raw_key")?;
            let organization = id(ORGANIZATIONS, &created)?;
            Ok(Entered { api: api.with(Credential::ApiKey(key.clone())), key, organization })
        }
    }
}

fn id(path: &str, reply: &Reply) -> Result<OrganizationId, ApiError> {
    let text = reply.text(path, "/id")?;
    text.parse().map_err(|_| ApiError::Shape { path: path.to_owned(), what: "a UUID in id".to_owned() })
}
