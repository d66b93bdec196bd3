//! Networks and servers with faults, on stand-ins: silence, limits, errors for a while, lengths that are lost, proxies.

mod support;

use std::fs;
use std::net::TcpListener;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use support::hub_child::{FIRST, NOWHERE, Place, REPO, bytes, server};
use support::hub_server::{HubServer, Instead, Manner};
use wider_clip::storage::sha256_hex;

#[test]
#[ignore = "run by the other tests, as a process of its own"]
fn child() {
    support::hub_child::child();
}

#[test]
fn a_silent_server_is_noticed_told_and_asked_again() {
    let weights = bytes(300_000, 1);
    // A body that stops: it goes on where it stopped.
    let (one, place) = (server(&[("model.safetensors", &weights)]), Place::new());
    one.manner(Manner::Stalls(100_000));
    let fetch = place.fetch(&one.address).set("HF_HUB_DOWNLOAD_TIMEOUT", "0.3");
    assert_eq!(fetch.ok().size, 300_000);
    assert_eq!(one.body_starts(), [0, 100_000, 200_000]);
    let told = fetch.output();
    let line = format!(
        "the transfer from {} broke off after 100000 of 300000 bytes: nothing came for 0.3 s; trying",
        one.store
    );
    assert!(told.contains(&line), "{told}");

    // No more comes: it gives up, and says so. What is there stays for the next run.
    let place = Place::new();
    one.script(|request| if request.host == "store" && request.range().is_some() { Instead::silence() } else { None });
    place
        .fetch(&one.address)
        .set("HF_HUB_DOWNLOAD_TIMEOUT", "0.2")
        .fails(&[&format!("{} gave no answer within 0.2 s (tried 5 times)", one.store), "goes on where it stopped"]);
    one.state().script = None;
    one.manner(Manner::Whole);
    one.requests();
    assert_eq!(place.fetch(&one.address).ok().size, 300_000);
    assert_eq!(one.body_starts(), [100_000]);

    // No answer at all, to the list or to the question for a file.
    for what in ["/api/", "/resolve/"] {
        let (two, place) = (server(&[("model.safetensors", &weights)]), Place::new());
        two.script(move |request| if request.path.contains(what) { Instead::silence() } else { None });
        let started = Instant::now();
        let fetch = place.fetch(&two.address).set("HF_HUB_ETAG_TIMEOUT", "0.2");
        fetch.fails(&[&format!("{} gave no answer within 0.2 s (tried 5 times)", two.address), "Check the network"]);
        assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    }
    // A long list may come late, as long as it comes.
    let (late, place) = (server(&[("model.safetensors", &weights)]), Place::new());
    late.script(|request| {
        let list = format!("{{\"sha\": \"{FIRST}\", \"siblings\": [{{\"rfilename\": \"model.safetensors\"}}]}}");
        let late = || Instead::late("200 OK", list.as_bytes(), Duration::from_millis(150));
        request.path.contains("/api/").then(late).flatten()
    });
    assert_eq!(place.fetch(&late.address).ok().size, 300_000);
    // A host that takes connections and says nothing, as one behind a wall does.
    let wall = TcpListener::bind("127.0.0.1:0").expect("listens");
    let address = format!("http://{}", wall.local_addr().expect("an address"));
    Place::new().fetch(&address).set("HF_HUB_ETAG_TIMEOUT", "0.2").fails(&[&address, "gave no answer within 0.2 s"]);
    for bad in ["soon", "-1", "1e9", "NaN"] {
        let fetch = place.fetch(NOWHERE).set("HF_HUB_DOWNLOAD_TIMEOUT", bad);
        fetch.fails(&["HF_HUB_DOWNLOAD_TIMEOUT: expected a number of seconds", bad]);
    }
}

