//! What must hold of weights and checkpoints.

use super::{LONGEST_MESSAGE, REFUSAL, answer, fresh, holds, scratch};
use crate::readers::{Check, Checked};
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::Write;
use std::path::Path;
use wider_clip::candle_core::{DType, Device, Tensor};
use wider_clip::models::WeightFile;
use wider_clip::training::Checkpoint;

/// The bytes of every tensor, with its type and its shape.
fn tensors(file: &WeightFile) -> Result<BTreeMap<String, String>, String> {
    let mut all = BTreeMap::new();
    for name in file.names().take(64) {
        let shape = file.shape(name).map_err(|error| error.to_string())?.to_vec();
        let tensor = match file.dtype(name).and_then(|_| file.get(name, &Device::Cpu)) {
            Ok(tensor) => tensor,
            Err(error) => {
                holds(error.to_string().len() < LONGEST_MESSAGE, "a short refusal")?;
                continue;
            }
        };
        holds(tensor.dims() == shape && tensor.is_contiguous(), "a tensor of its shape")?;
        let few = tensor.elem_count() <= 1 << 20;
        all.insert(
            name.to_string(),
            format!("{shape:?} {:?} {}", tensor.dtype(), if few { digest(&tensor) } else { String::new() }),
        );
    }
    Ok(all)
}

fn digest(tensor: &Tensor) -> String {
    let map = HashMap::from([("a".to_string(), tensor.clone())]);
    safetensors::serialize(&map, None)
        .map_or_else(|error| error.to_string(), |bytes| wider_clip::storage::sha256_hex(&bytes))
}

fn read_weights(path: &Path) -> Checked {
    let Some(file) = answer(WeightFile::open(path))? else { return Ok(false) };
    let first = tensors(&file)?;
    let again = WeightFile::open(path).map_err(|error| error.to_string())?;
    holds(file.names().eq(again.names()) && tensors(&again)? == first, "opened twice alike")?;
    Ok(true)
}

pub fn weights(place: &Path) -> Check {
    fresh(place);
    let path = place.join("weights");
    Box::new(move |bytes| {
        fs::write(&path, bytes).expect("a file");
        read_weights(&path)
    })
}

/// The pickle alone is changed, the archive around it is whole.
pub fn pickle(place: &Path) -> Check {
    fresh(place);
    let path = place.join("weights.bin");
    Box::new(move |bytes| {
        let mut archive = ::zip::ZipWriter::new(fs::File::create(&path).expect("a file"));
        let stored = ::zip::write::SimpleFileOptions::default().compression_method(::zip::CompressionMethod::Stored);
        let numbers: Vec<u8> = (0..32).collect();
        for (name, bytes) in [("m/data.pkl", bytes), ("m/data/0", &numbers[..24]), ("m/data/1", &numbers[..8])] {
            archive.start_file(name, stored).expect("a file");
            archive.write_all(bytes).expect("a file");
        }
        archive.finish().expect("an archive");
        read_weights(&path)
    })
}

/// What we read is what the format's own library reads.
pub fn safetensors(place: &Path) -> Check {
    fresh(place);
    let path = place.join("model.safetensors");
    Box::new(move |bytes| {
        fs::write(&path, bytes).expect("a file");
        if !read_weights(&path)? {
            // What the library takes and we do not: a file of no tensors, or of two with one name.
            let why = REFUSAL.with(|why| why.borrow().clone());
            let ours = why.contains("at least one tensor") || why.contains("` twice");
            holds(ours || ::safetensors::SafeTensors::deserialize(bytes).is_err(), "what the library reads")?;
            return Ok(false);
        }
        // Other formats may come out of a mutation too.
        let file = WeightFile::open(&path).map_err(|error| error.to_string())?;
        if file.format() != wider_clip::models::WeightFormat::Safetensors {
            return Ok(true);
        }
        let theirs = ::safetensors::SafeTensors::deserialize(bytes).map_err(|error| format!("the library: {error}"))?;
        let mut names: Vec<&str> = theirs.names();
        names.sort_unstable();
        holds(file.names().eq(names.iter().copied()), "the library's names")?;
        for name in names {
            let view = theirs.tensor(name).map_err(|error| error.to_string())?;
            holds(file.shape(name).is_ok_and(|shape| shape == view.shape()), "the library's shapes")?;
            if let (Ok(DType::F32), Ok(tensor)) = (file.dtype(name), file.get(name, &Device::Cpu)) {
                let ours = tensor
                    .flatten_all()
                    .and_then(|tensor| tensor.to_vec1::<f32>())
                    .map_err(|error| error.to_string())?;
                let ours: Vec<u8> = ours.iter().flat_map(|value| value.to_le_bytes()).collect();
                holds(ours == view.data(), "the library's bytes")?;
            }
        }
        Ok(true)
    })
}

/// The length before a header that lies up to the first `}}`.
pub fn header_length(bytes: &mut Vec<u8>) {
    let end = bytes.windows(2).position(|pair| pair == b"}}").map(|at| at + 2);
    if let Some(end) = end.filter(|end| *end >= 8) {
        let length = (end as u64 - 8).to_le_bytes();
        bytes[..8].copy_from_slice(&length);
    }
}

pub fn index(place: &Path) -> Check {
    fresh(place);
    for name in ["a", "b"] {
        let tensor = Tensor::new(&[1f32, 2.0], &Device::Cpu).expect("a tensor");
        let file = safetensors::serialize([(name, tensor)], None).expect("a file");
        fs::write(place.join(format!("{name}.safetensors")), file).expect("a file");
    }
    let path = place.join("index.json");
    Box::new(move |bytes| {
        fs::write(&path, bytes).expect("a file");
        read_weights(&path)
    })
}

pub fn checkpoint_seeds() -> Vec<(String, Vec<u8>)> {
    let folder = scratch();
    let path = folder.path().join("a.safetensors");
    let mut one = Checkpoint::default();
    one.facts.insert("step".into(), "7".into());
    one.put("model", [("w".to_string(), Tensor::new(&[[1f32, 2.0], [3.0, 4.0]], &Device::Cpu).expect("a tensor"))]);
    one.write(&path).expect("a file");
    vec![("a checkpoint".into(), fs::read(path).expect("a file"))]
}

pub fn checkpoint(place: &Path) -> Check {
    fresh(place);
    let (path, copy) = (place.join("a.safetensors"), place.join("b.safetensors"));
    Box::new(move |bytes| {
        fs::write(&path, bytes).expect("a file");
        let Some(found) = answer(Checkpoint::read(&path, &Device::Cpu))? else { return Ok(false) };
        // What it writes is f32, as a run's state is; eight-bit floats are none of it.
        if found.tensors.values().any(|tensor| tensor.dtype() != DType::F32) {
            return Ok(true);
        }
        let facts = found.facts.clone();
        let tensors: BTreeMap<_, _> =
            found.tensors.iter().map(|(name, tensor)| (name.clone(), digest(tensor))).collect();
        found.write(&copy).map_err(|error| error.to_string())?;
        let again = Checkpoint::read(&copy, &Device::Cpu).map_err(|error| error.to_string())?;
        let same =
            again.tensors.iter().map(|(name, tensor)| (name.clone(), digest(tensor))).collect::<BTreeMap<_, _>>();
        holds(again.facts == facts && same == tensors, "written and read again alike")?;
        Ok(true)
    })
}
