//! A hub that means harm, and a cache that somebody prepared: whatever they say, the end is one clear error, nothing is
//! written outside of the cache, the token goes nowhere else, and nothing half-written is taken for whole.
//!
//! The server speaks bytes, not HTTP, because an HTTP server refuses to say most of this.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hilora_contract::artifact::ContentHash;
use libtest_mimic::{Failed, Trial};
use serde_json::json;

use crate::hub::hilora;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        Trial::test("hub_attacks::names_of_a_server_are_no_paths", names),
        Trial::test("hub_attacks::a_token_goes_to_its_origin_alone", tokens),
        Trial::test("hub_attacks::redirects_end", redirects),
        Trial::test("hub_attacks::answers_are_bounded_in_size", sizes),
        Trial::test("hub_attacks::answers_are_bounded_in_time", times),
        Trial::test("hub_attacks::a_request_that_may_succeed_is_made_again", passing),
        Trial::test("hub_attacks::a_body_is_as_long_as_announced", lengths),
        Trial::test("hub_attacks::a_part_begins_where_it_was_asked_for", parts),
        Trial::test("hub_attacks::a_full_disk_is_foreseen", no_room),
        Trial::test("hub_attacks::links_in_the_cache_lead_nowhere", links),
        Trial::test("hub_attacks::a_prepared_cache_is_not_believed_offline", offline),
        Trial::test("hub_attacks::settings_without_meaning_are_refused", settings),
    ]
}

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const LISTING: &str = "/api/models/a/b/revision/main";
const CONFIG: &str = "/a/b/resolve/0123456789abcdef0123456789abcdef01234567/config.json";
const WEIGHTS: &str = "/a/b/resolve/0123456789abcdef0123456789abcdef01234567/model.safetensors";
const CONTENT: &[u8] = b"{\"model_type\": \"none\"}";

/// A request as it came.
#[derive(Debug, Clone)]
struct Asked {
    /// The origin, as the client named it.
    host: String,
    method: String,
    path: String,
    authorization: Option<String>,
    /// The first byte that is asked for.
    from: Option<usize>,
}

impl Asked {
    fn is(&self, method: &str, path: &str) -> bool {
        self.method == method && self.path == path
    }
}

/// What the server does with a connection.
enum Reply {
    /// Writes this, and ends.
    Bytes(Vec<u8>),
    /// Writes the first, and then the second again and again, after a pause each time.
    Forever(Vec<u8>, Vec<u8>, Duration),
}

/// What it says; nothing leaves the answer to a server that is as it should be.
type Says = Arc<dyn Fn(&Asked) -> Option<Reply> + Send + Sync>;

fn answer(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {status} x\r\nconnection: close\r\n").into_bytes();
    for (name, value) in headers {
        bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    if !headers.iter().any(|(name, _)| matches!(*name, "content-length" | "transfer-encoding")) {
        bytes.extend_from_slice(format!("content-length: {}\r\n", body.len()).as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    bytes
}

fn listing(names: &[&str]) -> Vec<u8> {
    let siblings: Vec<_> = names.iter().map(|name| json!({"rfilename": name})).collect();
    answer(200, &[], json!({"sha": COMMIT, "siblings": siblings}).to_string().as_bytes())
}

/// A server that is as it should be.
fn honest(asked: &Asked) -> Vec<u8> {
    let content = if asked.path == CONFIG { CONTENT } else { b"weights" };
    let (tag, length) = (ContentHash::of(content).to_string(), content.len().to_string());
    match (asked.method.as_str(), asked.path.as_str()) {
        ("GET", LISTING) => listing(&["config.json", "model.safetensors"]),
        ("HEAD", _) => answer(200, &[("etag", &format!("\"{tag}\"")), ("content-length", &length)], b""),
        _ => match asked.from {
            None => answer(200, &[], content),
            Some(from) => {
                let range = format!("bytes {from}-{}/{length}", content.len() - 1);
                answer(206, &[("content-range", &range)], &content[from..])
            }
        },
    }
}

fn receive(stream: &mut TcpStream) -> std::io::Result<Asked> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let mut words = head.split(' ').map(str::to_owned);
    let mut word = || words.next().unwrap_or_default();
    let header = |wanted: &str| {
        head.lines().filter_map(|line| line.split_once(": ")).find(|(name, _)| name.eq_ignore_ascii_case(wanted))
    };
    Ok(Asked {
        method: word(),
        path: word(),
        host: header("host").map_or_else(String::new, |(_, value)| value.to_owned()),
        authorization: header("authorization").map(|(_, value)| value.to_owned()),
        from: header("range").and_then(|(_, value)| value.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()),
    })
}

/// A server on a port of its own, a cache, and a folder beside it in which nothing may change.
struct Hostile {
    port: u16,
    requests: Arc<Mutex<Vec<Asked>>>,
    folder: tempfile::TempDir,
}

fn serve(says: Says, requests: Arc<Mutex<Vec<Asked>>>) -> Result<u16, Failed> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    // The threads end with the tests; their clients are long gone by then.
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (says, requests) = (says.clone(), requests.clone());
            std::thread::spawn(move || converse(stream, &says, &requests));
        }
    });
    Ok(port)
}

