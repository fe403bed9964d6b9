//! How the claims of an issuer's tokens become users: by the names of claims with prefixes, or by
//! expressions; and the rules that claims and users must keep.

use super::super::configuration::{ClaimOrExpression, ClaimRule, Jwt, Prefixed, UserRule};
use expressions::{Environment, PER_CALL_LIMIT, Program, Scope, Type, Value as Cel, compile};
use meta::User;
use meta::field::{ErrorList, FieldError, Path as Field};
use serde_json::Value;

/// The claims: whatever the issuer says.
static CLAIMS: Type = Type::DYN;

/// Where a value comes from.
enum Source {
    Claim { claim: String, prefix: String },
    Expression(Program),
}

enum Rule {
    Claim { claim: String, value: String },
    Expression { program: Program, message: String },
}

pub struct Mapping {
    username: Option<Source>,
    groups: Option<Source>,
    uid: Option<Source>,
    extra: Vec<(String, Program)>,
    claim_rules: Vec<Rule>,
    user_rules: Vec<(Program, String)>,
    user_type: Type,
}

/// The variable `user` of user validation rules.
fn user_type() -> Type {
    Type::object(
        "kubernetes.UserInfo",
        [
            ("username", Type::STRING),
            ("uid", Type::STRING),
            ("groups", Type::list(Type::STRING)),
            ("extra", Type::map(Type::STRING, Type::list(Type::STRING))),
        ],
    )
}

fn compiled(
    path: &Field,
    source: &str,
    variable: &str,
    kind: &Type,
    wanted: &[Type],
    errors: &mut ErrorList,
) -> Option<Program> {
    let environment = Environment::new().with(variable, kind.clone());
    match compile(source, &environment, wanted) {
        Ok(program) => Some(program),
        Err(error) => {
            errors.push(FieldError::invalid(path, source, &error.to_string()));
            None
        }
    }
}

fn texts() -> [Type; 2] {
    [Type::STRING, Type::list(Type::STRING)]
}

impl Mapping {
    /// Reads and checks what the configuration says at `path`.
    pub(in super::super) fn new(path: &Field, jwt: &Jwt, errors: &mut ErrorList) -> Self {
        let rules = path.child("claimValidationRules");
        let claim_rules = jwt.claim_validation_rules.iter().enumerate().filter_map(|(index, rule)| {
            claim_rule(&rules.index(index), rule, &jwt.claim_validation_rules[..index], errors)
        });
        let claim_rules: Vec<Rule> = claim_rules.collect();
        let at = path.child("claimMappings");
        let given = &jwt.claim_mappings;
        let username = prefixed(&at.child("username"), &given.username, &[Type::STRING], true, errors);
        let groups = prefixed(&at.child("groups"), &given.groups, &texts(), false, errors);
        let uid = uid(&at.child("uid"), &given.uid, errors);
        let mut extra: Vec<(String, Program)> = Vec::new();
        for (index, one) in given.extra.iter().enumerate() {
            let at = at.child("extra").index(index);
            check_key(&at.child("key"), &one.key, &extra, errors);
            let value = at.child("valueExpression");
            if one.value_expression.trim().is_empty() {
                errors.push(FieldError::required(&value, "valueExpression is required"));
                continue;
            }
            let program = compiled(&value, &one.value_expression, "claims", &CLAIMS, &texts(), errors);
            extra.extend(program.map(|program| (one.key.clone(), program)));
        }
        let rules = path.child("userValidationRules");
        let user_type = user_type();
        let user_rules = jwt.user_validation_rules.iter().enumerate().filter_map(|(index, rule)| {
            user_rule(&rules.index(index), rule, &jwt.user_validation_rules[..index], &user_type, errors)
        });
        let user_rules = user_rules.collect();
        check_email(&at.child("username").child("expression"), jwt, errors);
        Mapping { username, groups, uid, extra, claim_rules, user_rules, user_type }
    }

