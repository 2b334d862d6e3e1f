/* SPDX-License-Identifier: Apache-2.0 */
/* The world around the core: what happens to tasks in it, by hand-worked cases and by chance. */

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/prng.h"
#include "base/vec.h"
#include "sim/world.h"

enum { TASKS_MAX = 400, BEGIN_S = 1000, NODE_GPUS = 8, CORES_MILLI = 1000000 };

struct outcome {
    int64_t started_s; /* first start since the begin; -1: never */
    int64_t ended_s;
    uint32_t ends;
    enum weir_task_state state;
};

/* A site of one pool and at most two providers with one offer each, and what was seen of it. */
struct site {
    struct weir_gpu_table *gpus;
    struct weir_sim_pool pool;
    struct weir_offer offer[2];
    struct weir_sim_provider provider[2];
    struct weir_sim_world_conf conf;
    struct weir_sim_world *world;
    struct outcome task[TASKS_MAX];
    WEIR_VEC(struct weir_sim_piece) pieces;
    WEIR_VEC(struct weir_sim_rental) rentals;
    int64_t cost_micro;
    int64_t use_micro;
    int64_t energy_micro;
    WEIR_VEC(struct weir_sim_power) powers;
    uint64_t alarms;
};

static int64_t since_begin_s(struct weir_wall at)
{
    return at.us / WEIR_US_PER_S - BEGIN_S;
}

static void on_started(void *user, uint64_t tag, struct weir_wall at, int64_t node, uint32_t gpus)
{
    struct outcome *o = &((struct site *)user)->task[tag];
    (void)node;
    (void)gpus;
    o->started_s = o->started_s < 0 ? since_begin_s(at) : o->started_s;
}

static void on_ended(void *user, uint64_t tag, struct weir_wall at, enum weir_task_state state)
{
    struct outcome *o = &((struct site *)user)->task[tag];
    o->ends++;
    o->ended_s = since_begin_s(at);
    o->state = state;
}

static void on_piece(void *user, const struct weir_sim_piece *piece)
{
    struct site *s = user;
    weir_vec_push(&s->pieces, *piece);
}

static void on_rental(void *user, const struct weir_sim_rental *rental)
{
    struct site *s = user;
    weir_vec_push(&s->rentals, *rental);
}

static void on_alarm(void *user, uint64_t tag)
{
    (void)tag;
    ((struct site *)user)->alarms++;
}

static void on_posted(void *user, const struct weir_posting *posting, size_t n)
{
    struct site *s = user;
    for (size_t i = 0; i < n; i++) {
        s->cost_micro += posting[i].debit == WEIR_ACCOUNT_NODE ? posting[i].amount_micro : 0;
        s->energy_micro += posting[i].credit == WEIR_ACCOUNT_ENERGY ? posting[i].amount_micro : 0;
        s->use_micro += posting[i].credit == WEIR_ACCOUNT_NODE ? posting[i].amount_micro : 0;
    }
}

static void on_power(void *user, const struct weir_sim_power *power)
{
    struct site *s = user;
    weir_vec_push(&s->powers, *power);
}

/* Cloud number i at that price for a machine; two providers, of which none has an offer yet. */
static struct weir_offer *add_offer(struct site *s, size_t i, uint8_t market, int64_t price_micro)
{
    struct weir_offer *o = &s->offer[i];
    o->id = i + 1;
    snprintf(o->provider, sizeof o->provider, "cloud-%zu", i);
    o->market = market;
    o->gpu_model = s->pool.gpu_model;
    o->gpus = NODE_GPUS;
    o->cpu_milli = CORES_MILLI;
    o->price_micro_per_hour = price_micro;
    o->as_of.us = 1;
    o->expires = WEIR_WALL_MAX;
    o->bill_quantum.us = WEIR_US_PER_S;
    o->launchable = true;
    s->provider[i] = (struct weir_sim_provider){.name = i == 0 ? "cloud-0" : "cloud-1", .offer = o, .n = 1};
    s->conf.n_providers = i + 1;
    return o;
}

static void site_init(struct site *s, uint32_t nodes)
{
    memset(s, 0, sizeof *s);
    s->gpus = weir_gpu_table_new();
    s->pool = (struct weir_sim_pool){.name = "local",
                                     .nodes = nodes,
                                     .gpu_model = weir_gpu_table_find(s->gpus, WEIR_SV("V100")),
                                     .gpus = NODE_GPUS,
                                     .cpu_milli = CORES_MILLI};
    s->conf = (struct weir_sim_world_conf){.core = weir_core_conf_default(),
                                           .pool = &s->pool,
                                           .n_pools = 1,
                                           .provider = s->provider,
                                           .billed = true,
                                           .begin = {BEGIN_S * WEIR_US_PER_S},
                                           .watch = {.started = on_started,
                                                     .ended = on_ended,
                                                     .piece = on_piece,
                                                     .rental = on_rental,
                                                     .alarm = on_alarm,
                                                     .posted = on_posted,
                                                     .power = on_power,
                                                     .user = s}};
    s->conf.core.gpus = s->gpus;
    s->conf.core.lease_term.us = 365 * WEIR_US_PER_DAY;
    s->conf.core.retries_lost_max = UINT16_MAX;
    s->conf.core.delay_cost_micro_per_hour = 1000 * WEIR_MICRO_PER_UNIT;
    for (size_t i = 0; i < TASKS_MAX; i++) {
        s->task[i].started_s = -1;
    }
}

