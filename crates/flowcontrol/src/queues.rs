//! Fair queuing inside one priority level.
//!
//! Queues take turns as if each got the same number of seats. A virtual clock `now_r` runs at the
//! rate at which every busy queue would be served; each queue remembers where on that clock its
//! next request would start, so a queue that used much goes later. Requests are guessed to take
//! [`GUESS`] seconds, and the queue is charged the difference when they end.
//!
//! Pure: no time, no tasks, no locks of its own. [`crate::level`] brings those.

use crate::config::QueuingSpec;
use crate::hand;
use crate::work::Work;
use std::collections::VecDeque;

/// How long a request is taken to run, in seconds, until it is known.
const GUESS: f64 = 0.003;

/// A request that waits; `T` is how it is told.
#[derive(Debug)]
pub struct Waiting<T> {
    pub id: u64,
    pub work: Work,
    arrived_r: f64,
    pub ticket: T,
}

#[derive(Debug)]
pub struct Queue<T> {
    pub waiting: VecDeque<Waiting<T>>,
    pub executing: u32,
    pub seats_in_use: u32,
    pub next_r: f64,
    /// Of those that wait.
    pub work_sum: f64,
    pub seats_sum: u32,
    pub widest_sum: u32,
}

impl<T> Queue<T> {
    fn new() -> Self {
        Queue {
            waiting: VecDeque::new(),
            executing: 0,
            seats_in_use: 0,
            next_r: 0.0,
            work_sum: 0.0,
            seats_sum: 0,
            widest_sum: 0,
        }
    }

    fn is_busy(&self) -> bool {
        self.executing > 0 || !self.waiting.is_empty()
    }

    fn count(&mut self, work: &Work, sign: f64) {
        self.work_sum += sign * total(work);
        let add = |sum: &mut u32, seats: u32| {
            *sum = if sign > 0.0 { *sum + seats } else { sum.saturating_sub(seats) };
        };
        add(&mut self.seats_sum, work.seats);
        add(&mut self.widest_sum, work.widest());
    }
}

/// Seat-seconds that a request is expected to take.
fn total(work: &Work) -> f64 {
    f64::from(work.seats) * GUESS + f64::from(work.final_seats) * work.linger.as_secs_f64()
}

/// What became of a request that arrived.
#[derive(Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It may start, charged to this queue.
    Start(usize),
    /// It waits in this queue.
    Wait(usize),
    QueueFull,
    NoSeats,
}

pub struct Queues<T> {
    spec: Option<QueuingSpec>,
    /// None: exempt.
    pub limit: Option<u32>,
    pub all: Vec<Queue<T>>,
    pub seats_in_use: u32,
    pub executing: u32,
    pub waiting: u32,
    waiting_seats: u32,
    busy: u32,
    now_r: f64,
    /// Where the search for the next request begins.
    turn: usize,
    next_id: u64,
}

impl<T> Queues<T> {
    pub fn new(spec: Option<QueuingSpec>, limit: Option<u32>) -> Self {
        let mut queues = Queues {
            spec: None,
            limit,
            all: Vec::new(),
            seats_in_use: 0,
            executing: 0,
            waiting: 0,
            waiting_seats: 0,
            busy: 0,
            now_r: 0.0,
            turn: 0,
            next_id: 0,
        };
        queues.configure(spec);
        queues
    }

    /// Takes on other numbers; queues that are too many are dealt no more and run dry.
    pub fn configure(&mut self, spec: Option<QueuingSpec>) {
        self.spec = spec;
        let wanted = spec.map_or(1, |spec| spec.queues as usize);
        while self.all.len() < wanted {
            self.all.push(Queue::new());
        }
    }

    /// Seats that requests hold or wait for.
    pub fn demand(&self) -> u32 {
        self.seats_in_use + self.waiting_seats
    }

    pub fn is_idle(&self) -> bool {
        self.executing == 0 && self.waiting == 0 && self.seats_in_use == 0
    }

    /// Moves the virtual clock on by real seconds.
    pub fn advance(&mut self, seconds: f64) {
        if self.busy > 0 {
            let wanted = self.demand().min(self.limit.unwrap_or(u32::MAX));
            self.now_r += seconds * f64::from(wanted) / f64::from(self.busy);
        }
    }

    /// Whether a request fits; one that is wider than the whole level runs alone.
    fn fits(&self, seats: u32) -> bool {
        match self.limit {
            None => true,
            Some(limit) if seats > limit => self.seats_in_use == 0,
            Some(limit) => self.seats_in_use + seats <= limit,
        }
    }

