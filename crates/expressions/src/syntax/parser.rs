//! Tokens to a tree, by recursive descent with precedence climbing.
//!
//! Both how deep it recurses and how high the tree grows are bounded. Chains of `&&` and `||` are
//! built balanced, so that long ones are no deep ones.

use super::ast::{Build, Call, Element, Entry, Expr, Kind, Literal, Select, Selection, Set};
use super::lexer::{Token, tokens};
use super::{Issue, MAX_CHARACTERS, MAX_HEIGHT, macros};
use std::borrow::Cow;

/// The tree, and how many nodes it has.
pub fn parse(source: &str) -> Result<(Expr, u32), Issue> {
    let size = source.chars().count();
    if size > MAX_CHARACTERS {
        let why = format!("expression code point size exceeds limit: size: {size}, limit {MAX_CHARACTERS}");
        return Err(Issue::new(0, why));
    }
    let mut parser = Parser { tokens: tokens(source)?, next: 0, depth: 0, nodes: 0 };
    let expr = parser.expression()?;
    match parser.peek() {
        Token::End => Ok((expr, parser.nodes)),
        _ => Err(parser.unexpected("<EOF>")),
    }
}

pub struct Parser {
    tokens: Vec<(Token, usize)>,
    next: usize,
    depth: u16,
    nodes: u32,
}

/// Words that cannot name a variable.
pub const RESERVED: [&str; 18] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
    "in",
];

const RELATIONS: [&str; 6] = ["<", "<=", ">=", ">", "==", "!="];

impl Parser {
    fn peek(&self) -> &Token {
        self.tokens.get(self.next).map_or(&Token::End, |(token, _)| token)
    }

    fn at(&self) -> usize {
        self.tokens.get(self.next).or(self.tokens.last()).map_or(0, |(_, at)| *at)
    }

    fn take(&mut self, sign: &'static str) -> bool {
        let found = matches!(self.peek(), Token::Sign(found) if *found == sign);
        self.next += usize::from(found);
        found
    }

    fn expect(&mut self, sign: &'static str) -> Result<(), Issue> {
        if self.take(sign) { Ok(()) } else { Err(self.unexpected(&format!("'{sign}'"))) }
    }

    fn unexpected(&self, wanted: &str) -> Issue {
        let found = self.peek().shown();
        Issue::new(self.at(), format!("Syntax error: mismatched input '{found}' expecting {wanted}"))
    }

    pub fn node(&mut self, at: usize, kind: Kind) -> Result<Expr, Issue> {
        let height = kind.height() + 1;
        if height > MAX_HEIGHT {
            return Err(too_deep(at));
        }
        let id = self.nodes;
        self.nodes += 1;
        Ok(Expr { id, at: u32::try_from(at).unwrap_or_default(), height, kind })
    }

    fn call(&mut self, at: usize, function: impl Into<Cow<'static, str>>, args: Vec<Expr>) -> Result<Expr, Issue> {
        self.node(at, Kind::Call(Box::new(Call { function: function.into(), target: None, args })))
    }

    fn expression(&mut self) -> Result<Expr, Issue> {
        self.depth += 1;
        if self.depth > MAX_HEIGHT {
            return Err(too_deep(self.at()));
        }
        let condition = self.either()?;
        let at = self.at();
        let expr = if self.take("?") {
            let then = self.either()?;
            self.expect(":")?;
            let otherwise = self.expression()?;
            self.call(at, "_?_:_", vec![condition, then, otherwise])?
        } else {
            condition
        };
        self.depth -= 1;
        Ok(expr)
    }

    fn either(&mut self) -> Result<Expr, Issue> {
        self.chain("||", "_||_", Self::both)
    }

    fn both(&mut self) -> Result<Expr, Issue> {
        self.chain("&&", "_&&_", Self::relation)
    }

    fn chain(
        &mut self,
        sign: &'static str,
        function: &'static str,
        term: fn(&mut Self) -> Result<Expr, Issue>,
    ) -> Result<Expr, Issue> {
        let mut terms = vec![term(self)?];
        let mut places = Vec::new();
        loop {
            let at = self.at();
            if !self.take(sign) {
                break;
            }
            places.push(at);
            terms.push(term(self)?);
        }
        self.balance(function, terms, &places)
    }

