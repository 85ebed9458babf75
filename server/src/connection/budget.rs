use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tokio::time::sleep;

/// How many bytes are held in memory for clients: requests that are being answered, and answers that their clients have not
/// read.
#[derive(Debug)]
pub struct Budget {
    most: usize,
    used: AtomicUsize,
    /// Counts up, to spread over time what many answers do.
    turn: AtomicU32,
}

/// Over how many moments.
const TURNS: u32 = 64;

/// Answers up to this size are sent even if nothing is left, so that a client that holds nothing is served while others
/// hold everything. Their number is limited by that of connections and of streams.
const ALWAYS: usize = 4 << 10;

/// What a client may hold while memory is scarce, and still ask for more.
const FAIR: usize = 1 << 20;

impl Budget {
    /// A budget of which nothing is used.
    pub fn new(most: usize) -> Self {
        Self { most, used: AtomicUsize::new(0), turn: AtomicU32::new(0) }
    }

    /// Whether so much is used that whoever stalls has to go soon.
    fn is_scarce(&self) -> bool {
        self.used.load(Relaxed) > self.reserved_from()
    }

    /// Beyond this, only clients that hold little get more. So a few clients can't hold everything.
    fn reserved_from(&self) -> usize {
        self.most / 4 * 3
    }

    /// Takes from the budget, of which so much may be used afterwards. If nothing is used, one item may be larger than that.
    fn take(&self, bytes: usize, most: usize, lone_may_exceed: bool) -> bool {
        let take = |used: usize| {
            let fits = bytes <= ALWAYS || used.saturating_add(bytes) <= most || (lone_may_exceed && used == 0);
            fits.then(|| used.saturating_add(bytes))
        };
        self.used.fetch_update(Relaxed, Relaxed, take).is_ok()
    }

    fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Relaxed);
    }
}

/// The budgets that a connection draws on, and its progress in writing.
#[derive(Debug)]
pub struct Account {
    all: Arc<Budget>,
    /// `None` for a trusted proxy, which brings requests of many addresses.
    address: Option<Arc<Budget>>,
    /// `None` for a trusted proxy.
    connection: Option<Budget>,
    /// Of all answers on the connection.
    pub progress: Progress,
}

/// Bytes that count until this is dropped.
#[derive(Debug)]
pub struct Charge {
    account: Arc<Account>,
    bytes: usize,
}

/// The bytes would exceed a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMuchQueued;

impl Account {
    /// An account of a connection that holds nothing.
    pub fn new(all: Arc<Budget>, address: Option<Arc<Budget>>, connection: Option<Budget>) -> Self {
        Self { all, address, connection, progress: Progress::default() }
    }

    /// Takes from all budgets, or from none.
    pub fn charge(self: &Arc<Self>, bytes: usize) -> Result<Charge, TooMuchQueued> {
        let is_large = self.address.as_deref().is_some_and(|budget| budget.used.load(Relaxed) > FAIR);
        let most_of_all = if is_large { self.all.reserved_from() } else { self.all.most };
        let own = |budget: &'_ Budget| (budget.most, true);
        let budgets = [
            self.connection.as_ref().map(|budget| (budget, own(budget))),
            self.address.as_deref().map(|budget| (budget, own(budget))),
            Some((&*self.all, (most_of_all, false))),
        ];
        for (at, budget) in budgets.iter().enumerate() {
            if let Some((budget, (most, lone_may_exceed))) = budget
                && !budget.take(bytes, *most, *lone_may_exceed)
            {
                budgets[..at].iter().flatten().for_each(|(taken, _)| taken.give_back(bytes));
                return Err(TooMuchQueued);
            }
        }
        Ok(Charge { account: self.clone(), bytes })
    }

    /// Whether so little is left of the client's own budgets that it has to read before it asks again. Then nothing is done for
    /// it: to make an answer and to throw it away costs time, which others need.
    pub fn must_read_first(&self) -> bool {
        let mut own = self.connection.iter().chain(self.address.as_deref());
        let is_spent =
            |budget: &Budget| budget.is_scarce() || (self.all.is_scarce() && budget.used.load(Relaxed) > FAIR);
        own.any(is_spent)
    }

    /// Returns once an answer with this progress has made none for too long. Of the others it may take the more the more memory
    /// there is.
    pub async fn stalls(&self, progress: &Progress, limit: Duration) {
        loop {
            let scarce_limit = limit.min(SCARCE_LIMIT);
            let allowed = if self.all.is_scarce() { scarce_limit } else { limit };
            let pause = match progress.stalled_for() {
                Some(stalled) if stalled >= allowed => return,
                Some(_) => scarce_limit / 2,
                None => limit / 3,
            };
            // Thousands of answers that began together must not all look at the same time: everybody else would wait for them.
            let turn = self.all.turn.fetch_add(1, Relaxed) % TURNS;
            sleep(pause / 2 + pause / 2 * turn / TURNS).await;
        }
    }
}

/// How long an answer may stall while memory is scarce.
const SCARCE_LIMIT: Duration = Duration::from_secs(2);

impl Charge {
    /// More bytes of the same request or answer.
    pub fn grow(&mut self, bytes: usize) -> Result<(), TooMuchQueued> {
        let mut more = self.account.charge(bytes)?;
        self.bytes += std::mem::take(&mut more.bytes);
        Ok(())
    }

    /// How many bytes it is.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        let Account { all, address, connection, .. } = &*self.account;
        all.give_back(self.bytes);
        address.iter().for_each(|budget| budget.give_back(self.bytes));
        connection.iter().for_each(|budget| budget.give_back(self.bytes));
    }
}