static void site_release(struct site *s)
{
    weir_sim_world_free(s->world);
    weir_gpu_table_free(s->gpus);
    weir_vec_release(&s->pieces);
    weir_vec_release(&s->rentals);
    weir_vec_release(&s->powers);
}

static struct weir_request request_of(const struct site *s, uint32_t gpus, int64_t expected_s)
{
    struct weir_request r;
    memset(&r, 0, sizeof r);
    uint32_t each = 0;
    weir_sim_world_gang(gpus, NODE_GPUS, &r.nodes, &each);
    r.alternatives = 1;
    r.alternative[0] = (struct weir_gpu_wish){s->pool.gpu_model, (uint16_t)each};
    r.cpu_milli = 1;
    r.expected = weir_dur_s(expected_s);
    r.max_duration = weir_dur_s(1000000);
    r.delay_cost_micro_per_hour = -1;
    return r;
}

static struct weir_job_id submit(struct site *s, uint64_t tag, uint32_t gpus, int64_t duration_s, const struct weir_request *r)
{
    if (s->world == NULL) {
        s->world = weir_sim_world_new(&s->conf);
    }
    struct weir_sim_task t = {.tag = tag, .gpus = gpus, .duration = weir_dur_s(duration_s), .request = r, .project = {1}, .priority = 50};
    return weir_sim_world_submit(s->world, &t);
}

/* 500 W idle, 3000 W busy, times 1.3; a kWh at 0.20. */
static const struct weir_owned_cost owned_cost = {.purchase_micro = 100000 * WEIR_MICRO_PER_UNIT,
                                                  .life = {5 * 365 * WEIR_US_PER_DAY},
                                                  .upkeep_micro_per_year = 1000 * WEIR_MICRO_PER_UNIT,
                                                  .tariff_micro_per_kwh = 200000,
                                                  .pue_milli = 1300,
                                                  .idle_watts = 500,
                                                  .busy_watts = 3000};

/* ---- hand-worked ---- */

static void an_owned_node_draws_by_the_share_that_is_held(void **state)
{
    (void)state;
    struct site s;
    site_init(&s, 1);
    s.pool.cost = owned_cost;
    struct weir_request two = request_of(&s, 2, 60);
    struct weir_request cores = request_of(&s, 0, 120); /* three quarters of them: more than the node, together */
    cores.alternatives = 0;
    cores.cpu_milli = CORES_MILLI / 4 * 3;
    submit(&s, 0, 2, 60, &two);
    weir_sim_world_advance(s.world, (struct weir_wall){(BEGIN_S + 30) * WEIR_US_PER_S});
    submit(&s, 1, 0, 120, &cores);
    submit(&s, 2, 2, 60, &two);
    weir_sim_world_finish(s.world);
    static const struct {
        int64_t from_s;
        int64_t to_s;
        int64_t milliwatts;
    } want[] = {
        {0, 30, (500 * 6 + 3000 * 2) / 8 * 1300}, {30, 60, 3000 * 1300}, {60, 90, 3000 * 1300}, {90, 150, (500 * 2 + 3000 * 6) / 8 * 1300},
    };
    assert_int_equal(s.powers.n, WEIR_ARRAY_LEN(want));
    for (size_t i = 0; i < s.powers.n; i++) {
        assert_int_equal(since_begin_s(s.powers.p[i].from), want[i].from_s);
        assert_int_equal(since_begin_s(s.powers.p[i].to), want[i].to_s);
        assert_int_equal(s.powers.p[i].milliwatts, want[i].milliwatts);
    }
    site_release(&s);
}

static void a_task_larger_than_a_node_is_spread_evenly(void **state)
{
    (void)state;
    struct site s;
    site_init(&s, 2);
    add_offer(&s, 0, WEIR_OFFER_ON_DEMAND, 8000000);
    struct weir_request r = request_of(&s, 11, 60);
    submit(&s, 0, 11, 60, &r); /* 6 and 5 */
    submit(&s, 1, 11, 60, &r); /* no room: waiting costs more than the cloud */
    weir_sim_world_finish(s.world);
    assert_int_equal(s.pieces.n, 4);
    uint32_t gpus[2] = {0};
    for (size_t i = 0; i < 4; i++) {
        assert_true(s.pieces.p[i].gpus == 5 || s.pieces.p[i].gpus == 6);
        gpus[s.pieces.p[i].rented] += s.pieces.p[i].gpus;
    }
    assert_int_equal(gpus[0], 11);
    assert_int_equal(gpus[1], 11);
    assert_int_equal(s.task[0].ended_s, 60);
    assert_int_equal(s.task[1].ended_s, 60);
    site_release(&s);
}

