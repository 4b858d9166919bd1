//! Requests of these tests, and what they assert of every answer.

use crate::harness::{ADMIN_SECRET, Server};
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;

/// One caller at one server.
#[derive(Clone)]
pub struct Caller {
    http: Client,
    url: String,
    who: Who,
}

#[derive(Clone)]
enum Who {
    Nobody,
    Admin,
    Key(String),
}

impl Caller {
    fn new(url: &str, who: Who) -> Self {
        let http = Client::builder().no_proxy().timeout(Duration::from_secs(60)).build().unwrap();
        Self { http, url: url.to_string(), who }
    }

    /// Without any credential.
    pub fn nobody(server: &Server) -> Self {
        Self::new(&server.url, Who::Nobody)
    }

    /// With the admin secret.
    pub fn admin(server: &Server) -> Self {
        Self::admin_at(&server.url)
    }

    /// The same at an address.
    pub fn admin_at(url: &str) -> Self {
        Self::new(url, Who::Admin)
    }

    /// With an API key.
    pub fn key(server: &Server, key: &str) -> Self {
        Self::key_at(&server.url, key)
    }

    /// The same at an address.
    pub fn key_at(url: &str, key: &str) -> Self {
        Self::new(url, Who::Key(key.to_string()))
    }

    /// The same caller with a key.
    pub fn with_key(&self, key: &str) -> Self {
        Self { who: Who::Key(key.to_string()), ..self.clone() }
    }

    /// The raw API key.
    pub fn raw_key(&self) -> &str {
        let Who::Key(key) = &self.who else { panic!("this caller has no key") };
        key
    }

    /// A request with the credential.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url));
        match &self.who {
            Who::Nobody => request,
            Who::Admin => request.header("X-Admin-Secret", ADMIN_SECRET),
            Who::Key(key) => request.bearer_auth(key),
        }
    }

    /// GET that must succeed.
    pub async fn get(&self, path: &str) -> Value {
        answered(self.request(Method::GET, path), path, &[200]).await
    }

    /// GET and its status.
    pub async fn get_status(&self, path: &str) -> StatusCode {
        self.request(Method::GET, path).send().await.unwrap().status()
    }

    /// All items of a list, page by page.
    pub async fn all(&self, path: &str) -> Vec<Value> {
        const PAGE: usize = 1_000;
        let mut items = Vec::new();
        let glue = if path.contains('?') { '&' } else { '?' };
        loop {
            let page = self.get(&format!("{path}{glue}skip={}&limit={PAGE}", items.len())).await;
            let page = page.as_array().unwrap_or_else(|| panic!("{path} is no list: {page}")).clone();
            let last = page.len() < PAGE;
            items.extend(page);
            if last {
                return items;
            }
        }
    }

    /// POST that must succeed.
    pub async fn post(&self, path: &str, body: &Value) -> Value {
        answered(self.request(Method::POST, path).json(body), path, &[200, 201, 202]).await
    }

    /// Bills everything due up to `as_of` and returns the completed run.
    pub async fn bill(&self, as_of: &str) -> Value {
        self.run_to_end(&json!({"as_of": as_of})).await
    }

    /// Returns once every event that was acknowledged before can be read: a rehearsed billing run waits for them.
    pub async fn settled(&self) {
        self.run_to_end(&json!({"dry_run": true})).await;
    }

    async fn run_to_end(&self, request: &Value) -> Value {
        let run = self.ended_run(request).await;
        assert_eq!(run["status"], "completed", "the billing run failed: {run}");
        run
    }

    /// Starts a billing run and returns it as it ended.
    pub async fn ended_run(&self, request: &Value) -> Value {
        let mut run = self.post("/v1/billing_runs", request).await;
        let path = format!("/v1/billing_runs/{}", text(&run["id"]));
        for _ in 0..1_200 {
            if matches!(run["status"].as_str(), Some("completed" | "failed")) {
                return run;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
            run = self.get(&path).await;
        }
        panic!("the billing run did not end: {run}");
    }
}

async fn answered(request: RequestBuilder, path: &str, wanted: &[u16]) -> Value {
    let answer = request.send().await.unwrap_or_else(|fault| panic!("{path}: {fault:?}"));
    let status = answer.status();
    assert!(answer.headers().contains_key("x-request-id"), "{path} answered without a request id");
    let body = answer.text().await.unwrap();
    assert!(wanted.contains(&status.as_u16()), "{path} answered {status}: {body}");
    serde_json::from_str(&body).unwrap_or_else(|fault| panic!("{path} answered no JSON ({fault}): {body}"))
}

/// A text, or any other value in its JSON form.
pub fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_string)
}
