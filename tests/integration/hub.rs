//! Models by their Hugging Face id, from a local server that answers as the hub does: a listing, and files in ranges
//! under the tags and sizes that it announces. `hub_data_sets` asks it for data sets.

use std::fs;
use std::path::Path;
use std::pin::Pin;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path as UrlPath, State};
use axum::http::{HeaderMap, Method, Response, StatusCode};
use axum::routing::get;
use hilora_contract::artifact::ContentHash;
use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};

use crate::parity::fixture;
use crate::repository;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        Trial::test("hub::downloads_once_with_the_token_and_then_works_offline", downloads_once),
        Trial::test("hub::a_broken_download_goes_on_where_it_stopped", goes_on),
        Trial::test("hub::a_killed_download_goes_on_where_it_was", killed),
        Trial::test("hub::two_processes_download_once", two_at_once),
        Trial::test("hub::damaged_bytes_are_not_kept", damaged),
        Trial::test("hub::shards_come_with_their_index", shards),
        Trial::test("hub::refusals_and_absence_are_one_clear_error", refusals),
        Trial::test("hub::a_config_may_name_a_base_by_its_id", config_names_an_id),
    ]
}

pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const WEIGHTS: &str = "model.safetensors";
/// A small file, and the tag that git has for it.
const NOTES: (&str, &[u8], &str) = ("notes.txt", b"hello\n", "ce013625030ba8dba906f756967f9e9ca394464a");

/// What the server holds and how it behaves.
#[derive(Default)]
pub(crate) struct Mirror {
    pub(crate) files: Vec<(String, Vec<u8>)>,
    /// Whose repositories it has, beside `tiny`'s; each of them is these files.
    pub(crate) owners: Vec<&'static str>,
    /// What its branch is now.
    pub(crate) commit: String,
    /// Asked for in every request to the hub, where it is set.
    token: Option<&'static str>,
    /// Whether files are for those alone who have some token.
    pub(crate) is_gated: bool,
    /// How many more answers with the weights end in the middle.
    pub(crate) cuts: usize,
    /// Whether weights come with one bit changed.
    damages: bool,
    /// How long weights stand still in the middle.
    pause: Duration,
    /// Whether a part that is asked for comes as a whole.
    is_without_ranges: bool,
    /// Where weights are, which is another origin.
    store: String,
    pub(crate) requests: Vec<Request>,
}

pub(crate) struct Request {
    method: Method,
    /// The file; nothing for the listing.
    pub(crate) file: String,
    /// Whether the hub itself was asked, and not the store that it sends on to.
    is_to_hub: bool,
    authorization: Option<String>,
    range: Option<String>,
}

type Shared = Arc<Mutex<Mirror>>;

fn lock(mirror: &Shared) -> MutexGuard<'_, Mirror> {
    mirror.lock().expect("no handler panics")
}

fn status(code: u16) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::from_u16(code).expect("a status");
    response
}

