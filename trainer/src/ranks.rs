//! Several processes that train one model together: how they meet, and how they add up their gradients.
//!
//! Process 0 listens, the others connect to it: a star of TCP connections. Every process holds the whole model and
//! computes its units of each step's rows ([`crate::share`]). A step has three exchanges:
//!
//! 1. each process says how many targets its rows have, and hears how many the step has, by which the loss is divided;
//! 2. each sends the losses and gradients of its units, and process 0 adds them up in the order of [`crate::sums`];
//! 3. each receives the sum, and makes the same update: clipping comes after the sum.
//!
//! Whoever fails says why before it goes, and all end with that reason. There are no passwords and no encryption: let
//! processes meet on a network whose every user may take part.

use std::io::{self, BufReader, BufWriter, Read, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use gristmill_corpus::printable::printable;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::checkpoint::{self, DataIdentity};
use crate::config::RunConfig;
use crate::sums::{Gradients, Node, TreeSum};

/// Every message begins with this: what connects by mistake is told apart.
const MAGIC: [u8; 4] = *b"GMR1";
/// Messages of words are no longer than this; a longer one was not written by this program.
const MAX_WORDS: u64 = 16 << 20;
/// Who connects says who it is within this time, or is taken for a stranger.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a process that fails waits for the others to hear why.
const PARTING: Duration = Duration::from_secs(2);
/// Between two attempts to connect, or two looks at who has come.
const PAUSE: Duration = Duration::from_millis(10);
/// Values that are turned into bytes at once.
const CHUNK: usize = 16_384;

/// What all processes of a run must agree on before the first step.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Identity {
    /// Of the command.
    pub version: String,
    /// The run's config with its defaults.
    pub config: RunConfig,
    /// Rows of the embedding.
    pub vocabulary: usize,
    /// What it is trained on.
    pub data: DataIdentity,
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Steps done.
    pub step: u64,
    /// Hash of the weights.
    pub weights: u64,
}

#[derive(Serialize, Deserialize)]
struct Hello {
    rank: usize,
    n_processes: usize,
    identity: Identity,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    Hello = 1,
    Welcome,
    Position,
    Agreed,
    Targets,
    Gradients,
    Ended,
}

impl Kind {
    fn of(byte: u8) -> Option<Self> {
        let kinds = [
            Self::Hello,
            Self::Welcome,
            Self::Position,
            Self::Agreed,
            Self::Targets,
            Self::Gradients,
            Self::Ended,
        ];
        kinds.into_iter().find(|&kind| kind as u8 == byte)
    }
}

/// A place among the processes of a run, before they have met.
pub struct Rendezvous {
    rank: usize,
    n_processes: usize,
    timeout: Duration,
    seat: Seat,
    watch: Box<dyn FnMut() -> Result<()>>,
}

enum Seat {
    Listens(TcpListener),
    Connects(String),
}

impl Rendezvous {
    /// Process 0 of `n_processes`, on an address of this machine such as `127.0.0.1:29500`; port 0 takes a free one.
    ///
    /// `timeout` is how long any process waits for a message: longer than a validation takes.
    pub fn listen(address: &str, n_processes: usize, timeout: Duration) -> Result<Self> {
        ensure!(n_processes >= 1, "--world-size 0: a run has at least one process");
        let listener = TcpListener::bind(address).with_context(|| {
            format!("cannot listen on `{address}`\nhint: an address of this machine and a free port, such as 127.0.0.1:29500")
        })?;
        Ok(Self { rank: 0, n_processes, timeout, seat: Seat::Listens(listener), watch: Box::new(|| Ok(())) })
    }

    /// Process `rank` of `n_processes`, which meets process 0 at `address`.
    pub fn connect(address: &str, n_processes: usize, rank: usize, timeout: Duration) -> Result<Self> {
        ensure!(
            (1..n_processes).contains(&rank),
            "--rank {rank}: with --world-size {n_processes} ranks are 0 to {}",
            n_processes.saturating_sub(1)
        );
        let seat = Seat::Connects(address.to_owned());
        Ok(Self { rank, n_processes, timeout, seat, watch: Box::new(|| Ok(())) })
    }

