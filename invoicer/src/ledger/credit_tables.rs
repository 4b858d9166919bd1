//! The tables of credits: accounts, their entries, and what the accounts are.
//!
//! **I7 lives here.** An account's balance is the sum of its entries: each entry names the balance it found and the one it leaves, and
//! a foreign key ties it to the entry before it. Two that spend the same balance would be the same entry of the account: its primary
//! key refuses the second. No balance is below zero. What one account gives to one invoice is one entry.

/// Accounts and entries; credit notes.
pub(super) const CREDIT_NOTES: &str = "
CREATE TABLE credit_accounts (
    id TEXT NOT NULL PRIMARY KEY,
    organization_id TEXT NOT NULL,
    customer_id TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('coupon', 'credit_note', 'wallet')),
    currency TEXT NOT NULL,
    spendable BIGINT NOT NULL CHECK (spendable IN (0, 1)),
    balance BIGINT NOT NULL CHECK (balance >= 0),
    entries BIGINT NOT NULL CHECK (entries >= 0),
    opened_at BIGINT NOT NULL
);
CREATE INDEX credit_accounts_to_spend ON credit_accounts (customer_id) WHERE spendable = 1;

CREATE TABLE credit_entries (
    account_id TEXT NOT NULL REFERENCES credit_accounts (id),
    sequence BIGINT NOT NULL CHECK (sequence >= 1),
    id TEXT NOT NULL UNIQUE,
    organization_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    amount BIGINT NOT NULL,
    follows BIGINT,
    balance_before BIGINT NOT NULL,
    balance_after BIGINT NOT NULL CHECK (balance_after >= 0),
    invoice_id TEXT REFERENCES invoices (id),
    invoice_cents BIGINT NOT NULL,
    source TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (account_id, sequence),
    UNIQUE (account_id, sequence, balance_after),
    FOREIGN KEY (account_id, follows, balance_before) REFERENCES credit_entries (account_id, sequence, balance_after),
    CHECK (balance_after = balance_before + amount),
    CHECK ((sequence = 1) = (follows IS NULL)),
    CHECK (sequence = 1 OR follows = sequence - 1),
    CHECK (sequence > 1 OR balance_before = 0)
);
CREATE UNIQUE INDEX credit_entries_once ON credit_entries (account_id, invoice_id, kind) WHERE invoice_id IS NOT NULL;
CREATE INDEX credit_entries_by_invoice ON credit_entries (invoice_id) WHERE invoice_id IS NOT NULL;

ALTER TABLE fees ADD COLUMN coupons TEXT NOT NULL DEFAULT '0';
ALTER TABLE invoices ADD COLUMN credited_cents BIGINT NOT NULL DEFAULT 0
    CHECK (credited_cents >= 0 AND credited_cents <= subtotal_cents - coupons_cents + tax_cents OR credited_cents = 0);

CREATE TABLE credit_note_counters (
    organization_id TEXT NOT NULL PRIMARY KEY,
    last_number BIGINT NOT NULL
);

CREATE TABLE credit_notes (
    id TEXT NOT NULL PRIMARY KEY,
    organization_id TEXT NOT NULL,
    customer_id TEXT NOT NULL,
    invoice_id TEXT NOT NULL REFERENCES invoices (id),
    number TEXT NOT NULL,
    note_type TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('draft', 'finalized')),
    reason TEXT NOT NULL,
    description TEXT,
    currency TEXT NOT NULL,
    coupons_cents BIGINT NOT NULL,
    net_cents BIGINT NOT NULL CHECK (net_cents >= 0),
    tax_cents BIGINT NOT NULL CHECK (tax_cents >= 0),
    total_cents BIGINT NOT NULL,
    credit_cents BIGINT NOT NULL CHECK (credit_cents >= 0),
    refund_cents BIGINT NOT NULL CHECK (refund_cents >= 0),
    offset_cents BIGINT NOT NULL CHECK (offset_cents >= 0),
    taxes TEXT NOT NULL,
    refund_status TEXT,
    ended_subscription_id TEXT UNIQUE,
    issued_at BIGINT,
    voided_at BIGINT,
    counted BIGINT NOT NULL DEFAULT 1 CHECK (counted IN (0, 1)),
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (organization_id, number),
    CHECK (total_cents = net_cents + tax_cents),
    CHECK (total_cents = credit_cents + refund_cents + offset_cents),
    CHECK ((status = 'finalized') = (issued_at IS NOT NULL)),
    CHECK (voided_at IS NULL OR status = 'finalized'),
    CHECK (counted = 1 OR voided_at IS NOT NULL)
);
CREATE INDEX credit_notes_by_creation ON credit_notes (organization_id, created_at, id);
CREATE INDEX credit_notes_by_invoice ON credit_notes (invoice_id);

CREATE TABLE advances_given_back (
    subscription_id TEXT NOT NULL PRIMARY KEY,
    organization_id TEXT NOT NULL,
    credit_note_id TEXT REFERENCES credit_notes (id)
);

