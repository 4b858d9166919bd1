-- Rows are rewritten by few wide merges instead of many narrow ones: 32 parts become one, so 1,000 inserts are rewritten twice, not
-- five times. Questions meet up to 31 parts of each size, which costs them little (they are measured on 1,134 unmerged parts).
ALTER TABLE events MODIFY SETTING min_parts_to_merge_at_once = 32;
ALTER TABLE event_ids MODIFY SETTING min_parts_to_merge_at_once = 32;
