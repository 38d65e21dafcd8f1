//! Generated files are what the code gives. (`cargo xtask gen --check` holds the TypeScript against the document.)

use clusterdeck_tests::places::workspace;

#[test]
fn the_committed_openapi_document_is_the_codes() {
    let path = workspace().join("ui/src/lib/api/openapi.json");
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    let fresh = clusterdeck_api::document().to_pretty_json().expect("a document");
    assert!(
        committed.trim_end() == fresh.trim_end(),
        "{} is stale: run `cargo xtask gen` and commit it",
        path.display()
    );
}
