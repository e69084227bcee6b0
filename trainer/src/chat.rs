//! A conversation with a chat model: turns rendered by the checkpoint's template, answers up to the token
//! that ends them.

use anyhow::{Context, Result, bail, ensure};
use gristmill_tokenizer::Tokenizer;
use gristmill_tokenizer::conversation::{ChatFormat, Message, Role};
use serde::{Deserialize, Serialize};

use crate::checkpoint::Checkpoint;
use crate::config::SampleConfig;
use crate::conversations::Conversations;
use crate::generate::{Streamed, choose};
use crate::model::{Model, Weights};
use crate::random::Random;
use crate::reader::Reader;
use crate::tools::{self, Ran};

/// A chat model that can answer.
pub struct ChatModel<'a> {
    /// Structure.
    pub model: &'a Model,
    /// Values.
    pub weights: &'a Weights,
    /// Text to ids and back.
    pub tokenizer: &'a Tokenizer,
    /// How conversations are written.
    pub format: ChatFormat,
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What the model wrote, without the token that ends its turn.
    pub ids: Vec<u32>,
    /// How it came to an end.
    pub end: End,
}

/// How an answer came to an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By the token that ends a turn: as it should be.
    Turn,
    /// By another special token, which has no place in an answer.
    OtherSpecial(u32),
    /// It did not: the number of tokens or the context was used up.
    Length,
}

/// The chat format of a checkpoint; an error where it is a base model's.
pub fn format_of(checkpoint: &Checkpoint, tokenizer: &Tokenizer) -> Result<ChatFormat> {
    let Some(sft) = &checkpoint.state.config.sft else {
        bail!(
            "this is the checkpoint of a base model: it continues text and knows no turns\nhint: `gristmill-train sft` makes a \
             chat model of it"
        );
    };
    Ok(sft.template.for_tokenizer(tokenizer)?)
}

impl ChatModel<'_> {
    /// Answers a prompt of ids that ends with the assistant's header. `next` sees each id as it is chosen.
    pub fn answer(
        &self,
        prompt: &[u32],
        config: &SampleConfig,
        random: &mut Random,
        mut next: impl FnMut(u32),
    ) -> Result<Answer> {
        let context = self.model.config.context;
        ensure!(
            !prompt.is_empty() && prompt.len() < context,
            "the conversation has {} tokens, and the model reads {context}: nothing is left for an answer",
            prompt.len()
        );
        let mut reader = Reader::new(self.model, self.weights);
        let mut unread = prompt.to_vec();
        let mut ids = Vec::new();
        while ids.len() < config.tokens && prompt.len() + ids.len() < context {
            let logits = reader.next_logits(&unread, 1, &[]).remove(0);
            let id = choose(&logits, config, random);
            if id == self.format.end() {
                return Ok(Answer { ids, end: End::Turn });
            }
            if self.tokenizer.is_special(id) {
                return Ok(Answer { ids, end: End::OtherSpecial(id) });
            }
            ids.push(id);
            next(id);
            unread = vec![id];
        }
        Ok(Answer { ids, end: End::Length })
    }

    /// The prompt for an answer to these messages. Where they are too long to leave the model `room` tokens,
    /// the oldest turns are forgotten first, the system's message never.
    pub fn prompt(&self, messages: &[Message], room: usize) -> Result<Vec<u32>> {
        let context = self.model.config.context;
        let n_system = messages.iter().take_while(|message| message.role == Role::System).count();
        let (system, mut turns) = messages.split_at(n_system);
        loop {
            let ids = self.format.prompt(self.tokenizer, &[system, turns].concat());
            if ids.len() + room.clamp(1, context / 2) <= context {
                return Ok(ids);
            }
            let next = turns.iter().skip(1).position(|message| message.role == Role::User);
            turns = next.map(|next| &turns[next + 1..]).with_context(|| {
                format!(
                    "the message is too long: with the system's message it has {} tokens, and the model reads {context}, its \
                     answer included",
                    ids.len()
                )
            })?;
        }
    }
}

/// Calls of tools that are answered within one turn of the user, about.
pub const MOST_CALLS: usize = 8;

/// A conversation that remembers.
pub struct Session<'a> {
    /// Who answers.
    pub chat: ChatModel<'a>,
    /// How.
    pub config: SampleConfig,
    /// The turns so far; the system's message first, if there is one.
    pub messages: Vec<Message>,
}