    /// Calls `watch` again and again while process 0 waits for the others; its error ends the waiting.
    #[must_use]
    pub fn watching(self, watch: impl FnMut() -> Result<()> + 'static) -> Self {
        Self { watch: Box::new(watch), ..self }
    }

    /// The address that process 0 listens on; `None` for the others.
    pub fn address(&self) -> Option<String> {
        match &self.seat {
            Seat::Listens(listener) => listener.local_addr().ok().map(|address| address.to_string()),
            Seat::Connects(_) => None,
        }
    }

    /// Whether this is process 0, which alone writes files.
    pub fn is_first(&self) -> bool {
        self.rank == 0
    }

    /// Meets the others. Process 0 has by now written what they all read; theirs is to wait for it here first.
    ///
    /// Errors, naming each difference, where another process was asked to do something else.
    pub fn meet(self, identity: &Identity) -> Result<Ranks> {
        let Self { rank, n_processes, timeout, seat, mut watch } = self;
        let peers = match seat {
            Seat::Listens(listener) => {
                let mut guests = Guests { peers: Vec::new(), n_processes, timeout, identity };
                let met = guests.welcome_all(&listener, &mut watch);
                if let Err(error) = met {
                    let reason = format!("{error:#}");
                    end_all(&mut guests.peers, &reason);
                    return Err(error);
                }
                guests.peers
            }
            Seat::Connects(address) => {
                let mut peer = Peer::new(0, reach(&address, timeout)?, timeout)?;
                peer.words(Kind::Hello, &Hello { rank, n_processes, identity: identity.clone() })?;
                peer.hear::<()>(Kind::Welcome)?;
                vec![peer]
            }
        };
        Ok(Ranks { rank, n_processes, peers })
    }
}

/// Connects as soon as somebody listens.
fn reach(address: &str, timeout: Duration) -> Result<TcpStream> {
    let begun = Instant::now();
    loop {
        match TcpStream::connect(address) {
            Ok(stream) => return Ok(stream),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused && begun.elapsed() < timeout => {
                thread::sleep(PAUSE);
            }
            Err(error) => {
                return Err(error).with_context(|| {
                    format!(
                        "no process 0 at `{address}` after {:.0} s\nhint: start one with --rank 0 and the same --rendezvous",
                        begun.elapsed().as_secs_f64()
                    )
                });
            }
        }
    }
}

/// Who has come to process 0 so far.
struct Guests<'a> {
    peers: Vec<Peer>,
    n_processes: usize,
    timeout: Duration,
    identity: &'a Identity,
}

impl Guests<'_> {
    fn welcome_all(&mut self, listener: &TcpListener, watch: &mut dyn FnMut() -> Result<()>) -> Result<()> {
        listener.set_nonblocking(true)?;
        let begun = Instant::now();
        while self.peers.len() + 1 < self.n_processes {
            match listener.accept() {
                Ok((stream, address)) => {
                    stream.set_nonblocking(false)?;
                    let mut peer = Peer::new(0, stream, self.timeout)?;
                    match peer.introduce() {
                        Ok(hello) => self.admit(peer, &hello)?,
                        // Whoever it is, it is none of ours.
                        Err(error) => {
                            let why = format!("{error:#}");
                            eprintln!("{address} is no process of this run: {}", printable(&why));
                        }
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    watch()?;
                    ensure!(
                        begun.elapsed() < self.timeout,
                        "{} of {} processes have come within {} s\nhint: start the others with --rank and the same \
                         --rendezvous and --world-size, or wait longer with --timeout",
                        self.peers.len() + 1,
                        self.n_processes,
                        self.timeout.as_secs()
                    );
                    thread::sleep(PAUSE);
                }
                Err(error) => return Err(error).context("cannot accept another process"),
            }
        }
        self.peers.sort_by_key(|peer| peer.rank);
        for peer in &mut self.peers {
            peer.words(Kind::Welcome, &())?;
        }
        Ok(())
    }

    fn admit(&mut self, mut peer: Peer, hello: &Hello) -> Result<()> {
        let known = |rank: usize| self.peers.iter().any(|peer| peer.rank == rank);
        let mistakes = if hello.n_processes != self.n_processes {
            vec![format!(
                "--world-size: {} in process 0, {} in this one",
                self.n_processes, hello.n_processes
            )]
        } else if !(1..self.n_processes).contains(&hello.rank) || known(hello.rank) {
            vec![format!("--rank {}: taken already, or not below --world-size", hello.rank)]
        } else {
            self.identity.differences(&hello.identity, hello.rank)?
        };
        peer.rank = hello.rank;
        if mistakes.is_empty() {
            self.peers.push(peer);
            return Ok(());
        }
        let reason = format!(
            "process {} was asked to do something else than process 0:\n  {}\nhint: give all processes the same \
             config, --set, shards and tokenizer",
            hello.rank,
            mistakes.join("\n  ")
        );
        peer.end(&reason);
        bail!(reason)
    }
}

