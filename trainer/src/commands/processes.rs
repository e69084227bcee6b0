//! Options of a run that several processes share, and the processes that one of them starts.

use std::cell::RefCell;
use std::num::NonZero;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use gristmill_train::ranks::Rendezvous;

const THREADS: &str = "RAYON_NUM_THREADS";

#[derive(Args)]
pub struct ProcessArgs {
    /// Share each step's rows among N processes on this machine.
    #[arg(long, value_name = "N", conflicts_with_all = ["world_size", "rank", "rendezvous"])]
    processes: Option<usize>,
    /// Of N processes, wherever they run: each is started with the same arguments and its own --rank.
    #[arg(long, value_name = "N", requires_all = ["rank", "rendezvous"])]
    world_size: Option<usize>,
    /// Which of them this is, from 0. Process 0 writes all files; the others read --out.
    #[arg(long, value_name = "R", requires = "world_size")]
    rank: Option<usize>,
    /// Where process 0 listens and the others find it. There is no password: use a network that you trust.
    #[arg(long, value_name = "HOST:PORT", requires = "world_size")]
    rendezvous: Option<String>,
    /// How long a process waits for the others: longer than a validation takes.
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..))]
    timeout: u64,
}

impl ProcessArgs {
    /// Where this process meets the others, and those that it has started; `None` where it works alone.
    pub fn rendezvous(&self) -> Result<Option<(Rendezvous, Started)>> {
        let timeout = Duration::from_secs(self.timeout);
        if let (Some(n), Some(rank), Some(address)) = (self.world_size, self.rank, &self.rendezvous) {
            let rendezvous = match rank {
                0 => {
                    let listening = Rendezvous::listen(address, n, timeout)?;
                    let address = listening.address().unwrap_or_default();
                    eprintln!("process 0 of {n} listens on {address}");
                    listening
                }
                _ => Rendezvous::connect(address, n, rank, timeout)?,
            };
            return Ok(Some((rendezvous, Started::default())));
        }
        let n = self.processes.unwrap_or(1);
        ensure!(n >= 1, "--processes 0: at least one process trains");
        if n == 1 {
            return Ok(None);
        }
        let threads = share_cores(n);
        let rendezvous = Rendezvous::listen("127.0.0.1:0", n, timeout)?;
        let address = rendezvous.address().context("the listener has no address")?;
        let started = Started::default();
        for rank in 1..n {
            started.0.borrow_mut().push((rank, start(rank, n, &address, threads)?));
        }
        let children = Rc::clone(&started.0);
        Ok(Some((rendezvous.watching(move || none_has_ended(&children)), started)))
    }
}

/// Threads of each of `n` processes on this machine, unless the environment says how many.
fn share_cores(n: usize) -> Option<usize> {
    if std::env::var_os(THREADS).is_some() {
        return None;
    }
    let threads = (std::thread::available_parallelism().map_or(1, NonZero::get) / n).max(1);
    // An error would mean that some work has begun already, on all cores: slower, and not wrong.
    let _ = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
    Some(threads)
}

/// This command once more, as another process of the same run.
fn start(rank: usize, n: usize, address: &str, threads: Option<usize>) -> Result<Child> {
    let mut arguments = std::env::args_os().skip(1);
    let mut command = Command::new(std::env::current_exe()?);
    while let Some(argument) = arguments.next() {
        let text = argument.to_string_lossy();
        if text == "--processes" {
            arguments.next();
        } else if !text.starts_with("--processes=") {
            command.arg(&argument);
        }
    }
    command.args(["--world-size", &n.to_string(), "--rank", &rank.to_string(), "--rendezvous", address]);
    if let Some(threads) = threads {
        command.env(THREADS, threads.to_string());
    }
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
    child.with_context(|| format!("cannot start process {rank}"))
}

type Children = Rc<RefCell<Vec<(usize, Child)>>>;

fn none_has_ended(children: &Children) -> Result<()> {
    for (rank, child) in children.borrow_mut().iter_mut() {
        if let Some(status) = child.try_wait()? {
            bail!("process {rank} has ended before the run began ({status}): its own message says why");
        }
    }
    Ok(())
}

/// Processes that end with this one.
#[derive(Default)]
pub struct Started(Children);

impl Started {
    /// Waits for all of them, after the run.
    pub fn wait(self) -> Result<()> {
        for (rank, mut child) in self.0.take() {
            let status = child.wait()?;
            ensure!(status.success(), "process {rank} has failed ({status})");
        }
        Ok(())
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        for (_, child) in self.0.borrow_mut().iter_mut() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
