//! The stack and the memory of the reader of pickles, and how arguments are taken.

use super::super::pickle::{Node, Pickle, Value, short};
use std::collections::HashMap;

/// The most values that may be put on the stack.
const MOST_VALUES: usize = 1 << 23;
/// The most containers and objects; the most values remembered.
const MOST_NODES: usize = 1 << 22;

/// Classes whose objects are dicts.
const DICTS: [(&str, &str); 4] =
    [("collections", "OrderedDict"), ("collections", "defaultdict"), ("builtins", "dict"), ("__builtin__", "dict")];

/// The error of a pickle that has no end.
pub(in super::super) const ENDS: &str = "the pickle is cut short";

pub(super) struct Reader<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
    /// Values put on the stack so far.
    pub(super) pushed: usize,
    pub(super) stack: Vec<Value<'a>>,
    /// Lengths of the stack at the marks.
    pub(super) marks: Vec<usize>,
    pub(super) memo: HashMap<u32, Value<'a>>,
    pub(super) pickle: Pickle<'a>,
}

pub(super) type Step<T> = Result<T, String>;

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        let pickle = Pickle { nodes: Vec::new(), root: Value::None, length: 0 };
        Reader { bytes, at: 0, pushed: 0, stack: Vec::new(), marks: Vec::new(), memo: HashMap::new(), pickle }
    }

    /// The instructions of protocol 0, whose arguments are lines of text.
    pub(super) fn in_text(&mut self, code: u8) -> Step<()> {
        let line = self.line()?;
        let text = std::str::from_utf8(line).map_err(|_| String::from("a line that is no UTF-8"))?;
        let wrong = || format!("`{}`, which is no number", short(text));
        match code {
            b'I' if line == b"00" || line == b"01" => self.push(Value::Bool(line == b"01")),
            b'I' | b'L' => {
                let digits = text.trim().trim_end_matches('L');
                let number = digits.strip_prefix('-').unwrap_or(digits);
                match digits.parse() {
                    Ok(n) => self.push(Value::Int(n)),
                    Err(_) if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) => {
                        self.push(Value::Long)
                    }
                    Err(_) => Err(wrong()),
                }
            }
            b'F' => {
                let x = text.trim().parse().map_err(|_| wrong())?;
                self.push(Value::Float(x))
            }
            b'P' => self.make(Node::Outside(Value::Text(text))),
            b'g' | b'p' => {
                let number = text.trim().parse().map_err(|_| wrong())?;
                if code == b'g' { self.recall(number) } else { self.remember(number) }
            }
            _ => {
                let inner = match code {
                    b'S' => {
                        let quoted = |quote| text.trim().strip_prefix(quote)?.strip_suffix(quote);
                        quoted('\'').or_else(|| quoted('"')).ok_or("a text without quotes")?
                    }
                    _ => text,
                };
                match inner.contains('\\') {
                    false => self.push(Value::Text(inner)),
                    true => self.make(Node::Text(unescaped(inner))),
                }
            }
        }
    }

    pub(super) fn take(&mut self, n: usize) -> Step<&'a [u8]> {
        let end = self.at.checked_add(n).filter(|end| *end <= self.bytes.len()).ok_or(ENDS)?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Step<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(super) fn length4(&mut self) -> Step<usize> {
        Ok(u32::from_le_bytes(self.array()?) as usize)
    }

    pub(super) fn length8(&mut self) -> Step<usize> {
        usize::try_from(u64::from_le_bytes(self.array()?)).map_err(|_| ENDS.into())
    }

    /// Up to the next line feed, which is passed over.
    pub(super) fn line(&mut self) -> Step<&'a [u8]> {
        let rest = &self.bytes[self.at..];
        let n = rest.iter().position(|byte| *byte == b'\n').ok_or(ENDS)?;
        self.at += n + 1;
        Ok(&rest[..n])
    }

    pub(super) fn line_text(&mut self) -> Step<&'a str> {
        std::str::from_utf8(self.line()?).map_err(|_| "the name of a class that is no UTF-8".into())
    }

    /// Text; bytes where it is not UTF-8 (Python 2 wrote both alike).
    pub(super) fn text(&mut self, n: usize) -> Step<()> {
        let bytes = self.take(n)?;
        self.push(std::str::from_utf8(bytes).map_or(Value::Bytes, Value::Text))
    }

    pub(super) fn raw(&mut self, n: usize) -> Step<()> {
        self.take(n)?;
        self.push(Value::Bytes)
    }

    /// A little-endian two's complement number of n bytes.
    pub(super) fn long(&mut self, n: usize) -> Step<()> {
        let bytes = self.take(n)?;
        let filling = if bytes.last().is_some_and(|byte| *byte >= 0x80) { 0xff } else { 0 };
        let mut all = [filling; 8];
        let fits = bytes.iter().skip(8).all(|byte| *byte == filling);
        all[..n.min(8)].copy_from_slice(&bytes[..n.min(8)]);
        let number = i64::from_le_bytes(all);
        let fits = fits && (n <= 8 || (number < 0) == (filling != 0));
        self.push(if fits { Value::Int(number) } else { Value::Long })
    }

    pub(super) fn count(&mut self) -> Step<()> {
        self.pushed += 1;
        match self.pushed > MOST_VALUES {
            true => Err(format!("more than {MOST_VALUES} values")),
            false => Ok(()),
        }
    }

    pub(super) fn push(&mut self, value: Value<'a>) -> Step<()> {
        self.count()?;
        self.stack.push(value);
        Ok(())
    }

    pub(super) fn add(&mut self, node: Node<'a>) -> Step<Value<'a>> {
        if self.pickle.nodes.len() >= MOST_NODES {
            return Err(format!("more than {MOST_NODES} objects"));
        }
        self.pickle.nodes.push(node);
        Ok(Value::Node(self.pickle.nodes.len() as u32 - 1))
    }

    pub(super) fn make(&mut self, node: Node<'a>) -> Step<()> {
        let value = self.add(node)?;
        self.push(value)
    }

    /// An object; a dict where its class is one. Old Pythons give an OrderedDict its pairs as an argument.
    pub(super) fn made(&mut self, by: Value<'a>, with: Value<'a>) -> Step<()> {
        let pickle = &self.pickle;
        if !pickle.class(by).is_some_and(|class| DICTS.contains(&class)) {
            return self.make(Node::Made { by, with });
        }
        let of_pairs = pickle.tuple(with).into_iter().flatten().find_map(|argument| match pickle.node(*argument) {
            Some(Node::List(items)) => Some(items),
            _ => None,
        });
        let pair = |item: &Value<'a>| match (pickle.tuple(*item), pickle.node(*item)) {
            (Some([key, value]), _) => Some((*key, *value)),
            (_, Some(Node::List(pair))) => {
                <[Value; 2]>::try_from(pair.as_slice()).ok().map(|[key, value]| (key, value))
            }
            _ => None,
        };
        let entries: Option<Vec<_>> = of_pairs.into_iter().flatten().map(pair).collect();
        // A list that is given again and again must not be copied without being counted.
        let entries = entries.ok_or("a dict that is made of something else than pairs")?;
        for _ in &entries {
            self.count()?;
        }
        self.make(Node::Dict(entries))
    }

    /// Where the stack begins for what stands after the last mark.
    pub(super) fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    pub(super) fn top(&self) -> Step<Value<'a>> {
        self.stack.get(self.floor()..).and_then(<[_]>::last).copied().ok_or_else(underflow)
    }

    pub(super) fn pop(&mut self) -> Step<Value<'a>> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    pub(super) fn to_mark(&mut self) -> Step<Vec<Value<'a>>> {
        let mark = self.marks.pop().ok_or_else(underflow)?;
        Ok(self.stack.split_off(mark))
    }

    /// Adds to the container on top; an object of another class keeps what it is given to itself.
    pub(super) fn append(&mut self, items: &[Value<'a>]) -> Step<()> {
        if let Value::Node(number) = self.top()?
            && let Some(Node::List(list)) = self.pickle.nodes.get_mut(number as usize)
        {
            list.extend_from_slice(items);
        }
        Ok(())
    }

    pub(super) fn set(&mut self, items: &[Value<'a>]) -> Step<()> {
        let new = pairs(items)?;
        if let Value::Node(number) = self.top()?
            && let Some(Node::Dict(entries)) = self.pickle.nodes.get_mut(number as usize)
        {
            entries.extend(new);
        }
        Ok(())
    }

    pub(super) fn remember(&mut self, number: u32) -> Step<()> {
        let top = self.top()?;
        self.memo.insert(number, top);
        match self.memo.len() > MOST_NODES {
            true => Err(format!("more than {MOST_NODES} values to remember")),
            false => Ok(()),
        }
    }

    pub(super) fn recall(&mut self, number: u32) -> Step<()> {
        let value = self.memo.get(&number).copied();
        self.push(value.ok_or_else(|| format!("the value {number}, which was never remembered"))?)
    }
}

pub(super) fn underflow() -> String {
    "an instruction without the values that it needs".into()
}

pub(super) fn pairs<'a>(items: &[Value<'a>]) -> Step<Vec<(Value<'a>, Value<'a>)>> {
    match items.len() % 2 {
        0 => Ok(items.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect()),
        _ => Err("a key without a value".into()),
    }
}

/// Text with Python's escapes resolved; one that is not known stays as it is.
fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let hex = |n: usize| {
            let digits = rest.get(1..1 + n)?;
            Some((char::from_u32(u32::from_str_radix(digits, 16).ok()?)?, 1 + n))
        };
        let found = match rest.bytes().next() {
            Some(b'u') => hex(4),
            Some(b'U') => hex(8),
            Some(b'x') => hex(2),
            Some(b'n') => Some(('\n', 1)),
            Some(b'r') => Some(('\r', 1)),
            Some(b't') => Some(('\t', 1)),
            Some(quote @ (b'\\' | b'\'' | b'"')) => Some((quote.into(), 1)),
            _ => None,
        };
        match found {
            Some((character, n)) => {
                out.push(character);
                rest = &rest[n..];
            }
            None => out.push('\\'),
        }
    }
    out + rest
}
