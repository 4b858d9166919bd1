//! ClickHouse's own compressed framing (`compress=1`, `decompress=1`): blocks of checksum, header, data.
//!
//! A block is 16 bytes CityHash128 (version 1.0.2) over the rest, 1 byte method, 4 bytes length of header and data, 4 bytes
//! length before compression (all little endian), then the data. A block whose checksum is wrong is refused: nothing of
//! it, and of what follows, is given on (I1: what is stored is what was sent).

use std::io::Read;

use bytes::Bytes;

use crate::exception::{Exception, code};

const CHECKSUM_LENGTH: usize = 16;
const HEADER_LENGTH: usize = 9;
const META_LENGTH: usize = CHECKSUM_LENGTH + HEADER_LENGTH;

/// Methods: the byte after the checksum.
const METHOD_NONE: u8 = 0x02;
const METHOD_LZ4: u8 = 0x82;
const METHOD_ZSTD: u8 = 0x90;

/// Bytes per block we write; ClickHouse's own `max_compress_block_size`.
const BLOCK_LENGTH: usize = 1 << 20;
/// The longest block we read, compressed or not; ClickHouse's `DBMS_MAX_COMPRESSED_SIZE` is 1 GiB, a block of our
/// writers at most a few MiB. Bounds the memory one request can claim with a forged header.
const MAX_BLOCK_LENGTH: usize = 256 << 20;

fn checksum(header_and_data: &[u8]) -> [u8; CHECKSUM_LENGTH] {
    // ClickHouse writes the low half of its pair first; the crate returns it as the high half.
    cityhash_rs::cityhash_102_128(header_and_data).rotate_right(64).to_le_bytes()
}

/// Compresses `data` with LZ4 into one block per MiB.
///
/// # Errors
/// Code 49 when the compressor refuses its buffer, which its own bound rules out.
pub(crate) fn compress(data: &[u8]) -> Result<Vec<u8>, Exception> {
    let mut out = Vec::with_capacity(META_LENGTH + data.len() / 2);
    for piece in data.chunks(BLOCK_LENGTH) {
        compress_block(piece, &mut out)?;
    }
    Ok(out)
}

fn compress_block(piece: &[u8], out: &mut Vec<u8>) -> Result<(), Exception> {
    let too_long = |_| Exception::internal("a compressed block is longer than 4 GiB");
    let start = out.len();
    let bound = lz4_flex::block::get_maximum_output_size(piece.len());
    out.resize(start + META_LENGTH + bound, 0);
    let written = lz4_flex::block::compress_into(piece, &mut out[start + META_LENGTH..])
        .map_err(|error| Exception::internal(&error.to_string()))?;
    out.truncate(start + META_LENGTH + written);
    let block = &mut out[start..];
    let length = u32::try_from(HEADER_LENGTH + written).map_err(too_long)?;
    let original = u32::try_from(piece.len()).map_err(too_long)?;
    block[CHECKSUM_LENGTH] = METHOD_LZ4;
    block[CHECKSUM_LENGTH + 1..CHECKSUM_LENGTH + 5].copy_from_slice(&length.to_le_bytes());
    block[CHECKSUM_LENGTH + 5..META_LENGTH].copy_from_slice(&original.to_le_bytes());
    let sum = checksum(&block[CHECKSUM_LENGTH..]);
    block[..CHECKSUM_LENGTH].copy_from_slice(&sum);
    Ok(())
}

/// Reads the next block from `input` and returns its data; `None` at a clean end.
///
/// # Errors
/// Code 40 for a wrong checksum, 89 for an unknown method, 39 for an absurd length, 271 for data that does not
/// decompress, 33 for an input that ends inside a block or cannot be read.
pub(crate) fn read_block(input: &mut impl Read) -> Result<Option<Bytes>, Exception> {
    let mut meta = [0_u8; META_LENGTH];
    match fill(input, &mut meta)? {
        0 => return Ok(None),
        META_LENGTH => {}
        _ => return Err(cut_off()),
    }
    let length = length_at(&meta, CHECKSUM_LENGTH + 1);
    let original = length_at(&meta, CHECKSUM_LENGTH + 5);
    if !(HEADER_LENGTH..=MAX_BLOCK_LENGTH).contains(&length) || original > MAX_BLOCK_LENGTH {
        return Err(Exception::new(
            code::TOO_LARGE_SIZE_COMPRESSED,
            format!(
                "A compressed block claims {length} bytes for {original}. Most likely the data is not compressed, or corrupted"
            ),
        ));
    }
    let mut block = Vec::with_capacity(length);
    block.extend_from_slice(&meta[CHECKSUM_LENGTH..]);
    block.resize(length, 0);
    if fill(input, &mut block[HEADER_LENGTH..])? != length - HEADER_LENGTH {
        return Err(cut_off());
    }
    if checksum(&block) != meta[..CHECKSUM_LENGTH] {
        return Err(Exception::new(
            code::CHECKSUM_DOESNT_MATCH,
            "Checksum doesn't match: corrupted data in a compressed block",
        ));
    }
    decompress(&block, original).map(Some)
}

