//! `images --download`: models that are not on this machine come from the hub's stand-in, as long as minutes are left, and one that
//! cannot be had costs no other.

#[path = "support/hub_server.rs"]
mod hub_server;
#[path = "support/own_place.rs"]
mod own_place;

use hub_server::{HubServer, Instead};
use own_place::{Place, picture};
use std::fs;
use std::path::Path;
use wider_clip::own::Request;
use wider_clip::prelude::*;

/// The project's manifests with four models: one without weights, one that the hub has, two that it has not.
fn root_with_models(folder: &Path) {
    let (from, to) = (Path::new(env!("CARGO_MANIFEST_DIR")).join("data_manifests"), folder.join("data_manifests"));
    fs::create_dir_all(to.join("models")).expect("makes");
    fs::create_dir_all(to.join("suites")).expect("makes");
    let suite = "id = \"default\"\ndescription = \"A test's.\"\ndatasets = [\"icons\"]\nmodels = [\"pixels.raw\"]\n\
                 methods = [\"knn\"]\nbudgets = [10]\nseeds = [0]\n";
    fs::write(to.join("suites/default.toml"), suite).expect("writes");
    for name in ["datasets", "embedded"] {
        std::os::unix::fs::symlink(from.join(name), to.join(name)).expect("links");
    }
    let record = |id: &str| fs::read_to_string(from.join("models").join(format!("{id}.toml"))).expect("reads");
    fs::write(to.join("models/pixels.raw.toml"), record("pixels.raw")).expect("writes");
    let vit = record("vit_p16_pocket.icons");
    let embedded = vit.split("[weights.embedded]").nth(1).and_then(|rest| rest.split("\n\n").next()).expect("is there");
    for (id, repo) in [("near.hub", "somebody/near"), ("gone.hub", "somebody/gone"), ("lost.hub", "somebody/lost")] {
        let hub = format!("[weights.hub]\nrepo = \"{repo}\"\nfiles = [\"model.safetensors\"]");
        let text = vit.replace(&format!("[weights.embedded]{embedded}"), &hub);
        let text = text.replace("vit_p16_pocket.icons", id).replace("Pocket ViT, large patches, icons", id);
        fs::write(to.join("models").join(format!("{id}.toml")), text).expect("writes");
    }
}

#[test]
fn models_are_downloaded_one_by_one_and_what_cannot_be_had_is_told() {
    let (server, root, place) = (HubServer::new(), tempfile::tempdir().expect("a folder"), Place::new());
    // SAFETY: this file has one test, and no other thread of it reads the environment.
    unsafe {
        std::env::set_var("HF_HOME", root.path().join("home"));
        std::env::set_var("HF_ENDPOINT", &server.address);
        std::env::set_var("HF_HUB_ETAG_TIMEOUT", "1");
        for name in ["HF_TOKEN", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HUB_OFFLINE", "HTTP_PROXY", "http_proxy"]
        {
            std::env::remove_var(name);
        }
    }
    root_with_models(root.path());
    let weights = root.path().join("data_manifests/embedded/pocket/vit_32.safetensors");
    let weights = fs::read(weights).expect("reads");
    server.commit("somebody/near", "main", &"a".repeat(40), &[("model.safetensors", &weights)]);
    let server_is_asked = || !server.requests().is_empty();

    for i in 0..60 {
        place.write(&format!("images/{}/{i}.png", ["one", "two"][i % 2]), picture(i + 100 * (i % 2)));
    }
    let out = place.at("out");
    fs::create_dir_all(&out).expect("makes");
    let record =
        wider_clip::datasets::recognise(&place.at("images"), &Default::default()).expect("is recognised").record;
    fs::write(out.join("images.toml"), wider_clip::manifest::own_manifest(&record)).expect("writes");
    let asked = |models: &[&str], minutes: Option<f64>, download: bool| {
        let models = models.iter().map(|id| id.to_string()).collect();
        let request = Request { manifest: "images.toml".into(), models, minutes, download, ..Request::default() };
        request.write(&out.join(own::REQUEST)).expect("writes");
        let project = Project::open(root.path(), "default").expect("opens").with_cache(&root.path().join("cache"));
        Own::open(project, &out.join(own::REQUEST)).expect("opens")
    };
    let ids = |models: &[(String, f64)]| models.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>();
    let elsewhere = |chosen: &Chosen| chosen.elsewhere.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>();

    // What is not here is named, and nobody is asked.
    let chosen = asked(&[], None, false).choose(&Device::Cpu).expect("chooses");
    assert_eq!(
        (ids(&chosen.models), elsewhere(&chosen)),
        (vec!["pixels.raw".into()], vec!["gone.hub".into(), "lost.hub".into(), "near.hub".into()])
    );
    let error = asked(&["near.hub"], None, false).choose(&Device::Cpu).expect_err("is refused").to_string();
    assert!(error.contains("`near.hub`") && error.contains("--download"), "{error}");
    assert!(!server_is_asked());

    // Minutes that are over before a download leave it for another time.
    let chosen = asked(&[], Some(1e-9), true).choose(&Device::Cpu).expect("chooses");
    assert_eq!(
        (ids(&chosen.models), elsewhere(&chosen)),
        (vec!["pixels.raw".into()], vec!["gone.hub".into(), "lost.hub".into(), "near.hub".into()])
    );
    assert!(!server_is_asked());

    // Both are tried; the one that the hub has not is named with the reason, and the page goes on.
    let own = asked(&[], None, true);
    let chosen = own.choose(&Device::Cpu).expect("chooses");
    assert_eq!((ids(&chosen.models), elsewhere(&chosen)), (vec!["pixels.raw".into(), "near.hub".into()], vec![]));
    let [(broken, why), (other, _)] = &chosen.broken[..] else { panic!("{:?}", chosen.broken) };
    assert_eq!(other, "lost.hub");
    assert!(broken == "gone.hub" && why.contains("somebody/gone"), "{broken}: {why}");
    assert!(server_is_asked());
    let compared = own.compare(&chosen, &own.look().expect("looks"), &Device::Cpu).expect("compares");
    let table = paces_table(&own, &chosen, &compared).to_text();
    assert!(table.contains("near.hub") && table.contains("gone.hub"), "{table}");
    assert!(compared.arms.iter().any(|arm| arm.model == "near.hub"));

    // Now it is here, without --download as well. Alone, the other one is an error that names it.
    let chosen = asked(&["near.hub"], None, false).choose(&Device::Cpu).expect("chooses");
    assert_eq!(ids(&chosen.models), ["near.hub"]);
    let error = asked(&["gone.hub"], None, true).choose(&Device::Cpu).expect_err("is refused").to_string();
    assert!(error.contains("gone.hub") && error.contains("somebody/gone"), "{error}");

    // A hub that does not answer is waited for once.
    server.script(|_| Instead::silence());
    // SAFETY: as above.
    unsafe { std::env::set_var("HF_HUB_ETAG_TIMEOUT", "2") };
    let chosen = asked(&[], None, true).choose(&Device::Cpu).expect("chooses");
    assert_eq!((ids(&chosen.models).len(), chosen.broken.len(), elsewhere(&chosen).len()), (2, 1, 1), "{chosen:?}");
}
