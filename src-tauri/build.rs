//! Embeds the built window, and lets the web view call exactly three commands.

fn main() {
    let built = std::path::Path::new("../ui/build/index.html");
    assert!(
        built.exists(),
        "\n\nThe window is not built yet, and the shell embeds it. Run `cargo xtask app`, or `npm ci && npm run build` in ui/.\n\n"
    );
    println!("cargo:rerun-if-changed=../ui/build");
    let commands = tauri_build::AppManifest::new().commands(&["request", "stream", "save"]);
    tauri_build::try_build(tauri_build::Attributes::new().app_manifest(commands)).expect("tauri-build");
}
