//! `cargo xtask cuda`: the host with its feature `cuda`, on a machine that needs neither a GPU nor CUDA.
//!
//! NVIDIA's compiler and libraries come from PyPI, pinned, into a virtual environment under `target/`. They are of CUDA
//! 13.0: what a later compiler emits, a driver of 13.0 refuses. The driver's own library is on machines with a GPU only;
//! an empty one stands in for it while the program is linked. The CPU's build beside it stays as it is.

use std::env;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::program::{run, target_folder};
use crate::{announce, python, requirements};

/// How the host is built.
#[derive(Debug, Args)]
pub(crate) struct CudaArguments {
    /// The least compute capability that the kernels run on, without its point: 80 Ampere, 90 Hopper, 100 Blackwell
    #[arg(long, default_value_t = 90)]
    compute_capability: u32,
    /// Build the unit tests, too; with `HILORA_TEST_CUDA` set they hold the device against the CPU
    #[arg(long)]
    tests: bool,
}

/// The libraries that the host is linked with: the name that the linker looks for, and the version in the wheels.
const LIBRARIES: [(&str, u32); 5] = [("cublas", 13), ("cublasLt", 13), ("curand", 10), ("nvrtc", 13), ("cudart", 13)];

/// The packages whose unit tests hold a device against the CPU.
const TESTED_PACKAGES: [&str; 2] = ["hilora-kernels", "hilora-model"];

/// Where the linker finds the libraries, under the target folder.
const LINK_FOLDER: &str = "cuda-link";

pub(crate) fn run_task(repository: &Path, arguments: &CudaArguments) -> Result<u8> {
    // nvcc compiles through the machine's C++ compiler.
    requirements::check_cpp_compiler("building with CUDA")?;
    let target = target_folder(repository);
    announce("installing NVIDIA's compiler and libraries from PyPI (the first time downloads about a gigabyte)");
    let environment = python::environment(repository, "cuda-venv", &repository.join("xtask/cuda.txt"))
        .context("cannot install NVIDIA's compiler; this needs PyPI")?;
    let toolkit = toolkit(&environment)?;
    link_names(&toolkit, &target.join(LINK_FOLDER))?;

    announce("building hilora-host with CUDA (the first time takes half an hour of processor time)");
    let program = build(repository, arguments, &toolkit, "hilora-host", &["--release", "--bin", "hilora-host"])?;
    let size = fs::metadata(&program).with_context(|| format!("cannot read {}", program.display()))?.len();
    announce(&format!("{} ({} MB); it needs NVIDIA's driver to start", program.display(), size >> 20));
    if arguments.tests {
        announce("building the unit tests with CUDA");
        // cargo builds a library's tests where the profile is `bench`, which is `release` otherwise.
        for package in TESTED_PACKAGES {
            let tests = build(repository, arguments, &toolkit, package, &["--profile", "bench", "--lib"])?;
            announce(&format!("the unit tests of {package}: {}", tests.display()));
        }
    }
    Ok(0)
}

/// Builds one target of the host; returns the executable.
fn build(
    repository: &Path,
    arguments: &CudaArguments,
    toolkit: &Path,
    package: &str,
    what: &[&str],
) -> Result<PathBuf> {
    let target = target_folder(repository);
    let mut search = vec![toolkit.join("bin")];
    search.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
    let mut command = Command::new("cargo");
    command
        .current_dir(repository)
        .env("PATH", env::join_paths(search).context("PATH holds a folder that cannot be named in it")?)
        .env("CUDA_COMPUTE_CAP", arguments.compute_capability.to_string());
    for variable in ["CUDA_HOME", "CUDA_PATH", "CUDA_ROOT", "CUDA_TOOLKIT_ROOT_DIR"] {
        command.env(variable, toolkit);
    }
    // `cargo rustc` gives its flags to this target alone, so that no dependency is built anew for them.
    command
        .stderr(Stdio::inherit())
        .args(["rustc", "--package", package, "--features", "cuda"])
        .args(["--message-format", "json-render-diagnostics", "--target-dir"])
        .arg(target.join("cuda"))
        .args(what)
        .arg("--")
        .args(["-L".to_owned(), format!("native={}", target.join(LINK_FOLDER).display())])
        .args(["-C", "link-arg=-Wl,--no-as-needed", "-C", "link-arg=-lcuda", "-C", "link-arg=-lnvrtc"])
        // The driver's functions are in no library here.
        .args(["-C", "link-arg=-Wl,--unresolved-symbols=ignore-all"])
        .args(["-C".to_owned(), format!("link-arg=-Wl,-rpath,{}", toolkit.join("lib").display())]);
    let built = command.output().context("cannot run cargo")?;
    if !built.status.success() {
        bail!("cargo could not build the host with CUDA ({})", built.status);
    }
    // A message a line; those about executables name them.
    let messages = String::from_utf8_lossy(&built.stdout);
    let mut executables = messages.lines().filter_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        message.get("executable")?.as_str().map(PathBuf::from)
    });
    executables.next_back().context("cargo named no executable that it built")
}

/// Where the wheels put CUDA: `lib/python3.x/site-packages/nvidia/cu13` of the environment.
fn toolkit(environment: &Path) -> Result<PathBuf> {
    let versions = environment.join("lib");
    for entry in fs::read_dir(&versions).with_context(|| format!("cannot list {}", versions.display()))? {
        let toolkit = entry?.path().join("site-packages/nvidia/cu13");
        if toolkit.join("bin/nvcc").is_file() {
            return Ok(toolkit);
        }
    }
    bail!("{}: no nvidia/cu13/bin/nvcc in it, although the wheels were installed", environment.display())
}

/// Gives the wheels' libraries the names that a linker looks for, and puts an empty driver beside them.
fn link_names(toolkit: &Path, folder: &Path) -> Result<()> {
    let unmade = || format!("cannot fill {}", folder.display());
    fs::create_dir_all(folder).with_context(unmade)?;
    for (name, version) in LIBRARIES {
        let link = folder.join(format!("lib{name}.so"));
        // An older link may lead to an environment that is gone.
        if fs::symlink_metadata(&link).is_ok() {
            fs::remove_file(&link).with_context(unmade)?;
        }
        symlink(toolkit.join(format!("lib/lib{name}.so.{version}")), link).with_context(unmade)?;
    }
    let driver = folder.join("libcuda.so");
    let arguments = ["-shared", "-nostdlib", "-Wl,-soname,libcuda.so.1", "-x", "c", "/dev/null", "-o"];
    run(Command::new("cc").args(arguments).arg(driver))
}
