//! Runs a template on an object.

use super::format::value;
use super::functions;
use super::item::Item;
use super::lex::Literal;
use super::parse::{Command, Node, Operand, Pipe, Program};

/// Why a template stopped, and where.
#[derive(Debug)]
pub struct Fault {
    pub at: usize,
    /// The command that went wrong.
    pub expression: Option<String>,
    pub text: String,
}

/// How deep lists and parentheses may run in each other, those of templates that call each other
/// included: each level takes up to 8 KB of the stack, and a thread's has 2 MB.
const MAX_DEPTH: usize = 200;
/// A template may neither print nor go round without end.
const MAX_OUTPUT: usize = 256 << 20;
const MAX_ROUNDS: usize = 2_000_000;

/// What was printed, up to the end or to what went wrong.
pub fn run(program: &Program, object: &Item, strict: bool) -> (String, Result<(), Fault>) {
    let variables = vec![("$".to_owned(), object.clone())];
    let mut run = Run { program, strict, variables, out: String::new(), depth: 0, rounds: 0 };
    let done = run.nodes(&program.main, object, 0).map(|_| ());
    (run.out, done)
}

#[derive(PartialEq)]
enum Flow {
    On,
    Break,
    Continue,
}

struct Run<'p> {
    program: &'p Program,
    strict: bool,
    /// Innermost last.
    variables: Vec<(String, Item)>,
    out: String,
    depth: usize,
    rounds: usize,
}