/// The date of a header, so many seconds from now, in the three forms of HTTP.
fn dates(seconds: u64) -> [String; 3] {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time").as_secs() + seconds;
    let (mut days, rest) = (now / 86_400, now % 86_400);
    let (mut year, mut month) = (1970, 0);
    let leap = |year: u64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let lengths = [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    while days >= lengths[month] {
        days -= lengths[month];
        month += 1;
    }
    let name = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"][month];
    let (day, time) = (days + 1, format!("{:02}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60));
    [
        format!("Mon, {day:02} {name} {year} {time} GMT"),
        format!("Monday, {day:02}-{name}-{:02} {time} GMT", year % 100),
        format!("Mon {name} {day:2} {time} {year}"),
    ]
}

#[test]
fn errors_for_a_while_are_waited_for() {
    let weights = bytes(3000, 2);
    for status in [408, 429, 500, 502, 503, 504] {
        let places = [("/resolve/", "GET"), ("/api/", "GET"), ("/resolve/", "HEAD"), ("/storage/", "GET")];
        for (what, method) in places.into_iter().take(if status == 503 { 4 } else { 1 }) {
            let (server, place) = (server(&[("model.safetensors", &weights)]), Place::new());
            let mut left = 2;
            server.script(move |request| {
                let fails = request.path.contains(what) && request.method == method && left > 0;
                left -= i32::from(fails);
                fails.then(|| Instead::new(&format!("{status} Later"), b"")).flatten()
            });
            let fetch = place.fetch(&server.address).set("HF_HUB_ETAG_TIMEOUT", "0.2");
            assert_eq!(fetch.ok().sha256, sha256_hex(&weights), "{status} {what}");
            let told = fetch.output();
            assert_eq!(told.matches("trying again in").count(), 2, "{told}");
            assert!(told.contains(&format!("status {status}")), "{told}");
        }
    }
    // For longer than that.
    let server = server(&[("model.safetensors", &weights)]);
    for status in [500, 502, 503, 504] {
        server.state().status = Some(status);
        server.requests();
        let place = Place::new();
        let fetch = place.fetch(&server.address).set("HF_HUB_ETAG_TIMEOUT", "0.2");
        fetch.fails(&[&server.address, &format!("status {status} (tried 5 times)"), "Try again later"]);
        assert_eq!(server.requests().len(), 5);
    }
    // What another try cannot mend is not tried again.
    for status in [400, 404, 410, 418, 451] {
        server.state().status = Some(status);
        server.requests();
        Place::new().fetch(&server.address).fails(&[&format!("status {status}")]);
        assert_eq!(server.requests().len(), 1);
    }
}

#[test]
fn a_limit_is_told_with_its_wait() {
    let weights = bytes(3000, 3);
    let limited = |headers: &str, times: usize| {
        let server = server(&[("model.safetensors", &weights)]);
        let (head, mut left) = (format!("429 Slow\r\n{headers}"), times);
        server.script(move |request| {
            let fails = request.path.contains("/resolve/") && left > 0;
            left -= usize::from(fails);
            fails.then(|| Instead::new(&head, b"")).flatten()
        });
        server
    };
    // A short wait is kept to.
    for header in [
        "retry-after: 1",
        "ratelimit: \"api\";r=0;t=1",
        "Retry-After:  1 ",
        "ratelimit: limit=5000, remaining=0, reset=1",
        "ratelimit: limit=1, remaining=0, reset=1",
    ] {
        let (server, place) = (limited(header, 1), Place::new());
        let fetch = place.fetch(&server.address);
        let started = Instant::now();
        assert_eq!(fetch.ok().size, 3000);
        assert!(started.elapsed() >= Duration::from_secs(1), "{header}");
        assert!(fetch.output().contains("limits how often it may be asked (status 429); it takes more in 1.0 s"));
    }
    // As often as any other fault, and no more.
    let (server, place) = (limited("retry-after: 0", 9), Place::new());
    let fetch = place.fetch(&server.address).set("HF_HUB_ETAG_TIMEOUT", "0.2");
    fetch.fails(&["status 429", "(tried 5 times)", "Wait, and run it again"]);
    // A long one is told, with what helps.
    let mut headers = vec!["retry-after: 4000".to_string(), "ratelimit: \"resolvers\";r=0;t=4000".into()];
    headers.extend(dates(4000).map(|date| format!("retry-after: {date}")));
    for header in headers {
        let (server, place) = (limited(&header, 9), Place::new());
        place.fetch(&server.address).fails(&[
            &server.address,
            "status 429",
            "in 67 min",
            "set HF_TOKEN to a token of yours",
        ]);
        assert_eq!(server.requests().iter().filter(|request| request.path.contains("/resolve/")).count(), 1);
        let error = place.fetch(&server.address).set("HF_TOKEN", "hf_secret").run().expect_err("fails");
        assert!(!error.contains("set HF_TOKEN") && error.contains("the token's owner"), "{error}");
    }
    // Dates of all kinds of years, with their seconds since 1970 as Python's `calendar.timegm` gives them.
    for (date, seconds) in [
        ("Tue, 29 Feb 2028 12:00:00 GMT", 1_835_438_400u64),
        ("Wed, 31 Jan 2029 00:00:00 GMT", 1_864_512_000),
        ("Thursday, 01-Mar-29 00:00:00 GMT", 1_867_017_600),
        ("Tue Jul 15 01:02:03 2031", 1_941_843_723),
        ("Sat, 31 Dec 2033 23:59:59 GMT", 2_019_686_399),
        ("Sun Feb  6 08:49:37 2050", 2_527_750_177),
        ("Wednesday, 06-Nov-69 08:49:37 GMT", 3_150_953_377),
        ("Mon, 01 Mar 2100 00:00:00 GMT", 4_107_542_400),
        ("Tue, 29 Feb 2400 00:00:00 GMT", 13_574_563_200),
    ] {
        let server = limited(&format!("retry-after: {date}"), 9);
        let error = Place::new().fetch(&server.address).run().expect_err("fails");
        let hours = error.split("it takes more in ").nth(1).and_then(|rest| rest.split(" h").next());
        let hours: f64 = hours.and_then(|hours| hours.parse().ok()).unwrap_or_else(|| panic!("{date}: {error}"));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time").as_secs_f64();
        assert!((hours - (seconds as f64 - now) / 3600.0).abs() < 0.2, "{date}: {error}");
    }
    // A date that is past, and what is no wait at all.
    for header in [
        "retry-after: Wed, 21 Oct 2015 07:28:00 GMT",
        "retry-after: Sunday, 06-Nov-94 08:49:37 GMT",
        "retry-after: Thursday, 01-Jan-70 00:00:00 GMT",
        "retry-after: Sun Nov  6 08:49:37 1994",
        "retry-after: Wed, 31 Dec 1969 23:59:59 GMT",
        "retry-after: Thu, 32 Mar 2129 00:00:00 GMT",
        "retry-after: Thu, 00 Mar 2129 00:00:00 GMT",
        "retry-after: Thu, 01 Mar 2129 00:00 GMT",
        "retry-after: Thu, 01 Mar 129 00:00:00 GMT",
        "retry-after: Thu, 01 Mai 2129 00:00:00 GMT",
        "retry-after: soon",
        "retry-after: -5",
        "ratelimit: x",
    ] {
        let server = limited(header, 1);
        assert_eq!(Place::new().fetch(&server.address).set("HF_HUB_ETAG_TIMEOUT", "0.2").ok().size, 3000, "{header}");
    }
}

/// Who gets on is not out of tries: each attempt brings 8 MiB, and there are more of them than tries.
#[test]
fn a_long_transfer_may_break_off_often() {
    let (weights, place) = (bytes(44 << 20, 9), Place::new());
    let server = server(&[("model.safetensors", &weights)]);
    server.manner(Manner::BreaksOff(8 << 20));
    // The stand-in takes its time to find so large a file.
    let patient = |place: &Place| place.fetch(&server.address).set("HF_HUB_ETAG_TIMEOUT", "3").run();
    assert_eq!(patient(&place).expect("fetches").sha256, sha256_hex(&weights));
    assert_eq!(server.body_starts(), [0u64, 8, 16, 24, 32, 40].map(|n| n << 20));
    // A little less is no getting on.
    server.manner(Manner::BreaksOff((8 << 20) - 1));
    let error = patient(&Place::new()).expect_err("is out of tries");
    assert!(error.contains("broke off") && error.contains("(tried 5 times)"), "{error}");
}

/// Of a file whose length nobody tells, neither tries nor bytes are without end.
#[test]
fn a_file_without_a_length_comes_to_an_end() {
    let weights = bytes(44 << 20, 9);
    let untold = |bytes: &[u8]| {
        let server = server(&[("model.safetensors", bytes)]);
        let head = format!("200 OK\r\nx-repo-commit: {FIRST}\r\nx-linked-etag: \"{}\"", sha256_hex(bytes));
        server.script(move |request| match (request.host, request.method.as_str(), request.range()) {
            ("hub", "HEAD", _) => Instead::new(&head, b""),
            (_, _, Some("bytes=0-0")) => Instead::new("404 No", b""),
            _ => None,
        });
        server.change(REPO, |repository| repository.no_linked_size = true);
        server
    };
    let run = |server: &HubServer, place: &Place| {
        place.fetch(&server.address).set("HF_HUB_ETAG_TIMEOUT", "3").set("HF_HUB_DOWNLOAD_TIMEOUT", "3").run()
    };
    // As many tries as for any fault; so much comes of it.
    let (server, place) = (untold(&weights), Place::new());
    server.manner(Manner::ChunksBreakOff(8 << 20));
    let few = run(&server, &place).expect_err("is out of tries, or got on");
    assert!(few.contains("broke off") && few.contains("(tried 5 times)"), "{few}");
    // The next call goes on.
    assert_eq!(run(&server, &place).expect("fetches").sha256, sha256_hex(&weights));

    // As many bytes as any file has.
    let (server, place) = (untold(&weights[..5000]), Place::new());
    let blobs = place.cache().join("blobs");
    fs::create_dir_all(&blobs).expect("a folder");
    let partial = blobs.join(format!("{}.part", sha256_hex(&weights[..5000])));
    fs::File::create(&partial).and_then(|file| file.set_len(16 << 30)).expect("a file without its bytes");
    let head = "206 Partial Content\r\ncontent-range: bytes 17179869184-17179869187/*";
    let mut usual = server.state().script.take().expect("a script");
    server.script(move |request| match request.range() {
        Some("bytes=17179869184-") if request.host == "store" => Instead::chunk(head, b"more"),
        _ => usual(request),
    });
    let error = run(&server, &place).expect_err("is refused");
    assert!(error.contains("sends more than 17,179,869,184 bytes, and does not say how many there are"), "{error}");
    assert_eq!(fs::metadata(&partial).map_or(0, |found| found.len()), 0);
}

#[test]
fn a_store_that_closes_its_link_is_asked_by_a_new_one() {
    let (weights, place) = (bytes(3000, 4), Place::new());
    let server = server(&[("model.safetensors", &weights)]);
    let refuse = |times: i32| {
        let mut left = times;
        move |request: &support::hub_server::Request| {
            let fails = request.host == "store" && left > 0;
            left -= i32::from(fails);
            fails.then(|| Instead::new("403 Expired", b"")).flatten()
        }
    };
    server.script(refuse(9));
    let error = place.fetch(&server.address).run().expect_err("fails");
    assert!(error.contains(&format!("{} answered with status 403", server.store)), "{error}");
    // It is not the token's fault.
    assert!(!error.contains("HF_TOKEN") && error.contains(&server.address), "{error}");
    server.script(refuse(1));
    assert_eq!(place.fetch(&server.address).ok().size, 3000);
}

#[test]
fn a_length_that_is_lost_or_wrong_is_no_trap() {
    let weights = bytes(5000, 5);
    for (case, large, no_size, manner) in [
        ("no length in the redirect", true, true, Manner::Whole),
        ("no length of the body", true, false, Manner::NoLength),
        ("no length of a small file's body", false, false, Manner::NoLength),
        ("neither", true, true, Manner::NoLength),
        ("chunks", true, false, Manner::Chunks),
        ("chunks of a small file", false, false, Manner::Chunks),
        ("chunks and no length in the redirect", true, true, Manner::Chunks),
        ("ranges are ignored", true, true, Manner::IgnoresRanges),
    ] {
        let (server, place) = (server(&[("model.safetensors", &weights)]), Place::new());
        server.change(REPO, |repository| (repository.large, repository.no_linked_size) = (large, no_size));
        server.manner(manner);
        let found = place.fetch(&server.address).run().unwrap_or_else(|error| panic!("{case}: {error}"));
        assert_eq!(fs::read(&found.path).expect("the file"), weights, "{case}");
        // The same, cut: never taken for whole.
        let place = Place::new();
        server.manner(Manner::EndsEarly(1234));
        place.fetch(&server.address).fails(&["1234"]);
        assert!(!place.snapshot(FIRST, "model.safetensors").exists() && !place.lock().exists(), "{case}");
    }
    // Announced and sent lengths that differ, both ways.
    for size in ["4999", "5001", "99999999999999"] {
        let (server, place) = (server(&[("model.safetensors", &weights)]), Place::new());
        server.script(move |request| {
            let head = "200 OK\r\nx-repo-commit: c0ffee1000000000000000000000000000000000\r\netag: \"abc\"\r\n";
            let head = format!("{head}x-linked-size: {size}");
            (request.method == "HEAD").then(|| Instead::new(&head, b"")).flatten()
        });
        server.change(REPO, |repository| repository.etag = support::hub_server::Etag::Other("\"abc\"".into()));
        let expected = format!("expected {size} bytes as announced, found 5000");
        place.fetch(&server.address).fails(&[&expected, &server.store, "HF_ENDPOINT"]);
    }
    // Nothing at all in a file.
    let (server, place) = (server(&[("model.safetensors", b"")]), Place::new());
    for large in [true, false] {
        server.change(REPO, |repository| repository.large = large);
        assert_eq!(place.fetch(&server.address).ok().size, 0);
        fs::remove_dir_all(place.folder.path().join("home")).expect("removes");
    }
}

#[test]
fn a_server_that_packs_what_it_was_asked_not_to() {
    let weights = bytes(5000, 6);
    let packed = {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut packer, &weights).expect("packs");
        packer.finish().expect("packs")
    };
    for (coding, large, message) in [
        ("gzip", true, ""),
        ("gzip", false, "says neither length nor hash"),
        ("br", true, "packs the file (`br`)"),
        ("zstd", false, "packs the file (`zstd`)"),
    ] {
        let (server, place) = (server(&[("model.safetensors", &weights)]), Place::new());
        let hash = sha256_hex(&weights);
        let (body, known) = (packed.clone(), if large { hash } else { hash[..40].to_string() });
        server.script(move |request| {
            let head = format!("200 OK\r\nx-repo-commit: {FIRST}\r\netag: W/\"{known}\"\r\ncontent-encoding: {coding}");
            request.path.contains("/resolve/").then(|| Instead::new(&head, &body)).flatten()
        });
        match message {
            "" => assert_eq!(fs::read(place.fetch(&server.address).ok().path).expect("the file"), weights),
            message => drop(place.fetch(&server.address).fails(&[message, &server.address])),
        }
    }
}

#[test]
fn a_server_without_questions_for_headers_is_asked_for_a_byte() {
    let (weights, place) = (bytes(5000, 7), Place::new());
    for status in [405, 501] {
        for large in [true, false] {
            let server = server(&[("model.safetensors", &weights)]);
            server.change(REPO, |repository| repository.large = large);
            server.script(move |request| {
                (request.method == "HEAD").then(|| Instead::new(&format!("{status} No"), b"")).flatten()
            });
            assert_eq!(place.fetch(&server.address).set("HF_TOKEN", "hf_secret").ok().size, 5000);
            let requests = server.requests();
            assert!(
                requests.iter().all(|request| request.token().is_some() == (request.host == "hub")),
                "{requests:?}"
            );
            fs::remove_dir_all(place.folder.path().join("home")).expect("removes");
            // The byte has said how long the file is.
            server.manner(Manner::EndsEarly(1234));
            let place = Place::new();
            place.fetch(&server.address).fails(&["1234 of 5000 bytes arrived"]);
        }
    }
}

/// Some say the length 0 where no body was asked for, and send the whole file where a byte was.
#[test]
fn a_length_of_nothing_is_asked_for_again() {
    let weights = bytes(5000, 10);
    for whole in [false, true] {
        let server = server(&[("model.safetensors", &weights)]);
        server.change(REPO, |repository| {
            (repository.large, repository.etag) = (false, support::hub_server::Etag::Other("\"abc\"".into()));
        });
        let body = weights.clone();
        server.script(move |request| {
            let head = format!("200 OK\r\nx-repo-commit: {FIRST}\r\netag: \"abc\"");
            match (request.method.as_str(), request.range()) {
                ("HEAD", _) => Instead::new(&head, b""),
                (_, Some("bytes=0-0")) if whole => Instead::new(&head, &body),
                _ => None,
            }
        });
        assert_eq!(Place::new().fetch(&server.address).ok().size, 5000);
        server.manner(Manner::EndsEarly(1234));
        Place::new().fetch(&server.address).fails(&["1234 of 5000 bytes arrived"]);
    }
}

/// A body may be whole if its length is known, or it comes in pieces of known length, or a hash tells.
#[test]
fn a_body_whose_end_nothing_tells_is_no_file() {
    let weights = bytes(5000, 11);
    for (manner, whole) in [(Manner::Whole, true), (Manner::Chunks, true), (Manner::NoLength, false)] {
        let (server, place) = (server(&[("model.safetensors", &weights)]), Place::new());
        server.change(REPO, |repository| {
            (repository.large, repository.etag) = (false, support::hub_server::Etag::Other("\"abc\"".into()));
        });
        // Nothing says the length before.
        server.script(move |request| match (request.method.as_str(), request.range()) {
            ("HEAD", _) => Instead::new(&format!("200 OK\r\nx-repo-commit: {FIRST}\r\netag: \"abc\""), b""),
            (_, Some("bytes=0-0")) => Instead::new("404 No", b""),
            _ => None,
        });
        server.manner(manner);
        match whole {
            true => assert_eq!(place.fetch(&server.address).ok().size, 5000),
            false => drop(place.fetch(&server.address).fails(&["says neither length nor hash of the file"])),
        }
    }
    // A part that nobody asked for.
    let (server, place) = (server(&[("model.safetensors", &weights)]), Place::new());
    server.change(REPO, |repository| repository.large = false);
    let part = weights[5..].to_vec();
    server.script(move |request| {
        let head = format!("206 Partial Content\r\ncontent-range: bytes 5-4999/5000\r\nx-repo-commit: {FIRST}");
        let asked = request.path.contains("/resolve/") && request.method == "GET" && request.range().is_none();
        asked.then(|| Instead::new(&head, &part)).flatten()
    });
    place.fetch(&server.address).fails(&["answered with status 206 and no file"]);
    assert!(place.blobs("").is_empty());
}

/// Without a hash only the server can tell that the rest is of the same file: it is told which one is meant, and where nothing is
/// gone on with it is not.
#[test]
fn the_rest_of_a_file_is_asked_for_by_its_name() {
    let weights = bytes(5000, 12);
    let etag = format!("\"{}\"", &sha256_hex(&weights)[..40]);
    for refuses in [false, true] {
        let (server, place) = (server(&[("model.safetensors", &weights)]), Place::new());
        server.change(REPO, |repository| repository.large = false);
        server.manner(Manner::BreaksOff(2000));
        server.script(move |request| {
            let rest = request.range().is_some_and(|range| range.ends_with('-'));
            (rest && refuses).then(|| Instead::new("416 No\r\ncontent-range: bytes */5000", b"")).flatten()
        });
        let fetch = place.fetch(&server.address).set("HF_HUB_ETAG_TIMEOUT", "0.2");
        assert_eq!(fetch.run().is_ok(), !refuses);
        let requests = server.requests();
        let gets = requests.iter().filter(|request| request.path.contains("/resolve/") && request.method == "GET");
        let asked: Vec<_> = gets.map(|request| (request.range(), request.header("if-range"))).collect();
        let rest = |from: &'static str| (Some(from), Some(etag.as_str()));
        match refuses {
            false => assert_eq!(asked, [(None, None), rest("bytes=2000-"), rest("bytes=4000-")]),
            true => assert_eq!(asked[..4], [(None, None), rest("bytes=2000-"), (None, None), rest("bytes=2000-")]),
        }
    }
}

#[test]
fn a_proxy_that_is_at_fault_is_named() {
    let (weights, place) = (bytes(500, 8), Place::new());
    let server = server(&[("model.safetensors", &weights)]);
    let secret = "http://somebody:password@127.0.0.1:9";
    for variable in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        let fetch = || place.fetch(&server.address).set("HF_HUB_ETAG_TIMEOUT", "0.2").set(variable, secret);
        fetch().fails(&[
            &format!("through the proxy 127.0.0.1:9 of {variable}"),
            &format!("the proxy that {variable} names"),
        ]);
        assert_eq!(server.requests(), []);
        // Not through it.
        for around in ["127.0.0.1,localhost", "*", "example.com, 127.0.0.1:80 ,.localhost"] {
            let place = Place::new();
            let fetch = place.fetch(&server.address).set(variable, secret).set("no_proxy", around);
            assert_eq!(fetch.ok().size, 500, "{around}");
        }
        server.requests();
    }
    // Others are named, or nobody.
    for others in ["example.com", "27.0.0.1,127.0.0", "", " , .", "*.example.com,127.0.0.1.example.com"] {
        let place = Place::new();
        let fetch = place.fetch(&server.address).set("HF_HUB_ETAG_TIMEOUT", "0.2").set("http_proxy", secret);
        fetch.set("no_proxy", others).fails(&["through the proxy 127.0.0.1:9"]);
        assert_eq!(server.requests(), [], "{others}");
    }
    // An address of IPv6, where nobody listens.
    for (around, bypassed) in [("::1", true), ("[::1]", true), ("[::1]:9", true), ("[::2]", false), ("1", false)] {
        let place = Place::new();
        let fetch = place.fetch("http://[::1]:9").set("HF_HUB_ETAG_TIMEOUT", "0.2").set("http_proxy", secret);
        let told = fetch.set("no_proxy", around).run().expect_err("nobody listens");
        assert_eq!(told.contains("through the proxy"), !bypassed, "{around}: {told}");
    }
    // A proxy for the other scheme is none for this one.
    assert_eq!(Place::new().fetch(&server.address).set("HTTPS_PROXY", secret).ok().size, 500);
    let fetch = place.fetch(&server.address).set("HTTP_PROXY", "no address, with a password");
    let error = fetch.fails(&["HTTP_PROXY does not hold the address of a proxy"]);
    assert!(!error.contains("tried"), "no other try mends it: {error}");
}

#[test]
fn a_token_that_cannot_be_sent_is_told_without_telling_it() {
    let place = Place::new();
    let server = server(&[("model.safetensors", b"weights")]);
    for (token, what) in [
        ("hf_sec\nret", "a line break at character 7 of 10"),
        ("hf_sec\rret", "a line break at character 7"),
        ("hf_sec ret", "a space at character 7"),
        ("hf_sec\tret", "a tab at character 7"),
        ("hf_sec\u{7f}ret", "the character U+007F at character 7"),
        ("hf_secr\u{e9}t", "the character U+00E9 at character 8"),
        ("\u{201c}hf_secret\u{201d}", "the character U+201C at character 1"),
    ] {
        for variable in ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"] {
            let fetch = place.fetch(&server.address).set(variable, token);
            fetch.fails(&[variable, what, "Copy the token again"]);
            assert_eq!(server.requests(), []);
        }
        let file = place.folder.path().join("home/token");
        fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
        fs::write(&file, token).expect("writes");
        place.fetch(&server.address).fails(&[&file.display().to_string(), what]);
        fs::remove_file(file).expect("removes");
    }
    // One that is kept back on purpose is not asked for.
    server.change(REPO, |repository| repository.private = true);
    server.change(REPO, |repository| repository.token = Some("hf_secret".into()));
    let fetch = || place.fetch(&server.address).set("HF_TOKEN", "hf_secret");
    fetch().set("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1").fails(&["status 401", "unset HF_HUB_DISABLE_IMPLICIT_TOKEN"]);
    // Nor is the password of a mirror told.
    let mirror = server.address.replace("http://", "http://somebody:password@");
    let error = place.fetch(&mirror).run().expect_err("fails");
    assert!(error.contains("status 401") && error.contains(&server.address), "{error}");
    // What surrounds a token is not part of it, and one that is not needed is not looked at.
    assert_eq!(place.fetch(&server.address).set("HF_TOKEN", "\r\n hf_secret\t\r\n").ok().size, 7);
    assert_eq!(place.fetch(NOWHERE).set("HF_TOKEN", "hf_sec\nret").ok().size, 7);
}

