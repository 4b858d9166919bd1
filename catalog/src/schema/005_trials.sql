-- Trials that have not ended yet, for the clock that ends them.
CREATE INDEX subscriptions_on_trial ON subscriptions (started_at) WHERE trial_period_days > 0 AND trial_ended_at IS NULL;
