-- Amounts of usage that are billed as soon as they are reached, of single subscriptions (those of plans stand in their versions).
CREATE TABLE subscription_thresholds (
    id TEXT PRIMARY KEY,
    organization_id TEXT NOT NULL REFERENCES organizations (id),
    subscription_id TEXT NOT NULL REFERENCES subscriptions (id),
    amount_cents BIGINT NOT NULL CHECK (amount_cents > 0),
    currency TEXT NOT NULL,
    recurring BIGINT NOT NULL,
    threshold_display_name TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (subscription_id, amount_cents, recurring)
);
CREATE INDEX subscription_thresholds_by_organization ON subscription_thresholds (organization_id);
