//! Events drawn at random, compared field by field with what was sent.

use super::report::{AuditReport, Discrepancy, Fault};
use super::resolve::find;
use super::state::{Run, State};
use super::{AT_ONCE, Expectation};
use crate::client::api::{Api, ApiError};
use crate::oracle::bits::Bits;
use crate::oracle::fates::Fates;
use crate::oracle::samples::Sample;
use crate::workload::stream::{REGION_NAMES, Stream};
use domain::ids::OrganizationId;
use domain::time::Timestamp;
use futures::stream::{self, StreamExt, TryStreamExt};
use rust_decimal::Decimal;
use serde_json::Value;

/// Looks up all draws of all runs.
pub(super) async fn check(
    api: &Api,
    state: &State,
    wanted: &Expectation,
    report: &mut AuditReport,
) -> Result<(), ApiError> {
    for ((run, fates), stored) in state.runs.iter().zip(&wanted.fates).zip(&wanted.stored) {
        let faults: Vec<Option<Discrepancy>> = stream::iter(&run.samples)
            .map(|sample| compare(api, state.organization, run, sample, fates, stored))
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        report.samples += faults.len() as u64;
        faults.into_iter().flatten().for_each(|fault| report.note(fault));
    }
    Ok(())
}

async fn compare(
    api: &Api,
    organization: OrganizationId,
    run: &Run,
    sample: &Sample,
    fates: &Fates,
    stored: &Bits,
) -> Result<Option<Discrepancy>, ApiError> {
    let name = run.stream.transaction_id(sample.seq);
    let found = find(api, organization, &name).await?;
    let must = stored.contains(sample.seq);
    // An event that a look-up a moment ago did not find may have arrived since; the next audit counts it.
    let may = must || fates.unknown.contains(sample.seq);
    let fault = match found {
        None if must => Some(Discrepancy::of(Fault::Lost, "acknowledged, not found by id")),
        Some(_) if !may => Some(Discrepancy::of(Fault::Unexpected, "stored, though refused or never sent")),
        Some(event) => difference(&run.stream, sample, &event).map(|detail| Discrepancy::of(Fault::Altered, detail)),
        None => None,
    };
    Ok(fault.map(|fault| fault.event(name)))
}

/// What differs between the stored event and what was sent.
fn difference(stream: &Stream, sample: &Sample, event: &Value) -> Option<String> {
    let facts = stream.facts(sample.seq);
    let properties = &event["properties"];
    let texts = [
        ("transaction_id", &event["transaction_id"], stream.transaction_id(sample.seq)),
        ("external_customer_id", &event["external_customer_id"], stream.customer_id(facts.customer)),
        ("code", &event["code"], facts.kind.code().to_owned()),
        ("region", &properties["region"], REGION_NAMES[usize::from(facts.region)].to_owned()),
        ("user", &properties["user"], format!("{}-u{:02}", stream.tag, facts.user)),
    ];
    for (field, found, expected) in texts {
        if found.as_str() != Some(&expected) {
            return Some(format!("{field}: sent {expected:?}, stored {found}"));
        }
    }
    let amount = &properties["amount"];
    let text = if facts.value.quoted { amount.as_str().unwrap_or_default().to_owned() } else { amount.to_string() };
    if text.parse::<Decimal>().ok() != Some(facts.value.decimal()) {
        return Some(format!("amount: sent {}, stored {amount}", facts.value.decimal()));
    }
    let timestamp = event["timestamp"].as_str().and_then(|stored| Timestamp::parse(stored).ok());
    if timestamp.is_none_or(|timestamp| !sample.timestamps.contains(&timestamp)) {
        return Some(format!("timestamp: sent first {:?}, stored {}", sample.timestamps, event["timestamp"]));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::render::Renderer;
    use crate::workload::slots::Slots;
    use crate::workload::stream::tests::sample as stream;
    use serde_json::json;

    #[test]
    fn each_field_that_differs_is_named() {
        let stream = stream(Slots::Fresh, 1);
        let mut body = Vec::new();
        Renderer::new(&stream).unwrap().body(7, &mut body);
        let event = serde_json::from_slice::<Value>(&body).unwrap()["events"][0].clone();
        let drawn = Sample { seq: 7, timestamps: vec![stream.timestamp(stream.copy_at(7))] };
        assert_eq!(difference(&stream, &drawn, &event), None);
        for path in [
            "/transaction_id",
            "/external_customer_id",
            "/code",
            "/timestamp",
            "/properties/amount",
            "/properties/user",
        ] {
            let mut altered = event.clone();
            *altered.pointer_mut(path).unwrap() = json!("other");
            let field = path.rsplit('/').next().unwrap();
            let seen = difference(&stream, &drawn, &altered).unwrap();
            assert!(seen.starts_with(field), "{seen}");
        }
    }
}
