//! Metrics as TensorBoard reads them: an event file beside `metrics.jsonl`.
//!
//! A file is a run of TFRecords, each a `tensorflow.Event` in protocol buffers. An event's wall time is its step in
//! seconds, so that equal runs leave equal bytes; TensorBoard's "step" axis shows the steps.

/// The name that TensorBoard looks for begins like this.
pub const FILE: &str = "events.out.tfevents.0.gristmill";

/// The record that every file begins with.
pub fn header() -> Vec<u8> {
    let mut event = Vec::new();
    field_double(&mut event, 1, 0.0);
    field_bytes(&mut event, 3, b"brain.Event:2");
    record(&event)
}

/// A record of some values after `step`.
pub fn scalars(step: u64, values: &[(&str, f64)]) -> Vec<u8> {
    let mut summary = Vec::new();
    for (tag, value) in values {
        let mut entry = Vec::new();
        field_bytes(&mut entry, 1, tag.as_bytes());
        varint(&mut entry, 2 << 3 | 5); // simple_value, a 32-bit float
        entry.extend((*value as f32).to_le_bytes());
        field_bytes(&mut summary, 1, &entry);
    }
    let mut event = Vec::new();
    field_double(&mut event, 1, step as f64);
    varint(&mut event, 2 << 3); // step, a varint
    varint(&mut event, step);
    field_bytes(&mut event, 5, &summary);
    record(&event)
}

fn field_double(out: &mut Vec<u8>, field: u64, value: f64) {
    varint(out, field << 3 | 1);
    out.extend(value.to_le_bytes());
}

fn field_bytes(out: &mut Vec<u8>, field: u64, value: &[u8]) {
    varint(out, field << 3 | 2);
    varint(out, value.len() as u64);
    out.extend(value);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Length, its checksum, the bytes, their checksum.
fn record(bytes: &[u8]) -> Vec<u8> {
    let length = (bytes.len() as u64).to_le_bytes();
    let mut out = length.to_vec();
    out.extend(masked(crc32c(&length)).to_le_bytes());
    out.extend(bytes);
    out.extend(masked(crc32c(bytes)).to_le_bytes());
    out
}

/// TFRecord stores checksums turned and shifted, so that a checksum of checksums is none.
fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xA282_EAD8)
}

/// CRC-32C (Castagnoli), bit by bit: some hundred bytes a step.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = crc >> 1 ^ if crc & 1 == 1 { 0x82F6_3B78 } else { 0 };
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_castagnolis() {
        assert_eq!(crc32c(b"123456789"), 0xE306_9283); // the check value in RFC 3720's family of CRCs
        assert_eq!(crc32c(&[0; 32]), 0x8A91_36AA); // RFC 3720, B.4
    }

    #[test]
    fn events_are_laid_out_as_tensorflow_does() {
        // Written by hand from the wire format: wall time 3.0, step 3, one value `loss` = 0.5.
        let event = [
            &[0x09][..],
            &3.0_f64.to_le_bytes(), // field 1, 64 bits
            &[0x10, 0x03],          // field 2, varint 3
            &[0x2A, 0x0D],          // field 5, 13 bytes
            &[0x0A, 0x0B],          // value, 11 bytes
            &[0x0A, 0x04],
            b"loss", // tag
            &[0x15],
            &0.5_f32.to_le_bytes(), // simple_value
        ]
        .concat();
        let record = scalars(3, &[("loss", 0.5)]);
        assert_eq!(record[..8], (event.len() as u64).to_le_bytes());
        assert_eq!(record[12..record.len() - 4], event);
        assert_eq!(header()[12 + 9..][..15], *b"\x1a\x0dbrain.Event:2");
    }
}
