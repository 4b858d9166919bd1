//! A billed ledger holds; each planted fault is found, on the database that the module is named after.

use super::*;
use crate::run::Portions;
use crate::testing::{Bench, Catalog};
use domain::ids::OrganizationId;

async fn billed() -> Bench {
    let mut catalog = Catalog::default();
    let organization = OrganizationId(uuid::Uuid::from_u128(1));
    let plan = catalog.plan(1000, &["calls", "bytes"]);
    for _ in 0..5 {
        let customer = catalog.customer(organization);
        catalog.subscribe(customer, plan, "2026-04-10T00:00:00Z");
    }
    // PostgreSQL's rules read the billing entities, which are the catalog's.
    let bench = Bench::on(module_path!(), catalog, Portions::default()).await;
    ::catalog::Catalog::open(bench.database().clone()).await.unwrap();
    assert_eq!(bench.bill("2026-07-01T00:00:00Z").await.error, None);
    bench
}

async fn planted(bench: &Bench, fault: &'static str) -> LedgerReport {
    let mut write = bench.database().write().await.unwrap();
    sqlx::query(fault).execute(write.connection()).await.unwrap();
    write.commit().await.unwrap();
    check_ledger(bench.database()).await.unwrap()
}

#[tokio::test]
async fn a_ledger_that_was_billed_holds() {
    let report = check_ledger(billed().await.database()).await.unwrap();
    assert_eq!(report.problems, []);
    assert!(report.holds && report.invoices == 15 && report.fees == 45, "{report:?}");
}

#[tokio::test]
async fn each_planted_fault_is_found_by_its_rule() {
    let oldest = "(SELECT MIN(id) FROM fees WHERE fee_type = 'charge')";
    let faults: &[(String, &str)] = &[
        (format!("UPDATE fees SET amount_cents = amount_cents + 1 WHERE id = {oldest}"), "sum of the fees"),
        (format!("DELETE FROM fees WHERE id = {oldest}"), "sum of the fees"),
        (format!("UPDATE fees SET currency = 'EUR' WHERE id = {oldest}"), "organization, customer and currency"),
        (format!("UPDATE fees SET voided = 1 WHERE id = {oldest}"), "voided when its invoice is"),
        (format!("UPDATE fees SET tax_cents = 7 WHERE id = {oldest}"), "a fee's tax"),
        (format!("UPDATE fees SET period_end = period_end + 1 WHERE id = {oldest}"), "billed"),
        ("UPDATE invoices SET number = 99 WHERE number = 3".into(), "no gaps"),
        ("UPDATE invoice_counters SET last_number = last_number + 1".into(), "counter is its last number"),
        ("UPDATE billing_frontiers SET until_at = until_at - 1 WHERE part = 'usage'".into(), "as far as its fees reach"),
        ("DELETE FROM invoice_tallies".into(), "as many of each status as were noted"),
        ("UPDATE invoice_tallies SET change = change + 1".into(), "as many of each status as were noted"),
        ("UPDATE billing_runs SET invoices_created = 14".into(), "made the invoices it counts"),
        (
            "UPDATE invoices SET tax_cents = 5, total_cents = total_cents + 5 WHERE number = 1".into(),
            "rates on the fees come to",
        ),
        (
            "INSERT INTO invoice_settlements (id, organization_id, invoice_id, settlement_type, source_id, amount_cents, \
             created_at) SELECT 's', organization_id, id, 'manual', id, total_cents + 1, 0 FROM invoices WHERE number = 2"
                .into(),
            "exceed what is due",
        ),
    ];
    for (fault, rule) in faults {
        let bench = billed().await;
        let fault: &'static str = Box::leak(fault.clone().into_boxed_str());
        let report = planted(&bench, fault).await;
        assert!(!report.holds, "{fault}");
        assert!(report.problems.iter().any(|problem| problem.rule.contains(rule)), "{fault}: {:?}", report.problems);
    }
}

#[tokio::test]
async fn the_database_itself_refuses_a_total_that_is_not_the_sum_and_a_line_billed_twice() {
    let bench = billed().await;
    for fault in [
        "UPDATE invoices SET total_cents = total_cents + 1",
        "UPDATE invoices SET status = 'paid'",
        "UPDATE invoices SET status = 'finalized', number = NULL",
        "INSERT INTO fees SELECT 'other', organization_id, invoice_id, line, customer_id, subscription_id, fee_type, plan_id, \
         charge_id, line_key, line_hash, period_start, period_end, description, metric_code, units, unit_amount_cents, \
         amount_cents, precise_amount_cents, currency, events_count, event_fingerprint, cut_id, plan_version, metric_version, \
         properties, tax_cents, taxes, adjusted_fee_id, voided, payment_status, created_at, updated_at FROM fees \
         WHERE id = (SELECT MIN(id) FROM fees)",
    ] {
        let mut write = bench.database().write().await.unwrap();
        assert!(sqlx::query(fault).execute(write.connection()).await.is_err(), "{fault}");
    }
}