    /// A request of the flow with this hash. `ticket` is made only for one that waits.
    pub fn arrive(&mut self, flow: u64, work: Work, ticket: impl FnOnce() -> T) -> Arrival {
        let Some(spec) = self.spec else {
            if !self.fits(work.widest()) {
                return Arrival::NoSeats;
            }
            self.begin_if_idle(0);
            self.start(0, &work);
            return Arrival::Start(0);
        };
        let at = self.choose(flow, spec);
        let is_crowded = self.limit.is_some_and(|limit| self.seats_in_use >= limit);
        if is_crowded && self.all[at].waiting.len() >= spec.longest as usize {
            return Arrival::QueueFull;
        }
        self.begin_if_idle(at);
        if self.waiting == 0 && self.fits(work.widest()) {
            self.start(at, &work);
            return Arrival::Start(at);
        }
        self.next_id += 1;
        let waiting = Waiting { id: self.next_id, work, arrived_r: self.now_r, ticket: ticket() };
        self.all[at].count(&work, 1.0);
        self.all[at].waiting.push_back(waiting);
        self.waiting += 1;
        self.waiting_seats += work.widest();
        Arrival::Wait(at)
    }

    /// The identity of the request that came to wait last.
    pub fn last_id(&self) -> u64 {
        self.next_id
    }

    /// Of the queues that the flow was dealt, the one with the least work waiting.
    fn choose(&self, flow: u64, spec: QueuingSpec) -> usize {
        let mut best: Option<(f64, usize)> = None;
        hand::deal(flow, spec.queues, spec.hand, |at| {
            let work = self.all[at].work_sum;
            if best.is_none_or(|(least, _)| work < least) {
                best = Some((work, at));
            }
        });
        best.map_or(0, |(_, at)| at)
    }

    fn begin_if_idle(&mut self, at: usize) {
        if !self.all[at].is_busy() {
            self.all[at].next_r = self.now_r;
            self.busy += 1;
        }
    }

    fn start(&mut self, at: usize, work: &Work) {
        let queue = &mut self.all[at];
        queue.executing += 1;
        queue.seats_in_use += work.widest();
        queue.next_r += total(work);
        self.executing += 1;
        self.seats_in_use += work.widest();
    }

    /// The next request that may start, if there is one: of the queue that would be done with its
    /// first request earliest. Nobody overtakes it when it does not fit yet.
    pub fn next(&mut self) -> Option<(usize, Waiting<T>)> {
        if self.waiting == 0 {
            return None;
        }
        let count = self.all.len();
        let mut best: Option<(f64, usize)> = None;
        for step in 1..=count {
            let at = (self.turn + step) % count;
            let Some(first) = self.all[at].waiting.front() else { continue };
            let done = self.all[at].next_r.max(first.arrived_r) + total(&first.work);
            if best.is_none_or(|(earliest, _)| done < earliest) {
                best = Some((done, at));
            }
        }
        let (_, at) = best?;
        let first = self.all[at].waiting.front()?;
        if !self.fits(first.work.widest()) {
            return None;
        }
        self.turn = at;
        let next = self.all[at].waiting.pop_front()?;
        self.unwait(at, &next.work);
        self.all[at].next_r = self.all[at].next_r.max(next.arrived_r);
        self.start(at, &next.work);
        Some((at, next))
    }

    fn unwait(&mut self, at: usize, work: &Work) {
        self.all[at].count(work, -1.0);
        self.waiting -= 1;
        self.waiting_seats -= work.widest();
    }

    /// Takes a request out that gave up waiting. False: it is not there, it was started.
    pub fn give_up(&mut self, at: usize, id: u64) -> bool {
        let Some(place) = self.all[at].waiting.iter().position(|waiting| waiting.id == id) else { return false };
        let Some(gone) = self.all[at].waiting.remove(place) else { return false };
        self.unwait(at, &gone.work);
        self.settle(at);
        true
    }

    /// A request ended after so many seconds; seats that it keeps for a moment stay taken until
    /// [`Queues::release`].
    pub fn finish(&mut self, at: usize, work: &Work, seconds: f64) {
        let queue = &mut self.all[at];
        queue.next_r += f64::from(work.seats) * (seconds - GUESS);
        self.executing -= 1;
        queue.executing -= 1;
        self.release(at, work.widest() - work.final_seats);
        self.settle(at);
    }

    pub fn release(&mut self, at: usize, seats: u32) {
        self.all[at].seats_in_use = self.all[at].seats_in_use.saturating_sub(seats);
        self.seats_in_use = self.seats_in_use.saturating_sub(seats);
    }

