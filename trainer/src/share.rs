//! Which of a step's rows each process computes.
//!
//! A step's rows are cut into units: the micro-batches, or even pieces of them where there are more processes than
//! micro-batches. Each process takes units that follow each other. Gradients are added up over units in an order that
//! does not depend on who computed them ([`crate::sums`]), so as long as the units are whole micro-batches every number
//! of processes gives the same bits.

use std::ops::Range;

use anyhow::{Result, ensure};

use crate::config::TrainConfig;

/// The units of a step that `n_processes` share: their rows, counted from the step's first.
pub fn units(config: &TrainConfig, n_processes: usize) -> Result<Vec<Range<usize>>> {
    let (batch, accumulate) = (config.batch, config.accumulate);
    ensure!(
        n_processes <= batch * accumulate,
        "{n_processes} processes cannot share a step of {} rows (train.batch x train.accumulate)\nhint: fewer processes, \
         or a larger train.accumulate",
        batch * accumulate
    );
    let pieces = if n_processes <= accumulate {
        1
    } else {
        // As few pieces as give every process as many, if rows can be cut so small.
        (n_processes / greatest_common_divisor(n_processes, accumulate)).min(batch)
    };
    Ok((0..accumulate)
        .flat_map(|i| evenly(batch, pieces).map(move |rows| i * batch + rows.start..i * batch + rows.end))
        .collect())
}

/// Of `n_units`, those of the process `rank`.
pub fn of_process(n_units: usize, n_processes: usize, rank: usize) -> Range<usize> {
    evenly(n_units, n_processes).nth(rank).expect("ranks lie below the number of processes")
}

/// `n` things in `parts` that differ by one at most.
fn evenly(n: usize, parts: usize) -> impl Iterator<Item = Range<usize>> {
    (0..parts).map(move |part| part * n / parts..(part + 1) * n / parts)
}

fn greatest_common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_computed_once_and_work_is_even() {
        for batch in 1..9 {
            for accumulate in 1..7 {
                let config = TrainConfig { batch, accumulate, ..TrainConfig::default() };
                for n in 1..=batch * accumulate {
                    let units = units(&config, n).unwrap();
                    let mut rows = Vec::new();
                    let mut most = 0;
                    for rank in 0..n {
                        let mine: Vec<usize> =
                            of_process(units.len(), n, rank).flat_map(|unit| units[unit].clone()).collect();
                        assert!(!mine.is_empty(), "{batch} {accumulate} {n}");
                        most = most.max(mine.len());
                        rows.extend(mine);
                    }
                    assert_eq!(rows, (0..batch * accumulate).collect::<Vec<_>>());
                    let limit = if n <= accumulate {
                        accumulate.div_ceil(n) * batch
                    } else {
                        // A micro-batch cut into pieces of uneven size, and a unit more than others have.
                        2 * (batch * accumulate).div_ceil(n) + 1
                    };
                    assert!(most <= limit, "{batch} {accumulate} {n}: {most} {limit}");
                }
                assert!(super::units(&config, batch * accumulate + 1).is_err());
            }
        }
    }

    #[test]
    fn micro_batches_stay_whole_while_there_are_enough() {
        let config = TrainConfig { batch: 4, accumulate: 3, ..TrainConfig::default() };
        for n in 1..=3 {
            assert_eq!(units(&config, n).unwrap(), [0..4, 4..8, 8..12]);
        }
        assert_eq!(units(&config, 6).unwrap(), [0..2, 2..4, 4..6, 6..8, 8..10, 10..12]);
        let config = TrainConfig { batch: 8, accumulate: 1, ..TrainConfig::default() };
        assert_eq!(units(&config, 2).unwrap(), [0..4, 4..8]);
        assert_eq!(units(&config, 3).unwrap(), [0..2, 2..5, 5..8]);
    }
}
