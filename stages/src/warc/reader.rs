//! Records one after the other, through every kind of damage.

use std::collections::VecDeque;
use std::io::{self, Read};

use memchr::memmem;

use super::decode::{Decoder, Fill};
use super::record::{Headers, header_length, is_start};

/// Longest header block; real ones have less than 2 KiB.
const HEADER_BYTES: usize = 1 << 20;

/// A record.
#[derive(Debug)]
pub struct Record<'a> {
    /// Byte of the file where it begins; where records share a gzip or zstd member, where that begins.
    pub offset: u64,
    /// Bytes of plain data between the beginning of the member and the record: 0 in a well-made archive.
    pub within: u64,
    /// Its fields.
    pub headers: Headers<'a>,
    /// What it holds.
    pub block: &'a [u8],
}

/// Why bytes were passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Broken bytes or a wrong length.
    Damaged,
    /// The record claims more than the cap.
    TooLarge,
    /// The file ends inside.
    Truncated,
}

/// Bytes that are no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damage {
    /// Where in the file (see [`Record::offset`]).
    pub offset: u64,
    /// What the counters say.
    pub kind: Kind,
    /// What a person reads.
    pub message: &'static str,
}

/// What comes next in an archive.
#[derive(Debug)]
pub enum Event<'a> {
    /// A whole record.
    Record(Record<'a>),
    /// Something that was one.
    Damage(Damage),
}

/// Reads an archive from beginning to end. Memory: one record up to the cap, and a few MiB.
pub struct Reader<R> {
    decoder: Decoder<R>,
    buffer: Vec<u8>,
    /// Plain position of `buffer[0]`.
    base: u64,
    /// Plain position where reading goes on.
    position: u64,
    /// Members in `buffer` or before it: plain position and file offset of the start.
    members: VecDeque<(u64, u64)>,
    /// Plain position up to which members are whole and verified.
    verified: u64,
    broken: Option<(u64, &'static str)>,
    ended: bool,
    /// Looking for the next record after damage.
    lost: bool,
    scanned: u64,
    maximum_record_bytes: u64,
}

enum Step {
    Record { start: u64, block: u64, end: u64 },
    Damage(Damage),
    End,
}

impl<R: Read> Reader<R> {
    /// `maximum_record_bytes` caps one record's block.
    ///
    /// # Errors
    /// What reading says.
    pub fn new(reader: R, maximum_record_bytes: u64) -> io::Result<Self> {
        Ok(Self {
            decoder: Decoder::new(reader)?,
            buffer: Vec::new(),
            base: 0,
            position: 0,
            members: VecDeque::new(),
            verified: 0,
            broken: None,
            ended: false,
            lost: false,
            scanned: 0,
            maximum_record_bytes,
        })
    }

    /// The next record or damage, `None` at the end of the file.
    ///
    /// # Errors
    /// What reading says. Damage is an event.
    pub fn next_event(&mut self) -> io::Result<Option<Event<'_>>> {
        Ok(match self.step()? {
            Step::End => None,
            Step::Damage(damage) => Some(Event::Damage(damage)),
            Step::Record { start, block, end } => {
                let (offset, within) = self.place(start);
                let index = |position: u64| (position - self.base) as usize;
                Some(Event::Record(Record {
                    offset,
                    within,
                    headers: Headers::new(&self.buffer[index(start)..index(block)]),
                    block: &self.buffer[index(block)..index(end)],
                }))
            }
        })
    }

    /// File offset of a plain position, and how far inside its member it is.
    fn place(&self, position: u64) -> (u64, u64) {
        let (start, offset) =
            self.members.iter().rev().find(|(start, _)| *start <= position).copied().unwrap_or_default();
        if self.decoder.is_plain() { (position, 0) } else { (offset, position - start) }
    }

    fn damage(&self, position: u64, kind: Kind, message: &'static str) -> Step {
        Step::Damage(Damage { offset: self.place(position).0, kind, message })
    }

    fn rest(&self) -> &[u8] {
        &self.buffer[(self.position - self.base) as usize..]
    }

    fn end(&self) -> u64 {
        self.base + self.buffer.len() as u64
    }

    /// Tries to have the bytes up to a position.
    fn ensure(&mut self, position: u64) -> io::Result<bool> {
        while self.end() < position {
            if self.broken.is_some() || self.ended {
                return Ok(false);
            }
            self.pull()?;
        }
        Ok(true)
    }

    fn pull(&mut self) -> io::Result<()> {
        match self.decoder.fill(&mut self.buffer)? {
            Fill::Data => {}
            Fill::Member(offset) => {
                self.scanned = 0;
                self.members.push_back((self.end(), offset));
            }
            Fill::Damage(offset, message) => self.broken = Some((offset, message)),
            Fill::End => self.ended = true,
        }
        if self.decoder.is_between() {
            self.verified = self.end();
        }
        Ok(())
    }

    /// Forgets what was read.
    fn compact(&mut self) {
        let done = (self.position - self.base) as usize;
        if done > self.buffer.len() - done {
            self.buffer.drain(..done);
            self.base = self.position;
        }
        while self.members.get(1).is_some_and(|(start, _)| *start <= self.base) {
            self.members.pop_front();
        }
    }

