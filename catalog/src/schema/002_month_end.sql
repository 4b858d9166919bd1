CREATE TABLE billing_entities (
    id TEXT PRIMARY KEY,
    organization_id TEXT NOT NULL REFERENCES organizations (id),
    code TEXT NOT NULL,
    name TEXT NOT NULL,
    document TEXT NOT NULL,
    invoice_prefix TEXT NOT NULL,
    next_invoice_number BIGINT NOT NULL CHECK (next_invoice_number >= 1),
    numbers_taken BIGINT NOT NULL,
    is_default BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (organization_id, code),
    UNIQUE (organization_id, invoice_prefix)
);
CREATE UNIQUE INDEX billing_entities_default ON billing_entities (organization_id) WHERE is_default = 1;
CREATE INDEX billing_entities_by_creation ON billing_entities (organization_id, created_at, id);

ALTER TABLE customers ADD COLUMN billing_entity_id TEXT REFERENCES billing_entities (id);
CREATE INDEX customers_by_billing_entity ON customers (billing_entity_id) WHERE billing_entity_id IS NOT NULL;

CREATE TABLE taxes (
    id TEXT PRIMARY KEY,
    organization_id TEXT NOT NULL REFERENCES organizations (id),
    code TEXT NOT NULL,
    name TEXT NOT NULL,
    rate TEXT NOT NULL,
    description TEXT,
    category TEXT,
    applied_to_organization BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (organization_id, code)
);
CREATE INDEX taxes_by_creation ON taxes (organization_id, created_at, id);

CREATE TABLE applied_taxes (
    id TEXT PRIMARY KEY,
    organization_id TEXT NOT NULL,
    tax_id TEXT NOT NULL REFERENCES taxes (id),
    taxable_type TEXT NOT NULL,
    taxable_id TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (organization_id, taxable_type, taxable_id, tax_id)
);
CREATE INDEX applied_taxes_by_tax ON applied_taxes (tax_id);

CREATE TABLE add_ons (
    id TEXT PRIMARY KEY,
    organization_id TEXT NOT NULL REFERENCES organizations (id),
    code TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT,
    invoice_display_name TEXT,
    amount_cents BIGINT NOT NULL,
    amount_currency TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (organization_id, code)
);
CREATE INDEX add_ons_by_creation ON add_ons (organization_id, created_at, id);

CREATE TABLE applied_add_ons (
    id TEXT PRIMARY KEY,
    organization_id TEXT NOT NULL,
    add_on_id TEXT NOT NULL REFERENCES add_ons (id),
    customer_id TEXT NOT NULL REFERENCES customers (id),
    amount_cents BIGINT NOT NULL,
    amount_currency TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX applied_add_ons_by_add_on ON applied_add_ons (add_on_id, created_at, id);
CREATE INDEX applied_add_ons_by_customer ON applied_add_ons (customer_id, created_at, id);

CREATE TABLE audit_logs (
    id TEXT PRIMARY KEY,
    organization_id TEXT NOT NULL,
    resource_type TEXT NOT NULL,
    resource_id TEXT NOT NULL,
    action TEXT NOT NULL,
    changes TEXT NOT NULL,
    actor_type TEXT NOT NULL,
    actor_id TEXT,
    created_at BIGINT NOT NULL
);
CREATE INDEX audit_logs_by_creation ON audit_logs (organization_id, created_at, id);
CREATE INDEX audit_logs_by_resource ON audit_logs (organization_id, resource_type, resource_id, created_at, id);

ALTER TABLE subscriptions ADD COLUMN previous_subscription_id TEXT REFERENCES subscriptions (id);
ALTER TABLE subscriptions ADD COLUMN anchor_at BIGINT;
ALTER TABLE subscriptions ADD COLUMN ended_by_change BIGINT NOT NULL DEFAULT 0;
DROP INDEX subscriptions_running;
CREATE UNIQUE INDEX subscriptions_running ON subscriptions (organization_id, external_id)
    WHERE status IN ('active', 'paused') OR (status = 'pending' AND previous_subscription_id IS NULL);
CREATE UNIQUE INDEX subscriptions_planned_change ON subscriptions (previous_subscription_id) WHERE status = 'pending';
CREATE INDEX subscriptions_by_previous ON subscriptions (previous_subscription_id) WHERE previous_subscription_id IS NOT NULL