static void a_machine_boots_before_its_task_starts_and_costs_meanwhile(void **state)
{
    (void)state;
    struct site s;
    site_init(&s, 0);
    add_offer(&s, 0, WEIR_OFFER_ON_DEMAND, 3600 * WEIR_MICRO_PER_UNIT); /* a unit a second */
    s.conf.faults.boot_median = weir_dur_s(120);
    struct weir_request r = request_of(&s, 8, 60);
    submit(&s, 0, 8, 60, &r);
    weir_sim_world_finish(s.world);
    assert_int_equal(s.task[0].started_s, 120);
    assert_int_equal(s.task[0].ended_s, 180);
    assert_int_equal(s.rentals.n, 1);
    assert_int_equal(since_begin_s(s.rentals.p[0].ready), 120);
    struct weir_bill_check_result books = weir_sim_world_books(s.world);
    assert_int_equal(books.waste_micro, 120 * WEIR_MICRO_PER_UNIT);
    assert_int_equal(books.used_micro, 60 * WEIR_MICRO_PER_UNIT);
    assert_int_equal(books.cost_micro, books.used_micro + books.waste_micro + books.idle_micro);
    site_release(&s);
}

static void data_is_moved_to_rented_machines_only(void **state)
{
    (void)state;
    struct site s;
    site_init(&s, 1);
    add_offer(&s, 0, WEIR_OFFER_ON_DEMAND, 8000000);
    s.conf.faults.link_bytes_per_s = 1 << 20;
    struct weir_request r = request_of(&s, 8, 60);
    r.stage_bytes = 100 << 20;
    submit(&s, 0, 8, 60, &r);
    r.local = WEIR_LOCAL_NEVER;
    submit(&s, 1, 8, 60, &r);
    weir_sim_world_finish(s.world);
    assert_int_equal(s.task[0].started_s, 0);
    assert_int_equal(s.task[0].ended_s, 60);
    assert_int_equal(s.task[1].started_s, 100);
    assert_int_equal(s.task[1].ended_s, 160);
    site_release(&s);
}

static void what_one_cloud_does_not_have_is_rented_from_the_next(void **state)
{
    (void)state;
    struct site s;
    site_init(&s, 0);
    add_offer(&s, 0, WEIR_OFFER_ON_DEMAND, 8000000);
    add_offer(&s, 1, WEIR_OFFER_ON_DEMAND, 16000000);
    s.provider[0].gpus_max = NODE_GPUS;
    struct weir_request r = request_of(&s, 8, 600);
    submit(&s, 0, 8, 600, &r);
    submit(&s, 1, 8, 600, &r);
    weir_sim_world_finish(s.world);
    assert_int_equal(s.pieces.n, 2);
    assert_int_equal(s.pieces.p[0].pool, 1); /* after the one pool */
    assert_int_equal(s.pieces.p[1].pool, 2);
    assert_int_equal(s.task[0].ended_s, 600);
    assert_int_equal(s.task[1].ended_s, 600);
    site_release(&s);
}

static void a_wrong_estimate_changes_nothing_about_the_run(void **state)
{
    (void)state;
    struct site s;
    site_init(&s, 1);
    struct weir_request early = request_of(&s, 8, 1);
    struct weir_request late = request_of(&s, 8, 500000);
    submit(&s, 0, 8, 3600, &early);
    submit(&s, 1, 8, 10, &late);
    weir_sim_world_finish(s.world);
    assert_int_equal(s.task[0].ended_s, 3600);
    assert_int_equal(s.task[1].started_s, 3600);
    assert_int_equal(s.task[1].ended_s, 3610);
    site_release(&s);
}

static void a_faster_gpu_takes_less_time(void **state)
{
    (void)state;
    struct site s;
    site_init(&s, 1);
    s.pool.gpu_model = weir_gpu_table_find(s.gpus, WEIR_SV("A100"));
    uint32_t speed = weir_gpu_table_get(s.gpus, s.pool.gpu_model)->throughput_milli;
    struct weir_request r = request_of(&s, 8, 1000);
    r.alternative[0].model = WEIR_GPU_MODEL_ANY; /* run times are a V100's then */
    submit(&s, 0, 8, speed, &r);
    weir_sim_world_finish(s.world);
    assert_int_equal(s.task[0].ended_s, 1000);
    site_release(&s);
}

