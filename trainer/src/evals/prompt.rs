//! From a document to what a model reads and what counts as right.

use anyhow::{Context, Result, bail, ensure};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, ErrorKind, UndefinedBehavior};
use serde_json::Value;

use crate::evals::task::{Document, Field, OutputType, Task};

/// One question to a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// How likely is `continuation` after `context`?
    Likelihood {
        /// What was read before.
        context: String,
        /// What is scored.
        continuation: String,
    },
    /// How likely is the text from its beginning?
    Rolling(String),
    /// What comes after the text?
    Generate(String),
}

/// What counts as right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gold {
    /// Any of these places among the choices; none where the document names a choice that does not exist.
    Choices(Vec<usize>),
    /// Any of these texts.
    Texts(Vec<String>),
    /// Nothing to compare with: the likelihood itself is the result.
    Nothing,
}

/// A document as a model and the metrics see it.
#[derive(Clone, Debug)]
pub struct Item {
    /// One question, or one a choice.
    pub requests: Vec<Request>,
    /// The choices' own texts, for scores by length.
    pub choices: Vec<String>,
    /// What counts as right.
    pub gold: Gold,
    /// Words (split at white space) and bytes of the target, for perplexities of texts.
    pub words: usize,
    /// See `words`.
    pub bytes: usize,
}

/// Renders a task's documents.
pub struct Prompter<'a> {
    task: &'a Task,
    templates: Environment<'static>,
}

/// What a field of a document turned out to be.
#[derive(Clone, Debug, PartialEq)]
enum Rendered {
    Index(usize),
    Text(String),
    Many(Vec<Value>),
}

impl<'a> Prompter<'a> {
    /// Templates are Jinja's, with Python's methods of strings, lists and maps, and `regex_replace`.
    pub fn new(task: &'a Task) -> Self {
        let mut templates = Environment::new();
        templates.set_undefined_behavior(UndefinedBehavior::Strict);
        let syntax = SyntaxConfig::builder().keep_trailing_newline(true).build();
        templates.set_syntax(syntax.expect("the delimiters are the usual ones"));
        templates.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        templates.add_filter("regex_replace", regex_replace);
        Self { task, templates }
    }

    /// The item of document `index`, with its solved examples before it.
    pub fn item(&self, index: usize) -> Result<Item> {
        self.try_item(index).with_context(|| format!("document {index} of the task `{}`", self.task.name))
    }

    fn try_item(&self, index: usize) -> Result<Item> {
        let document = &self.task.documents[index];
        let before = self.before(index)?;
        let target = self.target(document)?;
        let choices = match &self.task.choice {
            Some(field) => self.choices(field, document)?,
            None => Vec::new(),
        };
        match self.task.output {
            OutputType::MultipleChoice => self.multiple_choice(document, &before, &target, choices),
            OutputType::Loglikelihood => {
                let context = before + &self.question(document)?;
                let continuation = text_of(&target)?;
                Ok(Item::of_text(Request::Likelihood { context, continuation }, Gold::Nothing, ""))
            }
            OutputType::LoglikelihoodRolling => {
                let text = text_of(&target)?;
                Ok(Item::of_text(Request::Rolling(text.clone()), Gold::Nothing, &text))
            }
            OutputType::GenerateUntil => {
                let context = before + &self.question(document)?;
                let gold = match target {
                    Rendered::Index(index) if !choices.is_empty() => {
                        vec![choices.get(index).with_context(|| no_choice(index, choices.len()))?.clone()]
                    }
                    Rendered::Many(values) => values.iter().map(plain).collect(),
                    other => vec![text_of(&other)?],
                };
                Ok(Item::of_text(Request::Generate(context), Gold::Texts(gold), ""))
            }
        }
    }

    fn multiple_choice(
        &self,
        document: &Document,
        before: &str,
        target: &Rendered,
        choices: Vec<String>,
    ) -> Result<Item> {
        ensure!(!choices.is_empty(), "`doc_to_choice` gives no choices");
        let delimiter = &self.task.target_delimiter;
        let text = self.text(document)?;
        let (requests, gold) = if let Rendered::Index(gold) = text {
            // The choices are contexts, and the target continues each of them.
            let continuation = format!("{delimiter}{}", text_of(target)?);
            let requests = choices.iter().map(|choice| Request::Likelihood {
                context: format!("{before}{choice}"),
                continuation: continuation.clone(),
            });
            (requests.collect(), Rendered::Index(gold))
        } else {
            let context = format!("{before}{}", text_of(&text)?);
            let requests = choices.iter().map(|choice| Request::Likelihood {
                context: context.clone(),
                continuation: format!("{delimiter}{choice}"),
            });
            (requests.collect(), target.clone())
        };
        let gold = match gold {
            Rendered::Index(index) => vec![index],
            Rendered::Text(text) => choices.iter().position(|choice| *choice == text).into_iter().collect(),
            Rendered::Many(values) => {
                let indices = values.iter().map(|value| value.as_u64().map(|index| index as usize));
                indices
                    .collect::<Option<Vec<_>>>()
                    .context("`doc_to_target` lists what are no indices of choices")?
            }
        };
        let gold = gold.into_iter().filter(|&index| index < choices.len()).collect();
        Ok(Item { requests, choices, gold: Gold::Choices(gold), words: 0, bytes: 0 })
    }

