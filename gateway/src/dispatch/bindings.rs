//! The contract's types on the host's side, generated from `sdk/wit`.

wasmtime::component::bindgen!({
    path: "../sdk/wit",
    world: "plugin",
    imports: { default: trappable },
});