static void what_can_never_start_is_given_up_after_a_month(void **state)
{
    (void)state;
    struct site s;
    site_init(&s, 0);
    add_offer(&s, 0, WEIR_OFFER_ON_DEMAND, 8000000);
    s.provider[0].gpus_max = NODE_GPUS - 1;
    s.conf.core.review_period = weir_dur_s(3600);
    struct weir_request r = request_of(&s, 8, 60);
    struct weir_job_id job = submit(&s, 0, 8, 60, &r);
    assert_true(weir_sim_world_possible(s.world, &r));
    assert_true(weir_sim_world_waits(s.world, job));
    weir_sim_world_finish(s.world);
    assert_int_equal(s.task[0].ends, 1);
    assert_int_equal(s.task[0].state, WEIR_TASK_CANCELLED);
    assert_int_equal(weir_sim_world_live(s.world), 0);
    site_release(&s);
}

static void an_alarm_rings_at_its_time_and_a_task_is_taken_back(void **state)
{
    (void)state;
    struct site s;
    site_init(&s, 1);
    struct weir_request r = request_of(&s, 8, 100);
    submit(&s, 0, 8, 100, &r);
    struct weir_job_id job = submit(&s, 1, 8, 100, &r);
    struct weir_wall at = weir_wall_add(s.conf.begin, weir_dur_s(50));
    weir_sim_world_alarm(s.world, at, 7);
    weir_sim_world_advance(s.world, weir_wall_add(s.conf.begin, weir_dur_s(49)));
    assert_int_equal(s.alarms, 0);
    weir_sim_world_advance(s.world, at);
    assert_int_equal(s.alarms, 1);
    assert_int_equal(weir_sim_world_now(s.world).us, at.us);
    weir_sim_world_cancel(s.world, job);
    assert_int_equal(s.task[1].state, WEIR_TASK_CANCELLED);
    assert_int_equal(s.task[1].ended_s, 50);
    weir_sim_world_finish(s.world);
    assert_int_equal(s.task[0].ended_s, 100);
    assert_int_equal(s.task[1].started_s, -1);
    site_release(&s);
}

/* ---- work lost and kept ---- */

static int64_t span_s(struct weir_wall from, struct weir_wall to)
{
    return (to.us - from.us) / WEIR_US_PER_S;
}

/* One long task on spot that is taken back several times; gives how often. */
static uint32_t long_task_on_spot(struct site *s, uint64_t seed, int64_t work_s, int64_t checkpoint_s, int64_t notice_s, int64_t restart_s)
{
    site_init(s, 0);
    struct weir_offer *o = add_offer(s, 0, WEIR_OFFER_SPOT, 3600 * WEIR_MICRO_PER_UNIT);
    o->reclaim_ppm_per_hour = 2000000;
    o->reclaim_notice = weir_dur_s(notice_s);
    s->conf.faults.seed = seed;
    s->conf.faults.restart = weir_dur_s(restart_s);
    struct weir_request r = request_of(s, 8, work_s);
    r.checkpoint_every = weir_dur_s(checkpoint_s);
    r.checkpoint_grace = weir_dur_s(60);
    submit(s, 0, 8, work_s, &r);
    weir_sim_world_finish(s->world);
    assert_int_equal(s->task[0].state, WEIR_TASK_SUCCEEDED);
    return (uint32_t)s->pieces.n - 1;
}

/* One spot machine at a unit a second, of which the prices and what is there were recorded since the begin. */
static void record_offer(struct site *s, const struct weir_sim_steps *const *price, const struct weir_sim_steps *const *stock)
{
    add_offer(s, 0, WEIR_OFFER_SPOT, 3600 * WEIR_MICRO_PER_UNIT);
    s->provider[0].price = price;
    s->provider[0].stock = stock;
    s->conf.market.price = s->conf.market.stock = (struct weir_sim_record){0, INT64_MAX, 0, -BEGIN_S * WEIR_US_PER_S};
    s->conf.market.look = weir_dur_s(60);
}

static void what_runs_is_taken_back_when_the_record_has_no_machine(void **state)
{
    (void)state;
    struct site s;
    struct weir_sim_step step[] = {{0, 1}, {600 * WEIR_US_PER_S, 0}, {7200 * WEIR_US_PER_S, 1}};
    struct weir_sim_steps steps = {.p = step, .n = 3};
    const struct weir_sim_steps *stock = &steps;
    site_init(&s, 0);
    record_offer(&s, NULL, &stock);
    struct weir_request r = request_of(&s, 8, 60);
    r.checkpoint_every = weir_dur_s(100);
    submit(&s, 0, 8, 1000, &r); /* 600 s, and the rest when there is one again and somebody asks */
    weir_sim_world_finish(s.world);
    assert_int_equal(s.rentals.n, 2);
    assert_true(s.rentals.p[0].reclaimed);
    assert_int_equal(since_begin_s(s.rentals.p[0].to), 600);
    assert_true(since_begin_s(s.rentals.p[1].from) >= 7200 && since_begin_s(s.rentals.p[1].from) <= 7200 + 600);
    assert_int_equal(s.task[0].ended_s, since_begin_s(s.rentals.p[1].from) + 400);
    site_release(&s);
}

