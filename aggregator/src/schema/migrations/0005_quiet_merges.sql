-- What merges cost, seen in a steady 150,000 events/s on two cores, where they took 70 % of the engine:
-- - The selector sees 64 parts, drops the small ones at the right of its choice, and is left with two: 22 M rows were written anew to add one
--   insert to them. Without that rule a merge is of what was counted.
-- - Statistics of every column, counted with each merge: a tenth of its price. Our questions go by the sorting key.
-- - event_ids is merged for look-ups only; they are as quick in parts of 4 M ids as in one of 40 M. The selector adds 5 MB to each part's
--   size, so that small parts drag a larger one along again and again: each id was written three times over, now once or twice.
ALTER TABLE events MODIFY SETTING merge_selector_enable_heuristic_to_remove_small_parts_at_right = 0, auto_statistics_types = '';
ALTER TABLE event_ids MODIFY SETTING merge_selector_enable_heuristic_to_remove_small_parts_at_right = 0, auto_statistics_types = '',
    max_bytes_to_merge_at_max_space_in_pool = 268435456;
