//! Plain bytes from a plain, gzip or zstd archive, with the places where members begin and where bytes are lost.
//!
//! A gzip member is inflated in one libdeflate call where it is small (nearly always), else streamed, so that
//! memory stays bounded for archives that are one member. After damage the next member that inflates to `WARC/`
//! is looked for, beginning one byte after the start of the damaged one.

use std::io::{self, Read};

use flate2::{Decompress, FlushDecompress, Status};
use libdeflater::{DecompressionError, Decompressor};
use memchr::memmem;
use zstd::stream::raw::{Decoder as ZstdDecoder, Operation};

/// Compressed bytes kept behind the reading position, so that a resynchronisation can go back.
const HISTORY_BYTES: usize = 4 << 20;
/// Compressed bytes offered to libdeflate at once; a longer member is streamed.
const MEMBER_BYTES: usize = 1 << 20;
/// Plain bytes that libdeflate may make at once; a longer member is streamed.
const MEMBER_PLAIN_BYTES: usize = 16 << 20;
/// Step of the streaming ways.
const CHUNK_BYTES: usize = 64 << 10;
/// Largest dictionary of a zstd archive.
const DICTIONARY_BYTES: usize = 64 << 20;

const GZIP_MAGIC: [u8; 3] = [0x1f, 0x8b, 8];
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const ZSTD_DICTIONARY_MAGIC: u32 = 0x184D_2A5D;

/// What one step of decoding brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fill {
    /// Bytes were appended (none, at times).
    Data,
    /// The bytes to come belong to a new member that begins at this byte of the file.
    Member(u64),
    /// Bytes are lost at this byte of the file; what comes next is another member.
    Damage(u64, &'static str),
    /// Nothing comes any more.
    End,
}

enum State {
    Plain { begun: bool },
    Gzip { inflater: Box<Decompressor>, stream: Decompress },
    Zstd { decoder: ZstdDecoder<'static> },
}

#[derive(PartialEq)]
enum Place {
    Between,
    Opened,
    Inside,
    Lost,
}

/// Decodes one archive.
pub struct Decoder<R> {
    input: Input<R>,
    state: State,
    place: Place,
    member: u64,
    scratch: Vec<u8>,
}

impl<R: Read> Decoder<R> {
    /// Looks at the first bytes to see how the archive is packed.
    ///
    /// # Errors
    /// What reading says.
    pub fn new(reader: R) -> io::Result<Self> {
        let mut input = Input { reader, buffer: Vec::new(), start: 0, offset: 0, ended: false };
        let head = input.fill(8)?;
        let state = if head.starts_with(&GZIP_MAGIC[..2]) {
            State::Gzip { inflater: Box::default(), stream: Decompress::new_gzip(15) }
        } else if head.starts_with(&ZSTD_MAGIC) || skippable(head).is_some() {
            State::Zstd { decoder: zstd_decoder(&mut input)? }
        } else {
            State::Plain { begun: false }
        };
        Ok(Self { input, state, place: Place::Between, member: 0, scratch: Vec::new() })
    }

    /// Whether plain offsets are file offsets.
    pub fn is_plain(&self) -> bool {
        matches!(self.state, State::Plain { .. })
    }

    /// Whether the bytes so far end with a whole, verified member.
    pub fn is_between(&self) -> bool {
        self.place == Place::Between && !self.is_plain()
    }

    /// Gives the rest of this member up.
    pub fn skip_member(&mut self) {
        if !self.is_plain() && matches!(self.place, Place::Inside | Place::Opened) {
            self.input.rewind(self.member + 1);
            self.place = Place::Lost;
        }
    }

    /// Appends some bytes to `out`, or says what is there instead.
    ///
    /// # Errors
    /// What reading says: damage inside the file is no error.
    pub fn fill(&mut self, out: &mut Vec<u8>) -> io::Result<Fill> {
        if let State::Plain { begun } = &mut self.state {
            if !*begun {
                *begun = true;
                return Ok(Fill::Member(0));
            }
            let bytes = self.input.fill(CHUNK_BYTES)?;
            if bytes.is_empty() {
                return Ok(Fill::End);
            }
            let length = bytes.len();
            out.extend_from_slice(bytes);
            self.input.consume(length);
            return Ok(Fill::Data);
        }
        match self.place {
            Place::Between => self.open(),
            Place::Opened => self.first(out),
            Place::Inside => self.more(out),
            Place::Lost => self.find(),
        }
    }

    fn is_magic(&self, bytes: &[u8]) -> bool {
        match self.state {
            State::Gzip { .. } => bytes.starts_with(&GZIP_MAGIC),
            _ => bytes.starts_with(&ZSTD_MAGIC),
        }
    }