/* Of all machines, second by second; prices change at full seconds, and so do they come and go. */
static int64_t naive_cost(const struct site *s, const struct weir_sim_step *step, size_t n)
{
    weir_i128 sum = 0; /* micro-units x seconds of an hour */
    for (size_t i = 0; i < s->rentals.n; i++) {
        for (int64_t t = since_begin_s(s->rentals.p[i].from); t < since_begin_s(s->rentals.p[i].to); t++) {
            size_t k = n - 1;
            while (step[k].at_us > t * WEIR_US_PER_S) {
                k--;
            }
            sum += step[k].value;
        }
    }
    return (int64_t)(sum / 3600);
}

static void a_machine_costs_at_each_moment_what_was_recorded(void **state)
{
    (void)state;
    struct site s;
    struct weir_sim_step step[] = {{0, 3600 * WEIR_MICRO_PER_UNIT}, {45 * WEIR_US_PER_S, 1234567891}, {47 * WEIR_US_PER_S, 999999937},
                                   {130 * WEIR_US_PER_S, 7200000001}, {400 * WEIR_US_PER_S, 1}, {401 * WEIR_US_PER_S, 55555555}};
    struct weir_sim_steps steps = {.p = step, .n = WEIR_ARRAY_LEN(step)};
    const struct weir_sim_steps *price = &steps;
    site_init(&s, 0);
    record_offer(&s, &price, NULL);
    struct weir_request r = request_of(&s, 8, 100);
    for (uint64_t i = 0; i < 3; i++) {
        submit(&s, i, 8, 150 + 170 * (int64_t)i, &r);
    }
    weir_sim_world_finish(s.world);
    struct weir_bill_check_result books = weir_sim_world_books(s.world);
    int64_t naive = naive_cost(&s, step, WEIR_ARRAY_LEN(step));
    assert_true(s.rentals.n >= 2);
    assert_true(books.cost_micro >= naive && books.cost_micro <= naive + (int64_t)s.rentals.n); /* each life is rounded once */
    double pieces = 0;
    for (size_t i = 0; i < s.pieces.n; i++) {
        pieces += s.pieces.p[i].cost;
    }
    assert_true(fabs(pieces - (double)books.used_micro / 1e6) < 1e-4);
    site_release(&s);
}

static void a_machine_costs_what_the_market_does_however_rarely_it_is_looked_at(void **state)
{
    (void)state;
    struct site s;
    struct weir_sim_step step[] = {{0, 3600 * WEIR_MICRO_PER_UNIT}, {30 * WEIR_US_PER_S, 7200 * WEIR_MICRO_PER_UNIT}};
    struct weir_sim_steps steps = {.p = step, .n = 2};
    const struct weir_sim_steps *price = &steps;
    site_init(&s, 0);
    record_offer(&s, &price, NULL);
    struct weir_request r = request_of(&s, 8, 100);
    submit(&s, 0, 8, 100, &r);
    weir_sim_world_advance(s.world, (struct weir_wall){(BEGIN_S + 40) * WEIR_US_PER_S});
    submit(&s, 1, 8, 100, &r); /* a second machine: nobody has looked at the prices, but the cloud knows them */
    weir_sim_world_finish(s.world);
    assert_int_equal(s.pieces.n, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_true(fabs(s.pieces.p[i].cost - (s.pieces.p[i].tag == 0 ? 30 + 2 * 70 : 2 * 100)) < 1e-9);
    }
    assert_int_equal(weir_sim_world_books(s.world).used_micro, 370 * WEIR_MICRO_PER_UNIT);
    site_release(&s);
}