fn set(response: &mut Response<Body>, headers: &[(&'static str, String)]) {
    for (name, value) in headers {
        response.headers_mut().insert(*name, value.parse().expect("a header"));
    }
}

/// The tag that the hub gives to a file.
fn tag(name: &str, bytes: &[u8]) -> String {
    if name == NOTES.0 { NOTES.2.to_owned() } else { ContentHash::of(bytes).to_string() }
}

impl Mirror {
    /// Writes down a request.
    fn record(&mut self, method: &Method, file: &str, is_to_hub: bool, headers: &HeaderMap) {
        let header = |name: &str| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let (authorization, range) = (header("authorization"), header("range"));
        self.requests.push(Request { method: method.clone(), file: file.to_owned(), is_to_hub, authorization, range });
    }

    /// Writes down a request to the hub; a status where it is refused.
    fn receive(&mut self, method: &Method, owner: &str, file: &str, headers: &HeaderMap) -> Option<u16> {
        self.record(method, file, true, headers);
        let authorization = self.requests.last().and_then(|request| request.authorization.as_deref());
        let allowed = self.token.is_none_or(|token| authorization == Some(&format!("Bearer {token}")));
        match (allowed, owner) {
            (false, _) => Some(401),
            (_, owner) if owner == "tiny" || self.owners.contains(&owner) => None,
            _ => Some(404),
        }
    }

    fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        self.files.iter().find(|(file, _)| file == name).map(|(_, bytes)| bytes.clone())
    }
}

async fn listing(
    State(mirror): State<Shared>,
    UrlPath((owner, _name)): UrlPath<(String, String)>,
    method: Method,
    headers: HeaderMap,
) -> Response<Body> {
    let mut mirror = lock(&mirror);
    if let Some(code) = mirror.receive(&method, &owner, "", &headers) {
        return status(code);
    }
    let files: Vec<Value> = mirror.files.iter().map(|(name, _)| json!({"rfilename": name})).collect();
    Response::new(Body::from(json!({"sha": mirror.commit, "siblings": files}).to_string()))
}

/// The same of a data set's revision.
async fn data_set_listing(
    state: State<Shared>,
    UrlPath((owner, name, revision)): UrlPath<(String, String, String)>,
    method: Method,
    headers: HeaderMap,
) -> Response<Body> {
    let is_known = revision == "main" || revision == lock(&state).commit;
    if is_known { listing(state, UrlPath((owner, name)), method, headers).await } else { status(404) }
}

/// What comes from the store: weights, and columns.
fn is_large(name: &str) -> bool {
    name.ends_with(".safetensors") || name.ends_with(".parquet")
}

/// A file at the hub: small ones come, and of weights it says what they are and where.
async fn file(
    State(mirror): State<Shared>,
    UrlPath((owner, _name, commit, name)): UrlPath<(String, String, String, String)>,
    method: Method,
    headers: HeaderMap,
) -> Response<Body> {
    let mut mirror = lock(&mirror);
    if let Some(code) = mirror.receive(&method, &owner, &name, &headers) {
        return status(code);
    }
    if mirror.is_gated && !headers.contains_key("authorization") {
        return status(401);
    }
    let Some(bytes) = mirror.bytes(&name).filter(|_| commit == mirror.commit) else { return status(404) };
    let tag = tag(&name, &bytes);
    if is_large(&name) {
        let mut response = status(302);
        let location = format!("{}/blobs/{name}?signature=x", mirror.store);
        let linked = [("x-linked-size", bytes.len().to_string()), ("x-linked-etag", format!("\"{tag}\""))];
        set(&mut response, &linked);
        set(&mut response, &[("x-repo-commit", commit.clone()), ("location", location)]);
        return response;
    }
    let length = bytes.len().to_string();
    let mut response = Response::new(Body::from(bytes));
    set(&mut response, &[("content-length", length), ("etag", format!("W/\"{tag}\""))]);
    set(&mut response, &[("x-repo-commit", commit)]);
    response
}

/// Weights, where they are.
async fn blob(
    State(mirror): State<Shared>,
    UrlPath(name): UrlPath<String>,
    method: Method,
    headers: HeaderMap,
) -> Response<Body> {
    let mut mirror = lock(&mirror);
    mirror.record(&method, &name, false, &headers);
    let Some(bytes) = mirror.bytes(&name) else { return status(404) };
    let range = mirror.requests.last().and_then(|request| request.range.as_deref()?.strip_prefix("bytes="));
    let start = range.filter(|_| !mirror.is_without_ranges).and_then(|range| range.strip_suffix('-')?.parse().ok());
    if start.is_some_and(|start: usize| start >= bytes.len()) {
        return status(416);
    }
    let mut part = bytes[start.unwrap_or(0)..].to_vec();
    let whole = part.len();
    if (name == WEIGHTS || name.ends_with(".parquet")) && whole > 1 {
        if mirror.damages {
            part[whole / 2] ^= 1;
        }
        if mirror.cuts > 0 {
            mirror.cuts -= 1;
            part.truncate(whole / 2);
        }
    }
    // A body that ends before its announced length breaks the connection.
    let (pieces, pause): (Vec<Result<Bytes, std::io::Error>>, _) = match part.len() < whole {
        true => (vec![Ok(part.into()), Err(std::io::Error::other("cut"))], Duration::from_millis(200)),
        false => {
            let second = part.split_off(whole / 2);
            (vec![Ok(part.into()), Ok(second.into())], mirror.pause)
        }
    };
    let pieces = Pieces { left: pieces.into_iter(), pause: Box::pin(tokio::time::sleep(pause)) };
    let mut response = Response::new(Body::from_stream(pieces));
    if let Some(start) = start {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        let range = format!("bytes {start}-{}/{}", bytes.len() - 1, bytes.len());
        set(&mut response, &[("content-range", range)]);
    }
    set(&mut response, &[("content-length", whole.to_string())]);
    response
}

/// A body in two pieces; before the second, what came before is given time to arrive.
struct Pieces {
    left: std::vec::IntoIter<Result<Bytes, std::io::Error>>,
    pause: Pin<Box<tokio::time::Sleep>>,
}

impl futures_core::Stream for Pieces {
    type Item = Result<Bytes, std::io::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.left.len() == 1 && self.pause.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        Poll::Ready(self.left.next())
    }
}

