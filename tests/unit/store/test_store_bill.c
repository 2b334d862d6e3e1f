/* SPDX-License-Identifier: Apache-2.0 */
/* Bills over both back ends: grouping, cutting to a span, filters. */
#include "store_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/prng.h"
#include "base/vec.h"

struct bill_got {
    size_t n;
    char key[64][4][40];
    struct weir_bill_row row[64];
};

static struct bill_got bill;

static int on_bill(void *ctx, const struct weir_bill_row *r)
{
    struct bill_got *b = ctx;
    assert_true(b->n < WEIR_ARRAY_LEN(b->row));
    for (size_t i = 0; i < 4; i++) {
        assert_true(strlen(r->key[i]) < sizeof b->key[0][0]);
        memcpy(b->key[b->n][i], r->key[i], strlen(r->key[i]) + 1);
    }
    b->row[b->n++] = *r;
    return 0;
}

static const struct bill_got *run_bill(struct weir_store *s, struct weir_bill_filter f, enum weir_bill_by by, const char *tag)
{
    memset(&bill, 0, sizeof bill);
    PUT(s, bill, &f, &by, &tag, 1, on_bill, &bill);
    return &bill;
}

#define DAY WEIR_US_PER_DAY

/* Two nodes; jobs 1 (vision, ada, team a) and 2 (speech, bob, no team). */
static void put_ledger(struct weir_store *s)
{
    BEGIN(s);
    put_names(s);
    struct weir_node_row a = sample_node(1);
    struct weir_node_row b = sample_node(2);
    b.view.spec.pool.v = 2;
    b.gpu_model = "H100";
    PUT(s, put_node, &a);
    PUT(s, put_node, &b);
    struct weir_job_row j = sample_job(1);
    j.tags_json = "{\"team\":\"a\",\"n\":5}";
    PUT(s, put_job, &j);
    j = sample_job(2);
    j.tags_json = "{}";
    PUT(s, put_job, &j);
    struct weir_posting p = {.id = 1,
                             .at = {T0 + 2 * DAY},
                             .from = {T0},
                             .to = {T0 + 2 * DAY},
                             .node = {1},
                             .pool = {1},
                             .debit = WEIR_ACCOUNT_NODE,
                             .credit = WEIR_ACCOUNT_DEPRECIATION,
                             .amount_micro = 1001};
    PUT(s, put_posting, &p);
    p.id = 2;
    p.debit = WEIR_ACCOUNT_JOB;
    p.credit = WEIR_ACCOUNT_NODE;
    p.amount_micro = 601;
    p.gpu_us = 10;
    p.energy_mj = 7001;
    p.carbon_ug = 333;
    p.project.v = 1;
    p.user.v = 1;
    p.run = (struct weir_run_id){{{1}, 0}, 1};
    PUT(s, put_posting, &p);
    p.id = 3;
    p.debit = WEIR_ACCOUNT_IDLE;
    p.amount_micro = 400;
    p.gpu_us = 0;
    p.energy_mj = 503;
    p.carbon_ug = 11;
    p.project.v = 0;
    p.user.v = 0;
    p.run = (struct weir_run_id){0};
    PUT(s, put_posting, &p);
    /* node 2: an instant's charge on the second day, for job 2, then moved to waste */
    p = (struct weir_posting){.id = 4,
                              .at = {T0 + 2 * DAY},
                              .from = {T0 + DAY + 5},
                              .to = {T0 + DAY + 5},
                              .node = {2},
                              .lease = {1},
                              .pool = {2},
                              .debit = WEIR_ACCOUNT_NODE,
                              .credit = WEIR_ACCOUNT_PROVIDER,
                              .amount_micro = 50};
    PUT(s, put_posting, &p);
    p.id = 5;
    p.debit = WEIR_ACCOUNT_JOB;
    p.credit = WEIR_ACCOUNT_NODE;
    p.gpu_us = 4;
    p.energy_mj = 90;
    p.carbon_unknown = true;
    p.project.v = 2;
    p.user.v = 2;
    p.run = (struct weir_run_id){{{2}, 0}, 1};
    PUT(s, put_posting, &p);
    p.id = 6;
    p.debit = WEIR_ACCOUNT_WASTE_LOST;
    p.credit = WEIR_ACCOUNT_JOB;
    p.amount_micro = 20;
    p.gpu_us = 0;
    p.energy_mj = 0;
    p.carbon_unknown = false;
    PUT(s, put_posting, &p);
    COMMIT(s);
}

