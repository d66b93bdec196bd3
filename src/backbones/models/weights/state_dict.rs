//! Where in a pickle the state dict lies, and what its tensors are made of.

use super::pickle::{Pickle, Value};
use super::stored::{Element, e4m3, e5m2};
use crate::error::{Error, Result};
use candle_core::DType;
use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;

/// Entries under which training code keeps the state dict, taken before all others, the first before the second.
const NESTED: [&str; 2] = ["state_dict", "model"];

/// What training code saves beside a model: these are never taken for one.
const NO_MODELS: [&str; 6] = ["optimizer", "optim", "scheduler", "lr_scheduler", "scaler", "optimizer_state_dict"];

/// How far down a state dict may lie.
const DEEPEST: usize = 4;

/// The most entries that a message lists.
const LISTED: usize = 12;

type Entries<'p, 'a> = &'p [(Value<'a>, Value<'a>)];

/// The entries of the state dict. What lies beside it is passed over unread.
pub(super) fn find<'p, 'a>(path: &Path, pickle: &'p Pickle<'a>) -> Result<Entries<'p, 'a>> {
    let Some(mut entries) = pickle.dict(pickle.root) else {
        let found = format!("{}. Re-save its state_dict()", pickle.describe(pickle.root));
        return Err(Error::data(path, "a dict of tensors", found));
    };
    // A dict that is named many times is looked through once.
    let known = RefCell::new(HashMap::new());
    let holds_tensors = |value: Value<'a>| match value {
        Value::Node(number) => *known
            .borrow_mut()
            .entry(number)
            .or_insert_with(|| pickle.dict(value).is_some_and(|inner| any_tensor(pickle, inner))),
        _ => false,
    };
    for _ in 0..DEEPEST {
        let named = |name: &str, wanted: &dyn Fn(Value<'a>) -> bool| {
            let mut found = entries.iter().rev().filter(|(key, _)| pickle.text(*key) == Some(name));
            found.find(|(_, value)| wanted(*value)).map(|(_, value)| *value)
        };
        if let Some(inner) = NESTED.iter().find_map(|name| named(name, &holds_tensors)) {
            return Ok(pickle.dict(inner).unwrap_or_default());
        }
        if entries.is_empty() || any_tensor(pickle, entries) {
            return Ok(entries);
        }
        if let Some(inner) = NESTED.iter().find_map(|name| named(name, &|value| pickle.dict(value).is_some())) {
            entries = pickle.dict(inner).unwrap_or_default();
            continue;
        }
        let models: Vec<_> = entries
            .iter()
            .filter(|(key, value)| {
                let model = pickle.text(*key).is_some_and(|key| !NO_MODELS.contains(&key));
                model && holds_tensors(*value)
            })
            .collect();
        return match models.as_slice() {
            [(_, value)] => Ok(pickle.dict(*value).unwrap_or_default()),
            several => Err(not_one(path, pickle, entries, several.first().map(|(key, _)| pickle.key(*key)))),
        };
    }
    let found = format!("one that lies more than {DEEPEST} dicts down. Re-save the state dict alone");
    Err(Error::data(path, "a dict of tensors", found))
}

/// The error for a file with no state dict that could be told, or with several of which the first is given.
fn not_one(path: &Path, pickle: &Pickle<'_>, entries: Entries<'_, '_>, several: Option<String>) -> Error {
    let keys =
        entries.iter().take(LISTED).map(|(key, value)| format!("{} ({})", pickle.key(*key), pickle.describe(*value)));
    let mut keys = keys.collect::<Vec<_>>().join(", ");
    if entries.len() > LISTED {
        keys += &format!(" and {} more", entries.len() - LISTED);
    }
    let advice = match several {
        Some(first) => format!(
            "Several are dicts of tensors. Re-save the one that you want, for instance: \
             torch.save(torch.load(file)[\"{first}\"], new_file)"
        ),
        None => "Re-save the part that is the state dict".into(),
    };
    let expected = "tensors, or one dict of tensors, under `state_dict` or `model` or whatever name";
    Error::data(path, expected, format!("{keys}. {advice}"))
}

fn any_tensor<'a>(pickle: &Pickle<'a>, entries: Entries<'_, 'a>) -> bool {
    entries.iter().any(|(_, value)| View::of(pickle, *value).is_some())
}

/// A tensor as the pickle describes it.
pub(super) struct View<'p> {
    /// The type, or torch's word for one that is not read.
    pub(super) element: Result<Element, String>,
    /// Bytes an element, where they are known.
    pub(super) size: usize,
    /// The name of the storage.
    pub(super) storage: &'p str,
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<usize>,
}

/// How many functions may be wrapped around a tensor.
const WRAPPED: usize = 8;

