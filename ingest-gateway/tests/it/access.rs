use crate::harness::{
    ADMIN_SECRET, Gateway, KEY, OTHER_KEY, batch, event, events, organization, other_organization, request,
};
use axum::http::StatusCode;

const PATHS: [&str; 5] = ["/v1/events", "/v1/events/", "/v1/events/batch", "/v1/events/batch/", "/v1/events/void"];

#[tokio::test]
async fn nobody_gets_in_without_a_credential() {
    let gateway = Gateway::new();
    let id = organization().to_string();
    let unknown = format!("Bearer {}", KEY.replace('1', "f"));
    let no_access: [&[(&str, &str)]; 6] = [
        &[],
        &[("x-organization-id", &id)],
        &[("authorization", &unknown)],
        &[("authorization", "Bearer ")],
        &[("authorization", "Basic dGc6dGc=")],
        &[("x-admin-secret", "wrong"), ("x-organization-id", &id)],
    ];
    for path in PATHS {
        for headers in no_access {
            let headers = [&[("content-type", "application/json")], headers].concat();
            let answer = gateway.send(request(path, &headers, event("t"))).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path} {headers:?}");
        }
    }
    assert_eq!(gateway.stored(), 0);
}

#[tokio::test]
async fn events_belong_to_the_organization_of_the_key_whatever_else_is_sent() {
    let gateway = Gateway::new();
    let (ours, theirs) = (format!("Bearer {KEY}"), format!("Bearer {OTHER_KEY}"));
    let body = batch(&events(2));
    let theirs_body = body.replace("\"api\"", "\"theirs\"");
    for (authorization, body) in [(&ours, body), (&theirs, theirs_body)] {
        let id = organization().to_string();
        let headers = [
            ("authorization", authorization.as_str()),
            ("x-organization-id", &id),
            ("content-type", "application/json"),
        ];
        assert_eq!(gateway.send(request("/v1/events/batch", &headers, body)).await.json["ingested"], 2);
    }
    let stored = gateway.sink.events.lock().unwrap();
    let of = |id| stored.keys().filter(|(organization, _)| *organization == id).count();
    assert_eq!((of(organization()), of(other_organization())), (2, 2));
}

#[tokio::test]
async fn the_codes_of_another_organization_are_unknown() {
    let gateway = Gateway::new();
    let answer = gateway.post("/v1/events/", &[], event("t").replace("\"api\"", "\"theirs\"")).await;
    assert_eq!((answer.status, answer.locs()), (StatusCode::UNPROCESSABLE_ENTITY, vec!["body/code".to_owned()]));
}

#[tokio::test]
async fn the_operator_acts_for_an_organization() {
    let gateway = Gateway::new();
    let id = organization().to_string();
    let headers = [("x-admin-secret", ADMIN_SECRET), ("x-organization-id", &id), ("content-type", "application/json")];
    assert_eq!(gateway.send(request("/v1/events/", &headers, event("t"))).await.status, StatusCode::CREATED);
}
