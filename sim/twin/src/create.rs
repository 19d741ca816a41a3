//! `twin new`: a scenario to start from.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};

use drover_harness::scenario::Scenario;

use crate::cli::NewArgs;
use crate::{Stop, show};

const STARTER: &str = include_str!("starter.toml");
/// Stands for the name in [`STARTER`], which is a scenario itself.
const PLACE: &str = "my_question";

fn text(name: &str) -> String {
    STARTER.replace(PLACE, name)
}

/// Writes the starter as `NAME.toml`; never over an existing file.
pub(crate) fn create(args: &NewArgs) -> Result<(), Stop> {
    let NewArgs { name, dir } = args;
    let text = text(name);
    if let Err(errors) = Scenario::parse(&text, name) {
        // Only the name can be wrong: the rest is tested.
        let problem = errors.problems().first().map(|problem| problem.message.clone()).unwrap_or_default();
        return Err(Stop::Usage(problem));
    }
    let path = dir.join(name).with_extension("toml");
    let fail = |error: std::io::Error| match error.kind() {
        ErrorKind::AlreadyExists => {
            Stop::Usage(format!("{} is there already; choose another name or remove it", path.display()))
        }
        _ => Stop::Usage(format!("write {}: {error}", path.display())),
    };
    fs::create_dir_all(dir).map_err(fail)?;
    let mut file = OpenOptions::new().write(true).create_new(true).open(&path).map_err(fail)?;
    file.write_all(text.as_bytes()).map_err(fail)?;
    let path = path.display();
    show(&format!("wrote {path}\nput your question in, then: twin run {path}\n"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_starter_is_a_good_scenario_under_any_good_name() {
        let scenario =
            Scenario::parse(&text("depot_fire_2"), "x.toml").unwrap_or_else(|errors| panic!("{errors}"));
        assert_eq!(scenario.name, "depot_fire_2");
        assert!(!scenario.gates.is_empty() && !scenario.faults.is_empty());
        assert!(!text("depot_fire_2").contains(PLACE));
        assert!(Scenario::parse(&text("Depot fire"), "x.toml").is_err());
        assert!(Scenario::parse(&text("a\"\nseed = 3 #"), "x.toml").is_err());
    }

    #[test]
    fn what_the_starter_offers_in_comments_is_good_too() {
        // Commented-out keys look like `#key = value`; prose has a space after the hash.
        let is_offer = |line: &&str| line.starts_with('#') && !line.starts_with("# ") && line.len() > 1;
        assert!(STARTER.lines().filter(is_offer).count() > 10);
        let open = STARTER.lines().map(|line| if is_offer(&line) { &line[1..] } else { line });
        let text = open.collect::<Vec<_>>().join("\n");
        Scenario::parse(&text, "x.toml").unwrap_or_else(|errors| panic!("{errors}\n{text}"));
    }
}
