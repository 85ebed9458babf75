use std::time::{Duration, SystemTime};

use convene_lifecycle::NewClusterToken;

/// The unit of the time in a token.
const TICK: Duration = Duration::from_millis(16);

/// Draws a token of 32 hexadecimal digits, like those of discovery.etcd.io: 3 digits of time and 116 random bits from the operating
/// system.
///
/// The time leads, so that clusters that are created and committed together lie together in the database's index of tokens. A commit of
/// random tokens would write one page of the index for each. The time wraps around every 65.5 s: it takes that little of the token, so
/// that the characters that logs show still differ between clusters that were created at the same time.
pub fn draw_token() -> NewClusterToken {
    let mut random = [0; 16];
    getrandom::fill(&mut random).expect("the operating system has random numbers");
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    token(now, u128::from_ne_bytes(random)).parse().expect("hexadecimal digits make a token")
}

fn token(now: Duration, random: u128) -> String {
    format!("{:03x}{:029x}", now.as_millis() / TICK.as_millis() % (1 << 12), random >> 12)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_leads_and_wraps_around() {
        let random = 0xfedc_ba98_7654_3210_0123_4567_89ab_cdef;
        for (milliseconds, time) in [(15, "000"), (16, "001"), (65_535, "fff"), (65_536, "000")] {
            let expected = format!("{time}fedcba98765432100123456789abc");
            assert_eq!(token(Duration::from_millis(milliseconds), random), expected);
        }
    }

    #[test]
    fn drawn_tokens_have_32_digits_and_differ() {
        let (one, other) = (draw_token(), draw_token());
        assert!(one.as_str().len() == 32 && one.as_str().bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_ne!(one.as_str()[3..], other.as_str()[3..]);
    }
}