/// A credit of 500 of which the first invoice took 100.
const CREDIT: &[&str] = &[
    "INSERT INTO credit_accounts (id, organization_id, customer_id, kind, currency, spendable, balance, entries, opened_at)
     SELECT 'a', organization_id, customer_id, 'credit_note', currency, 1, 400, 2, 0 FROM invoices WHERE number = 1",
    "INSERT INTO credit_entries (account_id, sequence, id, organization_id, kind, amount, balance_before, balance_after,
         invoice_cents, source, created_at)
     SELECT 'a', 1, 'e1', organization_id, 'issued', 500, 0, 500, 0, 'test', 0 FROM invoices WHERE number = 1",
    "INSERT INTO credit_entries (account_id, sequence, id, organization_id, kind, amount, follows, balance_before,
         balance_after, invoice_id, invoice_cents, source, created_at)
     SELECT 'a', 2, 'e2', organization_id, 'applied', -100, 1, 500, 400, id, 100, 'test', 0 FROM invoices WHERE number = 1",
    "UPDATE invoices SET credit_notes_cents = 100, total_cents = total_cents - 100 WHERE number = 1",
];

async fn with_credit() -> Bench {
    let bench = billed().await;
    let mut write = bench.database().write().await.unwrap();
    for statement in CREDIT {
        sqlx::query(*statement).execute(write.connection()).await.unwrap();
    }
    write.commit().await.unwrap();
    bench
}

#[tokio::test]
async fn each_planted_fault_of_credits_is_found_by_its_rule() {
    assert_eq!(check_ledger(with_credit().await.database()).await.unwrap().problems, []);
    for (fault, rule) in [
        ("UPDATE credit_accounts SET balance = balance + 1", "the sum of its entries"),
        ("UPDATE credit_accounts SET entries = 1", "the sum of its entries"),
        ("UPDATE credit_entries SET organization_id = 'other' WHERE sequence = 2", "its account's organization"),
        ("UPDATE credit_entries SET invoice_cents = 99 WHERE sequence = 2", "what its accounts gave"),
        ("UPDATE invoices SET credited_cents = 7 WHERE number = 1", "credited than was billed"),
        (
            "INSERT INTO credit_notes (id, organization_id, customer_id, invoice_id, number, note_type, status, reason, currency,
                 coupons_cents, net_cents, tax_cents, total_cents, credit_cents, refund_cents, offset_cents, taxes, issued_at,
                 voided_at, counted, version, created_at, updated_at)
             SELECT 'n', organization_id, customer_id, id, 'n', 'credit', 'finalized', 'other', currency, 0, 5, 0, 5, 5, 0, 0,
                 '[]', 0, 0, 0, 1, 0, 0 FROM invoices WHERE number = 1",
            "opened its account",
        ),
        ("UPDATE invoices SET status = 'paid', paid_at = 1 WHERE number = 2", "settled is paid"),
    ] {
        let report = planted(&with_credit().await, fault).await;
        assert!(report.problems.iter().any(|problem| problem.rule.contains(rule)), "{fault}: {:?}", report.problems);
    }
}

