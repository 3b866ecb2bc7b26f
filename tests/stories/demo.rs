//! Owns the story of the demonstration: it runs without a terminal, and both sides count the same.

use crate::support::program::Project;

#[test]
fn the_demonstration_counts_what_the_simulator_counts_and_keeps_its_files() {
    let project = Project::empty();
    let ran = project.hikagen(&["--json", "demo", "--seconds", "5", "--dir", "demo"]).expect(0);
    let figures = ran.json();
    assert_eq!(figures["agree"], true, "{figures}");
    let accepted = figures["all"]["hikagen"]["accepted"].as_u64().unwrap();
    assert!(accepted > 0, "{figures}");
    assert_eq!(figures["all"]["simulator"]["accepted"], accepted);
    for file in ["hikagen.yaml", "plan.yaml", "campaign.yaml", "recipients.csv", "recipients.rejects.csv", "hikagen.db"]
    {
        assert!(project.path("demo").join(file).exists(), "{file}");
    }
    project.hikagen(&["-c", "demo/hikagen.yaml", "audit"]).expect(0);
    let again = project.hikagen(&["demo", "--dir", "demo"]).expect(1);
    again.says("a folder of its own");
}
