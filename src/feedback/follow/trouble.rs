//! Owns the telling of trouble that lasts: once when it begins or changes, once when it is over.

/// One thing that may fail again and again.
#[derive(Debug)]
pub(super) struct Trouble {
    what: String,
    told: Option<String>,
}

impl Trouble {
    /// `what` fails, as a sentence: "the log of relay a cannot be read".
    pub(super) fn new(what: String) -> Self {
        Self { what, told: None }
    }

    /// It failed.
    pub(super) fn is(&mut self, why: &str) {
        if self.told.as_deref() != Some(why) {
            tracing::warn!("{}: {why}; tried again until it can", self.what);
            self.told = Some(why.to_owned());
        }
    }

    /// It went well.
    pub(super) fn over(&mut self, how: &str) {
        if self.told.take().is_some() {
            tracing::info!("{}: {how}", self.what);
        }
    }

    /// What was told and is not over.
    #[cfg(test)]
    pub(super) fn told(&self) -> Option<&str> {
        self.told.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_is_told_until_it_is_over() {
        let mut trouble = Trouble::new("the log cannot be read".to_owned());
        assert_eq!(trouble.told(), None);
        trouble.is("permission denied");
        trouble.is("permission denied");
        assert_eq!(trouble.told(), Some("permission denied"));
        trouble.over("it is read again");
        assert_eq!(trouble.told(), None);
    }
}
