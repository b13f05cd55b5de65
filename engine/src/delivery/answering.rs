//! Where the words of a `[reply.x]` come from: whoever makes answers is asked after every check and before
//! the claim, and told afterwards what became of it.

use std::fmt;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use shared::store::{End, Ended, JobRow, Store, StoreError};

use crate::actions::message::{Letter, Recipient};
use crate::automations::context::Scope;
use crate::automations::locale::Home;
use crate::automations::model::{Automations, Bot, Channel, ReplyTable};
use crate::automations::render::Fill;
use crate::callbell::Callbell;
use crate::plan::Known;

/// What has to be answered, and everything that is known around it.
#[derive(Clone, Copy)]
pub struct Question<'a> {
    /// The table.
    pub store: &'a Store,
    /// Callbell, for handing over.
    pub callbell: &'a Callbell,
    /// The reply's job.
    pub job: &'a JobRow,
    /// `x` of `[reply.x]`.
    pub name: &'a str,
    /// `[reply.x]`.
    pub table: &'a ReplyTable,
    /// The file.
    pub automations: &'a Automations,
    /// Fills templates in.
    pub fill: Fill<'a>,
    /// The message, and who wrote it.
    pub known: &'a Known,
    /// Where it is at home.
    pub home: &'a Home<'a>,
    /// The same as fields, with `now`.
    pub scope: &'a Scope,
    /// Who gets the answer.
    pub to: &'a Recipient,
    /// By which channel.
    pub channel: &'a Channel,
    /// When this was asked.
    pub now: Timestamp,
    /// When the invocation ends.
    pub deadline: Timestamp,
}

/// What came of it.
#[derive(Clone, Debug)]
pub enum Answer {
    /// These words go out, once, like any message.
    Say {
        /// The words.
        letter: Letter,
        /// E-mail address of the assigned user.
        assign: Option<String>,
        /// Team by name.
        team: Option<String>,
        /// Callbell's own bot.
        bot: Option<Bot>,
    },
    /// All that was wanted is done already, and nothing is said.
    Done,
    /// There is nothing to say, for this reason.
    End(Ended),
    /// Not now.
    Later {
        /// When to ask again.
        at: Timestamp,
        /// Why.
        reason: String,
    },
}

/// Whoever makes answers.
pub trait Answering: Send + Sync + fmt::Debug {
    /// Makes the answer, once an attempt. It may take as long as a backend takes; the job is not claimed
    /// yet.
    fn answer<'a>(&'a self, question: Question<'a>) -> BoxFuture<'a, Result<Answer, StoreError>>;

    /// The attempt with that answer came to this end, and the job's row says so.
    fn finished<'a>(
        &'a self,
        store: &'a Store,
        job: &'a JobRow,
        known: &'a Known,
        said: Option<&'a Letter>,
        end: &'a End,
    ) -> BoxFuture<'a, Result<(), StoreError>>;
}