/// The binary, with a hub and a cache, and nothing else of Hugging Face's variables.
pub(crate) fn hilora(url: &str, home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hilora-host"));
    for (name, _) in std::env::vars_os() {
        if ["HF_", "HUGGING", "TRANSFORMERS_"].iter().any(|begin| name.to_string_lossy().starts_with(begin)) {
            command.env_remove(name);
        }
    }
    command.env("HF_ENDPOINT", url).env("HF_HOME", home).env("NO_PROXY", "*").current_dir(repository());
    command
}

/// A hub and a store on ports of their own, and a cache; all end with it.
pub(crate) struct Hub {
    url: String,
    mirror: Shared,
    pub(crate) home: tempfile::TempDir,
    _runtime: tokio::runtime::Runtime,
}

impl Hub {
    pub(crate) fn start(change: impl FnOnce(&mut Mirror)) -> Result<Self, Failed> {
        let mut mirror =
            Mirror { files: files(&fixture("llama/model"))?, commit: COMMIT.to_owned(), ..Mirror::default() };
        change(&mut mirror);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))?;
        let store = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))?;
        let url = format!("http://{}", listener.local_addr()?);
        mirror.store = format!("http://{}", store.local_addr()?);
        let mirror = Arc::new(Mutex::new(mirror));
        let router = Router::new()
            .route("/api/models/{owner}/{name}/revision/main", get(listing))
            .route("/{owner}/{name}/resolve/{commit}/{file}", get(file))
            .route("/api/datasets/{owner}/{name}/revision/{revision}", get(data_set_listing))
            .route("/datasets/{owner}/{name}/resolve/{commit}/{*file}", get(file))
            .with_state(mirror.clone());
        let blobs = Router::new().route("/blobs/{*file}", get(blob)).with_state(mirror.clone());
        runtime.spawn(async move { axum::serve(listener, router).await });
        runtime.spawn(async move { axum::serve(store, blobs).await });
        Ok(Self { url, mirror, home: tempfile::tempdir()?, _runtime: runtime })
    }

    pub(crate) fn command(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Command {
        let mut command = hilora(&self.url, self.home.path());
        command.envs(environment.iter().copied()).args(arguments);
        command
    }

    pub(crate) fn run(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Result<Output, Failed> {
        Ok(self.command(arguments, environment).output()?)
    }

    /// The result of `model inspect`, which must succeed.
    fn inspect(&self, id: &str, environment: &[(&str, &str)]) -> Result<Value, Failed> {
        let output = self.run(&["model", "inspect", id, "--tensors", "--json"], environment)?;
        if !output.status.success() {
            return Err(format!("model inspect {id}: {}", String::from_utf8_lossy(&output.stderr)).into());
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// Checks that `model inspect` ends with 2 and says all of this.
    fn refuse(&self, id: &str, environment: &[(&str, &str)], parts: &[&str]) -> Result<(), Failed> {
        self.fail(2, id, environment, parts)
    }

    /// Checks that `model inspect` ends with 1, because the network failed, and says all of this.
    fn break_off(&self, id: &str, environment: &[(&str, &str)], parts: &[&str]) -> Result<(), Failed> {
        self.fail(1, id, environment, parts)
    }

    fn fail(&self, code: i32, id: &str, environment: &[(&str, &str)], parts: &[&str]) -> Result<(), Failed> {
        let output = self.run(&["model", "inspect", id], environment)?;
        let error = String::from_utf8_lossy(&output.stderr);
        if output.status.code() != Some(code) {
            return Err(format!("expected exit code {code}, got {}: {error}", output.status).into());
        }
        match parts.iter().find(|part| !error.contains(**part)) {
            None => Ok(()),
            Some(part) => Err(format!("expected `{part}` in: {error}").into()),
        }
    }

    pub(crate) fn mirror(&self) -> MutexGuard<'_, Mirror> {
        lock(&self.mirror)
    }

    fn snapshot(&self) -> std::path::PathBuf {
        self.home.path().join("hub/models--tiny--llama/snapshots").join(COMMIT)
    }
}

fn files(folder: &Path) -> Result<Vec<(String, Vec<u8>)>, Failed> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        files.push((entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path())?));
    }
    files.sort();
    Ok(files)
}

