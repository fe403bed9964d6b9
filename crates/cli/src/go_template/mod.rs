//! Go's template language, as far as `-o go-template` uses it: actions, pipelines, variables,
//! `if`, `range`, `with`, `define`, `template`, `break`, `continue`, comparison, `printf`, `index`,
//! `len`, `exists`, `base64decode` and the rest of the built-in functions.
//!
//! Objects have no methods, so nothing is ever called but the functions in [`functions`]. Nesting
//! of templates is bounded. Called by the printers of `-o`.

mod eval;
mod format;
mod functions;
mod item;
mod lex;
mod parse;

use crate::failure::{Failure, Outcome};
use serde_json::Value;

#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    text: String,
    program: parse::Program,
    /// Whether an absent field is an error.
    strict: bool,
}

impl Template {
    /// `strict`: a field that is not there is an error instead of `<no value>`.
    pub fn parse(text: &str, strict: bool) -> Outcome<Self> {
        let program = lex::lex(text).and_then(|tokens| parse::parse(&tokens)).map_err(|why| {
            Failure::message(format!("error parsing template {text}, template: output:{}: {}", why.line, why.text))
        })?;
        Ok(Template { text: text.to_owned(), program, strict })
    }

    /// What comes out, also of a template that stops half-way, whose failure is told in full there.
    pub fn render(&self, object: &Value) -> (String, Outcome) {
        let item = item::Item::from(object);
        let (mut out, done) = eval::run(&self.program, &item, self.strict);
        let Err(why) = done else { return (out, Ok(())) };
        let place = lex::place(&self.text, why.at);
        let inner = why.expression.map_or_else(String::new, |text| format!(" at <{text}>"));
        let told = format!("template: output:{place}: executing \"output\"{inner}: {}", why.text);
        out.push_str(&format!(
            "Error executing template: {told}. Printing more information for debugging the template:\n\ttemplate was:\n\t\t{}\n\traw data was:\n\t\t{}\n\tobject given to template engine was:\n\t\t{}\n\n",
            self.text,
            crate::print::json::compact(object),
            format::value(&item, false)
        ));
        (out, Err(Failure::message(format!("error executing template {}: {told}", format::quoted(&self.text)))))
    }
}

#[cfg(test)]
mod tests;
