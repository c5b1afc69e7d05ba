//! How a verb fails: one line, a hint, and an exit status that scripts can rely on.

use std::fmt;

/// Exit statuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Status {
    /// The verb worked and found something wrong.
    Finding = 1,
    /// It was asked wrongly.
    Usage = 2,
    /// The environment does not allow it.
    Environment = 3,
    /// Another one is at work.
    AlreadyRunning = 4,
}

/// An error with its exit status and its remedy.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) status: Status,
    text: String,
    hint: Option<String>,
}

/// What every verb returns.
pub(crate) type Outcome = Result<(), Failure>;

impl Failure {
    pub(crate) fn new(status: Status, text: impl fmt::Display) -> Self {
        Self {
            status,
            text: text.to_string(),
            hint: None,
        }
    }

    /// An error with everything behind it.
    pub(crate) fn chain(status: Status, error: &dyn std::error::Error) -> Self {
        let causes = std::iter::successors(error.source(), |cause| cause.source());
        let text = causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"));
        Self::new(status, text)
    }

    pub(crate) fn usage(text: impl fmt::Display) -> Self {
        Self::new(Status::Usage, text)
    }

    pub(crate) fn environment(text: impl fmt::Display) -> Self {
        Self::new(Status::Environment, text)
    }

    pub(crate) fn finding(text: impl fmt::Display) -> Self {
        Self::new(Status::Finding, text)
    }

    #[must_use]
    pub(crate) fn hint(mut self, hint: impl fmt::Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A policy's error says so itself, above its carets.
        let text = self.text.strip_prefix("error: ").unwrap_or(&self.text);
        write!(formatter, "error: {text}")?;
        match &self.hint {
            Some(hint) => write!(formatter, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}