fn downloads_once() -> Result<(), Failed> {
    let hub = Hub::start(|mirror| {
        mirror.token = Some("secret");
        mirror.files.push(("README.md".to_owned(), b"words".to_vec()));
        mirror.files.push(("pytorch_model.bin".to_owned(), b"pickle".to_vec()));
        mirror.files.push(("original/params.json".to_owned(), b"{}".to_vec()));
        mirror.files.push((NOTES.0.to_owned(), NOTES.1.to_vec()));
    })?;
    let token = [("HF_TOKEN", "secret")];
    let first = hub.inspect("tiny/llama", &token)?;
    assert_eq!(first["parameters"], 84_288);
    for (name, bytes) in files(&fixture("llama/model"))? {
        assert_eq!(fs::read(hub.snapshot().join(&name))?, bytes, "{name}");
    }
    assert_eq!(fs::read_dir(hub.snapshot())?.count(), 4, "what is not needed was fetched");
    let link = fs::read_link(hub.snapshot().join(NOTES.0))?;
    assert_eq!(link, Path::new("../../blobs").join(NOTES.2), "the layout is Hugging Face's");
    let requests = hub.mirror().requests.len();
    // The token is for the hub, and not for the store that it sends on to.
    let has_token = |request: &Request| request.authorization.as_deref() == Some("Bearer secret");
    assert!(hub.mirror().requests.iter().all(|request| has_token(request) == request.is_to_hub));
    assert!(hub.mirror().requests.iter().any(|request| !request.is_to_hub));

    // The listing is asked for again, the files are not; offline nothing is.
    assert_eq!(hub.inspect("tiny/llama", &token)?, first);
    assert_eq!(hub.mirror().requests.len(), requests + 1);
    assert_eq!(hub.inspect("tiny/llama", &[("HF_HUB_OFFLINE", "1")])?, first);
    assert_eq!(hub.mirror().requests.len(), requests + 1);

    // Then nothing matters that is for asking only.
    fs::create_dir(hub.home.path().join("token"))?;
    let alone = [("HF_HUB_OFFLINE", "1"), ("HF_ENDPOINT", "nowhere"), ("HF_HUB_ETAG_TIMEOUT", "soon")];
    assert_eq!(hub.inspect("tiny/llama", &alone)?, first);
    fs::remove_dir(hub.home.path().join("token"))?;

    // A token that was stored by Hugging Face's own tools.
    fs::write(hub.home.path().join("token"), "secret\n")?;
    assert_eq!(hub.inspect("tiny/llama", &[])?, first);
    hub.refuse("tiny/llama", &[("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")], &["asked without a token", "hint: "])?;
    fs::remove_file(hub.snapshot().join(WEIGHTS))?;
    hub.refuse("tiny/llama", &[("HF_HUB_OFFLINE", "1")], &["model.safetensors is missing", "hint:"])
}