    fn settle(&mut self, at: usize) {
        if !self.all[at].is_busy() {
            self.busy = self.busy.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queues(limit: u32, longest: u32) -> Queues<&'static str> {
        Queues::new(Some(QueuingSpec { queues: 8, hand: 1, longest }), Some(limit))
    }

    /// Two flows that were dealt different queues.
    const ELEPHANT: u64 = 1;
    const MOUSE: u64 = 2;

    #[test]
    fn a_mouse_need_not_wait_for_an_elephants_crowd() {
        let mut queues = queues(2, 50);
        for _ in 0..2 {
            assert!(matches!(queues.arrive(ELEPHANT, Work::ONE, || "elephant"), Arrival::Start(_)));
        }
        for _ in 0..20 {
            assert!(matches!(queues.arrive(ELEPHANT, Work::ONE, || "elephant"), Arrival::Wait(_)));
        }
        assert!(matches!(queues.arrive(MOUSE, Work::ONE, || "mouse"), Arrival::Wait(_)));
        queues.advance(0.1);
        queues.finish(1, &Work::ONE, 0.1);
        assert_eq!(queues.next().unwrap().1.ticket, "mouse");
    }

    #[test]
    fn two_flows_that_always_want_more_get_the_same() {
        let mut queues = queues(4, 200);
        let mut counts = [0u32, 0];
        for _ in 0..100 {
            queues.arrive(ELEPHANT, Work::ONE, || "elephant");
        }
        for _ in 0..100 {
            queues.arrive(MOUSE, Work::ONE, || "mouse");
        }
        let mut running: VecDeque<usize> = std::iter::repeat_n(1, 4).collect();
        for _ in 0..100 {
            let at = running.pop_front().unwrap();
            queues.advance(0.01);
            queues.finish(at, &Work::ONE, 0.04);
            while let Some((at, next)) = queues.next() {
                counts[usize::from(next.ticket == "mouse")] += 1;
                running.push_back(at);
            }
        }
        assert!(counts[0].abs_diff(counts[1]) <= 6, "{counts:?}");
    }

    #[test]
    fn full_queues_refuse_and_those_who_leave_make_room() {
        let mut queues = queues(1, 2);
        assert_eq!(queues.arrive(3, Work::ONE, || ""), Arrival::Start(3));
        assert_eq!(queues.arrive(3, Work::ONE, || ""), Arrival::Wait(3));
        let id = queues.last_id();
        assert_eq!(queues.arrive(3, Work::ONE, || ""), Arrival::Wait(3));
        assert_eq!(queues.arrive(3, Work::ONE, || ""), Arrival::QueueFull);
        assert!(queues.give_up(3, id));
        assert!(!queues.give_up(3, id));
        assert_eq!(queues.arrive(3, Work::ONE, || ""), Arrival::Wait(3));
        assert_eq!((queues.waiting, queues.demand()), (2, 3));
    }

    #[test]
    fn wide_requests_wait_for_all_their_seats_and_are_not_overtaken() {
        let mut queues = queues(4, 50);
        let wide = Work { seats: 3, ..Work::ONE };
        assert_eq!(queues.arrive(1, Work::ONE, || ""), Arrival::Start(1));
        assert_eq!(queues.arrive(1, Work::ONE, || ""), Arrival::Start(1));
        assert_eq!(queues.arrive(2, wide, || "wide"), Arrival::Wait(2));
        assert!(matches!(queues.arrive(1, Work::ONE, || ""), Arrival::Wait(1)));
        queues.finish(1, &Work::ONE, 1.0);
        assert_eq!(queues.next().unwrap().1.ticket, "wide");
        assert!(queues.next().is_none());
        // Wider than the level: alone.
        let mut narrow = Queues::<&str>::new(Some(QueuingSpec { queues: 1, hand: 1, longest: 5 }), Some(2));
        assert_eq!(narrow.arrive(0, wide, || ""), Arrival::Start(0));
    }

    #[test]
    fn seats_stay_taken_for_a_moment_after_a_much_watched_write() {
        let mut queues = queues(2, 5);
        let work = Work::write(20);
        assert_eq!(queues.arrive(1, work, || ""), Arrival::Start(1));
        queues.finish(1, &work, 0.001);
        assert_eq!((queues.seats_in_use, queues.executing, queues.is_idle()), (2, 0, false));
        queues.release(1, 2);
        assert!(queues.is_idle());
    }

    #[test]
    fn levels_without_queues_refuse_at_once() {
        let mut queues = Queues::<()>::new(None, Some(1));
        assert_eq!(queues.arrive(9, Work::ONE, || ()), Arrival::Start(0));
        assert_eq!(queues.arrive(9, Work::ONE, || ()), Arrival::NoSeats);
    }
}