    /// The description and the solved examples.
    fn before(&self, index: usize) -> Result<String> {
        let task = self.task;
        let mut before = match task.description.as_str() {
            "" => String::new(),
            description => self.render(description, &task.documents[index])?,
        };
        let document = &task.documents[index];
        let others =
            task.examples.iter().filter(|example| !task.examples_are_documents || *example != document);
        let examples: Vec<&Document> = others.take(task.n_fewshot).collect();
        ensure!(
            examples.len() == task.n_fewshot,
            "{} examples are asked for, and the task has {}",
            task.n_fewshot,
            examples.len()
        );
        for example in examples {
            let answer = match (self.target(example)?, &task.choice) {
                (Rendered::Index(index), Some(field)) => {
                    let choices = self.choices(field, example)?;
                    choices.get(index).with_context(|| no_choice(index, choices.len()))?.clone()
                }
                (Rendered::Many(values), _) => values.first().map(plain).unwrap_or_default(),
                (other, _) => text_of(&other)?,
            };
            before.push_str(&self.question(example)?);
            if !answer.is_empty() {
                before.push_str(&task.target_delimiter);
                before.push_str(&answer);
                before.push_str(&task.fewshot_delimiter);
            }
        }
        Ok(before)
    }

    /// The question's text; where it is the index of a context, that context.
    fn question(&self, document: &Document) -> Result<String> {
        match (self.text(document)?, &self.task.choice) {
            (Rendered::Index(index), Some(field)) => {
                let choices = self.choices(field, document)?;
                Ok(choices.get(index).with_context(|| no_choice(index, choices.len()))?.clone())
            }
            (text, _) => text_of(&text),
        }
    }

    fn text(&self, document: &Document) -> Result<Rendered> {
        self.field(&self.task.text, document).context("`doc_to_text`")
    }

    fn target(&self, document: &Document) -> Result<Rendered> {
        self.field(&self.task.target, document).context("`doc_to_target`")
    }

    fn choices(&self, field: &Field, document: &Document) -> Result<Vec<String>> {
        match self.field(field, document).context("`doc_to_choice`")? {
            Rendered::Many(values) => Ok(values.iter().map(plain).collect()),
            other => bail!("`doc_to_choice` must give a list, but gave {other:?}"),
        }
    }

    fn field(&self, field: &Field, document: &Document) -> Result<Rendered> {
        let template = match field {
            Field::Index(index) => return Ok(Rendered::Index(*index)),
            Field::Texts(texts) => {
                return Ok(Rendered::Many(texts.iter().cloned().map(Value::String).collect()));
            }
            Field::Named(texts) => return Ok(Rendered::Many(texts.values().cloned().collect())),
            Field::Template(template) => template,
        };
        if let Some(value) = document.get(template) {
            return Ok(match value {
                // As in Python, where a truth value is a number.
                Value::Bool(value) => Rendered::Index(usize::from(*value)),
                Value::Number(number) if number.is_u64() => {
                    Rendered::Index(number.as_u64().unwrap_or_default() as usize)
                }
                Value::Array(values) => Rendered::Many(values.clone()),
                other => Rendered::Text(plain(other)),
            });
        }
        if let Some(values) = self.list(template, document)? {
            return Ok(Rendered::Many(values));
        }
        let text = self.render(template, document)?;
        let is_index =
            self.task.choice.is_some() && !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        Ok(match text.parse() {
            Ok(index) if is_index => Rendered::Index(index),
            _ => Rendered::Text(text),
        })
    }

    /// The list that a template of one expression, `{{ … }}`, evaluates to.
    fn list(&self, template: &str, document: &Document) -> Result<Option<Vec<Value>>> {
        let inner = template.trim().strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}"));
        let Some(expression) = inner.filter(|inner| !inner.contains("}}")) else { return Ok(None) };
        let value = self.templates.compile_expression(expression)?.eval(Serde(document))?;
        if value.kind() != minijinja::value::ValueKind::Seq {
            return Ok(None);
        }
        Ok(Some(value.try_iter()?.map(serde_json::to_value).collect::<Result<_, _>>()?))
    }

    fn render(&self, template: &str, document: &Document) -> Result<String> {
        self.templates
            .render_str(template, Serde(document))
            .with_context(|| format!("the template `{template}` does not fit the document's columns"))
    }
}

impl Item {
    fn of_text(request: Request, gold: Gold, text: &str) -> Self {
        Self { requests: vec![request], choices: Vec::new(), gold, words: words(text), bytes: text.len() }
    }
}

/// As the harness counts them: pieces between runs of white space, which may be empty at both ends.
fn words(text: &str) -> usize {
    let outer =
        usize::from(text.starts_with(char::is_whitespace)) + usize::from(text.ends_with(char::is_whitespace));
    (text.split_whitespace().count() + outer).max(1)
}

fn no_choice(index: usize, n: usize) -> String {
    format!("the answer is choice {index}, and there are {n} choices, counted from 0")
}

fn text_of(rendered: &Rendered) -> Result<String> {
    match rendered {
        Rendered::Index(index) => Ok(index.to_string()),
        Rendered::Text(text) => Ok(text.clone()),
        Rendered::Many(values) => bail!("expected a text, but a list of {} came", values.len()),
    }
}

/// A value as Python's `str` writes it, as far as rows hold such values.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(true) => "True".into(),
        Value::Bool(false) => "False".into(),
        Value::Null => "None".into(),
        other => other.to_string(),
    }
}

/// The harness's own filter: Python's `re.sub`.
#[expect(clippy::needless_pass_by_value, reason = "the engine's filters take their arguments by value")]
fn regex_replace(text: String, pattern: String, replacement: String) -> Result<String, minijinja::Error> {
    let invalid =
        |error: fancy_regex::Error| minijinja::Error::new(ErrorKind::InvalidOperation, error.to_string());
    let regex = fancy_regex::Regex::new(&pattern).map_err(invalid)?;
    // Python writes groups as \1.
    let expander = fancy_regex::Expander::python();
    let expand = |captures: &fancy_regex::Captures<'_, str>| expander.expansion(&replacement, captures);
    regex.try_replacen(&text, 0, expand).map(std::borrow::Cow::into_owned).map_err(invalid)
}