    fn balance(&mut self, function: &'static str, mut terms: Vec<Expr>, places: &[usize]) -> Result<Expr, Issue> {
        let middle = places.len() / 2;
        if places.is_empty() {
            return terms.pop().ok_or_else(|| self.unexpected("an expression"));
        }
        let right = terms.split_off(middle + 1);
        let left = self.balance(function, terms, &places[..middle])?;
        let right = self.balance(function, right, &places[middle + 1..])?;
        self.call(places[middle], function, vec![left, right])
    }

    fn relation(&mut self) -> Result<Expr, Issue> {
        let mut left = self.sum()?;
        loop {
            let at = self.at();
            let function = match self.peek() {
                Token::Sign(sign) if RELATIONS.contains(sign) => format!("_{sign}_"),
                Token::Ident(word) if word == "in" => "@in".to_owned(),
                _ => return Ok(left),
            };
            self.next += 1;
            let right = self.sum()?;
            left = self.call(at, function, vec![left, right])?;
        }
    }

    fn sum(&mut self) -> Result<Expr, Issue> {
        self.binary(&[("+", "_+_"), ("-", "_-_")], Self::product)
    }

    fn product(&mut self) -> Result<Expr, Issue> {
        self.binary(&[("*", "_*_"), ("/", "_/_"), ("%", "_%_")], Self::unary)
    }

    fn binary(
        &mut self,
        signs: &[(&'static str, &'static str)],
        term: fn(&mut Self) -> Result<Expr, Issue>,
    ) -> Result<Expr, Issue> {
        let mut left = term(self)?;
        loop {
            let at = self.at();
            let Some((_, function)) = signs.iter().find(|(sign, _)| self.take(sign)) else { return Ok(left) };
            let right = term(self)?;
            left = self.call(at, *function, vec![left, right])?;
        }
    }

    fn unary(&mut self) -> Result<Expr, Issue> {
        let at = self.at();
        let function = match self.peek() {
            Token::Sign("!") => "!_",
            Token::Sign("-") => "-_",
            _ => return self.member(false),
        };
        self.next += 1;
        if function == "-_" && matches!(self.peek(), Token::Int(_) | Token::Double(_)) {
            return self.member(true);
        }
        self.depth += 1;
        if self.depth > MAX_HEIGHT {
            return Err(too_deep(at));
        }
        let operand = self.unary()?;
        self.depth -= 1;
        self.call(at, function, vec![operand])
    }

    fn member(&mut self, negative: bool) -> Result<Expr, Issue> {
        let mut expr = self.primary(negative)?;
        loop {
            let at = self.at();
            if self.take(".") {
                expr = self.dotted(expr, at)?;
            } else if self.take("[") {
                let optional = self.take("?");
                let index = self.expression()?;
                self.expect("]")?;
                expr = self.call(at, if optional { "_[?_]" } else { "_[_]" }, vec![expr, index])?;
            } else if is_type_name(&expr) && self.take("{") {
                expr = self.build(path(&expr), at)?;
            } else {
                return Ok(expr);
            }
        }
    }

    /// What follows a dot: a field or a method.
    fn dotted(&mut self, operand: Expr, at: usize) -> Result<Expr, Issue> {
        let optional = self.take("?");
        let field = match self.peek() {
            Token::Ident(name) if !["in", "true", "false", "null"].contains(&name.as_str()) => name.clone(),
            Token::Quoted(name) => name.clone(),
            _ => return Err(self.unexpected("IDENTIFIER")),
        };
        let quoted = matches!(self.peek(), Token::Quoted(_));
        self.next += 1;
        let here = self.at();
        if !optional && !quoted && self.take("(") {
            let args = self.arguments(")")?;
            return macros::method(self, here, field, operand, args);
        }
        let form = if optional { Selection::Optional } else { Selection::Plain };
        self.node(at, Kind::Select(Box::new(Select { operand, field, form })))
    }

    fn arguments(&mut self, close: &'static str) -> Result<Vec<Expr>, Issue> {
        let mut args = Vec::new();
        while !self.take(close) {
            args.push(self.expression()?);
            if !self.take(",") {
                self.expect(close)?;
                break;
            }
        }
        Ok(args)
    }