    /// The user that verified claims stand for.
    ///
    /// # Errors
    /// What about them is not as it must be.
    pub fn user(&self, claims: &Value) -> Result<User, String> {
        for rule in &self.claim_rules {
            check_claims(rule, claims)?;
        }
        let mut user = User { name: self.name(claims)?, ..User::default() };
        if let Some(source) = &self.groups {
            user.groups = source.groups(claims)?;
        }
        if let Some(source) = &self.uid {
            user.uid = match source {
                Source::Claim { claim, .. } => string_claim(claims, claim).map_err(|why| format!("oidc: {why}"))?,
                Source::Expression(program) => text(program, claims, "uid")?,
            };
        }
        for (key, program) in &self.extra {
            let values: Vec<String> =
                run(program, claims, "extra")?.into_iter().filter(|one| !one.is_empty()).collect();
            if !values.is_empty() {
                user.extra.insert(key.clone(), values);
            }
        }
        self.check_user(&user)?;
        Ok(user)
    }

    fn name(&self, claims: &Value) -> Result<String, String> {
        match &self.username {
            Some(Source::Claim { claim, prefix }) => {
                let name = string_claim(claims, claim)
                    .map_err(|why| format!("oidc: parse username claims {claim:?}: {why}"))?;
                if claim == "email" {
                    // An issuer that says whether it checked the address is to be believed.
                    match &claims["email_verified"] {
                        Value::Null | Value::Bool(true) => {}
                        Value::Bool(false) => return Err("oidc: email not verified".to_owned()),
                        _ => return Err("oidc: parse 'email_verified' claim: it is no boolean".to_owned()),
                    }
                }
                Ok(format!("{prefix}{name}"))
            }
            Some(Source::Expression(program)) => {
                let name = text(program, claims, "username")?;
                if name.is_empty() {
                    Err("oidc: empty username via CEL expression is not allowed".to_owned())
                } else {
                    Ok(name)
                }
            }
            None => Err("oidc: no username".to_owned()),
        }
    }

    fn check_user(&self, user: &User) -> Result<(), String> {
        if self.user_rules.is_empty() {
            return Ok(());
        }
        let json = serde_json::json!({
            "username": user.name, "uid": user.uid, "groups": user.groups, "extra": user.extra,
        });
        let scope = Scope::new().json("user", &json, &self.user_type);
        for (program, message) in &self.user_rules {
            holds(program, &scope, message)
                .map_err(|why| format!("oidc: error evaluating user info validation rule: {why}"))?;
        }
        Ok(())
    }
}

impl Source {
    /// One group or several.
    fn groups(&self, claims: &Value) -> Result<Vec<String>, String> {
        match self {
            Source::Claim { claim, prefix } => {
                let values = match &claims[claim.as_str()] {
                    Value::Null => Vec::new(),
                    Value::String(one) => vec![one.clone()],
                    Value::Array(all) => {
                        all.iter()
                            .map(|one| one.as_str().map(str::to_owned))
                            .collect::<Option<_>>()
                            .ok_or_else(|| format!("oidc: parse groups claim {claim:?}: a group is no string"))?
                    }
                    _ => {
                        return Err(format!(
                            "oidc: parse groups claim {claim:?}: neither a string nor a list of strings"
                        ));
                    }
                };
                Ok(values.into_iter().map(|group| format!("{prefix}{group}")).collect())
            }
            Source::Expression(program) => {
                Ok(run(program, claims, "groups")?.into_iter().filter(|group| !group.is_empty()).collect())
            }
        }
    }
}