static const struct weir_bill_filter everything = {.to = {INT64_MAX}};

/* Use that costs nothing, on a machine whose grid nobody knows. */
static void free_use_of_unknown_carbon_is_told_from_none(void **state)
{
    struct weir_store *s = ((struct fixture *)*state)->s;
    put_ledger(s);
    PUT(s, get_job, (struct weir_job_id){1}, on_job, fresh());
    assert_false(got.job.footprint.has_unknown);
    BEGIN(s);
    struct weir_posting p = {.id = 7, .at = {T0 + 2 * DAY}, .from = {T0}, .to = {T0 + 2 * DAY}, .node = {1}, .pool = {1}, .debit = WEIR_ACCOUNT_JOB, .credit = WEIR_ACCOUNT_NODE,
                             .gpu_us = 5, .energy_mj = 40, .carbon_unknown = true, .project = {1}, .user = {1}, .run = {{{1}, 0}, 1}};
    PUT(s, put_posting, &p);
    p = (struct weir_posting){.id = 8, .at = {T0 + 2 * DAY}, .from = {T0}, .to = {T0 + 2 * DAY}, .node = {2}, .pool = {2}, .debit = WEIR_ACCOUNT_IDLE, .credit = WEIR_ACCOUNT_NODE,
                              .energy_mj = 9, .carbon_unknown = true};
    PUT(s, put_posting, &p);
    COMMIT(s);
    const struct bill_got *b = run_bill(s, everything, WEIR_BILL_BY_POOL, NULL);
    assert_true(b->row[0].footprint.has_unknown);
    assert_int_equal(b->row[0].footprint.unknown_micro, 0);
    assert_false(b->row[0].idle_has_unknown);
    assert_true(b->row[1].footprint.has_unknown);
    assert_true(b->row[1].idle_has_unknown);
    PUT(s, get_job, (struct weir_job_id){1}, on_job, fresh());
    assert_true(got.job.footprint.has_unknown);
    assert_int_equal(got.job.footprint.energy_mj, 7041);
    assert_int_equal(got.job.footprint.unknown_micro, 0);
}

