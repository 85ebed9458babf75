/// 63 random bits, from a generator that each thread has and that the operating system seeds. They make IDs that differ, and no
/// secrets: a system call for each row would take longer than the rest of its ID.
pub(super) fn random_bits() -> i64 {
    // Two bits of the lower half are the same in each UUID.
    let (upper, lower) = uuid::Uuid::new_v4().as_u64_pair();
    (lower << 2 >> 1 | upper & 1) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_of_the_bits_varies() {
        let drawn: Vec<i64> = (0..100).map(|_| random_bits()).collect();
        let (ones, zeros) = drawn.iter().fold((0, 0), |(ones, zeros), bits| (ones | bits, zeros | !bits));
        assert_eq!((ones, zeros & i64::MAX), (i64::MAX, i64::MAX));
    }
}