impl Session<'_> {
    /// Says `text` and lets the model answer; `show` sees the answer's text as it grows, in whole characters.
    /// Both turns are remembered.
    pub fn say(
        &mut self,
        text: &str,
        random: &mut Random,
        mut show: impl FnMut(&str) -> std::io::Result<()>,
    ) -> Result<(String, Answer)> {
        self.messages.push(Message::new(Role::User, text));
        let result = self.respond(random, &mut show);
        if result.is_err() {
            self.messages.pop();
        }
        result
    }

    /// As [`Session::say`], with the tools of [`tools`]: where the model calls one, the result is said to it and it goes on, up to
    /// [`MOST_CALLS`] times. `show` sees results too, each in a line of its own.
    pub fn say_with_tools(
        &mut self,
        text: &str,
        random: &mut Random,
        mut show: impl FnMut(&str) -> std::io::Result<()>,
    ) -> Result<(String, Answer, Vec<Ran>)> {
        let before = self.messages.len();
        let mut all = Vec::new();
        self.messages.push(Message::new(Role::User, text));
        let mut answer = || -> Result<(String, Answer)> {
            loop {
                let (text, answer) = self.respond(random, &mut show)?;
                let ran = if answer.end == End::Turn && all.len() < MOST_CALLS {
                    tools::run(&text)
                } else {
                    Vec::new()
                };
                if ran.is_empty() {
                    return Ok((text, answer));
                }
                let results: Vec<&str> = ran.iter().map(|ran| ran.result.as_str()).collect();
                let results = results.join("\n");
                show(&format!("\n= {results}\n"))?;
                self.messages.push(Message::new(Role::Tool, results));
                all.extend(ran);
            }
        };
        match answer() {
            Ok((text, answer)) => Ok((text, answer, all)),
            Err(error) => {
                self.messages.truncate(before);
                Err(error)
            }
        }
    }

    /// Answers the messages so far and remembers the answer.
    fn respond(
        &mut self,
        random: &mut Random,
        show: &mut impl FnMut(&str) -> std::io::Result<()>,
    ) -> Result<(String, Answer)> {
        let prompt = self.chat.prompt(&self.messages, self.config.tokens)?;
        let mut streamed = Streamed::new(self.chat.tokenizer);
        let mut shown = Ok(());
        let answer = self.chat.answer(&prompt, &self.config, random, |id| {
            let new = streamed.push(id);
            if shown.is_ok() && !new.is_empty() {
                shown = show(&new);
            }
        })?;
        shown?;
        let text = self.chat.tokenizer.decode_lossy(&answer.ids);
        self.messages.push(Message::new(Role::Assistant, text.clone()));
        Ok((text, answer))
    }

    /// Forgets everything but the system's message.
    pub fn reset(&mut self) {
        self.messages.retain(|message| message.role == Role::System);
    }

    /// Sets the system's message and forgets the rest.
    pub fn set_system(&mut self, text: &str) {
        self.messages = if text.is_empty() { Vec::new() } else { vec![Message::new(Role::System, text)] };
    }
}

/// How well-formed a model's answers are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Validity {
    /// Held-out conversations whose last question was asked.
    pub prompts: u64,
    /// Answers that ended their turn, without any other special token.
    pub valid: u64,
    /// `valid` of `prompts`.
    pub valid_share: f64,
    /// Answers that did not end within the tokens allowed.
    pub unended: u64,
    /// Answers that broke off with a special token that has no place in them.
    pub foreign: u64,
    /// Answers that are the held-out ones, token by token.
    pub exact: u64,
}

/// Asks the last question of the first `limit` held-out conversations (0: of all) and looks at the form of
/// the answers.
///
/// The prompt is the conversation up to the last stretch that the assistant writes; those that do not fit
/// into the context with an answer of one token are not asked.
pub fn validity(
    chat: &ChatModel<'_>,
    conversations: &Conversations,
    config: &SampleConfig,
    seed: u64,
    limit: usize,
) -> Result<Validity> {
    let mut found = Validity::default();
    for index in 0..conversations.len() {
        if limit > 0 && found.prompts as usize == limit {
            break;
        }
        let (ids, mask) = conversations.conversation(index)?;
        let Some(last) = mask.iter().rposition(|&learnt| learnt == 1) else { continue };
        let begin = mask[..last].iter().rposition(|&learnt| learnt == 0).map_or(0, |before| before + 1);
        let (prompt, expected) = (&ids[..begin], &ids[begin..last]);
        if prompt.is_empty() || prompt.len() >= chat.model.config.context {
            continue;
        }
        let mut random = Random::named(seed, &format!("validity/{index}"));
        let answer = chat.answer(prompt, config, &mut random, |_| ())?;
        found.prompts += 1;
        match answer.end {
            End::Turn => found.valid += 1,
            End::Length => found.unended += 1,
            End::OtherSpecial(_) => found.foreign += 1,
        }
        found.exact += u64::from(answer.end == End::Turn && answer.ids == expected);
    }
    found.valid_share = found.valid as f64 / found.prompts.max(1) as f64;
    Ok(found)
}
