//! The chatbot's part of conversation rows, and the answers that are kept beside them.

use shared::store::{
    Answered, ConversationMark, Digests, Erasure, HEARD_MAX, Heard, JobId, NewJob, Owner, Put,
    RowKey, Store, TurnTaken,
};

use super::{days, lane, new_job, seconds, swept};

const CONTACT: &str = "c1";
const LEASE_MS: i64 = 45_000;

fn heard(second: i64, event: &str) -> Heard {
    Heard {
        at: testkit::start() + seconds(second),
        event: event.to_owned(),
    }
}

fn digests() -> Digests {
    Digests::new().phone("+5511987654321")
}

fn turn(upto: Heard, job: &str) -> TurnTaken {
    TurnTaken {
        answered: Answered {
            upto,
            job: JobId::of_key(job),
            how: "answered by balcao".to_owned(),
        },
        turns: Some(1),
        hands_over: false,
    }
}

async fn hear(store: &Store, heard: &Heard) {
    store.hear(CONTACT, heard, &digests()).await.unwrap();
}

#[tokio::test]
async fn what_was_heard_waits_in_order_until_it_is_covered() {
    let (store, _) = testkit::store().await;
    assert_eq!(store.talk(CONTACT).await.unwrap(), None);
    let (first, second, third) = (heard(1, "b"), heard(1, "c"), heard(5, "a"));
    for one in [&third, &first, &second, &first] {
        hear(&store, one).await;
    }
    let talk = store.talk(CONTACT).await.unwrap().unwrap();
    assert_eq!(talk.heard, [first.clone(), second.clone(), third.clone()]);
    assert_eq!(
        (talk.answered, talk.turns, talk.handed_over_at),
        (None, None, None)
    );

    let owner = Owner::new().unwrap();
    let taken = store
        .take_talk(CONTACT, &owner, LEASE_MS, &digests())
        .await
        .unwrap();
    assert_eq!(taken.unwrap().heard.len(), 3);
    assert!(
        store
            .end_turn(CONTACT, &owner, &turn(second.clone(), "j"))
            .await
            .unwrap()
    );
    store
        .forget_heard(CONTACT, &[first.clone(), second.clone()])
        .await
        .unwrap();
    // What an answer covers is not heard again, however late it comes.
    for late in [&first, &second, &heard(0, "z")] {
        hear(&store, late).await;
    }
    hear(&store, &heard(1, "d")).await;
    let talk = store.talk(CONTACT).await.unwrap().unwrap();
    assert_eq!(talk.heard, [heard(1, "d"), third]);
    assert_eq!(talk.answered.unwrap().upto, second);
    assert_eq!(talk.turns, Some((1, store.clock().now())));
    // Nobody is made by forgetting.
    store.forget_heard("nobody", &[first]).await.unwrap();
    assert_eq!(store.talk("nobody").await.unwrap(), None);
}

#[tokio::test]
async fn only_so_much_is_heard() {
    let (store, _) = testkit::store().await;
    let most = i64::try_from(HEARD_MAX).unwrap();
    for n in 0..most + 3 {
        hear(&store, &heard(n, "e")).await;
        hear(&store, &heard(n, &format!("e{n}"))).await;
    }
    let talk = store.talk(CONTACT).await.unwrap().unwrap();
    assert_eq!(talk.heard.len(), HEARD_MAX);
    assert_eq!(
        talk.heard.last(),
        Some(&heard(most + 2, &format!("e{}", most + 2)))
    );
}

#[tokio::test]
async fn one_at_a_time_has_the_turn() {
    let (store, clock) = testkit::store().await;
    let (one, two) = (Owner::new().unwrap(), Owner::new().unwrap());
    let take = async |owner: &Owner| {
        let taken = store.take_talk(CONTACT, owner, LEASE_MS, &digests()).await;
        taken.unwrap().is_some()
    };
    assert!(take(&one).await);
    assert!(take(&one).await, "our own repetition");
    assert!(!take(&two).await);
    store.leave_talk(CONTACT, &two).await.unwrap();
    assert!(!take(&two).await, "nobody gives back what is another's");
    store.leave_talk(CONTACT, &one).await.unwrap();
    assert!(take(&two).await);
    // A lease lapses; whoever had it may not write any more.
    clock.advance(seconds(46));
    assert!(take(&one).await);
    assert!(
        !store
            .end_turn(CONTACT, &two, &turn(heard(1, "a"), "two"))
            .await
            .unwrap()
    );
    assert!(
        store
            .end_turn(CONTACT, &one, &turn(heard(2, "b"), "one"))
            .await
            .unwrap()
    );
    assert!(
        store
            .end_turn(CONTACT, &one, &turn(heard(2, "b"), "one"))
            .await
            .unwrap(),
        "the SDK's repetition"
    );
    assert!(take(&two).await, "a turn that was taken is over");
}

