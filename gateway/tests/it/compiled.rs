//! Compiling: in a process of its own with limits, and from a cache that nobody else can write to.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use riposte::dispatch::{Allocation, Catalog, Compiler, Engine, LoadError, PluginConfig};
use serde_json::{Value, json};

use crate::harness::guest::{core_module, engine, module, write};

/// A program that is not there: whoever needs it compiles, and says so.
const NO_COMPILER: &str = "/nowhere/riposte";

fn compiler(program: &str, cache: &Path) -> Compiler {
    Compiler::new(Path::new(program), Some(cache))
}

fn load(compiler: Compiler, guest: &Path, limits: Value) -> Result<Catalog, String> {
    let source = format!("file:{}", guest.display());
    let config = json!({ "name": "guest", "source": source, "limits": limits });
    let config: PluginConfig = serde_json::from_value(config).unwrap();
    let engine = Engine::new(compiler, Allocation::Pooled).unwrap();
    let loaded = Catalog::load(&engine, &[config]);
    loaded.map_err(|errors| errors.iter().map(LoadError::to_string).collect())
}

/// The files of compiled code.
fn code(cache: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(cache).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|end| end == "code")).collect();
    files.sort();
    files
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn what_was_compiled_once_is_loaded_without_a_compiler() {
    let dir = tempfile::tempdir().unwrap();
    let (cache, riposte) = (dir.path().join("compiled"), env!("CARGO_BIN_EXE_riposte"));
    let guest = write(dir.path(), "guest", &core_module(&module("(i32.const 128)", "")));
    let other = write(dir.path(), "other", &core_module(&module("(i32.const 128) (nop)", "")));
    let missing = load(compiler(NO_COMPILER, &cache), &guest, json!({})).unwrap_err();
    assert!(missing.contains("plugin guest: it cannot be compiled: No such file"), "{missing}");
    load(compiler(riposte, &cache), &guest, json!({})).unwrap();
    assert_eq!(code(&cache).len(), 1);
    assert_eq!((mode(&cache), mode(&cache.join("key")), mode(&code(&cache)[0])), (0o700, 0o600, 0o600));
    load(compiler(NO_COMPILER, &cache), &guest, json!({})).unwrap();
    load(compiler(NO_COMPILER, &cache), &other, json!({})).expect_err("another file is compiled");
    // Where no cache can be, each start compiles.
    std::fs::write(dir.path().join("file"), "").unwrap();
    let nowhere = dir.path().join("file/compiled");
    load(compiler(riposte, &nowhere), &guest, json!({})).unwrap();
    load(compiler(NO_COMPILER, &nowhere), &guest, json!({})).expect_err("nothing was kept");
}

#[test]
fn code_that_somebody_else_wrote_is_not_mapped() {
    let dir = tempfile::tempdir().unwrap();
    let (cache, riposte) = (dir.path().join("compiled"), env!("CARGO_BIN_EXE_riposte"));
    let guest = write(dir.path(), "guest", &core_module(&module("(i32.const 128)", "")));
    let other = write(dir.path(), "other", &core_module(&module("(i32.const 128) (nop)", "")));
    load(compiler(riposte, &cache), &guest, json!({})).unwrap();
    let first = code(&cache)[0].clone();
    load(compiler(riposte, &cache), &other, json!({})).unwrap();
    let second = code(&cache).into_iter().find(|path| *path != first).unwrap();
    let good = std::fs::read(&first).unwrap();
    let flipped = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    };
    let forged = [
        ("a bit of the code", flipped(good.len() / 2)),
        ("a bit of the hash", flipped(0)),
        ("its end", good[..good.len() - 1].to_vec()),
        ("all of it", Vec::new()),
        ("another plugin's code", std::fs::read(&second).unwrap()),
    ];
    for (what, bytes) in forged {
        std::fs::write(&first, bytes).unwrap();
        load(compiler(NO_COMPILER, &cache), &guest, json!({})).expect_err(what);
        assert!(!first.exists(), "{what}: what is wrong is removed");
        load(compiler(riposte, &cache), &guest, json!({})).unwrap();
        assert_eq!(std::fs::read(&first).unwrap(), good, "{what}: the same file has the same code");
    }
    // With another key nothing fits; with a key that was cut off neither.
    for key in [&[7; 32][..], &[7; 5]] {
        std::fs::write(cache.join("key"), key).unwrap();
        load(compiler(NO_COMPILER, &cache), &guest, json!({})).expect_err("the key is another");
        load(compiler(riposte, &cache), &guest, json!({})).unwrap();
    }
    // A folder that was opened to others is closed; one that is a link is not used.
    std::fs::set_permissions(&cache, PermissionsExt::from_mode(0o2777)).unwrap();
    load(compiler(NO_COMPILER, &cache), &guest, json!({})).unwrap();
    assert_eq!(mode(&cache), 0o700);
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(&cache, &link).unwrap();
    load(compiler(NO_COMPILER, &link), &guest, json!({})).expect_err("it is a link");
}

