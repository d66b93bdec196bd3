//! Where the class token looks.

use crate::datasets::ImageSet;
use crate::error::Result;
use crate::models::LoadedModel;
use candle_core::Tensor;
use ndarray::{Array2, Axis};

/// Images that pass through the network together.
const BATCH: usize = 64;

/// The class token's attention to each patch in the last block, mean over heads, for images `rows` of `set`: one (G, G) an
/// image, adding up to less than 1 (the rest is for the class token itself). `None` from a model without attention.
///
/// # Errors
/// An image that cannot be read; as for [`LoadedModel::attention_maps`].
pub fn attention_of(model: &LoadedModel, set: &ImageSet, rows: &[usize]) -> Result<Option<Vec<Array2<f32>>>> {
    let mut maps = Vec::with_capacity(rows.len());
    for rows in rows.chunks(BATCH) {
        let size = model.preprocess.size;
        let mut values = Vec::with_capacity(rows.len() * 3 * size * size);
        for &row in rows {
            values.extend(model.preprocess.apply(&image(set, row)?)?);
        }
        let images = Tensor::from_vec(values, (rows.len(), 3, size, size), &model.device)?;
        let Some(of_heads) = model.attention_maps(&images)? else { return Ok(None) };
        for of_image in of_heads.axis_iter(Axis(0)) {
            // A model has a head at least.
            maps.extend(of_image.mean_axis(Axis(0)));
        }
    }
    Ok(Some(maps))
}

/// How much more ink the class token sees than a look spread evenly over the patches would: the ink of a patch (1 minus
/// the darkest channel of a pixel, mean over its pixels: 0 for white) weighted by attention, over its plain mean. 1 is
/// evenly, 2 is twice the ink. One number an image; `None` for a blank image, and for all of a model without attention.
///
/// # Errors
/// As for [`attention_of`].
pub fn attention_lift(model: &LoadedModel, set: &ImageSet, rows: &[usize]) -> Result<Option<Vec<Option<f64>>>> {
    let Some(maps) = attention_of(model, set, rows)? else { return Ok(None) };
    let lift = |(map, &row): (&Array2<f32>, &usize)| -> Result<Option<f64>> {
        let square = model.preprocess.square(&image(set, row)?)?;
        let (side, grid) = (square.width() as usize, map.nrows());
        let mut ink = Array2::<f64>::zeros(map.dim());
        for (x, y, pixel) in square.enumerate_pixels() {
            let darkest = pixel.0.iter().min().copied().unwrap_or(255);
            let place = |at: u32| (at as usize * grid / side).min(grid - 1);
            ink[[place(y), place(x)]] += 1.0 - f64::from(darkest) / 255.0;
        }
        let attended: f64 = map.iter().map(|&weight| f64::from(weight)).sum();
        let seen: f64 = map.iter().zip(&ink).map(|(&weight, ink)| f64::from(weight) * ink).sum();
        let evenly = ink.sum() / ink.len() as f64;
        Ok((evenly > 0.0 && attended > 0.0).then(|| seen / attended / evenly))
    };
    maps.iter().zip(rows).map(lift).collect::<Result<Vec<_>>>().map(Some)
}

fn image(set: &ImageSet, row: usize) -> Result<image::RgbImage> {
    let bytes = set.read(row..row + 1)?.pop().unwrap_or_else(|| Ok(Vec::new()))?;
    set.decode_alone(row, &bytes)
}