/// A client that goes away ends the conversation, and that is all there is to say about it.
fn converse(mut stream: TcpStream, says: &Says, requests: &Mutex<Vec<Asked>>) -> Option<()> {
    let asked = receive(&mut stream).ok()?;
    requests.lock().expect("no thread panics").push(asked.clone());
    match says(&asked).unwrap_or_else(|| Reply::Bytes(honest(&asked))) {
        Reply::Bytes(bytes) => stream.write_all(&bytes).ok(),
        Reply::Forever(first, then, pause) => {
            stream.write_all(&first).ok()?;
            loop {
                std::thread::sleep(pause);
                stream.write_all(&then).ok()?;
            }
        }
    }
}

impl Hostile {
    fn start(says: impl Fn(&Asked) -> Option<Reply> + Send + Sync + 'static) -> Result<Self, Failed> {
        let requests = Arc::new(Mutex::new(Vec::new()));
        let port = serve(Arc::new(says), requests.clone())?;
        let folder = tempfile::tempdir()?;
        fs::create_dir(folder.path().join("outside"))?;
        fs::write(folder.path().join("outside/config.json"), "outside")?;
        Ok(Self { port, requests, folder })
    }

    /// One that answers so to one kind of request.
    fn with(method: &'static str, path: &'static str, reply: Vec<u8>) -> Result<Self, Failed> {
        Self::start(move |asked| asked.is(method, path).then(|| Reply::Bytes(reply.clone())))
    }

    fn home(&self) -> std::path::PathBuf {
        self.folder.path().join("home")
    }

    fn model(&self) -> std::path::PathBuf {
        self.home().join("hub/models--a--b")
    }

    fn requests(&self) -> Vec<Asked> {
        self.requests.lock().expect("no thread panics").clone()
    }

    fn run(&self, environment: &[(&str, &str)]) -> Result<Output, Failed> {
        let mut command = hilora(&format!("http://127.0.0.1:{}", self.port), &self.home());
        command.env("HF_HUB_ETAG_TIMEOUT", "1").env("HF_HUB_DOWNLOAD_TIMEOUT", "1").env("RUST_LOG", "error");
        command.envs(environment.iter().copied());
        Ok(command.args(["model", "inspect", "a/b", "--quiet"]).output()?)
    }

    /// Checks that the call ends with this code, that its one error has all these parts, and what is on the disk then.
    fn ends(&self, code: i32, environment: &[(&str, &str)], parts: &[&str]) -> Result<(), Failed> {
        let output = self.run(environment)?;
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.code() != Some(code) {
            return Err(format!("expected exit code {code}, got {}: {error}", output.status).into());
        }
        let errors = error.lines().filter(|line| line.starts_with("error: ")).count();
        let is_clean = !error.chars().any(|c| c != '\n' && c.is_control());
        if errors != 1 || !is_clean || error.len() > 3000 || !error.starts_with("error: ") {
            return Err(format!("expected one clear error, got {errors} in {} bytes: {error:?}", error.len()).into());
        }
        if let Some(part) = parts.iter().find(|part| !error.contains(**part)) {
            return Err(format!("expected `{part}` in: {error}").into());
        }
        self.check()
    }

    /// Nothing changed outside of the cache, and what has the name of a blob is that blob.
    fn check(&self) -> Result<(), Failed> {
        let mut files = BTreeMap::new();
        walk(self.folder.path(), &mut files)?;
        for (path, content) in &files {
            let relative = path.strip_prefix(self.folder.path())?.to_string_lossy().into_owned();
            if !relative.starts_with("home/hub/") {
                assert_eq!((relative.as_str(), content.as_slice()), ("outside/config.json", &b"outside"[..]));
            }
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if relative.contains("--b/blobs/") && name.len() == 64 {
                assert_eq!(ContentHash::of(content).to_string(), name, "{relative}");
            }
        }
        Ok(())
    }
}