impl<'p> View<'p> {
    /// `torch._utils._rebuild_tensor_v2(storage, offset, shape, strides, ...)` or `_v3`, also inside
    /// `_rebuild_parameter(tensor, ...)` and `torch._tensor._rebuild_from_type_v2(function, type, arguments, state)`.
    pub(super) fn of<'a>(pickle: &'p Pickle<'a>, value: Value<'a>) -> Option<View<'p>> {
        let (mut by, mut with) = pickle.made(value)?;
        for _ in 0..WRAPPED {
            let arguments = pickle.tuple(with)?;
            match (pickle.class(by)?, arguments) {
                (("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state"), [tensor, ..]) => {
                    (by, with) = pickle.made(*tensor)?;
                }
                (("torch._tensor", "_rebuild_from_type_v2"), [function, _, inner, ..]) => {
                    (by, with) = (*function, *inner);
                }
                (
                    ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2"),
                    [storage, offset, shape, strides, rest @ ..],
                ) => {
                    let view = View::new(pickle, *storage, *offset, [*shape, *strides], None)?;
                    return Some(view.marked(pickle, rest.get(2)));
                }
                (("torch._utils", "_rebuild_tensor_v3"), [storage, offset, shape, strides, _, _, dtype, rest @ ..]) => {
                    let view = View::new(pickle, *storage, *offset, [*shape, *strides], Some(*dtype))?;
                    return Some(view.marked(pickle, rest.first()));
                }
                _ => return None,
            }
        }
        None
    }

    fn new<'a>(
        pickle: &'p Pickle<'a>,
        storage: Value<'a>,
        offset: Value<'a>,
        [shape, strides]: [Value<'a>; 2],
        dtype: Option<Value<'a>>,
    ) -> Option<View<'p>> {
        let (class, name) = storage_of(pickle, storage)?;
        let (shape, strides) = (sizes(pickle, shape)?, sizes(pickle, strides)?);
        let (element, bytes) = match dtype {
            Some(dtype) => named_type(pickle.class(dtype)?.1),
            None => typed(class),
        };
        let offset = size(offset)?;
        (shape.len() == strides.len()).then_some(View { element, size: bytes, storage: name, offset, shape, strides })
    }

    /// With what torch notes of some tensors: that their numbers are the negatives, or conjugates, of what is stored.
    fn marked<'a>(self, pickle: &Pickle<'a>, notes: Option<&Value<'a>>) -> View<'p> {
        let notes = notes.and_then(|notes| pickle.dict(*notes)).unwrap_or_default();
        let Some((name, _)) = notes.first() else { return self };
        let element = Err(format!("a view marked `{}`", pickle.key(*name)));
        View { element, ..self }
    }
}

/// The class and the name of a storage: `("storage", class, name, device, length)` outside of the pickle. One that is a
/// part of another (files of before 2018) is none.
pub(super) fn storage_of<'p, 'a>(pickle: &'p Pickle<'a>, value: Value<'a>) -> Option<(&'p str, &'p str)> {
    let Some(super::pickle::Node::Outside(id)) = pickle.node(value) else { return None };
    let [kind, class, name, rest @ ..] = pickle.tuple(*id)? else { return None };
    let part = rest.get(2).is_some_and(|part| *part != Value::None);
    let whole = pickle.text(*kind) == Some("storage") && !part;
    whole.then_some((pickle.class(*class)?.1, pickle.text(*name)?))
}

fn size(value: Value<'_>) -> Option<usize> {
    match value {
        Value::Int(n) => usize::try_from(n).ok(),
        _ => None,
    }
}

/// The most axes that torch allows.
const MOST_AXES: usize = 64;

/// A tuple of lengths, also where it is written as a torch.Size.
fn sizes<'a>(pickle: &Pickle<'a>, value: Value<'a>) -> Option<Vec<usize>> {
    let inner = pickle.made(value).and_then(|(by, with)| match (pickle.class(by)?, pickle.tuple(with)?) {
        (("torch", "Size"), [inner]) => Some(*inner),
        _ => None,
    });
    let items = pickle.tuple(inner.unwrap_or(value)).filter(|items| items.len() <= MOST_AXES)?;
    items.iter().map(|item| size(*item)).collect()
}

/// Type and bytes of the elements of a storage of this class.
pub(super) fn typed(class: &str) -> (Result<Element, String>, usize) {
    let name = match class {
        "BoolStorage" => "bool",
        "ByteStorage" => "uint8",
        "CharStorage" => "int8",
        "ShortStorage" => "int16",
        "IntStorage" => "int32",
        "LongStorage" => "int64",
        "BFloat16Storage" => "bfloat16",
        "HalfStorage" => "float16",
        "FloatStorage" => "float32",
        "DoubleStorage" => "float64",
        "ComplexFloatStorage" => "complex64",
        "ComplexDoubleStorage" => "complex128",
        other => other,
    };
    let (element, size) = named_type(name);
    (element.map_err(|_| format!("torch.{class}")), size)
}

/// The same by the name of a type.
fn named_type(name: &str) -> (Result<Element, String>, usize) {
    let dtype = match name {
        "bool" | "uint8" => DType::U8,
        "uint32" => DType::U32,
        "int16" => DType::I16,
        "int32" => DType::I32,
        "int64" => DType::I64,
        "bfloat16" => DType::BF16,
        "float16" => DType::F16,
        "float32" => DType::F32,
        "float64" => DType::F64,
        "float8_e4m3fn" => return (Ok(Element::Small(e4m3)), 1),
        "float8_e5m2" => return (Ok(Element::Small(e5m2)), 1),
        other => {
            let size = match other {
                "uint16" | "complex32" => 2,
                "uint64" | "complex64" => 8,
                "complex128" => 16,
                _ => 1,
            };
            return (Err(format!("torch.{other}")), size);
        }
    };
    (Ok(Element::Same(dtype)), dtype.size_in_bytes())
}
