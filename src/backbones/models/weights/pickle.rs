//! What a pickle holds: plain values, containers, and the names of classes with what they would be called with.
//!
//! Values lie in one table and refer to each other by number, so that an object that the pickle names twice is one
//! object, a list may hold itself, and nothing is copied or dropped level by level. Nothing is ever executed.

use std::borrow::Cow;

/// A value; containers and objects by their number in the table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value<'a> {
    None,
    Bool(bool),
    Int(i64),
    /// An integer that 64 bits do not hold.
    Long,
    Float(f64),
    Text(&'a str),
    Bytes,
    Node(u32),
}

/// What lies in the table.
#[derive(Debug)]
pub(super) enum Node<'a> {
    /// Text that the pickle writes with escapes.
    Text(String),
    Tuple(Vec<Value<'a>>),
    List(Vec<Value<'a>>),
    Set,
    /// Also an OrderedDict and a defaultdict. Pairs as they were set; of a key set twice the last counts.
    Dict(Vec<(Value<'a>, Value<'a>)>),
    Class {
        module: Value<'a>,
        name: Value<'a>,
    },
    /// A class or function with its arguments: an object that Python would make here.
    Made {
        by: Value<'a>,
        with: Value<'a>,
    },
    /// What the pickle keeps outside of itself: torch's storages.
    Outside(Value<'a>),
}

/// A pickle, read.
#[derive(Debug)]
pub(super) struct Pickle<'a> {
    pub(super) nodes: Vec<Node<'a>>,
    pub(super) root: Value<'a>,
    /// Bytes read, the last instruction included.
    pub(super) length: usize,
}

/// The longest text of a file that a message repeats, in characters.
const SHOWN: usize = 80;

impl<'a> Pickle<'a> {
    pub(super) fn node(&self, value: Value<'a>) -> Option<&Node<'a>> {
        match value {
            Value::Node(number) => self.nodes.get(number as usize),
            _ => None,
        }
    }

    pub(super) fn text(&self, value: Value<'a>) -> Option<&str> {
        match (value, self.node(value)) {
            (Value::Text(text), _) => Some(text),
            (_, Some(Node::Text(text))) => Some(text),
            _ => None,
        }
    }

    pub(super) fn dict(&self, value: Value<'a>) -> Option<&[(Value<'a>, Value<'a>)]> {
        match self.node(value) {
            Some(Node::Dict(entries)) => Some(entries),
            _ => None,
        }
    }

    pub(super) fn tuple(&self, value: Value<'a>) -> Option<&[Value<'a>]> {
        match self.node(value) {
            Some(Node::Tuple(items)) => Some(items),
            _ => None,
        }
    }

    /// Module and name of a class or function.
    pub(super) fn class(&self, value: Value<'a>) -> Option<(&str, &str)> {
        match self.node(value) {
            Some(Node::Class { module, name }) => Some((self.text(*module)?, self.text(*name)?)),
            _ => None,
        }
    }

    /// The class or function that makes an object, and its arguments.
    pub(super) fn made(&self, value: Value<'a>) -> Option<(Value<'a>, Value<'a>)> {
        match self.node(value) {
            Some(Node::Made { by, with }) => Some((*by, *with)),
            _ => None,
        }
    }

    /// What a value is, in words.
    pub(super) fn describe(&self, value: Value<'a>) -> String {
        match value {
            Value::None => "None".into(),
            Value::Bool(truth) => format!("the truth value {truth}"),
            Value::Int(n) => format!("the number {n}"),
            Value::Long => "a number of more than 64 bits".into(),
            Value::Float(x) => format!("the number {x}"),
            Value::Text(text) => format!("the text `{}`", short(text)),
            Value::Bytes => "bytes".into(),
            Value::Node(_) => match self.node(value) {
                Some(Node::Text(text)) => format!("the text `{}`", short(text)),
                Some(Node::Tuple(_)) => "a tuple".into(),
                Some(Node::List(_)) => "a list".into(),
                Some(Node::Set) => "a set".into(),
                Some(Node::Dict(_)) => "a dict".into(),
                Some(Node::Class { .. }) => format!("the class {}", self.class_name(value)),
                Some(Node::Made { by, .. }) => match self.class(*by) {
                    Some(("copyreg" | "copy_reg", _)) => format!("an object made by {}", self.class_name(*by)),
                    _ => format!("an object of {}", self.class_name(*by)),
                },
                Some(Node::Outside(_)) => "a storage without a tensor".into(),
                None => "nothing".into(),
            },
        }
    }

    /// `torch.nn.modules.linear.Linear`.
    pub(super) fn class_name(&self, value: Value<'a>) -> String {
        match self.class(value) {
            Some((module, name)) => format!("{}.{}", short(module), short(name)),
            None => "a class without a name".into(),
        }
    }

    /// A key as a message shows it.
    pub(super) fn key(&self, value: Value<'a>) -> String {
        self.text(value).map_or_else(|| self.describe(value), |text| short(text).into_owned())
    }
}

/// The beginning of a long text.
pub(super) fn short(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => Cow::Owned(format!("{}...", &text[..end])),
        None => Cow::Borrowed(text),
    }
}
