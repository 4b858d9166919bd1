-- The rating table. Sorted so that one series is one range; by month of usage, so that a month's cost does not grow with history.
-- Each accepted id has one row here; copies never come in (they are in losers), so rating reads without FINAL. Replacing is a
-- safety net for byte-equal repeats of one row only: its key holds everything that rating could tell apart.
-- Small granules: one subscription's usage reads a granule of each part for each of its series, mostly for other subscriptions' rows
-- (1,024 instead of 8,192 rows: 98 instead of 142 ms of processor time for four metrics in 30 parts; inserting costs the same). A store made
-- before this line keeps its 8,192, which the engine cannot change: its answers are the same.
-- fsync_*: a 2xx promises that a power cut loses nothing (I1); *_after_merge: a merged part replaces parts that were synced.
CREATE TABLE IF NOT EXISTS events
(
    organization UUID,
    code LowCardinality(String),
    series UInt128,
    timestamp DateTime64(6, 'UTC'),
    id UInt128,
    transaction_id String,
    customer String,
    subscription String,
    value Decimal(38, 18),
    value_state UInt8,
    value_of UInt64,
    text String,
    dimensions String,
    dimensions_of UInt64,
    witness UInt64,
    properties String CODEC(ZSTD(1)),
    precise_total String,
    ingested_at DateTime64(6, 'UTC'),
    epoch UInt16,
    partition UInt16,
    offset UInt64,
    line UInt32,
    -- After a failed insert: "which rows came after the last committed offset" without reading every offset.
    INDEX offset_range offset TYPE minmax GRANULARITY 32
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(timestamp)
ORDER BY (organization, code, series, timestamp, id)
SETTINGS index_granularity = 1024, fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1,
    min_compressed_bytes_to_fsync_after_merge = 1, non_replicated_deduplication_window = 0;

-- Is this id known, and where is its row? Small granules: a look-up reads 256 rows, not 8192. The partition key is constant in
-- direct mode (one insert is one part, hence atomic: the commit record); it names offset only so that every part carries the
-- range of its offsets, and the last committed one is read from metadata.
CREATE TABLE IF NOT EXISTS event_ids
(
    organization UUID,
    id UInt128,
    content UInt64,
    code LowCardinality(String),
    series UInt128,
    timestamp DateTime64(6, 'UTC'),
    epoch UInt16,
    partition UInt16,
    offset UInt64,
    line UInt32
)
ENGINE = MergeTree
PARTITION BY (epoch, partition, bitShiftRight(offset, 62))
ORDER BY (organization, id)
SETTINGS index_granularity = 256, min_compress_block_size = 8192, max_compress_block_size = 16384,
    fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1,
    min_compressed_bytes_to_fsync_after_merge = 1, non_replicated_deduplication_window = 0;

-- Copies that lost: listed, counted, never billed (I2, I9). One row per distinct copy, however often it was sent again.
CREATE TABLE IF NOT EXISTS losers
(
    organization UUID,
    code LowCardinality(String),
    series UInt128,
    timestamp DateTime64(6, 'UTC'),
    id UInt128,
    transaction_id String,
    customer String,
    subscription String,
    properties String CODEC(ZSTD(1)),
    precise_total String,
    ingested_at DateTime64(6, 'UTC'),
    epoch UInt16,
    partition UInt16,
    offset UInt64,
    line UInt32,
    reason LowCardinality(String),
    content UInt64
)
ENGINE = ReplacingMergeTree
ORDER BY (organization, id, content, timestamp)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1,
    min_compressed_bytes_to_fsync_after_merge = 1, non_replicated_deduplication_window = 0;

-- Events taken out by their sender. series is 0 when the void came before its event. Few rows: read whole per organization.
CREATE TABLE IF NOT EXISTS voids
(
    organization UUID,
    id UInt128,
    transaction_id String,
    series UInt128,
    voided_at DateTime64(6, 'UTC'),
    epoch UInt16,
    partition UInt16,
    offset UInt64,
    line UInt32
)
ENGINE = MergeTree
PARTITION BY (epoch, partition, bitShiftRight(offset, 62))
ORDER BY (organization, id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1,
    min_compressed_bytes_to_fsync_after_merge = 1, non_replicated_deduplication_window = 0;

-- Every row of ids that the verification scan found more than once: their series are rated row by row.
CREATE TABLE IF NOT EXISTS doubtful_ids
(
    organization UUID,
    id UInt128,
    series UInt128,
    epoch UInt16,
    partition UInt16,
    offset UInt64,
    line UInt32
)
ENGINE = ReplacingMergeTree
ORDER BY (organization, id, epoch, partition, offset, line);

-- Key lists by their hash: what the values in events.dimensions belong to.
CREATE TABLE IF NOT EXISTS dimension_keys
(
    hash UInt64,
    keys Array(String)
)
ENGINE = ReplacingMergeTree
ORDER BY hash
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Windows of large usage queries, one partition per query, dropped afterwards.
CREATE TABLE IF NOT EXISTS rating_windows
(
    run UUID,
    series UInt128,
    from Int64,
    to Int64,
    slot UInt32,
    value_of UInt64
)
ENGINE = MergeTree
PARTITION BY run
ORDER BY series
