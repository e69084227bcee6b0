//! A plan as text and as a Graphviz graph.

use gristmill_corpus::CorpusError;

use super::{FOREST_FAN_IN, Head, Link, Plan, Step, Tail, Work};
use crate::exec::store::StepFolder;
use crate::run::funnel::table;

/// One line a step: what it does, how many tasks it has, whether it is done.
///
/// # Errors
/// [`CorpusError`] when the store cannot be read.
pub fn text(plan: &Plan) -> Result<String, CorpusError> {
    let mut rows = vec![["step", "tasks", "state", "does"].map(String::from)];
    for step in &plan.steps {
        let folder = StepFolder::new(&plan.store, step);
        let state = if folder.manifest()?.is_some() {
            "done".to_owned()
        } else {
            let committed =
                (0..step.tasks).filter(|&task| matches!(folder.commit(task), Ok(Some(_)))).count();
            if committed == 0 { "to do".into() } else { format!("{committed} done") }
        };
        rows.push([step.id.clone(), step.tasks.to_string(), state, describe(step)]);
    }
    Ok(table(&rows))
}

fn describe(step: &Step) -> String {
    match &step.work {
        Work::Segment { head, chain, tail } => {
            let mut words = vec![match head {
                Head::Splits { stage, splits } => format!("{stage} ({} files)", splits.len()),
                Head::Parts { steps, per_task: 1 } => format!("[{}]", steps.join(" + ")),
                Head::Parts { steps, per_task } => format!("[{}] x {per_task}", steps.join(" + ")),
            }];
            words.extend(chain.iter().map(|link| match link {
                Link::Stage(stage) => stage.clone(),
                Link::Survivors { stage, .. } => format!("survivors of {stage}"),
                Link::Rewrite { stage, .. } => format!("what {stage} leaves"),
            }));
            words.push(match tail {
                Tail::Documents => "documents".into(),
                Tail::Keys(stage) => format!("keys for {stage}"),
                Tail::Spans { stage, .. } => format!("spans for {stage}"),
                Tail::Write(stage) => stage.clone(),
                Tail::Collect(stage) => format!("parts for {stage}"),
            });
            words.join(" -> ")
        }
        Work::Reduce { keys, .. } => format!("[{keys}] -> forest of documents that share keys"),
        Work::Forests { forests, .. } => format!("[{forests}] x {FOREST_FAN_IN} -> forest"),
        Work::Clusters { forests, .. } => format!("[{forests}] -> clusters -> survivors"),
        Work::Marks { keys, .. } => format!("[{keys}] -> copies among spans"),
        Work::Gather { stage, parts } => format!("[{parts}] -> {stage}"),
        Work::Process { stage, inputs } => format!("[{}] -> {stage}", inputs.join(" + ")),
    }
}

/// Steps as boxes, needs as arrows.
pub fn dot(plan: &Plan) -> String {
    let mut text = String::from("digraph plan {\n  rankdir = LR;\n  node [shape = box];\n");
    for step in &plan.steps {
        text.push_str(&format!("  \"{}\" [label = \"{}\\n{} tasks\"];\n", step.id, step.id, step.tasks));
        for need in &step.needs {
            text.push_str(&format!("  \"{need}\" -> \"{}\";\n", step.id));
        }
    }
    text.push_str("}\n");
    text
}
