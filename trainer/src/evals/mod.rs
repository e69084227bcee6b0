//! Evaluations in the task format of EleutherAI's lm-evaluation-harness: multiple choice by likelihood, cloze,
//! perplexity of whole texts, and generated answers.
//!
//! | module | answers |
//! |---|---|
//! | [`task`] | what does a task file say, and which documents does it ask about? |
//! | [`prompt`] | which text does a model read for a document, and what counts as right? |
//! | [`scorer`] | how likely does a model find a continuation, and what does it write? |
//! | [`metric`] | what do all answers amount to, and how sure is that? |
//! | [`run`] | the loop over tasks, and its table |
//!
//! Given the same logits, scores equal the harness's; tests/evals holds five fixtures with its results.

pub mod metric;
pub mod prompt;
pub mod run;
pub mod scorer;
pub mod task;