fn starts(hub: &Hub) -> Vec<usize> {
    let mirror = hub.mirror();
    let start = |request: &Request| match &request.range {
        Some(range) => range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok(),
        None => Some(0),
    };
    let of_weights =
        |request: &&Request| request.file == WEIGHTS && !request.is_to_hub && request.method == Method::GET;
    mirror.requests.iter().filter(of_weights).filter_map(start).collect()
}

fn goes_on() -> Result<(), Failed> {
    let bytes = fs::read(fixture("llama/model").join(WEIGHTS))?;
    // One cut is mended within the call.
    let hub = Hub::start(|mirror| mirror.cuts = 1)?;
    hub.inspect("tiny/llama", &[])?;
    assert_eq!(starts(&hub), [0, bytes.len() / 2]);
    assert_eq!(fs::read(hub.snapshot().join(WEIGHTS))?, bytes);

    // A connection that breaks again and again ends the call; the next one goes on.
    let hub = Hub::start(|mirror| mirror.cuts = 5)?;
    hub.break_off(
        "tiny/llama",
        &[],
        &["cannot fetch model.safetensors of `tiny/llama` from http://127.0.0.1", "hint:"],
    )?;
    hub.refuse("tiny/llama", &[("HF_HUB_OFFLINE", "1")], &["is not whole in", "config.json is missing"])?;
    hub.mirror().cuts = 0;
    let before = starts(&hub).len();
    hub.inspect("tiny/llama", &[])?;
    let after = starts(&hub);
    assert!(after.len() == before + 1 && after[before] > bytes.len() / 2, "{after:?}");
    assert_eq!(fs::read(hub.snapshot().join(WEIGHTS))?, bytes);

    // A process that was killed after the last byte left a whole file under its temporary name.
    let hub = Hub::start(|_| {})?;
    let blobs = hub.home.path().join("hub/models--tiny--llama/blobs");
    fs::create_dir_all(&blobs)?;
    let partial = blobs.join(format!("{}.incomplete", ContentHash::of(&bytes)));
    fs::write(&partial, &bytes)?;
    hub.inspect("tiny/llama", &[])?;
    assert_eq!(fs::read(hub.snapshot().join(WEIGHTS))?, bytes);
    assert!(starts(&hub).is_empty());

    // What is there may be longer than the file, or not its beginning, and a server may know no ranges.
    for (left, is_without_ranges) in [(bytes.len() + 1, false), (10, false), (10, true)] {
        let hub = Hub::start(|mirror| mirror.is_without_ranges = is_without_ranges)?;
        let blobs = hub.home.path().join("hub/models--tiny--llama/blobs");
        fs::create_dir_all(&blobs)?;
        fs::write(blobs.join(partial.file_name().unwrap_or_default()), vec![b'x'; left])?;
        hub.inspect("tiny/llama", &[])?;
        assert_eq!(fs::read(hub.snapshot().join(WEIGHTS))?, bytes);
    }
    Ok(())
}