/// A coupon for the first invoice's customer, and a wallet that bought 50 by an invoice that is paid.
const FUNDS: &[&str] = &[
    "INSERT INTO credit_accounts (id, organization_id, customer_id, kind, currency, spendable, balance, entries, opened_at)
     SELECT 'c', organization_id, customer_id, 'coupon', '', 1, 0, 0, 0 FROM invoices WHERE number = 1",
    "INSERT INTO coupons (id, organization_id, code, name, coupon_type, percentage, frequency, reusable, plan_codes, plan_ids,
         metric_codes, version, created_at, updated_at)
     SELECT 'coupon', organization_id, 'c', 'c', 'percentage', '0.1', 'forever', 1, '[]', '[]', '[]', 1, 0, 0
     FROM invoices WHERE number = 1",
    "INSERT INTO applied_coupons (id, organization_id, customer_id, coupon_id, percentage, endless, created_at, updated_at)
     SELECT 'c', organization_id, customer_id, 'coupon', '0.1', 1, 0, 0 FROM invoices WHERE number = 1",
    "INSERT INTO credit_accounts (id, organization_id, customer_id, kind, currency, spendable, balance, entries, opened_at)
     SELECT 'w', organization_id, customer_id, 'wallet', currency, 1, subtotal_cents, 1, 0 FROM invoices WHERE number = 1",
    "INSERT INTO credit_entries (account_id, sequence, id, organization_id, kind, amount, balance_before, balance_after,
         invoice_cents, source, created_at)
     SELECT 'w', 1, 'e', organization_id, 'purchased', subtotal_cents, 0, subtotal_cents, 0, 'manual', 0
     FROM invoices WHERE number = 1",
    "INSERT INTO wallets (id, organization_id, customer_id, currency, rate_cents, priority, fee_types, metric_codes, version,
         created_at, updated_at)
     SELECT 'w', organization_id, customer_id, currency, '1', 1, '[]', '[]', 1, 0, 0 FROM invoices WHERE number = 1",
    "INSERT INTO wallet_top_ups (id, organization_id, wallet_id, invoice_id, source, cents, status, created_at, updated_at)
     SELECT 't', organization_id, 'w', id, 'manual', subtotal_cents, 'settled', 0, 0 FROM invoices WHERE number = 1",
    "INSERT INTO invoice_settlements (id, organization_id, invoice_id, settlement_type, source_id, amount_cents, created_at)
     SELECT 's', organization_id, id, 'manual', id, total_cents, 0 FROM invoices WHERE number = 1",
    "UPDATE invoices SET status = 'paid', paid_at = 0 WHERE number = 1",
    "INSERT INTO invoice_tallies (organization_id, status, id, change)
     SELECT organization_id, 'finalized', 'f', -1 FROM invoices WHERE number = 1",
    "INSERT INTO invoice_tallies (organization_id, status, id, change)
     SELECT organization_id, 'paid', 'p', 1 FROM invoices WHERE number = 1",
    "INSERT INTO payments (id, organization_id, customer_id, invoice_id, provider, status, currency, amount_cents,
         completed_at, version, created_at, updated_at)
     SELECT 'p', organization_id, customer_id, id, 'manual', 'succeeded', currency, 10, 0, 1, 0, 0
     FROM invoices WHERE number = 2",
    "INSERT INTO invoice_settlements (id, organization_id, invoice_id, settlement_type, source_id, amount_cents, created_at)
     SELECT 'p', organization_id, id, 'payment', 'p', 10, 0 FROM invoices WHERE number = 2",
];

async fn with_funds() -> Bench {
    let bench = billed().await;
    let mut write = bench.database().write().await.unwrap();
    for statement in FUNDS {
        sqlx::query(*statement).execute(write.connection()).await.unwrap();
    }
    write.commit().await.unwrap();
    bench
}

#[tokio::test]
async fn each_planted_fault_of_coupons_wallets_and_payments_is_found_by_its_rule() {
    assert_eq!(check_ledger(with_funds().await.database()).await.unwrap().problems, []);
    for (fault, rule) in [
        ("UPDATE credit_accounts SET kind = 'wallet' WHERE id = 'c'", "an account of their own"),
        ("UPDATE applied_coupons SET customer_id = 'other'", "an account of their own"),
        ("UPDATE wallets SET organization_id = 'other'", "an account of their own"),
        ("UPDATE credit_accounts SET balance = 2, entries = 1 WHERE id = 'c'", "as often as it may be"),
        ("UPDATE applied_coupons SET terminated_at = 1", "as often as it may be"),
        ("UPDATE credit_accounts SET balance = balance + 1 WHERE id = 'w'", "the sum of its entries"),
        ("UPDATE wallet_top_ups SET status = 'pending'", "arrives as its invoice is paid"),
        ("UPDATE wallet_top_ups SET cents = cents + 1", "arrives as its invoice is paid"),
        ("UPDATE credit_entries SET kind = 'granted' WHERE id = 'e'", "got the credit that was sold"),
        ("DELETE FROM wallet_top_ups", "got the credit that was sold"),
        ("UPDATE payments SET amount_cents = 11", "what was kept of it"),
        ("DELETE FROM invoice_settlements WHERE id = 'p'", "what was kept of it"),
        ("UPDATE payments SET status = 'failed', completed_at = NULL", "what was kept of it"),
        ("UPDATE payments SET customer_id = 'other'", "organization, customer and currency"),
        ("UPDATE payments SET surplus_cents = 5, surplus_wallet_id = 'w'", "is in a wallet"),
        ("UPDATE wallets SET terminated_at = 1", "got the credit that was sold"),
    ] {
        let report = planted(&with_funds().await, fault).await;
        assert!(report.problems.iter().any(|problem| problem.rule.contains(rule)), "{fault}: {:?}", report.problems);
    }
}

