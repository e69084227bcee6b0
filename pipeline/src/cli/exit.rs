//! Exit codes, and how an error becomes one.

use std::process::ExitCode;

use crate::config::Mistakes;
use crate::exec::ExecError;
use crate::plan::PlanError;

/// What the process says to its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: done.
    Done,
    /// 1: finished, but inputs were quarantined or differences were found.
    Finding,
    /// 2: the command line or the recipe is wrong; trying again gives the same.
    Usage,
    /// 75: something failed that may go well another time; what was committed stays.
    Retry,
    /// The code of a program that did the work.
    Of(u8),
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Finding => 1,
            Exit::Usage => 2,
            Exit::Retry => 75,
            Exit::Of(code) => code,
        })
    }
}

/// Prints an error to standard error and says which code it gives.
pub fn report(error: &anyhow::Error) -> Exit {
    if let Some(mistakes) = error.downcast_ref::<Mistakes>() {
        eprintln!("{mistakes}");
        return Exit::Usage;
    }
    // A reader that went away (`| head`) is no fault.
    let broken_pipe = error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|cause| cause.kind() == std::io::ErrorKind::BrokenPipe);
    if broken_pipe {
        return Exit::Done;
    }
    eprintln!("error: {error:#}");
    match error.downcast_ref::<ExecError>() {
        Some(ExecError::Usage(_)) => Exit::Usage,
        Some(_) => Exit::Retry,
        None if error.downcast_ref::<PlanError>().is_some() => Exit::Usage,
        None if error
            .chain()
            .any(|cause| cause.is::<std::io::Error>() || cause.is::<gristmill_corpus::CorpusError>()) =>
        {
            Exit::Retry
        }
        None => Exit::Usage,
    }
}