#[test]
fn a_file_that_takes_all_of_a_compiler_is_refused_and_the_gateway_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    // Every loop is open in the next one's: registers are hard to give to so many values.
    let step = "(local.set $a (i32.add (local.get $b) (i32.mul (local.get $a) (local.get $c)))) \
                (local.set $b (i32.rotl (local.get $c) (local.get $a))) \
                (local.set $c (i32.xor (i32.load (local.get $a)) (i32.sub (local.get $b) (local.get $c))))";
    // One of these takes a fast machine most of a second, and 400 MiB.
    let function = format!("(func (local $a i32) (local $b i32) (local $c i32) {}) ", step.repeat(40_000));
    let large = function.repeat(6);
    let guest = write(dir.path(), "large", &core_module(&module("(i32.const 128)", &large)));
    let table = [
        (json!({ "compileCpuS": 1 }), "it takes more than 1 s to compile; limits.compileCpuS can be raised"),
        (
            json!({ "compileMemoryBytesMax": 400 << 20 }),
            "it takes more than 419430400 bytes to compile; limits.compileMemoryBytesMax can be raised",
        ),
    ];
    for (mut limits, expected) in table {
        limits["componentBytesMax"] = json!(64 << 20);
        let said = load(compiler(env!("CARGO_BIN_EXE_riposte"), &dir.path().join("c")), &guest, limits);
        assert_eq!(said.unwrap_err(), format!("plugin guest: it cannot be compiled: {expected}"));
    }
    assert!(code(&dir.path().join("c")).is_empty());
    // It is the file that is too much, not the compiler.
    let small = write(dir.path(), "small", &core_module(&module("(i32.const 128)", "")));
    let limits = json!({ "compileCpuS": 1, "compileMemoryBytesMax": 400 << 20 });
    load(compiler(env!("CARGO_BIN_EXE_riposte"), &dir.path().join("c")), &small, limits).unwrap();
    let good = json!({ "name": "s", "source": "bundled:scale-to-zero", "config": { "rules": ["r"] } });
    Catalog::load(&engine(), &[serde_json::from_value(good).unwrap()]).unwrap();
}

#[test]
fn a_plugin_imports_what_its_grants_name() {
    let config = |imports: Value| {
        let entry = json!({
            "name": "s", "source": "bundled:scale-to-zero", "config": { "rules": ["r"] },
            "grants": { "imports": imports },
        });
        serde_json::from_value::<PluginConfig>(entry)
    };
    let engine = engine();
    let load = |imports: Value| {
        let loaded = Catalog::load(&engine, &[config(imports).unwrap()]);
        loaded.map(drop).map_err(|errors| errors.iter().map(LoadError::to_string).collect::<String>())
    };
    assert_eq!(load(json!(["log", "desired-state"])), Ok(()));
    let refused =
        |imports: &str| Err(format!("plugin s: it imports {imports}, which its grants.imports do not name"));
    assert_eq!(load(json!(["log"])), refused("desired-state"));
    assert_eq!(load(json!([])), refused("log, desired-state"));
    let unknown = config(json!(["network"])).unwrap_err().to_string();
    assert!(unknown.contains("unknown variant `network`"), "{unknown}");
}