/// The files below a folder and their content; no link is followed.
fn walk(folder: &Path, files: &mut BTreeMap<std::path::PathBuf, Vec<u8>>) -> Result<(), Failed> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            walk(&entry.path(), files)?;
        } else if kind.is_file() {
            files.insert(entry.path(), fs::read(entry.path())?);
        }
    }
    Ok(())
}

fn names() -> Result<(), Failed> {
    // What is attacked must work as it should without the attack, or nothing is shown.
    let honest = Hostile::start(|_| None)?;
    honest.ends(2, &[], &["model_type"])?;
    assert!(honest.model().join("refs/main").exists());

    let huge = "a".repeat(1 << 20);
    let tags = ["../../../../outside/config.json", "\"/etc/passwd\"", "", "\"\"", "W/\"..\"", "abc", "\u{1b}[2J"];
    for tag in tags.into_iter().chain([huge.as_str(), "a\0b", &COMMIT.to_uppercase()]) {
        for header in ["etag", "x-linked-etag"] {
            let reply = answer(200, &[(header, tag), ("content-length", "22")], b"");
            let hub = Hostile::with("HEAD", CONFIG, reply)?;
            hub.ends(2, &[], &["the answer of http://127.0.0.1", "about config.json of `a/b`: "])?;
            assert_eq!(fs::read_dir(hub.model().join("blobs"))?.count(), 0, "{tag:?}");
        }
    }
    let tag = ContentHash::of(CONTENT).to_string();
    let reply = answer(200, &[("etag", &tag), ("content-length", "22"), ("x-repo-commit", "../../../../outside")], b"");
    Hostile::with("HEAD", CONFIG, reply)?.ends(2, &[], &["expected the commit 0123", "got `../../../../outside`"])?;

    for sha in ["../../../../outside", "", "main", "/tmp", "0123456789ABCDEF0123456789ABCDEF01234567", &huge] {
        let body = json!({"sha": sha, "siblings": [{"rfilename": "config.json"}]}).to_string();
        let hub = Hostile::with("GET", LISTING, answer(200, &[], body.as_bytes()))?;
        hub.ends(2, &[], &["about the listing of `a/b`: expected a commit of 40 hexadecimal digits, got `"])?;
        assert!(!hub.home().exists(), "nothing is made before anything is believed");
    }
    for name in ["../config.json", "/etc/config.json", "a/../../config.json", "a\0.json", "\u{1b}[2J.json", &huge] {
        let hub = Hostile::with("GET", LISTING, listing(&["model.safetensors", "config.json", name]))?;
        hub.ends(2, &[], &["about the listing of `a/b`: expected the names of files, got `"])?;
        assert!(!hub.home().exists(), "{name:?}");
    }
    // The index names files, too. All files have one content here, so that it is that of the index.
    for name in ["../../../../outside/x.safetensors", "/x.safetensors", ".x.safetensors", "a/b.safetensors", "x.json"] {
        let index = json!({"weight_map": {"a": name}}).to_string();
        let (tag, length) = (ContentHash::of(index.as_bytes()).to_string(), index.len().to_string());
        let hub = Hostile::start(move |asked| {
            Some(Reply::Bytes(match asked.method.as_str() {
                "HEAD" => answer(200, &[("etag", &tag), ("content-length", &length)], b""),
                _ if asked.path == LISTING => listing(&["model.safetensors.index.json", "config.json"]),
                _ => answer(200, &[], index.as_bytes()),
            }))
        })?;
        hub.ends(2, &[], &["about model.safetensors.index.json of `a/b`: weight_map: expected the names of files"])?;
    }
    Ok(())
}

