-- Where what was paid ahead and not used goes when a subscription ends: credit, refund, offset or skip.
ALTER TABLE subscriptions ADD COLUMN on_termination_credit_note TEXT NOT NULL DEFAULT 'credit';
