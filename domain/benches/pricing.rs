//! What one price costs on one core: usage to exact amount to minor units, for each charge model.
//!
//! `cargo bench -p domain --bench pricing`; a fee a second is one over the time shown.
#![allow(missing_docs, clippy::unwrap_used)]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use domain::catalog::ChargeModel;
use domain::money::Currency;
use domain::pricing::{PriceModel, UsageToPrice};
use domain::quantity::Quantity;
use serde_json::{Value, json};
use std::hint::black_box;

/// Fees of one round: enough that units differ in digits and range.
const FEES: u64 = 1_000;

/// Ten ranges of a hundred units, each dearer by a cent; the last without end.
fn ten_ranges(price: &str) -> Value {
    let range = |place: u32| {
        let to = if place == 9 { Value::Null } else { json!((place + 1) * 100) };
        json!({"from_value": place * 100, "to_value": to, price: format!("0.{:02}", place + 1), "flat_amount": "1"})
    };
    (0..10).map(range).collect()
}

fn usage() -> Vec<UsageToPrice> {
    (0..FEES).map(|number| UsageToPrice::of(Quantity::new(i128::from(number) * 1_237 + 5, 3), number + 1)).collect()
}

fn pricing(criterion: &mut Criterion) {
    let usage = usage();
    let mut group = criterion.benchmark_group("pricing");
    group.throughput(Throughput::Elements(FEES));
    let models = [
        ("standard", ChargeModel::Standard, json!({"amount": "0.0125"})),
        ("package", ChargeModel::Package, json!({"amount": "5", "package_size": 100, "free_units": 10})),
        ("volume of 10 ranges", ChargeModel::Volume, json!({"volume_ranges": ten_ranges("per_unit_amount")})),
        ("graduated of 10 ranges", ChargeModel::Graduated, json!({"graduated_ranges": ten_ranges("per_unit_amount")})),
    ];
    for (name, model, properties) in models {
        let model = PriceModel::parse(model, &properties).unwrap();
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                for one in &usage {
                    let priced = model.price(black_box(one)).unwrap();
                    black_box(Currency::USD.to_minor_units(&priced.amount.to_big()).unwrap());
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, pricing);
criterion_main!(benches);
