//! From tokens to a program: lists of nodes, and the named templates.

use super::functions;
use super::lex::{Literal, Placed, SyntaxError, Token};
use std::collections::BTreeMap;

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Program {
    pub main: Vec<Node>,
    pub named: BTreeMap<String, Vec<Node>>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    Text(String),
    /// Prints what it finds, unless it names a variable.
    Action(Pipe),
    If(Pipe, Vec<Node>, Vec<Node>),
    With(Pipe, Vec<Node>, Vec<Node>),
    Range(Pipe, Vec<Node>, Vec<Node>),
    Template(String, Option<Pipe>),
    Break,
    Continue,
}

/// Commands of which each hands its value to the next as its last argument.
#[derive(Debug, Clone, PartialEq)]
pub struct Pipe {
    pub at: usize,
    pub variables: Vec<String>,
    /// `=` instead of `:=`.
    pub assigns: bool,
    pub commands: Vec<Command>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Command {
    pub at: usize,
    pub operands: Vec<Operand>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Operand {
    Function(String),
    Literal(Literal),
    Bool(bool),
    Nil,
    /// `.` and `.a.b`; where it is told to be when it fails.
    Dot(usize, Vec<String>),
    /// `$x.a`
    Variable(usize, String, Vec<String>),
    /// `(…).a`
    Inner(usize, Box<Pipe>, Vec<String>),
}

type Parsed<T> = Result<T, SyntaxError>;

/// How deep actions may stand in each other.
const MAX_DEPTH: usize = 200;

pub fn parse(tokens: &[Placed]) -> Parsed<Program> {
    let mut parser = Parser { tokens, at: 0, line: 1, named: BTreeMap::new(), ranges: 0, depth: 0 };
    let (main, end) = parser.nodes()?;
    match end {
        End::Text => Ok(Program { main, named: parser.named }),
        _ => parser.fail("unexpected {{end}}"),
    }
}

/// What a list of nodes ended with.
enum End {
    Text,
    Closed,
    Else,
}

struct Parser<'t> {
    tokens: &'t [Placed],
    at: usize,
    line: usize,
    named: BTreeMap<String, Vec<Node>>,
    ranges: usize,
    depth: usize,
}

impl<'t> Parser<'t> {
    fn fail<T>(&self, why: impl Into<String>) -> Parsed<T> {
        Err(SyntaxError { line: self.line, text: why.into() })
    }

    fn peek(&self) -> Option<&'t Token> {
        self.tokens.get(self.at).map(|(_, token)| token)
    }

    fn place(&self) -> usize {
        self.tokens.get(self.at).map_or(0, |(at, _)| *at)
    }