/// How many bytes of a piece have to move before that is progress. A client that reads a byte now and then makes none.
const STEP: usize = 4 << 10;

/// Whether pieces of answers wait to be written, and when they last made progress: a piece has ended, or [`STEP`] bytes have moved.
#[derive(Debug)]
pub struct Progress {
    begun: Instant,
    waiting: AtomicUsize,
    /// Bytes since then.
    bytes: AtomicUsize,
    /// Milliseconds after `begun`.
    moved: AtomicU64,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            begun: Instant::now(),
            waiting: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            moved: AtomicU64::new(0),
        }
    }
}

impl Progress {
    /// One more piece waits.
    pub fn wait(&self) {
        if self.waiting.fetch_add(1, Relaxed) == 0 {
            self.moved_now();
        }
    }

    /// A piece waits no more.
    pub fn done(&self) {
        self.waiting.fetch_sub(1, Relaxed);
        self.moved_now();
    }

    /// Bytes of a piece were written.
    pub fn advance(&self, bytes: usize) {
        if self.bytes.fetch_add(bytes, Relaxed).saturating_add(bytes) >= STEP {
            self.moved_now();
        }
    }

    fn moved_now(&self) {
        self.bytes.store(0, Relaxed);
        self.moved.store(self.begun.elapsed().as_millis() as u64, Relaxed);
    }

    /// How long nothing has moved; `None` if nothing waits.
    fn stalled_for(&self) -> Option<Duration> {
        let moved = Duration::from_millis(self.moved.load(Relaxed));
        (self.waiting.load(Relaxed) > 0).then(|| self.begun.elapsed().saturating_sub(moved))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: usize = 1 << 10;

    fn account(all: &Arc<Budget>, address: &Arc<Budget>) -> Arc<Account> {
        Arc::new(Account::new(all.clone(), Some(address.clone()), Some(Budget::new(100 * KIB))))
    }

    #[test]
    fn a_connection_an_address_and_all_have_their_limits_and_get_back_what_ends() {
        let (all, address) = (Arc::new(Budget::new(300 * KIB)), Arc::new(Budget::new(200 * KIB)));
        let (one, two) = (account(&all, &address), account(&all, &address));
        let first = one.charge(60 * KIB).unwrap();
        assert_eq!(one.charge(60 * KIB).unwrap_err(), TooMuchQueued, "the connection's");
        let _second = two.charge(90 * KIB).unwrap();
        let third = account(&all, &address);
        assert_eq!(third.charge(60 * KIB).unwrap_err(), TooMuchQueued, "the address's");
        let _small = third.charge(ALWAYS).unwrap();
        drop(first);
        let _third = third.charge(60 * KIB).unwrap();
        let stranger = account(&all, &Arc::new(Budget::new(200 * KIB)));
        let mut fourth = stranger.charge(90 * KIB).unwrap();
        assert_eq!(
            account(&all, &Arc::new(Budget::new(200 * KIB))).charge(90 * KIB).unwrap_err(),
            TooMuchQueued,
            "all"
        );
        assert!(all.is_scarce());
        assert!(two.must_read_first() && !Arc::new(Account::new(all.clone(), None, None)).must_read_first());
        assert!(!account(&all, &Arc::new(Budget::new(200 * KIB))).must_read_first(), "who holds nothing may ask");
        fourth.grow(5 * KIB).unwrap();
        assert_eq!(fourth.bytes(), 95 * KIB);
        drop(fourth);
        assert_eq!(all.used.load(Relaxed), (90 + 60 + 4) * KIB);
    }

    #[test]
    fn the_last_quarter_is_for_addresses_that_hold_little() {
        let (all, address) = (Arc::new(Budget::new(8 * FAIR)), Arc::new(Budget::new(8 * FAIR)));
        let large = Arc::new(Account::new(all.clone(), Some(address), None));
        let held: Vec<_> = std::iter::from_fn(|| large.charge(100 * KIB).ok()).collect();
        assert!(all.used.load(Relaxed) <= 6 * FAIR && held.len() >= 60, "{}", held.len());
        assert!(account(&all, &Arc::new(Budget::new(2 * FAIR))).charge(90 * KIB).is_ok());
    }

    #[test]
    fn an_answer_larger_than_the_budget_of_its_connection_may_be_the_only_one() {
        let (all, address) = (Arc::new(Budget::new(300 * KIB)), Arc::new(Budget::new(100 * KIB)));
        let account = account(&all, &address);
        let large = account.charge(250 * KIB).unwrap();
        assert!(account.charge(5 * KIB).is_err());
        drop(large);
        assert!(account.charge(301 * KIB).is_err(), "it exceeds what all may have");
        assert_eq!((all.used.load(Relaxed), address.used.load(Relaxed)), (0, 0));
    }

    #[tokio::test]
    async fn what_waits_without_progress_stalls() {
        let all = Arc::new(Budget::new(300 * KIB));
        let account = Account::new(all, None, None);
        let minute = Duration::from_secs(60);
        let progress = Progress { begun: Instant::now().checked_sub(minute).unwrap(), ..Progress::default() };
        assert_eq!(progress.stalled_for(), None);
        progress.wait();
        assert!(progress.stalled_for().is_some_and(|stalled| stalled < minute));
        account.stalls(&progress, Duration::ZERO).await;
        // Nothing has moved for a minute.
        progress.moved.store(0, Relaxed);
        progress.advance(STEP - 1);
        assert!(progress.stalled_for() >= Some(minute), "a few bytes are no progress");
        progress.advance(1);
        assert!(progress.stalled_for() < Some(minute));
        progress.done();
        assert_eq!(progress.stalled_for(), None);
    }
}