static void what_is_reserved_costs_whether_it_is_used_or_not(void **state)
{
    (void)state;
    struct site s;
    struct weir_dur term = {WEIR_US_PER_HOUR};
    site_init(&s, 0);
    struct weir_offer *o = add_offer(&s, 0, WEIR_OFFER_RESERVED, 3600 * WEIR_MICRO_PER_UNIT); /* a unit a second */
    o->machines_max = 2;
    o->bill_quantum = weir_dur_s(3600);
    s.provider[0].term = &term;
    add_offer(&s, 1, WEIR_OFFER_ON_DEMAND, 7200 * WEIR_MICRO_PER_UNIT);
    s.conf.faults.boot_median = weir_dur_s(20);
    struct weir_request r = request_of(&s, 8, 100);
    r.delay_cost_micro_per_hour = 1000000 * WEIR_MICRO_PER_UNIT;
    for (uint64_t i = 0; i < 3; i++) { /* the third has none left */
        submit(&s, i, 8, 100, &r);
    }
    weir_sim_world_finish(s.world);
    int64_t reserved = 0;
    int64_t used = 0;
    for (size_t i = 0; i < s.pieces.n; i++) {
        assert_true(fabs(s.pieces.p[i].cost - (s.pieces.p[i].pool == 1 ? 100 : 200)) < 1e-9);
        reserved += s.pieces.p[i].pool == 1;
        used += s.pieces.p[i].pool == 1 ? 100 : 200;
    }
    assert_int_equal(s.pieces.n, 3);
    assert_int_equal(reserved, 2);
    struct weir_bill_check_result books = weir_sim_world_books(s.world);
    assert_int_equal(books.used_micro, used * WEIR_MICRO_PER_UNIT);
    assert_int_equal(books.waste_micro, (20 + 20 + 40) * WEIR_MICRO_PER_UNIT);
    /* the terms that were begun, and the third machine with its idle end; both sides are equal to the millionth */
    int64_t terms_s = (weir_sim_world_now(s.world).us / WEIR_US_PER_S - BEGIN_S + 3599) / 3600 * 3600;
    int64_t third_s = since_begin_s(s.rentals.p[s.rentals.p[0].provider == 1 ? 0 : s.rentals.p[1].provider == 1 ? 1 : 2].to);
    assert_int_equal(books.cost_micro, (2 * terms_s + 2 * third_s) * WEIR_MICRO_PER_UNIT);
    assert_int_equal(books.cost_micro, books.used_micro + books.idle_micro + books.waste_micro);
    site_release(&s);
}

static void a_reclaim_without_notice_loses_what_came_after_the_last_checkpoint(void **state)
{
    (void)state;
    uint32_t reclaims = 0;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct site s;
        reclaims += long_task_on_spot(&s, seed, 20000, 600, 0, 30);
        int64_t kept_s = 0;
        int64_t lost_s = 0;
        bool again = false;
        for (size_t i = 0; i < s.pieces.n; i++) {
            const struct weir_sim_piece *p = &s.pieces.p[i];
            int64_t lead_s = again ? 30 : 0;
            if (i + 1 == s.pieces.n) {
                assert_int_equal(p->outcome, WEIR_OUTCOME_USED);
                kept_s += span_s(p->from, p->to) - lead_s;
                break;
            }
            assert_int_equal(p->outcome, WEIR_OUTCOME_LOST);
            int64_t kept = span_s(p->from, p->kept_until);
            if (kept > 0) { /* whole checkpoints, counted from when the work went on */
                assert_int_equal((kept - lead_s) % 600, 0);
                kept_s += kept - lead_s;
                again = true;
            }
            lost_s += span_s(p->kept_until, p->to);
            assert_true(span_s(p->kept_until, p->to) <= 600 + lead_s);
        }
        assert_int_equal(kept_s, 20000);
        struct weir_bill_check_result books = weir_sim_world_books(s.world);
        assert_true(llabs(books.waste_micro / WEIR_MICRO_PER_UNIT - lost_s) <= 2 * (int64_t)s.pieces.n);
        site_release(&s);
    }
    assert_true(reclaims > 10);
}

static void a_reclaim_with_notice_loses_only_the_saving(void **state)
{
    (void)state;
    uint32_t reclaims = 0;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct site s;
        reclaims += long_task_on_spot(&s, seed, 20000, 600, 120, 0);
        int64_t kept_us = 0;
        for (size_t i = 0; i + 1 < s.pieces.n; i++) {
            const struct weir_sim_piece *p = &s.pieces.p[i];
            assert_int_equal(p->outcome, WEIR_OUTCOME_LOST);
            kept_us += p->kept_until.us - p->from.us;
            if (span_s(p->from, p->to) < 60) { /* taken back before there was time to save */
                assert_int_equal(p->kept_until.us, p->from.us);
            } else {
                assert_int_equal(p->to.us - p->kept_until.us, 60 * WEIR_US_PER_S);
            }
        }
        const struct weir_sim_piece *last = &s.pieces.p[s.pieces.n - 1];
        assert_int_equal(kept_us + last->to.us - last->from.us, 20000 * WEIR_US_PER_S);
        site_release(&s);
    }
    assert_true(reclaims > 10);
}

static void without_checkpoints_a_reclaim_loses_everything(void **state)
{
    (void)state;
    uint32_t reclaims = 0;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct site s;
        reclaims += long_task_on_spot(&s, seed, 1800, 0, 120, 30);
        const struct weir_sim_piece *last = &s.pieces.p[s.pieces.n - 1];
        assert_int_equal(span_s(last->from, last->to), 1800);
        for (size_t i = 0; i + 1 < s.pieces.n; i++) {
            assert_int_equal(s.pieces.p[i].kept_until.us, s.pieces.p[i].from.us);
        }
        site_release(&s);
    }
    assert_true(reclaims > 3);
}

