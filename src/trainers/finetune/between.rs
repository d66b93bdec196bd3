//! Weights between two states (WiSE-FT; Wortsman et al. 2022, <https://arxiv.org/abs/2109.01903>).

use crate::error::{Error, Result};
use candle_core::Tensor;
use std::collections::BTreeMap;

/// `(1 - alpha) from + alpha to`, tensor by tensor: 0 gives `from`, 1 gives `to`.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use std::collections::BTreeMap;
/// use wider_clip::finetune::between;
///
/// let state = |value: f32| -> wider_clip::error::Result<_> {
///     Ok(BTreeMap::from([("w".to_string(), Tensor::new(&[value], &Device::Cpu)?)]))
/// };
/// let half = between(&state(1.0)?, &state(2.0)?, 0.5)?;
/// assert_eq!(half["w"].to_vec1::<f32>()?, [1.5]);
/// # Ok::<(), wider_clip::error::Error>(())
/// ```
///
/// # Errors
/// [`Error::Argument`] for an alpha outside 0 to 1, or states with other tensors.
pub fn between(
    from: &BTreeMap<String, Tensor>,
    to: &BTreeMap<String, Tensor>,
    alpha: f64,
) -> Result<BTreeMap<String, Tensor>> {
    if !(0.0..=1.0).contains(&alpha) {
        return Err(Error::argument("alpha", "a part from 0 to 1", alpha.to_string()));
    }
    if !from.keys().eq(to.keys()) {
        let found = format!("{} and {} tensors", from.len(), to.len());
        return Err(Error::argument("states", "two of the same model", found));
    }
    // The ends are the states themselves, to the bit.
    let mix = |(name, a): (&String, &Tensor)| -> Result<(String, Tensor)> {
        let b = &to[name];
        Ok((
            name.clone(),
            match alpha {
                0.0 => a.clone(),
                1.0 => b.clone(),
                _ => ((a * (1.0 - alpha))? + (b * alpha)?)?,
            },
        ))
    };
    from.iter().map(mix).collect()
}
