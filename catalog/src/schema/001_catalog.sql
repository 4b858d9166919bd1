CREATE TABLE catalog_state (
    only_row BIGINT PRIMARY KEY CHECK (only_row = 1),
    version BIGINT NOT NULL
);
INSERT INTO catalog_state (only_row, version) VALUES (1, 1);

CREATE TABLE organizations (
    id TEXT PRIMARY KEY,
    slug TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    default_currency TEXT NOT NULL,
    timezone TEXT NOT NULL,
    hmac_key TEXT,
    logo_url TEXT,
    portal_accent_color TEXT,
    portal_welcome_message TEXT,
    sandbox BIGINT NOT NULL,
    clock BIGINT,
    events_per_second BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE TABLE api_keys (
    id TEXT PRIMARY KEY,
    organization_id TEXT NOT NULL REFERENCES organizations (id),
    hash TEXT NOT NULL UNIQUE,
    key_prefix TEXT NOT NULL,
    name TEXT,
    status TEXT NOT NULL,
    expires_at BIGINT,
    last_used_at BIGINT,
    events_per_second BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX api_keys_by_organization ON api_keys (organization_id, created_at, id);

CREATE TABLE customers (
    id TEXT PRIMARY KEY,
    organization_id TEXT NOT NULL REFERENCES organizations (id),
    external_id TEXT NOT NULL,
    name TEXT NOT NULL,
    email TEXT,
    currency TEXT NOT NULL,
    timezone TEXT NOT NULL,
    timezones TEXT NOT NULL,
    billing_metadata TEXT NOT NULL,
    invoice_grace_period BIGINT NOT NULL,
    net_payment_term BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (organization_id, external_id)
);
CREATE INDEX customers_by_creation ON customers (organization_id, created_at, id);

CREATE TABLE billable_metrics (
    id TEXT PRIMARY KEY,
    organization_id TEXT NOT NULL REFERENCES organizations (id),
    code TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT,
    aggregation_type TEXT NOT NULL,
    field_name TEXT,
    expression TEXT,
    recurring BIGINT NOT NULL,
    rounding_function TEXT,
    rounding_precision BIGINT,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (organization_id, code)
);

CREATE TABLE billable_metric_versions (
    metric_id TEXT NOT NULL REFERENCES billable_metrics (id) ON DELETE CASCADE,
    version BIGINT NOT NULL,
    organization_id TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (metric_id, version)
);
CREATE INDEX billable_metric_versions_by_organization ON billable_metric_versions (organization_id);

CREATE TABLE billable_metric_filters (
    id TEXT PRIMARY KEY,
    organization_id TEXT NOT NULL,
    metric_id TEXT NOT NULL REFERENCES billable_metrics (id) ON DELETE CASCADE,
    filter_key TEXT NOT NULL,
    allowed_values TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (metric_id, filter_key)
);

CREATE TABLE billable_metric_dimensions (
    metric_id TEXT NOT NULL REFERENCES billable_metrics (id) ON DELETE CASCADE,
    dimension_key TEXT NOT NULL,
    organization_id TEXT NOT NULL,
    PRIMARY KEY (metric_id, dimension_key)
);
CREATE INDEX billable_metric_dimensions_by_organization ON billable_metric_dimensions (organization_id);

CREATE TABLE plans (
    id TEXT PRIMARY KEY,
    organization_id TEXT NOT NULL REFERENCES organizations (id),
    code TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT,
    billing_interval TEXT NOT NULL,
    amount_cents BIGINT NOT NULL,
    currency TEXT NOT NULL,
    trial_period_days BIGINT NOT NULL,
    version BIGINT NOT NULL,
    document TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (organization_id, code)
);

CREATE TABLE plan_versions (
    plan_id TEXT NOT NULL REFERENCES plans (id) ON DELETE CASCADE,
    version BIGINT NOT NULL,
    organization_id TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (plan_id, version)
);
CREATE INDEX plan_versions_by_organization ON plan_versions (organization_id);

CREATE TABLE plan_charges (
    plan_id TEXT NOT NULL,
    version BIGINT NOT NULL,
    charge_id TEXT NOT NULL,
    metric_id TEXT NOT NULL REFERENCES billable_metrics (id),
    PRIMARY KEY (plan_id, version, charge_id),
    FOREIGN KEY (plan_id, version) REFERENCES plan_versions (plan_id, version) ON DELETE CASCADE
);
CREATE INDEX plan_charges_by_metric ON plan_charges (metric_id);

CREATE TABLE subscriptions (
    id TEXT PRIMARY KEY,
    organization_id TEXT NOT NULL REFERENCES organizations (id),
    external_id TEXT NOT NULL,
    customer_id TEXT NOT NULL REFERENCES customers (id),
    plan_id TEXT NOT NULL REFERENCES plans (id),
    previous_plan_id TEXT REFERENCES plans (id),
    name TEXT,
    status TEXT NOT NULL,
    billing_time TEXT NOT NULL,
    pay_in_advance BIGINT NOT NULL,
    trial_period_days BIGINT NOT NULL,
    on_termination_action TEXT NOT NULL,
    plan_overrides TEXT,
    subscription_at BIGINT,
    started_at BIGINT,
    activated_at BIGINT,
    ending_at BIGINT,
    ended_at BIGINT,
    canceled_at BIGINT,
    paused_at BIGINT,
    resumed_at BIGINT,
    downgraded_at BIGINT,
    trial_ended_at BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX subscriptions_running ON subscriptions (organization_id, external_id)
    WHERE status IN ('pending', 'active', 'paused');
CREATE INDEX subscriptions_by_creation ON subscriptions (organization_id, created_at, id);
CREATE INDEX subscriptions_by_external_id ON subscriptions (organization_id, external_id);
CREATE INDEX subscriptions_by_customer ON subscriptions (customer_id);
CREATE INDEX subscriptions_by_plan ON subscriptions (plan_id);
CREATE INDEX subscriptions_by_previous_plan ON subscriptions (previous_plan_id);
CREATE INDEX subscriptions_to_start ON subscriptions (started_at) WHERE status = 'pending';
CREATE INDEX subscriptions_to_end ON subscriptions (ending_at) WHERE status IN ('pending', 'active', 'paused');

CREATE TABLE idempotency_keys (
    organization_id TEXT NOT NULL,
    method TEXT NOT NULL,
    path TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    body_hash TEXT NOT NULL,
    claimed_at BIGINT NOT NULL,
    status BIGINT,
    body TEXT,
    PRIMARY KEY (organization_id, method, path, idempotency_key)
);
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (claimed_at)
