//! Text for CLIP: class names into prompts, prompts into tokens. Plain strings and numbers, no tensors.
//!
//! | module | what |
//! |---|---|
//! | [`kinds`] | the kinds of a thing, for a class to be asked for by them |
//! | [`prompts`] | class names cleaned, and put into templates such as "a photo of a {}." |
//! | [`tokenizer`] | CLIP's byte-pair tokens, the same as transformers' fast tokenizer |

pub mod kinds;
pub mod prompts;
pub mod tokenizer;

pub use kinds::Kinds;
pub use prompts::{Templates, class_name};
pub use tokenizer::{Tokenizer, read_pairs};
