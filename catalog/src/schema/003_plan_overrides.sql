-- A plan of one subscription alone: made of another, shown on no list.
ALTER TABLE plans ADD COLUMN parent_plan_id TEXT REFERENCES plans (id);
