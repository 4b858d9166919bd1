//! The operations surface, and what the contract has beyond what is built.

use crate::harness::Server;
use crate::wire::{Caller, text};
use reqwest::Method;
use serde_json::Value;

/// `METHOD path` of every route of the contract, from its document: table rows that begin with | `METHOD path` |.
fn contract_routes() -> Vec<(&'static str, &'static str)> {
    let contract = include_str!("../../spec/api-endpoints.md").split("## In the code only").next().unwrap();
    contract.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`')?.0.split_once(' ')).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_of_the_contract_is_built_or_says_that_it_is_not_and_that_list_only_shrinks() {
    let server = Server::start(&[]).await;
    let caller = Caller::nobody(&server);
    let mut not_built = Vec::new();
    for (method, path) in contract_routes() {
        let filled: Vec<&str> = path
            .split('/')
            .map(|segment| if segment.starts_with('{') { "6b0f5a2e-54a6-4c37-8d2a-0d1d3f0c7c11" } else { segment })
            .collect();
        let answer = caller.request(method.parse().unwrap(), &filled.join("/")).send().await.unwrap();
        let status = answer.status().as_u16();
        assert!(!matches!(status, 404 | 405 | 500), "{method} {path} answered {status}");
        if status == 501 {
            assert_eq!(answer.headers()["content-type"], "application/problem+json", "{method} {path}");
            let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
            assert_eq!(body["code"], "not_built");
            not_built.push(format!("{method} {path}"));
        }
    }
    let mut listed: Vec<&str> = include_str!("not_built.txt").lines().collect();
    if !cfg!(feature = "pdf") {
        listed.extend([
            "GET /v1/invoices/{invoice_id}/pdf_preview",
            "POST /v1/invoices/{invoice_id}/download_pdf",
            "POST /v1/credit_notes/{credit_note_id}/download_pdf",
        ]);
    }
    let built_now: Vec<_> = listed.iter().filter(|route| !not_built.iter().any(|missing| missing == *route)).collect();
    assert!(built_now.is_empty(), "built by now: take these out of tests/it/not_built.txt: {built_now:#?}");
    let lost: Vec<_> = not_built.iter().filter(|route| !listed.contains(&route.as_str())).collect();
    assert!(lost.is_empty(), "built before and not any more: {lost:#?}");
    assert_eq!(contract_routes().len(), 269);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operations_surface_answers_without_a_credential() {
    let server = Server::start(&[]).await;
    let caller = Caller::nobody(&server);
    let banner = caller.get("/").await;
    assert_eq!((text(&banner["app"]), text(&banner["status"])), ("Tollgate".into(), "running".into()));
    assert_eq!(caller.get("/healthz").await["status"], "ok");
    let ready = caller.get("/readyz").await;
    assert!(ready["parts"].as_object().unwrap().len() >= 3, "{ready}");
    let document = caller.get("/openapi.json").await;
    assert!(document["paths"].as_object().unwrap().contains_key("/v1/events/batch"), "{document}");
    let page = caller.request(Method::GET, "/docs").send().await.unwrap().text().await.unwrap();
    assert!(page.contains("/v1/events/batch") && !page.contains("<script"));
    let metrics = caller.request(Method::GET, "/metrics").send().await.unwrap().text().await.unwrap();
    assert!(
        metrics.contains("tollgate_http_requests_total") && metrics.contains("tollgate_http_request_seconds"),
        "{metrics}"
    );
    assert_eq!(caller.get_status("/v1/customers/").await, 401);
    assert_eq!(caller.get_status("/no/such/route").await, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_engine_makes_it_unready_and_comes_back() {
    let server = Server::start(&[]).await;
    let caller = Caller::nobody(&server);
    let engine = crate::harness::descendants(server.pid());
    assert_eq!(engine.len(), 1, "one child: the engine");
    let pid = nix::unistd::Pid::from_raw(i32::try_from(engine[0]).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    let mut seen_unready = false;
    for _ in 0..600 {
        let status = caller.get_status("/readyz").await;
        seen_unready |= status == 503;
        if seen_unready && status == 200 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("unready seen: {seen_unready}; it did not become ready again:\n{}", server.log());
}