    /// Finds the next member at the reading position, or says that something else is there.
    fn open(&mut self) -> io::Result<Fill> {
        loop {
            let bytes = self.input.fill(CHUNK_BYTES)?;
            if bytes.is_empty() {
                return Ok(Fill::End);
            }
            // Zero padding, as tape blocks and preallocating writers leave it, holds nothing to lose.
            let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
            if zeros > 0 {
                self.input.consume(zeros);
                continue;
            }
            if let (State::Zstd { .. }, Some(length)) = (&self.state, skippable(bytes)) {
                self.input.skip(length as u64 + 8)?;
                continue;
            }
            break;
        }
        self.member = self.input.offset();
        if self.is_magic(self.input.bytes()) {
            self.place = Place::Opened;
            return Ok(Fill::Member(self.member));
        }
        self.place = Place::Lost;
        Ok(Fill::Damage(self.member, "bytes between members that are no member"))
    }

    /// Begins a member: the whole of it where that is one cheap call.
    fn first(&mut self, out: &mut Vec<u8>) -> io::Result<Fill> {
        self.place = Place::Inside;
        match &mut self.state {
            State::Gzip { inflater, stream } => {
                let bytes = self.input.fill(MEMBER_BYTES)?;
                if let Some((consumed, made)) = inflate_member(inflater, bytes, &mut self.scratch) {
                    out.extend_from_slice(&self.scratch[..made]);
                    self.input.consume(consumed);
                    self.place = Place::Between;
                    return Ok(Fill::Data);
                }
                *stream = Decompress::new_gzip(15);
            }
            State::Zstd { decoder } => decoder.reinit()?,
            State::Plain { .. } => {}
        }
        self.more(out)
    }

    /// The next bytes of a member that is streamed.
    fn more(&mut self, out: &mut Vec<u8>) -> io::Result<Fill> {
        self.scratch.resize(self.scratch.len().max(CHUNK_BYTES), 0);
        let bytes = self.input.fill(CHUNK_BYTES)?;
        let chunk = &mut self.scratch[..CHUNK_BYTES];
        let step = match &mut self.state {
            State::Gzip { stream, .. } => {
                let (read, made) = (stream.total_in(), stream.total_out());
                stream.decompress(bytes, chunk, FlushDecompress::None).ok().map(|status| {
                    let ended = status == Status::StreamEnd;
                    ((stream.total_in() - read) as usize, (stream.total_out() - made) as usize, ended)
                })
            }
            State::Zstd { decoder } => decoder
                .run_on_buffers(bytes, chunk)
                .ok()
                .map(|status| (status.bytes_read, status.bytes_written, status.remaining == 0)),
            State::Plain { .. } => None,
        };
        let Some((read, made, ended)) = step else {
            return Ok(self.lose("member that does not decompress"));
        };
        if read == 0 && made == 0 && !ended {
            return Ok(self.lose("member that is cut off"));
        }
        out.extend_from_slice(&self.scratch[..made]);
        self.input.consume(read);
        if ended {
            self.place = Place::Between;
        }
        Ok(Fill::Data)
    }

    fn lose(&mut self, reason: &'static str) -> Fill {
        self.input.rewind(self.member + 1);
        self.place = Place::Lost;
        Fill::Damage(self.member, reason)
    }

