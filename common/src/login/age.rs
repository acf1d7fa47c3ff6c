//! The age of a password and of an account, by shadow(5).

use crate::account::Shadow;
use crate::protocol::{LoginAnswer, Verdict};

/// What the days of an entry mean today (days since 1970-01-01).
pub fn judge(shadow: &Shadow, today: i64) -> LoginAnswer {
    let answer = |verdict: Verdict, message: String| LoginAnswer {
        messages: vec![message],
        ..verdict.into()
    };
    if shadow.expire.is_some_and(|last_day| today >= last_day) {
        return answer(Verdict::AccountExpired, "Your account has expired.".into());
    }
    if shadow.last_change == Some(0) {
        return answer(Verdict::MustChange, "You have to change your password now.".into());
    }
    let (Some(changed), Some(max)) = (shadow.last_change, shadow.max) else {
        return Verdict::Accepted.into();
    };
    // The last day on which the password is good.
    let last_day = changed.saturating_add(max);
    let days_left = last_day.saturating_sub(today);
    if days_left < 0 {
        if shadow.inactive.is_some_and(|inactive| today > last_day.saturating_add(inactive)) {
            return answer(
                Verdict::PasswordExpired,
                "Your password expired too long ago. An administrator has to set a new one.".into(),
            );
        }
        return answer(
            Verdict::MustChange,
            "Your password has expired. You have to change it now.".into(),
        );
    }
    if shadow.warn.is_some_and(|warn| days_left <= warn) {
        let days = match days_left {
            0 => "today".into(),
            1 => "tomorrow".into(),
            days => format!("in {days} days"),
        };
        return answer(Verdict::Accepted, format!("Your password expires {days}."));
    }
    Verdict::Accepted.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::Name;

    const TODAY: i64 = 20_000;

    fn shadow() -> Shadow {
        Shadow {
            name: Name::parse("alice").unwrap(),
            last_change: Some(TODAY - 10),
            min: None,
            max: Some(90),
            warn: Some(7),
            inactive: Some(30),
            expire: None,
            flag: None,
        }
    }

    fn verdict(shadow: &Shadow) -> Verdict {
        judge(shadow, TODAY).verdict
    }

    #[test]
    fn a_young_password_says_nothing() {
        assert_eq!(judge(&shadow(), TODAY), Verdict::Accepted.into());
    }

    #[test]
    fn an_account_ends_with_its_last_day() {
        let expiring = |day| verdict(&Shadow { expire: Some(day), ..shadow() });
        assert_eq!(expiring(TODAY + 1), Verdict::Accepted);
        assert_eq!(expiring(TODAY), Verdict::AccountExpired);
        assert_eq!(expiring(0), Verdict::AccountExpired);
    }

    #[test]
    fn a_password_is_warned_about_then_must_change_then_is_dead() {
        let changed = |ago| Shadow { last_change: Some(TODAY - ago), ..shadow() };
        assert_eq!(judge(&changed(83), TODAY).messages, ["Your password expires in 7 days."]);
        assert_eq!(judge(&changed(90), TODAY).messages, ["Your password expires today."]);
        assert_eq!(verdict(&changed(91)), Verdict::MustChange);
        assert_eq!(verdict(&changed(120)), Verdict::MustChange);
        assert_eq!(verdict(&changed(121)), Verdict::PasswordExpired);
    }

    #[test]
    fn day_0_demands_a_change() {
        assert_eq!(verdict(&Shadow { last_change: Some(0), ..shadow() }), Verdict::MustChange);
    }

    #[test]
    fn extreme_numbers_do_not_overflow() {
        let extreme = Shadow {
            last_change: Some(i64::MAX),
            max: Some(i64::MAX),
            inactive: Some(i64::MAX),
            ..shadow()
        };
        assert_eq!(verdict(&extreme), Verdict::Accepted);
    }
}