fn tokens() -> Result<(), Failed> {
    let token = [("HF_TOKEN", "secret")];
    // The same server under another name, and another port of the same host: both are other origins.
    let seen = Arc::new(Mutex::new(Vec::new()));
    let other_port = serve(Arc::new(|_| None), seen.clone())?;
    for is_same_port in [true, false] {
        let requests = Arc::new(Mutex::new(Vec::new()));
        let own_port = Arc::new(Mutex::new(0_u16));
        let says = {
            let own_port = own_port.clone();
            move |asked: &Asked| {
                let own_port = *own_port.lock().expect("no thread panics");
                let location = match is_same_port {
                    true => format!("http://localhost:{own_port}{}", asked.path),
                    false => format!("http://127.0.0.1:{other_port}{}", asked.path),
                };
                asked.host.starts_with("127.0.0.1").then(|| Reply::Bytes(answer(302, &[("location", &location)], b"")))
            }
        };
        let port = serve(Arc::new(says), requests.clone())?;
        *own_port.lock().expect("no thread panics") = port;
        let hub = Hostile { port, requests, folder: tempfile::tempdir()? };
        fs::create_dir(hub.folder.path().join("outside"))?;
        fs::write(hub.folder.path().join("outside/config.json"), "outside")?;
        hub.ends(2, &token, &["model_type"])?;
        let asked = hub.requests();
        let (origin, elsewhere): (Vec<_>, Vec<_>) =
            asked.iter().partition(|asked| asked.host == format!("127.0.0.1:{port}"));
        assert!(origin.iter().all(|asked| asked.authorization.as_deref() == Some("Bearer secret")));
        assert_eq!(origin.len(), 5, "the listing, and head and body of two files");
        assert!(elsewhere.iter().all(|asked| asked.authorization.is_none()), "{elsewhere:?}");
        assert_eq!(elsewhere.len(), if is_same_port { 5 } else { 0 });
    }
    let seen = seen.lock().expect("no thread panics").clone();
    assert!(seen.len() == 5 && seen.iter().all(|asked| asked.authorization.is_none()), "{seen:?}");

    // Whoever was sent elsewhere and is sent back comes back without it.
    let own_port = Arc::new(Mutex::new(0_u16));
    let port_of_says = own_port.clone();
    let hub = Hostile::start(move |asked| {
        let port = *port_of_says.lock().expect("no thread panics");
        let to = |location: String| Some(Reply::Bytes(answer(307, &[("location", &location)], b"")));
        match (asked.path.contains('?'), asked.host.starts_with("localhost")) {
            (false, false) => to(format!("http://localhost:{port}{}", asked.path)),
            (false, true) => to(format!("http://127.0.0.1:{port}{}?back", asked.path)),
            _ => Some(Reply::Bytes(answer(404, &[], b""))),
        }
    })?;
    *own_port.lock().expect("no thread panics") = hub.port;
    hub.ends(1, &token, &["HTTP 404"])?;
    let with_token: Vec<_> = hub.requests().iter().map(|asked| asked.authorization.is_some()).collect();
    assert_eq!(with_token, [true, false, false]);
    Ok(())
}

fn redirects() -> Result<(), Failed> {
    let to = |location: &str| answer(302, &[("location", location)], b"");
    for (path, about) in [(LISTING, "the listing"), (CONFIG, "config.json"), (WEIGHTS, "model.safetensors")] {
        let about = format!("about {about} of `a/b`: ");
        let refused = |method: &'static str, reply: Vec<u8>, words: &str| -> Result<Hostile, Failed> {
            let hub = Hostile::with(method, path, reply)?;
            hub.ends(2, &[], &[&about, words])?;
            Ok(hub)
        };
        let hub = refused("GET", to(path), "expected at most 5 redirects, got more")?;
        assert_eq!(hub.requests().iter().filter(|asked| asked.is("GET", path)).count(), 6);
        refused("GET", answer(302, &[], b""), "got no Location")?;
        refused("GET", to(""), "redirects, got more")?;
        refused("GET", to("http://"), "expected a redirect to a URL, got one to `http://`")?;
        refused("GET", to("http://[::1"), "expected a redirect to a URL")?;
        refused("GET", to("file:///etc/passwd"), "to http or https, got one to `file:///etc/passwd`")?;
        refused("GET", to("gopher://127.0.0.1/"), "expected a redirect to http or https")?;
        refused("GET", to("http://me:secret@127.0.0.1/"), "without a name and a password, got one with them")?;
        refused("GET", to(&format!("ftp://{}", "a".repeat(10_000))), "…`")?;
    }
    Hostile::with("HEAD", CONFIG, to(CONFIG))?.ends(2, &[], &["expected at most 5 redirects, got more"])?;
    Hostile::with("HEAD", CONFIG, to("file:///etc/passwd"))?.ends(2, &[], &["expected a redirect to http or https"])
}

