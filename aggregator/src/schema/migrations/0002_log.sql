-- Lines of the log that could not be read: listed, counted, never billed (I9). A line read again is the same row.
CREATE TABLE IF NOT EXISTS dead_letters
(
    organization UUID,
    reason String,
    bytes String CODEC(ZSTD(1)),
    rejected_at DateTime64(6, 'UTC'),
    epoch UInt16,
    partition UInt16,
    offset UInt64,
    line UInt32
)
ENGINE = ReplacingMergeTree
ORDER BY (organization, epoch, partition, offset, line)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1,
    min_compressed_bytes_to_fsync_after_merge = 1, non_replicated_deduplication_window = 0;

-- Who writes each partition of the log: the newest claim does. `floor`: all rows of events below that offset have their id
-- rows, and this session writes only at and beyond it. `released`: it has given the partition up and writes no more.
CREATE TABLE IF NOT EXISTS log_claims
(
    epoch UInt16,
    partition UInt16,
    claim UInt64,
    session UUID,
    step UInt64,
    floor UInt64,
    released UInt8
)
ENGINE = ReplacingMergeTree(step)
ORDER BY (epoch, partition, claim, session)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1,
    min_compressed_bytes_to_fsync_after_merge = 1, non_replicated_deduplication_window = 0;
