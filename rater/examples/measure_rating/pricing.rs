//! Pricing alone, one thread.

use crate::workload::ten_ranges;
use domain::catalog::ChargeModel;
use domain::money::Currency;
use domain::pricing::{PriceModel, UsageToPrice};
use domain::quantity::Quantity;
use serde_json::json;
use std::hint::black_box;
use std::time::Instant;

const FEES: i64 = 1_000_000;

pub fn run() {
    for (name, model, properties) in [
        ("standard", ChargeModel::Standard, json!({"amount": "0.0125"})),
        ("graduated of 10 ranges", ChargeModel::Graduated, json!({ "graduated_ranges": ten_ranges() })),
        ("volume of 10 ranges", ChargeModel::Volume, json!({ "volume_ranges": ten_ranges() })),
        ("package", ChargeModel::Package, json!({"amount": "5", "package_size": 100, "free_units": 10})),
    ] {
        let prices = PriceModel::parse(model, &properties).unwrap();
        let started = Instant::now();
        for number in 0..FEES {
            let usage = UsageToPrice::of(Quantity::new(i128::from(number * 7_919 % 12_000_000), 3), 10);
            let priced = prices.price(&usage).unwrap();
            black_box(Currency::USD.to_minor_units(&priced.amount.to_big()).unwrap());
        }
        println!("pricing, {name}: {:.2} M fees a second", FEES as f64 / started.elapsed().as_secs_f64() / 1e6);
    }
}