    fn step(&mut self) -> io::Result<Step> {
        self.compact();
        if self.lost && !self.resynchronise()? {
            return Ok(Step::End);
        }
        loop {
            let blank = self.rest().iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            self.position += blank as u64;
            if self.position < self.end() {
                break;
            }
            if let Some((offset, message)) = self.broken.take() {
                return Ok(Step::Damage(Damage { offset, kind: Kind::Damaged, message }));
            }
            if self.ended {
                return Ok(Step::End);
            }
            self.pull()?;
            self.compact();
        }
        let start = self.position;
        self.ensure(start + 6)?;
        if !is_start(self.rest()) {
            self.lost = true;
            return Ok(match self.broken.take() {
                Some((offset, message)) if self.end() < start + 6 => {
                    Step::Damage(Damage { offset, kind: Kind::Damaged, message })
                }
                broken => {
                    self.broken = broken;
                    self.damage(start, Kind::Damaged, "bytes that are no WARC record")
                }
            });
        }
        // From here on a failure goes on looking behind the first line.
        let mut searched = 0;
        let length = loop {
            let rest = self.rest();
            let from = rest.len().min(searched).saturating_sub(3);
            if let Some(length) = header_length(&rest[from..]) {
                break from + length;
            }
            searched = rest.len();
            if searched > HEADER_BYTES {
                return Ok(self.give_up(start, start + 5, Kind::Damaged, "header block without an end"));
            }
            if !self.ensure(start + searched as u64 + 1)? {
                return Ok(self.give_up(start, start + 5, Kind::Truncated, "header block that is cut off"));
            }
        };
        let block = start + length as u64;
        let Some(content_length) = Headers::new(&self.rest()[..length]).content_length() else {
            return Ok(self.give_up(start, block, Kind::Damaged, "no valid `Content-Length`"));
        };
        if content_length > self.maximum_record_bytes {
            return Ok(self.give_up(start, block, Kind::TooLarge, "record above the cap"));
        }
        let end = block + content_length;
        if !self.ensure(end)? {
            return Ok(self.give_up(start, block, Kind::Truncated, "record that is cut off"));
        }
        // A member that begins with a record ends the one before, whatever length that claims.
        let base = self.base;
        let inside = |(at, _): &&(u64, u64)| block <= *at && *at < end;
        let crossed =
            self.members.iter().filter(inside).find(|(at, _)| is_start(&self.buffer[(at - base) as usize..]));
        if let Some((at, _)) = crossed.copied() {
            return Ok(self.give_up(
                start,
                at,
                Kind::Damaged,
                "`Content-Length` reaches into the next record",
            ));
        }
        self.ensure(end + 10)?;
        let unverified = !self.decoder.is_plain() && self.verified < end && self.place(start).1 == 0;
        if unverified && self.broken.is_some() {
            return Ok(self.give_up(start, end, Kind::Damaged, "record in a damaged member"));
        }
        if !self.is_followed_well(end) {
            return Ok(self.give_up(start, block, Kind::Damaged, "wrong `Content-Length`"));
        }
        self.position = end;
        Ok(Step::Record { start, block, end })
    }

    /// Whether what follows a block speaks for its length: the empty lines, a record, a member or the end.
    fn is_followed_well(&self, end: u64) -> bool {
        let tail = &self.buffer[(end - self.base) as usize..];
        let blank = tail.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let next = end + blank as u64;
        tail.starts_with(b"\r\n\r\n")
            || tail.len() == blank
            || is_start(&tail[blank..])
            || self.members.iter().any(|(at, _)| end <= *at && *at <= next)
    }

    /// Reports the record at `start` and looks for the next one from `from` on.
    fn give_up(&mut self, start: u64, from: u64, kind: Kind, message: &'static str) -> Step {
        self.lost = true;
        self.position = from;
        if let Some((_, message)) = self.broken.filter(|_| self.verified <= start || self.place(start).1 > 0)
        {
            // The member is to blame: one event for both.
            self.broken = None;
            return self.damage(start, Kind::Damaged, message);
        }
        self.damage(start, kind, message)
    }

    /// Goes to the next line or member that begins a plausible record; false at the end of the file.
    fn resynchronise(&mut self) -> io::Result<bool> {
        loop {
            let from = self.position;
            let candidate = memmem::find(self.rest(), b"WARC/").map(|at| from + at as u64);
            if let Some(at) = candidate {
                self.position = at;
                let index = (at - self.base) as usize;
                let opens = self.members.iter().any(|(start, _)| *start == at);
                let begins = opens || index == 0 || matches!(self.buffer[index - 1], b'\n' | b'\r');
                if begins && self.is_plausible(at)? {
                    self.lost = false;
                    return Ok(true);
                }
                self.position = at + 5;
                continue;
            }
            // Five bytes are kept: the beginning of a match, and the line end before it.
            let next = from.max(self.end().saturating_sub(5));
            self.scanned = self.scanned.saturating_add(next - from);
            self.position = next;
            if self.scanned > self.maximum_record_bytes {
                self.scanned = 0;
                self.decoder.skip_member();
            }
            self.compact();
            if self.broken.is_some() {
                // Another loss than the one that was reported: it counts as well.
                self.position = self.end();
                self.lost = false;
                return Ok(true);
            }
            if self.ended {
                return Ok(false);
            }
            self.pull()?;
        }
    }

    fn is_plausible(&mut self, at: u64) -> io::Result<bool> {
        let mut want = 2048;
        loop {
            self.ensure(at + want)?;
            let rest = self.rest();
            if !is_start(rest) {
                return Ok(false);
            }
            if let Some(length) = header_length(&rest[..rest.len().min(64 << 10)]) {
                let headers = Headers::new(&rest[..length]);
                return Ok(headers.get("WARC-Type").is_some() && headers.content_length().is_some());
            }
            if (rest.len() as u64) < want || want > 64 << 10 {
                return Ok(false);
            }
            want *= 4;
        }
    }
}

#[cfg(test)]
#[path = "reader_tests.rs"]
pub(crate) mod tests;