fn sizes() -> Result<(), Failed> {
    let forever = |method: &'static str, path: &'static str, first: Vec<u8>, then: &'static [u8]| {
        Hostile::start(move |asked| {
            let then = then.repeat(1 << 12);
            asked.is(method, path).then(|| Reply::Forever(first.clone(), then, Duration::ZERO))
        })
    };
    // No end, said or not said.
    let chunked = answer(200, &[("transfer-encoding", "chunked")], b"");
    forever("GET", LISTING, chunked, b"8\r\n[[[[[[[[\r\n")?.ends(
        2,
        &[],
        &["expected at most 16777216 bytes, got more"],
    )?;
    let unsaid = b"HTTP/1.1 200 x\r\nconnection: close\r\n\r\n".to_vec();
    forever("GET", LISTING, unsaid.clone(), b" ")?.ends(2, &[], &["expected at most 16777216 bytes, got more"])?;
    let said = answer(200, &[("content-length", "99999999999999")], b"");
    Hostile::with("GET", LISTING, said)?.ends(2, &[], &["expected at most 16777216 bytes, got more"])?;
    let headers = b"HTTP/1.1 200 x\r\n".to_vec();
    forever("GET", LISTING, headers.clone(), b"a: b\r\n")?.ends(2, &[], &["about the listing of `a/b`: "])?;
    forever("GET", LISTING, [&headers[..], b"a: "].concat(), b"b")?.ends(
        2,
        &[],
        &["65536 bytes of headers, got more"],
    )?;
    forever("HEAD", CONFIG, [&headers[..], b"a: "].concat(), b"b")?.ends(
        2,
        &[],
        &["65536 bytes of headers, got more"],
    )?;
    forever("GET", CONFIG, unsaid, b"x")?.ends(1, &[], &["config.json of `a/b`: expected 22 bytes, got 23"])?;

    let tag = ContentHash::of(CONTENT).to_string();
    let announced = |size: &str| answer(200, &[("etag", &tag), ("content-length", size)], b"");
    let absurd = "expected a size of at most 268435456 bytes, got 268435457";
    Hostile::with("HEAD", CONFIG, announced("268435457"))?.ends(2, &[], &[absurd])?;
    let absurd = "expected a size of at most 1099511627776 bytes, got 18446744073709551615";
    Hostile::with("HEAD", WEIGHTS, announced("18446744073709551615"))?.ends(2, &[], &[absurd])?;
    let unsaid = format!("HTTP/1.1 200 x\r\nconnection: close\r\netag: {tag}\r\n\r\n");
    Hostile::with("HEAD", CONFIG, unsaid.into_bytes())?.ends(2, &[], &["expected its size, got none"])?;
    let encoded = answer(200, &[("content-encoding", "gzip")], CONTENT);
    Hostile::with("GET", CONFIG, encoded)?.ends(2, &[], &["got them encoded as `gzip`"])?;
    let many: Vec<String> = (0..100_001).map(|number| number.to_string()).collect();
    let many = listing(&many.iter().map(String::as_str).collect::<Vec<_>>());
    Hostile::with("GET", LISTING, many)?.ends(2, &[], &["expected at most 100000 files, got 100001"])
}

fn times() -> Result<(), Failed> {
    let slowly = |path: &'static str, first: Vec<u8>, pause: Duration| {
        Hostile::start(move |asked| asked.is("GET", path).then(|| Reply::Forever(first.clone(), b" ".to_vec(), pause)))
    };
    let (long, short) = (Duration::from_secs(3600), Duration::from_millis(50));
    let began = Instant::now();
    let head = |length: usize| answer(200, &[("content-length", &length.to_string())], b"");
    // Nothing, half of the headers, headers byte by byte.
    slowly(LISTING, Vec::new(), long)?.ends(1, &[], &["cannot fetch the listing of `a/b` from http://127.0.0.1"])?;
    slowly(LISTING, b"HTTP/1.1 200 x\r\na: ".to_vec(), long)?.ends(1, &[], &["cannot fetch the listing"])?;
    slowly(LISTING, b"HTTP/1.1 200 x\r\na: ".to_vec(), short)?.ends(1, &[], &["it took too long"])?;
    // A body that drips, and one that stops.
    slowly(LISTING, head(1_000_000), short)?.ends(1, &[], &["stalled: ", " bytes in 1 s"])?;
    // This is tried again, three times.
    let hub = slowly(CONFIG, head(CONTENT.len()), long)?;
    hub.ends(1, &[], &["cannot fetch config.json of `a/b` from http://127.0.0.1", "stalled: no byte came", "hint: "])?;
    assert_eq!(hub.requests().iter().filter(|asked| asked.is("GET", CONFIG)).count(), 4);
    let hub = slowly(LISTING, head(1000), long)?;
    hub.ends(1, &[], &["stalled: no byte came"])?;
    assert_eq!(hub.requests().iter().filter(|asked| asked.is("GET", LISTING)).count(), 4);
    assert!(began.elapsed() < Duration::from_secs(100), "{:?}", began.elapsed());
    Ok(())
}

