//! The tables of payments: money that came, and requests for it.

/// Payments and payment requests.
pub(super) const PAYMENTS: &str = "
CREATE TABLE payments (
    id TEXT NOT NULL PRIMARY KEY,
    organization_id TEXT NOT NULL,
    customer_id TEXT NOT NULL,
    invoice_id TEXT NOT NULL REFERENCES invoices (id),
    provider TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('pending', 'succeeded', 'failed', 'canceled', 'refunded')),
    currency TEXT NOT NULL,
    amount_cents BIGINT NOT NULL CHECK (amount_cents > 0),
    surplus_cents BIGINT NOT NULL DEFAULT 0 CHECK (surplus_cents >= 0 AND surplus_cents < amount_cents),
    surplus_wallet_id TEXT REFERENCES wallets (id),
    refunded_cents BIGINT NOT NULL DEFAULT 0 CHECK (refunded_cents >= 0 AND refunded_cents <= amount_cents - surplus_cents),
    reopened_cents BIGINT NOT NULL DEFAULT 0 CHECK (reopened_cents >= 0 AND reopened_cents <= refunded_cents),
    reference TEXT,
    notes TEXT,
    completed_at BIGINT,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    CHECK ((surplus_cents > 0) = (surplus_wallet_id IS NOT NULL)),
    CHECK ((status IN ('succeeded', 'refunded')) = (completed_at IS NOT NULL)),
    CHECK ((status = 'refunded') = (refunded_cents = amount_cents - surplus_cents)),
    CHECK (refunded_cents = 0 OR status IN ('succeeded', 'refunded'))
);
CREATE INDEX payments_by_creation ON payments (organization_id, created_at, id);
CREATE INDEX payments_of_invoice ON payments (invoice_id, created_at);

CREATE TABLE payment_requests (
    id TEXT NOT NULL PRIMARY KEY,
    organization_id TEXT NOT NULL,
    customer_id TEXT NOT NULL,
    currency TEXT NOT NULL,
    amount_cents BIGINT NOT NULL CHECK (amount_cents > 0),
    created_at BIGINT NOT NULL
);
CREATE INDEX payment_requests_by_creation ON payment_requests (organization_id, created_at, id);

CREATE TABLE payment_request_invoices (
    payment_request_id TEXT NOT NULL REFERENCES payment_requests (id),
    invoice_id TEXT NOT NULL REFERENCES invoices (id),
    id TEXT NOT NULL UNIQUE,
    PRIMARY KEY (payment_request_id, invoice_id)
);
CREATE INDEX payment_request_invoices_by_invoice ON payment_request_invoices (invoice_id);
";