    fn primary(&mut self, negative: bool) -> Result<Expr, Issue> {
        let at = self.at();
        // A dot first: the name is looked up from the root, which is where all names are.
        self.take(".");
        let token = self.peek().clone();
        self.next += 1;
        let literal = match token {
            Token::Int(number) => Literal::Int(signed(number, negative).ok_or_else(|| overflow(at))?),
            Token::Uint(number) => Literal::Uint(number),
            Token::Double(number) => Literal::Double(if negative { -number } else { number }),
            Token::String(text) => Literal::String(text),
            Token::Bytes(bytes) => Literal::Bytes(bytes),
            Token::Ident(name) => return self.named(name, at),
            Token::Sign("(") => {
                let inner = self.expression()?;
                self.expect(")")?;
                return Ok(inner);
            }
            Token::Sign("[") => return self.list(at),
            Token::Sign("{") => return self.map(at),
            _ => {
                self.next -= 1;
                return Err(self.unexpected("{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}"));
            }
        };
        self.node(at, Kind::Literal(literal))
    }

    fn named(&mut self, name: String, at: usize) -> Result<Expr, Issue> {
        let literal = match name.as_str() {
            "true" => Literal::Bool(true),
            "false" => Literal::Bool(false),
            "null" => Literal::Null,
            _ => {
                if RESERVED.contains(&name.as_str()) {
                    return Err(Issue::new(at, format!("reserved identifier: {name}")));
                }
                let here = self.at();
                if self.take("(") {
                    let args = self.arguments(")")?;
                    return match name.as_str() {
                        "has" => macros::has(self, here, args),
                        _ => self.call(here, name, args),
                    };
                }
                return self.node(at, Kind::Ident(name));
            }
        };
        self.node(at, Kind::Literal(literal))
    }

    fn list(&mut self, at: usize) -> Result<Expr, Issue> {
        let mut items = Vec::new();
        while !self.take("]") {
            let optional = self.take("?");
            items.push(Element { value: self.expression()?, optional });
            if !self.take(",") {
                self.expect("]")?;
                break;
            }
        }
        self.node(at, Kind::List(items))
    }

    fn build(&mut self, name: String, at: usize) -> Result<Expr, Issue> {
        let mut fields = Vec::new();
        while !self.take("}") {
            let optional = self.take("?");
            let here = self.at();
            let field = match self.peek() {
                Token::Ident(name) | Token::Quoted(name) => name.clone(),
                _ => return Err(self.unexpected("IDENTIFIER")),
            };
            self.next += 1;
            self.expect(":")?;
            let value = self.expression()?;
            fields.push(Set { field, at: u32::try_from(here).unwrap_or_default(), value, optional });
            if !self.take(",") {
                self.expect("}")?;
                break;
            }
        }
        self.node(at, Kind::Build(Build { name: name.into(), fields }))
    }

    fn map(&mut self, at: usize) -> Result<Expr, Issue> {
        let mut entries = Vec::new();
        while !self.take("}") {
            let optional = self.take("?");
            let key = self.expression()?;
            self.expect(":")?;
            entries.push(Entry { key, value: self.expression()?, optional });
            if !self.take(",") {
                self.expect("}")?;
                break;
            }
        }
        self.node(at, Kind::Map(entries))
    }
}

fn too_deep(at: usize) -> Issue {
    Issue::new(at, format!("expression recursion limit exceeded: {MAX_HEIGHT}"))
}

fn overflow(at: usize) -> Issue {
    Issue::new(at, "invalid int literal")
}

fn signed(number: u64, negative: bool) -> Option<i64> {
    match negative {
        true if number == i64::MIN.unsigned_abs() => Some(i64::MIN),
        true => i64::try_from(number).ok().map(|number| -number),
        false => i64::try_from(number).ok(),
    }
}

/// What stands here may be the name of a type to build; the checker knows which there are.
fn is_type_name(expr: &Expr) -> bool {
    match &expr.kind {
        Kind::Ident(_) => true,
        Kind::Select(select) => select.form == Selection::Plain && is_type_name(&select.operand),
        _ => false,
    }
}

/// `a.b.c` of a selection that is nothing but names.
pub fn path(expr: &Expr) -> String {
    match &expr.kind {
        Kind::Ident(name) => name.clone(),
        Kind::Select(select) => format!("{}.{}", path(&select.operand), select.field),
        _ => String::new(),
    }
}
