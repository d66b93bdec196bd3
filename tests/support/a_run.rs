//! A run of fine-tuning, for tests of rows.

use wider_clip::results::Run;

/// A run of fine-tuning whose fields all differ.
pub fn run(key: &str, seed: u64) -> Run {
    Run {
        key: key.into(),
        dataset: "icons".into(),
        model: "vit.random".into(),
        method: "lp_ft".into(),
        budget: 10,
        seed,
        input: "own".into(),
        rate: 1e-4,
        chosen: "rate 1e-4".into(),
        ended: "all steps taken".into(),
        epochs: 20,
        steps: 30,
        best_epoch: Some(7),
        best_val_loss: Some(0.1 + 0.2),
        images: 480,
        seconds: 12.5,
        peak_memory: Some(350.25),
        moved: 0.0625,
        threads: 2,
        device: "cpu".into(),
        machine: "a machine".into(),
        date: "2026-01-02".into(),
    }
}