impl Identity {
    fn differences(&self, other: &Self, rank: usize) -> Result<Vec<String>> {
        let sides = ("in process 0".to_owned(), format!("in process {rank}"));
        let mut differences = Vec::new();
        if self.version != other.version {
            differences.push(format!("version: {} {}, {} {}", self.version, sides.0, other.version, sides.1));
        }
        let [this, that] = [self, other].map(|side| (&side.config, side.vocabulary, &side.data));
        differences.extend(checkpoint::differences(this, that, (&sides.0, &sides.1), &[])?);
        Ok(differences)
    }
}

/// The processes of a run, after they have met.
pub struct Ranks {
    rank: usize,
    n_processes: usize,
    /// All others, by rank, for process 0; process 0 for the others.
    peers: Vec<Peer>,
}

impl Ranks {
    /// Which process this is.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// How many there are.
    pub fn n_processes(&self) -> usize {
        self.n_processes
    }

    /// Whether this is process 0, which alone writes files.
    pub fn is_first(&self) -> bool {
        self.rank == 0
    }

    /// Errors where processes have come to different places or weights: a checkpoint must never be of such a run.
    pub fn agree(&mut self, here: Position) -> Result<()> {
        if !self.is_first() {
            self.peers[0].words(Kind::Position, &here)?;
            return self.peers[0].hear(Kind::Agreed);
        }
        for peer in &mut self.peers {
            let there: Position = peer.hear(Kind::Position)?;
            ensure!(
                there.step == here.step,
                "step: {} in process 0, {} in process {}\nhint: all must go on from the same --out, with the same --resume",
                here.step,
                there.step,
                peer.rank
            );
            ensure!(
                there.weights == here.weights,
                "after step {} the weights of process {} are not those of process 0\nhint: processes on unlike \
                 processors round differently; use machines of one kind",
                here.step,
                peer.rank
            );
        }
        self.peers.iter_mut().try_for_each(|peer| peer.words(Kind::Agreed, &()))
    }

    /// The targets of a step, of which this process has `n`.
    pub fn targets(&mut self, step: u64, n: u64) -> Result<u64> {
        if !self.is_first() {
            self.peers[0].words(Kind::Targets, &(step, n))?;
            let (_, total): (u64, u64) = self.peers[0].hear(Kind::Targets)?;
            return Ok(total);
        }
        let mut total = n;
        for peer in &mut self.peers {
            let (at, n): (u64, u64) = peer.hear(Kind::Targets)?;
            ensure!(at == step, "process {} is in step {at}, and process 0 in step {step}", peer.rank);
            total = total.checked_add(n).context("more targets than 64 bits count")?;
        }
        self.peers.iter_mut().try_for_each(|peer| peer.words(Kind::Targets, &(step, total)))?;
        Ok(total)
    }