    fn next(&mut self) -> Option<&'t Token> {
        let token = self.peek();
        self.at += 1;
        token
    }

    fn blanks(&mut self) {
        while self.peek() == Some(&Token::Space) {
            self.at += 1;
        }
    }

    fn close(&mut self, context: &str) -> Parsed<()> {
        self.blanks();
        match self.next() {
            Some(Token::Close) => Ok(()),
            other => self.fail(format!("unexpected {} in {context}", told(other))),
        }
    }

    fn word(&self) -> Option<&'t str> {
        match self.peek() {
            Some(Token::Word(word)) => Some(word),
            _ => None,
        }
    }

    fn deeper(&mut self) -> Parsed<()> {
        self.depth += 1;
        if self.depth > MAX_DEPTH { self.fail("actions are nested too deeply") } else { Ok(()) }
    }

    fn nodes(&mut self) -> Parsed<(Vec<Node>, End)> {
        self.deeper()?;
        let mut nodes = Vec::new();
        while let Some(token) = self.next() {
            match token {
                Token::Text(text) => {
                    self.line += text.matches('\n').count();
                    nodes.push(Node::Text(text.clone()));
                }
                _ => {
                    self.blanks();
                    let keyword = self.word();
                    match keyword {
                        Some("end") => {
                            self.at += 1;
                            self.close("end")?;
                            self.depth -= 1;
                            return Ok((nodes, End::Closed));
                        }
                        Some("else") => {
                            self.at += 1;
                            self.depth -= 1;
                            return Ok((nodes, End::Else));
                        }
                        _ => nodes.extend(self.action(keyword)?),
                    }
                }
            }
        }
        self.depth -= 1;
        Ok((nodes, End::Text))
    }

    fn action(&mut self, keyword: Option<&str>) -> Parsed<Option<Node>> {
        let keyword = keyword.unwrap_or_default();
        if ["if", "with", "range", "template", "define", "block", "break", "continue"].contains(&keyword) {
            self.at += 1;
            self.blanks();
        }
        Ok(Some(match keyword {
            "if" | "with" | "range" => self.control(keyword)?,
            "break" | "continue" if self.ranges == 0 => {
                return self.fail(format!("{{{{{keyword}}}}} outside {{{{range}}}}"));
            }
            "break" | "continue" => {
                self.close(keyword)?;
                if keyword == "break" { Node::Break } else { Node::Continue }
            }
            "template" => self.template()?,
            "define" => return self.define().map(|()| None),
            "block" => self.block()?,
            _ => {
                let pipe = self.pipe("command")?;
                self.close("command")?;
                Node::Action(pipe)
            }
        }))
    }

    fn control(&mut self, keyword: &str) -> Parsed<Node> {
        // Of a chain of `else if`, each stands in the one before it.
        self.deeper()?;
        let pipe = self.pipe(keyword)?;
        self.close(keyword)?;
        let is_range = keyword == "range";
        self.ranges += usize::from(is_range);
        let (body, end) = self.nodes()?;
        self.ranges -= usize::from(is_range);
        let otherwise = match end {
            End::Text => return self.fail("unexpected EOF"),
            End::Closed => Vec::new(),
            End::Else => self.otherwise(keyword)?,
        };
        self.depth -= 1;
        Ok(match keyword {
            "if" => Node::If(pipe, body, otherwise),
            "with" => Node::With(pipe, body, otherwise),
            _ => Node::Range(pipe, body, otherwise),
        })
    }

    /// What follows `else`: a list, or `if` or `with` again, which share one `end`.
    fn otherwise(&mut self, keyword: &str) -> Parsed<Vec<Node>> {
        self.blanks();
        if keyword != "range" && self.word() == Some(keyword) {
            self.at += 1;
            self.blanks();
            return Ok(vec![self.control(keyword)?]);
        }
        self.close("else")?;
        match self.nodes()? {
            (nodes, End::Closed) => Ok(nodes),
            (_, End::Else) => self.fail("expected end; found {{else}}"),
            (_, End::Text) => self.fail("unexpected EOF"),
        }
    }

    fn name(&mut self, context: &str) -> Parsed<String> {
        self.blanks();
        match self.next() {
            Some(Token::Literal(Literal::Text(name))) => Ok(name.clone()),
            other => self.fail(format!("unexpected {} in {context}", told(other))),
        }
    }

    fn template(&mut self) -> Parsed<Node> {
        let name = self.name("template clause")?;
        self.blanks();
        let pipe = if self.peek() == Some(&Token::Close) { None } else { Some(self.pipe("template clause")?) };
        self.close("template clause")?;
        Ok(Node::Template(name, pipe))
    }

    fn define(&mut self) -> Parsed<()> {
        let name = self.name("define clause")?;
        self.close("define clause")?;
        self.body_of(name)
    }

    fn block(&mut self) -> Parsed<Node> {
        let name = self.name("block clause")?;
        self.blanks();
        let pipe = self.pipe("block clause")?;
        self.close("block clause")?;
        self.body_of(name.clone())?;
        Ok(Node::Template(name, Some(pipe)))
    }

    fn body_of(&mut self, name: String) -> Parsed<()> {
        match self.nodes()? {
            (nodes, End::Closed) => {
                self.named.insert(name, nodes);
                Ok(())
            }
            _ => self.fail("unexpected EOF"),
        }
    }

    /// Up to what ends it: the closing braces or a closing parenthesis.
    fn pipe(&mut self, context: &str) -> Parsed<Pipe> {
        self.deeper()?;
        self.blanks();
        let mut pipe = Pipe { at: self.place(), variables: Vec::new(), assigns: false, commands: Vec::new() };
        self.declarations(&mut pipe)?;
        loop {
            self.blanks();
            let command = self.command()?;
            if command.operands.is_empty() {
                let found = told(self.peek());
                return match pipe.commands.is_empty() {
                    true => self.fail(format!("missing value for {context}")),
                    false => self.fail(format!("unexpected {found} in {context}")),
                };
            }
            pipe.commands.push(command);
            self.blanks();
            match self.peek() {
                Some(Token::Pipe) => self.at += 1,
                Some(Token::Close | Token::Right) => {
                    self.depth -= 1;
                    return Ok(pipe);
                }
                other => return self.fail(format!("unexpected {} in {context}", told(other))),
            }
        }
    }

    /// `$x :=`, `$x =`, `$i, $x :=`
    fn declarations(&mut self, pipe: &mut Pipe) -> Parsed<()> {
        let before = self.at;
        while let Some(Token::Variable(name)) = self.peek() {
            self.at += 1;
            self.blanks();
            pipe.variables.push(name.clone());
            match self.peek() {
                Some(Token::Comma) => {
                    self.at += 1;
                    self.blanks();
                }
                Some(Token::Declare | Token::Assign) => {
                    pipe.assigns = self.next() == Some(&Token::Assign);
                    return Ok(());
                }
                _ => break,
            }
        }
        // A variable's use, not its declaration.
        self.at = before;
        pipe.variables.clear();
        Ok(())
    }

    fn command(&mut self) -> Parsed<Command> {
        let mut command = Command { at: self.place(), operands: Vec::new() };
        loop {
            self.blanks();
            match self.peek() {
                None | Some(Token::Pipe | Token::Close | Token::Right) => return Ok(command),
                Some(_) => command.operands.push(self.operand()?),
            }
        }
    }

    fn operand(&mut self) -> Parsed<Operand> {
        let at = self.place();
        let token = self.next();
        // Go names the place of the second field of a chain.
        let chained = if matches!(self.peek(), Some(Token::Field(_))) { self.place() } else { at };
        Ok(match token {
            Some(Token::Literal(literal)) => Operand::Literal(literal.clone()),
            Some(Token::Word(word)) => match word.as_str() {
                "true" | "false" => Operand::Bool(word == "true"),
                "nil" => Operand::Nil,
                name if functions::is_known(name) => Operand::Function(name.to_owned()),
                name => return self.fail(format!("function {name:?} not defined")),
            },
            Some(Token::Field(name)) if name.is_empty() => Operand::Dot(at, Vec::new()),
            Some(Token::Field(name)) => Operand::Dot(chained, self.chain(vec![name.clone()])),
            Some(Token::Variable(name)) => Operand::Variable(chained, name.clone(), self.chain(Vec::new())),
            Some(Token::Left) => {
                let pipe = self.pipe("parenthesized pipeline")?;
                if self.next() != Some(&Token::Right) {
                    return self.fail("unclosed left paren");
                }
                Operand::Inner(at, Box::new(pipe), self.chain(Vec::new()))
            }
            other => return self.fail(format!("unexpected {} in operand", told(other))),
        })
    }

    /// The fields that follow without a blank.
    fn chain(&mut self, mut names: Vec<String>) -> Vec<String> {
        while let Some(Token::Field(name)) = self.peek() {
            names.push(name.clone());
            self.at += 1;
        }
        names
    }
}

fn told(token: Option<&Token>) -> String {
    match token {
        None => "EOF".to_owned(),
        Some(Token::Close) => "\"}}\"".to_owned(),
        Some(Token::Word(word)) => format!("<{word}>"),
        Some(Token::Right) => "\")\"".to_owned(),
        Some(Token::Declare) => "\":=\"".to_owned(),
        Some(Token::Assign) => "\"=\"".to_owned(),
        Some(Token::Comma) => "\",\"".to_owned(),
        Some(Token::Field(name)) => format!("<.{name}>"),
        Some(Token::Literal(literal)) => match literal {
            Literal::Text(text) => format!("{text:?}"),
            Literal::Int(number) => format!("{number:?}"),
            Literal::Float(number) => format!("{number:?}"),
        },
        Some(other) => format!("{other:?}"),
    }
}
