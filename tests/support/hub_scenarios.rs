//! What Python's client and ours are both asked to do, on the same stand-ins: `tests/reference/hub_client.py` writes down
//! what Python's does, `tests/hub_python.rs` compares.

use super::hub_child::{FIRST, REPO, bytes};
use super::hub_server::{Etag, HubServer, Instead, Manner, Repository};

pub struct Scenario {
    pub name: &'static str,
    /// `{hub}`, `{home}` (a fresh folder) and `{user}` stand for what they are. What is not here is not set.
    pub environment: Vec<(&'static str, &'static str)>,
    pub repo: &'static str,
    pub revision: &'static str,
    pub file: &'static str,
    /// Files of the fresh folder that are there before.
    pub before: Vec<(&'static str, &'static str)>,
    setup: fn(&HubServer),
}

impl Scenario {
    pub fn start(&self) -> HubServer {
        let server = HubServer::new();
        let (small, weights) = (bytes(700, 1), bytes(20_000, 2));
        let files: [(&str, &[u8]); 4] = [
            ("config.json", &small),
            ("model.safetensors", &weights),
            ("a folder/with #1 100% ü+&?.bin", &small),
            ("empty.bin", b""),
        ];
        server.commit(REPO, "main", FIRST, &files);
        server.commit(REPO, "refs/pr/1", FIRST, &files);
        server.change(REPO, |repository| repository.large = true);
        (self.setup)(&server);
        server
    }
}

/// A change of the repository, for a scenario.
macro_rules! with {
    ($repository:ident: $change:expr) => {
        |server: &HubServer| {
            server.change(REPO, |$repository: &mut Repository| {
                $change;
            })
        }
    };
}