    /// Goes to the next member that holds a WARC record.
    fn find(&mut self) -> io::Result<Fill> {
        let magic: &[u8] = if matches!(self.state, State::Gzip { .. }) { &GZIP_MAGIC } else { &ZSTD_MAGIC };
        loop {
            let bytes = self.input.fill(2 * CHUNK_BYTES)?;
            if bytes.is_empty() {
                return Ok(Fill::End);
            }
            let Some(at) = memmem::find(bytes, magic) else {
                let useless =
                    if bytes.len() > 2 * magic.len() { bytes.len() - magic.len() } else { bytes.len() };
                self.input.consume(useless);
                continue;
            };
            self.input.consume(at);
            let bytes = self.input.fill(CHUNK_BYTES)?;
            let mut head = [0; 5];
            match &mut self.state {
                State::Gzip { stream, .. } if bytes.get(3).is_some_and(|flags| flags & 0xe0 == 0) => {
                    *stream = Decompress::new_gzip(15);
                    // Errors mean that this is no member, which the empty head says as well.
                    let _ = stream.decompress(bytes, &mut head, FlushDecompress::None);
                }
                State::Zstd { decoder } => {
                    decoder.reinit()?;
                    let _ = decoder.run_on_buffers(bytes, &mut head);
                }
                _ => {}
            }
            if &head == b"WARC/" {
                self.place = Place::Between;
                return Ok(Fill::Data);
            }
            self.input.consume(1);
        }
    }
}

/// Inflates the member at the start of `bytes`; gives its compressed and its plain length. libdeflate does not
/// say how much it read, so the trailer (checksum and length of what came out) is searched for.
fn inflate_member(
    inflater: &mut Decompressor,
    bytes: &[u8],
    scratch: &mut Vec<u8>,
) -> Option<(usize, usize)> {
    if scratch.len() < 4 * CHUNK_BYTES {
        scratch.resize(4 * CHUNK_BYTES, 0);
    }
    loop {
        match inflater.gzip_decompress(bytes, scratch) {
            Ok(made) => {
                let mut trailer = [0; 8];
                trailer[..4].copy_from_slice(&libdeflater::crc32(&scratch[..made]).to_le_bytes());
                trailer[4..].copy_from_slice(&(made as u32).to_le_bytes());
                // 10 bytes of header come first; an empty member has a trailer of zeros after 2 bytes of deflate.
                let from = if made == 0 { 12 } else { 10 };
                let at = memmem::find(bytes.get(from..)?, &trailer)?;
                return Some((from + at + 8, made));
            }
            Err(DecompressionError::InsufficientSpace) if scratch.len() < MEMBER_PLAIN_BYTES => {
                scratch.resize(scratch.len() * 4, 0);
            }
            Err(_) => return None,
        }
    }
}

/// The length of the skippable zstd frame at the start of `bytes`.
fn skippable(bytes: &[u8]) -> Option<u32> {
    let (magic, rest) = bytes.split_first_chunk::<4>()?;
    let length = rest.first_chunk::<4>()?;
    (u32::from_le_bytes(*magic) & 0xffff_fff0 == 0x184D_2A50).then(|| u32::from_le_bytes(*length))
}

/// A decoder with the dictionary that stands in front (IIPC's WARC-zstd draft), itself packed or not.
fn zstd_decoder<R: Read>(input: &mut Input<R>) -> io::Result<ZstdDecoder<'static>> {
    let head = input.fill(8)?;
    let is_dictionary =
        head.first_chunk::<4>().is_some_and(|magic| u32::from_le_bytes(*magic) == ZSTD_DICTIONARY_MAGIC);
    let length = skippable(head).unwrap_or(0) as usize;
    if !is_dictionary || length > DICTIONARY_BYTES {
        return ZstdDecoder::new();
    }
    let bytes = input.fill(length + 8)?;
    let packed = &bytes[8..bytes.len().min(length + 8)];
    let mut dictionary = Vec::new();
    if packed.starts_with(&ZSTD_MAGIC) {
        zstd::stream::read::Decoder::new(packed)?
            .take(DICTIONARY_BYTES as u64)
            .read_to_end(&mut dictionary)?;
    } else {
        dictionary.extend_from_slice(packed);
    }
    let length = packed.len();
    input.consume(length + 8);
    ZstdDecoder::with_dictionary(&dictionary)
}

/// A file's bytes through a window that remembers a little.
struct Input<R> {
    reader: R,
    buffer: Vec<u8>,
    start: usize,
    offset: u64,
    ended: bool,
}

impl<R: Read> Input<R> {
    fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    fn offset(&self) -> u64 {
        self.offset + self.start as u64
    }

    /// At least `want` bytes, or all that are left.
    fn fill(&mut self, want: usize) -> io::Result<&[u8]> {
        if self.buffer.len() - self.start < want && !self.ended {
            if self.start > 3 * HISTORY_BYTES {
                let forget = self.start - HISTORY_BYTES;
                self.buffer.drain(..forget);
                self.start -= forget;
                self.offset += forget as u64;
            }
            let missing = want - (self.buffer.len() - self.start);
            let ask = missing.max(MEMBER_BYTES) as u64;
            // `read_to_end` on a limited reader asks again after interruptions and grows the buffer once.
            self.ended = (self.reader.by_ref().take(ask).read_to_end(&mut self.buffer)? as u64) < ask;
        }
        Ok(self.bytes())
    }

    fn consume(&mut self, length: usize) {
        self.start = (self.start + length).min(self.buffer.len());
    }

    /// Passes over `length` bytes, or all that are left.
    fn skip(&mut self, mut length: u64) -> io::Result<()> {
        while length > 0 {
            let here = (self.fill(CHUNK_BYTES)?.len() as u64).min(length);
            if here == 0 {
                return Ok(());
            }
            self.consume(here as usize);
            length -= here;
        }
        Ok(())
    }

    /// Goes to a byte of the file that was offered before, or as far back as memory reaches.
    fn rewind(&mut self, offset: u64) {
        self.start = (offset.saturating_sub(self.offset) as usize).min(self.buffer.len());
    }
}
