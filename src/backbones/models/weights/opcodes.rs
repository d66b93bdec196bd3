//! The instructions of Python's pickle, protocols 0 to 5, followed without running anything.
//!
//! Memory grows with the number of instructions alone: what an instruction names again is not copied, and nothing
//! nests in the reader itself. The numbers of values, of objects and of remembered values are limited.

mod reader;

use super::pickle::{Node, Pickle, Value};
pub(super) use reader::ENDS;
use reader::{Reader, Step, pairs, underflow};

/// Reads the pickle at the start of `bytes`.
///
/// # Errors
/// What is wrong with it, in words. [`ENDS`] where it is cut short.
pub(super) fn read(bytes: &[u8]) -> Result<Pickle<'_>, String> {
    let mut reader = Reader::new(bytes);
    while !reader.step().map_err(|what| match what == ENDS {
        true => what,
        false => format!("{what}, at byte {}", reader.at),
    })? {}
    reader.pickle.length = reader.at;
    Ok(reader.pickle)
}

impl<'a> Reader<'a> {
    /// Follows one instruction; whether it was the last.
    fn step(&mut self) -> Step<bool> {
        let code = self.take(1)?[0];
        match code {
            0x80 => match self.take(1)?[0] {
                0..=5 => {}
                other => return Err(format!("protocol {other} of pickle, which is none of 0 to 5")),
            },
            0x95 => drop(self.take(8)?),
            b'.' => {
                self.pickle.root = self.pop()?;
                return Ok(true);
            }
            b'(' => {
                self.count()?;
                self.marks.push(self.stack.len());
            }
            b'0' => match self.marks.last() {
                Some(mark) if *mark == self.stack.len() => drop(self.marks.pop()),
                _ => drop(self.pop()?),
            },
            b'1' => drop(self.to_mark()?),
            b'2' => {
                let top = self.top()?;
                self.push(top)?;
            }
            b'N' => self.push(Value::None)?,
            0x88 => self.push(Value::Bool(true))?,
            0x89 => self.push(Value::Bool(false))?,
            b'J' => {
                let n = i32::from_le_bytes(self.array()?);
                self.push(Value::Int(n.into()))?;
            }
            b'K' => {
                let n = self.take(1)?[0];
                self.push(Value::Int(n.into()))?;
            }
            b'M' => {
                let n = u16::from_le_bytes(self.array()?);
                self.push(Value::Int(n.into()))?;
            }
            0x8a => {
                let n = self.take(1)?[0].into();
                self.long(n)?;
            }
            0x8b => {
                let n = self.length4()?;
                self.long(n)?;
            }
            b'G' => {
                let x = f64::from_be_bytes(self.array()?);
                self.push(Value::Float(x))?;
            }
            0x8c | b'U' => {
                let n = self.take(1)?[0].into();
                self.text(n)?;
            }
            b'X' | b'T' => {
                let n = self.length4()?;
                self.text(n)?;
            }
            0x8d => {
                let n = self.length8()?;
                self.text(n)?;
            }
            b'C' => {
                let n = self.take(1)?[0].into();
                self.raw(n)?;
            }
            b'B' => {
                let n = self.length4()?;
                self.raw(n)?;
            }
            0x8e | 0x96 => {
                let n = self.length8()?;
                self.raw(n)?;
            }
            b')' => self.make(Node::Tuple(Vec::new()))?,
            b']' => self.make(Node::List(Vec::new()))?,
            b'}' => self.make(Node::Dict(Vec::new()))?,
            0x8f => self.make(Node::Set)?,
            0x85..=0x87 => {
                let n = usize::from(code - 0x84);
                let start = self.stack.len().checked_sub(n).filter(|start| *start >= self.floor());
                let items = self.stack.split_off(start.ok_or_else(underflow)?);
                self.make(Node::Tuple(items))?;
            }
            b't' => {
                let items = self.to_mark()?;
                self.make(Node::Tuple(items))?;
            }
            b'l' => {
                let items = self.to_mark()?;
                self.make(Node::List(items))?;
            }
            b'd' => {
                let items = self.to_mark()?;
                let entries = pairs(&items)?;
                self.make(Node::Dict(entries))?;
            }
            0x91 => {
                self.to_mark()?;
                self.make(Node::Set)?;
            }
            0x90 => {
                self.to_mark()?;
                self.top()?;
            }
            b'a' => {
                let item = self.pop()?;
                self.append(&[item])?;
            }
            b'e' => {
                let items = self.to_mark()?;
                self.append(&items)?;
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set(&[key, value])?;
            }
            b'u' => {
                let items = self.to_mark()?;
                self.set(&items)?;
            }
            b'q' => {
                let number = self.take(1)?[0].into();
                self.remember(number)?;
            }
            b'r' => {
                let number = u32::from_le_bytes(self.array()?);
                self.remember(number)?;
            }
            0x94 => self.remember(self.memo.len() as u32)?,
            b'h' => {
                let number = self.take(1)?[0].into();
                self.recall(number)?;
            }
            b'j' => {
                let number = u32::from_le_bytes(self.array()?);
                self.recall(number)?;
            }
            b'c' => {
                let (module, name) = (self.line_text()?, self.line_text()?);
                self.make(Node::Class { module: Value::Text(module), name: Value::Text(name) })?;
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                self.make(Node::Class { module, name })?;
            }
            b'R' | 0x81 => {
                let (with, by) = (self.pop()?, self.pop()?);
                self.made(by, with)?;
            }
            0x92 => {
                let (_, with, by) = (self.pop()?, self.pop()?, self.pop()?);
                self.made(by, with)?;
            }
            b'o' => {
                let items = self.to_mark()?;
                let by = *items.first().ok_or_else(underflow)?;
                let with = self.add(Node::Tuple(items[1..].to_vec()))?;
                self.made(by, with)?;
            }
            b'i' => {
                let (module, name) = (self.line_text()?, self.line_text()?);
                let items = self.to_mark()?;
                let by = self.add(Node::Class { module: Value::Text(module), name: Value::Text(name) })?;
                let with = self.add(Node::Tuple(items))?;
                self.made(by, with)?;
            }
            // The state of an object: attributes, which no tensor has.
            b'b' => {
                self.pop()?;
                self.top()?;
            }
            b'Q' => {
                let id = self.pop()?;
                self.make(Node::Outside(id))?;
            }
            b'P' | b'I' | b'L' | b'F' | b'S' | b'V' | b'g' | b'p' => self.in_text(code)?,
            0x82..=0x84 => return Err("a class of Python's registry of extensions".into()),
            0x97 | 0x98 => return Err("a buffer that is not in the file (out of band)".into()),
            other => return Err(format!("the op-code 0x{other:02x}, which no protocol of pickle has")),
        }
        Ok(false)
    }
}
