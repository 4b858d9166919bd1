-- A merge rewrites a row at twice the price of inserting it. So few, wide merges: 64 parts become one, and 4,000 inserts are rewritten
-- twice, not six times. Questions meet up to 63 parts of each size, which costs them little (they are measured on 1,134 unmerged parts).
ALTER TABLE events MODIFY SETTING min_parts_to_merge_at_once = 64;
ALTER TABLE event_ids MODIFY SETTING min_parts_to_merge_at_once = 64;