    /// Adds up what all processes have: `sum` becomes the gradient of the step, and the losses in nats of all units are
    /// added in their order and returned.
    pub fn reduce(&mut self, nats: &[f64], sum: &mut TreeSum, lengths: &[usize]) -> Result<f64> {
        if !self.is_first() {
            let peer = &mut self.peers[0];
            let nodes: Vec<(usize, u32)> = sum.nodes().iter().map(|node| (node.first, node.level)).collect();
            let nats: Vec<u64> = nats.iter().map(|nats| nats.to_bits()).collect();
            peer.words(Kind::Gradients, &(nats, nodes))?;
            for node in sum.nodes() {
                peer.send_values(&node.values)?;
            }
            peer.flush()?;
            sum.clear();
            let mut values = sum.buffers(lengths.iter().copied());
            let nats: u64 = peer.hear(Kind::Gradients)?;
            peer.receive_values(&mut values)?;
            sum.push(Node { first: 0, level: 0, values });
            return Ok(f64::from_bits(nats));
        }
        let mut all = nats.to_vec();
        for peer in &mut self.peers {
            let (nats, nodes): (Vec<u64>, Vec<(usize, u32)>) = peer.hear(Kind::Gradients)?;
            all.extend(nats.into_iter().map(f64::from_bits));
            for (first, level) in nodes {
                ensure!(first < 1 << 40 && level <= 40, "process {} sent a sum of no step's", peer.rank);
                let mut values = sum.buffers(lengths.iter().copied());
                peer.receive_values(&mut values)?;
                sum.push(Node { first, level, values });
            }
        }
        let nats: f64 = all.iter().sum();
        let total = sum.total().context("a step has at least one row")?;
        // Each is sent by a thread of its own: one that is slow to take it does not hold up the rest.
        let send = |peer: &mut Peer| -> Result<()> {
            peer.words(Kind::Gradients, &nats.to_bits())?;
            peer.send_values(total)?;
            peer.flush()
        };
        let send = &send;
        thread::scope(|scope| {
            let sends: Vec<_> = self.peers.iter_mut().map(|peer| scope.spawn(move || send(peer))).collect();
            sends.into_iter().try_for_each(|sending| sending.join().expect("sending does not panic"))
        })?;
        Ok(nats)
    }

    /// Tells the others why this process ends, as far as they can still be reached.
    pub fn end(&mut self, reason: &str) {
        end_all(&mut self.peers, reason);
    }
}

fn end_all(peers: &mut [Peer], reason: &str) {
    thread::scope(|scope| {
        for peer in peers {
            scope.spawn(|| peer.end(reason));
        }
    });
}

/// A connection to another process.
struct Peer {
    rank: usize,
    reader: BufReader<TcpStream>,
    writer: BufWriter<TcpStream>,
}