static void bills_are_grouped_by_each_key(void **state)
{
    struct weir_store *s = ((struct fixture *)*state)->s;
    put_ledger(s);
    static const struct {
        enum weir_bill_by by;
        const char *tag;
        size_t n;
        const char *key[4];
        int64_t total[4];
    } rows[] = {
        {WEIR_BILL_BY_PROJECT, NULL, 3, {"", "speech", "vision"}, {400, 50, 601}},
        {WEIR_BILL_BY_USER, NULL, 3, {"", "ada", "bob"}, {400, 601, 50}},
        {WEIR_BILL_BY_TAG, "team", 2, {"", "a"}, {450, 601}},
        {WEIR_BILL_BY_TAG, "n", 2, {"", "5"}, {450, 601}},
        {WEIR_BILL_BY_POOL, NULL, 2, {"local", "sandbox"}, {1001, 50}},
        {WEIR_BILL_BY_JOB, NULL, 3, {"", "1", "2"}, {400, 601, 50}},
        {WEIR_BILL_BY_NODE, NULL, 2, {"gpu-a", "gpu-b"}, {1001, 50}},
        {WEIR_BILL_BY_GPU_MODEL, NULL, 2, {"A100", "H100"}, {1001, 50}},
        {WEIR_BILL_BY_DAY, NULL, 2, {"2026-01-01", "2026-01-02"}, {501, 550}},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        const struct bill_got *b = run_bill(s, everything, rows[i].by, rows[i].tag);
        assert_int_equal(b->n, rows[i].n);
        for (size_t k = 0; k < rows[i].n; k++) {
            assert_string_equal(b->key[k][0], rows[i].key[k]);
            assert_int_equal(b->row[k].total_micro, rows[i].total[k]);
        }
    }
    const struct bill_got *b = run_bill(s, everything, WEIR_BILL_BY_POOL, NULL);
    assert_int_equal(b->row[0].cost_micro[WEIR_ACCOUNT_DEPRECIATION], 1001);
    assert_int_equal(b->row[1].cost_micro[WEIR_ACCOUNT_PROVIDER], 50);
    assert_int_equal(b->row[1].used_micro, 30);
    assert_int_equal(b->row[1].waste_micro[1], 20);
    assert_int_equal(b->row[1].gpu_us, 4);
    assert_int_equal(b->row[0].footprint.energy_mj, 7504);
    assert_int_equal(b->row[0].footprint.carbon_ug, 344);
    assert_int_equal(b->row[0].footprint.unknown_micro, 0);
    assert_int_equal(b->row[0].idle_energy_mj, 503);
    assert_int_equal(b->row[0].idle_carbon_ug, 11);
    assert_int_equal(b->row[1].footprint.energy_mj, 90);
    assert_int_equal(b->row[1].footprint.carbon_ug, 0);
    assert_int_equal(b->row[1].footprint.unknown_micro, 50); /* what moved to waste was told once */
    enum weir_bill_by two[] = {WEIR_BILL_BY_DAY, WEIR_BILL_BY_PROJECT};
    memset(&bill, 0, sizeof bill);
    PUT(s, bill, &everything, two, NULL, 2, on_bill, &bill);
    assert_int_equal(bill.n, 5);
    assert_string_equal(bill.key[2][0], "2026-01-02");
    assert_string_equal(bill.key[2][1], "");
    assert_int_equal(s->ops->bill(s, &everything, two, NULL, 0, on_bill, &bill, &err), -WEIR_EINVAL);
    two[0] = WEIR_BILL_BY_TAG;
    assert_int_equal(s->ops->bill(s, &everything, two, NULL, 2, on_bill, &bill, &err), -WEIR_EINVAL);
}

static void bills_are_cut_to_the_span(void **state)
{
    struct weir_store *s = ((struct fixture *)*state)->s;
    put_ledger(s);
    /* neighbouring spans add up to the whole, to the micro-unit */
    struct weir_prng rng = weir_prng_seed(3);
    for (int round = 0; round < 200; round++) {
        int64_t cut = T0 - 100 + (int64_t)weir_prng_below(&rng, 2 * (uint64_t)DAY + 200);
        int64_t used = 0;
        int64_t cost = 0;
        uint64_t gpu = 0;
        struct weir_footprint footprint = {0};
        int64_t idle_ug = 0;
        for (int half = 0; half < 2; half++) {
            struct weir_bill_filter f = {.from = {half == 0 ? 0 : cut}, .to = {half == 0 ? cut : INT64_MAX}};
            const struct bill_got *b = run_bill(s, f, WEIR_BILL_BY_POOL, NULL);
            for (size_t i = 0; i < b->n; i++) {
                used += b->row[i].total_micro;
                cost += b->row[i].cost_micro[0] + b->row[i].cost_micro[1];
                gpu += b->row[i].gpu_us;
                weir_footprint_add(&footprint, &b->row[i].footprint);
                idle_ug += b->row[i].idle_carbon_ug;
            }
        }
        assert_int_equal(footprint.energy_mj, 7594);
        assert_int_equal(footprint.carbon_ug, 344);
        assert_int_equal(footprint.unknown_micro, 50);
        assert_int_equal(idle_ug, 11);
        assert_int_equal(used, 1051);
        assert_int_equal(cost, 1051);
        assert_int_equal(gpu, 14);
    }
    struct weir_bill_filter first = {.from = {T0}, .to = {T0 + DAY / 2}};
    const struct bill_got *b = run_bill(s, first, WEIR_BILL_BY_PROJECT, NULL);
    assert_int_equal(b->n, 2);
    assert_int_equal(b->row[1].used_micro, 150); /* 601 / 4, half up */
    struct weir_bill_filter later = {.from = {T0 + 3 * DAY}, .to = {INT64_MAX}};
    assert_int_equal(run_bill(s, later, WEIR_BILL_BY_PROJECT, NULL)->n, 0);
}

