//! Filters of content: the part of XPath that ONVIF's ItemFilter dialect has (Core 9.6.4), read once
//! into a tree. Nothing of XPath beyond it is taken.

use super::message::Message;

/// Longest expression.
const MAX_TEXT: usize = 1024;
/// Deepest brackets.
const MAX_DEPTH: usize = 8;

/// An expression over the items of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Expression {
    And(Vec<Expression>),
    Or(Vec<Expression>),
    Not(Box<Expression>),
    /// `boolean(//tt:SimpleItem[…])`: some item fulfils the test; of the source or the data alone
    /// if the path says so.
    Some(Option<bool>, Test),
}

/// A test of one item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Test {
    And(Vec<Test>),
    Or(Vec<Test>),
    Name(String),
    Value(String),
}

impl Expression {
    /// Reads an expression.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_TEXT {
            return Err(format!("a filter has at most {MAX_TEXT} characters"));
        }
        let mut words = Words { rest: text, depth: 0 };
        let expression = words.either()?;
        words.skip();
        if words.rest.is_empty() { Ok(expression) } else { Err(words.wrong("the end")) }
    }

    /// Whether a message fulfils it.
    pub(super) fn matches(&self, message: &Message) -> bool {
        match self {
            Self::And(all) => all.iter().all(|e| e.matches(message)),
            Self::Or(all) => all.iter().any(|e| e.matches(message)),
            Self::Not(inner) => !inner.matches(message),
            Self::Some(of, test) => message.items().any(|(source, name, value)| {
                of.is_none_or(|of| of == source) && test.matches(name, value)
            }),
        }
    }
}

impl Test {
    fn matches(&self, name: &str, value: &str) -> bool {
        match self {
            Self::And(all) => all.iter().all(|t| t.matches(name, value)),
            Self::Or(all) => all.iter().any(|t| t.matches(name, value)),
            Self::Name(want) => want == name,
            Self::Value(want) => want == value,
        }
    }
}

/// What is left of an expression.
struct Words<'a> {
    rest: &'a str,
    depth: usize,
}