pub fn scenarios() -> Vec<Scenario> {
    let plain = || Scenario {
        name: "",
        environment: vec![("HF_HOME", "{home}/hf"), ("HF_ENDPOINT", "{hub}"), ("HF_TOKEN", "hf_secret")],
        repo: REPO,
        revision: "main",
        file: "model.safetensors",
        before: Vec::new(),
        setup: |_| {},
    };
    let set = |name, environment: &[(&'static str, &'static str)]| Scenario {
        name,
        environment: [&[("HF_ENDPOINT", "{hub}")], environment].concat(),
        setup: with!(repository: repository.token = Some("hf_secret".into())),
        ..plain()
    };
    let server = |name, setup| Scenario { name, setup, ..plain() };
    let home = ("HF_HOME", "{home}/hf");
    let token = ("HF_TOKEN", "hf_secret");
    vec![
        // Files.
        Scenario { name: "large_file", ..plain() },
        Scenario {
            name: "small_file",
            file: "config.json",
            setup: with!(repository: repository.large = false),
            ..plain()
        },
        Scenario {
            name: "empty_file",
            file: "empty.bin",
            setup: with!(repository: repository.large = false),
            ..plain()
        },
        Scenario { name: "odd_name", file: "a folder/with #1 100% ü+&?.bin", ..plain() },
        Scenario { name: "revision_with_slashes", revision: "refs/pr/1", ..plain() },
        Scenario { name: "revision_is_a_commit", revision: FIRST, ..plain() },
        // Headers.
        server("etag_weak", with!(repository: repository.etag = Etag::Weak)),
        server("etag_bare", with!(repository: repository.etag = Etag::Bare)),
        server("etag_upper_case", with!(repository: repository.etag = Etag::UpperCase)),
        Scenario {
            name: "etag_weak_of_a_small_file",
            file: "config.json",
            setup: with!(repository: (repository.large, repository.etag) = (false, Etag::Weak)),
            ..plain()
        },
        server("etag_missing", with!(repository: repository.etag = Etag::Missing)),
        server("etag_with_a_path", with!(repository: repository.etag = Etag::Other("\"../../outside\"".into()))),
        server("commit_missing", with!(repository: repository.answered_commit = Some(String::new()))),
        server("commit_with_a_path", with!(repository: repository.answered_commit = Some("../../outside".into()))),
        server("no_length_in_the_redirect", with!(repository: repository.no_linked_size = true)),
        // Bodies.
        server("body_in_chunks", |server| server.manner(Manner::Chunks)),
        server("body_without_length", |server| server.manner(Manner::NoLength)),
        server("body_ends_early", |server| server.manner(Manner::EndsEarly(5000))),
        server("body_breaks_off", |server| server.manner(Manner::BreaksOff(12_000))),
        server("body_damaged", |server| server.manner(Manner::Damaged)),
        // Where the cache is.
        set("cache_hf_home", &[home, token]),
        set("cache_hf_home_tilde", &[("HF_HOME", "~/hf"), ("HOME", "{home}"), token]),
        set(
            "cache_hf_home_variables",
            &[("HF_HOME", "$ROOM/${ROOM_2}/$UNKNOWN_1/hf"), ("ROOM", "{home}"), ("ROOM_2", "two"), token],
        ),
        set("cache_hf_home_broken_variables", &[("HF_HOME", "{home}/$/${/${}x/hf"), token]),
        set("cache_hf_home_of_nobody", &[("HF_HOME", "{home}/~nobody-here/hf"), token]),
        set("cache_xdg", &[("XDG_CACHE_HOME", "{home}/xdg"), token]),
        set("cache_xdg_tilde", &[("XDG_CACHE_HOME", "~/xdg"), ("HOME", "{home}"), token]),
        set("cache_default", &[("HOME", "{home}"), token]),
        set("cache_hub_cache", &[home, ("HF_HUB_CACHE", "{home}/cache"), token]),
        set("cache_hub_cache_tilde", &[home, ("HF_HUB_CACHE", "~/cache"), ("HOME", "{home}"), token]),
        set("cache_old_variable", &[home, ("HUGGINGFACE_HUB_CACHE", "$HOME/old"), ("HOME", "{home}"), token]),
        set(
            "cache_new_before_old",
            &[home, ("HUGGINGFACE_HUB_CACHE", "{home}/old"), ("HF_HUB_CACHE", "{home}/new"), token],
        ),
        set("no_links", &[home, ("HF_HUB_DISABLE_SYMLINKS", "1"), token]),
        // Where the token is.
        set("token_old_variable", &[home, ("HUGGING_FACE_HUB_TOKEN", "hf_secret")]),
        set("token_new_before_old", &[home, ("HUGGING_FACE_HUB_TOKEN", "hf_old"), token]),
        set("token_empty_is_none", &[home, ("HF_TOKEN", ""), ("HUGGING_FACE_HUB_TOKEN", "hf_secret")]),
        set("token_with_line_breaks", &[home, ("HF_TOKEN", "\r\n hf_secret \r\n")]),
        Scenario { before: vec![("hf/token", "hf_secret\n")], ..set("token_file", &[home]) },
        Scenario {
            before: vec![("elsewhere", "hf_secret\r\n"), ("hf/token", "hf_other")],
            ..set("token_path", &[home, ("HF_TOKEN_PATH", "~/elsewhere"), ("HOME", "{home}")])
        },
        set("token_missing", &[home]),
        set("token_wrong", &[home, ("HF_TOKEN", "hf_other")]),
        set("token_disabled", &[home, token, ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "YES")]),
        set("token_not_disabled", &[home, token, ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "0")]),
        // Without a network.
        set("offline", &[home, token, ("HF_HUB_OFFLINE", "1")]),
        set("offline_transformers", &[home, token, ("TRANSFORMERS_OFFLINE", "true")]),
        set("offline_off", &[home, token, ("HF_HUB_OFFLINE", "off"), ("TRANSFORMERS_OFFLINE", "1")]),
        // Where the hub is.
        Scenario {
            environment: vec![home, token, ("HF_ENDPOINT", "{hub}/mirror/of/it//")],
            setup: |server| server.state().prefix = "/mirror/of/it".into(),
            ..set("endpoint_with_a_path", &[])
        },
        server("redirect_on_the_hub", |server| {
            server.script(|request| {
                let moved = request.path.contains("/resolve/") && request.path.starts_with("/somebody/");
                let head = || format!("307 Moved\r\nlocation: {}", request.path.replace("/somebody/", "/renamed/"));
                moved.then(|| Instead::new(&head(), b"")).flatten()
            });
            let files = server.state().repositories[REPO].commits[FIRST].clone();
            let files: Vec<(&str, &[u8])> =
                files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
            server.commit("renamed/vit", "main", FIRST, &files);
            server.change("renamed/vit", |repository| repository.large = true);
        }),
        server("redirect_in_a_circle", |server| {
            server.script(|request| {
                let head = || format!("302 Found\r\nlocation: {}", request.path);
                request.path.contains("/resolve/").then(|| Instead::new(&head(), b"")).flatten()
            });
        }),
        server("busy_for_a_while", |server| {
            let mut left = 2;
            server.script(move |request| {
                let fails = request.method == "HEAD" && left > 0;
                left -= i32::from(fails);
                fails.then(|| Instead::new("503 Busy", b"")).flatten()
            });
        }),
        server("sign_in_page", |server| {
            server.script(|request| {
                let page = || Instead::new("200 OK\r\ncontent-type: text/html", b"<html>Sign in</html>");
                request.path.contains("/resolve/").then(page).flatten()
            });
        }),
        // What is not there.
        Scenario { name: "no_such_file", file: "nothing.bin", ..plain() },
        Scenario { name: "no_such_revision", revision: "nowhere", ..plain() },
        Scenario { name: "no_such_repository", repo: "nobody/vit", ..plain() },
    ]
}
