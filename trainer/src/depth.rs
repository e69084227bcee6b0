//! One dial: `model.depth` derives what a config leaves out of width, heads, batch, learning rate and length.
//!
//! | key | rule | why |
//! |---|---|---|
//! | `model.layers` | depth | |
//! | `model.width` | 64 x depth | depth 12 is GPT-2's smallest shape; nanochat keeps the same ratio at all sizes |
//! | `model.heads` | width / 64 | GPT-2's and Llama 3's smaller models have heads of 64 |
//! | tokens a run | 20 x values in the blocks, 12 x layers x width² | Hoffmann et al. 2022, table 3: about 20 a parameter |
//! | tokens a step | the power of two next to 2^19 x √(tokens / 1.7 · 10⁹) | 2^19 suits depth 12 (GPT-3, table 2.1); the best batch grows with about the root of the tokens (Bergsma et al. 2025) |
//! | `train.accumulate` | tokens a step over `train.batch` x `model.context` | `train.batch` is what fits into memory |
//! | `train.steps` | tokens a run over tokens a step | |
//! | `train.learning_rate` | 6e-4 x √(768 / width) | GPT-3's for 125 M; nanochat scales it by the root of the width |
//! | `train.rates.matrices` | under `optimizer = "muon"` .02 at every depth | an orthogonal step changes what leaves a matrix as much at any width; see [`crate::muon`] |
//! | other `train.rates` | as `train.learning_rate` | what Muon does not change, AdamW does as before |
//! | `train.warmup` | 1 % of the steps | GPT-3: 375 M of 300 G tokens; more is harmless |

use anyhow::{Context, Result, ensure};
use toml::{Table, Value};

/// Largest depth that is taken for a wish and not for a slip: width 65,536.
const DEEPEST: i64 = 1024;

/// Fills `table` by its `model.depth`, which is taken out; does nothing where there is none.
pub fn fill(table: &mut Table) -> Result<()> {
    let Some(model) = table.get_mut("model").and_then(Value::as_table_mut) else { return Ok(()) };
    let Some(depth) = model.remove("depth") else { return Ok(()) };
    let depth = depth.as_integer().context("model.depth must be a whole number, such as 12")?;
    ensure!((1..=DEEPEST).contains(&depth), "model.depth = {depth}: must be 1 to {DEEPEST}");
    let layers = whole(model, "layers", depth)?;
    let width = whole(model, "width", 64 * layers)?;
    whole(model, "heads", (width / 64).max(1))?;
    let context = whole(model, "context", 1024)?;

    let train = table.entry("train").or_insert_with(|| Value::Table(Table::new()));
    let train = train.as_table_mut().context("`train` must be a table")?;
    let tokens = 20.0 * 12.0 * layers as f64 * (width as f64).powi(2);
    let step_tokens = (19.0 + 0.5 * (tokens / 1.7e9).log2()).round().exp2();
    let batch = whole(train, "batch", 8)?;
    let pass_tokens = (batch * context).max(1) as f64;
    let accumulate = whole(train, "accumulate", (step_tokens / pass_tokens).round().max(1.0) as i64)?;
    let steps = whole(train, "steps", (tokens / (pass_tokens * accumulate as f64)).ceil() as i64)?;
    whole(train, "warmup", (steps / 100).max(1))?;
    let learning_rate = 6e-4 * (768.0 / width as f64).sqrt();
    train.entry("learning_rate").or_insert(Value::Float(learning_rate));
    Ok(())
}

/// The value of a key, which becomes `derived` where it is left out.
fn whole(table: &mut Table, key: &str, derived: i64) -> Result<i64> {
    let value = table.entry(key).or_insert(Value::Integer(derived));
    let value = value.as_integer().with_context(|| format!("`{key}` must be a whole number"))?;
    ensure!(value > 0, "`{key}` = {value}: must be at least 1");
    Ok(value)
}

#[cfg(test)]
mod tests {
    use crate::config::{Group, RunConfig};

    #[test]
    fn depth_twelve_is_the_smallest_gpt2() {
        let config = RunConfig::parse("[model]\nkind = \"gpt2\"\ndepth = 12\n", &[]).unwrap();
        assert_eq!((config.model.layers, config.model.width, config.model.heads), (12, 768, 12));
        assert_eq!(config.model.context, 1024);
        assert_eq!(config.train.batch * config.train.accumulate * config.model.context, 1 << 19);
        // 20 x 85 M tokens in steps of half a million.
        assert_eq!(config.train.steps, (20 * 12 * 12 * 768 * 768_u64).div_ceil(1 << 19));
        assert_eq!(config.train.warmup, 32);
        assert!((config.train.learning_rate - 6e-4).abs() < 1e-12);
    }

    #[test]
    fn what_is_written_stays_and_deeper_models_take_more_and_smaller_steps() {
        let text = "[model]\nkind = \"llama3\"\ndepth = 4\ncontext = 256\n[train]\nbatch = 4\nsteps = 7\n";
        let config = RunConfig::parse(text, &["train.warmup=3".into()]).unwrap();
        assert_eq!((config.model.layers, config.model.width, config.train.steps), (4, 256, 7));
        assert_eq!((config.train.batch, config.train.warmup), (4, 3));
        let deep = RunConfig::parse("[model]\nkind = \"llama3\"\ndepth = 24\n", &[]).unwrap();
        assert!(deep.train.learning_rate < config.train.learning_rate);
        let tokens = |c: &RunConfig| c.train.batch * c.train.accumulate * c.model.context;
        assert!(tokens(&deep) > tokens(&config));
        // The dial itself is another way to write the same run.
        assert_eq!(RunConfig::parse(&deep.to_toml().unwrap(), &[]).unwrap(), deep);
    }

    #[test]
    fn muon_has_one_rate_at_every_depth() {
        for depth in [2, 12] {
            let text = format!("[model]\nkind = \"gpt2\"\ndepth = {depth}\n[train]\noptimizer = \"muon\"\n");
            let train = RunConfig::parse(&text, &[]).unwrap().train;
            assert!((train.rate(Group::Matrix) - 0.02).abs() < 1e-12);
            let adamw = 6e-4 * (12.0 / f64::from(depth)).sqrt();
            for group in [Group::Embedding, Group::Head, Group::Scalar] {
                assert!((train.rate(group) - adamw).abs() < 1e-12);
            }
            let own = RunConfig::parse(&text, &["train.rates.matrices=0.01".into()]).unwrap().train;
            assert!((own.rate(Group::Matrix) - 0.01).abs() < 1e-12);
        }
    }

    #[test]
    fn a_wrong_depth_is_named() {
        for (depth, expected) in
            [("0", "must be 1 to 1024"), ("\"deep\"", "whole number"), ("5000", "1 to 1024")]
        {
            let text = format!("[model]\nkind = \"gpt2\"\ndepth = {depth}\n");
            let error = format!("{:#}", RunConfig::parse(&text, &[]).unwrap_err());
            assert!(error.contains(expected), "{error}");
        }
    }
}