impl Words<'_> {
    fn skip(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn wrong(&self, wanted: &str) -> String {
        let near: String = self.rest.chars().take(20).collect();
        format!("at {near:?} there should be {wanted}")
    }

    /// Takes a word if it comes next.
    fn take(&mut self, word: &str) -> bool {
        self.skip();
        let Some(rest) = self.rest.strip_prefix(word) else { return false };
        let letters = |c: char| c.is_ascii_alphanumeric();
        // A word ends where its letters end.
        if word.ends_with(letters) && rest.starts_with(letters) {
            return false;
        }
        self.rest = rest;
        true
    }

    fn need(&mut self, word: &str) -> Result<(), String> {
        if self.take(word) { Ok(()) } else { Err(self.wrong(word)) }
    }

    fn deeper<T>(
        &mut self,
        inside: impl FnOnce(&mut Self) -> Result<T, String>,
    ) -> Result<T, String> {
        if self.depth >= MAX_DEPTH {
            return Err(format!("at most {MAX_DEPTH} brackets inside each other"));
        }
        self.depth += 1;
        let made = inside(self)?;
        self.depth -= 1;
        Ok(made)
    }

    fn either(&mut self) -> Result<Expression, String> {
        let mut all = vec![self.both()?];
        while self.take("or") {
            all.push(self.both()?);
        }
        Ok(if all.len() == 1 { all.swap_remove(0) } else { Expression::Or(all) })
    }

    fn both(&mut self) -> Result<Expression, String> {
        let mut all = vec![self.one()?];
        while self.take("and") {
            all.push(self.one()?);
        }
        Ok(if all.len() == 1 { all.swap_remove(0) } else { Expression::And(all) })
    }

    fn one(&mut self) -> Result<Expression, String> {
        if self.take("not") {
            self.need("(")?;
            let inner = self.deeper(Self::either)?;
            self.need(")")?;
            return Ok(Expression::Not(Box::new(inner)));
        }
        if self.take("(") {
            let inner = self.deeper(Self::either)?;
            self.need(")")?;
            return Ok(inner);
        }
        self.need("boolean")?;
        self.need("(")?;
        let of = self.path()?;
        self.need("[")?;
        let test = self.deeper(Self::any_test)?;
        self.need("]")?;
        self.need(")")?;
        Ok(Expression::Some(of, test))
    }

    /// `//tt:SimpleItem`, also below `tt:Source` or `tt:Data`; any prefix, or none.
    fn path(&mut self) -> Result<Option<bool>, String> {
        if !self.take("//") {
            return Err(self.wrong("//tt:SimpleItem"));
        }
        let mut of = None;
        loop {
            let end = self.rest.find(['/', '[']).unwrap_or(self.rest.len());
            let (step, rest) = self.rest.split_at(end);
            match step.trim().rsplit(':').next() {
                Some("SimpleItem") => {
                    self.rest = rest;
                    return Ok(of);
                }
                Some("Source") if rest.starts_with('/') => of = Some(true),
                Some("Data") if rest.starts_with('/') => of = Some(false),
                Some("Message") if rest.starts_with('/') => {}
                _ => return Err(self.wrong("SimpleItem")),
            }
            self.rest = &rest[1..];
        }
    }

    fn any_test(&mut self) -> Result<Test, String> {
        let mut all = vec![self.all_tests()?];
        while self.take("or") {
            all.push(self.all_tests()?);
        }
        Ok(if all.len() == 1 { all.swap_remove(0) } else { Test::Or(all) })
    }

    fn all_tests(&mut self) -> Result<Test, String> {
        let mut all = vec![self.test()?];
        while self.take("and") {
            all.push(self.test()?);
        }
        Ok(if all.len() == 1 { all.swap_remove(0) } else { Test::And(all) })
    }

    fn test(&mut self) -> Result<Test, String> {
        if self.take("(") {
            let inner = self.deeper(Self::any_test)?;
            self.need(")")?;
            return Ok(inner);
        }
        let make = if self.take("@Name") {
            Test::Name
        } else if self.take("@Value") {
            Test::Value
        } else {
            return Err(self.wrong("@Name or @Value"));
        };
        self.need("=")?;
        self.skip();
        let quote = self.rest.chars().next().filter(|c| "\"'".contains(*c));
        let quote = quote.ok_or_else(|| self.wrong("a text in quotes"))?;
        let Some((text, rest)) = self.rest[1..].split_once(quote) else {
            return Err(self.wrong("a text in quotes"));
        };
        self.rest = rest;
        Ok(make(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(filter: &str, state: &str) -> bool {
        let message =
            Message::new("tns1:VideoSource/MotionAlarm", 0, vec!["v1".into()], vec![state.into()]);
        Expression::parse(filter).unwrap().matches(&message)
    }

    #[test]
    fn filters_as_the_specification_has_them() {
        let of = "boolean(//tt:SimpleItem[@Name=\"Source\" and @Value=\"v1\"])";
        let on = "boolean(//tt:SimpleItem[@Name='State' and @Value='true'])";
        assert!(matches(of, "true") && matches(on, "true") && !matches(on, "false"));
        assert!(matches(&format!("{of} and {on}"), "true"));
        assert!(!matches(&format!("{of} and {on}"), "false"));
        assert!(matches(&format!("{of} or {on}"), "false"));
        assert!(matches(&format!(" not ( {on} ) and ({of})"), "false"));
        assert!(matches("boolean(//tt:Data/tt:SimpleItem[@Name=\"State\"])", "x"));
        assert!(!matches("boolean(//tt:Source/tt:SimpleItem[@Name=\"State\"])", "x"));
        let either = "boolean(//SimpleItem[@Name='X' or (@Name='State' and @Value='x')])";
        assert!(matches(either, "x") && !matches(either, "y"));
        assert!(!matches("boolean(//tt:SimpleItem[@Name='Source' and @Value='true'])", "true"));
    }

    #[test]
    fn what_is_not_of_the_dialect_is_refused() {
        for bad in [
            "",
            "true()",
            "boolean(//x)",
            "boolean(//tt:SimpleItem)",
            "boolean(//tt:SimpleItem[1])",
            "boolean(//tt:SimpleItem[@Name=Source])",
            "boolean(//tt:SimpleItem[@Name='Source)",
            "boolean(//tt:SimpleItem[@Name='a']) x",
            "boolean(//tt:SimpleItem[@Name='a'])andnot(boolean(//tt:SimpleItem[@Name='a']))",
            "boolean(//é/tt:SimpleItem[@Name='a'])",
            "not boolean(//tt:SimpleItem[@Name='a'])",
        ] {
            assert!(Expression::parse(bad).is_err(), "{bad}");
        }
        assert!(Expression::parse(&"(".repeat(MAX_TEXT)).unwrap_err().contains("brackets"));
        assert!(Expression::parse(&"x".repeat(MAX_TEXT + 1)).unwrap_err().contains("characters"));
    }
}