impl Run<'_> {
    /// `at` is told to be the place where it gets too deep.
    fn nodes(&mut self, nodes: &[Node], dot: &Item, at: usize) -> Result<Flow, Fault> {
        self.deeper(at)?;
        for node in nodes {
            match self.node(node, dot)? {
                Flow::On => {}
                other => {
                    self.depth -= 1;
                    return Ok(other);
                }
            }
        }
        self.depth -= 1;
        Ok(Flow::On)
    }

    fn deeper(&mut self, at: usize) -> Result<(), Fault> {
        self.depth += 1;
        match self.depth > MAX_DEPTH {
            true => Err(Fault { at, expression: None, text: "exceeded maximum template depth".to_owned() }),
            false => Ok(()),
        }
    }

    fn node(&mut self, node: &Node, dot: &Item) -> Result<Flow, Fault> {
        match node {
            Node::Text(text) => self.out.push_str(text),
            Node::Action(pipe) => {
                let found = self.pipe(pipe, dot)?;
                if pipe.variables.is_empty() {
                    self.out.push_str(&value(&found, true));
                }
            }
            Node::If(pipe, body, otherwise) => {
                let mark = self.variables.len();
                let is_true = self.pipe(pipe, dot)?.is_true();
                let flow = self.nodes(if is_true { body } else { otherwise }, dot, pipe.at);
                self.variables.truncate(mark);
                return flow;
            }
            Node::With(pipe, body, otherwise) => {
                let mark = self.variables.len();
                let found = self.pipe(pipe, dot)?;
                let (nodes, inner) = if found.is_true() { (body, &found) } else { (otherwise, dot) };
                let flow = self.nodes(nodes, inner, pipe.at);
                self.variables.truncate(mark);
                return flow;
            }
            Node::Range(pipe, body, otherwise) => self.range(pipe, body, otherwise, dot)?,
            Node::Template(name, pipe) => self.template(name, pipe.as_ref(), dot)?,
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        if self.out.len() > MAX_OUTPUT {
            return Err(Fault { at: 0, expression: None, text: "the output is too long".to_owned() });
        }
        Ok(Flow::On)
    }

    fn range(&mut self, pipe: &Pipe, body: &[Node], otherwise: &[Node], dot: &Item) -> Result<(), Fault> {
        let over = Pipe { variables: Vec::new(), ..pipe.clone() };
        let found = self.pipe(&over, dot)?;
        let items: Box<dyn Iterator<Item = (Item, Item)>> = match found {
            Item::List(list) => Box::new((0..).map(Item::Int).zip(list)),
            Item::Map(map) => Box::new(map.into_iter().map(|(key, item)| (Item::Text(key), item))),
            Item::Int(count) => Box::new((0..count).map(|at| (Item::Int(at), Item::Int(at)))),
            Item::Nil | Item::Absent => Box::new(std::iter::empty()),
            other => {
                let text = format!("range can't iterate over {}", value(&other, true));
                return Err(Fault { at: pipe.at, expression: Some(shown(&pipe.commands)), text });
            }
        };
        let mark = self.variables.len();
        let mut items = items.peekable();
        if items.peek().is_none() {
            self.nodes(otherwise, dot, pipe.at)?;
            self.variables.truncate(mark);
            return Ok(());
        }
        for (key, item) in items {
            self.rounds += 1;
            if self.rounds > MAX_ROUNDS {
                let text = "the template goes round too often".to_owned();
                return Err(Fault { at: pipe.at, expression: None, text });
            }
            match pipe.variables.as_slice() {
                [] => {}
                [one] => self.name(one, item.clone(), pipe)?,
                [first, second, ..] => {
                    self.name(first, key, pipe)?;
                    self.name(second, item.clone(), pipe)?;
                }
            }
            let flow = self.nodes(body, &item, pipe.at);
            self.variables.truncate(mark);
            if flow? == Flow::Break {
                break;
            }
        }
        Ok(())
    }

    fn template(&mut self, name: &str, pipe: Option<&Pipe>, dot: &Item) -> Result<(), Fault> {
        let program = self.program;
        let at = pipe.map_or(0, |pipe| pipe.at);
        let Some(body) = program.named.get(name) else {
            return Err(Fault { at, expression: None, text: format!("template {name:?} not defined") });
        };
        let dot = match pipe {
            Some(pipe) => self.pipe(pipe, dot)?,
            None => Item::Nil,
        };
        let outer = std::mem::replace(&mut self.variables, vec![("$".to_owned(), dot.clone())]);
        let done = self.nodes(body, &dot, at);
        self.variables = outer;
        done.map(|_| ())
    }

    fn name(&mut self, name: &str, item: Item, pipe: &Pipe) -> Result<(), Fault> {
        if !pipe.assigns {
            self.variables.push((name.to_owned(), item));
            return Ok(());
        }
        match self.variables.iter_mut().rev().find(|(known, _)| known == name) {
            Some((_, place)) => {
                *place = item;
                Ok(())
            }
            None => Err(Fault { at: pipe.at, expression: None, text: format!("undefined variable: {name}") }),
        }
    }

    fn pipe(&mut self, pipe: &Pipe, dot: &Item) -> Result<Item, Fault> {
        let mut found = None;
        for command in &pipe.commands {
            found = Some(self.command(command, found, dot)?);
        }
        let found = found.unwrap_or(Item::Nil);
        for name in &pipe.variables {
            self.name(name, found.clone(), pipe)?;
        }
        Ok(found)
    }

    fn command(&mut self, command: &Command, last: Option<Item>, dot: &Item) -> Result<Item, Fault> {
        let fault =
            |text: String| Fault { at: command.at, expression: Some(shown(std::slice::from_ref(command))), text };
        let Some((first, rest)) = command.operands.split_first() else { return Ok(Item::Nil) };
        if let Operand::Function(name) = first {
            return self.call(name, rest, last, dot).map_err(|why| match why {
                Called::Inner(fault) => fault,
                Called::Here(text) => fault(text),
            });
        }
        if !rest.is_empty() || last.is_some() {
            let text = match first {
                Operand::Dot(_, names) if !names.is_empty() => {
                    format!(
                        "{} has arguments but cannot be invoked as function",
                        names.last().map_or("", String::as_str)
                    )
                }
                _ => format!("can't give argument to non-function {}", operand_text(first)),
            };
            return Err(fault(text));
        }
        self.operand(first, dot, &fault)
    }

    fn call(&mut self, name: &str, rest: &[Operand], last: Option<Item>, dot: &Item) -> Result<Item, Called> {
        let stops = |item: &Item| match name {
            "and" => !item.is_true(),
            "or" => item.is_true(),
            _ => false,
        };
        let mut arguments: Vec<Item> = Vec::new();
        for operand in rest {
            let text = operand_text(operand);
            let here = |why: String| Fault { at: 0, expression: Some(text.clone()), text: why };
            let found = match operand {
                Operand::Function(inner) => self.call(inner, &[], None, dot)?,
                other => self.operand(other, dot, &here).map_err(Called::Inner)?,
            };
            if stops(&found) {
                return Ok(found);
            }
            arguments.push(found);
        }
        arguments.extend(last);
        functions::call(name, arguments).map_err(Called::Here)
    }

    fn operand(&mut self, operand: &Operand, dot: &Item, fault: &dyn Fn(String) -> Fault) -> Result<Item, Fault> {
        match operand {
            Operand::Literal(Literal::Text(text)) => Ok(Item::Text(text.clone())),
            Operand::Literal(Literal::Int(number)) => Ok(Item::Int(*number)),
            Operand::Literal(Literal::Float(number)) => Ok(Item::Float(*number)),
            Operand::Bool(on) => Ok(Item::Bool(*on)),
            Operand::Nil => Err(fault("nil is not a command".to_owned())),
            Operand::Dot(at, names) => self.fields(dot.clone(), names, &placed(*at, operand)),
            Operand::Variable(at, name, names) => {
                let known = self.variables.iter().rev().find(|(known, _)| known == name);
                let item = known.map(|(_, item)| item.clone());
                let item = item.ok_or_else(|| fault(format!("undefined variable: {name}")))?;
                self.fields(item, names, &placed(*at, operand))
            }
            Operand::Inner(at, pipe, names) => {
                self.deeper(*at)?;
                let item = self.pipe(pipe, dot)?;
                self.depth -= 1;
                self.fields(item, names, &placed(*at, operand))
            }
            Operand::Function(name) => self.call(name, &[], None, dot).map_err(|why| match why {
                Called::Inner(fault) => fault,
                Called::Here(text) => fault(text),
            }),
        }
    }

    fn fields(&self, mut item: Item, names: &[String], fault: &dyn Fn(String) -> Fault) -> Result<Item, Fault> {
        for name in names {
            item = match item {
                Item::Map(mut map) => match map.remove(name) {
                    Some(found) => found,
                    None if self.strict => return Err(fault(format!("map has no entry for key {name:?}"))),
                    None => Item::Absent,
                },
                Item::Absent => Item::Absent,
                Item::Nil => return Err(fault(format!("nil pointer evaluating interface {{}}.{name}"))),
                _ => return Err(fault(format!("can't evaluate field {name} in type interface {{}}"))),
            };
        }
        Ok(item)
    }
}

