//! The Hugging Face hub: one client for data sets and models, and weights that stay what they were.
//!
//! The environment decides, as it does for Python's `huggingface_hub`, whose cache this is:
//!
//! | variable | |
//! |---|---|
//! | `HF_HUB_CACHE`, else `HUGGINGFACE_HUB_CACHE`, else `HF_HOME`, else `XDG_CACHE_HOME` | the cache, [`cache`]; `~` and `$NAME` are replaced |
//! | `HF_TOKEN`, else `HUGGING_FACE_HUB_TOKEN`, else the file `HF_TOKEN_PATH`, else `token` in `HF_HOME` | the token for gated repositories; `HF_HUB_DISABLE_IMPLICIT_TOKEN=1` sends none |
//! | `HF_ENDPOINT` | a mirror, with a path if need be |
//! | `HF_HUB_OFFLINE`, `TRANSFORMERS_OFFLINE` | 1: the cache only |
//! | `HF_HUB_DISABLE_SYMLINKS` | 1: files instead of links in the cache, as on file systems that have none |
//! | `HF_HUB_ETAG_TIMEOUT`, `HF_HUB_DOWNLOAD_TIMEOUT` | seconds that a server may be silent, when asked and while it sends; 10 |
//! | `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY` | a proxy; small letters come first |
//!
//! A branch moves, results must not: [`fetch_model`] writes commit, size and SHA-256 of each file at its first use into
//! a lock file that belongs to the project, and from then on asks for that commit and takes nothing else. Who wants
//! what the branch holds today deletes the entry.
//!
//! # What a server may do
//!
//! The token goes to the endpoint's scheme, host and port, and nowhere else: not where a redirect leads. Commits, `ETag`s
//! and file names become parts of paths, so they are checked first. Redirects, waits and tries are bounded. A silent server
//! is noticed, said, and asked again. A file is kept only if its length and, in large file storage, its SHA-256 are those
//! announced. A message says what went wrong and with which host, and never the token or a signed address.
//!
//! # Why the requests are this module's own
//!
//! hf-hub gives the types of repositories, cache and lists. Its requests are not used. Version 0.5 sends the token to the host
//! of a redirect, takes every name as it comes, has no time limits, checks neither length nor hash, and asks for packed
//! parts. Version 1.0 mends the first and most of the cache's places; but it takes an `ETag` and a commit into paths as they
//! come, has no time limits, checks no hash, begins a broken download anew, knows no file system without links, expands no
//! `~`, and would bring 112 crates more (tokio's runtime, reqwest, hf-xet).

mod client;
mod download;
mod environment;
mod fault;
mod lock;
mod model;
mod names;
mod origin;
mod place;
mod proxy;
mod range;
mod transport;
mod verify;

pub(crate) use client::Client;
pub(crate) use environment::offline;
pub use environment::{cache, private_folders};
pub(crate) use fault::{Fault, Kind};
pub use lock::lock_path;
pub use model::{HubWeights, fetch_model, model_in_cache};
pub(crate) use names::{check_file, shown_address};
pub(crate) use range::of as content_range;
#[doc(hidden)]
pub use transport::trust_for_tests;
pub(crate) use transport::{Ask, Transport};