static void bills_are_filtered(void **state)
{
    struct weir_store *s = ((struct fixture *)*state)->s;
    put_ledger(s);
    struct weir_bill_filter f = {.to = {INT64_MAX}, .project = "vision"};
    assert_int_equal(run_bill(s, f, WEIR_BILL_BY_JOB, NULL)->n, 1);
    assert_int_equal(bill.row[0].total_micro, 601);
    f = (struct weir_bill_filter){.to = {INT64_MAX}, .user = "bob"};
    assert_int_equal(run_bill(s, f, WEIR_BILL_BY_JOB, NULL)->n, 1);
    assert_int_equal(bill.row[0].total_micro, 50);
    f = (struct weir_bill_filter){.to = {INT64_MAX}, .job = {2}};
    assert_int_equal(run_bill(s, f, WEIR_BILL_BY_PROJECT, NULL)->n, 1);
    assert_string_equal(bill.key[0][0], "speech");
    f = (struct weir_bill_filter){.to = {INT64_MAX}, .project = "nobody"};
    assert_int_equal(run_bill(s, f, WEIR_BILL_BY_JOB, NULL)->n, 0);
    static const struct weir_project_id second[] = {{2}};
    const struct weir_project_set set = {second, 1};
    f = (struct weir_bill_filter){.within = &set, .to = {INT64_MAX}};
    assert_int_equal(run_bill(s, f, WEIR_BILL_BY_PROJECT, NULL)->n, 1);
    assert_string_equal(bill.key[0][0], "speech");
    f.project = "vision";
    assert_int_equal(run_bill(s, f, WEIR_BILL_BY_PROJECT, NULL)->n, 0);
}

static int on_close(void *ctx, const struct weir_close_row *r)
{
    struct weir_close_row *seen = ctx;
    *seen = *r;
    assert_string_equal(r->zone, "UTC");
    assert_string_equal(r->who, "ada");
    return 0;
}

/* What was posted after a close is billed behind it, and what is closed is as it was. */
static void a_closed_span_is_billed_as_it_was(void **state)
{
    struct weir_store *s = ((struct fixture *)*state)->s;
    const struct weir_bill_filter closed = {.from = {T0}, .to = {T0 + 2 * DAY}};
    put_ledger(s);
    struct weir_close_row row = {.id = 1, .month = "2026-01", .zone = "UTC", .close = {{T0}, {T0 + 2 * DAY}, 6}, .at = {T0 + 2 * DAY}, .who = "ada"};
    BEGIN(s);
    PUT(s, put_close, &row);
    COMMIT(s);
    row.sums = (struct weir_close_sums){6, 14, 1051, 631, 400, 20};
    memset(row.digest, 'a', sizeof row.digest - 1);
    BEGIN(s);
    PUT(s, put_close, &row);
    COMMIT(s);
    struct weir_close_row kept = {0};
    PUT(s, each_close, on_close, &kept);
    row.zone = kept.zone;
    row.who = kept.who;
    assert_memory_equal(&kept, &row, sizeof kept);
    int64_t before = run_bill(s, closed, WEIR_BILL_BY_DAY, NULL)->row[1].total_micro;
    struct weir_posting p = {.id = 7, .at = {T0 + 40 * DAY}, .from = {T0 + DAY}, .to = {T0 + 3 * DAY}, .pool = {1}, .node = {1},
                             .debit = WEIR_ACCOUNT_IDLE, .credit = WEIR_ACCOUNT_NODE, .amount_micro = 10, .correction = 1};
    BEGIN(s);
    PUT(s, put_posting, &p);
    COMMIT(s);
    const struct bill_got *b = run_bill(s, closed, WEIR_BILL_BY_DAY, NULL);
    assert_int_equal(b->n, 2);
    assert_int_equal(b->row[1].total_micro, before);
    b = run_bill(s, everything, WEIR_BILL_BY_DAY, NULL);
    assert_int_equal(b->n, 3);
    assert_string_equal(b->key[2][0], "2026-01-03");
    assert_int_equal(b->row[2].total_micro, 10);
    b = run_bill(s, everything, WEIR_BILL_BY_LATE, NULL);
    assert_int_equal(b->n, 2);
    assert_string_equal(b->key[0][0], "");
    assert_string_equal(b->key[1][0], "2026-01");
    assert_int_equal(b->row[1].total_micro, 5);
}

