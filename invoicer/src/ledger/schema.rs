//! The tables of the ledger, as numbered migrations in SQL that SQLite and PostgreSQL both read.
//!
//! Money BIGINT in minor units, quantities TEXT, instants BIGINT microseconds, ids TEXT, flags BIGINT 0 or 1. A migration that
//! has been released is never edited: the next one is added behind it.
//!
//! **I4 lives here**, three times over: `billing_frontiers` moves only from where the writer believed it to be; a fee is
//! unique per subscription, kind, charge, line (with the event, where it is paid in advance) and period start, as long as its invoice is not voided; an invoice per customer, currency, entity, due instant and
//! the first thing on it. Numbers are unique per organization and prefix.

use super::credit_tables::{COUPONS, CREDIT_NOTES, WALLET_TOP_UPS, WALLETS};
use catalog::database::{Database, DatabaseError};

/// Name under which the migrations are counted.
pub const COMPONENT: &str = "invoicer";

/// In order; each entry is applied once, in a transaction.
pub const MIGRATIONS: &[&str] = &[
    FIRST,
    USAGE_IN_ADVANCE,
    MAILS,
    RUN_REPORTS,
    super::run_leases::MIGRATION,
    CREDIT_NOTES,
    COUPONS,
    WALLETS,
    WALLET_TOP_UPS,
    super::payment_tables::PAYMENTS,
    super::tally::MIGRATION,
    super::below_zero::MIGRATION,
    super::watch_progress::MIGRATION,
    super::progressive::MIGRATION,
    super::alerts::MIGRATION,
];

/// Looks at the tables without changing any; their version, 0 when there are none.
///
/// # Errors
/// When they are newer than this program, or the database cannot be read.
pub async fn version(database: &Database) -> Result<i64, DatabaseError> {
    database.version_of(COMPONENT, MIGRATIONS).await
}

const FIRST: &str = "
CREATE TABLE rating_cuts (
    id TEXT NOT NULL PRIMARY KEY,
    positions TEXT NOT NULL
);

CREATE TABLE billing_runs (
    id TEXT NOT NULL PRIMARY KEY,
    organization_id TEXT,
    as_of BIGINT NOT NULL,
    dry_run BIGINT NOT NULL,
    reach TEXT NOT NULL,
    status TEXT NOT NULL,
    active_key TEXT UNIQUE,
    cut_id TEXT REFERENCES rating_cuts (id),
    subscriptions_total BIGINT NOT NULL,
    subscriptions_done BIGINT NOT NULL,
    invoices_created BIGINT NOT NULL,
    started_at BIGINT NOT NULL,
    finished_at BIGINT,
    error TEXT
);
CREATE INDEX billing_runs_by_start ON billing_runs (started_at, id);

CREATE TABLE billing_run_totals (
    run_id TEXT NOT NULL REFERENCES billing_runs (id),
    currency TEXT NOT NULL,
    total_cents BIGINT NOT NULL,
    PRIMARY KEY (run_id, currency)
);

CREATE TABLE billing_frontiers (
    subscription_id TEXT NOT NULL,
    part TEXT NOT NULL,
    chain TEXT NOT NULL,
    organization_id TEXT NOT NULL,
    starts_at BIGINT NOT NULL,
    until_at BIGINT NOT NULL,
    moved_from BIGINT,
    cut_id TEXT NOT NULL,
    PRIMARY KEY (subscription_id, part, chain),
    CHECK (starts_at <= until_at)
);
CREATE INDEX billing_frontiers_by_organization ON billing_frontiers (organization_id);

CREATE TABLE invoice_counters (
    organization_id TEXT NOT NULL,
    prefix TEXT NOT NULL,
    last_number BIGINT NOT NULL,
    PRIMARY KEY (organization_id, prefix)
);

CREATE TABLE invoices (
    id TEXT NOT NULL PRIMARY KEY,
    organization_id TEXT NOT NULL,
    customer_id TEXT NOT NULL,
    subscription_id TEXT,
    invoice_type TEXT NOT NULL,
    status TEXT NOT NULL,
    currency TEXT NOT NULL,
    billing_entity TEXT NOT NULL,
    due_at BIGINT NOT NULL,
    occasion TEXT NOT NULL,
    number_prefix TEXT,
    number BIGINT,
    period_start BIGINT NOT NULL,
    period_end BIGINT NOT NULL,
    issued_at BIGINT NOT NULL,
    due_date BIGINT NOT NULL,
    paid_at BIGINT,
    subtotal_cents BIGINT NOT NULL,
    coupons_cents BIGINT NOT NULL DEFAULT 0,
    tax_cents BIGINT NOT NULL,
    progressive_credit_cents BIGINT NOT NULL DEFAULT 0,
    credit_notes_cents BIGINT NOT NULL DEFAULT 0,
    prepaid_credit_cents BIGINT NOT NULL DEFAULT 0,
    total_cents BIGINT NOT NULL,
    taxes TEXT NOT NULL,
    voided_at BIGINT,
    regenerated_from TEXT UNIQUE REFERENCES invoices (id),
    run_id TEXT REFERENCES billing_runs (id),
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (organization_id, customer_id, currency, billing_entity, due_at, occasion),
    UNIQUE (organization_id, number_prefix, number),
    CHECK (period_start <= period_end),
    CHECK (status IN ('draft', 'voided') OR number IS NOT NULL),
    CHECK (total_cents = subtotal_cents - coupons_cents + tax_cents - progressive_credit_cents - credit_notes_cents
        - prepaid_credit_cents),
    CHECK ((status = 'paid') = (paid_at IS NOT NULL)),
    CHECK ((status = 'voided') = (voided_at IS NOT NULL))
);
CREATE INDEX invoices_by_creation ON invoices (organization_id, created_at, id);
CREATE INDEX invoices_in_draft ON invoices (issued_at) WHERE status = 'draft';

