//! Styles and lapses.

use super::*;
use crate::rng::{Purpose, stream};

#[test]
fn shares_are_kept_by_their_ratio_and_nonsense_is_refused() {
    let shares = DriverShares::new(7.0, 2.0, 1.0).expect("shares");
    assert_eq!(shares, DriverShares::new(0.7, 0.2, 0.1).expect("shares"));
    let nonsense = [(0.0, 0.0, 0.0), (-1.0, 1.0, 1.0), (f64::NAN, 1.0, 0.0), (1.0, 0.0, f64::INFINITY)];
    for (calm, hurried, tired) in nonsense {
        let error = DriverShares::new(calm, hurried, tired).expect_err("no shares").to_string();
        assert!(error.contains("give each 0 or more"), "{error}");
    }
}

#[test]
fn drivers_are_drawn_in_the_shares_asked_for() {
    let shares = DriverShares::new(0.5, 0.3, 0.2).expect("shares");
    let mut count = [0; 3];
    for car in 0..10_000 {
        count[Manner::draw(car, shares, &mut stream(5, car, Purpose::Manner)).style as usize] += 1;
    }
    assert!((4_850..5_150).contains(&count[0]) && (2_850..3_150).contains(&count[1]), "{count:?}");
}

#[test]
fn only_hurried_drivers_mean_to_speed() {
    for style in [DriverStyle::Calm, DriverStyle::Hurried, DriverStyle::Tired] {
        assert_eq!(Character::of(style).of_limit.1 > 1.0, style == DriverStyle::Hurried);
    }
}

#[test]
fn a_tired_driver_looks_less_often_and_not_at_all_in_a_lapse() {
    let looks = |shares| {
        let mut manner = Manner::draw(1, shares, &mut stream(5, 1, Purpose::Manner));
        (0..10_000).map(|tick| manner.looks(Tick(tick))).collect::<Vec<_>>()
    };
    let longest = |looks: &[bool]| looks.split(|&looks| looks).map(<[bool]>::len).max().unwrap_or_default();
    let count = |looks: &[bool]| looks.iter().filter(|&&looks| looks).count();
    let calm = looks(DriverShares::CALM);
    let tired = looks(DriverShares::new(0.0, 0.0, 1.0).expect("shares"));
    assert!(longest(&calm) < 5 && longest(&tired) >= 14, "{} {}", longest(&calm), longest(&tired));
    assert!(count(&calm) > 2 * count(&tired));
}
