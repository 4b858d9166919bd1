//! Charges of a plan: checked when the plan is written, so that rating never meets a price it cannot read (behaviour W49).

use crate::metric::wire::MetricFilterRecord;
use crate::plan::filters;
use crate::plan::wire::{ChargeInput, check_tax_codes};
use domain::catalog::{Charge, ChargeFilter};
use domain::ids::{ChargeId, MetricId};
use domain::money::MinorUnits;
use domain::pricing::{PriceModel, PropertyError, group_keys, overlaid};
use http_api::{ApiError, Checks, Loc};
use serde_json::Value;
use std::collections::{BTreeSet, HashMap};

/// The event property that names the wallet that pays.
pub(crate) const TARGET_WALLET: &str = "target_wallet_code";

/// The charges of a plan, each with an id of its own.
///
/// # Errors
/// 422 with every fault and its place; 400 when a metric or filter is unknown or a filter value not allowed (contract).
pub(crate) fn checked(
    inputs: &[ChargeInput],
    filters_of: &HashMap<MetricId, Vec<MetricFilterRecord>>,
) -> Result<Vec<Charge>, ApiError> {
    let mut checks = Checks::new();
    let mut charges = Vec::with_capacity(inputs.len());
    for (index, input) in inputs.iter().enumerate() {
        let place = [Loc::from("charges"), Loc::from(index)];
        let declared = filters_of.get(&input.billable_metric_id).ok_or_else(|| {
            let detail = format!(
                "charges[{index}].billable_metric_id: there is no billable metric {}",
                input.billable_metric_id
            );
            ApiError::bad_request("unknown_metric", detail)
        })?;
        check_options(input, &mut checks, &place);
        let filters = filters::checked(&input.filters, declared, &mut checks, &place)?;
        let properties = Value::Object(input.properties.clone());
        check_prices(input, &properties, &filters, &mut checks, &place);
        charges.push(Charge {
            id: ChargeId::random(),
            metric_id: input.billable_metric_id,
            model: input.charge_model,
            properties,
            invoice_display_name: input.invoice_display_name.clone(),
            min_amount: MinorUnits(input.min_amount_cents),
            pay_in_advance: input.pay_in_advance,
            prorated: input.prorated,
            invoiceable: input.invoiceable,
            filters: filters.into_iter().map(|(_, filter)| filter).collect(),
        });
    }
    checks.finish()?;
    Ok(charges)
}

fn check_options(input: &ChargeInput, checks: &mut Checks, place: &[Loc]) {
    let at = |field: &'static str| place.iter().cloned().chain([Loc::from(field)]).collect::<Vec<_>>();
    if input.min_amount_cents < 0 {
        let msg = "Input should be greater than or equal to 0";
        checks.fault("greater_than_equal", at("min_amount_cents"), msg, &Value::from(input.min_amount_cents));
    }
    if let Some(name) = &input.invoice_display_name {
        checks.length_at(at("invoice_display_name"), name, 0, 255);
    }
    check_tax_codes(checks, &at("tax_codes"), &input.tax_codes);
}

fn check_prices(
    input: &ChargeInput,
    properties: &Value,
    filters: &[(usize, ChargeFilter)],
    checks: &mut Checks,
    place: &[Loc],
) {
    let own: Vec<Loc> = place.iter().cloned().chain(["properties".into()]).collect();
    if let Err(faults) = PriceModel::parse(input.charge_model, properties) {
        report(checks, &own, properties, &faults);
        // A filter that overlays faulty prices would repeat their faults.
        return;
    }
    for (index, filter) in filters {
        let whole = overlaid(properties, &filter.properties);
        if let Err(faults) = PriceModel::parse(input.charge_model, &whole) {
            let steps = ["filters".into(), Loc::from(*index), "properties".into()];
            let at: Vec<Loc> = place.iter().cloned().chain(steps).collect();
            report(checks, &at, &whole, &faults);
        }
    }
}

fn report(checks: &mut Checks, place: &[Loc], properties: &Value, faults: &[PropertyError]) {
    for fault in faults {
        let steps = steps_of(&fault.path);
        let input = steps.iter().try_fold(properties, |value, step| match step {
            Loc::Name(name) => value.get(name.as_ref()),
            Loc::Index(index) => value.get(index),
        });
        let msg = fault.to_string();
        checks.fault("value_error", place.iter().cloned().chain(steps.clone()), msg, input.unwrap_or(&Value::Null));
    }
}

/// `graduated_ranges[1].to_value` as a place: `"graduated_ranges", 1, "to_value"`. `properties` alone is the whole.
fn steps_of(path: &str) -> Vec<Loc> {
    if path == "properties" {
        return Vec::new();
    }
    let mut steps = Vec::new();
    for part in path.split('.') {
        let mut pieces = part.split('[');
        steps.extend(pieces.next().filter(|name| !name.is_empty()).map(|name| Loc::from(name.to_string())));
        steps.extend(pieces.filter_map(|index| index.trim_end_matches(']').parse::<usize>().ok()).map(Loc::from));
    }
    steps
}