/// The name of the redirect is not that of the file: by it no server can tell whether the rest is of the same one.
#[test]
fn the_rest_of_a_linked_file_is_asked_for_without_a_name() {
    let weights = bytes(5000, 13);
    for redirects in [false, true] {
        let (server, place) = (server(&[("model.safetensors", &weights)]), Place::new());
        server.manner(Manner::BreaksOff(2000));
        let (linked, whole) = (sha256_hex(&weights), weights.clone());
        server.script(move |request| {
            if request.host != "hub" || request.method != "HEAD" {
                return None;
            }
            let status = if redirects { "302 Found\r\nlocation: /elsewhere" } else { "200 OK" };
            let head = format!(
                "{status}\r\nx-repo-commit: {FIRST}\r\netag: \"of-the-link\"\r\nx-linked-etag: \"{linked}\"\r\nx-linked-size: {}",
                whole.len()
            );
            match request.path.contains("/elsewhere") {
                true => Instead::new("200 OK", b""),
                false => Instead::new(&head, b""),
            }
        });
        assert_eq!(place.fetch(&server.address).set("HF_HUB_ETAG_TIMEOUT", "0.2").ok().size, 5000);
        let requests = server.requests();
        let rest = requests.iter().filter(|request| request.range().is_some_and(|range| range != "bytes=0-0"));
        assert!(
            rest.clone().count() > 0 && rest.clone().all(|request| request.header("if-range").is_none()),
            "{requests:?}"
        );
    }
}

/// What an answer to HEAD says of the length holds for what comes.
#[test]
fn a_file_is_as_long_as_was_announced() {
    let weights = bytes(5000, 14);
    let (server, place) = (server(&[("model.safetensors", &weights)]), Place::new());
    server.change(REPO, |repository| {
        (repository.large, repository.etag) = (false, support::hub_server::Etag::Other("\"abc\"".into()));
    });
    let short = weights[..4000].to_vec();
    server.script(move |request| {
        let head = format!("200 OK\r\nx-repo-commit: {FIRST}\r\netag: \"abc\"");
        (request.method == "GET" && request.path.contains("/resolve/")).then(|| Instead::new(&head, &short)).flatten()
    });
    place.fetch(&server.address).fails(&["expected 5000 bytes as announced, found 4000"]);
}
