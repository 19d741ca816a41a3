use drover_wire::downlink::path_to_wire;
use proptest::prelude::*;
use prost::Message;

use super::journal::{read_back, written};
use super::*;

const NOW: WallTime = WallTime::from_secs(1_772_434_800);

fn command(name: &str, body: Vec<u8>, lasts_s: i64) -> Command {
    Command {
        id: None,
        expires_us: Some((1_772_434_800 + lasts_s) as u64 * 1_000_000),
        name: Some(name.to_owned()),
        body: Some(body.into()),
    }
}

fn words(text: &str) -> Command {
    let body =
        MessageBody { message_id: Some("m".to_owned()), text: Some(text.to_owned()), sent_us: Some(1) };
    command(MESSAGE, body.encode_to_vec(), 60)
}

fn way(version: u32, planned_us: u64) -> Command {
    let path = path_to_wire(&[Position::new(60.0, 24.0).expect("in range")]);
    let body = RouteBody {
        route_id: Some("r".to_owned()),
        version: Some(version),
        planned_us: Some(planned_us),
        path,
        ..RouteBody::default()
    };
    command(ROUTE, body.encode_to_vec(), 60)
}

/// Carries it out, if it is to be.
fn carry_out(commands: &mut Commands, id: u64, command: &Command) -> bool {
    match commands.decide(NOW, id, command) {
        Decision::Write(entry) => {
            commands.take(entry);
            true
        }
        _ => false,
    }
}

#[test]
fn a_command_is_carried_out_once() {
    let told = Told::default();
    let mut commands = Commands::new(told.clone());
    assert!(carry_out(&mut commands, 1, &words("gate 4")));
    assert_eq!(commands.decide(NOW, 1, &words("gate 4")), Decision::Known);
    assert_eq!(told.get().messages[0].text, "gate 4");
    assert_eq!(told.get().commands, 1);
}

#[test]
fn what_comes_after_its_time_or_after_something_newer_is_late() {
    let mut commands = Commands::default();
    let late = command(MESSAGE, vec![], 0);
    assert_eq!(commands.decide(NOW, 1, &late), Decision::Late);
    assert!(carry_out(&mut commands, 2, &way(2, 20)));
    assert_eq!(commands.decide(NOW, 3, &way(3, 10)), Decision::Late);
    assert!(carry_out(&mut commands, 4, &way(3, 20)));
    assert_eq!(commands.now.route.as_ref().map(|route| route.version), Some(3));
}

#[test]
fn what_nobody_understands_is_said_and_not_written() {
    let commands = Commands::default();
    let expect = |command: Command, expected: &str| match commands.decide(NOW, 1, &command) {
        Decision::Unknown(why) => assert_eq!(why, expected),
        other => panic!("{other:?}"),
    };
    expect(command("dance", vec![], 60), "nobody on board knows this name");
    expect(command(MESSAGE, vec![0xff], 60), "the body is no message");
    expect(command(ROUTE, RouteBody::default().encode_to_vec(), 60), "the route has no identity");
    let off = RouteBody { route_id: Some("r".to_owned()), path: vec![91_000_000, 0], ..RouteBody::default() };
    expect(command(ROUTE, off.encode_to_vec(), 60), "the path leaves the earth");
}

#[test]
fn the_fewest_entries_say_the_same() {
    let mut commands = Commands::default();
    for id in 0..30 {
        assert!(carry_out(&mut commands, id, &words(&id.to_string())));
    }
    assert!(carry_out(&mut commands, 30, &way(1, 1)) && carry_out(&mut commands, 31, &way(2, 2)));
    let entries = commands.entries();
    assert_eq!(entries.len(), 32);
    assert_eq!(entries.iter().filter(|entry| entry.body.is_some()).count(), MESSAGES_MAX + 1);
    let mut again = Commands::default();
    entries.into_iter().for_each(|entry| again.take(entry));
    assert_eq!((again.now, again.done), (commands.now, commands.done));
}

#[test]
fn at_the_bound_nothing_is_carried_out_until_something_is_over_for_a_day() {
    let mut commands = Commands::default();
    for id in 0..DONE_MAX as u64 {
        commands.take(Entry { id: Some(id), expires_us: Some(NOW.as_micros() as u64), ..Entry::default() });
    }
    assert_eq!(commands.decide(NOW, 1 << 40, &words("x")), Decision::NoRoom);
    commands.forget(NOW);
    assert!(commands.is_full());
    commands.forget(WallTime::from_secs(1_772_434_800 + 24 * 3_600));
    assert!(!commands.is_full() && commands.done().next().is_none());
}

#[test]
fn a_file_that_was_not_finished_is_none_and_one_that_was_cut_has_what_is_whole() {
    let entry = |id| Entry { id: Some(id), body: Some(vec![7; 40]), ..Entry::default() };
    let all = [entry(1), entry(2), entry(3)];
    let bytes = written(&all, 2);
    assert_eq!(read_back(&bytes), Some(all.to_vec()));
    assert_eq!(read_back(&bytes[..bytes.len() - 1]), Some(all[..2].to_vec()), "a crash in the third");
    assert_eq!(read_back(&bytes[..bytes.len() - 60]), None, "two is what it began with");
    assert_eq!(read_back(&[]), None);
}

proptest! {
    #[test]
    fn any_bytes_are_survived(mut bytes in prop::collection::vec(any::<u8>(), 0..200), at in any::<prop::sample::Index>()) {
        let _ = read_back(&bytes);
        let whole = written(&[Entry { id: Some(1), ..Entry::default() }], 1);
        let at = at.index(whole.len());
        bytes.splice(0..0, whole[..at].iter().copied());
        let _ = read_back(&bytes);
    }
}