fn passing() -> Result<(), Failed> {
    let paths = [("GET", LISTING), ("HEAD", CONFIG), ("GET", CONFIG)];
    for (method, path) in paths {
        // It waited too long for us, it is asked too often, it failed, and then it answers.
        let failures = Mutex::new(vec![503, 429, 408]);
        let hub = Hostile::start(move |asked| {
            let mut failures = failures.lock().expect("no thread panics");
            let status = if asked.is(method, path) { failures.pop() } else { None };
            status.map(|status| Reply::Bytes(answer(status, &[], b"")))
        })?;
        hub.ends(2, &[], &["model_type"])?;
        // What would be said again is not asked again.
        let hub = Hostile::with(method, path, answer(410, &[], b""))?;
        hub.ends(1, &[], &["HTTP 410"])?;
        assert_eq!(hub.requests().iter().filter(|asked| asked.is(method, path)).count(), 1);
    }
    Ok(())
}

fn lengths() -> Result<(), Failed> {
    let longer = [CONTENT, b"more"].concat();
    let wrong = "config.json of `a/b`: expected 22 bytes, got";
    Hostile::with("GET", CONFIG, answer(200, &[], &longer))?.ends(1, &[], &[wrong, "got 26"])?;
    Hostile::with("GET", CONFIG, answer(200, &[], &CONTENT[..10]))?.ends(1, &[], &[wrong, "got 10"])?;
    let unsaid = |body: &[u8]| [b"HTTP/1.1 200 x\r\nconnection: close\r\n\r\n", body].concat();
    Hostile::with("GET", CONFIG, unsaid(&longer))?.ends(1, &[], &[wrong, "got 23"])?;
    // One that ends early is taken up again; a server that always ends there is given up.
    let hub = Hostile::with("GET", CONFIG, unsaid(b""))?;
    hub.ends(1, &[], &["cannot fetch config.json", "it ended after 0 of 22 bytes"])?;
    // The right length, and other bytes.
    let hub = Hostile::with("GET", CONFIG, answer(200, &[], &[b'x'; 22]))?;
    hub.ends(1, &[], &["config.json of `a/b`: expected ", "hint: it was removed"])?;
    assert_eq!(fs::read_dir(hub.model().join("blobs"))?.count(), 0);
    Ok(())
}

fn parts() -> Result<(), Failed> {
    let tag = ContentHash::of(CONTENT).to_string();
    let begin = |hub: &Hostile| -> Result<(), Failed> {
        fs::create_dir_all(hub.model().join("blobs"))?;
        fs::write(hub.model().join(format!("blobs/{tag}.incomplete")), &CONTENT[..10])?;
        Ok(())
    };
    // A part from elsewhere, of something else, or of nowhere: all of it is asked for instead, once.
    let ranges = ["bytes 0-11/22", "bytes 11-21/22", "bytes 10-21/23", "bytes */22", "", "x", "bytes 10-"];
    for (status, range) in ranges.into_iter().map(|range| (206, range)).chain([(416, "bytes */22")]) {
        let hub = Hostile::start(move |asked| {
            let reply = || Reply::Bytes(answer(status, &[("content-range", range)], &CONTENT[10..]));
            asked.from.is_some().then(reply)
        })?;
        begin(&hub)?;
        hub.ends(2, &[], &["model_type"])?;
        let froms: Vec<_> =
            hub.requests().iter().filter(|asked| asked.is("GET", CONFIG)).map(|asked| asked.from).collect();
        assert_eq!(froms, [Some(10), None], "{range}");
    }
    // A part that nobody asked for.
    let hub = Hostile::with("GET", CONFIG, answer(206, &[("content-range", "bytes 0-9/22")], &CONTENT[..10]))?;
    hub.ends(1, &[], &["cannot fetch config.json", "HTTP 206"])
}

fn no_room() -> Result<(), Failed> {
    // A hundred files of 1 TiB.
    let map: BTreeMap<String, String> =
        (0..100).map(|number| (format!("t{number}"), format!("model-{number}.safetensors"))).collect();
    let index = json!({ "weight_map": map }).to_string();
    let tag = ContentHash::of(index.as_bytes()).to_string();
    let hub = Hostile::start(move |asked| {
        let length = if asked.path.contains("/model-") { 1_u64 << 40 } else { index.len() as u64 };
        let own_tag = if length == 1 << 40 { ContentHash::of(asked.path.as_bytes()).to_string() } else { tag.clone() };
        let names: Vec<&str> = ["config.json", "model.safetensors.index.json"]
            .into_iter()
            .chain(map.values().map(String::as_str))
            .collect();
        Some(Reply::Bytes(match asked.method.as_str() {
            "HEAD" => answer(200, &[("etag", &own_tag), ("content-length", &length.to_string())], b""),
            _ if asked.path == LISTING => listing(&names),
            _ => answer(200, &[], index.as_bytes()),
        }))
    })?;
    hub.ends(1, &[], &["`a/b` needs 109951162777600 bytes more in ", " are free", "hint: HF_HUB_CACHE names a cache"])?;
    let fetched = hub.requests().iter().filter(|asked| asked.method == "GET" && asked.path.contains("/model-")).count();
    assert_eq!(fetched, 0);
    Ok(())
}