#[tokio::test]
async fn the_database_itself_refuses_a_credit_spent_twice_or_beyond_its_balance() {
    let bench = with_credit().await;
    let entry = |sequence: i64, amount: i64, before: i64| {
        format!(
            "INSERT INTO credit_entries (account_id, sequence, id, organization_id, kind, amount, follows, balance_before,
                 balance_after, invoice_cents, source, created_at)
             VALUES ('a', {sequence}, 'x', 'o', 'applied', {amount}, {}, {before}, {}, 0, 'test', 0)",
            sequence - 1,
            before + amount
        )
    };
    let faults = [
        entry(2, -100, 500),
        entry(3, -100, 500),
        entry(4, -100, 400),
        entry(3, -500, 400),
        "UPDATE invoices SET credited_cents = subtotal_cents + 1 WHERE number = 1".to_owned(),
    ];
    for fault in faults {
        let mut write = bench.database().write().await.unwrap();
        assert!(sqlx::query(sqlx::AssertSqlSafe(fault.clone())).execute(write.connection()).await.is_err(), "{fault}");
    }
    let mut write = bench.database().write().await.unwrap();
    sqlx::query(sqlx::AssertSqlSafe(entry(3, -400, 400))).execute(write.connection()).await.unwrap();
}

/// The first invoice as that of a threshold, which another one took off.
const THRESHOLD: &[&str] = &[
    "UPDATE fees SET in_advance = 'threshold:00000000-0000-0000-0000-000000000001:5' WHERE fee_type = 'charge'
         AND invoice_id = (SELECT id FROM invoices WHERE number = 1)",
    "UPDATE invoices SET invoice_type = 'progressive_billing',
         subscription_id = (SELECT MIN(subscription_id) FROM fees WHERE invoice_id = invoices.id) WHERE number = 1",
    "INSERT INTO progressive_bills (invoice_id, organization_id, subscription_id, period_start, usage_cents, amount_cents, taken_by)
     SELECT a.id, a.organization_id, a.subscription_id, a.period_start, a.subtotal_cents, a.subtotal_cents, b.id
     FROM invoices a JOIN invoices b ON b.number = 2 WHERE a.number = 1",
    "INSERT INTO threshold_crossings (id, organization_id, subscription_id, threshold_id, level_cents, lifetime_cents, usage_cents,
         period_start, invoice_id, crossed_at)
     SELECT 'x', organization_id, subscription_id, 't', 5, subtotal_cents, subtotal_cents, period_start, id, 0
     FROM invoices WHERE number = 1",
    "UPDATE invoices SET progressive_credit_cents = (SELECT amount_cents FROM progressive_bills),
         total_cents = total_cents - (SELECT amount_cents FROM progressive_bills) WHERE number = 2",
];

async fn with_threshold() -> Bench {
    let bench = billed().await;
    let mut write = bench.database().write().await.unwrap();
    for statement in THRESHOLD {
        sqlx::query(*statement).execute(write.connection()).await.unwrap();
    }
    write.commit().await.unwrap();
    bench
}

#[tokio::test]
async fn each_planted_fault_of_thresholds_is_found_by_its_rule() {
    let report = check_ledger(with_threshold().await.database()).await.unwrap();
    let of_thresholds = |problem: &&LedgerProblem| problem.rule.contains("threshold");
    assert_eq!(report.problems.iter().filter(of_thresholds).collect::<Vec<_>>(), Vec::<&LedgerProblem>::new());
    for (fault, rule) in [
        ("UPDATE progressive_bills SET amount_cents = amount_cents + 1", "what is taken off an invoice"),
        ("UPDATE progressive_bills SET taken_by = NULL", "what is taken off an invoice"),
        (
            "UPDATE progressive_bills SET taken_by = (SELECT id FROM invoices WHERE number = 3)",
            "what is taken off an invoice",
        ),
        ("UPDATE progressive_bills SET usage_cents = usage_cents + 1", "noted with what it billed"),
        ("DELETE FROM progressive_bills", "noted with what it billed"),
        ("UPDATE threshold_crossings SET invoice_id = NULL", "names a threshold that was crossed"),
        ("UPDATE threshold_crossings SET usage_cents = 1", "names a threshold that was crossed"),
    ] {
        let report = planted(&with_threshold().await, fault).await;
        assert!(report.problems.iter().any(|problem| problem.rule.contains(rule)), "{fault}: {:?}", report.problems);
    }
    let bench = with_threshold().await;
    let not_taken = "UPDATE progressive_bills SET taken_by = NULL";
    assert!(!planted(&bench, not_taken).await.holds);
    let again = "UPDATE fees SET in_advance = NULL WHERE in_advance IS NOT NULL";
    let report = planted(&bench, again).await;
    assert!(report.problems.iter().any(|problem| problem.rule.contains("taken off with its period")), "{report:?}");
}