CREATE TABLE fees (
    id TEXT NOT NULL PRIMARY KEY,
    organization_id TEXT NOT NULL,
    invoice_id TEXT REFERENCES invoices (id),
    line BIGINT NOT NULL,
    customer_id TEXT NOT NULL,
    subscription_id TEXT,
    fee_type TEXT NOT NULL,
    plan_id TEXT,
    charge_id TEXT NOT NULL,
    line_key TEXT NOT NULL,
    line_hash TEXT NOT NULL,
    period_start BIGINT NOT NULL,
    period_end BIGINT NOT NULL,
    description TEXT NOT NULL,
    metric_code TEXT,
    units TEXT NOT NULL,
    unit_amount_cents TEXT NOT NULL,
    amount_cents BIGINT NOT NULL,
    precise_amount_cents TEXT NOT NULL,
    currency TEXT NOT NULL,
    events_count BIGINT NOT NULL,
    event_fingerprint TEXT,
    cut_id TEXT REFERENCES rating_cuts (id),
    plan_version BIGINT NOT NULL,
    metric_version BIGINT,
    properties TEXT NOT NULL,
    tax_cents BIGINT NOT NULL,
    taxes TEXT NOT NULL,
    adjusted_fee_id TEXT,
    voided BIGINT NOT NULL DEFAULT 0,
    payment_status TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    CHECK (period_start <= period_end)
);
CREATE UNIQUE INDEX fees_once ON fees (subscription_id, fee_type, charge_id, line_hash, period_start) WHERE voided = 0;
CREATE INDEX fees_of_invoice ON fees (invoice_id, line);
CREATE INDEX fees_by_creation ON fees (organization_id, created_at, id);

CREATE TABLE invoice_settlements (
    id TEXT NOT NULL PRIMARY KEY,
    organization_id TEXT NOT NULL,
    invoice_id TEXT NOT NULL REFERENCES invoices (id),
    settlement_type TEXT NOT NULL,
    source_id TEXT NOT NULL,
    amount_cents BIGINT NOT NULL CHECK (amount_cents > 0),
    created_at BIGINT NOT NULL,
    UNIQUE (invoice_id, settlement_type, source_id)
);

CREATE TABLE invoice_reminders (
    id TEXT NOT NULL PRIMARY KEY,
    organization_id TEXT NOT NULL,
    invoice_id TEXT NOT NULL REFERENCES invoices (id),
    email TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX invoice_reminders_by_invoice ON invoice_reminders (invoice_id, created_at, id);
";

/// Usage that is paid in advance: what each such fee is for, up to where events are billed so, and whose (a payer whose fees could
/// not be worked out is owed after another position than all others).
const USAGE_IN_ADVANCE: &str = "
ALTER TABLE fees ADD COLUMN in_advance TEXT;
CREATE INDEX fees_in_advance ON fees (in_advance) WHERE in_advance IS NOT NULL AND in_advance <> 'carried';
CREATE INDEX fees_on_no_invoice ON fees (customer_id) WHERE invoice_id IS NULL;

CREATE TABLE advance_progress (
    id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    positions TEXT NOT NULL,
    version BIGINT NOT NULL
);

CREATE TABLE advance_payers (
    subscription_id TEXT NOT NULL PRIMARY KEY,
    organization_id TEXT NOT NULL,
    owed_after TEXT
);
CREATE INDEX advance_payers_by_organization ON advance_payers (organization_id);
";

/// Invoices that were to be mailed.
const MAILS: &str = "
CREATE TABLE invoice_mails (
    id TEXT NOT NULL PRIMARY KEY,
    organization_id TEXT NOT NULL,
    invoice_id TEXT NOT NULL REFERENCES invoices (id),
    email TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX invoice_mails_by_invoice ON invoice_mails (invoice_id, created_at, id);
";

/// What a dry run would bill, by plan and currency, and which subscriptions stand out.
const RUN_REPORTS: &str = "
CREATE TABLE billing_run_plans (
    run_id TEXT NOT NULL REFERENCES billing_runs (id),
    plan_id TEXT NOT NULL,
    currency TEXT NOT NULL,
    subscriptions BIGINT NOT NULL,
    amount_cents BIGINT NOT NULL,
    previous_cents BIGINT NOT NULL,
    PRIMARY KEY (run_id, plan_id, currency)
);

CREATE TABLE billing_run_outliers (
    run_id TEXT NOT NULL REFERENCES billing_runs (id),
    subscription_id TEXT NOT NULL,
    plan_id TEXT NOT NULL,
    currency TEXT NOT NULL,
    amount_cents BIGINT NOT NULL,
    previous_cents BIGINT NOT NULL,
    PRIMARY KEY (run_id, subscription_id, plan_id, currency)
);
CREATE INDEX invoices_of_run ON invoices (run_id) WHERE run_id IS NOT NULL;
";
