//! The two languages of output templates, for those who have a template and an object and no command
//! line: fuzzing.
//!
//! Failures are told as kubectl tells them.

use crate::{go_template, jsonpath};
use serde_json::Value;

/// What `-o jsonpath=TEMPLATE` prints.
///
/// # Errors
/// The template does not read, or stops at something it cannot do.
pub fn jsonpath(template: &str, object: &Value) -> Result<String, String> {
    let _ = jsonpath::Template::relaxed(template).map(|path| path.find(object).len());
    let template = jsonpath::Template::parse(template).map_err(|failure| failure.to_string())?;
    template.render(object).map_err(|failure| failure.to_string())
}

/// What `-o go-template=TEMPLATE` prints.
///
/// # Errors
/// The template does not read, or stops at something it cannot do.
pub fn go_template(template: &str, object: &Value) -> Result<String, String> {
    let template = go_template::Template::parse(template, false).map_err(|failure| failure.to_string())?;
    let (printed, done) = template.render(object);
    done.map(|()| printed).map_err(|failure| failure.to_string())
}