impl Peer {
    fn new(rank: usize, stream: TcpStream, timeout: Duration) -> Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(timeout))?;
        stream.set_write_timeout(Some(timeout))?;
        let reader = BufReader::with_capacity(1 << 20, stream.try_clone()?);
        Ok(Self { rank, reader, writer: BufWriter::with_capacity(1 << 20, stream) })
    }

    /// What somebody who has just connected says of itself.
    fn introduce(&mut self) -> Result<Hello> {
        let timeout = self.reader.get_ref().read_timeout()?;
        self.reader.get_ref().set_read_timeout(Some(HELLO_TIMEOUT.min(timeout.unwrap_or(HELLO_TIMEOUT))))?;
        let hello = self.hear(Kind::Hello)?;
        self.reader.get_ref().set_read_timeout(timeout)?;
        Ok(hello)
    }

    /// Sends a message of words.
    fn words(&mut self, kind: Kind, words: &impl Serialize) -> Result<()> {
        let bytes = serde_json::to_vec(words)?;
        let mut send = || -> io::Result<()> {
            self.writer.write_all(&MAGIC)?;
            self.writer.write_all(&[kind as u8])?;
            self.writer.write_all(&(bytes.len() as u64).to_le_bytes())?;
            self.writer.write_all(&bytes)?;
            self.writer.flush()
        };
        match send() {
            Ok(()) => Ok(()),
            // It may have said why it goes.
            Err(error) => Err(self.last_words().unwrap_or_else(|| self.gone(&error))),
        }
    }

    /// Receives a message of words, which must be of this kind.
    fn hear<T: DeserializeOwned>(&mut self, expected: Kind) -> Result<T> {
        let mut head = [0; 13];
        self.reader.read_exact(&mut head).map_err(|error| self.gone(&error))?;
        let length = u64::from_le_bytes(head[5..].try_into().expect("eight bytes"));
        ensure!(
            head[..4] == MAGIC && length <= MAX_WORDS,
            "process {} does not speak our language",
            self.rank
        );
        let mut bytes = vec![0; length as usize];
        self.reader.read_exact(&mut bytes).map_err(|error| self.gone(&error))?;
        match Kind::of(head[4]) {
            Some(kind) if kind == expected => serde_json::from_slice(&bytes)
                .with_context(|| format!("process {} sent what cannot be understood", self.rank)),
            Some(Kind::Ended) => {
                let reason: String = serde_json::from_slice(&bytes).unwrap_or_default();
                Err(anyhow!("process {} has ended the run: {reason}", self.rank))
            }
            _ => bail!("process {} sent message {}, and {expected:?} was due", self.rank, head[4]),
        }
    }

    fn flush(&mut self) -> Result<()> {
        self.writer.flush().map_err(|error| self.gone(&error))
    }

    fn send_values(&mut self, gradients: &Gradients) -> Result<()> {
        let mut bytes = vec![0; CHUNK * 4];
        for values in gradients.iter().flat_map(|values| values.chunks(CHUNK)) {
            for (bytes, value) in bytes.chunks_exact_mut(4).zip(values) {
                bytes.copy_from_slice(&value.to_le_bytes());
            }
            if let Err(error) = self.writer.write_all(&bytes[..values.len() * 4]) {
                return Err(self.last_words().unwrap_or_else(|| self.gone(&error)));
            }
        }
        Ok(())
    }

    fn receive_values(&mut self, gradients: &mut Gradients) -> Result<()> {
        let mut bytes = vec![0; CHUNK * 4];
        for values in gradients.iter_mut().flat_map(|values| values.chunks_mut(CHUNK)) {
            let bytes = &mut bytes[..values.len() * 4];
            self.reader.read_exact(bytes).map_err(|error| self.gone(&error))?;
            for (bytes, value) in bytes.chunks_exact(4).zip(values) {
                *value = f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            }
        }
        Ok(())
    }

    /// What a process that has gone had said before.
    fn last_words(&mut self) -> Option<anyhow::Error> {
        self.reader.get_ref().set_read_timeout(Some(Duration::from_secs(1))).ok()?;
        let reason: String = self.hear(Kind::Ended).ok()?;
        Some(anyhow!("process {} has ended the run: {reason}", self.rank))
    }

    /// Says why this process goes, and waits a moment until the other has heard it: what is unread when a connection is
    /// closed takes with it what was sent.
    fn end(&mut self, reason: &str) {
        let begun = Instant::now();
        let stream = self.writer.get_ref();
        // Nobody is left to be told of a failure.
        let _ = stream.set_write_timeout(Some(PARTING));
        let _ = stream.set_read_timeout(Some(PARTING));
        if self.words(Kind::Ended, &reason).is_ok() {
            let _ = self.writer.get_ref().shutdown(Shutdown::Write);
            let mut rest = [0; 1 << 12];
            while begun.elapsed() < PARTING && self.reader.read(&mut rest).is_ok_and(|n| n > 0) {}
        }
    }

    fn gone(&self, error: &io::Error) -> anyhow::Error {
        let rank = self.rank;
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => anyhow!(
                "process {rank} has been silent for longer than --timeout allows\nhint: it hangs, or validation on process 0 \
                 takes longer than that"
            ),
            // Not as its cause: a broken pipe to another process is a failure, unlike one to a reader of our output.
            _ => anyhow!(
                "process {rank} has gone: {error}\nhint: its own message says why; once all have ended, --resume goes on from \
                 the last checkpoint"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        let text = "[model]\nkind = \"gpt2\"\nlayers = 1\nheads = 2\nwidth = 8\ncontext = 4\n";
        Identity {
            version: "1".into(),
            config: RunConfig::parse(text, &[]).unwrap(),
            vocabulary: 11,
            data: DataIdentity { tokenizer: "t".into(), shards: "s".into() },
        }
    }

    /// What each of `n` processes makes of `work`, each in a thread of its own.
    fn among<T: Send>(n: usize, timeout: Duration, work: impl Fn(&mut Ranks) -> T + Sync) -> Vec<T> {
        let first = Rendezvous::listen("127.0.0.1:0", n, timeout).unwrap();
        let address = first.address().unwrap();
        thread::scope(|scope| {
            let (work, address) = (&work, &address);
            let others: Vec<_> = (1..n)
                .map(|rank| {
                    scope.spawn(move || {
                        let me = Rendezvous::connect(address, n, rank, timeout).unwrap();
                        work(&mut me.meet(&identity()).unwrap())
                    })
                })
                .collect();
            let mut all = vec![work(&mut first.meet(&identity()).unwrap())];
            all.extend(others.into_iter().map(|other| other.join().unwrap()));
            all
        })
    }

    #[test]
    fn sums_come_to_everyone() {
        let lengths = [3, CHUNK + 1];
        let sums = among(3, Duration::from_mins(1), |ranks| {
            let rank = ranks.rank();
            let targets = ranks.targets(7, 10 + rank as u64).unwrap();
            let mut sum = TreeSum::default();
            // The second process has two units, one of them without a finite loss.
            for unit in [0..1, 1..3, 3..4][rank].clone() {
                let values = lengths.map(|n| vec![(unit + 1) as f32; n]).to_vec();
                sum.push(Node { first: unit, level: 0, values });
            }
            let nats = [&[0.25][..], &[0.5, 1.0], &[f64::INFINITY]][rank];
            let nats = ranks.reduce(nats, &mut sum, &lengths).unwrap();
            ranks.agree(Position { step: 8, weights: 5 }).unwrap();
            (targets, nats, std::mem::take(sum.total().unwrap()))
        });
        for (targets, nats, sum) in sums {
            assert_eq!((targets, nats), (33, f64::INFINITY));
            assert_eq!(sum, lengths.map(|n| vec![10.0; n]));
        }
    }

    #[test]
    fn other_weights_end_the_run_everywhere() {
        let said = among(3, Duration::from_mins(1), |ranks| {
            let weights = u64::from(ranks.rank() == 2);
            let error = format!("{:#}", ranks.agree(Position { step: 8, weights }).unwrap_err());
            ranks.end(&error);
            error
        });
        for (rank, error) in said.into_iter().enumerate() {
            assert!(error.contains("after step 8 the weights of process 2 are not those"), "{rank}: {error}");
        }
    }

    #[test]
    fn a_process_that_hangs_is_not_waited_for_for_ever() {
        let (hangs, ends) = std::sync::mpsc::channel::<()>();
        let ends = std::sync::Mutex::new(ends);
        let hangs = std::sync::Mutex::new(Some(hangs));
        let said = among(2, Duration::from_secs(1), |ranks| {
            if ranks.rank() == 1 {
                // Until the first has given up.
                let _ = ends.lock().unwrap().recv();
                return String::new();
            }
            let error = format!("{:#}", ranks.targets(0, 1).unwrap_err());
            hangs.lock().unwrap().take();
            error
        });
        assert!(said[0].contains("process 1 has been silent"), "{}", said[0]);
    }
}
