//! The demo: what a person sees first.

use crate::common::Site;

#[test]
fn the_demo_ends_as_it_says_and_its_report_names_all_six_tasks() {
    let site = Site::new();
    let folder = site.home.path().join("demo");
    let ran = site.run(["demo", "--folder", folder.to_str().unwrap()]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let reports = folder.join("sample/.dayshift/reports");
    let file = std::fs::read_dir(reports).unwrap().next().unwrap().unwrap().path();
    let report = std::fs::read_to_string(file).unwrap();
    for key in ["outline", "index", "chapter", "glossary", "survey", "legend"] {
        assert!(report.contains(key), "{key} is missing in {report}");
    }
    assert!(report.contains("there is no map in this repository"), "{report}");
    assert!(ran.out.contains("75") || ran.out.contains("budget"), "no budget warning: {}", ran.out);
}