fn string_claim(claims: &Value, claim: &str) -> Result<String, String> {
    match claims.get(claim) {
        None => Err("claim not present".to_owned()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(_) => Err(format!("parse claim {claim}: it is no string")),
    }
}

/// What an expression over the claims comes to: a string or several.
fn run(program: &Program, claims: &Value, what: &str) -> Result<Vec<String>, String> {
    let scope = Scope::new().json("claims", claims, &CLAIMS);
    let failed = |why: &str| format!("oidc: error evaluating {what} claim expression: {why}");
    let value = program.evaluate(&scope, PER_CALL_LIMIT).result.map_err(|fault| failed(&fault.to_string()))?;
    match value {
        Cel::Null => Ok(Vec::new()),
        Cel::String(one) => Ok(vec![one.to_string()]),
        Cel::List(all) => all
            .iter()
            .map(|one| one.as_str().map(str::to_owned))
            .collect::<Option<_>>()
            .ok_or_else(|| failed("a value of the list is no string")),
        other => Err(failed(&format!("expected string or list of strings, got {}", other.type_name()))),
    }
}

fn text(program: &Program, claims: &Value, what: &str) -> Result<String, String> {
    match run(program, claims, what)?.as_slice() {
        [one] => Ok(one.clone()),
        _ => Err(format!("oidc: error evaluating {what} claim expression: it must come to a string")),
    }
}

fn check_claims(rule: &Rule, claims: &Value) -> Result<(), String> {
    match rule {
        Rule::Claim { claim, value } => match claims.get(claim.as_str()) {
            None => Err(format!("oidc: required claim {claim} not present in ID token")),
            Some(Value::String(found)) if found == value => Ok(()),
            Some(Value::String(found)) => {
                Err(format!("oidc: required claim {claim} value does not match. Got = {found}, want = {value}"))
            }
            Some(_) => Err(format!("oidc: parse claim {claim}: it is no string")),
        },
        Rule::Expression { program, message } => {
            let scope = Scope::new().json("claims", claims, &CLAIMS);
            holds(program, &scope, message)
                .map_err(|why| format!("oidc: error evaluating claim validation rule: {why}"))
        }
    }
}

fn holds<'a>(program: &'a Program, scope: &Scope<'a>, message: &str) -> Result<(), String> {
    match program.evaluate(scope, PER_CALL_LIMIT).result {
        Ok(value) if value.as_bool() == Some(true) => Ok(()),
        Ok(_) if message.is_empty() => Err(format!("validation expression '{}' failed", program.source())),
        Ok(_) => Err(format!("validation expression '{}' failed: {message}", program.source())),
        Err(fault) => Err(format!("expression '{}' resulted in error: {fault}", program.source())),
    }
}

fn prefixed(path: &Field, given: &Prefixed, wanted: &[Type], needed: bool, errors: &mut ErrorList) -> Option<Source> {
    let prefix = path.child("prefix");
    match (given.claim.is_empty(), given.expression.is_empty()) {
        (false, false) => {
            errors.push(FieldError::invalid(path, "", "claim and expression can't both be set"));
            None
        }
        (true, true) => {
            if needed {
                errors.push(FieldError::required(path, "claim or expression is required"));
            }
            if given.prefix.is_some() {
                errors.push(FieldError::invalid(
                    &prefix,
                    given.prefix.as_deref().unwrap_or_default(),
                    "prefix can't be set when claim is not set",
                ));
            }
            None
        }
        (true, false) => {
            if let Some(text) = &given.prefix {
                errors.push(FieldError::invalid(&prefix, text.as_str(), "prefix can't be set when expression is set"));
            }
            compiled(&path.child("expression"), &given.expression, "claims", &CLAIMS, wanted, errors)
                .map(Source::Expression)
        }
        (false, true) => {
            if given.prefix.is_none() {
                let why = "prefix is required when claim is set. It can be set to an empty string to disable prefixing";
                errors.push(FieldError::required(&prefix, why));
            }
            Some(Source::Claim { claim: given.claim.clone(), prefix: given.prefix.clone().unwrap_or_default() })
        }
    }
}

fn uid(path: &Field, given: &ClaimOrExpression, errors: &mut ErrorList) -> Option<Source> {
    match (given.claim.is_empty(), given.expression.is_empty()) {
        (false, false) => {
            errors.push(FieldError::invalid(path, "", "claim and expression can't both be set"));
            None
        }
        (true, true) => None,
        (true, false) => {
            compiled(&path.child("expression"), &given.expression, "claims", &CLAIMS, &[Type::STRING], errors)
                .map(Source::Expression)
        }
        (false, true) => Some(Source::Claim { claim: given.claim.clone(), prefix: String::new() }),
    }
}