static void a_task_that_fails_is_tried_again_as_often_as_it_may(void **state)
{
    (void)state;
    struct site s;
    site_init(&s, 1);
    s.conf.faults.task_failures_per_hour = 1e6; /* never reaches its end */
    struct weir_request r = request_of(&s, 8, 3600);
    r.retries = 3;
    submit(&s, 0, 8, 3600, &r);
    weir_sim_world_finish(s.world);
    assert_int_equal(s.pieces.n, 4);
    assert_int_equal(s.task[0].state, WEIR_TASK_FAILED);
    assert_int_equal(s.task[0].ends, 1);
    for (size_t i = 0; i < s.pieces.n; i++) {
        assert_int_equal(s.pieces.p[i].outcome, WEIR_OUTCOME_FAILED);
    }
    site_release(&s);
}

static void the_tasks_of_a_node_that_fails_run_elsewhere(void **state)
{
    (void)state;
    struct site s;
    site_init(&s, 4);
    s.conf.faults.node_failures_per_hour = 0.5;
    s.conf.faults.node_repair = weir_dur_s(1800);
    for (uint64_t i = 0; i < 40; i++) {
        struct weir_request r = request_of(&s, 8, 1800);
        submit(&s, i, 8, 1800, &r);
    }
    weir_sim_world_finish(s.world);
    size_t lost = 0;
    for (size_t i = 0; i < s.pieces.n; i++) {
        lost += s.pieces.p[i].outcome == WEIR_OUTCOME_LOST;
    }
    assert_true(lost > 0);
    assert_int_equal(s.pieces.n, 40 + lost);
    for (size_t i = 0; i < 40; i++) {
        assert_int_equal(s.task[i].state, WEIR_TASK_SUCCEEDED);
    }
    site_release(&s);
}

/* ---- by chance ---- */

struct change {
    int64_t at_us;
    int gpus;
};

static int by_time(const void *va, const void *vb)
{
    const struct change *a = va;
    const struct change *b = vb;
    return a->at_us != b->at_us ? (a->at_us < b->at_us ? -1 : 1) : a->gpus - b->gpus; /* ends first */
}

static void check_capacity(const struct site *s)
{
    for (size_t i = 0; i < s->pieces.n; i++) {
        const struct weir_sim_piece *x = &s->pieces.p[i];
        struct change *c = weir_calloc(2 * s->pieces.n, sizeof *c);
        size_t n = 0;
        for (size_t k = 0; k < s->pieces.n; k++) {
            const struct weir_sim_piece *y = &s->pieces.p[k];
            if (y->rented == x->rented && y->node == x->node && y->to.us > y->from.us) {
                c[n++] = (struct change){y->from.us, (int)y->gpus};
                c[n++] = (struct change){y->to.us, -(int)y->gpus};
            }
        }
        qsort(c, n, sizeof *c, by_time);
        int used = 0;
        for (size_t k = 0; k < n; k++) {
            used += c[k].gpus;
            assert_in_range(used, 0, NODE_GPUS);
        }
        free(c);
    }
}

/* The spans of a node follow one another, and cost at one tariff what the bill says. */
static void check_power(const struct site *s)
{
    struct weir_wall until[4] = {s->conf.begin, s->conf.begin, s->conf.begin, s->conf.begin};
    weir_i128 drawn = 0;
    for (size_t i = 0; i < s->powers.n; i++) {
        const struct weir_sim_power *x = &s->powers.p[i];
        assert_in_range(x->node, 0, 3);
        assert_true(x->from.us == until[x->node].us && x->to.us > x->from.us);
        until[x->node] = x->to;
        drawn += (weir_i128)x->milliwatts * (x->to.us - x->from.us);
    }
    for (uint32_t i = 0; i < s->pool.nodes; i++) {
        assert_true(until[i].us == weir_sim_world_now(s->world).us);
    }
    int64_t micro = (int64_t)(drawn * owned_cost.tariff_micro_per_kwh / INT64_C(3600000000000000));
    assert_in_range(micro - s->energy_micro + 10, 0, 20); /* the bill counts whole millijoules */
}