CREATE TABLE credit_note_items (
    credit_note_id TEXT NOT NULL REFERENCES credit_notes (id),
    fee_id TEXT NOT NULL REFERENCES fees (id),
    id TEXT NOT NULL UNIQUE,
    amount TEXT NOT NULL,
    PRIMARY KEY (credit_note_id, fee_id)
);
CREATE INDEX credit_note_items_by_fee ON credit_note_items (fee_id);
";

/// Coupons and to whom they are applied.
pub(super) const COUPONS: &str = "
CREATE TABLE coupons (
    id TEXT NOT NULL PRIMARY KEY,
    organization_id TEXT NOT NULL,
    code TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT,
    coupon_type TEXT NOT NULL,
    amount_cents BIGINT CHECK (amount_cents > 0),
    currency TEXT,
    percentage TEXT,
    frequency TEXT NOT NULL,
    frequency_duration BIGINT CHECK (frequency_duration > 0),
    reusable BIGINT NOT NULL,
    expires_at BIGINT,
    plan_codes TEXT NOT NULL,
    plan_ids TEXT NOT NULL,
    metric_codes TEXT NOT NULL,
    terminated_at BIGINT,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (organization_id, code),
    CHECK ((amount_cents IS NULL) <> (percentage IS NULL)),
    CHECK ((amount_cents IS NULL) = (currency IS NULL))
);
CREATE INDEX coupons_by_creation ON coupons (organization_id, created_at, id);

CREATE TABLE applied_coupons (
    id TEXT NOT NULL PRIMARY KEY REFERENCES credit_accounts (id),
    organization_id TEXT NOT NULL,
    customer_id TEXT NOT NULL,
    coupon_id TEXT NOT NULL REFERENCES coupons (id),
    only_once TEXT UNIQUE,
    amount_cents BIGINT CHECK (amount_cents > 0),
    percentage TEXT,
    endless BIGINT NOT NULL,
    terminated_at BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    CHECK ((amount_cents IS NULL) <> (percentage IS NULL))
);
CREATE INDEX applied_coupons_by_coupon ON applied_coupons (coupon_id, created_at);
CREATE INDEX applied_coupons_by_customer ON applied_coupons (customer_id, created_at);
";

/// Wallets.
pub(super) const WALLETS: &str = "
CREATE TABLE wallets (
    id TEXT NOT NULL PRIMARY KEY REFERENCES credit_accounts (id),
    organization_id TEXT NOT NULL,
    customer_id TEXT NOT NULL,
    code TEXT,
    name TEXT,
    currency TEXT NOT NULL,
    rate_cents TEXT NOT NULL,
    priority BIGINT NOT NULL CHECK (priority >= 1 AND priority <= 50),
    fee_types TEXT NOT NULL,
    metric_codes TEXT NOT NULL,
    expires_at BIGINT,
    terminated_at BIGINT,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (customer_id, code)
);
CREATE INDEX wallets_by_creation ON wallets (organization_id, created_at, id);
CREATE INDEX wallets_that_expire ON wallets (expires_at) WHERE expires_at IS NOT NULL AND terminated_at IS NULL;
";

/// Credit that is paid for, and rules by which wallets are filled up.
pub(super) const WALLET_TOP_UPS: &str = "
CREATE TABLE wallet_rules (
    id TEXT NOT NULL PRIMARY KEY,
    organization_id TEXT NOT NULL,
    wallet_id TEXT NOT NULL REFERENCES wallets (id),
    cause TEXT NOT NULL CHECK (cause IN ('interval', 'threshold')),
    every TEXT,
    threshold_cents BIGINT CHECK (threshold_cents >= 0),
    granted_cents BIGINT NOT NULL CHECK (granted_cents >= 0),
    paid_cents BIGINT NOT NULL CHECK (paid_cents >= 0),
    anchor_at BIGINT NOT NULL,
    times BIGINT NOT NULL,
    next_at BIGINT,
    expires_at BIGINT,
    created_at BIGINT NOT NULL,
    CHECK (granted_cents > 0 OR paid_cents > 0),
    CHECK ((cause = 'interval') = (every IS NOT NULL)),
    CHECK ((cause = 'threshold') = (threshold_cents IS NOT NULL))
);
CREATE INDEX wallet_rules_of_wallet ON wallet_rules (wallet_id);
CREATE INDEX wallet_rules_next ON wallet_rules (next_at) WHERE next_at IS NOT NULL;
CREATE INDEX wallet_rules_on_balance ON wallet_rules (wallet_id) WHERE threshold_cents IS NOT NULL;

CREATE TABLE wallet_top_ups (
    id TEXT NOT NULL PRIMARY KEY,
    organization_id TEXT NOT NULL,
    wallet_id TEXT NOT NULL REFERENCES wallets (id),
    invoice_id TEXT NOT NULL UNIQUE REFERENCES invoices (id),
    source TEXT NOT NULL CHECK (source IN ('manual', 'interval', 'threshold')),
    cents BIGINT NOT NULL CHECK (cents > 0),
    status TEXT NOT NULL CHECK (status IN ('pending', 'settled', 'failed')),
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX wallet_top_ups_of_wallet ON wallet_top_ups (wallet_id);
";
