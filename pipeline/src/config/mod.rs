//! A recipe: one TOML file, read with every mistake reported at once and no data touched.

mod checks;
mod mistakes;
mod overrides;
mod recipe;

pub use mistakes::{Mistake, Mistakes, nearest};
pub use recipe::{Recipe, RecipeStage, StageOutput};
