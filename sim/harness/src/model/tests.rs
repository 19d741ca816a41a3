use super::*;

const EPOCH: Epoch = Epoch::from_bits(7);

/// When the fix with this sequence was taken.
fn time(sequence: Sequence) -> WallTime {
    WallTime::from_secs(1_772_434_800 + sequence as i64)
}

/// One vehicle that has recorded fixes 0 to 9.
fn recorded() -> Model {
    let mut model = Model::new(1);
    (0..10).for_each(|sequence| take(&mut model, sequence, Step::Recorded(time(sequence))));
    assert_eq!(model.first(), None);
    model
}

fn take(model: &mut Model, sequence: Sequence, step: Step<'_>) {
    model.take(Duration::from_secs(3), 0, EPOCH, sequence..=sequence, step);
}

/// What the model says of these steps, after ten fixes were recorded; nothing if they are possible.
fn said(steps: &[(Sequence, Step<'_>)]) -> String {
    let mut model = recorded();
    steps.iter().for_each(|(sequence, step)| take(&mut model, *sequence, *step));
    model.first().map(|first| format!("{}: {}", first.sequence, first.what)).unwrap_or_default()
}

fn stored(sequence: Sequence) -> (Sequence, Step<'static>) {
    (sequence, Step::Stored(time(sequence)))
}

#[test]
fn every_known_way_is_possible() {
    let published = (4, Step::Published(time(4)));
    for way in [
        &[published, stored(4), (4, Step::Durable), published][..],
        // The answer was lost: it is sent, published and denied again, by a gateway with another clock.
        &[published, stored(4), published, (4, Step::Denied("future")), (4, Step::Refused("future"))],
        &[(4, Step::Denied("future")), stored(4), (4, Step::Durable)],
        &[(4, Step::Denied("dead_letter")), (4, Step::Refused("dead_letter"))],
        &[stored(4), (4, Step::Durable), (4, Step::Found), (4, Step::Durable)],
        &[stored(4), (4, Step::Shed)],
        &[(10, Step::Found), (11, Step::Recorded(time(11))), (10, Step::Published(time(99)))],
    ] {
        assert_eq!(said(way), "", "{way:?}");
    }
}

#[test]
fn the_first_impossible_step_is_named() {
    let check = |steps: &[(Sequence, Step<'_>)], expected: &str| assert_eq!(said(steps), expected);
    check(&[(4, Step::Recorded(time(4)))], "4: was recorded a second time");
    check(&[(11, Step::Recorded(time(11)))], "11: was recorded before the one in front");
    check(&[(11, Step::Found)], "11: was recorded before the one in front");
    check(&[(10, Step::Published(time(10)))], "10: was published and never recorded");
    check(&[stored(10)], "10: was stored and never recorded");
    check(&[stored(9), (9, Step::Durable), (10, Step::Durable)], "10: was durable and never recorded");
    check(&[(4, Step::Durable)], "4: was durable and not stored");
    check(&[stored(4), stored(4)], "4: was stored a second time");
    check(&[stored(4), (4, Step::Durable), (4, Step::Durable)], "4: was durable when it was settled already");
    check(&[(4, Step::Refused("future"))], "4: was refused as future, and no gateway has said so");
    check(
        &[(4, Step::Denied("too_old")), (4, Step::Refused("future"))],
        "4: was refused as future, and no gateway has said so",
    );
    check(
        &[(4, Step::Denied("dead_letter")), stored(4)],
        "4: was stored, although it had been refused as dead_letter",
    );
    check(
        &[stored(4), (4, Step::Denied("out_of_range"))],
        "4: was refused as out_of_range, although it had been stored",
    );
    let of_another = [(4, Step::Stored(time(5)))];
    check(&of_another, "4: of 2026-03-02T07:00:04Z was stored as one of 2026-03-02T07:00:05Z");
}

#[test]
fn an_epoch_that_was_given_up_takes_no_more() {
    let mut model = recorded();
    let newer = Epoch::from_bits(8);
    model.take(Duration::from_secs(4), 0, newer, 0..=0, Step::Recorded(time(20)));
    take(&mut model, 4, Step::Stored(time(4)));
    assert_eq!(model.first(), None);
    take(&mut model, 10, Step::Recorded(time(10)));
    let first = model.first().map(ToString::to_string).unwrap_or_default();
    assert!(
        first.starts_with("at 3.000 s fix ") && first.contains("/10 of vehicle/0 was recorded in an epoch")
    );
}

#[test]
fn a_fix_of_nobody_is_impossible_and_only_the_first_counts() {
    let mut model = recorded();
    model.take(Duration::ZERO, 1, EPOCH, 0..=3, Step::Stored(time(0)));
    let checks = model.checks();
    take(&mut model, 4, Step::Durable);
    assert_eq!(model.first().map(|first| first.what.as_str()), Some("belongs to nobody"));
    assert_eq!(model.checks(), checks);
}

/// What the model says at the end, where fixes 0 to 4 were stored and 0 to 3 are durable.
fn said_at_the_end(held: RangeInclusive<Sequence>, rows: RangeInclusive<Sequence>) -> String {
    let mut model = recorded();
    (0..=4).for_each(|sequence| take(&mut model, sequence, Step::Stored(time(sequence))));
    (0..=3).for_each(|sequence| take(&mut model, sequence, Step::Durable));
    let only = |range: RangeInclusive<Sequence>| Identities::from([((0, EPOCH), range.collect())]);
    model.end(Duration::from_secs(9), &only(held), &only(rows));
    model.first().map(|first| format!("{}: {}", first.sequence, first.what)).unwrap_or_default()
}

#[test]
fn the_end_is_held_against_spools_and_rows() {
    assert_eq!(said_at_the_end(4..=9, 0..=4), "");
    // What is settled may still be on a disk.
    assert_eq!(said_at_the_end(0..=9, 0..=4), "");
    assert_eq!(said_at_the_end(5..=9, 0..=4), "4: is owed by its vehicle, whose spool does not hold it");
    assert_eq!(said_at_the_end(4..=9, 1..=4), "0: was stored, and no row has it");
    assert_eq!(said_at_the_end(4..=9, 0..=5), "5: has a row that no commit brought");
}
