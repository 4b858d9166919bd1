//! The gateway's errors as answers: the only place that decides a status.
//!
//! A client's fault is 4xx with its place, never 5xx; 429 and 503 say when to try again, and a 503 says whether part of the
//! request may have been kept (I1).

use crate::body::BodyError;
use crate::parse::{Flaw, Frame, Place, Problem, Problems};
use crate::sink::SinkError;
use axum::http::StatusCode;
use http_api::{ApiError, FieldError, Loc};
use serde_json::Value;

impl From<SinkError> for ApiError {
    fn from(error: SinkError) -> Self {
        let detail = error.to_string();
        match error {
            SinkError::Overloaded { retry_after } => Self::unavailable("overloaded", detail, retry_after),
            SinkError::Unavailable { reason, retry_after } => {
                Self::unavailable("store_unavailable", detail, retry_after).with_cause(reason)
            }
            SinkError::MaybeKept { reason, retry_after } => {
                Self::unavailable("maybe_kept", detail, retry_after).with_cause(reason)
            }
        }
    }
}

impl From<BodyError> for ApiError {
    fn from(error: BodyError) -> Self {
        let detail = error.to_string();
        match error {
            BodyError::TooLarge(_) | BodyError::TooLargeDecompressed(_) => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail)
            }
            BodyError::TimedOut(_) => Self::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", detail),
            BodyError::BrokenEncoding { .. } => {
                Self::validation(vec![FieldError::in_body("encoding_invalid", [], detail, &Value::Null)])
            }
            BodyError::BrokeOff(cause) => Self::bad_request("body_unreadable", "the body broke off").with_cause(cause),
            BodyError::Sink(sink) => sink.into(),
        }
    }
}

impl From<Problems> for ApiError {
    fn from(problems: Problems) -> Self {
        Self::validation(problems.listed.iter().map(|problem| field_error(problem, problems.frame)).collect())
    }
}

fn field_error(problem: &Problem, frame: Frame) -> FieldError {
    let (kind, text) = (problem.flaw.kind(), problem.flaw.to_string());
    if let Place::Header(field) = problem.place {
        return FieldError::new(kind, ["header".into(), format!("ce-{}", field.name()).into()], text, &Value::Null);
    }
    FieldError::in_body(kind, path(problem, frame), text, &Value::Null)
}

fn path(problem: &Problem, frame: Frame) -> Vec<Loc> {
    let holder = match frame {
        Frame::Events => Some(Loc::from("events")),
        Frame::Wrapped => Some(Loc::from("event")),
        Frame::List => None,
    };
    match (problem.place, &problem.flaw) {
        // A text that is no JSON has no fields: the contract names the byte.
        (Place::BODY, Flaw::Malformed(syntax)) => vec![Loc::from(syntax.at)],
        (Place::Events, _) => holder.into_iter().collect(),
        (Place::Header(field), _) => vec![Loc::from(field.name())],
        (Place::Event { event, field }, _) => {
            let is_held = event.is_some() || (frame == Frame::Wrapped && field.is_some());
            let holder = holder.filter(|_| is_held);
            let event = event.map(|index| Loc::from(index as usize));
            holder.into_iter().chain(event).chain(field.map(|field| Loc::from(field.name()))).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::{Field, Malformed, Syntax};
    use serde_json::json;
    use std::time::Duration;

    fn loc(place: Place, flaw: Flaw) -> Value {
        let error = ApiError::from(Problems::only(place, flaw));
        assert_eq!(error.status(), StatusCode::UNPROCESSABLE_ENTITY);
        json!(error.faults()[0].loc)
    }

    #[test]
    fn a_problem_names_its_event_and_field() {
        let place = |event, field| Place::Event { event, field };
        assert_eq!(
            loc(place(Some(17), Some(Field::Timestamp)), Flaw::Missing),
            json!(["body", "events", 17, "timestamp"])
        );
        assert_eq!(loc(place(Some(3), None), Flaw::NotAnObject), json!(["body", "events", 3]));
        assert_eq!(loc(place(None, Some(Field::Code)), Flaw::Empty), json!(["body", "code"]));
        assert_eq!(loc(Place::Events, Flaw::NoEvents), json!(["body", "events"]));
        let syntax = Syntax { at: 42, what: Malformed::Trailing };
        assert_eq!(loc(Place::BODY, Flaw::Malformed(syntax)), json!(["body", 42]));
    }

    #[test]
    fn every_fault_of_the_sink_is_a_503_that_says_what_was_kept() {
        let (reason, retry_after) = (String::from("disk"), Duration::from_secs(2));
        let kept_nothing =
            [SinkError::Overloaded { retry_after }, SinkError::Unavailable { reason: reason.clone(), retry_after }];
        for error in kept_nothing {
            let answer = ApiError::from(error);
            assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert!(answer.to_string().contains("nothing of this request was kept"));
        }
        let answer = ApiError::from(SinkError::MaybeKept { reason, retry_after });
        assert!(answer.to_string().contains("sending the same transaction_ids again is safe"));
    }
}