/* All that can happen, at once. */
static uint64_t stormy(uint64_t seed)
{
    struct site s;
    struct weir_prng draw = weir_prng_seed(seed);
    site_init(&s, (uint32_t)weir_prng_below(&draw, 4));
    s.pool.cost = owned_cost;
    struct weir_offer *spot = add_offer(&s, 0, WEIR_OFFER_SPOT, 4000000);
    spot->reclaim_ppm_per_hour = 500000;
    spot->reclaim_notice = weir_dur_s((int64_t)weir_prng_below(&draw, 3) * 45);
    struct weir_offer *other = add_offer(&s, 1, WEIR_OFFER_ON_DEMAND, 9000000);
    if (seed % 3 == 0) {
        other->market = WEIR_OFFER_RESERVED;
        other->machines_max = 3;
    }
    s.provider[0].gpus_max = 3 * NODE_GPUS;
    s.conf.core.delay_cost_micro_per_hour = 2000000;
    s.conf.faults = (struct weir_sim_faults){.seed = seed,
                                             .boot_median = weir_dur_s(90),
                                             .boot_sigma = 0.5,
                                             .boot_failure = 0.1,
                                             .stockouts_per_hour = 0.5,
                                             .stockout = weir_dur_s(1800),
                                             .task_failures_per_hour = 0.05,
                                             .node_failures_per_hour = 0.1,
                                             .node_repair = weir_dur_s(3600),
                                             .link_bytes_per_s = 50 << 20,
                                             .restart = weir_dur_s(20)};
    s.world = weir_sim_world_new(&s.conf);
    enum { N = 120 };
    for (uint64_t i = 0; i < N; i++) {
        struct weir_wall at = weir_wall_add(weir_sim_world_now(s.world), weir_dur_s((int64_t)weir_prng_below(&draw, 600)));
        weir_sim_world_advance(s.world, at);
        uint32_t gpus = 1 + (uint32_t)weir_prng_below(&draw, 20);
        int64_t duration_s = (int64_t)weir_prng_below(&draw, 20000);
        struct weir_request r = request_of(&s, gpus, 1 + duration_s / 2 + (int64_t)weir_prng_below(&draw, 10000));
        r.checkpoint_every = weir_dur_s((int64_t)weir_prng_below(&draw, 2) * 300);
        r.checkpoint_grace = weir_dur_s(30);
        r.stage_bytes = weir_prng_below(&draw, 2) << 31;
        r.retries = 5;
        submit(&s, i, gpus, duration_s, &r);
    }
    weir_sim_world_finish(s.world);
    uint64_t hash = 0;
    for (size_t i = 0; i < N; i++) {
        assert_int_equal(s.task[i].ends, 1);
        assert_true(s.task[i].state == WEIR_TASK_SUCCEEDED || s.task[i].state == WEIR_TASK_FAILED);
        hash = hash * 31 + (uint64_t)s.task[i].ended_s;
    }
    check_capacity(&s);
    check_power(&s);
    struct weir_bill_check_result books = weir_sim_world_books(s.world);
    assert_int_equal(books.cost_micro, books.used_micro + books.idle_micro + books.waste_micro);
    assert_int_equal(books.cost_micro, s.cost_micro);
    assert_int_equal(books.cost_micro, s.use_micro);
    for (size_t i = 0; i < s.pieces.n; i++) {
        hash = hash * 31 + (uint64_t)s.pieces.p[i].to.us;
    }
    site_release(&s);
    return hash;
}

static void whatever_happens_each_task_ends_once_and_the_books_are_equal(void **state)
{
    (void)state;
    uint64_t first = 0;
    for (uint64_t seed = 1; seed <= 25; seed++) {
        uint64_t hash = stormy(seed);
        assert_int_not_equal(hash, first);
        first = seed == 1 ? hash : first;
    }
    assert_int_equal(stormy(1), first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_owned_node_draws_by_the_share_that_is_held),
        cmocka_unit_test(a_task_larger_than_a_node_is_spread_evenly),
        cmocka_unit_test(a_machine_boots_before_its_task_starts_and_costs_meanwhile),
        cmocka_unit_test(data_is_moved_to_rented_machines_only),
        cmocka_unit_test(what_one_cloud_does_not_have_is_rented_from_the_next),
        cmocka_unit_test(a_wrong_estimate_changes_nothing_about_the_run),
        cmocka_unit_test(a_faster_gpu_takes_less_time),
        cmocka_unit_test(what_can_never_start_is_given_up_after_a_month),
        cmocka_unit_test(an_alarm_rings_at_its_time_and_a_task_is_taken_back),
        cmocka_unit_test(what_runs_is_taken_back_when_the_record_has_no_machine),
        cmocka_unit_test(a_machine_costs_at_each_moment_what_was_recorded),
        cmocka_unit_test(a_machine_costs_what_the_market_does_however_rarely_it_is_looked_at),
        cmocka_unit_test(what_is_reserved_costs_whether_it_is_used_or_not),
        cmocka_unit_test(a_reclaim_without_notice_loses_what_came_after_the_last_checkpoint),
        cmocka_unit_test(a_reclaim_with_notice_loses_only_the_saving),
        cmocka_unit_test(without_checkpoints_a_reclaim_loses_everything),
        cmocka_unit_test(a_task_that_fails_is_tried_again_as_often_as_it_may),
        cmocka_unit_test(the_tasks_of_a_node_that_fails_run_elsewhere),
        cmocka_unit_test(whatever_happens_each_task_ends_once_and_the_books_are_equal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