/// Failures of an operand at its own place.
fn placed(at: usize, operand: &Operand) -> impl Fn(String) -> Fault {
    let expression = operand_text(operand);
    move |text| Fault { at, expression: Some(expression.clone()), text }
}

/// Where a call went wrong.
enum Called {
    Inner(Fault),
    Here(String),
}

fn shown(commands: &[Command]) -> String {
    let one = |command: &Command| command.operands.iter().map(operand_text).collect::<Vec<_>>().join(" ");
    commands.iter().map(one).collect::<Vec<_>>().join(" | ")
}

fn operand_text(operand: &Operand) -> String {
    let chain = |names: &[String]| names.iter().map(|name| format!(".{name}")).collect::<String>();
    match operand {
        Operand::Function(name) => name.clone(),
        Operand::Literal(Literal::Text(text)) => format!("{text:?}"),
        Operand::Literal(Literal::Int(number)) => number.to_string(),
        Operand::Literal(Literal::Float(number)) => number.to_string(),
        Operand::Bool(on) => on.to_string(),
        Operand::Nil => "nil".to_owned(),
        Operand::Dot(_, names) if names.is_empty() => ".".to_owned(),
        Operand::Dot(_, names) => chain(names),
        Operand::Variable(_, name, names) => format!("{name}{}", chain(names)),
        Operand::Inner(_, pipe, names) => format!("({}){}", shown(&pipe.commands), chain(names)),
    }
}
