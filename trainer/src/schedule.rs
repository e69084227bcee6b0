//! The learning rate of each step.

use crate::config::{Schedule, TrainConfig};

/// Learning rate of step `step` (0-based) of `config.steps`.
///
/// It rises linearly over `warmup` steps, reaching `learning_rate` in the last of them, and then falls to
/// `learning_rate * min_learning_rate_ratio` in the last step, as [`Schedule`] says.
pub fn learning_rate(config: &TrainConfig, step: u64) -> f64 {
    let highest = config.learning_rate;
    if step < config.warmup {
        return highest * (step + 1) as f64 / config.warmup as f64;
    }
    let lowest = highest * config.min_learning_rate_ratio;
    let span = config.steps.saturating_sub(config.warmup + 1).max(1);
    let progress = ((step - config.warmup) as f64 / span as f64).min(1.0);
    let left = match config.schedule {
        Schedule::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * progress).cos()),
        Schedule::Wsd => {
            // Never longer than what the warm-up leaves, and at least the last step.
            let cooldown = (config.steps as f64 * config.cooldown).clamp(1.0, span as f64);
            ((1.0 - progress) * span as f64 / cooldown).min(1.0)
        }
    };
    lowest + (highest - lowest) * left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rises_then_falls() {
        let config = TrainConfig {
            steps: 111,
            warmup: 10,
            learning_rate: 1.0,
            min_learning_rate_ratio: 0.1,
            ..TrainConfig::default()
        };
        let at = |step| learning_rate(&config, step);
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} {b}");
        near(at(0), 0.1);
        near(at(4), 0.5);
        near(at(9), 1.0);
        near(at(10), 1.0);
        near(at(60), 0.55);
        near(at(110), 0.1);
        near(at(1_000), 0.1);
        assert!((10..110).all(|step| at(step + 1) < at(step)));
    }

    #[test]
    fn wsd_is_level_before_it_falls() {
        let config = TrainConfig {
            steps: 111,
            warmup: 10,
            learning_rate: 1.0,
            min_learning_rate_ratio: 0.0,
            schedule: Schedule::Wsd,
            cooldown: 20.0 / 111.0,
            ..TrainConfig::default()
        };
        let near = |step, expected: f64| {
            let rate = learning_rate(&config, step);
            assert!((rate - expected).abs() < 1e-9, "{step}: {rate} {expected}");
        };
        for (step, rate) in
            [(0, 0.1), (9, 1.0), (50, 1.0), (90, 1.0), (91, 0.95), (100, 0.5), (110, 0.0), (999, 0.0)]
        {
            near(step, rate);
        }
    }

    #[test]
    fn short_runs_stay_finite() {
        for (steps, warmup) in [(1, 0), (1, 1), (1, 50), (2, 1), (u64::MAX, u64::MAX - 1)] {
            for schedule in [Schedule::Cosine, Schedule::Wsd] {
                let config = TrainConfig { steps, schedule, warmup, ..TrainConfig::default() };
                for step in [0, steps - 1] {
                    let rate = learning_rate(&config, step);
                    assert!(rate > 0.0 && rate <= config.learning_rate, "{steps} {warmup} {step} {rate}");
                }
            }
        }
    }
}
