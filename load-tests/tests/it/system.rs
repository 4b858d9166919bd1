//! A server over [`Store`] with as much of the API as the tool uses.

use crate::store::{Faults, Store, Taken};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use domain::identity::EventId;
use domain::ids::OrganizationId;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::Read;
use std::sync::{Arc, Mutex, MutexGuard};

type Answer = Response;

#[derive(Clone)]
pub(crate) struct System {
    pub(crate) url: String,
    inner: Arc<Inner>,
}

struct Inner {
    organization: OrganizationId,
    store: Mutex<Store>,
    /// Transaction ids by event id, as far as known: deriving one is slow in a test build.
    names: Mutex<HashMap<EventId, String>>,
    /// Rows by collection.
    catalog: Mutex<HashMap<String, Vec<Value>>>,
}

impl System {
    pub(crate) async fn start(faults: Faults) -> Self {
        let inner = Arc::new(Inner {
            organization: OrganizationId::random(),
            store: Mutex::new(Store::with(faults)),
            names: Mutex::default(),
            catalog: Mutex::default(),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = router(inner.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, inner }
    }

    pub(crate) fn store(&self) -> MutexGuard<'_, Store> {
        self.inner.store.lock().unwrap()
    }
}

fn router(inner: Arc<Inner>) -> Router {
    Router::new()
        .route("/v1/organizations/", post(new_organization))
        .route("/v1/organizations/current", get(current_organization))
        .route("/v1/events/", post(single).get(list_events))
        .route("/v1/events/batch", post(batch))
        .route("/api/v1/events", post(cloud_events))
        .route("/api/v1/events/batch", post(lago))
        .route("/v1/events/volume", get(volume))
        .route("/v1/events/rejections/summary", get(rejections))
        .route("/v1/events/{id}", get(one_event))
        .route("/v1/customers/{customer}/current_usage", get(current_usage))
        .route("/v1/{collection}/", get(list).post(create))
        .route("/metrics", get(|| async { "tollgate_lag_events 3\nprocess_cpu_seconds_total 1.5\n" }))
        .with_state(inner)
}

fn answer(status: u16, body: &Value) -> Answer {
    (StatusCode::from_u16(status).unwrap(), axum::Json(body)).into_response()
}

async fn new_organization(State(inner): State<Arc<Inner>>, headers: HeaderMap) -> Answer {
    if headers.get("x-admin-secret").is_none() {
        return answer(401, &json!({"detail": "no secret"}));
    }
    answer(201, &json!({"id": inner.organization.to_string(), "api_key": {"raw_key": "tg_live_test"}}))
}

async fn current_organization(State(inner): State<Arc<Inner>>) -> Answer {
    answer(200, &json!({"id": inner.organization.to_string()}))
}

async fn list(
    State(inner): State<Arc<Inner>>,
    Path(collection): Path<String>,
    Query(query): Query<HashMap<String, usize>>,
) -> Answer {
    let catalog = inner.catalog.lock().unwrap();
    let rows = catalog.get(&collection).cloned().unwrap_or_default();
    let page: Vec<Value> = rows.into_iter().skip(query["skip"]).take(query["limit"]).collect();
    answer(200, &Value::Array(page))
}

async fn create(State(inner): State<Arc<Inner>>, Path(collection): Path<String>, body: Bytes) -> Answer {
    let mut row: Value = serde_json::from_slice(&body).unwrap();
    row["id"] = json!(OrganizationId::random().to_string());
    inner.catalog.lock().unwrap().entry(collection).or_default().push(row.clone());
    answer(201, &row)
}

async fn single(State(inner): State<Arc<Inner>>, body: Bytes) -> Answer {
    let event: Value = serde_json::from_slice(&body).unwrap();
    match inner.store.lock().unwrap().take(vec![event.clone()]) {
        Taken::Stored { .. } => answer(201, &event),
        Taken::Failed => answer(503, &json!({"detail": "may have kept part"})),
        Taken::Refused => answer(422, &json!({"detail": "refused"})),
    }
}

async fn batch(State(inner): State<Arc<Inner>>, headers: HeaderMap, body: Bytes) -> Answer {
    let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default();
    let plain = match header("content-encoding") {
        "gzip" => {
            let mut plain = Vec::new();
            flate2::read::GzDecoder::new(&body[..]).read_to_end(&mut plain).unwrap();
            plain
        }
        "zstd" => zstd::decode_all(&body[..]).unwrap(),
        _ => body.to_vec(),
    };
    let events: Vec<Value> = if header("content-type") == "application/x-ndjson" {
        String::from_utf8(plain).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    } else {
        serde_json::from_slice::<Value>(&plain).unwrap()["events"].as_array().unwrap().clone()
    };
    let echoed = if header("prefer") == "return=minimal" { Vec::new() } else { events.clone() };
    match inner.store.lock().unwrap().take(events) {
        Taken::Stored { ingested, duplicates } => {
            answer(201, &json!({"ingested": ingested, "duplicates": duplicates, "events": echoed}))
        }
        Taken::Failed => answer(503, &json!({"detail": "may have kept part"})),
        Taken::Refused => answer(422, &json!({"detail": "refused"})),
    }
}

async fn lago(State(inner): State<Arc<Inner>>, body: Bytes) -> Answer {
    let mut events = serde_json::from_slice::<Value>(&body).unwrap()["events"].as_array().unwrap().clone();
    for event in &mut events {
        let (seconds, micros) = event["timestamp"].as_str().unwrap().split_once('.').unwrap();
        let at = seconds.parse::<i64>().unwrap() * 1_000_000 + micros.parse::<i64>().unwrap();
        event["timestamp"] = json!(domain::time::Timestamp(at).to_string());
    }
    take_foreign(&inner, events)
}

async fn cloud_events(State(inner): State<Arc<Inner>>, body: Bytes) -> Answer {
    let events: Vec<Value> = serde_json::from_slice(&body).unwrap();
    let contract = |event: &Value| {
        let id = format!("{} {}", event["source"].as_str().unwrap(), event["id"].as_str().unwrap());
        json!({
            "transaction_id": id, "external_customer_id": event["subject"], "code": event["type"],
            "timestamp": event["time"], "properties": event["data"],
        })
    };
    take_foreign(&inner, events.iter().map(contract).collect())
}

fn take_foreign(inner: &Inner, events: Vec<Value>) -> Answer {
    match inner.store.lock().unwrap().take(events) {
        Taken::Stored { .. } => StatusCode::NO_CONTENT.into_response(),
        Taken::Failed => answer(503, &json!({"detail": "may have kept part"})),
        Taken::Refused => answer(422, &json!({"detail": "refused"})),
    }
}

async fn list_events(State(inner): State<Arc<Inner>>, Query(query): Query<HashMap<String, String>>) -> Answer {
    let events = inner.store.lock().unwrap().of_customer(&query["external_customer_id"]);
    let number = |name: &str| query.get(name).map_or(0, |text| text.parse().unwrap());
    let total = events.len().to_string();
    let page: Vec<Value> = events.into_iter().skip(number("skip")).take(number("limit")).collect();
    let mut answer = answer(200, &Value::Array(page));
    answer.headers_mut().insert("x-total-count", total.parse().unwrap());
    answer
}

async fn volume(State(inner): State<Arc<Inner>>) -> Answer {
    answer(200, &inner.store.lock().unwrap().volume())
}

async fn rejections(State(inner): State<Arc<Inner>>) -> Answer {
    answer(200, &inner.store.lock().unwrap().rejections())
}

async fn one_event(State(inner): State<Arc<Inner>>, Path(id): Path<String>) -> Answer {
    let id: EventId = id.parse().unwrap();
    let store = inner.store.lock().unwrap();
    let mut names = inner.names.lock().unwrap();
    if !names.contains_key(&id) {
        let name = |event: &Value| event["transaction_id"].as_str().unwrap().to_owned();
        names.extend(store.all().iter().map(|event| (EventId::derive(inner.organization, &name(event)), name(event))));
    }
    let found =
        names.get(&id).and_then(|name| store.all().iter().find(|event| event["transaction_id"] == *name)).cloned();
    found.map_or_else(|| answer(404, &json!({"detail": "not found"})), |event| answer(200, &event))
}

async fn current_usage(State(inner): State<Arc<Inner>>, Path(customer): Path<String>) -> Answer {
    let charges = inner.store.lock().unwrap().usage(&customer);
    answer(
        200,
        &json!({
            // Wide enough that a test at midnight of the last of a month meets one period only.
            "from_datetime": "2020-01-01T00:00:00Z", "to_datetime": "2120-01-01T00:00:00Z",
            "amount_cents": "0", "currency": "USD", "charges": charges,
        }),
    )
}
