use super::*;
use std::collections::BTreeSet;

/// "METHOD /path" without a final slash and with parameters named by their place.
fn key(method: &str, path: &str) -> String {
    format!("{method} {}", uniform(path))
}

/// The routes of `spec/api-endpoints.md`: table rows that begin with | `METHOD /path` |.
fn contract_routes() -> BTreeSet<String> {
    let text = include_str!("../../../spec/api-endpoints.md");
    let contract_only = text.split("## In the code only").next().unwrap();
    let cells = contract_only.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    cells.filter_map(|(route, _)| route.split_once(' ')).map(|(method, path)| key(method, path)).collect()
}

fn not_built() -> BTreeSet<String> {
    not_built::NOT_BUILT.iter().map(|(method, path)| key(method, path)).collect()
}

fn built() -> BTreeSet<String> {
    built_routes(&crate::services::documentation::document()).iter().map(|(method, path)| key(method, path)).collect()
}

#[test]
fn the_list_of_routes_not_built_is_the_contract_without_the_routes_that_are() {
    let contract = contract_routes();
    assert_eq!(contract.len(), 269, "the contract has 269 operations");
    let expected: BTreeSet<String> = contract.difference(&built()).cloned().collect();
    let listed = not_built();
    let built_now: Vec<_> = listed.difference(&expected).collect();
    assert!(built_now.is_empty(), "built by now: take these out of not_built.rs: {built_now:#?}");
    let lost: Vec<_> = expected.difference(&listed).collect();
    assert!(lost.is_empty(), "in the contract, not built and not in not_built.rs: {lost:#?}");
}

#[test]
fn a_route_that_is_not_built_is_told_from_one_with_a_parameter_in_its_place() {
    let mut contract = Contract::default();
    contract.add("GET", "/v1/plans/{plan_id}", true);
    contract.add("GET", "/v1/plans/subscription_counts", false);
    contract.add("POST", "/v1/coupons/", false);
    let refused = |method, path| contract.is_not_built(&method, path);
    assert!(refused(Method::GET, "/v1/plans/subscription_counts"));
    assert!(!refused(Method::GET, "/v1/plans/0d9b"));
    assert!(refused(Method::POST, "/v1/coupons") && refused(Method::POST, "/v1/coupons/"));
    assert!(!refused(Method::GET, "/v1/coupons/"), "not in the contract: 404 or 405 by the router");
}

#[test]
fn what_is_served_is_never_hidden_by_the_list() {
    let mut contract = Contract::default();
    contract.add("GET", "/v1/fees/{fee_id}", true);
    contract.add("GET", "/v1/fees/{id}", false);
    assert!(!contract.is_not_built(&Method::GET, "/v1/fees/1"));
}
