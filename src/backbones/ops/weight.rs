//! The matrix of a fully connected layer, as its product reads it.

use super::bf16::{Packed, require_bf16};
use super::{require_f32, values};
use crate::error::{Error, Result};
use candle_core::{Storage, Tensor};
use std::fmt;
use std::sync::Arc;

/// The matrix of a fully connected layer, (outputs, inputs) as PyTorch has it.
///
/// With (inputs, outputs) in memory the product is up to a third faster than with PyTorch's (outputs, inputs): what is
/// frozen is turned once, what is trained stays as it is.
#[derive(Clone, Debug)]
pub struct Weight {
    values: Values,
    outputs: usize,
    inputs: usize,
}

/// What there is of a matrix.
#[derive(Clone)]
pub(super) enum Values {
    /// (O, I), or (I, O) where `turned`.
    Plain { matrix: Tensor, turned: bool },
    /// In bf16, for products on the processor alone.
    Rounded(Arc<Packed>),
}

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Values::Plain { matrix, turned } => write!(f, "{matrix:?}, turned: {turned}"),
            Values::Rounded(_) => write!(f, "bf16"),
        }
    }
}

impl Weight {
    /// Takes `w` (O, I, ...); further axes, such as a kernel's, are part of the inputs. A frozen matrix is kept turned.
    ///
    /// # Errors
    /// [`Error::Argument`] if `w` has fewer than two axes or no values.
    pub fn new(w: &Tensor) -> Result<Self> {
        if w.rank() < 2 || w.elem_count() == 0 {
            return Err(Error::argument("weight", "(outputs, inputs, ..)", format!("{:?}", w.dims())));
        }
        let w = w.flatten_from(1)?;
        let (outputs, inputs) = w.dims2()?;
        let turned = !w.track_op();
        let matrix = if turned { w.t()?.contiguous()? } else { w };
        Ok(Weight { values: Values::Plain { matrix, turned }, outputs, inputs })
    }

    /// The same rounded to bf16, for a frozen model on the processor: products with it round the other factor too and sum in
    /// f32. Rounding twice changes nothing.
    ///
    /// # Errors
    /// [`Error::Argument`] if it is trained, not f32 or not on the processor, or the processor lacks the instructions
    /// ([`require_bf16`]).
    pub fn rounded(&self) -> Result<Self> {
        let (matrix, turned) = match &self.values {
            Values::Plain { matrix, turned } => (matrix, *turned),
            Values::Rounded(_) => return Ok(self.clone()),
        };
        require_bf16()?;
        if self.is_trained() || !matrix.device().is_cpu() {
            let found = format!("one that is trained, or on {:?}", matrix.device().location());
            return Err(Error::argument("weight, rounded", "a frozen weight on the processor", found));
        }
        self.require_f32()?;
        let matrix = matrix.contiguous()?;
        let (storage, layout) = matrix.storage_and_layout();
        let Storage::Cpu(storage) = &*storage else {
            return Err(Error::argument("weight, rounded", "a weight on the processor", "another device"));
        };
        let w = values(storage, layout)?;
        let (inputs, outputs) = (self.inputs, self.outputs);
        let packed = match turned {
            true => Packed::new(inputs, outputs, |input, output| w[input * outputs + output]),
            false => Packed::new(inputs, outputs, |input, output| w[output * inputs + input]),
        };
        Ok(Weight { values: Values::Rounded(Arc::new(packed)), ..self.clone() })
    }

    /// The matrix as (outputs, inputs), perhaps strided.
    pub(super) fn matrix(&self) -> Result<Tensor> {
        match &self.values {
            Values::Plain { matrix, turned: true } => Ok(matrix.t()?),
            Values::Plain { matrix, turned: false } => Ok(matrix.clone()),
            Values::Rounded(_) => Err(Error::argument("weight", "f32", "rounded to bf16, for the processor alone")),
        }
    }

    pub(super) fn values(&self) -> &Values {
        &self.values
    }

    /// Number of outputs.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Number of inputs.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Whether it is one that [`Weight::rounded`] gave.
    pub fn is_rounded(&self) -> bool {
        matches!(self.values, Values::Rounded(_))
    }

    /// Whether it has a gradient.
    pub(super) fn is_trained(&self) -> bool {
        matches!(&self.values, Values::Plain { matrix, .. } if matrix.track_op())
    }

    /// An error unless what is there is f32, or rounded from it.
    pub(super) fn require_f32(&self) -> Result<()> {
        match &self.values {
            Values::Plain { matrix, .. } => require_f32("linear, w", matrix),
            Values::Rounded(_) => Ok(()),
        }
    }
}