/// The event properties that a charge filters and groups by: its metric's events must carry them as dimensions.
pub(crate) fn dimension_keys(charge: &Charge, accepts_target_wallet: bool) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    // Checked above: a charge whose group keys cannot be read does not get here.
    keys.extend(group_keys(&charge.properties).unwrap_or_default());
    for filter in &charge.filters {
        keys.extend(filter.values.keys().cloned());
        keys.extend(group_keys(&filter.properties).unwrap_or_default());
    }
    if accepts_target_wallet {
        keys.insert(TARGET_WALLET.to_string());
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::ids::MetricFilterId;
    use domain::time::Timestamp;
    use serde_json::json;

    struct World {
        metric: MetricId,
        filter: MetricFilterId,
        filters_of: HashMap<MetricId, Vec<MetricFilterRecord>>,
    }

    fn world() -> World {
        let (metric, filter) = (MetricId::random(), MetricFilterId::random());
        let record = MetricFilterRecord {
            id: filter,
            billable_metric_id: metric,
            key: "region".into(),
            values: vec!["eu".into(), "us".into()],
            created_at: Timestamp(0),
            updated_at: Timestamp(0),
        };
        World { metric, filter, filters_of: HashMap::from([(metric, vec![record])]) }
    }

    fn read(world: &World, mut charge: Value) -> Result<Vec<Charge>, ApiError> {
        charge["billable_metric_id"] = json!(world.metric);
        let input: ChargeInput = serde_json::from_value(charge).unwrap();
        checked(&[input], &world.filters_of)
    }

    #[test]
    fn a_price_that_cannot_be_read_is_named_with_its_range_and_field() {
        let ranges = json!([
            {"from_value": 0, "to_value": 10, "per_unit_amount": "1"},
            {"from_value": 15, "to_value": null, "per_unit_amount": "x"},
        ]);
        let charge = json!({"charge_model": "graduated", "properties": {"graduated_ranges": ranges}});
        let error = read(&world(), charge).unwrap_err();
        let places: Vec<String> =
            error.faults().iter().map(|fault| serde_json::to_string(&fault.loc).unwrap()).collect();
        let expected = r#"["body","charges",0,"properties","graduated_ranges",1,"per_unit_amount"]"#;
        assert!(places.iter().any(|place| place == expected), "{places:?}");
    }

    #[test]
    fn each_value_of_the_contracts_form_becomes_a_filter_of_its_own() {
        let world = world();
        let filters =
            json!([{"billable_metric_filter_id": world.filter, "values": ["us", "eu"], "properties": {"amount": "2"}}]);
        let charge = json!({"charge_model": "standard", "properties": {"amount": "1"}, "filters": filters});
        let charges = read(&world, charge).unwrap();
        let values: Vec<String> = charges[0].filters.iter().map(|filter| filter.values["region"].join("+")).collect();
        assert_eq!(values, ["us", "eu"]);
    }

    #[test]
    fn the_object_form_takes_several_keys_and_the_any_value() {
        let mut world = world();
        world.filters_of.insert(world.metric, Vec::new());
        let filters = json!([{"values": {"cloud": ["aws"], "region": "*any value*"}, "properties": {"amount": "12", "grouped_by": ["country"]}}]);
        let charge = json!({"charge_model": "standard", "properties": {"amount": "10"}, "filters": filters});
        let charges = read(&world, charge).unwrap();
        let keys: Vec<String> = dimension_keys(&charges[0], true).into_iter().collect();
        assert_eq!(keys, ["cloud", "country", "region", "target_wallet_code"]);
    }

    #[test]
    fn what_the_metric_does_not_declare_or_allow_is_400() {
        let world = world();
        for filter in [
            json!({"billable_metric_filter_id": MetricFilterId::random(), "values": ["eu"]}),
            json!({"billable_metric_filter_id": world.filter, "values": ["mars"]}),
            json!({"values": {"region": ["mars"]}}),
            json!({"values": {"planet": ["mars"]}}),
        ] {
            let charge = json!({"charge_model": "standard", "properties": {"amount": "1"}, "filters": [filter]});
            assert_eq!(read(&world, charge).unwrap_err().status().as_u16(), 400, "{filter}");
        }
        let input: ChargeInput = serde_json::from_value(
            json!({"billable_metric_id": MetricId::random(), "charge_model": "standard", "properties": {"amount": "1"}}),
        )
        .unwrap();
        assert_eq!(checked(&[input], &world.filters_of).unwrap_err().code(), "unknown_metric");
    }

    #[test]
    fn a_filter_without_values_or_with_bad_prices_is_422() {
        let world = world();
        for filters in [
            json!([{"billable_metric_filter_id": world.filter, "values": []}]),
            json!([{"billable_metric_filter_id": world.filter}]),
            json!([{"values": {}}]),
            json!([{"values": {"region": []}}]),
            json!([{"values": {"region": [null]}}]),
            json!([{"values": {"region": ["eu"]}, "properties": {"amount": "-1"}}]),
        ] {
            let charge = json!({"charge_model": "standard", "properties": {"amount": "1"}, "filters": filters});
            assert_eq!(read(&world, charge).unwrap_err().status().as_u16(), 422, "{filters}");
        }
    }

    #[test]
    fn a_path_becomes_a_place() {
        let place = |path: &str| serde_json::to_string(&steps_of(path)).unwrap();
        assert_eq!(place("tiers[2].up_to"), r#"["tiers",2,"up_to"]"#);
        assert_eq!(place("tiers[2]"), r#"["tiers",2]"#);
        assert_eq!(place("amount"), r#"["amount"]"#);
        assert_eq!(place("properties"), "[]");
    }
}