/// Waits until a download is on the disk as far as the server's pause.
fn wait_for_half(hub: &Hub, bytes: &[u8]) -> Result<(), Failed> {
    let partial = format!("hub/models--tiny--llama/blobs/{}.incomplete", ContentHash::of(bytes));
    let deadline = Instant::now() + Duration::from_secs(60);
    while fs::metadata(hub.home.path().join(&partial)).map_or(0, |found| found.len()) < bytes.len() as u64 / 2 {
        if Instant::now() > deadline {
            return Err("the download did not get to its middle".into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn killed() -> Result<(), Failed> {
    let bytes = fs::read(fixture("llama/model").join(WEIGHTS))?;
    let hub = Hub::start(|mirror| mirror.pause = Duration::from_secs(20))?;
    let mut child = hub.command(&["model", "inspect", "tiny/llama"], &[]).stderr(Stdio::null()).spawn()?;
    let waited = wait_for_half(&hub, &bytes);
    child.kill()?;
    child.wait()?;
    waited?;
    assert!(!hub.snapshot().join(WEIGHTS).exists(), "half of it is not all of it");
    hub.refuse("tiny/llama", &[("HF_HUB_OFFLINE", "1")], &["is not whole in"])?;
    hub.mirror().pause = Duration::ZERO;
    hub.inspect("tiny/llama", &[])?;
    assert_eq!(starts(&hub), [0, bytes.len() / 2]);
    assert_eq!(fs::read(hub.snapshot().join(WEIGHTS))?, bytes);
    Ok(())
}

fn two_at_once() -> Result<(), Failed> {
    let bytes = fs::read(fixture("llama/model").join(WEIGHTS))?;
    let hub = Hub::start(|mirror| mirror.pause = Duration::from_secs(2))?;
    let start = || {
        let mut command = hub.command(&["model", "inspect", "tiny/llama", "--json"], &[]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
    };
    let first = start()?;
    wait_for_half(&hub, &bytes)?;
    for child in [first, start()?] {
        let output = child.wait_with_output()?;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(starts(&hub), [0], "the second waits for the first and finds the file");
    assert_eq!(fs::read(hub.snapshot().join(WEIGHTS))?, bytes);
    Ok(())
}

fn damaged() -> Result<(), Failed> {
    let hub = Hub::start(|mirror| mirror.damages = true)?;
    hub.break_off(
        "tiny/llama",
        &[],
        &["model.safetensors of `tiny/llama`: expected", ", got", "hint: it was removed"],
    )?;
    assert!(!hub.snapshot().join(WEIGHTS).exists());
    hub.mirror().damages = false;
    assert_eq!(hub.inspect("tiny/llama", &[])?["parameters"], 84_288);
    Ok(())
}

fn shards() -> Result<(), Failed> {
    let hub = Hub::start(|mirror| {
        // One shard, so that the fixture's file serves; a second copy of the weights must be left alone.
        let weights = mirror.files.iter().find(|(name, _)| name == WEIGHTS).map(|(_, bytes)| bytes.clone());
        let shard = "model-00001-of-00001.safetensors";
        mirror.files.push((shard.to_owned(), weights.unwrap_or_default()));
        let index = json!({"weight_map": {"model.norm.weight": shard}}).to_string();
        mirror.files.push(("model.safetensors.index.json".to_owned(), index.into_bytes()));
    })?;
    assert_eq!(hub.inspect("tiny/llama", &[])?["parameters"], 84_288);
    assert!(hub.mirror().requests.iter().all(|request| request.file != WEIGHTS));
    assert_eq!(hub.inspect("tiny/llama", &[("HF_HUB_OFFLINE", "true")])?["parameters"], 84_288);
    fs::remove_file(hub.snapshot().join("model-00001-of-00001.safetensors"))?;
    hub.refuse("tiny/llama", &[("HF_HUB_OFFLINE", "true")], &["model-00001-of-00001.safetensors is missing"])?;
    // An index that was damaged in the cache is not the hub's; without its link, and removed, it comes again.
    let index = hub.snapshot().join("model.safetensors.index.json");
    let blob = fs::canonicalize(&index)?;
    let whole = fs::read(&blob)?;
    fs::write(&blob, vec![b'x'; whole.len()])?;
    let damaged =
        ["model.safetensors.index.json: expected an index of weights, found", "hint: nothing was read through"];
    hub.refuse("tiny/llama", &[], &damaged)?;
    fs::remove_file(&index)?;
    hub.refuse("tiny/llama", &[], &damaged)?;
    let other = json!({"weight_map": {"a": "x.safetensors"}}).to_string();
    fs::write(&blob, format!("{other:<0$}", whole.len()))?;
    hub.refuse(
        "tiny/llama",
        &[],
        &["an index of weights, found weight_map: expected the names of files of the model"],
    )?;
    fs::remove_file(&blob)?;
    assert_eq!(hub.inspect("tiny/llama", &[])?["parameters"], 84_288);
    Ok(())
}

fn refusals() -> Result<(), Failed> {
    let hub = Hub::start(|mirror| mirror.token = Some("secret"))?;
    hub.refuse("tiny/llama", &[], &["refuses `tiny/llama` (HTTP 401), asked without a token", "hint: set HF_TOKEN"])?;
    hub.refuse("tiny/llama", &[("HF_TOKEN", "wrong")], &["(HTTP 401), asked with a token"])?;
    let token = ("HF_TOKEN", "secret");
    hub.refuse("nobody/nothing", &[token], &["has no model `nobody/nothing`", "hint: is the name right?"])?;
    let asked = hub.mirror().requests.len();
    let offline = [token, ("HF_HUB_OFFLINE", "1")];
    hub.refuse("tiny/llama", &offline, &["`tiny/llama` is not whole in", "nothing may be downloaded", "hint:"])?;
    assert_eq!(hub.mirror().requests.len(), asked);
    hub.mirror().files.retain(|(name, _)| name != WEIGHTS);
    hub.refuse("tiny/llama", &[token], &["neither model.safetensors nor", "hint: only safetensors are read"])?;
    // Nobody listens on port 9 of this machine.
    let nobody = [("HF_ENDPOINT", "http://127.0.0.1:9")];
    hub.break_off("tiny/llama", &nobody, &["cannot fetch the listing of `tiny/llama` from http://127.0.0.1:9", "hint:"])
}

fn config_names_an_id() -> Result<(), Failed> {
    let tiny = repository().join("examples/tiny-base");
    let contents = files(&tiny)?;
    let hub = Hub::start(|mirror| mirror.files = contents)?;
    let folder = tempfile::tempdir()?;
    let config = folder.path().join("config.yaml");
    let text = fs::read_to_string(repository().join("configs/quickstart.yaml"))?;
    assert!(text.contains("base_model: examples/tiny-base"));
    fs::write(&config, text.replace("base_model: examples/tiny-base", "base_model: tiny/base"))?;
    let row = json!({"problem": "Print 1.", "reasoning": null, "solution": "print(1)", "domain": "python", "difficulty": null});
    fs::create_dir_all(folder.path().join("run/data"))?;
    fs::write(folder.path().join("run/data/python_train.jsonl"), format!("{row}\n"))?;
    let (config, run) = (config.to_string_lossy().into_owned(), folder.path().join("run").display().to_string());
    let arguments = ["train", "--config", &config, "--run", &run];
    // A dry run downloads nothing, and says so; it reads no token.
    fs::create_dir(hub.home.path().join("token"))?;
    let output = hub.run(&[&arguments[..], &["--dry-run"]].concat(), &[])?;
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("`tiny/base` is not whole in") && hub.mirror().requests.is_empty(), "{error}");
    fs::remove_dir(hub.home.path().join("token"))?;
    let output = hub.run(&arguments, &[])?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(folder.path().join("run/adapter/adapter_model.safetensors").exists());
    Ok(())
}
