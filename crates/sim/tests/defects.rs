//! The planted defects stay in step with the code and with their list. Whether they are noticed
//! is for `cargo run -p dayshift-sim --bin defects`, which builds the code once for each.

use std::path::Path;

use dayshift_sim::Defect;

#[test]
fn every_defect_has_its_place_and_its_line() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let list = std::fs::read_to_string(here.join("DEFECTS.md")).expect("the list is there");
    let defects = Defect::read_all(&here.join("defects")).expect("the defects can be read");
    let mut wrong = Vec::new();
    for defect in &defects {
        let path = here.join("../..").join(&defect.file);
        let code = std::fs::read_to_string(&path).expect("the code is there");
        wrong.extend(defect.plant(&code).err());
        if !list.contains(&format!("| `{}` |", defect.name)) {
            wrong.push(format!("DEFECTS.md does not tell of `{}`", defect.name));
        }
    }
    let rows = list.lines().filter(|line| line.starts_with("| `")).count();
    if rows != defects.len() {
        wrong.push(format!("DEFECTS.md has {rows} rows, there are {} defects", defects.len()));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