/// Puts a link at a place of the cache that leads out of it.
fn plant(hub: &Hostile, place: &str, target: &Path) -> Result<(), Failed> {
    let place = hub.home().join("hub").join(place);
    fs::create_dir_all(place.parent().unwrap_or(Path::new("/")))?;
    Ok(symlink(target, place)?)
}

fn links() -> Result<(), Failed> {
    let tag = ContentHash::of(CONTENT).to_string();
    let snapshot = format!("models--a--b/snapshots/{COMMIT}");
    for place in
        ["models--a--b", "models--a--b/blobs", "models--a--b/snapshots", &snapshot, ".locks", ".locks/models--a--b"]
    {
        let hub = Hostile::start(|_| None)?;
        plant(&hub, place, &hub.folder.path().join("outside"))?;
        hub.ends(2, &[], &[place, ": expected a folder, found a symbolic link", "hint: nothing was read through it"])?;
    }
    let file = Path::new("outside/config.json");
    for place in [
        format!("models--a--b/blobs/{tag}"),
        format!("models--a--b/blobs/{tag}.incomplete"),
        format!(".locks/models--a--b/{tag}.lock"),
        format!("{snapshot}/config.json"),
        format!("{snapshot}/tokenizer.json"),
    ] {
        let hub = Hostile::start(|_| None)?;
        plant(&hub, &place, &hub.folder.path().join(file))?;
        hub.ends(2, &[], &[&place, "expected a ", "symbolic link"])?;
    }
    // A second name for a file elsewhere, a folder and a pipe where a file goes.
    let partial = format!("models--a--b/blobs/{tag}.incomplete");
    let hub = Hostile::start(|_| None)?;
    fs::create_dir_all(hub.model().join("blobs"))?;
    fs::hard_link(hub.folder.path().join(file), hub.home().join("hub").join(&partial))?;
    hub.ends(2, &[], &[&partial, "expected a file of its own, found one with a second name"])?;
    let hub = Hostile::start(|_| None)?;
    fs::create_dir_all(hub.home().join("hub").join(&partial))?;
    hub.ends(2, &[], &[&partial, "expected a file, found a folder"])?;
    let hub = Hostile::start(|_| None)?;
    fs::create_dir_all(hub.model().join("blobs"))?;
    let made = Command::new("mkfifo").arg(hub.home().join("hub").join(&partial)).status()?;
    assert!(made.success(), "{made}");
    hub.ends(2, &[], &[&partial, "expected a file, found a named pipe"])?;
    // What names the commit is written over and not through.
    let hub = Hostile::start(|_| None)?;
    plant(&hub, "models--a--b/refs/main", &hub.folder.path().join(file))?;
    hub.ends(2, &[], &["model_type"])?;
    assert_eq!(fs::read_to_string(hub.model().join("refs/main"))?, COMMIT);
    // The folder of the cache itself may be anywhere, and what lies in it keeps to the umask.
    let hub = Hostile::start(|_| None)?;
    fs::create_dir_all(hub.home())?;
    fs::create_dir_all(hub.folder.path().join("home/hub/elsewhere"))?;
    symlink(hub.home().join("hub/elsewhere"), hub.home().join("hub/link"))?;
    let cache = hub.home().join("hub/link").display().to_string();
    hub.ends(2, &[("HF_HUB_CACHE", &cache)], &["model_type"])?;
    use std::os::unix::fs::PermissionsExt;
    let plain = hub.home().join("hub/plain");
    fs::write(&plain, "")?;
    let blob = hub.home().join(format!("hub/elsewhere/models--a--b/blobs/{tag}"));
    assert_eq!(fs::metadata(blob)?.permissions().mode(), fs::metadata(&plain)?.permissions().mode());
    Ok(())
}