fn decompress(block: &[u8], original: usize) -> Result<Bytes, Exception> {
    let data = &block[HEADER_LENGTH..];
    let broken = |reason: String| Exception::new(code::CANNOT_DECOMPRESS, reason);
    let plain = match block[0] {
        METHOD_NONE => data.to_vec(),
        METHOD_LZ4 => lz4_flex::block::decompress(data, original)
            .map_err(|error| broken(format!("Cannot decompress LZ4: {error}")))?,
        METHOD_ZSTD => zstd::bulk::decompress(data, original)
            .map_err(|error| broken(format!("Cannot decompress ZSTD: {error}")))?,
        method => {
            return Err(Exception::new(
                code::UNKNOWN_COMPRESSION_METHOD,
                format!("Unknown compression method: {method:#04x}"),
            ));
        }
    };
    if plain.len() != original {
        let got = plain.len();
        return Err(broken(format!("A block of {original} bytes decompressed to {got}")));
    }
    Ok(plain.into())
}

/// Reads until `buffer` is full or the input ends; says how much was read.
fn fill(input: &mut impl Read, buffer: &mut [u8]) -> Result<usize, Exception> {
    let mut filled = 0;
    while filled < buffer.len() {
        match input.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Exception::new(code::CANNOT_READ_ALL_DATA, error.to_string())),
        }
    }
    Ok(filled)
}

fn length_at(meta: &[u8; META_LENGTH], at: usize) -> usize {
    let word = u32::from_le_bytes([meta[at], meta[at + 1], meta[at + 2], meta[at + 3]]);
    // Lossless on every platform the engine exists for (64 bits).
    word as usize
}

fn cut_off() -> Exception {
    Exception::new(code::CANNOT_READ_ALL_DATA, "The request body ends inside a compressed block")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read_all(mut input: &[u8]) -> Result<Vec<u8>, Exception> {
        let mut out = Vec::new();
        while let Some(block) = read_block(&mut input)? {
            out.extend_from_slice(&block);
        }
        Ok(out)
    }

    /// A block with given method and data, with a right checksum.
    fn block(method: u8, data: &[u8], original: u32) -> Vec<u8> {
        let mut rest = vec![method];
        rest.extend_from_slice(&u32::try_from(HEADER_LENGTH + data.len()).unwrap().to_le_bytes());
        rest.extend_from_slice(&original.to_le_bytes());
        rest.extend_from_slice(data);
        let mut whole = checksum(&rest).to_vec();
        whole.extend_from_slice(&rest);
        whole
    }

    #[test]
    fn blocks_longer_than_a_mebibyte_are_split_and_read_back() {
        let data: Vec<u8> = (0..2_500_000_u32).map(|i| u8::try_from(i / 1000 % 256).unwrap()).collect();
        assert_eq!(read_all(&compress(&data).unwrap()).unwrap(), data);
    }

    #[test]
    fn zstd_and_uncompressed_blocks_are_read() {
        let data = b"hello hello hello hello";
        let length = u32::try_from(data.len()).unwrap();
        assert_eq!(read_all(&block(METHOD_NONE, data, length)).unwrap(), data);
        let packed = zstd::bulk::compress(data, 1).unwrap();
        assert_eq!(read_all(&block(METHOD_ZSTD, &packed, length)).unwrap(), data);
    }

    #[test]
    fn damage_is_refused_with_the_code_of_a_clickhouse_server() {
        let good = compress(b"some data").unwrap();
        let mut flipped = good.clone();
        *flipped.last_mut().unwrap() ^= 1;
        assert_eq!(read_all(&flipped).unwrap_err().code, 40);
        assert_eq!(read_all(&good[..good.len() - 1]).unwrap_err().code, 33);
        assert_eq!(read_all(&good[..10]).unwrap_err().code, 33);
        assert_eq!(read_all(&block(0x55, b"x", 1)).unwrap_err().code, 89);
        assert_eq!(read_all(&block(METHOD_LZ4, b"\xff\xff", 10)).unwrap_err().code, 271);
        assert_eq!(read_all(&block(METHOD_NONE, b"xy", 1)).unwrap_err().code, 271);
        assert_eq!(read_all(&block(METHOD_NONE, b"xy", u32::MAX)).unwrap_err().code, 39);
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_or_read_without_a_panic(data in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = read_all(&data);
        }

        #[test]
        fn what_is_compressed_is_read_back(data in proptest::collection::vec(any::<u8>(), 0..5000)) {
            prop_assert_eq!(read_all(&compress(&data).unwrap()).unwrap(), data);
        }
    }
}
