//! Every example in `conf/examples` says what it means.

use std::path::Path;

use crate::support::gateway;

#[test]
fn examples_are_without_mistakes_and_warnings() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf/examples");
    let mut count = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let (_, warnings) = gateway::read(&text);
        assert!(
            warnings.is_empty(),
            "{}: {}",
            path.display(),
            warnings.join("\n")
        );
        count += 1;
    }
    assert!(count >= 3);
}
