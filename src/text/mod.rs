//! Text for CLIP: class names into prompts, prompts into tokens. Plain strings and numbers, no tensors.
//!
//! | module | what |
//! |---|---|
//! | [`prompts`] | class names cleaned, and put into templates such as "a photo of a {}." |
//! | [`tokenizer`] | CLIP's byte-pair tokens, the same as transformers' fast tokenizer |

pub mod prompts;
pub mod tokenizer;

pub use prompts::{Templates, class_name};
pub use tokenizer::{Tokenizer, read_pairs};