#[tokio::test]
async fn a_turn_stands_beside_what_webhooks_say_and_hands_over() {
    let (store, clock) = testkit::store().await;
    let human = ConversationMark {
        human_at: Some(clock.now()),
        digests: digests(),
        ..ConversationMark::default()
    };
    store.record_conversation(CONTACT, &human).await.unwrap();
    let owner = Owner::new().unwrap();
    store
        .take_talk(CONTACT, &owner, LEASE_MS, &digests())
        .await
        .unwrap();
    let silent = TurnTaken {
        turns: None,
        hands_over: true,
        ..turn(heard(1, "a"), "j")
    };
    store.end_turn(CONTACT, &owner, &silent).await.unwrap();
    let talk = store.talk(CONTACT).await.unwrap().unwrap();
    assert_eq!(talk.conversation.human_at, Some(clock.now()));
    assert_eq!((talk.turns, talk.handed_over_at), (None, Some(clock.now())));
    // What the chatbot knows is no webhook's business.
    let row = store.conversation(CONTACT).await.unwrap().unwrap();
    assert_eq!(row, talk.conversation);
}

#[tokio::test]
async fn the_first_answer_of_a_reply_is_the_one_for_a_day() {
    let (store, clock) = testkit::store().await;
    let (job, other) = (JobId::of_key("j"), JobId::of_key("other"));
    assert_eq!(store.kept_answer(&job).await.unwrap(), None);
    let keep =
        async |job: &JobId, answer: &str| store.keep_answer(job, answer, &digests()).await.unwrap();
    assert_eq!(keep(&job, "first").await, "first");
    assert_eq!(keep(&job, "second").await, "first");
    assert_eq!(keep(&other, "second").await, "second");
    assert_eq!(
        store.kept_answer(&job).await.unwrap(),
        Some(("first".to_owned(), false))
    );
    store.mark_handed_over(&job).await.unwrap();
    assert_eq!(
        store.kept_answer(&job).await.unwrap(),
        Some(("first".to_owned(), true))
    );
    store
        .mark_handed_over(&JobId::of_key("none"))
        .await
        .unwrap();
    assert_eq!(
        store.kept_answer(&JobId::of_key("none")).await.unwrap(),
        None
    );
    clock.advance(days(1) + seconds(2));
    assert_eq!(
        store.kept_answer(&job).await.unwrap(),
        None,
        "although DynamoDB deletes late"
    );
    assert_eq!(keep(&job, "third").await, "third");
    assert_eq!(
        store.kept_answer(&job).await.unwrap(),
        Some(("third".to_owned(), false))
    );
}

#[tokio::test]
async fn a_person_who_is_erased_takes_talk_and_answers_along() {
    let (store, _) = testkit::store().await;
    hear(&store, &heard(1, "a")).await;
    let job = JobId::of_key("j");
    store
        .keep_answer(&job, "said to Maria", &digests())
        .await
        .unwrap();
    let erasure = Erasure {
        digests: digests(),
        entities: Vec::new(),
    };
    while !store.erase_step("request", &erasure).await.unwrap().done {}
    assert_eq!(store.talk(CONTACT).await.unwrap(), None);
    assert_eq!(store.kept_answer(&job).await.unwrap(), None);
}

/// Whoever takes replies waits for their time: the row is on its lane before, and swept after it.
#[tokio::test]
async fn a_reply_is_on_its_own_lane_before_it_is_due() {
    let (store, clock) = testkit::store().await;
    let job = NewJob {
        action: "reply.balcao".to_owned(),
        ..new_job("1", clock.now() + seconds(3))
    };
    assert_eq!(store.put_job(&job).await.unwrap(), Put::New);
    assert_eq!(lane(&store).await, [], "not on the lane of orders");
    let chat = testkit::lane_of(testkit::Engine::shared(), &store, shared::store::LANE_CHAT).await;
    assert_eq!(chat, [RowKey::Job(job.id())]);
    clock.advance(seconds(92));
    assert_eq!(swept(&store, &clock).await, []);
    clock.advance(seconds(1));
    assert_eq!(swept(&store, &clock).await, [RowKey::Job(job.id())]);
}