/* A reader bills what is committed, as the API's threads do. */
static void a_reader_bills_what_is_committed(void **state)
{
    struct weir_store *s = ((struct fixture *)*state)->s;
    struct weir_store *reader = NULL;
    put_ledger(s);
    ok(weir_store_reader(s, &reader, &err), &err);
    assert_int_equal(run_bill(reader, everything, WEIR_BILL_BY_JOB, NULL)->n, run_bill(s, everything, WEIR_BILL_BY_JOB, NULL)->n);
    assert_true(bill.n > 0);
    weir_store_close(reader);
}

static int on_total(void *ctx, const struct weir_total_row *r)
{
    int64_t *sum = ctx;
    assert_true(r->account >= WEIR_ACCOUNT_JOB && r->account < WEIR_ACCOUNT_MAX);
    sum[r->account] += r->amount_micro;
    sum[0] += r->project[0] == '\0' && r->account == WEIR_ACCOUNT_JOB ? 1 : 0;
    return 0;
}

static int on_use(void *ctx, const struct weir_bill_row *r)
{
    int64_t *sum = ctx;
    sum[WEIR_ACCOUNT_JOB] += r->used_micro;
    sum[WEIR_ACCOUNT_IDLE] += r->idle_micro;
    for (int i = 0; i < 3; i++) {
        sum[WEIR_ACCOUNT_WASTE_BOOT + i] += r->waste_micro[i];
    }
    return 0;
}

/* Corrections included, and what a rolled back transaction put left out. */
static void the_totals_are_the_bill_of_everything(void **state)
{
    static const enum weir_bill_by by = WEIR_BILL_BY_PROJECT;
    static const char *const tag = NULL;
    struct weir_store *s = ((struct fixture *)*state)->s;
    int64_t total[WEIR_ACCOUNT_MAX] = {0};
    int64_t want[WEIR_ACCOUNT_MAX] = {0};
    put_ledger(s);
    struct weir_posting p = {.id = 1000, .at = {T0 + 9 * DAY}, .from = {T0 + 8 * DAY}, .to = {T0 + 9 * DAY}, .pool = {1}, .node = {1},
                             .project = {1}, .user = {1}, .run = {{{1}, 0}, 1}, .debit = WEIR_ACCOUNT_WASTE_LOST,
                             .credit = WEIR_ACCOUNT_JOB, .amount_micro = 3};
    BEGIN(s);
    PUT(s, put_posting, &p);
    s->ops->rollback(s);
    BEGIN(s);
    PUT(s, put_posting, &p);
    COMMIT(s);
    PUT(s, each_total, on_total, total);
    PUT(s, bill, &everything, &by, &tag, 1, on_use, want);
    assert_memory_equal(total, want, sizeof want);
    assert_true(want[WEIR_ACCOUNT_WASTE_LOST] >= 3);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        CASE(free_use_of_unknown_carbon_is_told_from_none),
        CASE(bills_are_grouped_by_each_key),
        CASE(bills_are_cut_to_the_span),
        CASE(bills_are_filtered),
        CASE(a_closed_span_is_billed_as_it_was),
        CASE(a_reader_bills_what_is_committed),
        CASE(the_totals_are_the_bill_of_everything),
    };
    return RUN_CASES(argc, argv, tests);
}
