//! One column under construction, and the block around columns.

use bytes::Bytes;
use uuid::Uuid;

/// Data of one column in Native encoding.
#[derive(Clone, Debug)]
pub(super) struct Column {
    name: &'static str,
    type_name: &'static str,
    data: Vec<u8>,
}

impl Column {
    /// An empty column of a ClickHouse type.
    #[must_use]
    pub(super) fn new(name: &'static str, type_name: &'static str) -> Self {
        Self { name, type_name, data: Vec::new() }
    }

    /// Makes room for `bytes`: a column of a large insert that grows by doubling is copied and faulted in twice.
    #[must_use]
    pub(super) fn with_room(mut self, bytes: usize) -> Self {
        self.data.reserve(bytes);
        self
    }

    /// `UInt8`.
    pub(super) fn push_u8(&mut self, value: u8) {
        self.data.push(value);
    }

    /// `UInt16`.
    pub(super) fn push_u16(&mut self, value: u16) {
        self.data.extend_from_slice(&value.to_le_bytes());
    }

    /// `UInt32`.
    pub(super) fn push_u32(&mut self, value: u32) {
        self.data.extend_from_slice(&value.to_le_bytes());
    }

    /// `UInt64`.
    pub(super) fn push_u64(&mut self, value: u64) {
        self.data.extend_from_slice(&value.to_le_bytes());
    }

    /// `Int64`, `DateTime64`.
    pub(super) fn push_i64(&mut self, value: i64) {
        self.data.extend_from_slice(&value.to_le_bytes());
    }

    /// `UInt128`.
    pub(super) fn push_u128(&mut self, value: u128) {
        self.data.extend_from_slice(&value.to_le_bytes());
    }

    /// `Int128`, `Decimal(38, …)`.
    pub(super) fn push_i128(&mut self, value: i128) {
        self.data.extend_from_slice(&value.to_le_bytes());
    }

    /// `UUID`.
    pub(super) fn push_uuid(&mut self, value: Uuid) {
        let (high, low) = value.as_u64_pair();
        self.push_u64(high);
        self.push_u64(low);
    }

    /// `String`.
    pub(super) fn push_text(&mut self, text: &str) {
        self.push_bytes(text.as_bytes());
    }

    /// `String`: to the engine any bytes are one.
    pub(super) fn push_bytes(&mut self, bytes: &[u8]) {
        push_varint(&mut self.data, bytes.len() as u64);
        self.data.extend_from_slice(bytes);
    }

    pub(super) fn extend(&mut self, bytes: &[u8]) {
        self.data.extend_from_slice(bytes);
    }
}

/// The block as chunks to be sent one after the other: columns are handed over, not copied.
///
/// All columns must hold `rows` rows; the engine refuses the block otherwise.
#[must_use]
pub(super) fn block_bytes(columns: Vec<Column>, rows: usize) -> Vec<Bytes> {
    let mut chunks = Vec::with_capacity(columns.len() * 2);
    let mut header = Vec::with_capacity(64);
    push_varint(&mut header, columns.len() as u64);
    push_varint(&mut header, rows as u64);
    for column in columns {
        for text in [column.name, column.type_name] {
            push_varint(&mut header, text.len() as u64);
            header.extend_from_slice(text.as_bytes());
        }
        chunks.push(Bytes::from(std::mem::take(&mut header)));
        chunks.push(Bytes::from(column.data));
    }
    joined(chunks)
}

/// Chunks below this are copied together: one frame and one write each would cost more than the copy. 64 KiB is the size
/// from which hyper no longer flattens its buffers into one write.
const COPY_BELOW: usize = 64 << 10;

fn joined(chunks: Vec<Bytes>) -> Vec<Bytes> {
    let mut out = Vec::new();
    let mut small = Vec::new();
    for chunk in chunks {
        if chunk.len() < COPY_BELOW {
            small.extend_from_slice(&chunk);
            continue;
        }
        if !small.is_empty() {
            out.push(Bytes::from(std::mem::take(&mut small)));
        }
        out.push(chunk);
    }
    if !small.is_empty() {
        out.push(Bytes::from(small));
    }
    out
}

fn low_seven_bits(value: u64) -> u8 {
    // Masked to 127.
    u8::try_from(value & 0x7f).unwrap_or(0x7f)
}

/// LEB128, seven bits a byte, lowest first.
pub(super) fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(low_seven_bits(value) | 0x80);
        value >>= 7;
    }
    out.push(low_seven_bits(value));
}