fn offline() -> Result<(), Failed> {
    let alone = [("HF_HUB_OFFLINE", "1")];
    let tag = ContentHash::of(CONTENT).to_string();
    let filled = || -> Result<Hostile, Failed> {
        let hub = Hostile::start(|_| None)?;
        hub.ends(2, &[], &["model_type"])?;
        hub.requests.lock().expect("no thread panics").clear();
        Ok(hub)
    };
    filled()?.ends(2, &alone, &["model_type"])?;
    for commit in ["../../../../outside", "/etc", "main", "", &"a".repeat(200), "\u{1b}[2J"] {
        let hub = filled()?;
        fs::write(hub.model().join("refs/main"), commit)?;
        hub.ends(2, &alone, &["refs/main: expected a commit of 40 hexadecimal digits, found `"])?;
    }
    let hub = filled()?;
    fs::write(hub.model().join("refs/main"), vec![b'a'; 1 << 20])?;
    hub.ends(2, &alone, &["refs/main: expected a smaller file, found more than 256 bytes"])?;
    for target in ["../../../../../outside/config.json", "/etc/passwd", "../../blobs/../refs/main", "../../blobs/", "x"]
    {
        for name in ["config.json", "added_tokens.json"] {
            let hub = filled()?;
            let link = hub.model().join("snapshots").join(COMMIT).join(name);
            let _none = fs::remove_file(&link);
            symlink(target, &link)?;
            hub.ends(
                2,
                &alone,
                &[name, "expected a link to a blob of the repository, found a symbolic link to `", target],
            )?;
        }
    }
    let hub = filled()?;
    fs::remove_file(hub.model().join("blobs").join(&tag))?;
    plant(&hub, &format!("models--a--b/blobs/{tag}"), Path::new("/etc/passwd"))?;
    hub.ends(2, &alone, &["a blob that models share, found a symbolic link to `/etc/passwd`"])?;
    // Hugging Face's own tools keep what models share in one place, and nothing else is found there.
    let share = |shared: &str, target: &str| -> Result<Hostile, Failed> {
        let hub = filled()?;
        let blob = hub.model().join("blobs").join(&tag);
        let shared = hub.home().join("hub/blobs").join(shared);
        fs::create_dir_all(shared.parent().unwrap_or(Path::new("/")))?;
        fs::rename(&blob, shared)?;
        symlink(target, blob)?;
        Ok(hub)
    };
    let hash = ContentHash::of(b"another hash of the same").to_string();
    let shared = format!("{}/{hash}", &hash[..2]);
    share(&shared, &format!("../../blobs/{shared}"))?.ends(2, &alone, &["model_type"])?;
    share(&shared, &format!("../../blobs/{shared}"))?.ends(2, &[], &["model_type"])?;
    share("x", "../../blobs/x")?.ends(
        2,
        &alone,
        &["a blob that models share, found a symbolic link to `../../blobs/x`"],
    )?;
    let hub = share("x", &format!("../../blobs/{shared}"))?;
    plant(&hub, &format!("blobs/{shared}"), &hub.folder.path().join("outside/config.json"))?;
    hub.ends(2, &alone, &["expected a file, found a symbolic link to `", "outside/config.json`"])?;
    let hub = share("x", &format!("../../blobs/{shared}"))?;
    plant(&hub, &format!("blobs/{}", &hash[..2]), &hub.folder.path().join("outside"))?;
    hub.ends(2, &alone, &["expected a folder, found a symbolic link"])?;
    let hub = filled()?;
    fs::write(
        hub.model().join("snapshots").join(COMMIT).join("model.safetensors.index.json"),
        "{\"weight_map\": {\"a\": \"../x.safetensors\"}}",
    )?;
    hub.ends(2, &alone, &["expected an index of weights, found weight_map: expected the names of files"])?;
    assert!(hub.requests().is_empty());
    Ok(())
}

fn settings() -> Result<(), Failed> {
    let hub = Hostile::start(|_| None)?;
    hub.ends(2, &[("HF_ENDPOINT", "file:///etc")], &["HF_ENDPOINT: expected the URL of a hub", "got `file:///etc`"])?;
    hub.ends(2, &[("HF_ENDPOINT", "http://me:secret@127.0.0.1")], &["got one with a name and a password"])?;
    hub.ends(2, &[("HF_TOKEN", "a b")], &["HF_TOKEN: expected a token of letters, digits and signs"])?;
    hub.ends(
        2,
        &[("HF_HUB_DOWNLOAD_TIMEOUT", "soon")],
        &["HF_HUB_DOWNLOAD_TIMEOUT: expected whole seconds", "`soon`"],
    )?;
    assert!(hub.requests().is_empty());
    Ok(())
}