fn check_key(path: &Field, key: &str, before: &[(String, Program)], errors: &mut ErrorList) {
    if key.is_empty() {
        errors.push(FieldError::required(path, ""));
        return;
    }
    let mut wrong = |why: &str| errors.push(FieldError::invalid(path, key, why));
    let domain = key
        .split_once('/')
        .filter(|(domain, rest)| !rest.is_empty() && meta::validation::dns1123_subdomain(domain).is_empty());
    match domain {
        None => wrong("must be a domain-prefixed path (such as \"acme.io/foo\")"),
        Some((domain, _)) => {
            let is_reserved = |own: &str| domain == own || domain.ends_with(&format!(".{own}"));
            if is_reserved("k8s.io") || is_reserved("kubernetes.io") {
                wrong("k8s.io, kubernetes.io and their subdomains are reserved for Kubernetes use");
            }
        }
    }
    if key != key.to_lowercase() {
        wrong("key must be lowercase");
    }
    if before.iter().any(|(earlier, _)| earlier == key) {
        errors.push(FieldError::duplicate(path, key));
    }
}

fn claim_rule(path: &Field, rule: &ClaimRule, before: &[ClaimRule], errors: &mut ErrorList) -> Option<Rule> {
    match (rule.claim.is_empty(), rule.expression.is_empty()) {
        (false, false) => {
            errors.push(FieldError::invalid(path, rule.claim.as_str(), "claim and expression can't both be set"));
            None
        }
        (true, true) => {
            errors.push(FieldError::required(path, "claim or expression is required"));
            None
        }
        (false, true) => {
            if !rule.message.is_empty() {
                let at = path.child("message");
                errors.push(FieldError::invalid(&at, rule.message.as_str(), "message can't be set when claim is set"));
            }
            if before.iter().any(|earlier| earlier.claim == rule.claim) {
                errors.push(FieldError::duplicate(&path.child("claim"), rule.claim.as_str()));
            }
            Some(Rule::Claim { claim: rule.claim.clone(), value: rule.required_value.clone() })
        }
        (true, false) => {
            if !rule.required_value.is_empty() {
                let at = path.child("requiredValue");
                let why = "requiredValue can't be set when expression is set";
                errors.push(FieldError::invalid(&at, rule.required_value.as_str(), why));
            }
            let at = path.child("expression");
            if before.iter().any(|earlier| earlier.expression == rule.expression) {
                errors.push(FieldError::duplicate(&at, rule.expression.as_str()));
            }
            let program = compiled(&at, &rule.expression, "claims", &CLAIMS, &[Type::Bool], errors)?;
            Some(Rule::Expression { program, message: rule.message.clone() })
        }
    }
}

fn user_rule(
    path: &Field,
    rule: &UserRule,
    before: &[UserRule],
    user: &Type,
    errors: &mut ErrorList,
) -> Option<(Program, String)> {
    let at = path.child("expression");
    if rule.expression.trim().is_empty() {
        errors.push(FieldError::required(&at, "expression is required"));
        return None;
    }
    if before.iter().any(|earlier| earlier.expression == rule.expression) {
        errors.push(FieldError::duplicate(&at, rule.expression.as_str()));
    }
    let program = compiled(&at, &rule.expression, "user", user, &[Type::Bool], errors)?;
    Some((program, rule.message.clone()))
}

/// Who names users by an address must look at whether the issuer checked it.
fn check_email(path: &Field, jwt: &Jwt, errors: &mut ErrorList) {
    let name = &jwt.claim_mappings.username.expression;
    let rules = jwt.claim_validation_rules.iter().map(|rule| &rule.expression);
    let extra = jwt.claim_mappings.extra.iter().map(|extra| &extra.value_expression);
    let is_address = |source: &String| {
        source.match_indices("claims.email").any(|(at, word)| {
            !source[at + word.len()..].starts_with(|next: char| next.is_ascii_alphanumeric() || next == '_')
        })
    };
    let mut all = rules.chain(extra).chain(std::iter::once(name));
    if is_address(name) && !all.any(|source| source.contains("email_verified")) {
        let why = "claims.email_verified must be used in claimMappings.username.expression or \
                   claimMappings.extra[*].valueExpression or claimValidationRules[*].expression when claims.email is \
                   used in claimMappings.username.expression";
        errors.push(FieldError::invalid(path, name.as_str(), why));
    }
}
